"""gRPC on `noria.serving.transport.http2` (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): the Open Inference Protocol's
service, health checking and reflection. Requests go through the same signatures, batches and log as those over REST.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakSet

import msgspec
import numpy as np
from google.protobuf.message import DecodeError

from noria.core.clock import Stopwatch
from noria.core.errors import NoriaError
from noria.core.health import Healthy
from noria.core.signature import Field
from noria.models.bundle import Bundle
from noria.serving.access.keys import Access, Role, secret_of
from noria.serving.batching.batcher import Batcher
from noria.serving.batching.request_queue import ORDINARY, RequestOptions, TooLate, priority_of
from noria.serving.process.grpc_streams import InferClient, StreamedCall
from noria.serving.protocol.answers import NotATensor, raw_values, values_of
from noria.serving.protocol.datatypes import BYTES, NUMBERS, outputs, tensors
from noria.serving.protocol.grpc_answers import CONTENTS, error_message, raw_answer, typed_answer
from noria.serving.protocol.messages import (
    FILES,
    HEALTH_SERVICE,
    INFERENCE_METHODS,
    INFERENCE_SERVICE,
    REFLECTION_SERVICES,
    SERVICES,
    STREAM_INFER,
    health,
    inference,
    reflection,
)
from noria.serving.protocol.raw_contents import split
from noria.serving.protocol.request import BadRequest, PredictRequest
from noria.serving.protocol.tensors import Tensor
from noria.serving.transport.body import Content, Large, TooLarge
from noria.serving.transport.budget import UNCOUNTED, ByteBudget
from noria.serving.transport.http1 import bug
from noria.serving.transport.http2 import Header, Stream, literal

logger = logging.getLogger("noria.serving")

if TYPE_CHECKING:
    from noria.serving.process.plane import DataPlane

UNIMPLEMENTED, INTERNAL = 12, 13
STATUS = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 9, 413: 8, 429: 8, 500: 13, 503: 14, 504: 4}
ROLES = {
    "ServerLive": None,
    "ServerReady": None,
    "ModelReady": None,
    "ServerMetadata": None,
    "Check": None,
    "Watch": None,
    "ModelMetadata": Role.READ,
    "ServerReflectionInfo": Role.READ,
    "ModelInfer": Role.PREDICT,
    STREAM_INFER: Role.PREDICT,
}
HEAD = b"\x88" + b"\x0f\x10\x10application/grpc"  # :status 200 by its index; content-type by its name's index
TAIL_OK = literal(b"grpc-status", b"0")
PREFIX = 5  # compressed or not (1), length (4)
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
NOT_FOUND = 5


class NotOfGrpc(BadRequest):
    """A call that is not what gRPC or this service understands."""

    code = "NR-526"


Handle = Callable[["Call", Content], None]
Failed = Callable[[NoriaError], None]


class Call:
    """One call: collects the messages of its request and sends the answer. `handle` gets each message, or the only one."""

    __slots__ = (
        "_body", "_budget", "_failed", "_handle", "_large", "_limit", "_started", "_stream", "_streaming", "_watch",
        "half_closed", "on_gone", "on_room", "open", "streamed", "terms", "watching",
    )  # fmt: skip

    def __init__(
        self, stream: Stream, handle: Handle, limit: int, terms: RequestOptions, failed: Failed, budget: ByteBudget, *, streaming: bool
    ) -> None:
        self._stream, self._handle, self._limit, self._streaming, self._failed = stream, handle, limit, streaming, failed
        self.terms, self._watch = terms, None if terms.timeout_seconds is None else Stopwatch()
        self._budget = budget
        self._body = b""
        self._large: Large | None = None  # the only message, where it is large: its prefix lies in `_body`
        self._started = False
        self.watching = False  # it goes on after its client has sent all
        self.half_closed = False
        self.open = True
        self.streamed: StreamedCall | None = None
        self.on_gone: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None

    # --- the request ---

    def received(self, data: Content, *, end: bool) -> None:
        if not self.open:
            return
        try:
            if self._streaming:
                self._take_messages(bytes(data), end=end)
                return
            if self._large is None:
                data = self._begin(data)
            if self._large is not None and self._large.feed(data):
                raise _not_one_message()
            if end:
                self._handle(self, self._only_message())
        except NoriaError as error:
            self.fail(error)
        except Exception as error:  # a fault of ours answers INTERNAL; it never takes the connection's other calls with it
            logger.exception("error while answering a call")
            self.fail(bug(error))

    def _begin(self, data: Content) -> Content:
        """Take the beginning of the only message; of a large one, what belongs to its content is returned, and room for all of it is taken.

        Raises `TooLarge` or `TooManyBytes` before any of it is kept.
        """
        body = self._body + data if self._body else data
        size = int.from_bytes(body[1:PREFIX], "big") if len(body) >= PREFIX else 0
        if size > self._limit:
            raise TooLarge(self._limit)
        if len(body) - PREFIX > size:
            raise _not_one_message()
        if size <= UNCOUNTED:
            self._body = bytes(body)
            return b""
        self._large, self._body = Large(size, self._budget), bytes(body[:PREFIX])
        return body[PREFIX:]

    def _take_messages(self, data: bytes, *, end: bool) -> None:
        self._body = self._body + data if self._body else data
        if len(self._body) > self._limit + PREFIX:
            raise TooLarge(self._limit)
        for message in self._messages():
            self._handle(self, message)
        self.half_closed = end
        if end and not self.watching:
            self.end()

    def cancelled(self) -> None:
        self.open = False
        if self.on_gone is not None:
            self.on_gone()

    def room(self) -> None:
        """What was to be sent has left."""
        if self.on_room is not None:
            self.on_room()

    @property
    def full(self) -> bool:
        """Whether its client is behind: what is sent now waits here."""
        return self._stream.full

    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return not self.open

    def _only_message(self) -> Content:
        body = self._body
        if self._large is not None:
            if not self._large.complete:
                raise _not_one_message()
            _require_plain(body[0])
            whole, self._large = self._large.whole(), None
            return whole
        if len(body) < PREFIX or int.from_bytes(body[1:PREFIX], "big") != len(body) - PREFIX:
            raise _not_one_message()
        _require_plain(body[0])
        return body[PREFIX:]

    def _messages(self) -> Iterator[bytes]:
        while len(self._body) >= PREFIX:
            _require_plain(self._body[0])
            end = PREFIX + int.from_bytes(self._body[1:PREFIX], "big")
            if len(self._body) < end:
                return
            message, self._body = self._body[PREFIX:end], self._body[end:]
            yield message

    # --- the answer ---

    def reply(self, message: bytes) -> None:
        """Answer with the only message there is."""
        if not self.open:
            return
        timeout = self.terms.timeout_seconds
        if self._watch is not None and timeout is not None and self._watch.seconds > timeout:
            self.fail(TooLate())
            return
        self.open = False
        self._stream.answer(HEAD, _prefixed(message), TAIL_OK)

    def send(self, message: bytes) -> None:
        """One message of several."""
        if not self.open:
            return
        if not self._started:
            self._started = True
            self._stream.begin(HEAD)
        self._stream.send(_prefixed(message))

    def end(self) -> None:
        """No more messages."""
        if self.open:
            self.open = False
            self._stream.finish(TAIL_OK if self._started else HEAD + TAIL_OK)

    def count(self, error: NoriaError) -> None:
        """Count an error that its client is told of in a message."""
        self._failed(error)

    def fail(self, error: NoriaError) -> None:
        if not self.open:
            return
        self.open = False
        self._failed(error)
        if self.on_gone is not None:
            self.on_gone()
        status = STATUS.get(error.http_status, INTERNAL)
        self._finish(status, f"{error.what} ({error.where}); {error.fix} [{error.code}]")

    def unimplemented(self, what: str) -> None:
        if self.open:
            self.open = False
            self._finish(UNIMPLEMENTED, what)

    def _finish(self, status: int, text: str) -> None:
        message = quote(text[:1000], safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~").encode()
        tail = literal(b"grpc-status", str(status).encode()) + literal(b"grpc-message", message)
        self._stream.finish(tail if self._started else HEAD + tail)


Factory = Callable[[Stream], Call]


class GrpcServices:
    """The services of a data plane."""

    def __init__(self, plane: DataPlane, most_message: int, failed: Failed, budget: ByteBudget) -> None:
        self._plane, self._limit, self._failed, self._budget = plane, most_message, failed, budget
        self.access = Access([], lambda: 0.0)
        self._watchers: dict[Call, tuple[str, int]] = {}
        self._streamed: WeakSet[StreamedCall] = WeakSet()
        self._methods: dict[str, tuple[Handle, bool]] = {
            f"/{INFERENCE_SERVICE}/{name}": (getattr(self, f"_{_snake(name)}"), False) for name in INFERENCE_METHODS
        }
        self._methods[f"/{INFERENCE_SERVICE}/{STREAM_INFER}"] = (self._model_stream_infer, True)
        self._methods[f"/{HEALTH_SERVICE}/Check"] = (self._check, False)
        self._methods[f"/{HEALTH_SERVICE}/Watch"] = (self._watch, True)
        for service in REFLECTION_SERVICES:
            self._methods[f"/{service}/ServerReflectionInfo"] = (_Reflection(service), True)

    def resolve(self, headers: Sequence[Header]) -> Factory:
        """What takes a stream with these headers; told once for all streams whose headers are the same."""
        found = dict(headers)
        path = found.get(b":path", b"").decode("latin-1")
        refusal = _refusal(found)
        timeout = _timeout(found.get(b"grpc-timeout", b"").decode("latin-1"))
        method = self._methods.get(path)
        if refusal is not None or method is None or timeout is _BAD:
            text = refusal or (f"there is no method {path!r}" if method is None else "grpc-timeout is not valid")
            return lambda stream: _refused(stream, text, self._limit, self._failed, self._budget)
        priority, parent = (found.get(name, b"").decode("latin-1") for name in (b"x-noria-priority", b"traceparent"))
        terms = RequestOptions(priority_of(priority), timeout, parent)
        handle, streaming = method
        secret = secret_of(found.get(b"authorization", b"").decode("latin-1"), found.get(b"x-api-key", b"").decode("latin-1"))
        role = ROLES[path.rpartition("/")[2]]

        def begin(stream: Stream) -> Call:
            call = Call(stream, handle, self._limit, terms, self._failed, self._budget, streaming=streaming)
            try:  # asked of every call: blocks of headers are known for as long as the connection lives, keys are not
                key = self.access.require(secret, role)
                self.access.spend(key)
                if key is not None and (key.labels or key.tenant):
                    call.terms = replace(terms, labels=key.labels, tenant=key.tenant)
            except NoriaError as error:
                call.fail(error)
            return call

        return begin

    def tell(self) -> None:
        """Tell those who watch a health that has changed. Called after each probe."""
        for call, (service, told) in list(self._watchers.items()):
            if not call.open:
                del self._watchers[call]
            elif (now := self._status(service)) != told:
                self._watchers[call] = service, now
                call.send(health["HealthCheckResponse"](status=now).SerializeToString())

    def stop(self) -> None:
        """End the calls that would go on for ever."""
        for call in self._watchers:
            call.end()
        for streamed in list(self._streamed):
            streamed.finish()

    # --- inference ---

    def _model_infer(self, call: Call, message: Content) -> None:
        raw: Sequence[bytes | memoryview] = ()
        if isinstance(message, memoryview):
            message, raw = split(message)
        request = _parsed(_InferRequest, message)
        raw = raw or request.raw_input_contents
        batcher, asked = self._asked(request, raw)
        batcher.ask(asked, _InferClient(call, request.model_name, asked, typed=not raw), call.terms)

    def _model_stream_infer(self, call: Call, message: Content) -> None:
        request = _parsed(_InferRequest, message)
        call.streamed = on = call.streamed or StreamedCall(call)
        self._streamed.add(on)
        try:
            batcher, asked = self._asked(request, request.raw_input_contents)
            client = InferClient(on, request.model_name, asked, typed=not request.raw_input_contents)
        except NoriaError as error:
            self._failed(error)
            on.send(error_message(error, request.id or None))
            return
        try:
            if batcher.route.champion.streaming is not None and asked.count == 1:
                batcher.stream(asked, client, call.terms)
            else:
                batcher.ask(asked, client, call.terms)
        except NoriaError as error:
            client.fail(error)

    def _asked(self, request: Any, raw: Sequence[bytes | memoryview]) -> tuple[Batcher, PredictRequest]:
        """What a request asks, and of whom. Raises `NoriaError`."""
        if self._plane.unloaded(request.model_name):
            self._plane.load(request.model_name, lambda _: None)
        served = self._plane.find(request.model_name, request.model_version or None)
        if raw and len(raw) != len(request.inputs):
            what = f"{len(raw)} raw contents for {len(request.inputs)} inputs"
            raise NotOfGrpc(what=what, where="raw_input_contents", fix="send one for each input")
        inputs = [_tensor(tensor, raw[i] if raw else None) for i, tensor in enumerate(request.inputs)]
        decoder = served.batcher.decoder
        asked = decoder.tensors(inputs, _keys(request), request.id or None, _wanted(request, decoder.outputs))
        return served.batcher, asked

    def _server_live(self, call: Call, message: Content) -> None:
        _parsed(inference["ServerLiveRequest"], message)
        call.reply(inference["ServerLiveResponse"](live=True).SerializeToString())

    def _server_ready(self, call: Call, message: Content) -> None:
        _parsed(inference["ServerReadyRequest"], message)
        call.reply(inference["ServerReadyResponse"](ready=isinstance(self._plane.health, Healthy)).SerializeToString())

    def _model_ready(self, call: Call, message: Content) -> None:
        request = _parsed(inference["ModelReadyRequest"], message)
        served = self._plane.find(request.name, request.version or None)
        call.reply(inference["ModelReadyResponse"](ready=isinstance(served.health, Healthy)).SerializeToString())

    def _server_metadata(self, call: Call, message: Content) -> None:
        _parsed(inference["ServerMetadataRequest"], message)
        call.reply(inference["ServerMetadataResponse"](name="noria", version=version("noria")).SerializeToString())

    def _model_metadata(self, call: Call, message: Content) -> None:
        request = _parsed(inference["ModelMetadataRequest"], message)
        bundle = self._plane.find(request.name, request.version or None).batcher.route.champion.bundle
        answer = inference["ModelMetadataResponse"](name=request.name, versions=[bundle.id], platform=bundle.manifest.runtime)
        for each in tensors(bundle.signature.inputs):
            answer.inputs.add(**each)
        for each in tensors(outputs(bundle.signature).fields.values()):
            answer.outputs.add(**each)
        call.reply(answer.SerializeToString())

    # --- health ---

    def _check(self, call: Call, message: Content) -> None:
        service = _parsed(health["HealthCheckRequest"], message).service
        status = self._status(service)
        if status == SERVICE_UNKNOWN:
            raise UnknownService(service)
        call.reply(health["HealthCheckResponse"](status=status).SerializeToString())

    def _watch(self, call: Call, message: Content) -> None:
        service = _parsed(health["HealthCheckRequest"], message).service
        call.watching = True
        self._watchers[call] = service, self._status(service)
        call.send(health["HealthCheckResponse"](status=self._status(service)).SerializeToString())

    def _status(self, service: str) -> int:
        if service not in ("", *SERVICES):
            return SERVICE_UNKNOWN
        return SERVING if isinstance(self._plane.health, Healthy) else NOT_SERVING


class _InferClient:
    """Gets the answer to an inference as the service's message."""

    __slots__ = ("_asked", "_call", "_name", "_typed", "fail", "gone")

    def __init__(self, call: Call, name: str, asked: PredictRequest, *, typed: bool) -> None:
        self._call, self._name, self._asked, self._typed = call, name, asked, typed
        self.fail, self.gone = call.fail, call.gone

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        values = {name: values_of(bundle.signature, name, predictions, ids) for name in self._asked.wanted}
        answer = typed_answer if self._typed else raw_answer
        try:
            message = answer(self._name, bundle, self._asked, values, fallback)
        except NotATensor as error:
            self.fail(error)
            return
        self._call.reply(message)


