"""Means of a few bounded values: the level holds where a t-test's does not, and what is certain is certain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.statistics.agreement import kappa, resampled_bounds, share_bounds
from noria.statistics.bounded_mean import bounded_mean, free_mean, needed

ALPHA, RUNS = 0.05, 1_500


def wrong_share(values: np.ndarray, truth: float) -> float:
    """How often the lower bound of rows `(runs, n)` lies above the truth."""
    return float(np.mean([bounded_mean(row, -1, 1, ALPHA).lower > truth for row in values]))


@pytest.mark.parametrize("count", [20, 80, 320])
@pytest.mark.parametrize("by", [0.02, 0.1])
def test_the_level_holds_where_few_values_are_extreme(count: int, by: float) -> None:
    rng = np.random.default_rng([count, int(by * 100)])
    rare = -(rng.random((RUNS, count)) < by).astype(float)
    small_gains = np.where(rng.random((RUNS, count)) < (by + 0.1) / 1.1, -1.0, 0.1)
    both_ways = np.where(rng.random((RUNS, count)) < (by + 1) / 2, -1.0, 1.0)
    for values in (rare, small_gains, both_ways):
        assert wrong_share(values, -by) <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def test_nothing_changed_on_a_few_questions_proves_little() -> None:
    assert bounded_mean(np.zeros(20), -1, 1, ALPHA).lower < -0.1
    assert free_mean(np.zeros(20), ALPHA).lower == 0
    assert bounded_mean(np.zeros(69), -1, 1, ALPHA).lower < -0.05 < bounded_mean(np.zeros(71), -1, 1, ALPHA).lower


def test_power_is_near_that_of_a_t_test_with_many_values() -> None:
    rng = np.random.default_rng(4)
    rows = np.clip(rng.normal(0, 0.3, (500, 300)), -1, 1)
    ours = np.mean([bounded_mean(row, -1, 1, ALPHA).lower > -0.06 for row in rows])
    theirs = np.mean([free_mean(row, ALPHA).lower > -0.06 for row in rows])
    assert theirs - 0.06 <= ours <= theirs


def test_as_many_as_needed_are_enough() -> None:
    rng, spread, by = np.random.default_rng(5), 0.25, 0.05
    count = needed(spread, by, -1, ALPHA, 0.9)
    shown = np.mean([bounded_mean(np.clip(rng.normal(0, spread, count), -1, 1), -1, 1, ALPHA).lower > -by for _ in range(600)])
    assert 0.86 <= shown <= 0.94
    assert needed(0.0, 0.05, -1, ALPHA, 0.9) >= 60


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 0.3))
@settings(max_examples=40)
def test_bounds_enclose_the_mean_and_stay_within_the_ends(values: list[float], alpha: float) -> None:
    found = bounded_mean(np.array(values), 0, 1, alpha)
    assert 0 <= found.lower <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.upper <= 1
    mirrored = bounded_mean(1 - np.array(values), 0, 1, alpha)
    assert mirrored.lower == pytest.approx(1 - found.upper, abs=1e-9)


def test_odd_values_are_refused_and_none_say_nothing() -> None:
    with pytest.raises(ValueError, match="do not lie between"):
        bounded_mean(np.array([0.5, 1.2]), 0, 1, ALPHA)
    assert bounded_mean(np.array([]), 0, 1, ALPHA).to_dict()["upper"] == 1
    assert free_mean(np.array([3.0]), ALPHA).lower == -math.inf


def test_agreement_beyond_chance() -> None:
    yes = np.array([True, True, False, False, True, False, True, True, True, True])
    assert kappa(yes, yes) == 1
    assert kappa(yes, np.array([*yes[:8], False, False])) == pytest.approx((0.8 - 0.5) / 0.5, abs=0.01)
    assert math.isnan(kappa(np.ones(5, bool), np.ones(5, bool)))
    assert share_bounds(0, 10, 0.05) == (0.0, pytest.approx(0.3085, abs=1e-4))
    assert share_bounds(10, 10, 0.05)[0] == pytest.approx(0.6915, abs=1e-4)
    assert share_bounds(0, 0, 0.05) == (0.0, 1.0)
    low, high = resampled_bounds(np.arange(50) / 50, 0.05)
    assert 0.38 < low < 0.45 < 0.53 < high < 0.6
