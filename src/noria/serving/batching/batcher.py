"""Micro-batches: the rows of all requests that are waiting go through the model together, then into the log, then out.

Nothing waits for a batch to fill: while one batch is scored, the next requests arrive, and they are the next batch (ADR
0010). So an idle server answers at once, and a busy one joins as much as it must.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from noria.core.clock import Clock, Stopwatch, from_epoch, since_epoch
from noria.core.errors import NoriaError, UserMistake
from noria.core.ids import PredictionIds, short
from noria.data.rows import Rows
from noria.models.bundle import Bundle
from noria.models.registry import CHALLENGER, CHAMPION
from noria.models.runtimes.port import ModelFailed
from noria.serving.batching.loaded_model import LoadedModel
from noria.serving.batching.lookup import Lookup
from noria.serving.batching.request_queue import ORDINARY, Overloaded, Priority, RequestOptions, RequestQueue, TooLate
from noria.serving.log.commit import GroupCommit
from noria.serving.log.log_filter import LogFilter
from noria.serving.log.predictions import FALLBACK, Predictions, Values
from noria.serving.log.segments import LogFailed, PredictionLog
from noria.serving.observe.failures import Failures
from noria.serving.observe.metrics import Measures
from noria.serving.observe.traces import Stage, Stages, Trace, answered_by
from noria.serving.protocol.decoder import Decoder
from noria.serving.protocol.request import BadRequest, PredictRequest, Responder, Stamp, keys_of, rows_of

if TYPE_CHECKING:
    from noria.serving.observe.live_profile import LiveProfile

logger = logging.getLogger("noria.serving")

MAX_SHADOWING = 32  # batches that a shadow in a process of its own may be behind
MAX_UNSAFE = 32_768  # rows that may be scored and not yet safe in the log: a slow disk refuses, it does not fill the memory


@dataclass(frozen=True)
class Route:
    """Who answers an endpoint's requests, and who scores them unseen.

    previous: answers what the champion fails on, where that was asked for; default: the answer where nobody has one
    """

    champion: LoadedModel
    shadow: LoadedModel | None = None
    lookup: Lookup | None = None
    previous: LoadedModel | None = None
    default: float | None = None

    @property
    def models(self) -> list[LoadedModel]:
        """All that are open for it."""
        return [model for model in (self.champion, self.shadow, self.previous) if model is not None]


@dataclass
class Counts:
    """What a batcher has done, in rows but for `requests`. asked = answered + failed + what is under way; answered = logged + unlogged.

    unlogged: answered rows that the log's sampling left out; late, gone: failed ones whose deadline or client had passed away
    """

    requests: int = 0
    asked: int = 0
    answered: int = 0
    logged: int = 0
    unlogged: int = 0
    failed: int = 0
    rejected: int = 0
    late: int = 0
    gone: int = 0
    fallbacks: int = 0
    shadowed: int = 0
    batches: int = 0


class Batcher:
    """Joins the requests of one endpoint. Used from one event loop.

    traces: begins the trace of a request with this parent, received at this time
    most_rows: of a batch; budget_seconds: what waiting and scoring may take (see `noria.serving.batching.request_queue`)
    """

    def __init__(
        self,
        route: Route,
        log: PredictionLog,
        ids: PredictionIds,
        commit: GroupCommit,
        clock: Clock,
        measures: Measures,
        kept: LogFilter,
        traces: Callable[[str, int], Trace | None] | None = None,
        *,
        most_rows: int,
        budget_seconds: float,
    ) -> None:
        self._route: Route | None = route
        self._before: deque[tuple[Route, list[PredictRequest]]] = deque()  # batches for a route that was swapped while its model computed
        self._computing = 0  # calls that the champion, in a process of its own, was asked and has not answered
        self._retired: list[LoadedModel] = []
        self._shadowing, self._closed = 0, False
        self.decoder: Decoder = route.champion.decoder
        self._log, self._ids, self._commit, self._clock, self._measures, self._kept = log, ids, commit, clock, measures, kept
        self._loop = asyncio.get_running_loop()
        self.line = RequestQueue(self._loop.time, most_rows=most_rows, budget_seconds=budget_seconds)
        self._stamp: Stamp | None = None
        self._refusal: Overloaded | None = None  # said to all who come in one turn of the loop: refusing must cost little
        self._unsafe = 0
        self._traces, self._traced = traces, 0  # so many requests that are under way have a trace
        self.counts, self.failures = Counts(), Failures()
        self.failed: LogFailed | None = None
        self.live: LiveProfile | None = None

    def ask(self, asked: PredictRequest, client: Responder, terms: RequestOptions = ORDINARY) -> None:
        """Have a request answered: its client hears of it once, on the event loop. Raises `Overloaded` or `LogFailed`."""
        counts, line, rows = self.counts, self.line, asked.count
        counts.requests += 1
        counts.asked += rows
        if self.failed is not None:
            self._count_failed(rows, self.failed)
            raise self.failed
        if self._unsafe >= MAX_UNSAFE:
            self._reject(rows, Overloaded(self._unsafe, line.budget))
        # requests read from sockets in one turn of the loop share a time: it is the first's, so latencies are never too low
        asked.client, asked.stamp = client, self._stamp or (since_epoch(self._clock.now()), Stopwatch())
        if terms.timeout_seconds is not None:
            asked.deadline = self._loop.time() + terms.timeout_seconds
        idle = not line.rows
        try:
            line.put(asked, terms.priority)
        except Overloaded as error:
            self._reject(rows, error)
        if self._stamp is None:
            self._stamp = asked.stamp
            if idle or self._computing:
                self._loop.call_soon(self._score)
        if self._traces is not None and (trace := self._traces(terms.parent, asked.stamp[0])) is not None:
            asked.trace = trace
            self._traced += 1

    def refuse(self, asked: PredictRequest, client: Responder, error: NoriaError) -> None:
        """Don't score a request: it gets the endpoint's default, where there is one, or the error."""
        self.counts.requests += 1
        self.counts.asked += asked.count
        asked.client, asked.stamp = client, (since_epoch(self._clock.now()), Stopwatch())
        self._fall_back(asked, self.route, self._unknown(asked, self.route), error)

    def require_room(self, priority: Priority = Priority.NORMAL) -> None:
        """Refuse a request of any size before it is even decoded, when what waits is enough. Raises `Overloaded`."""
        if self.line.rows and self.line.full(priority):
            self.counts.requests += 1
            self.counts.asked += 1
            if self._refusal is None:
                self._refusal = Overloaded(self.line.rows, self.line.budget)
            self._reject(1, self._refusal)

    def _reject(self, rows: int, error: Overloaded) -> NoReturn:
        self._count_failed(rows, error)
        self.counts.rejected += rows
        raise error.with_traceback(None)

    def _count_failed(self, rows: int, error: NoriaError, *, ours: bool = True) -> None:
        self.counts.failed += rows
        if ours:
            self.failures.add(rows, error, since_epoch(self._clock.now()))

    @property
    def route(self) -> Route:
        """Who answers now."""
        assert self._route is not None, "this endpoint is unloaded"
        return self._route

    def rest(self) -> None:
        """Let go of the models; nothing may be asked until the next `swap`."""
        if self._route is not None:
            self._retire(self._route.models)
        self._route = None

    def rests(self) -> bool:
        """Whether the models are closed."""
        return self._route is None

    @property
    def idle(self) -> bool:
        return not self.line and self.counts.asked == self.counts.answered + self.counts.failed

    @property
    def waiting(self) -> int:
        """Rows that wait to be scored."""
        return self.line.rows

    def swap(self, route: Route) -> None:
        """Serve by another route from now on. What was decoded for the one before is scored by it first."""
        before = self._route
        while self.line:
            batch = self._next_batch()
            if before is not None and batch:
                self._before.append((before, batch))
        while self._before and not self._computing:
            self._score_batch(*self._before.popleft())
        self._route, self.decoder = route, route.champion.decoder
        if before is not None:
            self._retire([model for model in before.models if all(model is not each for each in route.models)])

    def _retire(self, models: Sequence[LoadedModel]) -> None:
        """Close models once the batches that are theirs are answered."""
        self._retired += models
        self._close_retired()

    def _close_retired(self) -> None:
        if self._retired and not self._computing and not self._before:
            for model in self._retired:
                model.close()
            self._retired = []

    def close(self) -> None:
        """Close all models; nothing is asked afterwards."""
        self._closed = True
        for model in [*self._retired, *(() if self._route is None else self._route.models)]:
            model.close()
        self._retired = []

    def _score(self) -> None:
        """Score a batch of what has gathered. The loop turns between two, so that a slow model holds up nothing else for long."""
        self._stamp = self._refusal = None
        if self._computing:
            return  # what gathers meanwhile is the next batch
        if self._before:
            self._score_batch(*self._before.popleft())
        elif self.line and (batch := self._next_batch()):
            self._score_batch(self.route, batch)
        if (self.line or self._before) and not self._computing:
            self._loop.call_soon(self._score)

    def _next_batch(self) -> list[PredictRequest]:
        batch, dropped = self.line.next_batch()
        for asked, error in dropped:
            self._drop(asked, error)
        return batch

    def _drop(self, asked: PredictRequest, error: NoriaError | None) -> None:
        self.counts.late += asked.count if error is not None else 0
        self.counts.gone += asked.count if error is None else 0
        self._fail([asked], error or TooLate(), ours=error is not None)

    def _score_batch(self, route: Route, batch: list[PredictRequest]) -> None:
        """Score a batch by one route: what changes it comes between batches."""
        watch, since = Stopwatch(), batch[0].stamp[1]
        waited = since.seconds
        self._measures.waited(waited)
        stages = [("wait", 0.0, waited)]
        if any([asked.entities is not None for asked in batch]):  # noqa: C419 - a list is quicker here
            batch = self._look_up(batch, route)
            self._measures.looked_up(watch.seconds)
            stages.append(("lookup", waited, since.seconds))
            if not batch:
                return
        try:
            rows = rows_of(batch, route.champion.bundle.signature.inputs)
        except BadRequest:
            self._each_alone(batch, route)
            return
        if rows.beyond_range():
            self._each_alone(batch, route)
            return
        if route.champion.apart is not None:
            self._ask_champion(route, rows, partial(self._batch_answered, batch, route, rows, watch, stages))
            return
        try:
            answers = route.champion.answer(rows)
        except ModelFailed as error:
            self._retry(batch, route, error)
            return
        self._scored(batch, route, rows, answers, watch, stages)

    def _retry(self, batch: Sequence[PredictRequest], route: Route, error: ModelFailed) -> None:
        logger.warning("a batch of %d rows failed; retrying request by request: %s", sum(asked.count for asked in batch), error)
        self._each_alone(batch, route)

    def _scored(
        self, batch: Sequence[PredictRequest], route: Route, rows: Rows, answers: Rows, watch: Stopwatch, stages: list[Stage]
    ) -> None:
        """Record what the champion answered, and have the shadow answer too."""
        since, seconds = batch[0].stamp[1], watch.seconds
        self.line.saw(len(rows), seconds)
        self._measures.scored(len(rows), seconds)
        stages.append(("score", stages[-1][2], since.seconds))
        if self.live is not None:
            self.live.saw(rows, answers)
        self._record(batch, route.champion.bundle, rows, answers, stages=stages)
        if route.shadow is not None:
            self._shadow(route.shadow, batch, rows)

    # --- models in processes of their own: what is asked of them is answered later, and what comes meanwhile waits in the line ---

    def _ask_champion(self, route: Route, rows: Rows, then: Callable[[Rows | ModelFailed], None]) -> None:
        def answered(found: Rows | ModelFailed) -> None:
            if self._closed:
                return
            self._computing -= 1
            then(found)
            if not self._computing:
                self._close_retired()
                if self.line or self._before:
                    self._loop.call_soon(self._score)

        self._computing += 1
        route.champion.ask(rows, answered)

    def _batch_answered(
        self, batch: list[PredictRequest], route: Route, rows: Rows, watch: Stopwatch, stages: list[Stage], found: Rows | ModelFailed
    ) -> None:
        if isinstance(found, Rows):
            self._scored(batch, route, rows, found, watch, stages)
        elif found.alive and len(batch) > 1:
            self._retry(batch, route, found)
        else:  # its process is gone: each of them may be why, and asking them again would cost the next process its life
            for asked in batch:
                self._one_answered(asked, route, rows_of([asked], route.champion.bundle.signature.inputs), found)

    def _one_answered(self, asked: PredictRequest, route: Route, rows: Rows, found: Rows | ModelFailed) -> None:
        if isinstance(found, Rows):
            self._record([asked], route.champion.bundle, rows, found)
        else:
            if found.alive:  # otherwise its runtime has said so, once
                logger.error("bundle %s: %s", short(route.champion.bundle.id), found)
            self._fall_back(asked, route, rows, found)

    def _look_up(self, batch: list[PredictRequest], route: Route) -> list[PredictRequest]:
        """Get the features of entities, of the whole batch in one call; returns the requests that have theirs. The others are failed."""
        asking = [asked for asked in batch if asked.entities is not None]
        failed: set[int] = set()
        try:
            self._fill(asking, route)
        except NoriaError:  # one damaged record or bad value fails alone
            for asked in asking:
                try:
                    self._fill([asked], route)
                except NoriaError as error:
                    self._fall_back(asked, route, self._unknown(asked, route), error)
                    failed.add(id(asked))
        return [asked for asked in batch if id(asked) not in failed]

    @staticmethod
    def _unknown(asked: PredictRequest, route: Route) -> Rows:
        return Rows.unknown(route.champion.bundle.signature.inputs, asked.count)

    def _fill(self, asking: Sequence[PredictRequest], route: Route) -> None:
        assert route.lookup is not None
        entities = [entity for asked in asking for entity in asked.entities or ()]
        found = route.lookup.features(entities, from_epoch(asking[0].stamp[0]))
        rows, at = found.select(route.champion.bundle.signature.inputs, "the model"), 0
        for asked in asking:
            asked.rows, asked.entities = rows.part(at, at + asked.count), None
            at += asked.count

    def _each_alone(self, batch: Sequence[PredictRequest], route: Route) -> None:
        """A bad row fails alone: its batch's other requests are scored one by one."""
        for asked in batch:
            try:
                rows = _within_range(rows_of([asked], route.champion.bundle.signature.inputs))
            except BadRequest as error:
                self._fail([asked], error)
                continue
            answered = partial(self._one_answered, asked, route, rows)
            if route.champion.apart is not None:
                self._ask_champion(route, rows, answered)
            else:
                route.champion.ask(rows, answered)

    def _fall_back(self, asked: PredictRequest, route: Route, rows: Rows, error: NoriaError) -> None:
        """Answer as the endpoint declares where its champion can't: by the version before, by the default, or with the error."""
        if not isinstance(error, ModelFailed) or route.previous is None:
            self._answer_default(asked, route, rows, error)
            return
        previous, inputs = route.previous, route.previous.inputs(rows)

        def answered(found: Rows | ModelFailed) -> None:
            if isinstance(found, Rows):
                self._record([asked], previous.bundle, inputs, found, "previous")
            else:
                if found.alive:
                    logger.error("bundle %s: %s", short(previous.bundle.id), found)
                self._answer_default(asked, route, rows, error)

        previous.ask(inputs, answered)

    def _answer_default(self, asked: PredictRequest, route: Route, rows: Rows, error: NoriaError) -> None:
        if route.default is None or isinstance(error, UserMistake):
            self._fail([asked], error)
        else:
            default = Rows.of_values(route.champion.bundle.signature.outputs, [(route.default,)] * len(rows))
            self._record([asked], route.champion.bundle, rows, default, "default")

    def _record(
        self,
        batch: Sequence[PredictRequest],
        bundle: Bundle,
        inputs: Rows,
        answers: Rows,
        fallback: str | None = None,
        stages: Stages = (),
    ) -> None:
        """Log a scored batch, and let its answers go once the log is safe."""
        received_us, watch = batch[0].stamp
        variant = FALLBACK if fallback else CHAMPION
        rows = self._logged_rows(variant, bundle.id, batch, Values(inputs, answers), received_us, int(1e6 * watch.seconds))
        self.counts.batches += 1
        self.counts.fallbacks += len(rows) if fallback else 0
        logged = self._kept(rows)
        try:
            if logged is not None:
                self._log.append(logged)
        except LogFailed as error:
            self._stop(batch, error)
            return
        self._unsafe += len(rows)
        appended = watch.seconds

        def done(failure: LogFailed | None) -> None:
            self._unsafe -= len(rows)
            if failure is not None:
                self._stop(batch, failure)
                return
            self.counts.logged += 0 if logged is None else len(logged)
            self.counts.unlogged += len(rows) - (0 if logged is None else len(logged))
            self._deliver(batch, bundle, rows.ids, answers, fallback)
            seconds = watch.seconds
            if self._traced:
                about = answered_by(bundle.id, len(rows), fallback)
                self._end_traces(batch, [*stages, ("commit", appended, seconds)], seconds, about)
            self._measures.answered(len(rows), seconds, seconds - appended)

        self._commit.after(self._log, done)

    def _end_traces(self, batch: Sequence[PredictRequest], stages: Stages, seconds: float, about: Mapping[str, Any]) -> None:
        for asked in batch:
            if asked.trace is not None:
                self._traced -= 1
                asked.trace.end(stages, seconds, about)

    def _deliver(self, batch: Sequence[PredictRequest], bundle: Bundle, ids: list[str], answers: Rows, fallback: str | None) -> None:
        self.counts.answered += len(ids)
        predictions = answers.listed()
        if len(ids) == len(batch):  # a row each
            for asked, prediction, identifier in zip(batch, predictions, ids, strict=True):
                asked.client.answered(bundle, [prediction], [identifier], fallback)
            return
        at = 0
        for asked in batch:
            end = at + asked.count
            asked.client.answered(bundle, predictions[at:end], ids[at:end], fallback)
            at = end

    def _shadow(self, shadow: LoadedModel, batch: Sequence[PredictRequest], given: Rows) -> None:
        """Score the same rows unseen, its inputs by their names. What goes wrong here is logged and changes no answer."""
        watch, inputs = Stopwatch(), shadow.inputs(given)
        if shadow.apart is not None and self._shadowing >= MAX_SHADOWING:
            logger.warning("shadow %s is slower than the champion: %d rows are not scored by it", short(shadow.bundle.id), len(given))
            return

        def answered(found: Rows | ModelFailed) -> None:
            self._shadowing -= 1
            self._log_shadow(shadow, batch, inputs, found, int(1e6 * watch.seconds))

        self._shadowing += 1
        shadow.ask(inputs, answered)

    def _log_shadow(
        self, shadow: LoadedModel, batch: Sequence[PredictRequest], inputs: Rows, found: Rows | ModelFailed, latency_us: int
    ) -> None:
        try:
            if not isinstance(found, Rows):
                raise found
            rows = self._logged_rows(CHALLENGER, shadow.bundle.id, batch, Values(inputs, found), batch[0].stamp[0], latency_us)
            logged = self._kept(rows)
            if logged is not None:
                self._log.append(logged)
        except (ModelFailed, LogFailed) as error:
            logger.error("shadow %s: %s", short(shadow.bundle.id), error)
            return
        self.counts.shadowed += len(inputs)

    def _logged_rows(
        self,
        variant: str,
        bundle: str,
        batch: Sequence[PredictRequest],
        values: Values,
        received_us: int,
        latency_us: int,
    ) -> Predictions:
        count = len(values.inputs)
        return Predictions(
            ids=self._ids.take_at(received_us // 1000, count),
            keys=keys_of(batch),
            variant=[variant] * count,
            bundle=[bundle] * count,
            received_us=np.full(count, received_us, np.int64),
            latency_us=np.full(count, latency_us, np.int32),
            values={bundle: values},
        )

    def _fail(self, batch: Sequence[PredictRequest], error: NoriaError, *, ours: bool = True) -> None:
        """Tell the clients. ours: whether they would have heard of it, so that it is a failure of this server"""
        for asked in batch:
            self._count_failed(asked.count, error, ours=ours)
            asked.client.fail(error)
            if asked.trace is not None:
                self._traced -= 1
                asked.trace.fail(error, asked.stamp[1].seconds)

    def _stop(self, batch: Sequence[PredictRequest], error: LogFailed) -> None:
        """The log can't be written: refuse this batch and everything after it."""
        self.failed = error
        self._fail(batch, error)


def _within_range(rows: Rows) -> Rows:
    """Raises `BadRequest` for a number that is infinite: beyond its column's float."""
    if rows.beyond_range():
        raise BadRequest(what="a feature is too large", where="the body", fix="send numbers within the range of float32")
    return rows
