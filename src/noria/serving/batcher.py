"""Micro-batches: the rows of all requests that are waiting go through the model together, then into the log, then out.

Nothing waits for a batch to fill: while one batch is scored, the next requests arrive, and they are the next batch (ADR
0010). So an idle server answers at once, and a busy one joins as much as it must.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import Clock, Stopwatch, from_epoch, since_epoch
from noria.core.errors import NoriaError, OutsideWorld
from noria.core.ids import PredictionIds, short
from noria.models.runtime import ModelFailed
from noria.serving.commit import GroupCommit
from noria.serving.deployment import Deployment
from noria.serving.log.segments import LogFailed, PredictionLog, Predictions
from noria.serving.lookup import Lookup
from noria.serving.observe.metrics import Measures
from noria.serving.protocol.signature import Asked, BadRequest, feature_matrix

logger = logging.getLogger("noria.serving")

FIRST_CAPACITY = 8  # batches that may wait while the pace is not yet known

CHAMPION, CHALLENGER = "champion", "challenger"


class Overloaded(OutsideWorld):
    """More requests wait than can be answered in time."""

    code = "NR-520"
    retry_after = 1

    def __init__(self, waiting: int, seconds: float) -> None:
        super().__init__(
            what="the server has more to do than it can do in time",
            where=f"{waiting} rows wait, which is {1e3 * seconds:.0f} ms of work",
            mend="try again in a moment, or run more workers (serving.workers)",
        )


@dataclass(frozen=True)
class Route:
    """Who answers an endpoint's requests, and who scores them unseen."""

    champion: Deployment
    shadow: Deployment | None = None
    lookup: Lookup | None = None


class Answered:
    """The answer to one request: a prediction and an id per row, and who gave it."""

    __slots__ = ("deployment", "ids", "predictions")

    def __init__(self, deployment: Deployment, predictions: list[float], ids: list[str]) -> None:
        self.deployment, self.predictions, self.ids = deployment, predictions, ids


Deliver = Callable[[Answered | NoriaError], None]
_Stamp = tuple[int, Stopwatch]  # when a turn of the loop began to read requests (microseconds UTC), and a watch since then
_Waiting = tuple[Asked, Deliver, _Stamp]


@dataclass
class Counts:
    """What a batcher has done, in rows but for `requests`. asked = answered + failed + what is under way."""

    requests: int = 0
    asked: int = 0
    answered: int = 0
    logged: int = 0
    failed: int = 0
    rejected: int = 0
    shadowed: int = 0
    batches: int = 0


class Pace:
    """What a batch costs, from what batches did cost: seconds = fixed + each × rows, both fitted with a fading memory."""

    FADE = 0.98

    def __init__(self) -> None:
        self._weight = self._x = self._xx = self._y = self._xy = 0.0

    def saw(self, rows: int, seconds: float) -> None:
        fade = self.FADE
        self._weight = fade * self._weight + 1
        self._x = fade * self._x + rows
        self._xx = fade * self._xx + rows * rows
        self._y = fade * self._y + seconds
        self._xy = fade * self._xy + rows * seconds

    def fit(self) -> tuple[float, float]:
        """Fixed seconds of a batch, and seconds of each row, by least squares; zeros before anything was seen."""
        if not self._weight:
            return 0.0, 0.0
        at_most = self._y / self._x
        spread = self._weight * self._xx - self._x * self._x
        each = (self._weight * self._xy - self._x * self._y) / spread if spread > 1e-9 * self._xx * self._weight else at_most
        each = min(max(each, 0.0), at_most)
        return (self._y - each * self._x) / self._weight, each

    def rows_within(self, seconds: float, most: int) -> int:
        """How many rows one batch may have to take no longer than `seconds`, at least 1 and at most `most`."""
        fixed, each = self.fit()
        return most if each == 0 else int(min(max((seconds - fixed) / each, 1), most))


