"""The server: one endpoint, one bundle, one port. Ready only after the bundle's own sample went through the real path.

POST /v2/models/<endpoint>/infer      Open Inference Protocol v2
POST /predict/<endpoint>              plain JSON
GET  /v2/models/<endpoint>[/ready]    metadata, readiness
GET  /v2/health/live, /v2/health/ready, /v2
GET  /status                          counts, and whether answered = logged
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from noria.core.clock import Clock
from noria.core.conservation import Balance
from noria.core.errors import NoriaError, OutsideWorld, UserMistake, nearest
from noria.core.files import Files
from noria.core.health import Health, Healthy, Unhealthy, Unknown, word
from noria.core.ids import PredictionIds, short
from noria.core.settings import ServingSettings
from noria.models.bundle import Bundle, sample_of
from noria.models.runtime import OnnxModel
from noria.serving.batcher import Answered, Batcher
from noria.serving.http import Connection, Reply, Request, bug
from noria.serving.log import PredictionLog
from noria.serving.protocols import Asked, BadRequest, Signature, plain_answer, v2_answer, v2_metadata

logger = logging.getLogger("noria.serving")

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
GOLDEN_TOLERANCE = 1e-6
SUMS_FILE = "served.json"


class PortInUse(UserMistake):
    """Another program listens where the server should."""

    code = "NR-512"

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        super().__init__(
            what=f"port {port} is in use",
            where=f"on {host}",
            mend="stop the program that listens there, or choose another with --port (0 takes a free one)",
        )


class OpenToTheWorld(UserMistake):
    """The server was asked to listen beyond this machine, which it can't protect yet."""

    code = "NR-513"

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            what=f"serving on {host} would be open to everyone",
            where="there is no authentication on this server yet",
            mend="listen on 127.0.0.1 and put an authenticating proxy in front",
        )


class NotHere(BadRequest):
    """A path that does not exist."""

    code = "NR-514"
    http_status = 404


class WrongMethod(BadRequest):
    """A path that exists, asked in the wrong way."""

    code = "NR-515"
    http_status = 405


class WrongHost(BadRequest):
    """A request that a browser was tricked into sending (DNS rebinding, cross-site)."""

    code = "NR-516"
    http_status = 421


class NotReady(OutsideWorld):
    """The server is up and can't answer (yet)."""

    code = "NR-517"

    def __init__(self, why: str) -> None:
        super().__init__(what="not ready", where=why, mend="try again in a moment; `noria status` says more")


