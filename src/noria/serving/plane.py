"""The data plane of one process: endpoints, their routes, and what answers which path.

POST /v2/models/<endpoint>[/versions/<bundle>]/infer   Open Inference Protocol v2
POST /predict/<endpoint>                               plain JSON, features sent by the caller
POST /predict/<endpoint>/entities                      plain JSON, features looked up in the online store
GET  /v2/models/<endpoint>[/ready]                     metadata, readiness
GET  /v2/health/live, /v2/health/ready, /v2
GET  /status                                           counts, and whether answered = logged
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from noria.core.clock import Clock
from noria.core.conservation import Balance
from noria.core.errors import NoriaError, OutsideWorld, nearest
from noria.core.files import Files
from noria.core.health import Health, Healthy, Unhealthy, Unknown, word, worst
from noria.core.ids import PredictionIds
from noria.core.settings import ServingSettings
from noria.serving.batcher import Answered, Batcher, Deliver, Route
from noria.serving.commit import GroupCommit
from noria.serving.deployment import Deployment
from noria.serving.http import Answer, Connection, Head, KnownHeads, Reply
from noria.serving.http2 import Http2Connection
from noria.serving.log import LogFailed, PredictionLog
from noria.serving.lookup import Lookup, NoLookup, OpenLookup, StaleFeatures
from noria.serving.metrics import Measures
from noria.serving.protocols import Asked, BadRequest, plain_answer, v2_answer, v2_metadata

if TYPE_CHECKING:
    from noria.serving.grpc import GrpcServices

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
SUMS_FILE = "served.json"
PROBE_FILE = ".probe"
DRAIN_SECONDS = 5.0
LOOK_AGAIN = 10  # probes between two tries to get at features that were not there
BINARY = "application/octet-stream"


class NotHere(BadRequest):
    """A path that does not exist."""

    code = "NR-514"
    http_status = 404


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
class Target:
    """Which bundles an endpoint should serve, as folders; and where its log lies."""

    endpoint: str
    champion: Path
    shadow: Path | None
    log: Path


@dataclass
class Served:
    """One endpoint in this process. `trouble` says why it does not serve what it should; what it served before, it still does."""

    target: Target
    log: PredictionLog
    batcher: Batcher
    measures: Measures
    health: Health
    no_lookup: str
    trouble: str | None = None
    trouble_of_features: str | None = None
    feature_age: float | None = None
    probes: int = 0


class DataPlane:
    """Answers requests for any number of endpoints. Lives on one event loop; `writer` names its logs."""

    def __init__(self, writer: str, settings: ServingSettings, clock: Clock, files: Files, open_lookup: OpenLookup | None = None) -> None:
        self._writer, self._settings, self._clock, self._files, self._open_lookup = writer, settings, clock, files, open_lookup
        self._served: dict[str, Served] = {}
        self._commit = GroupCommit(durable=settings.durability == "disk")
        self._known = KnownHeads()
        self._connections: set[Connection | Http2Connection] = set()
        self._grpc: GrpcServices | None = None
        self._loop = asyncio.get_running_loop()
        self.draining = False

    def grpc_connection(self) -> Http2Connection:
        """The protocol of a new connection of gRPC clients."""
        if self._grpc is None:
            from noria.serving.grpc import GrpcServices

            self._grpc = GrpcServices(self, self._settings.max_body_bytes)
        return Http2Connection(self._grpc.resolve, self._connections)

    def connection(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self._resolve, self._known, self._connections, self._settings.max_body_bytes)

    # --- what is served ---

    async def serve(self, target: Target) -> None:
        """Serve what an endpoint should; a bundle is opened beside the traffic and taken in between two batches.

        A bundle that can't be served leaves the endpoint as it is, with its trouble told. Raises what is wrong with the first one.
        """
        served = self._served.get(target.endpoint)
        try:
            route, no_lookup = await asyncio.to_thread(self._open, target, served.batcher.route if served else None)
        except NoriaError as error:
            if served is None:
                raise
            served.trouble = f"{error.what} ({error.where})"
            return
        if served is None:
            self._served[target.endpoint] = self._begin(target, route, no_lookup)
        else:
            served.batcher.swap(route)
            served.target, served.trouble, served.no_lookup = target, None, no_lookup
        self._known.forget()
        await self.probe()

    def target(self, endpoint: str) -> Target | None:
        served = self._served.get(endpoint)
        return served.target if served else None

    def _open(self, target: Target, now: Route | None) -> tuple[Route, str]:
        """The route to a target, and why it has no lookup; deployments that are open already stay as they are."""
        there = {d.bundle.path: d for d in (now.champion, now.shadow) if d is not None} if now else {}
        champion = there.get(target.champion) or Deployment.open(target.champion, self._files)
        shadow = None if target.shadow is None else there.get(target.shadow) or Deployment.open(target.shadow, self._files)
        lookup, why = self._lookup(target.endpoint, champion)
        return Route(champion, shadow, lookup), why

    def _lookup(self, endpoint: str, champion: Deployment) -> tuple[Lookup | None, str]:
        """The endpoint's lookup, if it has just the definitions that its champion was trained with; otherwise why not."""
        if self._open_lookup is None:
            return None, "this server was started without a project"
        try:
            lookup = self._open_lookup(endpoint)
            if lookup.definition_hash != champion.bundle.manifest.definition_hash:
                return None, "the project's feature definitions are not those that the model was trained with"
            lookup.verify()
        except NoriaError as error:
            return None, f"{error.what} ({error.where})"
        return lookup, ""

    def _begin(self, target: Target, route: Route, no_lookup: str) -> Served:
        log, measures = PredictionLog(target.log, self._writer, self._files), Measures()
        batcher = Batcher(
            route,
            log,
            PredictionIds(self._writer),
            self._commit,
            self._clock,
            measures,
            most_rows=self._settings.max_batch,
            budget_seconds=self._settings.budget_ms / 1e3,
        )
        return Served(target, log, batcher, measures, Unknown("its golden rows have not been answered yet"), no_lookup)

    # --- requests ---

    def _resolve(self, head: Head) -> Answer:
        """What answers a request, judged by its head alone."""
        self._check_origin(head)
        path = head.path.rstrip("/")
        routes = self._routes(path.split("/")[1:], head)
        if not routes:
            raise NotHere(what="there is nothing here", where=head.path, mend="use /predict/<endpoint>, /v2/models/<endpoint>/infer or /v2")
        if head.method not in routes:
            raise WrongMethod(what=f"{head.method} is not for this path", where=head.path, mend="use " + ", ".join(sorted(routes)))
        return routes[head.method]

    def _routes(self, parts: list[str], head: Head) -> Mapping[str, Answer]:
        """Method → what answers it, for one path."""
        match parts:
            case ["predict", name]:
                return {"POST": partial(self._plain, self.find(name))}
            case ["predict", name, "entities"]:
                return {"POST": partial(self._entities, self.find(name))}
            case ["v2", "models", name, "infer"]:
                return {"POST": partial(self._v2, self.find(name), _json_length(head))}
            case ["v2", "models", name, "versions", bundle, "infer"]:
                return {"POST": partial(self._v2, self.find(name, bundle), _json_length(head))}
            case ["v2", "models", name] | ["v2", "models", name, "versions", _]:
                return {"GET": self._told(partial(self._metadata, self.find(name)))}
            case ["v2", "models", name, "ready"] | ["v2", "models", name, "versions", _, "ready"]:
                return {"GET": self._told(partial(self._endpoint_ready, self.find(name)))}
            case ["v2", "health", "ready"]:
                return {"GET": self._told(self._ready)}
            case ["v2", "health", "live"]:
                return {"GET": self._told(lambda: b'{"live":true}')}
            case ["v2"]:
                return {"GET": self._told(_server_metadata)}
            case ["status"]:
                return {"GET": self._told(lambda: msgspec.json.encode(self.state()))}
        return {}

    def find(self, name: str, bundle: str | None = None) -> Served:
        """The endpoint of that name, with that bundle if one is given. Raises `NotHere`."""
        served = self._served.get(name)
        if served is None:
            raise NotHere(
                what=f"there is no endpoint {name!r}{nearest(name, self._served)}",
                where="the path",
                mend="this server has " + (", ".join(map(repr, self._served)) or "none yet"),
            )
        if bundle is not None and bundle != served.batcher.route.champion.bundle.id:
            raise NotHere(what=f"version {bundle!r} is not served", where="the path", mend="leave the version out, or ask for the metadata")
        return served

    @staticmethod
    def _told(body: Callable[[], bytes]) -> Answer:
        return lambda _, reply: reply.send(200, body())

    def _plain(self, served: Served, body: bytes, reply: Reply) -> None:
        batcher = served.batcher
        batcher.ask(batcher.route.champion.signature.plain(body), _plain_answers(reply))

    def _entities(self, served: Served, body: bytes, reply: Reply) -> None:
        lookup = served.batcher.route.lookup
        if lookup is None:
            raise NoLookup(served.target.endpoint, served.no_lookup)
        allowed = self._settings.most_feature_age_seconds
        if served.feature_age is not None and served.feature_age > allowed and self._settings.stale_features == "refuse":
            raise StaleFeatures(served.feature_age, allowed)
        served.batcher.ask(Asked.by_entities(*lookup.decode(body)), _plain_answers(reply))

    def _v2(self, served: Served, json_length: int | None, body: bytes, reply: Reply) -> None:
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

    def _metadata(self, served: Served) -> bytes:
        return v2_metadata(served.batcher.route.champion.bundle, served.target.endpoint)

    def _ready(self) -> bytes:
        _require_healthy(self.health)
        return b'{"ready":true}'

    def _endpoint_ready(self, served: Served) -> bytes:
        _require_healthy(served.health)
        return b'{"ready":true}'

    def _check_origin(self, head: Head) -> None:
        """A page in a browser must not reach a server on loopback: not by rebinding a name, nor from another site."""
        host = head.header(b"host").rsplit(":", 1)[0].strip("[]")
        if host and host not in LOOPBACK and host != self._settings.host:
            raise WrongHost(what=f"this server is not {host!r}", where="header Host", mend=f"ask for {self._settings.host}")
        origin = head.header(b"origin")
        if origin and origin.split("://", 1)[-1].rsplit(":", 1)[0].strip("[]") not in LOOPBACK:
            raise WrongHost(what=f"pages of {origin!r} may not ask here", where="header Origin", mend="ask from a server, not from a page")

    # --- health and sums ---

    @property
    def health(self) -> Health:
        if self.draining:
            return Unhealthy("the server is stopping")
        return worst(served.health for served in self._served.values())

    async def probe(self) -> None:
        """Look whether each endpoint would answer: its golden rows through decoder and model, and a byte through the log's disk."""
        for served in list(self._served.values()):
            served.health = await self._probed(served)
            if served.batcher.route.lookup is not None:
                await self._look_at_features(served, served.batcher.route.lookup)
            elif self._open_lookup is not None:
                await self._look_again(served)
        if self._grpc is not None:
            self._grpc.tell()

    async def _look_at_features(self, served: Served, lookup: Lookup) -> None:
        allowed = self._settings.most_feature_age_seconds
        try:
            served.feature_age = lookup.age_seconds(self._clock.now())
        except NoriaError as error:
            served.trouble_of_features = f"{error.what} ({error.where})"
            return
        too_old = served.feature_age > allowed
        served.trouble_of_features = str(StaleFeatures(served.feature_age, allowed).what) if too_old else None

    async def _look_again(self, served: Served) -> None:
        """Features that could not be looked up may have been materialised since."""
        served.probes += 1
        if served.probes % LOOK_AGAIN:
            return
        route = served.batcher.route
        lookup, served.no_lookup = await asyncio.to_thread(self._lookup, served.target.endpoint, route.champion)
        if lookup is not None and served.batcher.route is route:
            served.batcher.swap(replace(route, lookup=lookup))

    async def _probed(self, served: Served) -> Health:
        if served.batcher.failed is not None:
            return Unhealthy(str(served.batcher.failed))
        deployment = served.batcher.route.champion
        try:
            difference = deployment.prove()
            await asyncio.to_thread(self._files.write, served.log.folder / PROBE_FILE, self._writer.encode())
        except NoriaError as error:
            return Unhealthy(f"{error.what}: {error.where}")
        except OSError as error:
            return Unhealthy(str(LogFailed(served.log.folder, str(error))))
        return Healthy({"golden_rows": len(deployment.golden_answers), "largest_difference": difference})

    def sweep(self) -> None:
        """Close connections that have stood still for too long."""
        now = self._loop.time()
        for connection in list(self._connections):
            connection.sweep(now, self._settings.request_seconds, self._settings.idle_seconds)

    def state(self) -> dict[str, Any]:
        """What this process does, as plain data."""
        health = self.health
        return {
            "writer": self._writer,
            "health": word(health),
            "why": health.cause if isinstance(health, Unhealthy) else health.why if isinstance(health, Unknown) else None,
            "connections": len(self._connections),
            "endpoints": [self._endpoint_state(name, served) for name, served in self._served.items()],
        }

    def _endpoint_state(self, name: str, served: Served) -> dict[str, Any]:
        route = served.batcher.route
        return {
            "endpoint": name,
            "bundle": route.champion.bundle.id,
            "shadow": route.shadow.bundle.id if route.shadow else None,
            "health": word(served.health),
            "trouble": "; ".join(filter(None, (served.trouble, served.trouble_of_features))) or None,
            "feature_age_seconds": served.feature_age,
            "no_lookup": served.no_lookup or None,
            "counts": asdict(served.batcher.counts),
            "conserved": self._balance(name, served).holds,
            "measures": served.measures.to_dict(),
        }

    def _balance(self, name: str, served: Served) -> Balance:
        return Balance(f"serve {name}", served.batcher.counts.answered, {"logged": served.batcher.counts.logged})

    # --- the end ---

    async def drain(self) -> None:
        """Answer what was asked, then close the connections, the logs and the sums."""
        self.draining = True
        if self._grpc is not None:
            self._grpc.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self._commit.idle or not all(s.batcher.idle for s in self._served.values()):
                    await asyncio.sleep(0.002)
                while sum(not connection.drain() for connection in list(self._connections)):
                    await asyncio.sleep(0.005)
        self._commit.close()
        for name, served in self._served.items():
            with suppress(LogFailed):  # it was told when it failed, and nothing was answered since
                served.log.sync()
            served.log.close()
            sums = {"writer": self._writer, "endpoint": name, **asdict(served.batcher.counts)}
            self._files.write(served.log.folder / SUMS_FILE, msgspec.json.encode(sums))


def _plain_answers(reply: Reply) -> Deliver:
    def deliver(answer: Answered | NoriaError) -> None:
        if isinstance(answer, Answered):
            reply.send(200, plain_answer(answer.deployment.bundle, answer.predictions, answer.ids))
        else:
            reply.fail(answer)

    return deliver


def _json_length(head: Head) -> int | None:
    """How many bytes of a v2 body are JSON, where binary tensors follow; None where all are."""
    text = head.header(b"inference-header-content-length")
    if not text:
        return None
    if not text.isdigit():
        raise BadRequest(what=f"{text!r} is not a length", where="header Inference-Header-Content-Length", mend="send a number of bytes")
    return int(text)


def _require_healthy(health: Health) -> None:
    if not isinstance(health, Healthy):
        raise NotReady(health.cause if isinstance(health, Unhealthy) else health.why)


def _server_metadata() -> bytes:
    return msgspec.json.encode({"name": "noria", "version": version("noria"), "extensions": ["binary_tensor_data"]})
