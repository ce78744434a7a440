"""What answers which path, and who may ask. `ROUTES` is all there is: a path that is not in it does not exist.

POST /v2/models/<endpoint>[/versions/<bundle>]/infer   Open Inference Protocol v2
POST /predict/<endpoint>                               plain JSON or an Arrow stream, features sent by the caller
POST /predict/<endpoint>/stream                        plain JSON, answers as server-sent events
POST /predict/<endpoint>/entities                      plain JSON, features looked up in the online store
GET  /v2/models/<endpoint>[/versions/<bundle>][/ready] metadata, readiness
GET  /v2/health/live, /v2/health/ready, /v2
GET  /status                                           counts, and whether answered = logged
GET  /openapi.json, /docs                              what can be asked, for programs and people
GET  /ping, /; POST /invocations, /score               what SageMaker and Azure ML ask (`noria.serving.protocol.clouds`)
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from noria.core.clock import Stopwatch
from noria.core.errors import NoriaError, OutsideWorld
from noria.core.health import Health, Healthy, Unhealthy
from noria.core.settings import ServingSettings
from noria.serving.access.keys import Access, Role, secret_of
from noria.serving.batcher import Answered, Deliver
from noria.serving.line import ORDINARY, Terms, TooLate, priority_of
from noria.serving.lookup import NoLookup, StaleFeatures
from noria.serving.protocol.arrow import STREAM, read_rows, write_answer
from noria.serving.protocol.clouds import contract, read_instances
from noria.serving.protocol.openapi import EVENTS, document
from noria.serving.protocol.page import page
from noria.serving.protocol.signature import Asked, BadRequest, NotHere, error_answer, plain_answer, v2_answer, v2_metadata
from noria.serving.transport.http1 import JSON, Answer, Head, Reply, Streamed

if TYPE_CHECKING:
    from noria.serving.observe.capture import Capture
    from noria.serving.plane import DataPlane, Served

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
BINARY = "application/octet-stream"
EVENT_ROWS = 64  # that go into one event
MOST_TIMEOUT_SECONDS = 3600.0
PAGE_HEADERS = "content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\nx-content-type-options: nosniff\r\n"


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
    retry_after = 1

    def __init__(self, why: str) -> None:
        super().__init__(what="not ready", where=why, mend="try again in a moment; `noria status` says more")


@dataclass(frozen=True)
class Rule:
    """One route: `role` is who may ask (None: everyone), `make` what answers, from the head and the path's variable parts."""

    method: str
    path: str
    role: Role | None
    make: Callable[..., Answer]

    def matches(self, parts: list[str]) -> dict[str, str] | None:
        """The variable parts of a path, by name; None if the path is another."""
        own = self.path.strip("/").split("/")
        if len(own) != len(parts) or any(mine != part for mine, part in zip(own, parts, strict=True) if not mine.startswith("<")):
            return None
        return {mine.strip("<>"): part for mine, part in zip(own, parts, strict=True) if mine.startswith("<")}


