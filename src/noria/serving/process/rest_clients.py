"""Clients over HTTP that want their answers in other forms than plain JSON: each gets an answer and sends it in its own."""

from __future__ import annotations

from typing import Any

from noria.core.errors import NoriaError
from noria.models.bundle import Bundle
from noria.serving.batching.batcher import Batcher
from noria.serving.batching.request_queue import RequestOptions
from noria.serving.process.rest_streams import event
from noria.serving.protocol.answers import NotATensor, error_answer, plain_answer, v2_answer
from noria.serving.protocol.arrow import STREAM, write_answer
from noria.serving.protocol.openapi import EVENTS
from noria.serving.protocol.request import PredictRequest
from noria.serving.transport.reply import Reply, Streamed

BINARY = "application/octet-stream"


class ArrowClient:
    def __init__(self, reply: Reply) -> None:
        self._reply, self.fail, self.gone = reply, reply.fail, reply.gone

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        several = len(bundle.signature.outputs) > 1
        self._reply.send(200, write_answer(bundle.manifest.name, bundle.id, predictions, ids, fallback, several=several), STREAM)


class V2Client:
    def __init__(self, reply: Reply, asked: PredictRequest) -> None:
        self._reply, self._asked, self.fail, self.gone = reply, asked, reply.fail, reply.gone

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        try:
            data, length = v2_answer(bundle, predictions, ids, self._asked, fallback)
        except NotATensor as error:
            self.fail(error)
            return
        if length is None:
            self._reply.send(200, data)
        else:
            self._reply.send(200, data, BINARY, f"inference-header-content-length: {length}\r\n")


class EventsClient:
    """Gets some rows at a time, each part as an event; the next part is asked for when the one before has left."""

    def __init__(self, batcher: Batcher, terms: RequestOptions, parts: list[PredictRequest], reply: Reply) -> None:
        self._batcher, self._terms, self._left, self._reply = batcher, terms, parts[::-1], reply
        self._stream: Streamed | None = None

    def ask(self) -> None:
        """Ask for the next part."""
        try:
            self._batcher.ask(self._left.pop(), self, self._terms)
        except NoriaError as error:
            self.fail(error)

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        if self._stream is None:
            self._stream = self._reply.stream(EVENTS)
        if self._stream.gone():
            return
        self._stream.part(event("predictions", plain_answer(bundle, predictions, ids, fallback)))
        if self._left:
            self.ask()
        else:
            self._stream.part(event("end", b"{}"))
            self._stream.end()

    def fail(self, error: NoriaError) -> None:
        if self._stream is None:
            self._reply.fail(error)
        else:
            self._stream.part(event("error", error_answer(error)))
            self._stream.end()

    def gone(self) -> bool:
        return (self._stream or self._reply).gone()
