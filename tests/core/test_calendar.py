"""How windows lie in the day, the week and the year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from noria.core.calendar import COUNTED, DAILY, Calendar
from noria.core.clock import BadTimeZone, duration, zone_named


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
    calendar = Calendar(duration(tick))
    assert (calendar.day, calendar.seasons, calendar.year, calendar.least(20)) == (day, seasons, year, least)


def test_windows_by_count_have_no_season_and_days_have_a_week() -> None:
    assert Calendar(timedelta(days=1)) == DAILY
    assert (COUNTED.seasons, COUNTED.season, COUNTED.year, COUNTED.least(20), COUNTED.most(180)) == ((), 1, None, 20, 180)
    assert DAILY.most(180) == 180
    assert Calendar(timedelta(hours=1)).most(180) == 1680


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Europe/Dublin", "Pacific/Auckland", "Asia/Tokyo", "UTC"])
def test_an_hour_lies_where_the_zones_clock_has_it_the_whole_year(zone: str) -> None:
    calendar = Calendar(timedelta(hours=1), zone=zone_named(zone))
    monday = datetime(2025, 1, 6, 8, 59, tzinfo=calendar.zone)
    for week in range(52):
        local = monday + timedelta(days=7 * week)  # by the zone's clock
        phase = calendar.phase(calendar.number(local.astimezone(UTC))) % calendar.season
        assert phase == 4 * 24 + 8  # Monday, counted from a Thursday, at eight


@pytest.mark.parametrize("tick", ["3h", "6h", "12h", "1d"])
@pytest.mark.parametrize("zone", ["Europe/Athens", "Atlantic/Azores", "America/Denver", "Europe/Dublin"])
def test_longer_windows_lie_in_summer_where_they_do_in_winter(zone: str, tick: str) -> None:
    calendar = Calendar(duration(tick), zone=zone_named(zone))
    first = calendar.number(datetime(2025, 1, 1, tzinfo=UTC))
    ahead = {calendar.phase(n) - n for n in range(first, first + 365 * calendar.day)}
    assert len(ahead) == 1


def test_numbers_and_starts_are_each_others_inverse() -> None:
    calendar = Calendar(duration("6h"), duration("5h"), zone_named("Europe/Berlin"))
    assert calendar.start(calendar.number(datetime(2025, 3, 30, 11, tzinfo=UTC))) == datetime(2025, 3, 30, 11, tzinfo=UTC)
    assert COUNTED.start(COUNTED.number(datetime(2025, 3, 30, 0, 0, 0, 7, UTC))) == datetime(2025, 3, 30, 0, 0, 0, 7, UTC)


@pytest.mark.parametrize("name", ["Europe/Berln", "", "../../etc/passwd", "America", "+02:00"])
def test_a_zone_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(BadTimeZone) as caught:
        zone_named(name)
    assert repr(name) in caught.value.what