class _Reflection:
    """Answers what the server's services and messages are."""

    def __init__(self, service: str) -> None:
        self._messages = reflection[service]

    def __call__(self, call: Call, message: Content) -> None:
        request = _parsed(self._messages["ServerReflectionRequest"], message)
        answer = self._messages["ServerReflectionResponse"](valid_host=request.host, original_request=request)
        asked = request.WhichOneof("choice")
        file = None
        if asked == "list_services":
            for service in SERVICES:
                answer.list_services_response.service.add(name=service)
        elif asked == "file_by_filename":
            file = FILES.get(request.file_by_filename)
        elif asked == "file_containing_symbol":
            file = FILES.get(_file_of(request.file_containing_symbol))
        if file is not None:
            answer.file_descriptor_response.file_descriptor_proto.append(file)
        elif asked != "list_services":
            answer.error_response.error_code = NOT_FOUND
            answer.error_response.error_message = "no file or symbol has that name"
        call.send(answer.SerializeToString())


class UnknownService(NotOfGrpc):
    """Health was asked for a service that is not here."""

    code = "NR-527"
    http_status = 404

    def __init__(self, service: str) -> None:
        super().__init__(what=f"there is no service {service!r}", where="grpc.health.v1.Health", fix="ask for " + ", ".join(SERVICES))


