"""A worker: one process of the data plane, single-threaded but for the log's sync. Started and watched by the supervisor.

It speaks with the supervisor over a socket whose number is its argument: JSON lines, `Order`s in, its state out, several times
a second. When the supervisor is gone, it stops taking requests, answers what it has, and ends.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from noria.core.clock import SystemClock
from noria.core.errors import NoriaError, UserMistake
from noria.core.files import Files, LocalFiles
from noria.core.settings import ServingSettings
from noria.core.telemetry import begin_logging
from noria.models.runtimes.port import RuntimeOptions
from noria.serving.access.keys import Key
from noria.serving.access.tokens import Issuer, Tokens
from noria.serving.batching.allowance import ShadowTerms
from noria.serving.batching.lookup import OpenLookup
from noria.serving.process.frontend import Frontend
from noria.serving.process.opening import Target
from noria.serving.process.plane import DataPlane

if TYPE_CHECKING:
    from noria.serving.process.grpc import GrpcServices
    from noria.serving.transport.budget import ByteBudget

logger = logging.getLogger("noria.serving")

BEAT_SECONDS = 0.25
WHERE_IT_STANDS = signal.SIGUSR1  # at which a worker writes the stacks of its threads to standard error
PROBE_SECONDS = 1.0
BACKLOG = 2048
THREADS = 4  # a periodic probe, one after a reload, and two endpoints that are opened
GC_THRESHOLDS = (20_000, 20, 50)  # answering makes next to no cycles


class Serve(msgspec.Struct, tag="serve"):
    """Serve these bundles (folders) under an endpoint's name.

    trust: whether code that they carry may run
    deadline_seconds: what a call of a model in a process of its own may take; None: as the settings say
    shadow_terms: what the shadow may be asked; None: everything
    candidate, share: the bundle that answers a share of the requests in an A/B test
    """

    endpoint: str
    champion: str
    shadow: str | None
    log: str
    previous: str | None = None
    default: tuple[float, ...] | None = None
    cached_rows: int = 0
    trust: bool = False
    deadline_seconds: float | None = None
    shadow_terms: ShadowTerms | None = None
    candidate: str | None = None
    share: float = 0.0


class Admit(msgspec.Struct, tag="admit"):
    """Answer those who have one of these keys, or a token of the issuer; everyone if there are none and it is not guarded.

    exhausted: names of keys that are through for today
    """

    keys: list[Key]
    guarded: bool
    issuer: Issuer | None = None
    exhausted: list[str] = []


class Begin(msgspec.Struct, tag="begin"):
    """The first order: who you are, where to listen, and what to serve at first."""

    writer: str
    host: str
    port: int
    grpc_port: int | None
    settings: ServingSettings
    targets: list[Serve]
    access: Admit


class Stop(msgspec.Struct, tag="stop"):
    """Answer what you have, and end."""


Order = Begin | Serve | Admit | Stop


class Beat(msgspec.Struct):
    """A sign of life: what the worker does, as `Frontend.state` says it; or, once, why it could not begin."""

    state: dict[str, Any] | None = None
    failed: dict[str, str] | None = None
    stopped: bool = False


def listener(host: str, port: int, *, shared: bool = True) -> socket.socket:
    """A socket on an address; on one that the workers share, the kernel spreads new connections among those who listen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


