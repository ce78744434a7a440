"""Traffic: requests that are sent twice, and answers that come too late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from noria.core.health import Healthy, Unhealthy, Unknown
from noria.monitoring.traffic import Missed, Objective, ObjectiveReading, Traffic, read_objective, read_repeated

START = datetime(2024, 1, 1, tzinfo=UTC)


def days(*repeated: int, rows: int = 1000) -> list[Traffic]:
    return [Traffic(START + i * timedelta(days=1), rows, rows, n, 0) for i, n in enumerate(repeated)]


def test_requests_that_are_sent_twice_are_seen_and_usual_repetition_is_not() -> None:
    [found] = read_repeated(days(*[3] * 20, 480))
    assert (found.share, found.usual) == (0.48, 0.003)
    assert not read_repeated(days(*[300, 280] * 10, 320))
    assert not read_repeated(days(*[0] * 20, 15))
    assert not read_repeated(days(0, 0, 900))  # too little is known
    assert not read_repeated(days(*[0] * 20, 0, rows=0))


PROMISE = Objective("latency", 0.01, "answers come late", "look")


def read(*bad: int | None, rows: int = 1000) -> ObjectiveReading:
    return read_objective(PROMISE, [Missed(START + i * timedelta(days=1), n, rows) for i, n in enumerate(bad)])


def test_an_objective_burns_fast_slowly_or_not_at_all() -> None:
    assert isinstance(read(*[5] * 10).health, Healthy)
    fast = read(*[5] * 10, 60)
    assert isinstance(fast.health, Unhealthy)
    assert "6.0 times as often as the objective allows (0.01)" in fast.summary
    assert fast.since == START + timedelta(days=10)
    assert read(*[18] * 7).alarming
    assert not read(*[18] * 6, 2).alarming


def test_a_few_rows_are_an_accident_and_all_of_them_are_not() -> None:
    assert not read(0, 0, 0, 2, rows=30).alarming
    assert read(0, 0, 0, 6, rows=30).alarming
    assert read(3, 3, 3, rows=3).alarming


def test_what_is_not_known_of_an_objective_is_not_well() -> None:
    assert isinstance(read().health, Unknown)
    assert isinstance(read(0, 0, rows=0).health, Unknown)
    assert not read(0, rows=0).alarming
    assert isinstance(read(0, 0, None).health, Unknown)
    assert isinstance(read(None, None, 0).health, Healthy)
