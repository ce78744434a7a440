"""Spending against its limits: by day and month, told before it is gone, and when it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from noria.core.calendar import Calendar
from noria.core.health import Healthy, Unhealthy, Unknown
from noria.monitoring.answers.spending import BadSpendingLimit, SpendingLimit, SpendingReading, Took, read_spending
from noria.stores.answer_counts import SpentCounts

HOUR, HOURS = timedelta(hours=1), Calendar(timedelta(hours=1))
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
SHOPPING = [0.0] * 8 + [1.0] * 10 + [0.0] * 6  # dollars by the hour: ten a day


def hours(days: int, rest: int = 0, times: float = 1.0, start: datetime = MARCH) -> list[Took]:
    """Whole days, then hours of one more on which so many times as much is spent."""
    every = [(d, h) for d in range(days + 1) for h in range(24 if d < days else rest)]
    return [Took(start + timedelta(days=d, hours=h), 1e3 * SHOPPING[h], SHOPPING[h] * (times if d == days else 1)) for d, h in every]


def read(limit: SpendingLimit, windows: list[Took]) -> SpendingReading:
    [reading] = read_spending(limit, windows, HOURS)
    return reading


def test_a_day_is_forecast_by_its_hours_and_told_before_it_is_spent() -> None:
    limit = SpendingLimit("day", dollars=12.0)
    usual = read(limit, hours(10, rest=12))
    assert (usual.spent, usual.forecast) == (4.0, pytest.approx(10.0))
    assert isinstance(usual.health, Healthy)
    soon = read(limit, hours(10, rest=12, times=2.0))
    assert (soon.spent, soon.is_spent, soon.will_be) == (8.0, False, True)
    assert "$8.00 of $12.00 for the day are spent by 2026-03-11 12:00 UTC; $" in soon.summary
    gone = read(limit, hours(10, rest=15, times=2.0))
    assert (gone.is_spent, gone.will_be) == (True, False)
    assert isinstance(gone.health, Unhealthy)
    assert not read(limit, hours(11, rest=1)).is_spent  # a new day


def test_a_month_and_tokens_are_limited_as_well_and_both_are_read() -> None:
    limit = SpendingLimit("month", dollars=280.0, tokens=290_000)
    dollars, tokens = read_spending(limit, hours(14), HOURS)
    assert (dollars.name, dollars.spent, tokens.name, tokens.spent) == ("dollars a month", 140.0, "tokens a month", 140_000)
    assert dollars.end == datetime(2026, 4, 1, tzinfo=UTC)
    assert dollars.forecast == pytest.approx(310, rel=0.01)
    assert dollars.will_be
    assert not tokens.will_be  # a forecast a little above the limit is no reason to tell anybody


def test_of_a_first_day_nothing_is_forecast_from_its_first_hours() -> None:
    limit = SpendingLimit("day", dollars=1.0)
    assert read(limit, hours(0, rest=4)).forecast is None
    assert isinstance(read(limit, hours(0, rest=4)).health, Healthy)
    assert read(limit, hours(0, rest=9)).is_spent
    assert read_spending(limit, [], HOURS) == []


def test_answers_without_a_price_are_unknown_and_a_log_of_some_stands_for_all() -> None:
    took = Took.of(MARCH, SpentCounts(100, 0.5, unpriced=2), logged=0.5)
    assert (took.tokens, took.dollars, took.unpriced) == (200, 1.0, 4)
    assert read(SpendingLimit("day", dollars=9.0), [took]).health == Unknown("4 answers of this day took tokens and have no price")
    assert isinstance(read(SpendingLimit("day", tokens=900), [took]).health, Healthy)
    assert read(SpendingLimit("day", dollars=0.9), [took]).is_spent


def test_a_limit_of_nothing_is_refused() -> None:
    for given in ({"each": "day"}, {"each": "week", "dollars": 1.0}, {"each": "day", "dollars": 0.0}, {"each": "month", "tokens": -1}):
        with pytest.raises(BadSpendingLimit, match="limits nothing"):
            SpendingLimit(**given)  # type: ignore[arg-type]
