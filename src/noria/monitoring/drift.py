"""The drift monitor: do the champion's inputs still look like those it was trained on?

Ten statistics per column and window are scored against how they varied from window to window in the stable past (season and
autocorrelation in it), with an effect floor, and accumulate as e-detectors, whose mean over columns, weighted half evenly and half by how
much of the answer hangs on each, alarms at the level that the budget of false alarms implies. What is well is learnt from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.data.profile import STATISTICS, Profile
from noria.monitoring.findings import began, episodes
from noria.monitoring.monitor import SENSITIVITY
from noria.monitoring.windows import Window
from noria.statistics.baseline import Baseline, Past
from noria.statistics.e_detector import ShiryaevRoberts

Floats = NDArray[np.float64]
Kind = Literal["upstream fault", "population shift", "changed relation", "a holiday or a season"]

LEAST_REFERENCE = 20  # windows; below, the reference's own spread is not known
PERIOD = 7
DELAY = 3  # windows
CALM = 0.05  # of the level; above it, windows are not learnt from
MOST_PAST = 180
MOST_SCORE = 3.2  # of one window: what is wrong at once is a fault, drift lasts
MOVED, MOST_OF_THEM, PATIENCE = 2.0, 0.5, 2  # when most columns move together, it is a holiday until it has lasted longer
# Smaller shifts are trivial, however certain. A tenth of a standard deviation is 0.028 in ranks; for a relation: one correlation of 0.15.
FLOORS = {
    "mean_rank": 0.028,
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
RELATIONS = ("relation", "residual")
BY_ITSELF = [i for i, name in enumerate(STATISTICS) if name not in (*RELATIONS, "slices")]
SHAPE = ("spread", "low_tail", "high_tail")  # which are such halves where a column has categories
FAULTS = {
    "null_share": "nulls",
    "repeats": "values that stand still",
    "outside": "values that never were or can't be",
    "mean_rank": "a step of all values",
    "spread": "a spread that has changed at once",
    "slices": "values that have moved in one slice of the rows",
}
LEAST_TOGETHER = 4  # columns, below which moving together says nothing
# What one window must differ by to be at fault by itself: shares of rows; of ranks, half of what there is room for.
FAULT_FLOORS = {"null_share": 0.05, "repeats": 0.05, "outside": 0.05, "mean_rank": 0.25, "spread": 0.125, "slices": 0.02}
SHARES_OF_ROWS = ("null_share", "repeats", "outside")  # what the figure of a fault is; of the others it is an effect
TWO_SIDED = ("mean_rank", "spread")
FAULTS_SHARE = 0.25  # of the budget
SOON = 7  # windows, within which one column's drift belongs to another's
SUDDEN, MOST_OF_A_SOURCE, STEP = 3, 0.8, 2.5  # windows, within which so many columns of one source have moved together, and so far


@dataclass(frozen=True)
class Fault:
    """What is wrong with a column in one window by itself. statistic: the share that says so; share: how large it is"""

    window: int
    column: str
    statistic: str
    share: float

    @property
    def words(self) -> str:
        return FAULTS[self.statistic]


@dataclass(frozen=True)
class Movement:
    """Columns of one source that have begun to drift one soon after the other.

    subject: the source; of a movement that began while another of that source lasted, with its first column. start, newest: the windows
    in which its first and its last column alarmed; end: the window in which all of them were over
    """

    subject: str
    start: int
    newest: int
    end: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class DriftReading:
    """Evidence per window and column `(windows, columns)`, pooled `(windows,)`, against the level of alarm.

    starts: when each window began; shift: each column's mean rank minus the reference's `(windows, columns)`, from −0.5 to 0.5
    scores: of each window's statistics `(windows, columns, 10)`, normal where nothing is wrong
    weights: of each column `(columns,)`, summing to 1
    unjudged: so many of the newest windows have rows and no statistics that fit the reference
    """

    columns: tuple[str, ...]
    starts: tuple[datetime, ...]
    evidence: Floats
    pooled: Floats
    shift: Floats
    scores: Floats
    weights: Floats
    level: float
    learning: bool
    unjudged: int = 0
    faults: tuple[Fault, ...] = ()

    @property
    def alarmed_at(self) -> int | None:
        over = [*np.flatnonzero(self.pooled >= self.level)[:1].tolist(), *(fault.window for fault in self.faults[:1])]
        return min(over) if over else None

    @property
    def drifting(self) -> bool:
        """Whether the evidence of drift stands at or above the level now."""
        return len(self.pooled) > 0 and bool(self.pooled[-1] >= self.level)

    @property
    def alarming(self) -> bool:
        """Whether there is drift now, or the newest window has a fault."""
        return self.drifting or bool(self.faults_of(len(self.pooled) - 1))

    def faults_of(self, window: int) -> list[Fault]:
        """The faults of a window."""
        return [fault for fault in self.faults if fault.window == window % max(len(self.pooled), 1)]

    def leading(self, window: int) -> list[tuple[str, float]]:
        """The columns with most evidence at a window, with their shifts: faulty ones first, then by what they are likely to hurt."""
        faulty = {fault.column for fault in self.faults_of(window)}
        weighed = self.weights * self.evidence[window]
        order = sorted(range(len(self.columns)), key=lambda i: (self.columns[i] not in faulty, -weighed[i]))[:5]
        return [(self.columns[i], float(self.shift[window, i])) for i in order]

    def moved(self, source_of: Mapping[str, str]) -> list[Movement]:
        """What drifts now: columns of one source that alarm by their own parts of the evidence, one soon after the other. What begins
        later is another movement, though the first one lasts. Where no part suffices by itself, it is the source of the one that leads."""
        parts, now = self.weights * self.evidence, len(self.pooled)
        found: dict[str, list[tuple[int, float, int, str]]] = {}
        for i, name in enumerate(self.columns):
            for start, end in episodes(parts[:, i], self.level):
                found.setdefault(source_of.get(name, name), []).append((start, -parts[start, i], end, name))
        lasting = [m for source, spells in found.items() for m in _movements(source, sorted(spells)) if m.end == now]
        whole = began(self.pooled, self.level)
        if not lasting and whole is not None:
            leading = [name for name, _ in self.leading(whole)][:3]
            return [Movement(source_of.get(leading[0], leading[0]), whole, whole, now, tuple(leading))]
        return lasting

    def since(self, window: int, name: str) -> datetime:
        """When what is seen of a column at a window began."""
        return self.starts[self._began(window, self.columns.index(name))]

    def kind(self, window: int, source_of: Mapping[str, str], name: str) -> Kind:
        """What it looks like, from which columns moved, when, and where they come from (column → source)."""
        if self.faults_of(window):
            return "upstream fault"
        recent = np.nan_to_num(self.scores[max(window - SUDDEN, 0) : window + 1])
        strength = np.abs(recent).mean(axis=0)
        leading = self.columns.index(name)
        if STATISTICS[int(strength[leading].argmax())] in RELATIONS and strength[leading].max() > MOVED / 2:
            return "changed relation"
        moved = {self.columns[i] for i in range(len(self.columns)) if strength[i].max() > MOVED / 2}
        sources = {source_of.get(name, "") for name in moved}
        if len(sources) == 1 and sources != {""} and window - self._began(window, leading) < SUDDEN:
            (source,) = sources
            own = [i for i, name in enumerate(self.columns) if source_of.get(name) == source]
            step = float(strength[own].max(axis=1).mean())
            if len(own) < len(self.columns) and len(moved) >= MOST_OF_A_SOURCE * len(own) and step > STEP:
                return "upstream fault"
        return "population shift"

    def _began(self, window: int, column: int) -> int:
        """The window after which a column's evidence was last at its lowest."""
        path = self.evidence[: window + 1, column]
        return min(len(path) - int(np.argmin(path[::-1])), window)

    @property
    def health(self) -> Health:
        if self.learning:
            return Unknown(f"the reference has under {LEAST_REFERENCE} windows to learn its spread from")
        if self.unjudged:
            return Unknown(
                f"the newest {self.unjudged} windows have rows that the reference can't judge: other columns, or nothing kept of them"
            )
        if len(self.pooled) == 0:
            return Unknown("no window of traffic to compare yet")
        if faults := self.faults_of(len(self.pooled) - 1):
            return Unhealthy("; ".join(f"{fault.column} has {fault.words}" for fault in faults[:5]))
        if began(self.pooled, self.level) is not None:  # until it is over: an open finding and a monitor that is well don't go together
            return Unhealthy(f"inputs have moved; most of all {self.leading(-1)[0][0]}")
        return Healthy({"windows": len(self.pooled), "evidence": float(self.pooled[-1]), "level": self.level})

    def to_dict(self, window: int) -> dict[str, Any]:
        """The evidence a decision or a finding is stored with."""
        return {
            "columns": {name: round(shift, 4) for name, shift in self.leading(window)},
            "evidence": float(self.pooled[window]),
            "level": self.level,
            "faults": {fault.column: fault.words for fault in self.faults_of(window)},
        }


