"""What answers which path, and who may ask. `ROUTES` is all there is: a path that is not in it does not exist.

POST /v2/models/<endpoint>[/versions/<bundle>]/infer   Open Inference Protocol v2
POST /predict/<endpoint>                               plain JSON, features sent by the caller
POST /predict/<endpoint>/entities                      plain JSON, features looked up in the online store
GET  /v2/models/<endpoint>[/versions/<bundle>][/ready] metadata, readiness
GET  /v2/health/live, /v2/health/ready, /v2
GET  /status                                           counts, and whether answered = logged
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec

from noria.core.errors import NoriaError, OutsideWorld
from noria.core.health import Health, Healthy, Unhealthy
from noria.core.settings import ServingSettings
from noria.serving.access.keys import Access, Role, secret_of
from noria.serving.batcher import Answered, Deliver
from noria.serving.lookup import NoLookup, StaleFeatures
from noria.serving.protocol.signature import Asked, BadRequest, NotHere, plain_answer, v2_answer, v2_metadata
from noria.serving.transport.http1 import Answer, Head, Reply

if TYPE_CHECKING:
    from noria.serving.plane import DataPlane, Served

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
BINARY = "application/octet-stream"


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
        if len(own) != len(parts) or any(mine != part for mine, part in zip(own, parts, strict=True) if mine[0] != "<"):
            return None
        return {mine.strip("<>"): part for mine, part in zip(own, parts, strict=True) if mine[0] == "<"}


class Rest:
    """The routes of a data plane."""

    def __init__(self, plane: DataPlane, settings: ServingSettings) -> None:
        self._plane, self._settings = plane, settings
        self.access = Access([], lambda: 0.0)

    def resolve(self, head: Head) -> Answer:
        """What answers a request, judged by its head alone. Raises why nothing does."""
        self._check_origin(head)
        parts = head.path.strip("/").split("/")
        found = {rule.method: (rule, variables) for rule in ROUTES if (variables := rule.matches(parts)) is not None}
        if not found:
            raise NotHere(what="there is nothing here", where=head.path, mend="use /predict/<endpoint>, /v2/models/<endpoint>/infer or /v2")
        if head.method not in found:
            raise WrongMethod(what=f"{head.method} is not for this path", where=head.path, mend="use " + ", ".join(sorted(found)))
        rule, variables = found[head.method]
        access = self.access
        key = access.require(secret_of(head.header(b"authorization"), head.header(b"x-api-key")), rule.role)
        answer = rule.make(self, head, **variables)
        if key is None or not key.rate:
            return answer

        def limited(body: bytes, reply: Reply) -> None:
            access.spend(key)
            answer(body, reply)

        return limited

    def plain(self, head: Head, endpoint: str) -> Answer:  # noqa: ARG002
        return partial(_plain, self._plane.find(endpoint))

    def entities(self, head: Head, endpoint: str) -> Answer:  # noqa: ARG002
        return partial(_entities, self._plane.find(endpoint), self._settings)

    def v2(self, head: Head, endpoint: str, bundle: str | None = None) -> Answer:
        return partial(_v2, self._plane.find(endpoint, bundle), _json_length(head))

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

    def status(self, head: Head) -> Answer:  # noqa: ARG002
        return _told(lambda: msgspec.json.encode(self._plane.state()))

    def _check_origin(self, head: Head) -> None:
        """A page in a browser must not reach a server on loopback: not by rebinding a name, nor from another site."""
        host = head.header(b"host").rsplit(":", 1)[0].strip("[]")
        if host and host not in LOOPBACK and self.access.open:
            raise WrongHost(what=f"this server is not {host!r}", where="header Host", mend=f"ask for {self._settings.host}")
        origin = head.header(b"origin")
        if origin and origin.split("://", 1)[-1].rsplit(":", 1)[0].strip("[]") not in LOOPBACK:
            raise WrongHost(what=f"pages of {origin!r} may not ask here", where="header Origin", mend="ask from a server, not from a page")


ROUTES = (
    Rule("POST", "/predict/<endpoint>", Role.PREDICT, Rest.plain),
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
)


def _told(body: Callable[[], bytes]) -> Answer:
    return lambda _, reply: reply.send(200, body())


def _plain(served: Served, body: bytes, reply: Reply) -> None:
    batcher = served.batcher
    batcher.require_room()
    batcher.ask(batcher.route.champion.signature.plain(body), _plain_answers(reply))


def _entities(served: Served, settings: ServingSettings, body: bytes, reply: Reply) -> None:
    served.batcher.require_room()
    lookup = served.batcher.route.lookup
    if lookup is None:
        raise NoLookup(served.target.endpoint, served.no_lookup)
    allowed = settings.most_feature_age_seconds
    if served.feature_age is not None and served.feature_age > allowed and settings.stale_features == "refuse":
        raise StaleFeatures(served.feature_age, allowed)
    served.batcher.ask(Asked.by_entities(*lookup.decode(body)), _plain_answers(reply))


def _plain_answers(reply: Reply) -> Deliver:
    def deliver(answer: Answered | NoriaError) -> None:
        if isinstance(answer, Answered):
            reply.send(200, plain_answer(answer.deployment.bundle, answer.predictions, answer.ids))
        else:
            reply.fail(answer)

    return deliver


def _v2(served: Served, json_length: int | None, body: bytes, reply: Reply) -> None:
    served.batcher.require_room()
    asked: Asked = served.batcher.route.champion.signature.v2(body, json_length)

    def deliver(answer: Answered | NoriaError) -> None:
        if not isinstance(answer, Answered):
            reply.fail(answer)
            return
        data, length = v2_answer(answer.deployment.bundle, answer.predictions, answer.ids, asked)
        if length is None:
            reply.send(200, data)
        else:
            reply.send(200, data, BINARY, f"inference-header-content-length: {length}\r\n")

    served.batcher.ask(asked, deliver)


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
