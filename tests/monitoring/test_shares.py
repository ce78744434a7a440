"""Shares of answers that need no outcome: a rise is found, and windows that stray, are few or hardly asked anything are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from noria.core.errors import UserMistake
from noria.core.health import Healthy, Unhealthy, Unknown
from noria.monitoring.answers.shares import AnswerShare, Counted, ShareReading, UnknownShare, correlation, read_share
from noria.monitoring.findings import began

START = datetime(2026, 1, 1, tzinfo=UTC)
SHARE = AnswerShare("unanswered", by=0.05)
RELEASE = [(1, 10)] * 20  # a tenth of two hundred


def read(counts: list[tuple[int, int]], reference: list[tuple[int, int]] = RELEASE, threshold: float = 365 / 0.13) -> ShareReading:
    return read_share(SHARE, reference, [Counted(START + i * timedelta(days=1), c, n) for i, (c, n) in enumerate(counts)], threshold)


def days(seed: int, count: int, rate: float, mean: int = 50, alike: float = 0.0) -> list[tuple[int, int]]:
    rng = np.random.default_rng([31, seed])
    of = rng.poisson(mean, count)
    rates = rng.beta(rate / alike, (1 - rate) / alike, count) if alike else np.full(count, rate)
    return [(int(c), int(n)) for c, n in zip(rng.binomial(of, rates), of, strict=True)]


def test_a_share_that_does_not_rise_hardly_ever_alarms_and_one_that_does_is_found_with_its_beginning() -> None:
    alarms, late = 0, []
    for seed in range(15):
        alarms += bool((read(days(seed, 365, 0.1, alike=0.02)).evidence >= 365 / 0.13).any())
        reading = read([*days(seed, 40, 0.1), *days(seed + 100, 14, 0.4)])
        assert reading.alarming
        assert isinstance(reading.health, Unhealthy)
        first = began(reading.evidence, reading.threshold)
        assert first is not None
        late.append(first - 40)
    assert alarms <= 2  # of fifteen years, at 0.13 a year
    assert min(late) >= 0
    assert np.median(late) <= 4


def test_a_fall_and_a_rise_within_the_tolerance_are_none() -> None:
    assert isinstance(read(days(1, 100, 0.02)).health, Healthy)
    assert not read(days(2, 100, 0.13)).alarming


def test_what_is_not_known_is_said() -> None:
    assert read([(1, 10)] * 50, reference=[(1, 10)]).health == Unknown(
        "the release answered 10 questions when it was built; 20 are needed to compare with"
    )
    assert isinstance(read([]).health, Unknown)
    assert isinstance(read([(0, 0)] * 9).health, Unknown)
    assert isinstance(read([(1, 10)] * 3, reference=[(10, 100)]).health, Unknown)  # of one window nobody knows how far windows stray
    assert isinstance(read([(1, 10)] * 3).health, Healthy)
    assert set(read([(1, 10)] * 3).to_dict()) >= {"reference", "limit", "recent", "evidence"}


def test_an_answer_now_and_then_is_judged_as_well() -> None:
    rng = np.random.default_rng(4)
    seldom = [(int(rng.random() < 0.1), 1) for _ in range(300)]
    assert not read(seldom).alarming
    assert read([*seldom, *[(1, 1)] * 12]).alarming


def test_rows_of_a_window_that_are_all_alike_count_once() -> None:
    alike = np.array([[10, 10], [0, 10]] * 20, float)
    apart = np.array([[5, 10]] * 40, float)
    assert correlation([alike]) > 0.9
    assert correlation([apart]) == 0.01
    assert correlation([np.array([[0.0, 10.0]] * 9)]) == 0.01


def test_a_share_that_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownShare, match="did you mean 'unanswered'"):
        AnswerShare("unanswred", by=0.1)
    for by in (0.0, 1.0, float("nan")):
        with pytest.raises(UserMistake, match="no tolerance"):
            AnswerShare("cut", by=by)