class DriftDetector:
    """Judges window after window of one champion against its reference profile, and against those before that were well.

    number_of: the number of the window that starts then, as the reference numbers its own; period: how many windows a season has
    sensitivity: how many times lower than `level` evidence alarms
    """

    def __init__(
        self,
        reference: Profile,
        level: float,
        number_of: Callable[[datetime], int],
        period: int = PERIOD,
        sensitivity: float = SENSITIVITY,
    ) -> None:
        self._reference, self._level, self._number_of, self._sensitivity = reference, level, number_of, sensitivity
        self._shape = (len(reference.names), len(STATISTICS))
        size = self._shape[0] * self._shape[1]
        self.learning = len(reference.windows) < LEAST_REFERENCE
        self._floor = _floors(reference)
        self._fault_floor = _fault_floors(reference)
        self._certain = float(ndtri(1 - FAULTS_SHARE / level / (self._shape[0] * len(FAULTS))))
        self._weights = _weights(reference)
        self._detector = ShiryaevRoberts(size)
        self._starts: list[datetime] = []
        self._unjudged = 0
        self._judged_to: datetime | None = None
        self._seen: list[Floats] = []
        self._within: list[Floats] = []
        self._evidence: list[Floats] = []
        self._scores: list[Floats] = []
        self._well: list[bool] = []
        self._faults: list[Fault] = []
        self._together = 0
        if not self.learning:
            self._centre = np.nan_to_num(np.nanmean(reference.windows, axis=0))
            known = reference.windows.reshape(len(reference.windows), -1)
            within = reference.within(reference.rows, self._centre).reshape(len(known), -1)
            self._past = Past.of(known, within, reference.numbers, period, MOST_PAST)

    @property
    def _usual(self) -> Baseline:
        """What the past says now."""
        assert self._past.baseline is not None, "a reference has windows"
        return self._past.baseline

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
        place, phase = len(self._seen), self._number_of(start)
        within = self._reference.within(np.array([rows]), self._centre).reshape(-1)
        score = np.clip(self._usual.score(value, within, phase, self._floor), -MOST_SCORE, MOST_SCORE)
        self._together = self._together + 1 if _most_have_moved(score.reshape(self._shape)) else 0
        holiday = 0 < self._together <= PATIENCE
        evidence = self._detector.add(np.full_like(score, np.nan) if holiday else score).reshape(self._shape) @ SHARES
        self._faults += self._faults_in(place, value, within, phase, holiday=holiday)
        self._starts.append(start)
        self._seen.append(value)
        self._within.append(within)
        self._evidence.append(evidence)
        self._scores.append(score.reshape(self._shape))
        self._well.append(bool(self._weights @ evidence < CALM * self._level) and not self._together)
        self._learn_from(place - DELAY)

    def _faults_in(self, place: int, value: Floats, within: Floats, phase: int, *, holiday: bool) -> list[Fault]:
        """A column's first fault in the order of `FAULTS` stands for all. On a holiday all may have moved in one step."""
        scores = self._usual.score(value, within, phase, self._fault_floor).reshape(self._shape)
        found: dict[int, Fault] = {}
        for statistic in FAULTS:
            i = STATISTICS.index(statistic)
            if statistic in TWO_SIDED and holiday:
                continue
            score = np.abs(scores[:, i]) if statistic in TWO_SIDED else scores[:, i]
            for column in np.flatnonzero(score > self._certain).tolist():
                share = float(value.reshape(self._shape)[column, i])
                found.setdefault(column, Fault(place, self._reference.names[column], statistic, share))
        return list(found.values())

    def _learn_from(self, place: int) -> None:
        """Take a window into the past, if all has been well from then till now."""
        if place < 0 or not all(self._well[place:]):
            return
        phase, within = self._number_of(self._starts[place]), self._within[place]
        self._past.add(self._usual.clipped(self._seen[place], within, phase), within, phase)

    def alarms(self) -> str | None:
        """The leading column, if the newest window alarms: quicker than a whole reading."""
        if not self._evidence:
            return None
        newest = self._evidence[-1]
        faulty = [fault.column for fault in self._faults if fault.window == len(self._evidence) - 1]
        if faulty:
            return faulty[0]
        over = float(self._weights @ newest) >= self._level / self._sensitivity
        return self._reference.names[int(np.argmax(self._weights * newest))] if over else None

    def reading(self) -> DriftReading:
        """What all windows so far say."""
        columns = len(self._reference.names)
        evidence = np.array(self._evidence).reshape(-1, columns)
        return DriftReading(
            columns=self._reference.names,
            starts=tuple(self._starts),
            evidence=evidence,
            pooled=evidence @ self._weights,
            shift=np.array(self._seen).reshape(-1, *self._shape)[:, :, 0] - self._reference.usual_ranks,
            scores=np.array(self._scores).reshape(-1, *self._shape),
            weights=self._weights,
            level=self._level / self._sensitivity,
            learning=self.learning,
            unjudged=self._unjudged,
            faults=tuple(self._faults),
        )


def read_drift(
    reference: Profile, since: Sequence[Window], level: float, number_of: Callable[[datetime], int], period: int = PERIOD
) -> DriftReading:
    """Judge the windows `since` the champion went live, all at once."""
    detector = DriftDetector(reference, level, number_of, period)
    detector.add(since)
    return detector.reading()


def _movements(source: str, spells: Sequence[tuple[int, float, int, str]]) -> list[Movement]:
    """The movements in one source, by its columns' episodes (start, order, end, column), the first first. Their names follow from history
    alone: they stay the same while a movement lasts."""
    found: list[Movement] = []
    for start, _, end, name in spells:
        lasting = [m for m in found if m.end > start]
        joined = next((m for m in lasting if start - m.newest <= SOON), None)
        if joined is None:
            alone = all(m.subject != source for m in lasting)
            found.append(Movement(source if alone else f"{source}: {name}", start, start, end, (name,)))
        else:
            columns = joined.columns if name in joined.columns else (*joined.columns, name)
            found[found.index(joined)] = replace(joined, newest=start, end=max(joined.end, end), columns=columns)
    return found


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
    return len(moved) >= LEAST_TOGETHER and bool(moved.mean() > MOST_OF_THEM)
