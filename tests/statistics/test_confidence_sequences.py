"""Confidence sequences hold at every look: over many streams, the share in which any look errs stays within the level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from noria.statistics.confidence import Interval, asymptotic_sequence, bounded_sequence, mean_sequence, paired_sequence

ALPHA, STREAMS, ROWS = 0.1, 400, 400


def draw(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    if kind == "rare":
        return (rng.random(ROWS) < 0.02).astype(float), 0.02
    if kind == "beta":
        return rng.beta(0.4, 2.0, ROWS), 0.4 / 2.4
    return np.minimum(-np.log(np.where(rng.random(ROWS) < 0.3, 0.3, 0.7)), 3.0) / 3.0, (0.3 * -np.log(0.3) + 0.7 * -np.log(0.7)) / 3.0


@pytest.mark.parametrize("kind", ["rare", "beta", "log_loss"])
def test_bounded_sequences_err_no_more_often_than_stated(kind: str) -> None:
    wrong = 0
    for seed in range(STREAMS):
        values, mean = draw(kind, np.random.default_rng([3, seed]))
        lower, upper = bounded_sequence(values, 0.0, 1.0, alpha=ALPHA)
        wrong += bool(((lower > mean) | (upper < mean)).any())
        assert (np.diff(lower) >= 0).all()
        assert (np.diff(upper) <= 0).all()
    assert wrong <= binom.ppf(0.999, STREAMS, ALPHA)
    assert upper[-1] - lower[-1] < 0.35


def test_a_fixed_width_interval_peeked_at_would_be_caught() -> None:
    """The sabotage: with the interval of one look taken at every look, the same count is far over."""
    wrong = 0
    for seed in range(STREAMS):
        values, mean = draw("beta", np.random.default_rng([3, seed]))
        n = np.arange(1, ROWS + 1)
        means = np.cumsum(values) / n
        half = 1.645 * np.sqrt(np.maximum(np.cumsum(values**2) / n - means**2, 1e-9) / n)
        wrong += bool((np.abs(means - mean) > half)[20:].any())
    assert wrong > binom.ppf(0.999, STREAMS, ALPHA)


def test_sequences_without_bounds_err_no_more_often_than_stated() -> None:
    wrong = 0
    for seed in range(STREAMS):
        values = np.random.default_rng([4, seed]).gamma(2.0, 1.0, ROWS)
        lower, upper = asymptotic_sequence(values, alpha=ALPHA, planned=100)
        wrong += bool(((lower > 2.0) | (upper < 2.0)).any())
    assert wrong <= binom.ppf(0.999, STREAMS, ALPHA)


def autocorrelated(seed: int, lag1: float) -> tuple[np.ndarray, np.ndarray]:
    """Fourteen windows before and sixty since, each like the one before it; their mean is 0."""
    values = np.random.default_rng([5, seed]).normal(size=74)
    for i in range(1, len(values)):
        values[i] = lag1 * values[i - 1] + np.sqrt(1 - lag1**2) * values[i]
    return values[:14], values[14:]


def errs(sequence: Callable[..., Interval | None], seed: int, lag1: float) -> bool:
    before, values = autocorrelated(seed, lag1)
    told = [sequence(values[:n], before, alpha=ALPHA, planned=28) for n in range(1, len(values) + 1)]
    return any(i is not None and not i.lower <= 0 <= i.upper for i in told)


@pytest.mark.parametrize("lag1", [0.0, 0.5])
def test_the_mean_of_windows_that_resemble_each_other_is_kept_as_well(lag1: float) -> None:
    wrong = sum(errs(mean_sequence, seed, lag1) for seed in range(STREAMS))
    assert wrong <= binom.ppf(0.999, STREAMS, ALPHA)


def test_a_sequence_for_independent_windows_would_not_keep_it() -> None:
    assert sum(errs(paired_sequence, seed, 0.5) for seed in range(STREAMS)) > binom.ppf(0.999, STREAMS, ALPHA)


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]])
def test_few_values_or_equal_ones_are_no_error(values: list[float]) -> None:
    found = mean_sequence(np.array(values), np.empty(0), alpha=ALPHA, planned=28)
    assert found is None or found.lower <= found.mean <= found.upper


def test_values_beyond_the_bounds_are_refused_and_no_values_give_no_bounds() -> None:
    with pytest.raises(ValueError, match="do not lie between"):
        bounded_sequence(np.array([0.5, 1.5]), 0.0, 1.0, alpha=ALPHA)
    assert len(bounded_sequence(np.empty(0), 0.0, 1.0, alpha=ALPHA)[0]) == 0
