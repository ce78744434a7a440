"""Volume: what stops, thins out or doubles is seen in its first window, and a business's week is none of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from noria.core.calendar import Calendar
from noria.core.health import Healthy, Unhealthy, Unknown
from noria.monitoring.volume import VolumeDetector

START = datetime(2024, 1, 1, tzinfo=UTC)
WEEK = (1.0, 1.1, 1.2, 1.1, 1.3, 0.5, 0.4)
LEVEL = 365 / 0.5


def counts(seed: int, days: int, mean: float = 800) -> list[tuple[datetime, int]]:
    rng = np.random.default_rng(seed)
    return [(START + timedelta(days=i), int(rng.poisson(mean * WEEK[i % 7] * rng.lognormal(sigma=0.08)))) for i in range(days)]


def test_a_quiet_series_stays_within_the_budget() -> None:
    alarms = years = 0
    for seed in range(60):
        detector = VolumeDetector("flights", LEVEL)
        detector.add(counts(seed, 365))
        alarms, years = alarms + len(detector.reading().unusual), years + 1
    assert alarms / years < 0.5


@pytest.mark.parametrize(("times", "words"), [(0.0, "no rows arrived"), (0.2, "only"), (6.0, "rows arrived")])
def test_what_stops_thins_out_or_is_doubled_is_seen_at_once(times: float, words: str) -> None:
    for seed in range(20):
        detector = VolumeDetector("flights", LEVEL)
        detector.add(counts(seed, 60))
        assert isinstance(detector.reading().health, Healthy)
        start, rows = counts(seed, 61)[-1]
        detector.add([(start, int(rows * times))])
        reading = detector.reading()
        assert reading.alarming is not None
        assert words in reading.alarming.summary
        assert isinstance(reading.health, Unhealthy)
        detector.add(counts(seed, 62)[-1:])
        assert detector.reading().alarming is None


def test_days_that_were_slow_now_and_then_hide_no_drop() -> None:
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        *past, (start, rows) = counts(seed, 61)
        detector = VolumeDetector("flights", LEVEL)
        detector.add([(at, int(many * (0.7 if rng.random() < 0.08 else 1.0))) for at, many in past])
        detector.add([(start, rows // 4)])
        found += detector.reading().alarming is not None
    assert found >= 16


def test_too_little_history_is_unknown_and_sparse_series_raise_nothing() -> None:
    detector = VolumeDetector("new", LEVEL)
    detector.add(counts(1, 5))
    assert isinstance(detector.reading().health, Unknown)
    rng = np.random.default_rng(5)
    sparse = VolumeDetector("rare", LEVEL)
    sparse.add((START + timedelta(days=i), int(rng.poisson(0.7))) for i in range(365))
    assert not sparse.reading().unusual


def hourly(seed: int, days: int, mean: float = 400) -> list[tuple[datetime, int]]:
    """Ten times as many rows at noon as at midnight, and half as many at weekends."""
    rng = np.random.default_rng(seed)
    usual = [mean * 10 ** -np.cos(2 * np.pi * (i % 24) / 24) * (1.0 if i // 24 % 7 < 5 else 0.5) for i in range(24 * days)]
    return [(START + timedelta(hours=i), int(rng.poisson(m * rng.lognormal(sigma=0.08)))) for i, m in enumerate(usual)]


def test_nights_and_weekends_are_usual_and_an_hour_at_noon_with_a_quarter_of_its_rows_is_told_at_once() -> None:
    calendar, threshold = Calendar(timedelta(hours=1)), 24 * LEVEL
    alarms = 0
    for seed in range(5):
        told = hourly(seed, 70)
        detector = VolumeDetector("orders", threshold, calendar)
        detector.add(told[: 13 * 24])
        assert isinstance(detector.reading().health, Unknown)  # not before two weeks are known
        detector.add(told[13 * 24 : -12])
        alarms += len(detector.reading().unusual)
        noon, rows = told[-12]
        detector.add([(noon, rows // 4)])
        found = detector.reading().alarming
        assert found is not None
        assert found.expected == pytest.approx(rows, rel=0.3)
    assert alarms <= 1  # of a budget of a half a year, in a year


@pytest.mark.parametrize("times", [0.2, 6.0])
def test_a_fifth_of_a_series_that_grows_tenfold_in_a_year_is_told_at_once(times: float) -> None:
    for seed in range(20):
        grown = [(start, int(rows * 10 ** (i / 365))) for i, (start, rows) in enumerate(counts(seed, 301))]
        detector = VolumeDetector("orders", LEVEL)
        detector.add(grown[:-1])
        assert not detector.reading().unusual
        detector.add([(grown[-1][0], int(grown[-1][1] * times))])
        assert detector.reading().alarming is not None


def test_a_series_of_three_a_day_that_has_no_rows_now_and_then_stays_within_the_budget() -> None:
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng([6, seed])
        rows = [int(n) for n in rng.poisson(3.0, size=425)]
        rows[:20] = [max(n, 1) for n in rows[:20]]  # that it may have none was not known at first
        detector = VolumeDetector("rare", LEVEL)
        detector.add((START + timedelta(days=i), n) for i, n in enumerate(rows))
        alarms += len(detector.reading().unusual)
    assert alarms / 40 < 0.5


def levels(seed: int, *stretches: tuple[int, float]) -> list[tuple[datetime, int]]:
    """A week's series that so many days has so many times its rows."""
    times = np.concatenate([np.full(days, many) for days, many in stretches])
    return [(start, int(rows * many)) for (start, rows), many in zip(counts(seed, len(times)), times, strict=True)]


