"""The supervisor: starts the workers, watches their signs of life, restarts those that end or stand still, and tells them
what to serve. It answers no predictions itself; its own port (`noria.serving.process.admin`) tells how all of them are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from noria.core.clock import Clock
from noria.core.conservation import Balance
from noria.core.errors import NoriaError, OutsideWorld, UserMistake
from noria.core.files import LocalFiles
from noria.core.health import Health, Healthy, Unhealthy, Unknown, worst
from noria.core.heartbeat import beat, forget
from noria.core.settings import ServingSettings
from noria.core.telemetry import begin_logging
from noria.serving.access.keys import Access, Key
from noria.serving.access.quotas import Quotas
from noria.serving.access.tokens import Tokens, find_issuer
from noria.serving.process.rest import LOOPBACK
from noria.serving.process.worker import WHERE_IT_STANDS, Admit, Beat, Begin, Serve, Stop, listener, tls
from noria.serving.protocol.clouds import on_platform

logger = logging.getLogger("noria.serving")

SILENT_SECONDS = 2.0  # a worker that gives no sign of life for so long stands still
WATCH_SECONDS = 0.1
BEGIN_SECONDS = 60.0
STOP_SECONDS = 10.0
BEAT = timedelta(seconds=10)
LOOK_SECONDS = 1.0  # how often the targets are looked at
FASTEST_RESTART_SECONDS = 0.1
SLOWEST_RESTART_SECONDS = 10.0

ISSUER_SECONDS = 300.0  # how often an identity provider is asked for its keys
LOOPBACK_HOST = "127.0.0.1"

Targets = Callable[[], Sequence[Serve]]
Keys = Callable[[], Sequence[Key]]


class PortInUse(UserMistake):
    """Another program listens where the server should."""

    code = "NR-512"

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        super().__init__(
            what=f"port {port} is in use",
            where=f"on {host}",
            fix="stop the program that listens there, or choose another with --port (0 picks a free one)",
        )


class OpenToTheWorld(UserMistake):
    """The server was asked to listen beyond this machine without what protects it."""

    code = "NR-513"

    def __init__(self, host: str, missing: str, fix: str) -> None:
        self.host = host
        super().__init__(what=f"serving on {host} would be open to everyone", where=missing, fix=fix)


class WorkerFailed(OutsideWorld):
    """A worker could not begin to serve."""

    code = "NR-522"

    def __init__(self, facts: dict[str, str]) -> None:
        super().__init__(what=facts["what"], where=facts["where"], fix=facts["fix"])
        self.code = facts["code"]
        self.exit_code = UserMistake.exit_code


@dataclass(frozen=True)
class Listening:
    """Where a server can be reached."""

    host: str
    port: int
    admin_port: int
    grpc_port: int | None = None
    scheme: str = "http"
    admin_host: str = LOOPBACK_HOST

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"{self.scheme}://{self.admin_host}:{self.admin_port}"

    def to_dict(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port, "url": self.url, "admin_url": self.admin_url, "grpc_port": self.grpc_port}


@dataclass
class _Worker:
    """What the supervisor knows of one worker."""

    index: int
    starts: int = 0
    process: asyncio.subprocess.Process | None = None
    out: asyncio.StreamWriter | None = None
    state: dict[str, Any] | None = None
    last_beat: float = 0.0
    told: dict[str, Serve] = field(default_factory=dict)
    failed: dict[str, str] | None = None
    stopped: bool = False


class Supervisor:
    """Serves what `targets` says, asked again every second, on as many workers as the settings say.

    When `targets` raises, the workers go on with what they were last told, and the health says why.
    """

    def __init__(
        self,
        targets: Targets,
        settings: ServingSettings,
        clock: Clock,
        *,
        keys: Keys = list,
        worker: Sequence[str] = ("noria.serving.process.worker",),
        folder: Path | None = None,
    ) -> None:
        """`worker`: the module that a worker runs, and its arguments; the number of its socket is added. `folder`: where sums of
        quotas are kept.

        Raises `OpenToTheWorld` when it would listen beyond loopback without keys or TLS, and `NoIssuer`.
        """
        self.settings = settings = on_platform(settings, os.environ)
        self._targets, self._clock, self._command = targets, clock, worker
        self._keys, first = keys, list(keys())
        _refuse_open(settings, first)
        tls(settings, "http/1.1")
        self._quotas, self._folder = Quotas(folder, clock, LocalFiles()), folder
        self._last_beat, self._has_answered = clock.now() - BEAT, False
        self._issuer, self._issuer_looked = find_issuer(settings), clock.now()
        self._issuer_trouble: str | None = None
        self._admitted = Admit(first, bool(first), self._issuer, self._quotas.exhausted(first))
        self.access = self._own_access(self._admitted)
        self._workers = [_Worker(index) for index in range(settings.workers)]
        self._wanted: dict[str, Serve] = {}
        self._blind: str | None = None
        self._stopping = False
        self.stopped_by: int | None = None  # the signal that came, SIGTERM or SIGINT
        self._reserved: list[socket.socket] = []
        self.where = Listening(settings.host, settings.port, settings.admin_port, admin_host=settings.host)

    async def serve(self, started: Callable[[Listening], None]) -> list[Balance]:
        """Serve until SIGTERM or SIGINT; returns the sums of rows by endpoint. `started` is called once all workers are ready."""
        loop = asyncio.get_running_loop()
        self._reserve()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._hear, number, stop)
        self._wanted = {t.endpoint: t for t in self._targets()}
        keepers = [asyncio.create_task(self._keep(worker)) for worker in self._workers]
        from noria.serving.process.admin import admin_server  # while the workers begin

        admin = admin_server(self)
        tasks = [asyncio.create_task(work) for work in (self._look(), self._watch(), admin.serve([self._reserved[0]]))]
        try:
            await self._all_ready(keepers)
            started(self.where)
            await asyncio.wait([*tasks, *keepers, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping = True
            await self._stop_workers(keepers)
            admin.should_exit = True
            for task in tasks[:2]:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    logger.error("the server is stopping: a task failed", exc_info=ended)
            for sock in self._reserved:
                sock.close()
            self._quotas.keep(now=True)
        if stop.is_set():
            self._end_beat()
        return self.balances()

    def _hear(self, number: int, stop: asyncio.Event) -> None:
        self.stopped_by = number
        stop.set()

    # --- what people ask ---

    @property
    def health(self) -> Health:
        """Healthy when every worker has lately said that its endpoints answer their golden rows."""
        return worst(self._worker_health(worker) for worker in self._workers)

    @property
    def degraded(self) -> list[str]:
        """What does not work as it should though predictions are answered."""
        troubles = [f"{e['endpoint']}: {e['trouble']}" for s in self.states().values() for e in s["endpoints"] if e["trouble"]]
        blind = f"can't look up what to serve: {self._blind}" if self._blind else None
        return sorted({*troubles, *filter(None, (blind, self._issuer_trouble))})

    def states(self) -> dict[str, dict[str, Any]]:
        """The last state of every worker that has given one, by the worker's number."""
        return {str(w.index): w.state for w in self._workers if w.state is not None}

    def serving(self) -> dict[str, Any]:
        """Endpoint → bundle, and the names under which the workers log."""
        states = self.states().values()
        return {
            "endpoints": {e["endpoint"]: e["bundle"] for state in states for e in state["endpoints"]},
            "writers": [state["writer"] for state in states],
        }

    def balances(self) -> list[Balance]:
        """Rows answered against rows logged, by endpoint, of all workers' last words."""
        sums: dict[str, Counter[str]] = {}
        for state in self.states().values():
            for e in state["endpoints"]:
                sums.setdefault(e["endpoint"], Counter()).update(e["counts"])
        return [
            Balance(f"serve {name}", count["answered"], {"logged": count["logged"], "left out by sampling": count["unlogged"]})
            for name, count in sums.items()
        ]

    @property
    def admin_host(self) -> str:
        """The address that the admin port listens on."""
        return self.where.admin_host

    @property
    def restarts(self) -> int:
        return sum(max(worker.starts - 1, 0) for worker in self._workers)

    def _worker_health(self, worker: _Worker) -> Health:
        if worker.state is None or worker.process is None:
            return Unknown(f"worker {worker.index} is starting")
        silent = asyncio.get_running_loop().time() - worker.last_beat
        if silent > SILENT_SECONDS / 2:
            return Unhealthy(f"worker {worker.index} has sent no heartbeat for {silent:.1f} s")
        if worker.state["health"] != "healthy":
            return Unhealthy(f"worker {worker.index}: {worker.state['why']}")
        return Healthy({"worker": worker.index})

    # --- workers ---

    def _reserve(self) -> None:
        """Hold the addresses, so that all workers get the same port and no other program does."""
        settings, host = self.settings, self.settings.host
        shared = [settings.port] if settings.grpc_port is None else [settings.port, settings.grpc_port]
        for port in shared:
            if port:  # SO_REUSEPORT would let two servers of one user share a port unnoticed
                self._hold(host, port, shared=False).close()
        admin_host = host if settings.platform == "none" else LOOPBACK_HOST  # a platform guards the port that it knows, no other
        self._reserved = [
            self._hold(admin_host, settings.admin_port, shared=False),
            *(self._hold(host, port, shared=True) for port in shared),
        ]
        admin, *others = (sock.getsockname()[1] for sock in self._reserved)
        scheme = "https" if settings.tls_certificate else "http"
        self.where = Listening(host, others[0], admin, others[1] if len(others) > 1 else None, scheme, admin_host)

    @staticmethod
    def _hold(host: str, port: int, *, shared: bool) -> socket.socket:
        try:
            return listener(host, port, shared=shared)
        except OSError as error:
            raise PortInUse(host, port) from error

    async def _all_ready(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        """Wait for every worker's first state. Raises why one could not begin."""
        async with asyncio.timeout(BEGIN_SECONDS):
            while any(worker.state is None for worker in self._workers):
                for worker in self._workers:
                    if worker.failed is not None:
                        raise WorkerFailed(worker.failed)
                for keeper in keepers:
                    if keeper.done():
                        keeper.result()
                await asyncio.sleep(0.005)

    async def _keep(self, worker: _Worker) -> None:
        """Start a worker, and again whenever it ends, more slowly each time it could not even begin."""
        pause = FASTEST_RESTART_SECONDS
        while not self._stopping:
            worker.state, worker.stopped = None, False
            await self._run(worker)
            if self._stopping or (worker.failed is not None and worker.starts == 1):
                return
            lived = worker.state is not None
            pause = FASTEST_RESTART_SECONDS if lived else min(2 * pause, SLOWEST_RESTART_SECONDS)
            logger.error("worker %d exited; restarting it", worker.index)
            worker.state = None
            await asyncio.sleep(pause)

    async def _run(self, worker: _Worker) -> None:
        """One life of a worker: from its process's start to its end."""
        mine, its = socket.socketpair()
        worker.starts += 1
        try:
            worker.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self._command, str(its.fileno()), pass_fds=[its.fileno()]
            )
        finally:
            its.close()
        reader, worker.out = await asyncio.open_connection(sock=mine, limit=1 << 24)
        worker.told = dict(self._wanted)
        writer = f"w{self._clock.now():%Y%m%d%H%M%S%f}x{worker.index}"
        targets = list(self._wanted.values())
        begin = Begin(writer, self.where.host, self.where.port, self.where.grpc_port, self.settings, targets, self._admitted)
        try:
            worker.out.write(msgspec.json.encode(begin) + b"\n")
            while line := await reader.readline():
                self._heard(worker, msgspec.json.decode(line, type=Beat))
        except ConnectionError:
            pass  # it ended; what its process says of it follows
        finally:
            worker.out.close()
            worker.out = None
            await worker.process.wait()
            worker.process = None

    def _heard(self, worker: _Worker, beat: Beat) -> None:
        worker.last_beat = asyncio.get_running_loop().time()
        worker.failed, worker.stopped = beat.failed, beat.stopped
        if beat.state is not None:
            worker.state = beat.state
            self._quotas.heard(beat.state["writer"], beat.state["spent"])
        self._tell(worker)

    def _tell(self, worker: _Worker) -> None:
        """Order what a worker was not yet told."""
        for endpoint, target in self._wanted.items():
            if worker.out is not None and worker.told.get(endpoint) != target:
                worker.out.write(msgspec.json.encode(target) + b"\n")
                worker.told[endpoint] = target

    def _admit(self, keys: list[Key]) -> None:
        """Tell the workers of keys that were made or revoked, of a provider's new ones, and of quotas that are spent."""
        admitted = Admit(keys, self._admitted.guarded or bool(keys), self._issuer, self._quotas.exhausted(keys))
        if admitted == self._admitted:
            return
        self._admitted, self.access = admitted, self._own_access(admitted)
        for worker in self._workers:
            if worker.out is not None:
                worker.out.write(msgspec.json.encode(admitted) + b"\n")

    def _own_access(self, admitted: Admit) -> Access:
        """Who may ask on the admin port."""
        tokens = None if admitted.issuer is None else Tokens(admitted.issuer, self._clock)
        return Access(admitted.keys, lambda: 0.0, guarded=admitted.guarded, tokens=tokens)

    def _look_at_issuer(self) -> None:
        """A provider changes its keys now and then; when it can't be asked, those that are known stay."""
        if self._issuer is None or (self._clock.now() - self._issuer_looked).total_seconds() < ISSUER_SECONDS:
            return
        self._issuer_looked, self._issuer_trouble = self._clock.now(), None
        try:
            self._issuer = find_issuer(self.settings)
        except NoriaError as error:
            self._issuer_trouble = f"{error.what} ({error.where})"

    def _looked(self) -> tuple[Sequence[Serve], list[Key]]:
        found = self._targets(), list(self._keys())
        self._quotas.keep()
        self._look_at_issuer()
        return found

    async def _look(self) -> None:
        """Look again and again at what should be served; when that can't be seen, everything stays as it is."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                found, keys = await asyncio.to_thread(self._looked)
            except NoriaError as error:
                self._blind = error.what
            except Exception as error:  # a store's own exceptions share no base; serving goes on, and says so
                logger.warning("can't look up what to serve: %s", error, exc_info=True)
                self._blind = f"{type(error).__name__}: {error}"
            else:
                self._blind = None
                self._wanted = {t.endpoint: t for t in found}
                self._admit(keys)
                for worker in self._workers:
                    self._tell(worker)
            await self._beat()

    async def _beat(self) -> None:
        """Say that the server lives, where whoever watches it reads it: from when it first answers, as one that begins is not dead. What
        can't be written is late, and so is told."""
        if self._folder is not None and not self._stopping and self._clock.now() - self._last_beat >= BEAT / 3:
            ready = sum(isinstance(self._worker_health(worker), Healthy) for worker in self._workers)
            self._has_answered |= ready > 0
            if not self._has_answered:
                return
            self._last_beat = self._clock.now()
            saw = {"workers": len(self._workers), "ready": ready}
            try:
                await asyncio.to_thread(beat, self._folder, self._stage, self._last_beat, BEAT, saw, LocalFiles())
            except OSError as error:
                logger.warning("the server's heartbeat can't be written: %s", error)

    def _end_beat(self) -> None:
        """A server that was told to stop is not expected any more; one that ended otherwise is, and will be told dead."""
        if self._folder is not None:
            try:
                forget(self._folder, self._stage, LocalFiles())
            except OSError as error:
                logger.warning("the server's heartbeat file can't be removed: %s", error)

    @property
    def _stage(self) -> str:
        """Its name among the signs of life."""
        return f"serve/{self.where.port}"

    async def _watch(self) -> None:
        """End workers that stand still; they are started again as if they had died. While the supervisor itself stood still, as in a
        machine that was paused, it heard nobody: that time counts for none."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = loop.time()
            missed, looked = max(now - looked - WATCH_SECONDS, 0), now
            for worker in self._workers:
                worker.last_beat += missed
                if worker.state is not None and worker.process is not None and now - worker.last_beat > SILENT_SECONDS:
                    await self._end(worker.process, worker.index)
                    looked = loop.time()

    async def _end(self, process: asyncio.subprocess.Process, index: int) -> None:
        """Kill a worker's process, after it has written to standard error where it stands, if it can."""
        logger.error("worker %d has stalled (no heartbeat); killing it", index)
        with suppress(ProcessLookupError):
            process.send_signal(WHERE_IT_STANDS)
            await asyncio.sleep(WATCH_SECONDS)
            process.kill()

    async def _stop_workers(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        for worker in self._workers:
            if worker.out is not None:
                with suppress(ConnectionError):
                    worker.out.write(msgspec.json.encode(Stop()) + b"\n")
        _, late = await asyncio.wait(keepers, timeout=STOP_SECONDS)
        for worker in self._workers:
            if worker.process is not None:
                with suppress(ProcessLookupError):
                    worker.process.kill()
        if late:
            await asyncio.wait(late, timeout=STOP_SECONDS)


def _refuse_open(settings: ServingSettings, keys: Sequence[Key]) -> None:
    if settings.host in LOOPBACK or settings.platform != "none":
        return
    if not keys and settings.oidc_issuer is None:
        raise OpenToTheWorld(settings.host, "there is no API key yet", "create one: `noria key add NAME`")
    if settings.tls_certificate is None and not settings.behind_tls_proxy:
        missing = "without TLS, keys and features can be read in transit"
        raise OpenToTheWorld(settings.host, missing, "set serving.tls_certificate and tls_key; or serving.behind_tls_proxy")


def run_supervisor(supervisor: Supervisor, started: Callable[[Listening], None]) -> list[Balance]:
    """Serve until told to stop."""
    begin_logging(supervisor.settings.messages)
    return asyncio.run(supervisor.serve(started))
