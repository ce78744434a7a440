"""The volume monitor: do as many rows come as used to, of a table's facts or of an endpoint's predictions?

A source that stands still, or a log that loses rows, gives no bad value that another monitor could see. Counts per window are compared, as
logarithms, with those of the stable past (its week and its own unrest in it), and one window is enough. A new level is told for four weeks,
and is the usual one from then on; nothing at all never is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.monitoring.calendar import DAILY, Calendar
from noria.statistics.baseline import Past

LEAST_PAST = 14  # windows
MOST_PAST = 120
FLOOR = math.log(1.5)  # a third fewer, or half as many again, is no fault, however unusual


@dataclass(frozen=True)
class Unusual:
    """A window with too few or too many rows. expected: how many there usually are then"""

    start: datetime
    rows: int
    expected: float

    @property
    def words(self) -> str:
        if self.rows == 0:
            return f"no rows came, where there usually are about {self.expected:,.0f}"
        how = "only " if self.rows < self.expected else ""
        return f"{how}{self.rows:,} rows came, where there usually are about {self.expected:,.0f}"


@dataclass(frozen=True)
class VolumeReading:
    """What the counts of one series say. last: rows of the newest window; judged: windows that could be held against others

    unusual: the windows that stand out
    """

    name: str
    windows: int
    last: int
    unusual: tuple[Unusual, ...]
    newest: datetime | None
    judged: int

    @property
    def alarming(self) -> Unusual | None:
        """What stands out in the newest window."""
        return self.unusual[-1] if self.unusual and self.unusual[-1].start == self.newest else None

    @property
    def health(self) -> Health:
        if not self.judged:
            return Unknown(f"{self.windows} windows of {self.name}: {LEAST_PAST}, or two weeks, are needed to know how many rows are usual")
        if self.alarming is not None:
            return Unhealthy(f"{self.name}: {self.alarming.words}")
        return Healthy({"windows": self.windows, "rows": self.last})

    def to_dict(self) -> dict[str, Any]:
        found = self.alarming
        return {"rows": self.last, "expected": None if found is None else round(found.expected, 1), "windows": self.windows}


class _Counted(NamedTuple):
    """A window's rows as a logarithm, its phase, and the side on which it stands out: 1, −1, or 0 if it does not, or is empty."""

    value: float
    phase: int
    side: int


class VolumeDetector:
    """Judges one series of counts, window by window, without a gap. level: windows between two false alarms that are put up with."""

    def __init__(self, name: str, level: float, calendar: Calendar = DAILY) -> None:
        self._name = name
        self._certain = float(-ndtri(min(0.5 / level, 0.5)))
        self._calendar = calendar
        self._past = Past(calendar.seasons, calendar.most(MOST_PAST), calendar.least(LEAST_PAST), clustered=False)
        self._newest_counts: deque[_Counted] = deque(maxlen=calendar.lasting)
        self._ever_empty = False
        self._unusual: list[Unusual] = []
        self._last, self._windows = 0, 0
        self._newest: datetime | None = None
        self._judged = 0

    @property
    def judged_to(self) -> datetime | None:
        """The start of the newest window that was judged."""
        return self._newest

    def add(self, counts: Iterable[tuple[datetime, int]]) -> None:
        """Judge windows (start, rows), in the order of time."""
        for start, rows in counts:
            self._add(start, rows)

    def _add(self, start: datetime, rows: int) -> None:
        phase, value = self._calendar.phase(self._calendar.number(start)), math.log1p(rows)
        self._windows, self._last, self._newest = self._windows + 1, rows, start
        usual = self._past.baseline
        if usual is not None:
            self._judged += 1
            within = np.array([1 / max(math.exp(usual.expected(phase)[0]), 1.0)])
            score = float(usual.score(np.array([value]), within, phase, np.array([FLOOR]))[0])
            expected = math.expm1(usual.expected(phase)[0])
            stands_still = rows == 0 and not self._ever_empty and expected >= 1
            if abs(score) > self._certain or stands_still:
                self._unusual.append(Unusual(start, rows, expected))
                self._newest_counts.append(_Counted(value, phase, int(math.copysign(1, score)) if rows else 0))
                self._begin_anew_if_it_stays()
                return
        self._ever_empty |= rows == 0
        self._newest_counts.append(_Counted(value, phase, 0))
        self._past.add(np.array([value]), np.array([math.exp(-value)]), phase)

    def _begin_anew_if_it_stays(self) -> None:
        """Where most windows have stood out to one side for so long, those are the past."""
        counts, side = self._newest_counts, self._newest_counts[0].side
        if len(counts) < self._calendar.lasting or not side or 2 * sum(c.side == side for c in counts) < len(counts):
            return
        known = [c for c in counts if c.value > 0]
        values = np.array([[c.value] for c in known])
        phases = np.array([c.phase for c in known])
        most = self._calendar.most(MOST_PAST)
        self._past = Past.of(values, np.exp(-values), phases, self._calendar.seasons, most, clustered=False)
        counts.clear()

    def reading(self) -> VolumeReading:
        """What all windows so far say."""
        return VolumeReading(self._name, self._windows, self._last, tuple(self._unusual), self._newest, self._judged)
