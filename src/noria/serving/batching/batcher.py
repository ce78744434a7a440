"""Micro-batches: the rows of all requests that are waiting go through the model together, and then to the recorder.

Nothing waits for a batch to fill: while one batch is scored, the next requests arrive, and they are the next batch (ADR
0010). So an idle server answers at once, and a busy one joins as much as it must.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from noria.core.clock import Clock, Stopwatch, from_epoch, since_epoch
from noria.core.errors import NoriaError, UserMistake
from noria.core.ids import short
from noria.data.rows import Rows
from noria.models.runtimes.port import ModelBusy, ModelFailed
from noria.serving.access.labels import limit, place_of_labels
from noria.serving.access.tenants import place_of_tenant, set_tenant
from noria.serving.batching.loaded_model import LoadedModel
from noria.serving.batching.recorder import MAX_UNSAFE, Recorder
from noria.serving.batching.request_queue import ORDINARY, Overloaded, Priority, RequestOptions, RequestQueue, TooLate
from noria.serving.batching.route import Route
from noria.serving.batching.shadowed import Shadowed
from noria.serving.batching.streamed import PartsResponder, StreamedAnswer
from noria.serving.log.predictions import Values
from noria.serving.observe.metrics import Measures
from noria.serving.observe.traces import Stage, Stages
from noria.serving.protocol.decoder import Decoder
from noria.serving.protocol.request import BadRequest, PredictRequest, Responder, Stamp

if TYPE_CHECKING:
    from noria.serving.observe.live_profile import LiveProfile

logger = logging.getLogger("noria.serving")


class Batcher:
    """Joins the requests of one endpoint. Used from one event loop.

    most_rows, most_batch_bytes: of a batch; most_bytes: of large values that may wait; budget_seconds: what waiting and scoring may take
        (see `noria.serving.batching.request_queue`)
    """

    def __init__(
        self,
        route: Route,
        recorder: Recorder,
        clock: Clock,
        measures: Measures,
        *,
        most_rows: int,
        budget_seconds: float,
        most_bytes: float = math.inf,
        most_batch_bytes: float = math.inf,
    ) -> None:
        self._route: Route | None = route
        self._before: deque[tuple[Route, list[PredictRequest]]] = deque()  # batches for a route that was swapped while its model computed
        self._computing = 0  # calls that the champion, in a process of its own, was asked and has not answered
        self._whole_texts = 0  # calls for several texts, which nothing waits for
        self._streams: set[StreamedAnswer] = set()
        self._retired: list[LoadedModel] = []
        self._shadowed = Shadowed(recorder)
        self._closed = False
        self.decoder: Decoder = route.champion.decoder
        self._set_places(route)
        self.recorder, self.counts, self._clock, self._measures = recorder, recorder.counts, clock, measures
        self._loop = asyncio.get_running_loop()
        bounds = {"most_bytes": most_bytes, "most_batch_bytes": most_batch_bytes}
        self.line = RequestQueue(self._loop.time, most_rows=most_rows, budget_seconds=budget_seconds, **bounds)
        self._stamp: Stamp | None = None
        self._refusal: Overloaded | None = None  # said to all who come in one turn of the loop: refusing must cost little
        self.live: LiveProfile | None = None

    def ask(self, asked: PredictRequest, client: Responder, terms: RequestOptions = ORDINARY) -> None:
        """Have a request answered: its client hears of it once, on the event loop. Raises `Overloaded` or `LogFailed`."""
        counts, line, rows = self.counts, self.line, asked.count
        counts.requests += 1
        counts.asked += rows
        self._require_log(rows)
        self._say_who_asks(asked, terms)
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
        self.recorder.begin_trace(asked, terms.parent)

    def stream(self, asked: PredictRequest, client: PartsResponder, terms: RequestOptions = ORDINARY) -> None:
        """Have a request of one row answered in parts. It stands in no line: its model says how many it makes at once. Raises as `ask`."""
        counts, route = self.counts, self.route
        counts.requests, counts.asked, counts.streams = counts.requests + 1, counts.asked + 1, counts.streams + 1
        self._require_log(1)
        self._say_who_asks(asked, terms)
        asked.client, asked.stamp = client, (since_epoch(self._clock.now()), Stopwatch())
        if terms.timeout_seconds is not None:
            asked.deadline = self._loop.time() + terms.timeout_seconds
        self.recorder.reserve_id(asked)
        self.recorder.begin_trace(asked, terms.parent)
        self._begin_stream(asked, route.of(asked, counts.streams), client)

    def _set_places(self, route: Route) -> None:
        bundle = route.champion.bundle
        self._labels, self._tenant = place_of_labels(bundle), place_of_tenant(bundle)

    def _say_who_asks(self, asked: PredictRequest, terms: RequestOptions) -> None:
        """Put what the key says of the asker into the rows, in place of what the request says."""
        if self._labels is not None:
            limit(asked, self._labels, terms.labels)
        if self._tenant is not None:
            set_tenant(asked, self._tenant, terms.tenant)

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

    def _require_log(self, rows: int) -> None:
        """Raises `LogFailed` or `Overloaded` where what is answered now could not be logged."""
        recorder = self.recorder
        if recorder.failed is not None:
            recorder.count_failed(rows, recorder.failed)
            raise recorder.failed
        if recorder.unsafe >= MAX_UNSAFE:
            self._reject(rows, Overloaded(recorder.unsafe, self.line.budget))

    def _reject(self, rows: int, error: Overloaded) -> NoReturn:
        self.recorder.count_failed(rows, error)
        self.counts.rejected += rows
        raise error.with_traceback(None)

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
            self._score_arms(*self._before.popleft())
        self._route, self.decoder = route, route.champion.decoder
        self._set_places(route)
        if before is not None:
            self._retire([model for model in before.models if all(model is not each for each in route.models)])

    def _retire(self, models: Sequence[LoadedModel]) -> None:
        """Close models once the batches that are theirs are answered."""
        self._retired += models
        self._close_retired()

    def _close_retired(self) -> None:
        if self._retired and not self._computing and not self._before and not self._whole_texts:
            streaming = {id(stream.route.champion) for stream in self._streams}
            for model in self._retired:
                if id(model) not in streaming:
                    model.close()
            self._retired = [model for model in self._retired if id(model) in streaming]

    def close(self) -> None:
        """Close all models; nothing is asked afterwards."""
        self._closed = True
        self._streams.clear()
        for model in [*self._retired, *(() if self._route is None else self._route.models)]:
            model.close()
        self._retired = []

    def _score(self) -> None:
        """Score a batch of what has gathered. The loop turns between two, so that a slow model holds up nothing else for long."""
        self._stamp = self._refusal = None
        if self._computing:
            return  # what gathers meanwhile is the next batch
        if self._before:
            self._score_arms(*self._before.popleft())
        elif self.line and (batch := self._next_batch()):
            self._score_arms(self.route, batch)
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
        self.recorder.fail([asked], error or TooLate(), ours=error is not None)

    def _score_arms(self, route: Route, batch: list[PredictRequest]) -> None:
        for own, part in route.by_arm(batch):
            self._score_batch(own, part)

    def _score_batch(self, route: Route, batch: list[PredictRequest]) -> None:
        """Score a batch by one route: what changes it comes between batches."""
        watch, since = Stopwatch(), batch[0].stamp[1]
        waited = since.seconds
        self._measures.waited(waited)
        if route.champion.only_streams:
            self._each_by_parts(batch, route)
            return
        stages = [("wait", 0.0, waited)]
        if any([asked.entities is not None for asked in batch]):  # noqa: C419 - a list is quicker here
            batch = self._look_up(batch, route)
            self._measures.looked_up(watch.seconds)
            stages.append(("lookup", waited, since.seconds))
            if not batch:
                return
        try:
            rows = route.rows(batch)
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
        self.line.saw(len(rows), seconds, 0 if rows.is_dense else sum([asked.weight for asked in batch]))
        self._measures.scored(len(rows), seconds)
        stages.append(("score", stages[-1][2], since.seconds))
        if self.live is not None:
            self.live.saw(rows, answers)
        self.recorder.record(batch, route.champion.bundle, rows, answers, stages=stages, variant=route.variant)
        self._shadowed.ask(route, batch, rows)

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
                self._one_answered(asked, route, route.rows([asked]), found)

    def _one_answered(self, asked: PredictRequest, route: Route, rows: Rows, found: Rows | ModelFailed) -> None:
        if isinstance(found, Rows):
            self.recorder.record([asked], route.champion.bundle, rows, found, variant=route.variant)
        else:
            if found.alive and not found.mistake:  # otherwise its runtime has said so, once
                logger.error("bundle %s: %s", short(route.champion.bundle.id), found)
            self._fall_back(asked, route, rows, found)

    # --- answers in parts ---

    @property
    def open_streams(self) -> int:
        """Answers that are made in parts, or wait for their turn."""
        return len(self._streams)

    @property
    def queued_streams(self) -> int:
        """Those of them that wait for their turn."""
        streaming = None if self._route is None else self._route.champion.streaming
        return 0 if streaming is None else streaming.queued_streams

    def stop_streams(self, error: NoriaError) -> None:
        """End all answers that are made in parts where they are."""
        for stream in list(self._streams):
            stream.stop(error)

    def _begin_stream(self, asked: PredictRequest, route: Route, client: PartsResponder | None) -> None:
        try:
            row = _within_range(route.rows([asked]))
        except BadRequest as error:
            self.recorder.fail([asked], error)
            return
        stream = StreamedAnswer(self, route, asked, row, client)
        self._streams.add(stream)
        stream.begin()

    def _each_by_parts(self, batch: Sequence[PredictRequest], route: Route) -> None:
        """Each request takes its own time, since its model only makes parts: none waits for another."""
        if any(asked.entities is not None for asked in batch):
            batch = self._look_up(list(batch), route)
        for asked in batch:
            if asked.count == 1:
                self._begin_stream(asked, route, None)
                continue
            try:
                rows = route.rows([asked])
            except BadRequest as error:
                self.recorder.fail([asked], error)
                continue
            self._whole_texts += 1
            route.champion.ask(rows, partial(self._texts_answered, asked, route, rows))

    def _texts_answered(self, asked: PredictRequest, route: Route, rows: Rows, found: Rows | ModelFailed) -> None:
        if not self._closed:
            self._whole_texts -= 1
            self._made_of_parts(asked, route, rows, found)
            self._close_retired()

    def _made_of_parts(self, asked: PredictRequest, route: Route, rows: Rows, found: Rows | ModelFailed, stages: Stages = ()) -> None:
        """What a model that makes parts has answered to one request."""
        if not isinstance(found, Rows):
            self._one_answered(asked, route, rows, found)
            return
        if self.live is not None:
            self.live.saw(rows, found)
        self.recorder.record([asked], route.champion.bundle, rows, found, stages=stages, variant=route.variant)
        self._shadowed.ask(route, [asked], rows)

    def first_part(self, seconds: float) -> None:
        """An answer's first part was made, so long after it was asked for."""
        self._measures.first_part(seconds)

    def stream_ended(self, stream: StreamedAnswer, found: Rows | NoriaError | None) -> None:
        """A streamed answer is complete, has failed, or (None) its client is gone."""
        if self._closed:
            return
        self._streams.discard(stream)
        asked, route, sent = stream.asked, stream.route, stream.sent
        self.counts.late += isinstance(found, TooLate)
        self.counts.gone += found is None
        if sent is not None and not isinstance(found, Rows):
            outputs, cut = route.champion.bundle.signature.outputs, found or TooLate()
            values = Values(stream.row, Rows.of_values(outputs, [(sent, *[None] * (len(outputs) - 1))]))
            tell = partial(stream.was_cut, found)
            self.recorder.record_cut(asked, route.champion.bundle, values, cut, tell, ours=found is not None)
        elif isinstance(found, Rows | ModelFailed) and not isinstance(found, ModelBusy):
            self._made_of_parts(asked, route, stream.row, found, stream.stages)
        else:
            self.recorder.fail([asked], found or TooLate(), ours=found is not None)
        if self._retired:
            self._loop.call_soon(self._close_retired)

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
        rows, at = found.select(route.decoded, "the model"), 0
        for asked in asking:
            asked.rows, asked.entities = rows.part(at, at + asked.count), None
            at += asked.count

    def _each_alone(self, batch: Sequence[PredictRequest], route: Route) -> None:
        """A bad row fails alone: its batch's other requests are scored one by one."""
        for asked in batch:
            try:
                rows = _within_range(route.rows([asked]))
            except BadRequest as error:
                self.recorder.fail([asked], error)
                continue
            answered = partial(self._one_answered, asked, route, rows)
            if route.champion.apart is not None:
                self._ask_champion(route, rows, answered)
            else:
                route.champion.ask(rows, answered)

    def _fall_back(self, asked: PredictRequest, route: Route, rows: Rows, error: NoriaError) -> None:
        """Answer as the endpoint declares where its champion can't: by the version before, by the default, or with the error."""
        if not isinstance(error, ModelFailed) or error.mistake or route.previous is None:
            self._answer_default(asked, route, rows, error)
            return
        previous, inputs = route.previous, route.previous.inputs(rows)

        def answered(found: Rows | ModelFailed) -> None:
            if isinstance(found, Rows):
                self.recorder.record([asked], previous.bundle, inputs, found, "previous")
            else:
                if found.alive:
                    logger.error("bundle %s: %s", short(previous.bundle.id), found)
                self._answer_default(asked, route, rows, error)

        previous.ask(inputs, answered)

    def _answer_default(self, asked: PredictRequest, route: Route, rows: Rows, error: NoriaError) -> None:
        if route.default is None or isinstance(error, UserMistake) or (isinstance(error, ModelFailed) and error.mistake):
            self.recorder.fail([asked], error)
        else:
            default = Rows.of_scores(route.champion.bundle.signature.outputs, np.tile(route.default, (len(rows), 1)))
            self.recorder.record([asked], route.champion.bundle, rows, default, "default")


def _within_range(rows: Rows) -> Rows:
    """Raises `BadRequest` for a number that is infinite: beyond its column's float."""
    if rows.beyond_range():
        raise BadRequest(what="a feature is too large", where="the body", fix="send numbers within the range of float32")
    return rows