class Rest:
    """The routes of a data plane."""

    def __init__(self, plane: DataPlane, settings: ServingSettings) -> None:
        self._plane, self._settings = plane, settings
        self.access = Access([], lambda: 0.0)
        self.capture: Capture | None = None
        self._platform = contract(settings.platform, os.environ)
        self._rules: tuple[Rule, ...] = ROUTES
        if self._platform is not None and self._platform.platform == "vertex":
            own = (
                Rule("GET", self._platform.health, None, Rest.platform_ready),
                Rule("POST", self._platform.predict, Role.PREDICT, Rest.instances),
            )
            self._rules = (*own, *ROUTES)

    def resolve(self, head: Head) -> Answer:
        """What answers a request, judged by its head alone. Raises why nothing does."""
        self._check_origin(head)
        parts = head.path.strip("/").split("/")
        found = {rule.method: (rule, variables) for rule in reversed(self._rules) if (variables := rule.matches(parts)) is not None}
        if not found:
            raise NotHere(what="there is nothing here", where=head.path, mend="use /predict/<endpoint>, /v2/models/<endpoint>/infer or /v2")
        if head.method not in found:
            raise WrongMethod(what=f"{head.method} is not for this path", where=head.path, mend="use " + ", ".join(sorted(found)))
        rule, variables = found[head.method]
        access = self.access
        key = access.require(secret_of(head.header(b"authorization"), head.header(b"x-api-key")), rule.role)
        if "endpoint" in variables and self._plane.asleep(variables["endpoint"]):
            answer = self._after_waking(variables["endpoint"], lambda: rule.make(self, head, **variables))
        else:
            answer = rule.make(self, head, **variables)
        if self.capture is not None and head.method == "POST":
            answer = self.capture.around(head, answer)
        if key is None or not key.rate:
            return answer

        def limited(body: bytes, reply: Reply) -> None:
            access.spend(key)
            answer(body, reply)

        return limited

    def _after_waking(self, endpoint: str, make: Callable[[], Answer]) -> Answer:
        """What answers once an endpoint is awake."""

        def answer(body: bytes, reply: Reply) -> None:
            def awake(error: NoriaError | None) -> None:
                try:
                    if error is not None:
                        raise error
                    make()(body, reply)
                except NoriaError as refusal:
                    reply.fail(refusal)

            self._plane.wake(endpoint, awake)

        return answer

    def plain(self, head: Head, endpoint: str) -> Answer:
        arrow = head.header(b"content-type").split(";")[0].strip().lower() == STREAM
        return partial(_arrow if arrow else _plain, self._plane.find(endpoint), _terms(head))

    def events(self, head: Head, endpoint: str) -> Answer:
        return partial(_events, self._plane.find(endpoint), _terms(head))

    def entities(self, head: Head, endpoint: str) -> Answer:
        return partial(_entities, self._plane.find(endpoint), self._settings, _terms(head))

    def v2(self, head: Head, endpoint: str, bundle: str | None = None) -> Answer:
        return partial(_v2, self._plane.find(endpoint, bundle), _json_length(head), _terms(head))

    def instances(self, head: Head) -> Answer:
        return partial(_instances, self._plane.find(self._only_endpoint()), head.header(b"content-type"), _terms(head))

    def platform_ready(self, head: Head) -> Answer:
        return self.ready(head)

    def _only_endpoint(self) -> str:
        names = self._plane.names
        if len(names) != 1:
            raise NotHere(
                what="a platform's container serves one endpoint", where=f"there are {len(names)}", mend="start `noria serve ENDPOINT`"
            )
        return names[0]

    def metadata(self, head: Head, endpoint: str, bundle: str | None = None) -> Answer:  # noqa: ARG002
        served = self._plane.find(endpoint, bundle)
        return _told(lambda: v2_metadata(served.batcher.route.champion.bundle, endpoint))

    def endpoint_ready(self, head: Head, endpoint: str, bundle: str | None = None) -> Answer:  # noqa: ARG002
        served = self._plane.find(endpoint, bundle)
        return _told(lambda: _ready(served.health))

    def ready(self, head: Head) -> Answer:  # noqa: ARG002
        return _told(lambda: _ready(self._plane.health))

    def live(self, head: Head) -> Answer:  # noqa: ARG002
        return _told(lambda: b'{"live":true}')

    def server_metadata(self, head: Head) -> Answer:  # noqa: ARG002
        about = {"name": "noria", "version": version("noria"), "extensions": ["binary_tensor_data"]}
        return _told(lambda: msgspec.json.encode(about))

    def openapi(self, head: Head) -> Answer:  # noqa: ARG002
        return _told(lambda: msgspec.json.encode(self._document()))

    def docs(self, head: Head) -> Answer:
        host = head.header(b"host") or f"{self._settings.host}:{self._settings.port}"
        scheme = "https" if self._settings.tls_certificate else "http"
        return lambda _, reply: reply.send(
            200, page(self._document(), f"{scheme}://{host}").encode(), "text/html; charset=utf-8", PAGE_HEADERS
        )

    def _document(self) -> dict[str, Any]:
        own = self._platform if len(self._rules) > len(ROUTES) else None
        paths = {own.health: "health", own.predict: "predict"} if own else {}
        return document(self._plane.signatures, version=version("noria"), keys=not self.access.open, platform=paths)

    def status(self, head: Head) -> Answer:  # noqa: ARG002
        return _told(lambda: msgspec.json.encode(self._plane.state()))

    def _check_origin(self, head: Head) -> None:
        """A page in a browser must not reach a server on loopback: not by rebinding a name, nor from another site."""
        host = head.header(b"host").rsplit(":", 1)[0].strip("[]")
        if host and host not in LOOPBACK and self.access.open and self._platform is None:
            raise WrongHost(what=f"this server is not {host!r}", where="header Host", mend=f"ask for {self._settings.host}")
        origin = head.header(b"origin")
        if origin and origin.split("://", 1)[-1].rsplit(":", 1)[0].strip("[]") not in LOOPBACK:
            raise WrongHost(what=f"pages of {origin!r} may not ask here", where="header Origin", mend="ask from a server, not from a page")


