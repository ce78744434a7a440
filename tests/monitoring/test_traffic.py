"""Traffic: requests that are sent twice, and answers that come too late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from noria.core.health import Healthy, Unhealthy, Unknown
from noria.monitoring.traffic import Traffic, read_objective, read_repeated

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


def test_an_objective_burns_fast_slowly_or_not_at_all() -> None:
    def read(*slow: int) -> object:
        return read_objective([(START + i * timedelta(days=1), n, 1000) for i, n in enumerate(slow)])

    assert isinstance(read(*[5] * 10).health, Healthy)  # type: ignore[attr-defined]
    fast = read(*[5] * 10, 60)
    assert isinstance(fast.health, Unhealthy)  # type: ignore[attr-defined]
    assert fast.since == START + timedelta(days=10)  # type: ignore[attr-defined]
    assert read(*[18] * 7).alarming  # type: ignore[attr-defined]
    assert not read(*[18] * 6, 2).alarming  # type: ignore[attr-defined]
    assert isinstance(read_objective([]).health, Unknown)
    assert not read_objective([(START, 0, 0)]).alarming
