"""What answers which path, and who may ask. `ROUTES` is all there is: a path that is not in it does not exist.

POST /v2/models/<endpoint>[/versions/<bundle>]/infer   Open Inference Protocol v2
POST /predict/<endpoint>                               plain JSON or an Arrow stream, features sent by the caller
POST /predict/<endpoint>/stream                        plain JSON, answers as server-sent events
POST /v2/models/<endpoint>[/versions/<bundle>]/generate[_stream]   a text for a text, and in parts
POST /predict/<endpoint>/entities                      plain JSON, features looked up in the online store
POST /v1/chat/completions, /v1/embeddings, /v1/rerank  what OpenAI's clients and rerankers ask, of the endpoint that `model` names
POST /v1/search, /v1/feedback; GET /v1/models          chunks for a question, whether an answer helped, every endpoint
GET  /v2/models/<endpoint>[/versions/<bundle>][/ready] metadata, readiness
GET  /v2/health/live, /v2/health/ready, /v2
GET  /status                                           counts, and whether answered = logged
GET  /openapi.json, /docs                              what can be asked, for programs and people
GET  /docs/<file>, /docs/examples/<endpoint>/<file>    what the page loads, and examples that are files
GET  /ping, /; POST /invocations, /score               what SageMaker and Azure ML ask (`noria.serving.protocol.clouds`)

HEAD is answered where GET is, without the body; OPTIONS says what a path takes, and `OPTIONS *` what the server does.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from noria.core.errors import NoriaError, OutsideWorld
from noria.core.health import Health, Healthy, Unhealthy
from noria.core.settings import ServingSettings
from noria.serving.access.keys import Access, Key, Role, secret_of
from noria.serving.batching.lookup import NoLookup, StaleFeatures
from noria.serving.batching.request_queue import ORDINARY, RequestOptions
from noria.serving.process import rest_v1 as v1
from noria.serving.process.in_time import in_time
from noria.serving.process.rest_clients import ArrowClient, EventsClient, V2Client
from noria.serving.process.rest_streams import (
    DoesNotStream,
    generate,
    generate_stream,
    plain_or_parts,
    streamed_rows,
    wants_events,
)
from noria.serving.process.rest_v1 import in_openais_form
from noria.serving.process.terms import terms_of
from noria.serving.protocol.answers import v2_metadata
from noria.serving.protocol.arrow import STREAM, read_rows
from noria.serving.protocol.clouds import contract, read_instances
from noria.serving.protocol.example_bodies import example_file
from noria.serving.protocol.openapi import document
from noria.serving.protocol.page import PAGE_HEADERS, file_headers, page, page_file, takes_gzip
from noria.serving.protocol.request import BadRequest, NotHere, PredictRequest, parts_of
from noria.serving.protocol.v1.documented import FEEDBACK_FILE
from noria.serving.transport.body import Content
from noria.serving.transport.head import IMPLEMENTED, Head
from noria.serving.transport.http1 import Answer
from noria.serving.transport.reply import OPENAI, Reply

if TYPE_CHECKING:
    from noria.serving.observe.capture import Capture
    from noria.serving.process.plane import DataPlane, ServedEndpoint

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
EVENT_ROWS = 64  # that go into one event


class WrongMethod(BadRequest):
    """A path that exists, asked in the wrong way."""

    code = "NR-515"
    http_status = 405

    def __init__(self, method: str, path: str, allowed: str) -> None:
        self.http_headers = (("allow", allowed),)  # RFC 9110, section 15.5.6
        super().__init__(what=f"{method} is not allowed on this path", where=path, fix=f"use {allowed}")


class EncodedBody(BadRequest):
    """A body that is compressed, or encoded in another way."""

    code = "NR-548"
    http_status = 415
    http_headers = (("accept-encoding", "identity"),)  # RFC 9110, section 15.5.16

    def __init__(self, coding: str) -> None:
        super().__init__(
            what=f"content encoding {coding!r} is not supported", where="header Content-Encoding", fix="send the body unencoded"
        )


class WrongHost(BadRequest):
    """A request that a browser was tricked into sending (DNS rebinding, cross-site)."""

    code = "NR-516"
    http_status = 421


class NotReady(OutsideWorld):
    """The server is up and can't answer (yet)."""

    code = "NR-517"
    retry_after = 1

    def __init__(self, why: str) -> None:
        super().__init__(what="not ready", where=why, fix="try again in a moment; `noria status` shows details")


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

    def __init__(self, plane: DataPlane, settings: ServingSettings, state: Callable[[], Mapping[str, Any]]) -> None:
        self.plane = self._plane = plane
        self._settings, self._state = settings, state
        self.access = Access([], lambda: 0.0)
        self.capture: Capture | None = None
        self._platform = contract(settings.platform, os.environ)
        self._rules: tuple[Rule, ...] = ROUTES
        self._documented: tuple[Any, bytes] | None = None  # the API's document, and what it tells of
        if self._platform is not None and self._platform.platform == "vertex":
            own = (
                Rule("GET", self._platform.health, None, Rest.ready),
                Rule("POST", self._platform.predict, Role.PREDICT, Rest.instances),
            )
            self._rules = (*own, *ROUTES)

    def resolve(self, head: Head) -> Answer:
        """What answers a request, judged by its head alone. Raises why nothing does."""
        self._check_origin(head)
        if head.target == b"*":
            return _allowing(sorted(IMPLEMENTED))
        parts = head.segments
        found = {rule.method: (rule, variables) for rule in reversed(self._rules) if (variables := rule.matches(parts)) is not None}
        if not found:
            raise NotHere(what="no route matches this path", where=head.path, fix=_meant(parts))
        if head.method == "OPTIONS":
            return _allowing(_methods(found))
        method = "GET" if head.method == "HEAD" else head.method
        if method not in found:
            raise WrongMethod(head.method, head.path, ", ".join(_methods(found)))
        coding = head.header(b"content-encoding").lower()
        if coding not in ("", "identity") and method == "POST":
            raise EncodedBody(coding[:40])
        rule, variables = found[method]
        access = self.access
        key = access.require(secret_of(head.header(b"authorization"), head.header(b"x-api-key")), rule.role)
        head.labels, head.tenant = ((), "") if key is None else (key.labels, key.tenant)
        if "endpoint" in variables and self._plane.unloaded(variables["endpoint"]):
            answer = self._after_waking(variables["endpoint"], lambda: rule.make(self, head, **variables))
        else:
            answer = rule.make(self, head, **variables)
        if self.capture is not None and head.method == "POST":
            answer = self.capture.around(head, answer)
        if access.limits(key):
            answer = _limited(access, key, answer)
        return in_openais_form(answer) if head.target.startswith(OPENAI) else answer

    def _after_waking(self, endpoint: str, make: Callable[[], Answer]) -> Answer:
        """What answers once an endpoint is awake."""

        def answer(body: Content, reply: Reply) -> None:
            def loaded(error: NoriaError | None) -> None:
                try:
                    if error is not None:
                        raise error
                    make()(body, reply)
                except NoriaError as refusal:
                    reply.fail(refusal)

            self._plane.load(endpoint, loaded)

        return answer

    def plain(self, head: Head, endpoint: str) -> Answer:
        served, terms = self._plane.find(endpoint), terms_of(head)
        if head.header(b"content-type").split(";")[0].strip().lower() == STREAM:
            return partial(_arrow, served, terms)
        answer, events = partial(_plain, served, terms), wants_events(head.header(b"accept"))
        if served.batcher.route.champion.streaming is not None:
            return plain_or_parts(served, terms, events)
        if events:
            raise DoesNotStream(endpoint)
        return answer

    def events(self, head: Head, endpoint: str) -> Answer:
        served, terms = self._plane.find(endpoint), terms_of(head)
        many = partial(_events, served, terms)
        return many if served.batcher.route.champion.streaming is None else streamed_rows(served, terms, many)

    def generate(self, head: Head, endpoint: str, bundle: str | None = None) -> Answer:
        return generate(self._plane.find(endpoint, bundle), terms_of(head))

    def generate_stream(self, head: Head, endpoint: str, bundle: str | None = None) -> Answer:
        return generate_stream(self._plane.find(endpoint, bundle), terms_of(head))

    def entities(self, head: Head, endpoint: str) -> Answer:
        return partial(_entities, self._plane.find(endpoint), self._settings, terms_of(head))

    def v2(self, head: Head, endpoint: str, bundle: str | None = None) -> Answer:
        return partial(_v2, self._plane.find(endpoint, bundle), _json_length(head), terms_of(head))

    def instances(self, head: Head) -> Answer:
        return partial(_instances, self._plane.find(self._only_endpoint()), head.header(b"content-type"), terms_of(head))

    def _only_endpoint(self) -> str:
        names = self._plane.names
        if len(names) != 1:
            raise NotHere(
                what="a cloud platform's container serves exactly one endpoint",
                where=f"there are {len(names)} endpoints",
                fix="start `noria serve ENDPOINT`",
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
        about = {"name": "noria", "version": version("noria"), "extensions": ["binary_tensor_data", "generate"]}
        return _told(lambda: msgspec.json.encode(about))

    def openapi(self, head: Head) -> Answer:  # noqa: ARG002
        return _told(self._document)

    def docs(self, head: Head) -> Answer:  # noqa: ARG002
        return lambda _, reply: reply.send(200, page(), "text/html; charset=utf-8", PAGE_HEADERS)

    def docs_file(self, head: Head, file: str) -> Answer:
        found, packed = page_file(file), takes_gzip(head.header(b"accept-encoding"))
        return lambda _, reply: reply.send(200, found.packed if packed else found.plain, found.content_type, file_headers(packed=packed))

    def example(self, head: Head, endpoint: str, file: str) -> Answer:  # noqa: ARG002
        served = self._plane.find(endpoint)
        if file == FEEDBACK_FILE:
            return _told(lambda: v1.feedback_example(served))
        return lambda _, reply: reply.send(200, *example_file(self._plane.described[endpoint], file))

    def _document(self) -> bytes:
        """The API's document, made anew when what it tells of has changed."""
        plane, keys = self._plane, not self.access.open
        told = plane.described
        state = keys, [(name, each.bundle.id, each.streams, each.entity) for name, each in told.items()]
        if self._documented is None or self._documented[0] != state:
            own = self._platform if len(self._rules) > len(ROUTES) else None
            paths = {own.health: "health", own.predict: "predict"} if own else {}
            made = document(told, version=version("noria"), keys=keys, platform=paths)
            self._documented = state, msgspec.json.encode(made)
        return self._documented[1]

    def status(self, head: Head) -> Answer:  # noqa: ARG002
        return _told(lambda: msgspec.json.encode(self._state()))

    def _check_origin(self, head: Head) -> None:
        """A page in a browser must not reach a server on loopback: not by rebinding a name, nor from another site."""
        host = _host_of(head.header(b"host"))
        if host and host not in LOOPBACK and self.access.open and self._platform is None:
            raise WrongHost(what=f"host {host!r} is not allowed", where="header Host", fix=f"send requests to {self._settings.host}")
        origin = head.header(b"origin").split("://", 1)[-1]
        own = not self.access.open and origin.lower() == head.header(b"host").lower()  # the page at /docs, whose reader gave a key
        if origin and not own and _host_of(origin) not in LOOPBACK:
            raise WrongHost(
                what=f"origin {head.header(b'origin')!r} is not allowed",
                where="header Origin",
                fix="send requests from a server, not from a web page",
            )


OPENAI_ROUTES = (
    Rule("POST", "/v1/chat/completions", Role.PREDICT, v1.chat),
    Rule("POST", "/v1/embeddings", Role.PREDICT, v1.embeddings),
    Rule("POST", "/v1/rerank", Role.PREDICT, v1.rerank),
    Rule("POST", "/v2/rerank", Role.PREDICT, v1.rerank),
    Rule("POST", "/v1/search", Role.PREDICT, v1.search),
    Rule("POST", "/search", Role.PREDICT, v1.search),
    Rule("POST", "/v1/feedback", Role.PREDICT, v1.feedback),
    Rule("GET", "/v1/models", Role.PREDICT, v1.list_models),
    Rule("GET", "/v1/models/<model>", Role.PREDICT, v1.one_model),
)
ROUTES = (
    *OPENAI_ROUTES,
    Rule("POST", "/predict/<endpoint>", Role.PREDICT, Rest.plain),
    Rule("POST", "/predict/<endpoint>/stream", Role.PREDICT, Rest.events),
    Rule("POST", "/predict/<endpoint>/entities", Role.PREDICT, Rest.entities),
    Rule("POST", "/v2/models/<endpoint>/infer", Role.PREDICT, Rest.v2),
    Rule("POST", "/v2/models/<endpoint>/versions/<bundle>/infer", Role.PREDICT, Rest.v2),
    Rule("POST", "/v2/models/<endpoint>/generate", Role.PREDICT, Rest.generate),
    Rule("POST", "/v2/models/<endpoint>/versions/<bundle>/generate", Role.PREDICT, Rest.generate),
    Rule("POST", "/v2/models/<endpoint>/generate_stream", Role.PREDICT, Rest.generate_stream),
    Rule("POST", "/v2/models/<endpoint>/versions/<bundle>/generate_stream", Role.PREDICT, Rest.generate_stream),
    Rule("GET", "/v2/models/<endpoint>", Role.READ, Rest.metadata),
    Rule("GET", "/v2/models/<endpoint>/versions/<bundle>", Role.READ, Rest.metadata),
    Rule("GET", "/v2/models/<endpoint>/ready", None, Rest.endpoint_ready),
    Rule("GET", "/v2/models/<endpoint>/versions/<bundle>/ready", None, Rest.endpoint_ready),
    Rule("GET", "/v2/health/ready", None, Rest.ready),
    Rule("GET", "/v2/health/live", None, Rest.live),
    Rule("GET", "/v2", None, Rest.server_metadata),
    Rule("GET", "/status", Role.READ, Rest.status),
    Rule("GET", "/openapi.json", Role.READ, Rest.openapi),
    Rule("GET", "/docs", None, Rest.docs),
    Rule("GET", "/docs/<file>", None, Rest.docs_file),
    Rule("GET", "/docs/examples/<endpoint>/<file>", Role.READ, Rest.example),
    Rule("GET", "/ping", None, Rest.ready),
    Rule("POST", "/invocations", Role.PREDICT, Rest.instances),
    Rule("GET", "/", None, Rest.ready),
    Rule("POST", "/score", Role.PREDICT, Rest.instances),
)


ELSEWHERE = {  # where people look for what lies at another path
    "health": "use /v2/health/ready, or /v2/health/live",
    "healthz": "use /v2/health/ready, or /v2/health/live",
    "metrics": "metrics are at the admin port, which `noria serve` prints when it starts",
}


def _meant(parts: Sequence[str]) -> str:
    """What to ask instead of a path of these parts."""
    if parts and parts[0] in ELSEWHERE:
        return ELSEWHERE[parts[0]]
    near = difflib.get_close_matches(parts[0], ["predict", "v1", "v2", "search", "status", "docs"], n=1, cutoff=0.5) if parts else []
    rest = [f"<{name}>" for name in ("endpoint",)] if near == ["predict"] and len(parts) < 2 else list(parts[1:])
    meant = f"did you mean /{'/'.join([*near, *rest])}? " if near and [*near, *rest] != [*parts] else ""
    return f"{meant}use /predict/<endpoint>, /v2/models/<endpoint>/infer or /v2"


def _limited(access: Access, key: Key | None, answer: Answer) -> Answer:
    """What answers a request of a key each of whose requests counts."""

    def limited(body: Content, reply: Reply) -> None:
        access.spend(key)
        answer(body, reply)

    return limited


def _host_of(authority: str) -> str:
    """The host of `host:port`, without the brackets of an IPv6 address."""
    return re.sub(r":[0-9]*$", "", authority).strip("[]").lower()


def _methods(found: Iterable[str]) -> list[str]:
    """What a path takes: the methods of its rules, and those that go with them."""
    methods = {"OPTIONS", *found}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def _allowing(methods: Iterable[str]) -> Answer:
    return lambda _, reply: reply.send(200, b"", "text/plain", f"allow: {', '.join(methods)}\r\n")


def _told(body: Callable[[], bytes]) -> Answer:
    return lambda _, reply: reply.send(200, body())


def _plain(served: ServedEndpoint, terms: RequestOptions, body: Content, reply: Reply) -> None:
    batcher = served.batcher
    if batcher.line.rows >= batcher.line.capacity:  # asked here, since most requests come this way, and calls cost
        batcher.require_room(terms.priority)
    batcher.ask(batcher.decoder.plain(body), reply if terms is ORDINARY else in_time(reply, terms), terms)


def _arrow(served: ServedEndpoint, terms: RequestOptions, body: Content, reply: Reply) -> None:
    batcher = served.batcher
    batcher.require_room(terms.priority)
    batcher.ask(read_rows(body, batcher.decoder.fields), in_time(ArrowClient(reply), terms), terms)


def _instances(served: ServedEndpoint, content_type: str, terms: RequestOptions, body: Content, reply: Reply) -> None:
    batcher = served.batcher
    batcher.require_room(terms.priority)
    batcher.ask(read_instances(bytes(body), batcher.decoder.fields, content_type), in_time(reply, terms), terms)


def _v2(served: ServedEndpoint, json_length: int | None, terms: RequestOptions, body: Content, reply: Reply) -> None:
    batcher = served.batcher
    batcher.require_room(terms.priority)
    asked = batcher.decoder.v2(body, json_length)
    batcher.ask(asked, in_time(V2Client(reply, asked), terms), terms)


def _entities(served: ServedEndpoint, settings: ServingSettings, terms: RequestOptions, body: Content, reply: Reply) -> None:
    served.batcher.require_room(terms.priority)
    lookup = served.batcher.route.lookup
    if lookup is None:
        raise NoLookup(served.target.endpoint, served.no_lookup)
    allowed = settings.most_feature_age_seconds
    asked = PredictRequest.by_entities(*lookup.decode(bytes(body)))
    if served.feature_age is not None and served.feature_age > allowed and settings.stale_features == "refuse":
        served.batcher.refuse(asked, reply, StaleFeatures(served.feature_age, allowed))
        return
    served.batcher.ask(asked, in_time(reply, terms), terms)


def _events(served: ServedEndpoint, terms: RequestOptions, body: Content, reply: Reply) -> None:
    batcher = served.batcher
    batcher.require_room(terms.priority)
    asked = batcher.decoder.plain(body)
    rows = asked.count if batcher.route.champion.bundle.ranks else EVENT_ROWS  # what is ranked together is scored together
    EventsClient(batcher, terms, parts_of(asked, rows), reply).ask()


def _json_length(head: Head) -> int | None:
    """How many bytes of a v2 body are JSON, where binary tensors follow; None where all are."""
    text = head.header(b"inference-header-content-length")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(what=f"{text!r} is not a length", where="header Inference-Header-Content-Length", fix="send a number of bytes")
    return int(text)


def _ready(health: Health) -> bytes:
    if not isinstance(health, Healthy):
        raise NotReady(health.cause if isinstance(health, Unhealthy) else health.why)
    return b'{"ready":true}'
