"""The frontend of one worker: connections, protocols and keys before a data plane.

It composes what the worker serves by: the REST routes, the gRPC services once a client comes, the access by keys and tokens, the capture
of requests. The data plane knows none of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from noria.core.clock import Clock
from noria.core.errors import NoriaError
from noria.core.files import Files
from noria.core.settings import ServingSettings
from noria.serving.access.keys import Access, Key, Tally, Tokens
from noria.serving.batching.streamed import ServerStopping
from noria.serving.observe.capture import FOLDER, Capture, CaptureAndRedact
from noria.serving.process.opening import Target
from noria.serving.process.plane import DataPlane
from noria.serving.process.rest import Rest
from noria.serving.transport.budget import ByteBudget
from noria.serving.transport.http1 import Connection, KnownHeads
from noria.serving.transport.http2 import Http2Connection
from noria.serving.transport.reply import AnswerHeads

if TYPE_CHECKING:
    from noria.serving.process.grpc import GrpcServices

DRAIN_SECONDS = 5.0
GRACE_SECONDS = 0.5


class Frontend:
    """Brings the requests of REST and gRPC clients to a data plane. Lives on the plane's event loop.

    open_grpc: makes the gRPC services, called when the first such client connects: protobuf's descriptors take a worker some time to load
    """

    def __init__(
        self,
        plane: DataPlane,
        settings: ServingSettings,
        clock: Clock,
        files: Files,
        open_grpc: Callable[[DataPlane, int, Callable[[NoriaError], None], ByteBudget], GrpcServices],
    ) -> None:
        self._plane, self._settings, self._clock, self._files, self._open_grpc = plane, settings, clock, files, open_grpc
        self._loop = asyncio.get_running_loop()
        self._budget = ByteBudget(settings.max_waiting_bytes)
        self._known, self._heads = KnownHeads(), AnswerHeads(clock)
        self._connections: set[Connection | Http2Connection] = set()
        self._rest = Rest(plane, settings, self.state)
        self._grpc: GrpcServices | None = None
        self._access, self._tally = Access([], self._loop.time), Tally(clock)
        self._errors: Counter[str] = Counter()
        plane.on_change(self._known.forget)

    def connection(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(
            self._rest.resolve,
            self._known,
            self._connections,
            self._settings.max_body_bytes,
            self._failed,
            self._heads,
            self._budget,
        )

    def grpc_connection(self) -> Http2Connection:
        """The protocol of a new connection of gRPC clients."""
        if self._grpc is None:
            self._grpc = self._open_grpc(self._plane, self._settings.max_body_bytes, self._failed, self._budget)
            self._grpc.access = self._access
        return Http2Connection(self._grpc.resolve, self._connections)

    def _failed(self, error: NoriaError) -> None:
        self._errors[error.code] += 1

    def admit(self, keys: Sequence[Key], *, guarded: bool, tokens: Tokens | None = None, exhausted: Sequence[str] = ()) -> None:
        """Answer those who have one of these keys or a token, from now on; everyone if there are none and never were."""
        self._access = self._rest.access = Access(
            keys,
            self._loop.time,
            guarded=guarded,
            share=1 / self._settings.workers,
            tokens=tokens,
            tally=self._tally,
            exhausted=exhausted,
        )
        if self._grpc is not None:
            self._grpc.access = self._access
        self._known.forget()

    async def serve(self, target: Target) -> None:
        """Serve what an endpoint should: see `DataPlane.serve`. Captured requests lie beside the first endpoint's log."""
        await self._plane.serve(target)
        share = self._settings.capture_share
        if share and self._rest.capture is None:
            if self._settings.redact:
                raise CaptureAndRedact
            self._rest.capture = Capture(target.log / FOLDER, self._plane.writer, share, self._clock, self._files)

    async def probe(self) -> None:
        """Close connections that have been idle for too long, look whether each endpoint would answer, and tell gRPC's health watchers."""
        now = self._loop.time()
        for connection in list(self._connections):
            connection.sweep(now, self._settings.request_seconds, self._settings.idle_seconds)
        await self._plane.probe()
        if self._grpc is not None:
            self._grpc.tell()

    def tick(self) -> None:
        """Look at the clock, for the dates of answers: called several times a second."""
        self._heads.tick()

    def state(self) -> dict[str, Any]:
        """What this process does, as plain data."""
        own = {
            "connections": len(self._connections),
            "body_bytes": self._budget.held,
            "errors": dict(self._errors),
            "spent": self._tally.to_dict(),
        }
        return {**self._plane.state(), **own}

    async def drain(self) -> None:
        """Answer what was asked, then close the connections, the logs and the sums."""
        self._plane.draining = True
        if self._grpc is not None:
            self._grpc.stop()
        await self._drained_within(DRAIN_SECONDS)
        self._plane.stop_streams(ServerStopping())
        await self._drained_within(GRACE_SECONDS)
        if self._rest.capture is not None:
            self._rest.capture.close()
        await self._plane.close()

    async def _drained_within(self, seconds: float) -> None:
        last = self._loop.time() + GRACE_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._drained(idle=self._loop.time() > last):
                    await asyncio.sleep(0.005)

    def _drained(self, *, idle: bool) -> bool:
        """Whether all is answered and every connection closed. Until they count as `idle`, clients may still send what they were
        about to send when the end began: it is answered, and the answer says that it is the connection's last.
        """
        left = sum(not connection.drain(idle=idle) for connection in list(self._connections))
        return not left and self._plane.idle
