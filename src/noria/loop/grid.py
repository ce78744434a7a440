"""The ticks of the controller: windows of traffic begin and end on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import cached_property

from noria.monitoring.calendar import Calendar


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

    @cached_property
    def calendar(self) -> Calendar:
        return Calendar(self.tick, self.offset, self.zone)

    def ceiling(self, moment: datetime) -> datetime:
        floor = self.floor(moment)
        return floor if floor == moment else floor + self.tick