class Batcher:
    """Joins the requests of one endpoint. Used from one event loop.

    budget_seconds: what waiting and scoring may take; batches are kept to a quarter of it, and what would wait longer is refused
    """

    SETTLE = 64  # batches between two looks at the pace

    def __init__(
        self,
        route: Route,
        log: PredictionLog,
        ids: PredictionIds,
        commit: GroupCommit,
        clock: Clock,
        measures: Measures,
        *,
        most_rows: int,
        budget_seconds: float,
    ) -> None:
        self.route = route
        self._log, self._ids, self._commit, self._clock, self._measures = log, ids, commit, clock, measures
        self._most_rows, self._budget = most_rows, budget_seconds
        self._batch_rows, self._capacity = most_rows, FIRST_CAPACITY * most_rows
        self._pace = Pace()
        self._gathered: list[_Waiting] = []
        self._rows = 0
        self._stamp: _Stamp | None = None
        self._loop = asyncio.get_running_loop()
        self.counts = Counts()
        self.failed: LogFailed | None = None

    def ask(self, asked: Asked, deliver: Deliver) -> None:
        """Have a request answered; `deliver` is called once, on the event loop. Raises `Overloaded` or `LogFailed`."""
        rows = len(asked)
        self.counts.requests += 1
        self.counts.asked += rows
        if self.failed is not None:
            self.counts.failed += rows
            raise self.failed
        if self._rows + rows > self._capacity and self._rows:
            self._reject(rows)
        stamp = self._stamp
        if stamp is None:
            # requests read from sockets in one turn of the loop share a time: it is the first's, so latencies are never too low
            stamp = self._stamp = since_epoch(self._clock.now()), Stopwatch()
            if not self._gathered:
                self._loop.call_soon(self._score)
        self._gathered.append((asked, deliver, stamp))
        self._rows += rows

    def require_room(self) -> None:
        """Refuse a request of any size before it is even decoded, when what waits is enough. Raises `Overloaded`."""
        if self._rows >= self._capacity:
            self.counts.requests += 1
            self.counts.asked += 1
            self._reject(1)

    def _reject(self, rows: int) -> None:
        self.counts.failed += rows
        self.counts.rejected += rows
        raise Overloaded(self._rows, self._budget)

    @property
    def idle(self) -> bool:
        return not self._gathered and self.counts.asked == self.counts.answered + self.counts.failed

    def swap(self, route: Route) -> None:
        """Serve by another route from now on. What was decoded for the one before is scored by it first."""
        while self._gathered:
            self._score_batch(self._next_batch())
        self.route = route

    def _score(self) -> None:
        """Score a batch of what has gathered. The loop turns between two, so that a slow model holds up nothing else for long."""
        self._stamp = None
        if self._gathered:
            self._score_batch(self._next_batch())
        if self._gathered:
            self._loop.call_soon(self._score)

    def _next_batch(self) -> list[_Waiting]:
        """The first requests that wait, of at most so many rows together (a larger request goes alone)."""
        gathered = self._gathered
        if self._rows <= self._batch_rows:
            self._gathered, self._rows = [], 0
            return gathered
        rows = place = 0
        for asked, _, _ in gathered:
            if place and rows + len(asked) > self._batch_rows:
                break
            rows, place = rows + len(asked), place + 1
        self._gathered, self._rows = gathered[place:], self._rows - rows
        return gathered[:place]

    def _score_batch(self, batch: list[_Waiting]) -> None:
        route = self.route  # one route for the whole batch: what changes it comes between batches
        watch = Stopwatch()
        if any(waiting[0].entities is not None for waiting in batch):
            batch = self._look_up(batch, route)
            if not batch:
                return
        features = feature_matrix([waiting[0] for waiting in batch])
        if np.isinf(features).any():
            self._each_alone(batch, route, features)
            return
        try:
            predictions = _answers(route.champion, features)
        except ModelFailed as error:
            logger.warning("a batch of %d rows failed, and is tried request by request: %s", len(features), error)
            self._each_alone(batch, route, features)
            return
        seconds = watch.seconds
        self._settle(len(features), seconds)
        self._measures.scored(len(features), seconds)
        self._record(batch, route, features, predictions)

    def _look_up(self, batch: list[_Waiting], route: Route) -> list[_Waiting]:
        """Get the features of entities, of the whole batch in one call; returns the requests that have theirs. The others are failed."""
        asking = [waiting for waiting in batch if waiting[0].entities is not None]
        failed: set[int] = set()
        try:
            self._fill(asking, route)
        except NoriaError:  # one damaged record or bad value fails alone
            for waiting in asking:
                try:
                    self._fill([waiting], route)
                except NoriaError as error:
                    self._fail([waiting], error)
                    failed.add(id(waiting))
        return [waiting for waiting in batch if id(waiting) not in failed]

    def _fill(self, asking: Sequence[_Waiting], route: Route) -> None:
        assert route.lookup is not None
        entities = [entity for asked, _, _ in asking for entity in asked.entities or ()]
        features = route.lookup.features(entities, from_epoch(asking[0][2][0]))
        for (asked, _, _), rows in zip(asking, _parts(features, asking), strict=True):
            asked.rows, asked.entities = rows, None

    def _each_alone(self, batch: Sequence[_Waiting], route: Route, features: NDArray[np.float32]) -> None:
        """A bad row fails alone: its batch's other requests are scored one by one."""
        for waiting, rows in zip(batch, _parts(features, batch), strict=True):
            if np.isinf(rows).any():
                self._fail([waiting], BadRequest(what="a feature is too large", where="the body", mend="send numbers within float32"))
                continue
            try:
                predictions = _answers(route.champion, rows)
            except ModelFailed as error:
                logger.error("bundle %s: %s", short(route.champion.bundle.id), error)
                self._fail([waiting], error)
            else:
                self._record([waiting], route, rows, predictions)

    def _record(self, batch: Sequence[_Waiting], route: Route, features: NDArray[np.float32], predictions: NDArray[np.float64]) -> None:
        """Log a scored batch, and let its answers go once the log is safe."""
        received_us, watch = batch[0][2]
        rows = self._logged_rows(CHAMPION, route.champion, batch, features, predictions, received_us, int(1e6 * watch.seconds))
        self.counts.batches += 1
        try:
            self._log.append(rows)
        except LogFailed as error:
            self._stop(batch, error)
            return

        def done(failure: LogFailed | None) -> None:
            if failure is not None:
                self._stop(batch, failure)
                return
            self._deliver(batch, route.champion, rows)
            self._measures.answered(len(rows), watch.seconds)

        self._commit.after(self._log, done)
        if route.shadow is not None:
            self._shadow(route.shadow, batch, features, received_us)

    def _deliver(self, batch: Sequence[_Waiting], deployment: Deployment, rows: Predictions) -> None:
        self.counts.logged += len(rows)
        self.counts.answered += len(rows)
        predictions, ids = rows.prediction.tolist(), rows.ids
        if len(ids) == len(batch):  # a row each
            for (_, deliver, _), prediction, identifier in zip(batch, predictions, ids, strict=True):
                deliver(Answered(deployment, [prediction], [identifier]))
            return
        at = 0
        for asked, deliver, _ in batch:
            end = at + len(asked)
            deliver(Answered(deployment, predictions[at:end], ids[at:end]))
            at = end

    def _shadow(self, shadow: Deployment, batch: Sequence[_Waiting], features: NDArray[np.float32], received_us: int) -> None:
        """Score the same rows unseen. What goes wrong here is logged and changes no answer."""
        watch = Stopwatch()
        try:
            predictions = _answers(shadow, features)
            self._log.append(self._logged_rows(CHALLENGER, shadow, batch, features, predictions, received_us, int(1e6 * watch.seconds)))
        except (ModelFailed, LogFailed) as error:
            logger.error("the shadow %s: %s", short(shadow.bundle.id), error)
            return
        self.counts.shadowed += len(features)

    def _logged_rows(
        self,
        variant: str,
        deployment: Deployment,
        batch: Sequence[_Waiting],
        features: NDArray[np.float32],
        predictions: NDArray[np.float64],
        received_us: int,
        latency_us: int,
    ) -> Predictions:
        count = len(features)
        return Predictions(
            ids=self._ids.take([received_us // 1000] * count),
            keys=[key for asked, _, _ in batch for key in asked.keys],
            variant=[variant] * count,
            bundle=[deployment.bundle.id] * count,
            received_us=np.full(count, received_us, np.int64),
            latency_us=np.full(count, latency_us, np.int32),
            features=features,
            prediction=predictions,
        )

    def _settle(self, rows: int, seconds: float) -> None:
        """Learn what batches cost, and from that how large they may be and how much may wait."""
        self._pace.saw(rows, seconds)
        batches = self.counts.batches
        if batches % self.SETTLE == self.SETTLE - 1 or batches in (1, 2, 4, 8, 16):
            fixed, each = self._pace.fit()
            self._batch_rows = self._pace.rows_within(self._budget / 4, self._most_rows)
            whole = fixed + each * self._batch_rows
            # half of the budget for the batch that is being scored, half for what waits
            first = FIRST_CAPACITY * self._most_rows
            self._capacity = max(int(self._budget / 2 / whole * self._batch_rows), self._batch_rows) if whole else first

    def _fail(self, batch: Sequence[_Waiting], error: NoriaError) -> None:
        for asked, deliver, _ in batch:
            self.counts.failed += len(asked)
            deliver(error)

    def _stop(self, batch: Sequence[_Waiting], error: LogFailed) -> None:
        """The log can't be written: refuse this batch and everything after it."""
        self.failed = error
        self._fail(batch, error)


def _answers(deployment: Deployment, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """A finite score for every row. Raises `ModelFailed`."""
    predictions = deployment.model.predict(features)
    if predictions.shape != (len(features),) or not np.isfinite(predictions).all():
        raise ModelFailed(f"it answered {predictions.shape} for {len(features)} rows, or what is no number")
    return predictions


def _parts(features: NDArray[np.float32], batch: Sequence[_Waiting]) -> list[NDArray[np.float32]]:
    """The rows of each request of a batch."""
    return np.split(features, np.cumsum([len(asked) for asked, _, _ in batch])[:-1])