ROUTES = (
    Rule("POST", "/predict/<endpoint>", Role.PREDICT, Rest.plain),
    Rule("POST", "/predict/<endpoint>/stream", Role.PREDICT, Rest.events),
    Rule("POST", "/predict/<endpoint>/entities", Role.PREDICT, Rest.entities),
    Rule("POST", "/v2/models/<endpoint>/infer", Role.PREDICT, Rest.v2),
    Rule("POST", "/v2/models/<endpoint>/versions/<bundle>/infer", Role.PREDICT, Rest.v2),
    Rule("GET", "/v2/models/<endpoint>", Role.READ, Rest.metadata),
    Rule("GET", "/v2/models/<endpoint>/versions/<bundle>", Role.READ, Rest.metadata),
    Rule("GET", "/v2/models/<endpoint>/ready", None, Rest.endpoint_ready),
    Rule("GET", "/v2/models/<endpoint>/versions/<bundle>/ready", None, Rest.endpoint_ready),
    Rule("GET", "/v2/health/ready", None, Rest.ready),
    Rule("GET", "/v2/health/live", None, Rest.live),
    Rule("GET", "/v2", None, Rest.server_metadata),
    Rule("GET", "/status", Role.READ, Rest.status),
    Rule("GET", "/openapi.json", Role.READ, Rest.openapi),
    Rule("GET", "/docs", Role.READ, Rest.docs),
    Rule("GET", "/ping", None, Rest.platform_ready),
    Rule("POST", "/invocations", Role.PREDICT, Rest.instances),
    Rule("GET", "/", None, Rest.platform_ready),
    Rule("POST", "/score", Role.PREDICT, Rest.instances),
)


def _told(body: Callable[[], bytes]) -> Answer:
    return lambda _, reply: reply.send(200, body())


def _terms(head: Head) -> Terms:
    """How a request wants to be treated, by its headers. Raises `BadRequest`."""
    priority, text = head.header(b"x-noria-priority"), head.header(b"x-noria-timeout-ms")
    if not priority and not text:
        return ORDINARY
    try:
        timeout = float(text) / 1e3 if text else None
    except ValueError:
        timeout = math.nan
    if timeout is not None and not 0 < timeout <= MOST_TIMEOUT_SECONDS:
        raise BadRequest(what=f"{text!r} is no timeout", where="header x-noria-timeout-ms", mend="send milliseconds, up to an hour")
    return Terms(priority_of(priority), timeout)


def _plain(served: Served, terms: Terms, body: bytes, reply: Reply) -> None:
    batcher = served.batcher
    batcher.require_room(terms.priority)
    batcher.ask(batcher.route.champion.signature.plain(body), _plain_answers(reply, terms), terms, reply.gone)


def _arrow(served: Served, terms: Terms, body: bytes, reply: Reply) -> None:
    batcher = served.batcher
    batcher.require_room(terms.priority)
    asked = read_rows(body, batcher.route.champion.signature.features)

    def encode(answer: Answered) -> tuple[bytes, str]:
        return write_answer(answer.bundle.manifest.name, answer.bundle.id, answer.predictions, answer.ids, answer.fallback), STREAM

    batcher.ask(asked, _answers(reply, terms, encode), terms, reply.gone)


def _instances(served: Served, content_type: str, terms: Terms, body: bytes, reply: Reply) -> None:
    batcher = served.batcher
    batcher.require_room(terms.priority)
    asked = read_instances(body, batcher.route.champion.signature.features, content_type)
    batcher.ask(asked, _plain_answers(reply, terms), terms, reply.gone)


