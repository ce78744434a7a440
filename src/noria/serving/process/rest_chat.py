"""Who gets a chat completion over HTTP: as a whole, or in parts as server-sent events, as OpenAI's clients read them."""

from __future__ import annotations

from typing import Any

from noria.core.errors import NoriaError
from noria.models.bundle import Bundle
from noria.serving.process.rest_streams import PlainEvents, event
from noria.serving.protocol.request import PredictRequest
from noria.serving.protocol.v1.chat import Answered, Chunks, completion
from noria.serving.protocol.v1.errors import openai_error
from noria.serving.transport.reply import Reply

MICROSECONDS = 1_000_000


class WholeChat:
    """Gets one answer, and sends it as a completion."""

    def __init__(self, reply: Reply, model: str, asked: PredictRequest) -> None:
        self._reply, self._model, self._asked, self.fail, self.gone = reply, model, asked, reply.fail, reply.gone

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        created = self._asked.stamp[0] // MICROSECONDS
        self._reply.send(200, completion(Answered(self._model, bundle, predictions[0], ids[0], created, fallback)))


class ChatEvents(PlainEvents):
    """Gets parts as the chunks of a completion; from a model that makes none, a whole answer as one."""

    def __init__(self, reply: Reply, model: str, asked: PredictRequest, *, with_usage: bool) -> None:
        super().__init__(reply)
        self._model, self._asked, self._with_usage = model, asked, with_usage
        self._made: Chunks | None = None

    @property
    def _created(self) -> int:
        return self._asked.stamp[0] // MICROSECONDS

    @property
    def _chunks(self) -> Chunks:
        if self._made is None:
            self._made = Chunks(self._model, self._created, with_usage=self._with_usage)
        return self._made

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        self._end(self._last_event(bundle, predictions, ids, fallback, {}))

    def _part_event(self, bundle: Bundle, text: str) -> bytes:
        assert self._asked.prediction_id is not None
        return event(None, self._chunks.part(bundle, self._asked.prediction_id, text))

    def _last_event(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None, usage: dict[str, Any]) -> bytes:  # noqa: ARG002
        told = Answered(self._model, bundle, predictions[0], ids[0], self._created, fallback)
        return b"".join(event(None, data) for data in self._chunks.last(told))

    def _error_event(self, error: NoriaError, prediction_id: str | None) -> bytes:
        return event(None, openai_error(error, prediction_id))
