"""How windows lie in the day, the week and the year."""

from __future__ import annotations

from datetime import timedelta

import pytest

from noria.core.clock import duration
from noria.monitoring.calendar import COUNTED, DAILY, Calendar


@pytest.mark.parametrize(
    ("tick", "day", "seasons", "year", "least"),
    [
        ("1d", 1, (7,), 365, 20),
        ("1h", 24, (168, 24), 8760, 336),
        ("6h", 4, (28, 4), 1460, 56),
        ("5m", 288, (288,), 105_120, 4032),  # its week has more phases than can be learnt
        ("5h", 4, (), 1752, 20),  # a day does not come out even
        ("7d", 1, (), 52, 20),
        ("30d", 1, (), 12, 20),
    ],
)
def test_seasons_of_windows(tick: str, day: int, seasons: tuple[int, ...], year: int, least: int) -> None:
    calendar = Calendar.of(duration(tick))
    assert (calendar.day, calendar.seasons, calendar.year, calendar.least(20)) == (day, seasons, year, least)


def test_windows_by_count_have_no_season_and_days_have_a_week() -> None:
    assert Calendar.of(timedelta(days=1)) == DAILY
    assert (COUNTED.seasons, COUNTED.season, COUNTED.year, COUNTED.least(20), COUNTED.most(180)) == ((), 1, None, 20, 180)
    assert DAILY.most(180) == 180
    assert Calendar.of(timedelta(hours=1)).most(180) == 1680
