"""Answers in parts over gRPC: `ModelStreamInfer`, as Triton and its clients have it
(https://github.com/triton-inference-server/common/blob/main/protobuf/grpc_service.proto). Requests come on one stream, each answered as
soon as it can be; the answers of several may alternate, and carry their requests' ids.

A model that streams gives a message for each part, and a last one with the parameter `triton_final_response` and the prediction's id. Any
other model gives one message, which is the last. An error is that of one request: the stream goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noria.core.errors import NoriaError
from noria.models.bundle import Bundle
from noria.serving.protocol.answers import NotATensor, values_of
from noria.serving.protocol.datatypes import ID
from noria.serving.protocol.grpc_answers import error_message, stream_answer
from noria.serving.protocol.request import PredictRequest

if TYPE_CHECKING:
    from noria.serving.batching.streamed import StreamedAnswer
    from noria.serving.process.grpc import Call


class StreamedCall:
    """A call of `ModelStreamInfer`: the requests on it that are under way."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._clients: set[InferClient] = set()
        call.on_gone, call.on_room = self._gone, self._room

    def begin(self, client: InferClient) -> None:
        self._clients.add(client)
        self.call.watching = True  # the client may have sent all that it asks, and waits

    def send(self, message: bytes) -> bool:
        """Send one message; whether there is room for more."""
        self.call.send(message)
        return not self.call.full

    def done(self, client: InferClient) -> None:
        """A request has its last message. The call ends with the last of all, once its client has sent all."""
        self._clients.discard(client)
        if not self._clients:
            self.call.watching = False
            if self.call.half_closed:
                self.call.end()

    def finish(self) -> None:
        """The server is stopping: no more requests are expected."""
        self.call.half_closed = True
        if not self._clients:
            self.call.end()

    def _gone(self) -> None:
        for client in list(self._clients):
            client.leave()

    def _room(self) -> None:
        for client in list(self._clients):
            client.resume()


class InferClient:
    """Gets the answer to one request of several on a stream: its parts, where the model makes parts, and the last message."""

    def __init__(self, on: StreamedCall, name: str, asked: PredictRequest, *, typed: bool) -> None:
        self._on, self._name, self._asked, self._typed = on, name, asked, typed
        self._stream: StreamedAnswer | None = None
        self._parts = 0
        on.begin(self)

    def attach(self, stream: StreamedAnswer) -> None:
        self._stream = stream

    def leave(self) -> None:
        if self._stream is not None:
            self._stream.leave()

    def resume(self) -> None:
        if self._stream is not None:
            self._stream.resume()

    def part(self, bundle: Bundle, text: str) -> None:
        self._parts += 1
        output = bundle.signature.outputs[0].name
        room = self._on.send(stream_answer(self._name, bundle, self._asked, {output: [text]}, typed=self._typed))
        if not room and self._stream is not None:
            self._stream.pause()

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        sent = bundle.signature.outputs[0].name if self._parts else None  # clients append what comes
        wanted = dict.fromkeys([*(name for name in self._asked.wanted if name != sent), ID])
        values = {name: values_of(bundle.signature, name, predictions, ids) for name in wanted}
        try:
            message = stream_answer(self._name, bundle, self._asked, values, typed=self._typed, fallback=fallback, last=True)
        except NotATensor as error:
            self.fail(error)
            return
        self._on.send(message)
        self._on.done(self)

    def cut(self, error: NoriaError, prediction_id: str | None) -> None:  # noqa: ARG002 - the message has no room for it
        self.fail(error)

    def fail(self, error: NoriaError) -> None:
        self._on.call.count(error)
        self._on.send(error_message(error, self._asked.request_id))
        self._on.done(self)

    def gone(self) -> bool:
        return self._on.call.gone()
