"""The volume monitor: do as many rows come as used to, of a table's facts or of an endpoint's predictions?

A source that stands still, or a log that loses rows, gives no bad value that another monitor could see. Each window's count is held against
what the stable past foretells (its level, its week and its own unrest in it), and one window is enough. A new level is told for four weeks,
and is the usual one from then on; nothing at all never is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from noria.core.calendar import DAILY, Calendar
from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.statistics.counts import CountSeries

MIN_PAST = 14  # windows
MAX_PAST = 120
FLOOR = math.log(1.5)  # a third fewer, or half as many again, is no fault, however unusual
SUSPECT = 20  # times as likely as what is told: it is not learnt from
SPENT = 0.12  # of the budget, to each side: how unlikely a count is, is known from few


@dataclass(frozen=True)
class Unusual:
    """A window with too few or too many rows. expected: how many there usually are then"""

    start: datetime
    rows: int
    expected: float

    @property
    def summary(self) -> str:
        if self.rows == 0:
            return f"no rows arrived; expected about {self.expected:,.0f}"
        how = "only " if self.rows < self.expected else ""
        return f"{how}{self.rows:,} rows arrived; expected about {self.expected:,.0f}"


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

    def summary(self, unusual: Unusual) -> str:
        """What stands out in a window, in words."""
        return f"{self.name}: {unusual.summary}"

    def runs(self, every: timedelta) -> list[list[Unusual]]:
        """What stands out in windows of this length that follow each other, together; in the order of time."""
        found: list[list[Unusual]] = []
        for unusual in self.unusual:
            if found and found[-1][-1].start + every == unusual.start:
                found[-1].append(unusual)
            else:
                found.append([unusual])
        return found

    @property
    def health(self) -> Health:
        if not self.judged:
            return Unknown(f"{self.windows} windows of {self.name}: {MIN_PAST}, or two weeks, are needed to learn how many rows are usual")
        if self.alarming is not None:
            return Unhealthy(self.summary(self.alarming))
        return Healthy({"windows": self.windows, "rows": self.last})

    def to_dict(self) -> dict[str, Any]:
        found = self.alarming
        return {"rows": self.last, "expected": None if found is None else round(found.expected, 1), "windows": self.windows}


class _Counted(NamedTuple):
    """A window's rows, its phase, and the side on which it stands out: 1, −1, or 0 if it does not, or is empty."""

    rows: int
    phase: int
    side: int


class VolumeDetector:
    """Judges one series of counts, window by window, without a gap. threshold: windows between two false alarms that are put up with."""

    def __init__(self, name: str, threshold: float, calendar: Calendar = DAILY) -> None:
        self._name, self._calendar = name, calendar
        self._unlikely = min(SPENT / threshold, 0.5)
        self._series = self._new_series()
        self._newest_counts: deque[_Counted] = deque(maxlen=calendar.lasting)
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
        phase, series = self._calendar.phase(self._calendar.number(start)), self._series
        self._windows, self._last, self._newest = self._windows + 1, rows, start
        if not series.learnt:
            series.add(rows, phase)
            return
        self._judged += 1
        expected = series.expected(phase)
        off = math.log1p(rows) - math.log1p(expected)
        chance = series.chance(rows, phase, FLOOR) if abs(off) > FLOOR else 1.0
        if chance < self._unlikely:
            self._unusual.append(Unusual(start, rows, expected))
        if chance < SUSPECT * self._unlikely:
            self._newest_counts.append(_Counted(rows, phase, (1 if off > 0 else -1) if rows else 0))
            series.set_aside(rows, phase)
            self._begin_anew_if_it_stays()
        else:
            self._newest_counts.append(_Counted(rows, phase, 0))
            series.add(rows, phase)

    def _begin_anew_if_it_stays(self) -> None:
        """Where most windows have stood out to one side for so long, those are the past."""
        counts, side = self._newest_counts, self._newest_counts[0].side
        if len(counts) == self._calendar.lasting and side and 2 * sum(c.side == side for c in counts) >= len(counts):
            self._series = self._new_series()
            for count in counts:
                if count.rows:
                    self._series.add(count.rows, count.phase)
            counts.clear()

    def _new_series(self) -> CountSeries:
        return CountSeries(self._calendar.seasons, self._calendar.most(MAX_PAST), self._calendar.least(MIN_PAST))

    def reading(self) -> VolumeReading:
        """What all windows so far say."""
        return VolumeReading(self._name, self._windows, self._last, tuple(self._unusual), self._newest, self._judged)