_BAD = float("nan")
_InferRequest = inference["ModelInferRequest"]


def _file_of(symbol: str) -> str:
    """The file that defines a service, a method of one, or a message."""
    return next((file for service, file in SERVICES.items() if symbol.startswith(service.rpartition(".")[0] + ".")), "")


def _refusal(headers: dict[bytes, bytes]) -> str | None:
    """Why these headers are not a call, if they aren't."""
    if headers.get(b":method") != b"POST":
        return "calls must be POST requests"
    if not headers.get(b"content-type", b"").startswith(b"application/grpc"):
        return "the content-type is not application/grpc"
    if headers.get(b"grpc-encoding", b"identity") != b"identity":
        return "compressed messages are not supported"
    return None


def _refused(stream: Stream, text: str, limit: int, failed: Failed, budget: ByteBudget) -> Call:
    call = Call(stream, lambda _call, _message: None, limit, ORDINARY, failed, budget, streaming=False)
    call.unimplemented(text)
    return call


def _timeout(text: str) -> float | None:
    """Seconds of a `grpc-timeout`; None if there is none, `_BAD` if it can't be read."""
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,8})([HMSmun])", text)
    return int(found[1]) * UNITS[found[2]] if found else _BAD


def _not_one_message() -> NotOfGrpc:
    return NotOfGrpc(
        what="the call does not contain exactly one message", where="the body", fix="send one message, of the length that its prefix says"
    )


