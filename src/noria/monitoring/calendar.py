"""How windows lie in the day, the week and the year: what recurs with them is no change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from noria.core.clock import YEAR

DAY, WEEK = timedelta(days=1), timedelta(days=7)
MOST_PHASES = 400  # of a season: finer ones would be learnt from too little, and too slowly
LEAST_DAYS, KEPT_SEASONS = 14, 10  # of which a past must be, where a day has a season; for which a past is kept


@dataclass(frozen=True)
class Calendar:
    """day: how many windows a day has, at least 1; seasons: after how many a season recurs, the longest first; year: how many a year has

    Seasons follow the clock in UTC: a week, and a day where it has several windows. What does not come out even has none.
    """

    day: int = 1
    seasons: tuple[int, ...] = ()
    year: int | None = None

    @staticmethod
    def of(tick: timedelta) -> Calendar:
        """That of windows of one length."""
        spans = [span // tick for span in (WEEK, DAY) if not span % tick]
        return Calendar(max(DAY // tick, 1), tuple(n for n in spans if 1 < n <= MOST_PHASES), max(round(YEAR / tick), 1))

    @property
    def season(self) -> int:
        """The longest season in windows; 1 if there is none."""
        return max(self.seasons, default=1)

    def least(self, windows: int) -> int:
        """So many windows, or two weeks where a day has a season: what it takes to know anything."""
        return max(windows, LEAST_DAYS * self.day if self.seasons and self.day > 1 else 0)

    def most(self, windows: int) -> int:
        """So many windows, or ten seasons of them: what a past is made of."""
        return max(windows, KEPT_SEASONS * self.season)


DAILY = Calendar.of(DAY)
COUNTED = Calendar()  # windows by count follow no clock
