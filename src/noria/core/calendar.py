"""How windows lie in the day, the week and the year: what recurs with them is no change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import EPOCH, YEAR, since_epoch

DAY, WEEK = timedelta(days=1), timedelta(days=7)
MAX_PHASES = 400  # of a season: finer ones would be learnt from too little, and too slowly
MIN_DAYS, KEPT_SEASONS = 14, 10  # of which a past must be, where a day has a season; for which a past is kept
LASTING_DAYS = 28  # four of each weekday: a season can be learnt from them


class Period(NamedTuple):
    """From a moment on, and before another."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Calendar:
    """tick: how long a window is; None where windows are cut by count, and follow no clock. offset: where they begin on the UTC clock

    zone: whose clock seasons follow: a shop that opens at nine does so in summer time, too. Seasons are a week, and a day where it has
    several windows. What does not come out even has none.
    """

    tick: timedelta | None
    offset: timedelta = timedelta()
    zone: tzinfo = UTC

    @cached_property
    def day(self) -> int:
        """How many windows a day has, at least 1."""
        return 1 if self.tick is None else max(DAY // self.tick, 1)

    @cached_property
    def seasons(self) -> tuple[int, ...]:
        """After how many windows a season recurs, the longest first."""
        spans = () if self.tick is None else [span // self.tick for span in (WEEK, DAY) if not span % self.tick]
        return tuple(n for n in spans if 1 < n <= MAX_PHASES)

    @cached_property
    def year(self) -> int | None:
        """How many windows a year has; None where they follow no clock."""
        return None if self.tick is None else max(round(YEAR / self.tick), 1)

    @property
    def season(self) -> int:
        """The longest season in windows; 1 if there is none."""
        return max(self.seasons, default=1)

    def number(self, start: datetime) -> int:
        """The number of the window that begins then, counted from 1970; of windows by count, its microsecond."""
        return since_epoch(start) if self.tick is None else (start - EPOCH - self.offset) // self.tick

    def start(self, number: int) -> datetime:
        """When the window of this number begins."""
        return EPOCH + (timedelta(microseconds=number) if self.tick is None else self.offset + number * self.tick)

    def phase(self, number: int) -> int:
        """Where a window lies in the seasons, up to whole ones: its number by the zone's clock, which is ahead by whole windows.

        Summer time is rounded by itself, so that windows longer than two hours lie where they do in winter.
        """
        if self.tick is None or self.zone is UTC:
            return number
        local = self.start(number).astimezone(self.zone)
        summer, ahead = local.dst() or timedelta(), local.utcoffset() or timedelta()
        return number + round((ahead - summer) / self.tick) + round(summer / self.tick)

    @property
    def lasting(self) -> int:
        """For how many windows a new state is told; then it is how things are, as a person would say."""
        return LASTING_DAYS * self.day

    def phases(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The phases of windows of these numbers `(windows,)`."""
        return np.array([self.phase(number) for number in numbers.tolist()], np.int64)

    def least(self, windows: int) -> int:
        """So many windows, or two weeks where a day has a season: what it takes to know anything."""
        return max(windows, MIN_DAYS * self.day if self.seasons and self.day > 1 else 0)

    def most(self, windows: int) -> int:
        """So many windows, or ten seasons of them: what a past is made of."""
        return max(windows, KEPT_SEASONS * self.season)


DAILY = Calendar(DAY)
COUNTED = Calendar(None)
