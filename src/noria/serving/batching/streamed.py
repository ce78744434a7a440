"""One answer that is sent while it is made: from the request to the last part, the client's leaving, or its deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from noria.core.errors import NoriaError, OutsideWorld
from noria.data.rows import Rows
from noria.models.bundle import Bundle
from noria.models.runtimes.port import AnswerStream, ModelFailed
from noria.serving.batching.request_queue import TooLate
from noria.serving.observe.traces import Stage
from noria.serving.protocol.request import PredictRequest, Responder

if TYPE_CHECKING:
    from noria.serving.batching.batcher import Batcher
    from noria.serving.batching.route import Route

LOOK_SECONDS = 1.0  # between two looks whether who waits for a whole answer is still there


class ServerStopping(OutsideWorld):
    """The server was stopped while an answer was being made."""

    code = "NR-564"

    def __init__(self) -> None:
        super().__init__(what="the answer is incomplete", where="the server is stopping", fix="send the request again")


class PartsResponder(Responder, Protocol):
    """Who gets an answer in parts: some parts, then `answered` once the whole of it is logged, or `cut`.

    Where it fails before its first part, `fail` says so; a fallback's answer comes as a whole, without parts.
    """

    def attach(self, stream: StreamedAnswer) -> None:
        """What it can pause, and leave."""

    def part(self, bundle: Bundle, text: str) -> None: ...
    def cut(self, error: NoriaError, prediction_id: str | None) -> None:
        """There will be no more parts. prediction_id: of what was sent, where that is logged"""


class StreamedAnswer:
    """An answer under way. It reads the parts that a model makes, and ends once.

    client: gets the parts; None: whoever asked gets the whole, as from any other model
    """

    def __init__(self, batcher: Batcher, route: Route, asked: PredictRequest, row: Rows, client: PartsResponder | None) -> None:
        self.route, self.asked, self.row, self.client = route, asked, row, client
        self._batcher, self._texts, self._first, self._over = batcher, list[str](), 0.0, False
        self._stream: AnswerStream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looks: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Ask the champion, which streams."""
        streaming = self.route.champion.streaming
        assert streaming is not None
        if self.client is not None:
            self.client.attach(self)
        self._stream = streaming.stream(self.row, self)
        if self.asked.deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(self.asked.deadline, self.stop, TooLate())
        if self.client is None:
            self._look_for_client()

    def _look_for_client(self) -> None:
        """Who waits for a whole answer may leave before there is a part of it."""
        if self.asked.client.gone():
            self.leave()
        elif not self._over:
            self._looks = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_for_client)

    # --- what the model says ---

    def part(self, text: str) -> None:
        if not self._texts:
            self._first = self.asked.stamp[1].seconds
            self._batcher.first_part(self._first)
        self._texts.append(text)
        self._batcher.counts.parts += 1
        if self.client is not None:
            self.client.part(self.route.champion.bundle, text)
        elif self.asked.client.gone():
            self.leave()

    def ended(self, found: Rows | ModelFailed) -> None:
        self._end(found)

    # --- what the client, its deadline or the server says ---

    def pause(self) -> None:
        """The client is slow."""
        if self._stream is not None:
            self._stream.pause()

    def resume(self) -> None:
        if self._stream is not None:
            self._stream.resume()

    def leave(self) -> None:
        """The client is gone."""
        self._give_up(None)

    def stop(self, error: NoriaError) -> None:
        """It ends here, for a reason that the client is told."""
        self._give_up(error)

    def _give_up(self, error: NoriaError | None) -> None:
        if not self._over:
            if self._stream is not None:
                self._stream.cancel()
            self._end(error)

    def _end(self, found: Rows | NoriaError | None) -> None:
        if self._over:
            return
        self._over = True
        for timer in (self._timer, self._looks):
            if timer is not None:
                timer.cancel()
        self._batcher.stream_ended(self, found)

    def was_cut(self, error: NoriaError | None, prediction_id: str | None) -> None:
        """What was sent is logged: tell the client that there is no more, if there is one. error: why; None: it has gone"""
        if self.client is not None and error is not None:
            self.client.cut(error, prediction_id)

    # --- what there is of it ---

    @property
    def sent(self) -> str | None:
        """What the client was sent; None where that is nothing."""
        return "".join(self._texts) if self._texts and self.client is not None else None

    @property
    def usage(self) -> dict[str, Any]:
        """What it took."""
        seconds = self.asked.stamp[1].seconds
        texts = self._texts
        return {"parts": len(texts), "first_part_ms": round(1e3 * self._first, 3), "total_ms": round(1e3 * seconds, 3)}

    @property
    def stages(self) -> list[Stage]:
        """The stages of its trace."""
        return [("first part", 0.0, self._first), ("parts", self._first, self.asked.stamp[1].seconds)]
