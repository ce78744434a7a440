"""The ticks of the controller: windows of traffic begin and end on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from noria.core.calendar import Calendar


@dataclass
class Grid:
    """The ticks of the controller: windows of traffic begin and end on them."""

    tick: timedelta
    offset: timedelta
    zone: tzinfo

    def floor(self, moment: datetime) -> datetime:
        """The last tick at or before a moment."""
        return self.calendar.start(self.number(moment))

    def number(self, start: datetime) -> int:
        """The number of the window that starts then, counted from 1970."""
        return self.calendar.number(start)

    def numbers(self, at: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """The number of the window that each time lies in, `(times,)`."""
        us = at.astype("datetime64[us]").astype(np.int64) - self.offset // timedelta(microseconds=1)
        return np.asarray(us // (self.tick // timedelta(microseconds=1)), dtype=np.int64)

    @cached_property
    def calendar(self) -> Calendar:
        return Calendar(self.tick, self.offset, self.zone)

    def ceiling(self, moment: datetime) -> datetime:
        floor = self.floor(moment)
        return floor if floor == moment else floor + self.tick