class Worker:
    """Runs a data plane by the supervisor's orders."""

    def __init__(self, channel: socket.socket, open_lookup: OpenLookup | None, files: Files) -> None:
        self._channel, self._open_lookup, self._files = channel, open_lookup, files
        self._orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        reader, self._out = await asyncio.open_connection(sock=self._channel)
        begin = self._orders.decode(await reader.readline())
        assert isinstance(begin, Begin)
        self._settings = begin.settings
        begin_logging(begin.settings.messages)
        await _start_threads()
        for number in (signal.SIGTERM, signal.SIGINT):  # the supervisor gets the terminal's Ctrl-C too, and says when to stop
            asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        plane = DataPlane(begin.writer, begin.settings, SystemClock(), self._files, self._open_lookup)
        self._frontend = Frontend(plane, begin.settings, SystemClock(), self._files, _open_grpc)
        self._admit(begin.access)
        try:
            for order in begin.targets:
                await self._frontend.serve(_target(order, begin.settings))
            plane.check_redaction()
        except NoriaError as error:
            self._say(Beat(failed=error.to_dict()))
            await self._out.drain()
            return
        settings = begin.settings
        gc.collect()
        gc.freeze()  # what was loaded stays: the collector need not look at it again, which takes tens of milliseconds
        gc.set_threshold(*GC_THRESHOLDS)
        servers = [await _listening(begin.host, begin.port, self._frontend.connection, tls(settings, "http/1.1"))]
        if begin.grpc_port is not None:
            servers.append(await _listening(begin.host, begin.grpc_port, self._frontend.grpc_connection, tls(settings, "h2")))
        beat, *others = tasks = [asyncio.create_task(work) for work in (self._beat(), self._probe(), self._follow(reader))]
        ended, _ = await asyncio.wait([*tasks, asyncio.create_task(self._stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            if task.exception() is not None:  # a worker that no longer beats or probes must not look as if it did
                logger.error("the worker is stopping: a task failed", exc_info=task.exception())
        for server in servers:
            server.close()
        for task in others:
            task.cancel()
        await self._frontend.drain()  # which may take seconds: without a beat, it would look as if it stood still
        beat.cancel()
        self._say(Beat(state=self._frontend.state(), stopped=True))
        await self._out.drain()

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                order = self._orders.decode(line)
                if isinstance(order, Stop):
                    break
                if isinstance(order, Serve):
                    await self._serve(order)
                elif isinstance(order, Admit):
                    self._admit(order)
        except ConnectionError:
            logger.warning("the supervisor is gone")
        finally:
            self._stop.set()

    def _admit(self, order: Admit) -> None:
        tokens = None if order.issuer is None else Tokens(order.issuer, SystemClock())
        self._frontend.admit(order.keys, guarded=order.guarded, tokens=tokens, exhausted=order.exhausted)

    async def _serve(self, order: Serve) -> None:
        try:
            await self._frontend.serve(_target(order, self._settings))
        except NoriaError as error:
            logger.error("%s", error)

    async def _beat(self) -> None:
        while True:
            self._frontend.tick()
            self._say(Beat(state=self._frontend.state()))
            await asyncio.sleep(BEAT_SECONDS)

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            await self._frontend.probe()

    def _say(self, beat: Beat) -> None:
        if not self._out.is_closing():
            self._out.write(msgspec.json.encode(beat) + b"\n")


def tls(settings: ServingSettings, protocol: str) -> ssl.SSLContext | None:
    """What the settings' certificate and key make; None where there are none. Raises `BadCertificate`."""
    if settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise BadCertificate(settings.tls_certificate, str(error)) from error
    context.set_alpn_protocols([protocol])
    return context


class BadCertificate(UserMistake):
    """The TLS certificate or its key can't be used."""

    code = "NR-534"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            what="the TLS certificate can't be used", where=f"{path}: {reason}", fix="correct serving.tls_certificate and serving.tls_key"
        )


async def _listening(host: str, port: int, protocol: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None) -> asyncio.Server:
    sock = listener(host, port)
    sock.setblocking(False)
    return await asyncio.get_running_loop().create_server(protocol, sock=sock, ssl=context, backlog=BACKLOG)


async def _start_threads() -> None:
    """All threads that wait for disks and stores, from the start: what a worker holds does not grow when two probes overlap one day."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="waits"))
    together = threading.Barrier(THREADS)
    await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(THREADS)))


def _open_grpc(plane: DataPlane, most_message: int, failed: Callable[[NoriaError], None], budget: ByteBudget) -> GrpcServices:
    from noria.serving.process.grpc import GrpcServices  # protobuf, which only gRPC's clients need

    return GrpcServices(plane, most_message, failed, budget)


def _target(order: Serve, settings: ServingSettings) -> Target:
    shadow, previous = (Path(path) if path else None for path in (order.shadow, order.previous))
    options = RuntimeOptions(
        trust=order.trust,
        deadline_seconds=order.deadline_seconds or settings.model_seconds,
        start_seconds=settings.model_start_seconds,
        memory_gb=settings.model_memory_gb,
        locked=settings.model_versions == "locked",
        streams=settings.model_streams,
        waiting_streams=settings.waiting_streams,
        stream_seconds=settings.stream_seconds,
        stream_parts=settings.stream_parts,
        stream_bytes=settings.stream_bytes,
    )
    log = Path(order.log)
    return Target(
        order.endpoint,
        Path(order.champion),
        shadow,
        log,
        previous,
        order.default,
        order.cached_rows,
        options,
        order.shadow_terms,
        None if order.candidate is None else Path(order.candidate),
        order.share,
    )


def run_worker(channel: int, open_lookup: OpenLookup | None = None, files: Files | None = None) -> None:
    """Work by the orders of the supervisor at the other end of a socket, until it says stop or is gone."""
    begin_logging("text")
    faulthandler.register(WHERE_IT_STANDS)
    work = Worker(socket.socket(fileno=channel), open_lookup, files or LocalFiles()).run
    try:
        import uvloop
    except ImportError:
        asyncio.run(work())
    else:
        uvloop.run(work())


if __name__ == "__main__":
    run_worker(int(sys.argv[1]))