@pytest.mark.parametrize("many", [3.0, 0.3])
def test_a_new_level_is_told_for_four_weeks_and_is_the_usual_one_from_then_on(many: float) -> None:
    for seed in range(20):
        detector = VolumeDetector("flights", LEVEL)
        told = levels(seed, (60, 1.0), (60, many), (3, 1.0))
        detector.add(told[:-3])
        assert isinstance(detector.reading().health, Healthy)
        unusual = [(u.start - START).days for u in detector.reading().unusual]
        assert set(unusual) <= set(range(60, 90))
        assert len(unusual) >= 20  # on a quiet day, it may not stand out
        detector.add(told[-3:])  # back to what was usual before: a change again
        assert detector.reading().unusual[-1].start >= told[-3][0]


def test_working_days_that_have_more_rows_for_good_are_told_for_four_weeks() -> None:
    detector = VolumeDetector("flights", LEVEL)
    detector.add((start, rows * (3 if i >= 70 and i % 7 < 5 else 1)) for i, (start, rows) in enumerate(counts(1, 140)))
    unusual = [(u.start - START).days for u in detector.reading().unusual]
    assert 95 <= unusual[-1] < 100


def test_a_source_that_stands_still_is_never_usual_however_long_nor_is_one_that_fails_now_and_then() -> None:
    detector = VolumeDetector("flights", LEVEL)
    detector.add(levels(3, (60, 1.0), (200, 0.0)))
    assert len(detector.reading().unusual) == 200
    detector = VolumeDetector("flights", LEVEL)
    detector.add((start, 0 if i >= 60 and i % 7 < 3 else rows) for i, (start, rows) in enumerate(counts(4, 200)))
    assert len(detector.reading().unusual) == sum(i % 7 < 3 for i in range(60, 200))


def test_a_new_level_with_an_outage_in_it_is_learnt_without_the_outage() -> None:
    detector = VolumeDetector("flights", LEVEL)
    told = levels(5, (60, 1.0), (10, 3.0), (3, 0.0), (47, 3.0), (1, 0.0))
    detector.add(told[:-1])
    assert isinstance(detector.reading().health, Healthy)
    detector.add(told[-1:])
    assert detector.reading().alarming is not None