def _events(served: Served, terms: Terms, body: bytes, reply: Reply) -> None:
    """Answer some rows at a time, each part as an event; the next part is asked for when the one before has left."""
    batcher = served.batcher
    batcher.require_room(terms.priority)
    asked = batcher.route.champion.signature.plain(body)
    parts = [Asked(asked.rows[at : at + EVENT_ROWS], asked.keys[at : at + EVENT_ROWS]) for at in range(0, len(asked), EVENT_ROWS)]
    streamed: list[Streamed] = []

    def ask(place: int) -> None:
        try:
            batcher.ask(parts[place], partial(deliver, place), terms, reply.gone)
        except NoriaError as error:
            deliver(place, error)

    def deliver(place: int, answer: Answered | NoriaError) -> None:
        if not streamed:
            if not isinstance(answer, Answered):
                reply.fail(answer)
                return
            streamed.append(reply.stream(EVENTS))
        stream = streamed[0]
        if stream.gone():
            return
        if isinstance(answer, Answered):
            stream.part(
                b"event: predictions\ndata: " + plain_answer(answer.bundle, answer.predictions, answer.ids, answer.fallback) + b"\n\n"
            )
            if place + 1 < len(parts):
                ask(place + 1)
                return
            stream.part(b"event: end\ndata: {}\n\n")
        else:
            stream.part(b"event: error\ndata: " + error_answer(answer) + b"\n\n")
        stream.end()

    ask(0)


def _entities(served: Served, settings: ServingSettings, terms: Terms, body: bytes, reply: Reply) -> None:
    served.batcher.require_room(terms.priority)
    lookup = served.batcher.route.lookup
    if lookup is None:
        raise NoLookup(served.target.endpoint, served.no_lookup)
    allowed = settings.most_feature_age_seconds
    asked = Asked.by_entities(*lookup.decode(body))
    if served.feature_age is not None and served.feature_age > allowed and settings.stale_features == "refuse":
        served.batcher.refuse(asked, StaleFeatures(served.feature_age, allowed), _plain_answers(reply, terms))
        return
    served.batcher.ask(asked, _plain_answers(reply, terms), terms, reply.gone)


Encode = Callable[[Answered], tuple[bytes, str]]


def _answers(reply: Reply, terms: Terms, encode: Encode) -> Deliver:
    """What delivers an answer as `encode` makes it, unless its deadline has passed."""
    if terms.timeout_seconds is None:

        def deliver(answer: Answered | NoriaError) -> None:
            if isinstance(answer, Answered):
                reply.send(200, *encode(answer))
            else:
                reply.fail(answer)

        return deliver
    watch, seconds = Stopwatch(), terms.timeout_seconds

    def deliver_in_time(answer: Answered | NoriaError) -> None:
        if not isinstance(answer, Answered):
            reply.fail(answer)
        elif watch.seconds > seconds:
            reply.fail(TooLate())
        else:
            reply.send(200, *encode(answer))

    return deliver_in_time


def _as_plain(answer: Answered) -> tuple[bytes, str]:
    return plain_answer(answer.bundle, answer.predictions, answer.ids, answer.fallback), JSON


def _plain_answers(reply: Reply, terms: Terms) -> Deliver:
    return _answers(reply, terms, _as_plain)


def _v2(served: Served, json_length: int | None, terms: Terms, body: bytes, reply: Reply) -> None:
    served.batcher.require_room(terms.priority)
    asked: Asked = served.batcher.route.champion.signature.v2(body, json_length)

    def deliver(answer: Answered | NoriaError) -> None:
        if not isinstance(answer, Answered):
            reply.fail(answer)
            return
        data, length = v2_answer(answer.bundle, answer.predictions, answer.ids, asked, answer.fallback)
        if length is None:
            reply.send(200, data)
        else:
            reply.send(200, data, BINARY, f"inference-header-content-length: {length}\r\n")

    served.batcher.ask(asked, deliver, terms, reply.gone)


def _json_length(head: Head) -> int | None:
    """How many bytes of a v2 body are JSON, where binary tensors follow; None where all are."""
    text = head.header(b"inference-header-content-length")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(what=f"{text!r} is not a length", where="header Inference-Header-Content-Length", mend="send a number of bytes")
    return int(text)


def _ready(health: Health) -> bytes:
    if not isinstance(health, Healthy):
        raise NotReady(health.cause if isinstance(health, Unhealthy) else health.why)
    return b'{"ready":true}'
