"""The drift monitor: do the champion's inputs still look like those it was trained on?

Ten statistics per column and window are scored against how they varied from window to window in the stable past (season and
autocorrelation in it), with an effect floor, and accumulate as e-detectors, whose mean over columns, weighted half evenly and half by how
much of the answer hangs on each, alarms at the threshold that the budget of false alarms implies. What is well is learnt from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from noria.core.calendar import DAILY, Calendar
from noria.core.clock import YEAR
from noria.monitoring.drift_reading import FAULTS, MIN_REFERENCE, MIN_SHIFT, MOVED, PRESENCE, RELATIONS, VALUES, DriftReading, Fault
from noria.monitoring.findings import OVER
from noria.monitoring.monitor import SENSITIVITY
from noria.monitoring.windows import Window
from noria.profiles.profile import STATISTICS, Profile
from noria.statistics.baseline import Baseline, Past, mean_of_known, sd_of_known
from noria.statistics.e_detector import ShiryaevRoberts, alarms_begun_anew

Floats = NDArray[np.float64]

SAME_TIME, RECURS = 1 / 36, 0.5  # of a year, either way, is the same time of it; so much then of what is seen now is a season
MIN_THEN = 5  # windows of that time
DELAY = 3  # windows
HARDER = 10.0
CALM = 0.05  # of the threshold; above it, windows are not learnt from
MAX_PAST = 180
LESS_SENSITIVE: Floats = 0.5 ** np.arange(16, dtype=np.float64)  # times as much, of which the reference allows the highest
ROLLING_DELAY = 7  # windows, after which a rolling baseline takes them in: whatever lasts has been told by then
MAX_SCORE = 3.2  # of one window: what is wrong at once is a fault, drift lasts
MAX_OF_THEM, PATIENCE = 0.5, 2  # when most columns move together, it is a holiday until it has lasted so many days, or longer
# Smaller shifts are trivial, however certain. For a relation: one correlation of 0.15.
FLOORS = {
    "mean_rank": MIN_SHIFT,
    "spread": 0.012,
    "low_tail": 0.0115,
    "high_tail": 0.0115,
    "relation": 0.0225,
    "null_share": 0.015,
    "repeats": 0.015,
    "outside": 0.015,
    "residual": 0.05,  # of the column's variance
    "slices": 0.002,  # a fifth of the rows by 0.4 standard deviations
}
# How much each counts for its column: what the faults lane sees anyhow, little. Any weights make an e-detector.
SHARES = np.array([0.16, 0.16, 0.18, 0.18, 0.12, 0.03, 0.03, 0.03, 0.04, 0.07])
CATEGORY_FLOOR = 0.03  # of the rows, in a half of a column's categories
FLOOR_OF_REPEATS, CATEGORIES_STAND_STILL = 0.15, 0.5  # of a category column, whose values repeat as their mix has it
BY_ITSELF = [i for i, name in enumerate(STATISTICS) if name not in (*RELATIONS, "slices")]
SHAPE = ("spread", "low_tail", "high_tail")  # which are such halves where a column has categories
MIN_TOGETHER = 4  # columns, below which moving together says nothing
# What one window must differ by to be at fault by itself: shares of rows; of ranks, half of what there is room for.
FAULT_FLOORS = {"null_share": 0.05, "repeats": 0.05, "outside": 0.05, "mean_rank": 0.25, "spread": 0.125, "slices": 0.02}
TWO_SIDED = ("mean_rank", "spread")
# What a distribution does in one window is a fault only where it comes in a step: half of the way from where it usually lies since the
# newest windows, and more than those differ among each other. What has come there by and by is drift, or a season.
IN_A_STEP = ("outside", "mean_rank", "spread", "slices")
RETURNS = 2  # times in a year that a fault may come and go; then that is the column's way, and drift if it becomes more
LATELY, STEP_SHARE, SPREADS, MIN_STEP = 7, 0.5, 2.0, 0.05  # windows, a day of them at least; of the way; standard deviations; rows
DRIFTED = 0.15  # of the rows, more than usual, in a tail: what lies beyond the range then is the end of that tail
NULLS = STATISTICS.index("null_share")
TAILS = [STATISTICS.index("low_tail"), STATISTICS.index("high_tail")]
FAULTS_SHARE = 0.25  # of the budget


class DriftDetector:
    """Judges window after window of one champion against its reference profile, and against those before that were well.

    calendar: how windows lie in time; it numbers them as the reference numbers its own
    sensitivity: how many times lower than `threshold` evidence alarms
    rolling: so many of the windows before are the baseline, whatever they were like, so that a change is told once and is usual
        afterwards; None: the reference, and of what came since all that was well
    """

    def __init__(
        self,
        reference: Profile,
        threshold: float,
        calendar: Calendar = DAILY,
        sensitivity: float = SENSITIVITY,
        rolling: int | None = None,
    ) -> None:
        self._reference, self._threshold, self._sensitivity = reference, threshold, sensitivity
        self._rolling, self._reference_ranks = rolling, reference.usual_ranks
        self._calendar = calendar
        self._shape = (len(reference.names), len(STATISTICS))
        size = self._shape[0] * self._shape[1]
        self.learning = len(reference.windows) < calendar.least(MIN_REFERENCE)
        self._floor = _floors(reference)
        self._scales = np.array([c.bins.is_scale for c in reference.columns])
        self._fault_floor = _fault_floors(reference)
        self._certain = float(ndtri(1 - FAULTS_SHARE / threshold / (self._shape[0] * len(FAULTS))))
        self._weights = _weights(reference)
        self._detector = ShiryaevRoberts(size)
        self._starts: list[datetime] = []
        self._phases: list[int] = []
        self._unjudged = 0
        self._judged_to: datetime | None = None
        self._seen: list[Floats] = []
        self._usual_ranks: list[Floats] = []
        self._within: list[Floats] = []
        self._evidence: list[Floats] = []
        self._presence: list[Floats] = []
        self._scores: list[Floats] = []
        self._recurs: list[NDArray[np.bool_]] = []
        self._holidays: list[bool] = []
        self._well: list[bool] = []
        self._faults: list[Fault] = []
        self._told: dict[tuple[int, str], tuple[list[int], int]] = {}
        self._ended: dict[tuple[int, int], list[int]] = {}
        self._lasts = np.zeros((self._shape[0], 2), np.bool_)
        self._harder = np.ones((self._shape[0], 2))
        self._together = 0
        if not self.learning:
            self._centre = np.nan_to_num(mean_of_known(reference.windows))
            known = reference.windows.reshape(len(reference.windows), -1)
            nulls = reference.windows[:, :, NULLS]
            within = reference.within(reference.rows, self._centre, nulls).reshape(len(known), -1)
            a_year = min(len(known), calendar.year or 0)  # a reference of all seasons knows all of them
            most = rolling or max(calendar.most(MAX_PAST), a_year)
            phases = calendar.phases(reference.numbers)
            self._past = Past.of(known, within, phases, calendar.seasons, most)
            if self._usual.season.any():  # once more, since where a share lies says how far it strays
                told = zip(reference.rows.tolist(), phases.tolist(), nulls, strict=True)
                within = np.array([self._within_at(*each) for each in told])
                self._past = Past.of(known, within, phases, calendar.seasons, most)
            self._sensitivity = self._allowed(phases, threshold, sensitivity)
            newest = slice(-max(LATELY, calendar.day), None)
            expected = np.array([self._usual.expected(phase) for phase in phases[newest].tolist()]).reshape(-1, *self._shape)
            self._lately = reference.windows[newest] - expected

    @property
    def _usual(self) -> Baseline:
        """What the past says now."""
        assert self._past.baseline is not None, "a reference has windows"
        return self._past.baseline

    def _allowed(self, phases: NDArray[np.int64], threshold: float, sensitivity: float) -> float:
        """The sensitivity, halved until the reference itself, its windows in their order, alarms no more often than the budget has it.

        Where windows stray for weeks, and come back, evidence must be stronger than where they don't. phases: of the reference `(windows,)`
        """
        known = self._reference
        scores = []
        for value, rows, phase in zip(known.windows, known.rows.tolist(), phases.tolist(), strict=True):
            within = self._within_at(rows, phase, value[:, NULLS])
            scores.append(np.clip(self._usual.score(value.reshape(-1), within, phase, self._floor), -MAX_SCORE, MAX_SCORE))
        weights = np.outer(self._weights, SHARES).reshape(-1)
        alarms = alarms_begun_anew(np.array(scores), weights, threshold / (sensitivity * LESS_SENSITIVE))
        enough = np.append((alarms <= len(phases) / threshold)[:-1], True)
        return float(sensitivity * LESS_SENSITIVE[np.argmax(enough)])

    @property
    def judged_to(self) -> datetime | None:
        """The start of the newest window that was judged."""
        return self._judged_to

    def add(self, windows: Iterable[Window]) -> None:
        """Judge windows, in the order of time. Such as have no rows are no evidence of anything."""
        for window in windows:
            fits = window.statistics is not None and window.statistics.shape == self._shape
            if self.learning or window.rows == 0:
                continue
            self._unjudged = 0 if fits else self._unjudged + 1
            if fits and window.statistics is not None:
                self._add(window.start, window.rows, window.statistics.reshape(-1))
            self._judged_to = window.start

    def _add(self, start: datetime, rows: int, value: Floats) -> None:
        place, number = len(self._seen), self._calendar.number(start)
        phase = self._calendar.phase(number)
        within = self._within_at(rows, phase, value.reshape(self._shape)[:, NULLS])
        score = np.clip(self._usual.score(value, within, phase, self._floor), -MAX_SCORE, MAX_SCORE)
        self._together = self._together + 1 if _most_have_moved(score.reshape(self._shape)) else 0
        holiday = 0 < self._together <= PATIENCE * self._calendar.day
        shares = self._detector.add(np.full_like(score, np.nan) if holiday else score).reshape(self._shape) * SHARES
        lanes = self._less_what_returns(place, np.column_stack([shares[:, VALUES].sum(axis=1), shares[:, PRESENCE].sum(axis=1)]))
        evidence = lanes.sum(axis=1)
        self._faults += self._faults_in(place, value, within, phase, holiday=holiday)
        if not holiday:
            self._remember(place, value - self._usual.expected(phase))
        self._starts.append(start)
        self._phases.append(phase)
        self._seen.append(value)
        self._usual_ranks.append(self._ranks_at(phase))
        self._within.append(within)
        self._evidence.append(evidence)
        self._presence.append(lanes[:, 1])
        self._scores.append(score.reshape(self._shape))
        self._recurs.append(self._recurring(value.reshape(self._shape), number))
        self._holidays.append(holiday)
        calm = bool(self._weights @ evidence < CALM * self._threshold)
        self._well.append(calm and (not self._together or self._calendar.day > 1))  # a day of several windows has nights to be learnt
        if self._rolling is None:
            self._learn_what_was_well(place - DELAY)
        else:
            self._learn(place - ROLLING_DELAY)

    def _less_what_returns(self, place: int, lanes: Floats) -> Floats:
        """Evidence of each column's values and presence `(columns, 2)`, of which ten times as much counts as the same for each time in a
        year that it alarmed and was over by itself. What comes and goes is how a column varies; what lasts soon has evidence enough."""
        year = self._calendar.year or YEAR.days
        for lane, ends in self._ended.items():
            if not self._lasts[lane]:
                self._ended[lane] = ends = [end for end in ends if end > place - year]
                self._harder[lane] = HARDER ** len(ends)
        lanes = lanes / self._harder
        part, threshold = self._weights[:, None] * lanes, self._threshold / self._sensitivity
        for column, kind in np.argwhere(self._lasts & (part < OVER * threshold)).tolist():
            self._ended.setdefault((column, kind), []).append(place)
        self._lasts = np.where(self._lasts, part >= OVER * threshold, part >= threshold)
        return np.asarray(lanes)

    def _within_at(self, rows: int, phase: int, nulls: Floats) -> Floats:
        """The variances within a window of so many rows, with shares of nulls `(columns,)`, where its season lets its statistics lie."""
        season = self._usual.season_at(phase).reshape(self._shape)
        return self._reference.within(np.array([rows]), self._centre + season, nulls[None]).reshape(-1)

    def _ranks_at(self, phase: int) -> Floats:
        """Where mean ranks lie: in the reference, or in the windows before, and in the season."""
        if self._rolling is None:
            return np.asarray(self._reference_ranks + self._usual.season_at(phase).reshape(self._shape)[:, 0])
        return self._usual.expected(phase).reshape(self._shape)[:, 0]

    def _faults_in(self, place: int, value: Floats, within: Floats, phase: int, *, holiday: bool) -> list[Fault]:
        """A column's first fault in the order of `FAULTS` stands for all. On a holiday all may have moved in one step."""
        scores = self._usual.score(value, within, phase, self._fault_floor).reshape(self._shape)
        steps = self._steps((value - self._usual.expected(phase)).reshape(self._shape), value.reshape(self._shape))
        found: dict[int, Fault] = {}
        for statistic in FAULTS:
            i = STATISTICS.index(statistic)
            if statistic in TWO_SIDED and holiday:
                continue
            score = np.abs(scores[:, i]) if statistic in TWO_SIDED else scores[:, i]
            certain = score > self._certain if statistic not in IN_A_STEP else (score > self._certain) & steps[:, i]
            for column in np.flatnonzero(certain).tolist():
                share = float(value.reshape(self._shape)[column, i])
                if column not in found and self._is_its_way(place, column, statistic):
                    continue
                found.setdefault(column, Fault(place, self._reference.names[column], statistic, share))
        return list(found.values())

    def _is_its_way(self, place: int, column: int, statistic: str) -> bool:
        """Whether a fault has come and gone so often in a year that this is how the column is."""
        begun, last = self._told.get((column, statistic), ([], -2))
        if last < place - 1:
            begun = [b for b in begun if b > place - (self._calendar.year or YEAR.days)]
            if len(begun) >= RETURNS:
                return True
            begun = [*begun, place]
        self._told[column, statistic] = (begun, place)
        return False

    def _steps(self, away: Floats, value: Floats) -> NDArray[np.bool_]:
        """Which statistics have come in a step to where they are, `(columns, 10)`; away: how far that is from where they usually lie."""
        before, spread = np.nan_to_num(mean_of_known(self._lately)), np.nan_to_num(sd_of_known(self._lately))
        jump = away - before
        found = jump * np.sign(away) >= np.maximum(STEP_SHARE * np.abs(away), SPREADS * spread)
        outside = STATISTICS.index("outside")
        room = np.minimum(value[:, [outside]], 1 - (value - jump)[:, TAILS])
        farther = jump[:, TAILS] >= np.maximum(np.maximum(STEP_SHARE * room, SPREADS * spread[:, TAILS]), MIN_STEP)
        ends_a_tail = ~_categories(self._reference) & (before[:, TAILS] > DRIFTED).any(axis=1) & ~farther.any(axis=1)
        room = np.maximum(STEP_SHARE * (0.5 - np.abs(value - jump)[:, 0]), SPREADS * spread[:, 0])  # of a scale's mean rank
        ends_a_tail |= self._scales & (np.abs(before[:, 0]) > DRIFTED) & (np.abs(jump[:, 0]) < np.maximum(room, MIN_STEP))
        found[ends_a_tail, outside] = False
        return np.asarray(found)

    def _remember(self, place: int, away: Floats) -> None:
        """Take a window into the newest ones, but for the columns whose distribution it shows at fault."""
        well = np.ones(self._shape[0], np.bool_)
        newest = takewhile(lambda fault: fault.window == place, reversed(self._faults))
        well[[self._reference.names.index(fault.column) for fault in newest if fault.statistic in IN_A_STEP]] = False
        self._lately[:-1, well] = self._lately[1:, well]
        self._lately[-1, well] = away.reshape(self._shape)[well]

    def _recurring(self, value: Floats, number: int) -> NDArray[np.bool_]:
        """Which statistics lay off their mean to the same side at this time of an earlier year, a third of its days half as far as now."""
        found, numbers, year = np.zeros(self._shape, np.bool_), self._reference.numbers, self._calendar.year
        near = max(round(year * SAME_TIME), 1) if year else 0
        now = np.nan_to_num(value - self._centre)
        for before in range(number - year, int(numbers[0]) - near, -year) if year else ():
            first, last = numbers.searchsorted([before - near, before + near + 1])
            hour = (numbers[first:last] - number) % self._calendar.day == 0
            then = np.sort(np.nan_to_num(self._reference.windows[first:last][hour] - self._centre) * np.sign(now), axis=0)
            if len(then) >= MIN_THEN:
                found |= then[-(len(then) // 3) :].mean(axis=0) >= RECURS * np.abs(now)
        return np.asarray(found & (now != 0))

    def _learn_what_was_well(self, place: int) -> None:
        """Take a window into the past, if all has been well from then till now."""
        if place >= 0 and all(self._well[place:]):
            phase, within = self._phases[place], self._within[place]
            self._past.add(self._usual.clipped(self._seen[place], within, phase), within, phase)

    def _learn(self, place: int) -> None:
        """Take a window into the past as it was."""
        if place >= 0:
            self._past.add(self._seen[place], self._within[place], self._phases[place])

    def alarms(self) -> str | None:
        """The leading column, if the newest window alarms: quicker than a whole reading."""
        if not self._evidence:
            return None
        newest = self._evidence[-1]
        faulty = list(takewhile(lambda fault: fault.window == len(self._evidence) - 1, reversed(self._faults)))
        if faulty:
            return faulty[-1].column
        over = float(self._weights @ newest) >= self._threshold / self._sensitivity
        return self._reference.names[int(np.argmax(self._weights * newest))] if over else None

    def alarms_at(self, thresholds: Sequence[float]) -> NDArray[np.int64]:
        """How often each of the thresholds `(thresholds,)` would have alarmed by the windows so far, beginning anew after each alarm."""
        scores = np.array(self._scores).reshape(len(self._scores), -1)
        scores[self._holidays] = np.nan
        return alarms_begun_anew(scores, np.outer(self._weights, SHARES).reshape(-1), np.asarray(thresholds))

    def reading(self) -> DriftReading:
        """What all windows so far say."""
        columns = len(self._reference.names)
        evidence = np.array(self._evidence).reshape(-1, columns)
        return DriftReading(
            columns=self._reference.names,
            starts=tuple(self._starts),
            evidence=evidence,
            presence=np.array(self._presence).reshape(-1, columns),
            pooled=evidence @ self._weights,
            shift=np.array(self._seen).reshape(-1, *self._shape)[:, :, 0] - np.array(self._usual_ranks).reshape(-1, columns),
            scores=np.array(self._scores).reshape(-1, *self._shape),
            recurs=np.array(self._recurs, np.bool_).reshape(-1, *self._shape),
            weights=self._weights,
            threshold=self._threshold / self._sensitivity,
            learning=self.learning,
            unjudged=self._unjudged,
            faults=tuple(self._faults),
        )


def read_drift(
    reference: Profile,
    since: Iterable[Window],
    threshold: float,
    calendar: Calendar = DAILY,
    rolling: int | None = None,
) -> DriftReading:
    """Judge the windows `since` the champion went live, all at once."""
    detector = DriftDetector(reference, threshold, calendar, rolling=rolling)
    detector.add(since)
    return detector.reading()


def _floors(reference: Profile) -> Floats:
    """The effect floor of every statistic, `(columns × 10,)`."""
    columns = reference.columns
    floor = np.tile([FLOORS[s] for s in STATISTICS], (len(columns), 1))
    floor[:, STATISTICS.index("relation")] /= max(len(columns) - 1, 1)
    for statistic in SHAPE:
        floor[_categories(reference), STATISTICS.index(statistic)] = CATEGORY_FLOOR
    floor[_categories(reference), STATISTICS.index("repeats")] = FLOOR_OF_REPEATS
    return floor.reshape(-1)


def _fault_floors(reference: Profile) -> Floats:
    """What a statistic must differ by to be a fault in one window, `(columns × 10,)`. Categories repeat as their mix has it."""
    floor = np.tile([FAULT_FLOORS.get(s, np.inf) for s in STATISTICS], (len(reference.columns), 1))
    floor[_categories(reference), STATISTICS.index("repeats")] = CATEGORIES_STAND_STILL
    floor[_categories(reference), STATISTICS.index("spread")] = np.inf  # which categories don't have
    return floor.reshape(-1)


def _categories(reference: Profile) -> NDArray[np.bool_]:
    return np.array([c.values is not None for c in reference.columns])


def _weights(reference: Profile) -> Floats:
    """Half of a column's weight is its even share, half what of the answer hangs on it."""
    even = np.full(len(reference.names), 1 / max(len(reference.names), 1))
    return even if not reference.attribution.size else (even + reference.attribution) / 2


def _most_have_moved(scores: Floats) -> bool:
    """Whether more than half of at least four columns stand out in a window, each by itself: `(columns, 10)`. Relations do not count, since
    one column that goes its own way changes those of all."""
    moved = np.abs(np.nan_to_num(scores[:, BY_ITSELF])).max(axis=1) > MOVED
    return len(moved) >= MIN_TOGETHER and bool(moved.mean() > MAX_OF_THEM)
