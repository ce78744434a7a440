"""The drift monitor on profiles: quiet on the same, loud on the moved, unknown on nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
import pytest

from noria.core.calendar import Calendar
from noria.core.clock import EPOCH
from noria.monitoring.drift import read_drift
from noria.monitoring.drift_reading import DriftReading
from noria.monitoring.windows import Window
from noria.profiles.profile import Profile, profile

START = datetime(2024, 1, 1, tzinfo=UTC)
LEVEL = 365 / 2


def values(days: int, seed: int, *, shift: float = 0.0, nulls: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(days * 300, 4)) + np.repeat(0.1 * rng.normal(size=(days, 4)), 300, axis=0)
    x[:, 2] += shift
    x[rng.random(len(x)) < nulls, 1] = np.nan
    return x


def reference(days: int = 40) -> Profile:
    return profile(("a", "b", "c", "d"), values(days, 0), np.repeat(np.arange(days), 300))


def windows(ref: Profile, x: np.ndarray) -> list[Window]:
    days = np.split(x, len(x) // 300)
    return [Window(START + i * timedelta(days=1), "b", "champion", 300, ref.statistics(day), None) for i, day in enumerate(days)]


def judge(ref: Profile, since: list[Window], rolling: int | None = None) -> DriftReading:
    return read_drift(ref, since, LEVEL, after(len(ref.windows)), rolling=rolling)


def after(past: int, tick: timedelta = timedelta(days=1), zone: tzinfo = UTC) -> Calendar:
    """The calendar of windows that begin at `START` after so many, which are numbered from 0."""
    return Calendar(tick, START - EPOCH - past * tick, zone)


def test_the_same_stream_stays_quiet() -> None:
    ref = reference()
    reading = judge(ref, windows(ref, values(60, 1)))
    assert reading.alarmed_at is None
    assert type(reading.health).__name__ == "Healthy"


def test_a_moved_column_is_named_within_three_windows() -> None:
    ref = reference()
    reading = judge(ref, windows(ref, values(10, 2, shift=0.8)))
    assert reading.alarmed_at is not None
    assert reading.alarmed_at < 3
    assert reading.leading(reading.alarmed_at)[0][0] == "c"
    assert reading.leading(reading.alarmed_at)[0][1] > 0.1


def test_against_a_rolling_baseline_a_change_is_told_once_and_is_usual_afterwards() -> None:
    ref = reference()
    since = windows(ref, values(120, 2, shift=0.8))
    fixed, rolling = judge(ref, since), judge(ref, since, rolling=40)
    assert fixed.drifting
    assert rolling.alarmed_at == fixed.alarmed_at
    assert not rolling.alarming
    (told,) = rolling.movements({"c": "table"})
    assert told.end < 80
    assert abs(rolling.shift[-20:, 2].mean()) < 0.05 < fixed.shift[-20:, 2].mean()


def test_a_fault_that_stays_is_usual_for_a_rolling_baseline() -> None:
    ref = reference()
    since = windows(ref, values(100, 3, nulls=0.3))
    assert judge(ref, since).alarming
    rolling = judge(ref, since, rolling=40)
    assert rolling.faults_of(0)
    assert not rolling.alarming


def test_nulls_that_appear_are_named() -> None:
    ref = reference()
    reading = judge(ref, windows(ref, values(10, 3, nulls=0.3)))
    assert reading.alarming
    assert reading.leading(-1)[0][0] == "b"


def found(x: np.ndarray, days: int = 40) -> tuple[int | None, str | None]:
    """When there was an alarm, and which column led it."""
    ref = reference(days)
    reading = judge(ref, windows(ref, x))
    return reading.alarmed_at, None if reading.alarmed_at is None else reading.leading(reading.alarmed_at)[0][0]


def test_faults_are_found_in_their_first_window_and_named() -> None:
    for fault, words in (("unit", "out-of-range"), ("frozen", "frozen"), ("nulls", "nulls")):
        x = values(4, 6)
        x[:, 3] = x[:, 3] * 1000 if fault == "unit" else x[0, 3] if fault == "frozen" else np.nan
        ref = reference()
        reading = judge(ref, windows(ref, x))
        assert reading.alarmed_at == 0, fault
        assert reading.leading(0)[0][0] == "d"
        [found] = reading.faults_of(0)
        assert found.column == "d"
        assert words in found.summary
        assert words in str(reading.health)


def test_a_changed_relation_with_unchanged_margins_is_found() -> None:
    x = values(6, 7)
    x[:, 1] = 0.6 * x[:, 0] + 0.8 * x[:, 1]
    at, column = found(x)
    assert at is not None
    assert at < 3
    assert column in ("a", "b")


def test_two_days_on_which_everything_moves_are_a_holiday_and_three_are_not() -> None:
    x = values(30, 8)
    x[300 * 10 : 300 * 12] -= 1.0
    assert found(x)[0] is None
    x[300 * 12 : 300 * 16] -= 1.0
    at, _ = found(x)
    assert at is not None
    assert 12 <= at <= 14


def test_a_week_is_no_drift() -> None:
    def weekly(days: int, seed: int, first: int) -> np.ndarray:
        week = np.where((np.arange(days) + first) % 7 >= 5, -0.8, 0.0)
        return values(days, seed) + np.repeat(week, 300)[:, None]

    ref = profile(("a", "b", "c", "d"), weekly(42, 0, 0), np.repeat(np.arange(42), 300))
    assert judge(ref, windows(ref, weekly(60, 1, 42))).alarmed_at is None
    moved = weekly(6, 2, 42)
    moved[:, 2] += 0.8
    reading = judge(ref, windows(ref, moved))
    assert reading.alarmed_at is not None
    assert reading.alarmed_at < 4


def test_infinite_values_one_row_and_a_window_without_rows_are_no_crash() -> None:
    ref = reference()
    x = values(3, 9)
    x[5, 0], x[6, 1] = np.inf, -np.inf
    whole = windows(ref, x)
    odd = [Window(START, "b", "champion", len(v), ref.statistics(v), None) for v in (np.empty((0, 4)), x[:1], np.full((300, 4), np.nan))]
    reading = judge(ref, [*whole, *odd])
    assert np.isfinite(reading.pooled).all()
    assert reading.faults_of(-1)  # all null


def test_no_windows_or_too_short_a_reference_is_unknown() -> None:
    ref = reference()
    assert type(judge(ref, []).health).__name__ == "Unknown"
    short = reference(10)
    assert type(judge(short, windows(short, values(10, 4, shift=3))).health).__name__ == "Unknown"


def test_a_profile_survives_being_written_down() -> None:
    x = values(5, 5, nulls=0.1)
    x[:, 3] = np.nan
    before = profile(("a", "b", "c", "d"), x, np.repeat(np.arange(5), 300))
    after = Profile.from_json(before.to_json())
    assert after.to_json() == before.to_json()
    assert np.array_equal(after.statistics(x), before.statistics(x), equal_nan=True)


def test_one_partner_in_another_unit_is_a_fault_where_the_weather_of_all_is_none() -> None:
    """A column that varies so much from day to day that its mean says nothing; a second one tells whose rows they are."""
    rng = np.random.default_rng(8)

    def days(count: int) -> np.ndarray:
        weather = np.repeat(rng.normal(size=count), 300) + 0.3 * rng.normal(size=count * 300)
        return np.column_stack([weather, rng.integers(0, 3, count * 300), rng.normal(size=(count * 300, 2))])

    ref = profile(("temp", "airport", "c", "d"), days(40), np.repeat(np.arange(40), 300))
    quiet = judge(ref, windows(ref, days(30)))
    assert quiet.faults == ()
    broken = days(3)
    broken[broken[:, 1] == 2, 0] -= 3.0
    reading = judge(ref, windows(ref, broken))
    assert [(f.window, f.column, f.statistic) for f in reading.faults][:1] == [(0, "temp", "slices")]
    assert ref.slice_that_moved(broken[:300], "temp") == ("airport", 2.0)
    assert ref.slice_that_moved(broken[:300], "airport") is None  # nothing cuts the column that cuts


def test_columns_that_drift_beside_each_other_are_one_movement_and_it_says_since_when() -> None:
    ref = reference()
    sources = dict.fromkeys("abcd", "weather")
    x = values(80, 5).reshape(80, 300, 4)
    x[12:20, :, 2] += 0.6
    x[14:20, :, 3] += 0.6
    x[60:, :, 0] += 0.6
    told = windows(ref, x.reshape(-1, 4))
    reading = judge(ref, told)
    first, second = reading.movements(sources)
    assert (first.columns, second.columns) == (("c", "d"), ("a",))
    assert [reading.since(m) for m in (first, second)] == [START + timedelta(days=12), START + timedelta(days=60)]
    assert judge(ref, told[:12]).moved(sources) == []
    assert [m.columns for m in judge(ref, told[:19]).moved(sources)] == [("c", "d")]


def test_a_second_drift_of_a_column_began_after_its_first_was_over() -> None:
    ref = reference()
    x = values(80, 6).reshape(80, 300, 4)
    x[10:14, :, 2] += 0.6
    x[60:, :, 2] += 0.6
    first, second = judge(ref, windows(ref, x.reshape(-1, 4))).movements({})
    reading = judge(ref, windows(ref, x.reshape(-1, 4)))
    assert [reading.since(m) for m in (first, second)] == [START + timedelta(days=10), START + timedelta(days=60)]


def test_a_mild_drift_that_has_ebbed_does_not_hide_what_begins_in_another_column_of_its_source() -> None:
    ref = reference()
    sources = dict.fromkeys("abcd", "weather")
    x = values(80, 7).reshape(80, 300, 4)
    x[10:14, :, 2] += 0.6
    x[60:, :, 0] += 0.8
    reading = judge(ref, windows(ref, x.reshape(-1, 4)))
    first, second = reading.movements(sources)
    assert second.columns == ("a",)
    assert reading.since(first) < START + timedelta(days=first.end) <= reading.since(second)


def test_what_has_been_said_of_a_movement_stays_said_as_windows_come() -> None:
    ref = reference()
    sources = {"a": "north", "b": "north", "c": "south", "d": "south"}
    x = values(60, 8).reshape(60, 300, 4)
    x[10:30, :, :] += 0.18  # no source's part is much by itself
    x[40:, :, 1] += 0.5
    told = windows(ref, x.reshape(-1, 4))
    named: dict[tuple[str, int], tuple[str, datetime]] = {}
    for i in range(1, len(told) + 1):
        reading = judge(ref, told[:i])
        moved = reading.moved(sources)
        assert bool(moved) or not reading.drifting  # what alarms is told
        for m in moved:
            assert named.setdefault((m.source, m.start), (m.columns[0], reading.since(m))) == (m.columns[0], reading.since(m))
    assert len(named) == len(reading.movements(sources)) >= 2


def test_one_column_in_another_unit_is_no_holiday_though_all_go_with_it() -> None:
    rng = np.random.default_rng(9)

    def days(count: int) -> np.ndarray:
        return 50 + 5 * np.sqrt(0.7) * rng.normal(size=(count * 300, 1)) + 5 * np.sqrt(0.3) * rng.normal(size=(count * 300, 6))

    names = tuple("abcdef")
    ref = profile(names, days(40), np.repeat(np.arange(40), 300))
    inches = days(1)
    inches[:, 0] *= 0.8
    reading = judge(ref, windows(ref, inches))
    assert [(f.window, f.column) for f in reading.faults] == [(0, "a")]


def by_the_hour(days: int, seed: int, first: int = 0) -> np.ndarray:
    """Hourly windows of 100 rows whose levels swing with the hour, less so at weekends: `(24·days, 100, 4)`."""
    hour, weekday = np.arange(24 * days) % 24, (first + np.arange(24 * days) // 24) % 7
    level = np.sin(2 * np.pi * hour / 24) * np.where(weekday < 5, 0.8, 0.3) - np.where(weekday < 5, 0.0, 0.6)
    return np.random.default_rng(seed).normal(size=(24 * days, 100, 4)) + level[:, None, None]


def judge_hours(past: np.ndarray, since: np.ndarray) -> DriftReading:
    ref = profile(("a", "b", "c", "d"), past.reshape(-1, 4), np.repeat(np.arange(len(past)), 100))
    told = [Window(START + i * timedelta(hours=1), "b", "champion", 100, ref.statistics(x), None) for i, x in enumerate(since)]
    return read_drift(ref, told, 24 * LEVEL, after(len(past), timedelta(hours=1)))


def test_hours_and_weekends_are_usual_and_a_shift_is_told_within_half_a_day() -> None:
    past, since = by_the_hour(28, 10), by_the_hour(14, 11)
    assert judge_hours(past, since).alarmed_at is None
    broken = since.copy()
    broken[30:, :, 2] += 0.6
    reading = judge_hours(past, broken)
    assert reading.alarmed_at is not None
    assert 30 <= reading.alarmed_at < 42
    assert reading.leading(reading.alarmed_at)[0][0] == "c"


def test_parts_of_days_are_not_judged_before_two_weeks_are_known() -> None:
    reading = judge_hours(by_the_hour(13, 12), by_the_hour(3, 13, first=13))
    assert reading.learning
    assert "two weeks" in str(reading.health)


def test_what_comes_every_year_is_a_season_and_no_alarm_where_a_year_is_known_and_what_does_not_is_a_shift() -> None:
    def summer(days: range) -> np.ndarray:
        return np.array([0.8 if 150 <= day % 365 < 190 else 0.0 for day in days])

    def year(days: range, seed: int) -> np.ndarray:
        x = np.random.default_rng(seed).normal(size=(len(days), 100, 3))
        x[:, :, 0] += summer(days)[:, None]
        return x

    past, since = year(range(400), 14), year(range(400, 400 + 200), 15)
    since[60:80, :, 1] += 0.8
    ref = profile(("warm", "price", "other"), past.reshape(-1, 3), np.repeat(np.arange(400), 100))
    told = [Window(START + i * timedelta(days=1), "b", "champion", 100, ref.statistics(x), None) for i, x in enumerate(since)]
    reading = read_drift(ref, told, LEVEL, after(400))
    kinds = {m.columns[0]: reading.kind(m.start, {}, m.columns[0]) for m in reading.movements({})}
    assert kinds == {"price": "population shift"}
    assert reading.kind(120, {}, "warm") == "season"


@pytest.mark.parametrize("seed", range(6))
def test_windows_of_a_few_rows_are_no_evidence_by_their_fewness(seed: int) -> None:
    rng = np.random.default_rng([20, seed])

    def small(count: int) -> list[np.ndarray]:
        return [np.column_stack([rng.gamma(2, size=(n, 3)), rng.random(n) < 0.02]) for n in rng.integers(1, 15, count)]

    past = small(60)
    ref = profile(("a", "b", "c", "rare"), np.concatenate(past), np.repeat(np.arange(60), [len(x) for x in past]))
    told = [Window(START + i * timedelta(days=1), "b", "champion", len(x), ref.statistics(x), None) for i, x in enumerate(small(300))]
    reading = read_drift(ref, told, LEVEL, after(60))
    assert not reading.faults
    assert reading.alarmed_at is None


def test_a_movement_that_grows_is_the_same_and_one_of_another_column_is_not() -> None:
    ref = reference()
    x = values(60, 9).reshape(60, 300, 4)
    x[5:11, :, 2] += 0.5
    x[20:40, :, 2] += 1.5
    grown = judge(ref, windows(ref, x.reshape(-1, 4)))
    other = x.copy()
    other[20:40, :, 2] -= 1.5
    other[20:40, :, 0] += 1.5
    second = judge(ref, windows(ref, other.reshape(-1, 4)))
    sources = dict.fromkeys("abcd", "weather")
    path = grown.pooled / grown.threshold
    assert path[10] > 10 * path[19]
    assert path[19] > 0.2  # it has ebbed, and is not over
    assert [m.columns for m in grown.movements(sources)] == [("c",)]
    assert [m.columns[0] for m in second.movements(sources)] == ["c", "a"]
