"""The data plane of one process: the endpoints it serves, what they are at this moment, and how they are.

`frontend` brings it the requests of REST and gRPC clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from noria.core.clock import Clock
from noria.core.conservation import Balance
from noria.core.errors import NoriaError, OutsideWorld, nearest
from noria.core.files import Files
from noria.core.health import Health, Healthy, Unhealthy, Unknown, word, worst
from noria.core.ids import PredictionIds
from noria.core.settings import ServingSettings
from noria.core.signature import Signature
from noria.models.bundle import PROFILE_FILE
from noria.serving.batching.allowance import Allowance, left_of
from noria.serving.batching.batcher import Batcher
from noria.serving.batching.loaded_model import LoadedModel
from noria.serving.batching.lookup import GuardedLookup, Lookup, OpenLookup, StaleFeatures, in_order_of
from noria.serving.batching.recorder import Recorder
from noria.serving.batching.route import Route
from noria.serving.generated import generates
from noria.serving.log.commit import GroupCommit
from noria.serving.log.log_filter import LogFilter
from noria.serving.log.segments import SUMS_FILE, LogFailed, PredictionLog
from noria.serving.observe.failures import FAILURES_FILE
from noria.serving.observe.metrics import Measures
from noria.serving.observe.traces import Traces
from noria.serving.process.feedback import FeedbackTaker
from noria.serving.process.opening import Target, in_thread, open_route
from noria.serving.protocol.examples import Described
from noria.serving.protocol.request import NotHere
from noria.serving.protocol.v1.feedback import Feedback
from noria.serving.transport.http1 import bug

logger = logging.getLogger("noria.serving")

Awake = Callable[[NoriaError | None], None]

PROBE_FILE = ".probe"
LAST_TRACES_SECONDS = 2.0
PATIENCE_SECONDS = 0.25  # for a model that is asked while requests wait for it, too
TEXTS_SECONDS = 60.0  # between two checks of golden rows that are texts to be generated, which takes the time of a request
LOOK_AGAIN = 10  # probes between two tries to get at features that were not there


class Loading(OutsideWorld):
    """An endpoint's model is being opened, since it is asked for."""

    code = "NR-529"
    retry_after = 1

    def __init__(self, endpoint: str) -> None:
        super().__init__(
            what=f"endpoint {endpoint!r} is being loaded", where="it was unloaded (serving.models_mb)", fix="try again in a moment"
        )


@dataclass
class ServedEndpoint:
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
    asked: int = 0
    used: float = 0.0
    unsketched: str | None = None
    proving: tuple[LoadedModel, asyncio.Task[float]] | None = None
    proved: tuple[LoadedModel, int, float, float] | None = None  # when it was at its so-manyth process, and the difference

    @property
    def megabytes(self) -> float:
        """The size of the models that are open for it."""
        route = self.batcher.route
        return sum(model.bundle.megabytes for model in route.models)


def _described(model: LoadedModel, hidden: Sequence[str], entity: dict[str, Any] | None = None) -> Described:
    return Described(model.bundle, model.golden, model.golden_answers, model.streaming is not None, entity, hidden)


