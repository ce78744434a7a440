"""Answers in parts over HTTP: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), an event for each part.

Noria's own form has named events: `part`, then `answer` with what a plain answer holds, or `error`. The generate extension of the Open
Inference Protocol (https://github.com/kserve/open-inference-protocol, generate_rest.yaml) has unnamed ones, the last of which is `done`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from noria.core.errors import NoriaError
from noria.models.bundle import Bundle
from noria.serving.batching.batcher import Batcher
from noria.serving.batching.request_queue import RequestOptions
from noria.serving.batching.streamed import PartsResponder, StreamedAnswer
from noria.serving.process.in_time import in_time
from noria.serving.protocol.answers import error_answer, plain_answer
from noria.serving.protocol.generate import decoded, generated, require_texts
from noria.serving.protocol.openapi import EVENTS
from noria.serving.protocol.request import BadRequest, PredictRequest
from noria.serving.transport.body import Content
from noria.serving.transport.http1 import Answer
from noria.serving.transport.reply import Reply, Streamed

if TYPE_CHECKING:
    from noria.serving.process.plane import ServedEndpoint


class DoesNotStream(BadRequest):
    """A model that answers at once is asked for parts."""

    code = "NR-560"

    def __init__(self, endpoint: str) -> None:
        super().__init__(
            what=f"the model of endpoint {endpoint!r} does not stream",
            where="the request asks for an answer in parts",
            fix="leave out `stream` and `Accept: text/event-stream`; POST /predict/<endpoint>/stream streams the predictions of many rows",
        )


def wants_events(accept: str) -> bool:
    """Whether a request's `Accept` leaves no other form than events."""
    kinds = [kind.split(";")[0].strip().lower() for kind in accept.split(",")]
    return EVENTS in kinds and not {"application/json", "*/*", "application/*"} & set(kinds)


def plain_or_parts(served: ServedEndpoint, terms: RequestOptions, events: bool) -> Answer:
    """What answers plain JSON to a model that streams: in parts where that is wanted, otherwise as a whole."""

    def answer(body: Content, reply: Reply) -> None:
        batcher = served.batcher
        asked, stream = batcher.decoder.plain_or_parts(body)
        if stream or (stream is None and events):
            ask_for_parts(batcher, asked, PlainEvents(reply), terms)
        else:
            batcher.require_room(terms.priority)
            batcher.ask(asked, in_time(reply, terms), terms)

    return answer


def ask_for_parts(batcher: Batcher, asked: PredictRequest, client: PartsResponder, terms: RequestOptions) -> None:
    """Raises `BadRequest` for more than one row."""
    if asked.count != 1:
        raise BadRequest(
            what=f"{asked.count} rows can't be answered in parts", where="rows", fix="send one row, or leave out `stream` for whole answers"
        )
    batcher.stream(asked, client, terms)


def generate(served: ServedEndpoint, terms: RequestOptions) -> Answer:
    """The extension's `generate`: a text for a text. Raises `NoText`."""
    require_texts(served.target.endpoint, served.batcher.decoder.signature)

    def answer(body: Content, reply: Reply) -> None:
        served.batcher.require_room(terms.priority)
        served.batcher.ask(decoded(body, served.batcher.decoder.fields), in_time(_WholeText(reply), terms), terms)

    return answer


def generate_stream(served: ServedEndpoint, terms: RequestOptions) -> Answer:
    """The extension's `generate_stream`. Raises `DoesNotStream` or `NoText`."""
    require_texts(served.target.endpoint, served.batcher.decoder.signature)
    require_streams(served)

    def answer(body: Content, reply: Reply) -> None:
        ask_for_parts(served.batcher, decoded(body, served.batcher.decoder.fields), GeneratedEvents(reply), terms)

    return answer


def require_streams(served: ServedEndpoint) -> None:
    """Raises `DoesNotStream`."""
    if served.batcher.route.champion.streaming is None:
        raise DoesNotStream(served.target.endpoint)


class _WholeText:
    """Gets a text as the extension's answer."""

    def __init__(self, reply: Reply) -> None:
        self._reply, self.fail, self.gone = reply, reply.fail, reply.gone

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        self._reply.send(200, msgspec.json.encode(generated(bundle, predictions[0], prediction_id=ids[0], fallback=fallback)))


class PlainEvents:
    """Gets parts as events. The answer's head leaves with the first of them: what fails before gets the status of its error."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._events: Streamed | None = None
        self._stream: StreamedAnswer | None = None

    def attach(self, stream: StreamedAnswer) -> None:
        self._stream, self._reply.on_gone = stream, stream.leave

    def _send(self, data: bytes) -> Streamed:
        if self._events is None:
            self._events = self._reply.stream(EVENTS)
            if self._stream is not None:
                self._events.on_gone, self._events.on_room = self._stream.leave, self._stream.resume
        self._events.part(data)
        return self._events

    def _end(self, data: bytes) -> None:
        self._send(data).end()

    def part(self, bundle: Bundle, text: str) -> None:
        if self._send(self._part_event(bundle, text)).full and self._stream is not None:
            self._stream.pause()

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        assert self._stream is not None
        self._end(self._last_event(bundle, predictions, ids, fallback, self._stream.usage))

    def cut(self, error: NoriaError, prediction_id: str | None) -> None:
        self._reply.failed(error)
        self._end(self._error_event(error, prediction_id))

    def fail(self, error: NoriaError) -> None:
        if self._events is None:
            self._reply.fail(error)
        else:
            self.cut(error, None)

    def gone(self) -> bool:
        return self._reply.gone()

    # --- the form of its events ---

    def _part_event(self, _bundle: Bundle, text: str) -> bytes:
        return event("part", msgspec.json.encode({"text": text}))

    def _last_event(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None, usage: dict[str, Any]) -> bytes:
        return event("answer", plain_answer(bundle, predictions, ids, fallback, usage))

    def _error_event(self, error: NoriaError, prediction_id: str | None) -> bytes:
        return event("error", error_answer(error, prediction_id))


class GeneratedEvents(PlainEvents):
    """Gets parts as the extension's answers."""

    def _part_event(self, bundle: Bundle, text: str) -> bytes:
        return event(None, msgspec.json.encode(generated(bundle, text, done=False)))

    def _last_event(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None, usage: dict[str, Any]) -> bytes:
        rest = "" if usage["parts"] else predictions[0]  # a fallback's answer has no parts
        return event(None, msgspec.json.encode(generated(bundle, rest, done=True, prediction_id=ids[0], fallback=fallback, usage=usage)))

    def _error_event(self, error: NoriaError, prediction_id: str | None) -> bytes:
        return event(None, error_answer(error, prediction_id))


def event(name: str | None, data: bytes) -> bytes:
    """One event; its data has no line ends, being JSON."""
    return b"data: %b\n\n" % data if name is None else b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def streamed_rows(served: ServedEndpoint, terms: RequestOptions, many: Answer) -> Answer:
    """What answers `/predict/<endpoint>/stream` of a model that streams: one row in parts, several as `many` does."""

    def answer(body: Content, reply: Reply) -> None:
        asked = served.batcher.decoder.plain(body)
        if asked.count == 1:
            ask_for_parts(served.batcher, asked, PlainEvents(reply), terms)
        else:
            many(body, reply)

    return answer