@dataclass(frozen=True)
class Listening:
    """Where a server can be reached."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Server:
    """Serves one bundle under an endpoint's name."""

    def __init__(self, endpoint: str, bundle: Bundle, log_folder: Path, settings: ServingSettings, clock: Clock, files: Files) -> None:
        self._endpoint, self._bundle, self._settings, self._files = endpoint, bundle, settings, files
        self._signature = Signature(bundle.features)
        self._writer = f"w{clock.now():%Y%m%d%H%M%S%f}"
        self._log_folder = log_folder
        self._log = PredictionLog(log_folder, self._writer, files)
        self._clock = clock
        self._model = OnnxModel.of(bundle)
        self._connections: set[Connection] = set()
        self._health: Health = Unknown("the bundle's sample has not been answered yet")
        self._batcher: Batcher | None = None
        self._routes: dict[tuple[str, str], Callable[[Request, Reply], None]] = {
            ("POST", f"/v2/models/{endpoint}/infer"): self._infer_v2,
            ("POST", f"/predict/{endpoint}"): self._infer_plain,
            ("GET", f"/v2/models/{endpoint}"): self._metadata,
            ("GET", f"/v2/models/{endpoint}/ready"): self._ready,
            ("GET", "/v2/health/ready"): self._ready,
            ("GET", "/v2/health/live"): self._live,
            ("GET", "/v2"): self._server_metadata,
            ("GET", "/status"): self._status,
        }
        self._paths = sorted({path for _, path in self._routes})

    @property
    def identity(self) -> dict[str, str]:
        """What is served, and under which writer's name it logs."""
        return {"endpoint": self._endpoint, "bundle": self._bundle.id, "writer": self._writer}

    @property
    def described(self) -> str:
        """What is served, in a few words."""
        manifest = self._bundle.manifest
        return f"{manifest.name} {short(self._bundle.id)}, {len(manifest.features)} features"

    async def serve(self, started: Callable[[Listening], None]) -> Balance:
        """Serve until SIGTERM or SIGINT; returns the sum of rows. `started` is called once it is ready."""
        loop = asyncio.get_running_loop()
        listener = _listen(self._settings.host, self._settings.port)
        self._batcher = Batcher(
            self._model,
            self._bundle.id,
            self._log,
            PredictionIds(self._writer),
            self._clock,
            durable=self._settings.durability == "disk",
            most_rows=self._settings.max_batch,
        )
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        server = await loop.create_server(self._connection, sock=listener)
        self._health = self._golden()
        host, port = listener.getsockname()[:2]
        started(Listening(host, port))
        await stop.wait()
        server.close()
        await self._drain()
        return self._close()

    # --- routes ---

    def _handle(self, request: Request, reply: Reply) -> None:
        self._check_origin(request)
        handler = self._routes.get((request.method, request.path))
        if handler is not None:
            handler(request, reply)
            return
        if request.path in self._paths:
            raise WrongMethod(what=f"{request.method} is not for this path", where=request.path, mend="use " + self._methods(request.path))
        parts = request.path.strip("/").split("/")
        asked = (
            parts[2] if parts[:2] == ["v2", "models"] and len(parts) > 2 else parts[1] if parts[0] == "predict" and len(parts) > 1 else ""
        )
        if asked and asked != self._endpoint:
            raise NotHere(
                what=f"there is no endpoint {asked!r}{nearest(asked, [self._endpoint])}",
                where=request.path,
                mend=f"this server has {self._endpoint!r}",
            )
        raise NotHere(what="there is nothing here", where=request.path, mend="use one of " + ", ".join(self._paths))

    def _methods(self, path: str) -> str:
        return ", ".join(sorted(method for method, known in self._routes if known == path))

    def _infer_v2(self, request: Request, reply: Reply) -> None:
        asked = self._signature.v2(request.body)
        self._ask(asked, reply, lambda a: v2_answer(self._bundle, a.predictions, a.ids, asked.request_id))

    def _infer_plain(self, request: Request, reply: Reply) -> None:
        self._ask(self._signature.plain(request.body), reply, lambda a: plain_answer(self._bundle, a.predictions, a.ids))

    def _ask(self, asked: Asked, reply: Reply, render: Callable[[Answered], bytes]) -> None:
        assert self._batcher is not None

        def deliver(answer: Answered | NoriaError) -> None:
            if isinstance(answer, NoriaError):
                reply.fail(answer)
            else:
                reply.send(200, render(answer))

        self._batcher.ask(asked, deliver)

    def _metadata(self, request: Request, reply: Reply) -> None:  # noqa: ARG002
        reply.send(200, v2_metadata(self._bundle, self._endpoint))

    def _server_metadata(self, request: Request, reply: Reply) -> None:  # noqa: ARG002
        reply.send(200, msgspec.json.encode({"name": "noria", "version": version("noria"), "extensions": []}))

    def _live(self, request: Request, reply: Reply) -> None:  # noqa: ARG002
        reply.send(200, b'{"live":true}')

    def _ready(self, request: Request, reply: Reply) -> None:  # noqa: ARG002
        health = self.health
        if not isinstance(health, Healthy):
            raise NotReady(health.cause if isinstance(health, Unhealthy) else health.why)
        reply.send(200, b'{"ready":true}')

    def _status(self, request: Request, reply: Reply) -> None:  # noqa: ARG002
        reply.send(200, msgspec.json.encode(self._sums()))

    # --- health and sums ---

    @property
    def health(self) -> Health:
        if self._batcher is not None and self._batcher.failed is not None:
            return Unhealthy(str(self._batcher.failed))
        return self._health

    def _golden(self) -> Health:
        """Whether the model answers the bundle's sample as it did when it was sealed."""
        sample = sample_of(self._bundle, self._files)
        rows = msgspec.json.encode({"rows": [dict(zip(self._bundle.features, row, strict=True)) for row in sample["features"]]})
        answers = self._model.predict(self._signature.plain(rows).features)
        worst = float(np.max(np.abs(answers - np.array(sample["predictions"]))))
        if not worst <= GOLDEN_TOLERANCE:
            return Unhealthy(f"the bundle's sample is answered {worst:.2g} off what was sealed")
        return Healthy({"golden_rows": len(answers), "largest_difference": worst})

    def _sums(self) -> dict[str, Any]:
        assert self._batcher is not None
        counts = self._batcher.counts
        balance = self._balance()
        return {
            "endpoint": self._endpoint,
            "bundle": self._bundle.id,
            "writer": self._writer,
            "health": word(self.health),
            "requests": counts.requests,
            "rows_answered": counts.answered,
            "rows_logged": counts.logged,
            "rows_failed": counts.failed,
            "batches": counts.batches,
            "conserved": balance.holds,
        }

    def _balance(self) -> Balance:
        assert self._batcher is not None
        return Balance(f"serve {self._endpoint}", self._batcher.counts.answered, {"logged": self._batcher.counts.logged})

    # --- connections ---

    def _connection(self) -> Connection:
        return Connection(self._guarded, self._connections, self._settings.max_body_bytes)

    def _guarded(self, request: Request, reply: Reply) -> None:
        """A fault of ours answers 500 and is logged; it never takes the connection's other requests with it."""
        try:
            self._handle(request, reply)
        except NoriaError:
            raise
        except Exception as error:
            logger.exception("while answering %s %s", request.method, request.path)
            raise bug(error) from error

    def _check_origin(self, request: Request) -> None:
        """A page in a browser must not reach a server on loopback: not by rebinding a name, nor from another site."""
        host = request.headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0].strip("[]")
        if host and host not in LOOPBACK and host != self._settings.host:
            raise WrongHost(what=f"this server is not {host!r}", where="header Host", mend=f"ask for {self._settings.host}")
        origin = request.headers.get(b"origin", b"").decode("latin-1")
        if origin and origin.split("://", 1)[-1].rsplit(":", 1)[0].strip("[]") not in LOOPBACK:
            raise WrongHost(what=f"pages of {origin!r} may not ask here", where="header Origin", mend="ask from a server, not from a page")

    async def _drain(self) -> None:
        assert self._batcher is not None
        await self._batcher.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                while sum(not c.drain() for c in list(self._connections)):
                    await asyncio.sleep(0.01)

    def _close(self) -> Balance:
        self._log.sync()
        self._log.close()
        self._files.write(self._log_folder / self._writer / SUMS_FILE, msgspec.json.encode(self._sums()))
        return self._balance().checked()


def _listen(host: str, port: int) -> socket.socket:
    if host not in LOOPBACK:
        raise OpenToTheWorld(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise PortInUse(host, port) from error
    listener.setblocking(False)
    return listener


def run_server(server: Server, started: Callable[[Listening], None]) -> Balance:
    """Serve until told to stop, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(server.serve(started))
    balance: Balance = uvloop.run(server.serve(started))
    return balance