class DataPlane:
    """Answers requests for any number of endpoints. Lives on one event loop; `writer` names its logs."""

    def __init__(self, writer: str, settings: ServingSettings, clock: Clock, files: Files, open_lookup: OpenLookup | None = None) -> None:
        self.writer, self._settings, self._clock, self._files, self._open_lookup = writer, settings, clock, files, open_lookup
        self._ids = PredictionIds(writer)  # of all endpoints: an id names one prediction in the whole project
        self._served: dict[str, ServedEndpoint] = {}
        self._unloaded: dict[str, tuple[Target, ServedEndpoint | None]] = {}  # closed, to keep within serving.models_mb
        self._waking: dict[str, list[Awake]] = {}
        self._commit = GroupCommit(durable=settings.durability == "disk")
        self._changed: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        where = settings.trace_endpoint
        self._traces = None if where is None else Traces(where, settings.trace_share, writer)
        self._kept = LogFilter(share=settings.log_share, redact=settings.redact)
        self._tasks: set[asyncio.Task[None]] = set()
        durable, comments = settings.durability == "disk", settings.feedback_comments
        self._feedback = FeedbackTaker(writer, files, clock, durable=durable, comments=comments)
        self.draining = False

    def on_change(self, told: Callable[[], None]) -> None:
        """Call this whenever what answers a request may have become another."""
        self._changed = told

    # --- what is served ---

    async def serve(self, target: Target) -> None:
        """Serve what an endpoint should; a bundle is opened beside the traffic and taken in between two batches.

        A bundle that can't be served leaves the endpoint as it is, with its trouble told. Raises what is wrong with the first one.
        """
        served = self._served.get(target.endpoint)
        if served is None and self._must_sleep(target):
            _, unloaded_before = self._unloaded.get(target.endpoint, (target, None))
            self._unloaded[target.endpoint] = target, unloaded_before
            return
        await self._serve_open(target, served)

    async def _serve_open(self, target: Target, served: ServedEndpoint | None) -> None:
        try:
            route = await open_route(target, served.batcher.route if served else None, self._files)
            lookup, no_lookup = await in_thread(lambda: self._lookup(target.endpoint, route.champion))
            route = replace(route, lookup=lookup, allowance=await in_thread(lambda: self._allowance(target, route)))
        except NoriaError as error:
            if served is None:
                raise
            served.trouble = f"{error.what} ({error.where})"
            return
        except Exception as error:  # a fault of ours in opening must not end what is served
            logger.exception("error while loading %s", target.champion)
            if served is None:
                raise bug(error) from error
            served.trouble = str(bug(error))
            return
        if served is None:
            _, unloaded_before = self._unloaded.pop(target.endpoint, (target, None))
            served = self._served[target.endpoint] = unloaded_before or self._begin(target, route, no_lookup)
            served.used = self._loop.time()
        served.batcher.swap(route)
        served.target, served.trouble, served.no_lookup = target, None, no_lookup
        self._changed()
        await self.probe()

    def check_redaction(self) -> None:
        """Raises `UnknownField` when what is to be redacted is no field of any endpoint (those that are unloaded are not looked into)."""
        if not self._unloaded:
            self._kept.require(name for signature in self.signatures.values() for name in signature.names)

    # --- a budget of memory ---

    def unloaded(self, endpoint: str) -> bool:
        """Whether an endpoint's models are closed until it is asked for."""
        return endpoint in self._unloaded

    def load(self, endpoint: str, then: Awake) -> None:
        """Open an endpoint that was unloaded, in place of the one that was asked for least lately; then say so, or why it can't be."""
        waiting = self._waking.setdefault(endpoint, [])
        waiting.append(then)
        if len(waiting) == 1:
            self._tasks.add(task := self._loop.create_task(self._load(endpoint)))
            task.add_done_callback(self._tasks.discard)

    async def _load(self, endpoint: str) -> None:
        failure: NoriaError | None = None
        try:
            target, _ = self._unloaded[endpoint]
            self._make_room(target.megabytes)
            await self._serve_open(target, None)
        except NoriaError as error:
            failure = error
        except Exception as error:  # told to those who wait, who must not wait for ever
            logger.exception("error while loading %s", endpoint)
            failure = bug(error)
        for then in self._waking.pop(endpoint):
            then(failure)

    def _must_sleep(self, target: Target) -> bool:
        budget = self._settings.models_mb
        return budget is not None and bool(self._served) and self._open_megabytes() + target.megabytes > budget

    def _open_megabytes(self) -> float:
        return sum(served.megabytes for served in self._served.values())

    def _make_room(self, megabytes: float) -> None:
        """Close the models that were asked for least lately, of endpoints with nothing under way, until there is room."""
        assert self._settings.models_mb is not None
        for name, served in sorted(self._served.items(), key=lambda pair: pair[1].used):
            if self._open_megabytes() + megabytes <= self._settings.models_mb:
                return
            if served.batcher.idle:
                del self._served[name]
                self._unloaded[name] = served.target, served
                served.batcher.rest()
        self._changed()

    def _allowance(self, target: Target, route: Route) -> Allowance | None:
        """What is left of what the shadow may be asked here; None where it may be asked everything."""
        if target.shadow_terms is None or route.shadow is None:
            return None
        return left_of(target.shadow_terms, target.log, route.shadow.bundle.id, self.writer, self._settings.workers, self._files)

    def _lookup(self, endpoint: str, champion: LoadedModel) -> tuple[GuardedLookup | None, str]:
        """The endpoint's lookup, if it has just the definitions that its champion was trained with; otherwise why not."""
        if self._open_lookup is None:
            return None, "this server was started without a project"
        try:
            lookup = self._open_lookup(endpoint, champion.bundle)
            if lookup.definition_hash != champion.bundle.manifest.definition_hash:
                return None, "the project's feature definitions differ from those that the model was trained with"
            lookup = in_order_of(lookup, champion.bundle.features)
            lookup.verify()
        except NoriaError as error:
            return None, f"{error.what} ({error.where})"
        return GuardedLookup(lookup, self._example(lookup, champion)), ""

    def _example(self, lookup: Lookup, champion: LoadedModel) -> dict[str, Any] | None:
        """An entity for the API's document; None where the features of none can be looked up."""
        hidden = self._settings.redact
        try:
            known = _described(champion, hidden).rows[0]
            return lookup.example(known, self._clock.now(), shown=not hidden)
        except Exception as error:  # noqa: BLE001 - of the project's transforms, too; what is only shown must not keep an endpoint from opening
            logger.info("there is no example of an entity: %s", error)
            return None

    def _begin(self, target: Target, route: Route, no_lookup: str) -> ServedEndpoint:
        log, measures = PredictionLog(target.log, self.writer, self._files), Measures()
        traces = None if self._traces is None else partial(self._traces.begin, target.endpoint)
        batcher = Batcher(
            route,
            Recorder(
                log, self._ids, self._commit, self._clock, measures, self._kept, traces, target.endpoint, self._settings.trace_contents
            ),
            self._clock,
            measures,
            most_rows=self._settings.max_batch,
            budget_seconds=self._settings.budget_ms / 1e3,
            most_bytes=self._settings.max_waiting_bytes,
            most_batch_bytes=self._settings.max_batch_bytes,
        )
        return ServedEndpoint(target, log, batcher, measures, Unknown("its golden rows have not been checked yet"), no_lookup)

    def find(self, name: str, bundle: str | None = None) -> ServedEndpoint:
        """The endpoint of that name, with that bundle if one is given. Raises `NotHere`."""
        served = self._served.get(name)
        if served is None and name in self._unloaded:
            raise Loading(name)
        if served is None:
            names = self.names
            raise NotHere(
                what=f"there is no endpoint {name!r}{nearest(name, names)}",
                where="the path",
                fix="this server serves " + (", ".join(map(repr, names)) or "none yet"),
            )
        if bundle is not None and bundle != served.batcher.route.champion.bundle.id:
            raise NotHere(
                what=f"version {bundle!r} is not served", where="the path", fix="omit the version, or request the model's metadata"
            )
        return served

    @property
    def names(self) -> list[str]:
        """Every endpoint that can be asked, in their order."""
        return sorted([*self._served, *self._unloaded])

    @property
    def signatures(self) -> dict[str, Signature]:
        """Of every endpoint whose models are open."""
        return {name: served.batcher.route.champion.bundle.signature for name, served in sorted(self._served.items())}

    @property
    def described(self) -> dict[str, Described]:
        """What the API's document tells of every endpoint whose models are open."""
        return {name: self._described(served.batcher.route) for name, served in sorted(self._served.items())}

    def _described(self, route: Route) -> Described:
        entity = None if route.lookup is None else route.lookup.entity
        return _described(route.champion, self._settings.redact, entity)

    def take_feedback(self, given: Feedback, then: Callable[[dict[str, Any] | NoriaError], None]) -> None:
        """Store what is said of an answer, in a thread; `then` is told what was stored, or why it was not. Raises `NotHere`."""
        names = self.names if given.model is None else [self.require(given.model)]
        self._tasks.add(task := self._loop.create_task(self._feedback.take(given, {name: self._log_of(name) for name in names}, then)))
        task.add_done_callback(self._tasks.discard)

    def require(self, name: str) -> str:
        """The name, if it is one of an endpoint's. Raises `NotHere`."""
        if name not in self._unloaded:
            self.find(name)
        return name

    def _log_of(self, name: str) -> Path:
        served = self._served.get(name)
        return (self._unloaded[name][0] if served is None else served.target).log

    # --- health and sums ---

    @property
    def health(self) -> Health:
        if self.draining:
            return Unhealthy("the server is stopping")
        return worst(served.health for served in self._served.values())

    async def probe(self) -> None:
        """Look whether each endpoint would answer: its golden rows through decoder and model, and a byte through the log's disk."""
        for served in list(self._served.values()):
            if served.batcher.counts.requests != served.asked:
                served.asked, served.used = served.batcher.counts.requests, self._loop.time()
            if served.batcher.rests():  # closed while another was looked at
                continue
            await self._write_failures(served)
            served.health = await self._probed(served)
            if served.batcher.rests():
                continue
            if served.batcher.route.lookup is not None:
                await self._look_at_features(served, served.batcher.route.lookup)
            elif self._open_lookup is not None:
                await self._look_again(served)
            if self._settings.sketched_rows:
                await self._sketch(served)

    async def _write_failures(self, served: ServedEndpoint) -> None:
        failures = served.batcher.recorder.failures
        told = failures.take()
        if told is None:
            return
        try:
            await asyncio.to_thread(self._files.write, served.log.folder / FAILURES_FILE, told)
        except OSError as error:
            failures.give_back()
            logger.warning("the failure counts of %s can't be written now; will retry: %s", served.target.endpoint, error)

    async def _sketch(self, served: ServedEndpoint) -> None:
        """Take in what the champion has scored since the last time. A bundle without a profile is served all the same."""
        from noria.models.profiled import projections_of  # only where it is asked for
        from noria.profiles.profile import Profile
        from noria.serving.observe.live_profile import LiveProfile

        batcher, bundle = served.batcher, served.batcher.route.champion.bundle
        if served.unsketched == bundle.id:
            return
        if batcher.live is None or batcher.live.bundle != bundle.id:
            try:
                reference = await asyncio.to_thread(lambda: Profile.from_json(self._files.read(bundle.file(PROFILE_FILE))))
                projections = await asyncio.to_thread(projections_of, bundle, self._files)
            except (OSError, ValueError, KeyError) as error:
                logger.warning("the inputs of %s are not profiled: its reference profile can't be read: %r", served.target.endpoint, error)
                served.unsketched, batcher.live = bundle.id, None
                return
            batcher.live = LiveProfile(bundle.id, reference, self._settings.sketched_rows, self._loop.time, projections, self._clock)
        await asyncio.to_thread(batcher.live.digest)

    async def _look_at_features(self, served: ServedEndpoint, lookup: Lookup) -> None:
        allowed = self._settings.most_feature_age_seconds
        try:
            served.feature_age = await asyncio.to_thread(lookup.age_seconds, self._clock.now())
        except NoriaError as error:
            served.trouble_of_features = f"{error.what} ({error.where})"
            return
        too_old = served.feature_age > allowed
        served.trouble_of_features = str(StaleFeatures(served.feature_age, allowed).what) if too_old else None

    async def _look_again(self, served: ServedEndpoint) -> None:
        """Features that could not be looked up may have been materialised since."""
        served.probes += 1
        if served.probes % LOOK_AGAIN:
            return
        route = served.batcher.route
        lookup, served.no_lookup = await asyncio.to_thread(self._lookup, served.target.endpoint, route.champion)
        if lookup is not None and not served.batcher.rests() and served.batcher.route is route:
            served.batcher.swap(replace(route, lookup=lookup))

    async def _probed(self, served: ServedEndpoint) -> Health:
        if served.batcher.recorder.failed is not None:
            return Unhealthy(str(served.batcher.recorder.failed))
        deployment = served.batcher.route.champion
        try:
            difference = await self._proven(served, deployment)
            if difference is None:
                return served.health
            await asyncio.to_thread(self._files.write, served.log.folder / PROBE_FILE, self.writer.encode())
            await asyncio.to_thread(served.log.sync)  # class `process` loses at most a probe's distance in a power cut
            served.log.mark()
        except NoriaError as error:
            return Unhealthy(f"{error.what}: {error.where}")
        except OSError as error:
            return Unhealthy(str(LogFailed(served.log.folder, str(error))))
        return Healthy({"golden_rows": len(deployment.golden_answers), "largest_difference": difference})

    async def _proven(self, served: ServedEndpoint, deployment: LoadedModel) -> float | None:
        """How far the golden rows' answers are from the sealed ones; None where a model in a process of its own is still busy, which has a
        deadline: other endpoints are looked at meanwhile. Raises as `LoadedModel.prove`."""
        if deployment.apart is None:
            return deployment.prove()
        if (difference := self._lately_proven(served, deployment)) is not None:
            return difference
        if served.proving is None or served.proving[0] is not deployment:
            served.proving = deployment, self._loop.create_task(deployment.proven())
            served.proving[1].add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody may be left to ask for it
        task = served.proving[1]
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        if not task.done():
            return None
        served.proving = None
        difference = task.result()
        served.proved = deployment, deployment.apart.restarts, self._loop.time(), difference
        return difference

    def _lately_proven(self, served: ServedEndpoint, deployment: LoadedModel) -> float | None:
        """The difference, where a model that only streams was proven lately, in the process that it still has; otherwise None."""
        streaming, proved = deployment.streaming, served.proved
        if streaming is None or streaming.predicts or proved is None:
            return None
        model, restarts, at, difference = proved
        same = model is deployment and restarts == streaming.restarts and streaming.alive
        return difference if same and self._loop.time() - at < TEXTS_SECONDS else None

    def state(self) -> dict[str, Any]:
        """What this process does, as plain data."""
        health = self.health
        return {
            "writer": self.writer,
            "health": word(health),
            "why": health.cause if isinstance(health, Unhealthy) else health.why if isinstance(health, Unknown) else None,
            "traces": None if self._traces is None else self._traces.to_dict(),
            "unloaded": sorted(self._unloaded),
            "endpoints": [self._endpoint_state(name, served) for name, served in self._served.items()],
        }

    def _endpoint_state(self, name: str, served: ServedEndpoint) -> dict[str, Any]:
        route = served.batcher.route
        return {
            "endpoint": name,
            "bundle": route.champion.bundle.id,
            "shadow": route.shadow.bundle.id if route.shadow else None,
            "candidate": route.candidate.bundle.id if route.candidate else None,
            "health": word(served.health),
            "trouble": "; ".join(filter(None, self._troubles(name, served))) or None,
            "feature_age_seconds": served.feature_age,
            "no_lookup": served.no_lookup or None,
            "counts": asdict(served.batcher.counts),
            "waiting": served.batcher.waiting,
            "open_streams": served.batcher.open_streams,
            "queued_streams": served.batcher.queued_streams,
            "model_restarts": sum(model.apart.restarts for model in route.models if model.apart is not None),
            "cache_hits": route.champion.cache.hits if route.champion.cache else 0,
            "conserved": self._balance(name, served).holds,
            "measures": served.measures.to_dict(),
            "generated": served.batcher.recorder.generated.to_dict() if generates(route.champion.bundle) else None,
            "live_profile": None if served.batcher.live is None else served.batcher.live.to_dict(),
        }

    def _troubles(self, name: str, served: ServedEndpoint) -> tuple[str | None, ...]:
        balance = self._balance(name, served)
        lost = None if balance.holds else f"{balance.rows_in:,} rows answered, {balance.accounted:,} accounted for"
        return served.trouble, served.trouble_of_features, lost

    def _balance(self, name: str, served: ServedEndpoint) -> Balance:
        counts = served.batcher.counts
        return Balance(f"serve {name}", counts.answered, {"logged": counts.logged, "left out by sampling": counts.unlogged})

    # --- the end ---

    @property
    def idle(self) -> bool:
        """Whether all that was asked is answered, and durable."""
        return self._commit.idle and self._feedback.idle and all(served.batcher.idle for served in self._served.values())

    def stop_streams(self, error: NoriaError) -> None:
        """End all answers that are made in parts where they are; their clients are told."""
        for served in self._served.values():
            served.batcher.stop_streams(error)

    async def close(self) -> None:
        """Close the logs, the traces and the sums."""
        self._commit.close()
        self._feedback.close()
        if self._traces is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_TRACES_SECONDS):
                    await in_thread(self._traces.close)
        unloaded_before = {name: served for name, (_, served) in self._unloaded.items() if served is not None}
        for name, served in {**unloaded_before, **self._served}.items():
            served.batcher.close()
            served.log.close()
            await self._write_failures(served)
            sums = {"writer": self.writer, "endpoint": name, **asdict(served.batcher.counts)}
            self._files.write(served.log.folder / SUMS_FILE, msgspec.json.encode(sums))