def _require_plain(flag: int) -> None:
    if flag:
        raise NotOfGrpc(what="compressed messages are not supported", where="the message's flag", fix="send it uncompressed")


def _prefixed(message: bytes) -> bytes:
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _parsed(kind: Any, message: Content) -> Any:
    try:
        return kind.FromString(bytes(message))
    except DecodeError as error:
        raise NotOfGrpc(what="the message can't be parsed", where=str(error), fix="send the method's message type") from error


def _tensor(tensor: Any, raw: Content | None) -> Tensor:
    """An input, its values as bytes."""
    kind = tensor.datatype
    if raw is None:
        if kind not in CONTENTS:
            raise NotOfGrpc(what=f"input {tensor.name!r} has datatype {kind!r}", where="inputs", fix="send FP32 or FP64")
        values = getattr(tensor.contents, CONTENTS[kind])
        try:
            raw = raw_values(kind, values) if kind == BYTES else np.array(values, NUMBERS[kind]).tobytes()
        except OverflowError as error:
            what = f"input {tensor.name!r} holds a number outside the range of {kind}"
            raise NotOfGrpc(what=what, where="inputs", fix="send it as FP64") from error
    return Tensor(tensor.name, list(tensor.shape), kind, raw=memoryview(raw))


def _keys(request: Any) -> Any:
    """The keys of the rows: the parameter `keys`, a JSON list of texts."""
    if "keys" not in request.parameters:
        return None
    try:
        return msgspec.json.decode(request.parameters["keys"].string_param)
    except msgspec.DecodeError as error:
        raise NotOfGrpc(what="the keys can't be parsed", where=str(error), fix='send a JSON list, such as ["a", null]') from error


def _wanted(request: Any, known: Mapping[str, Field]) -> dict[str, bool]:
    if not request.outputs:
        return dict.fromkeys(known, True)
    names = [output.name for output in request.outputs]
    for name in names:
        if name not in known:
            raise NotOfGrpc(what=f"there is no output {name!r}", where="outputs", fix="ask for " + " or ".join(known))
    return dict.fromkeys(names, True)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()
