"""What autocorrelation does to the error of a mean, against simulated values whose autocorrelation is known."""

from __future__ import annotations

import numpy as np
import pytest

from noria.statistics.autocorrelation import CERTAIN, MAX_LAG1, unbiased, widening


def streams(phi: float, count: int, length: int) -> np.ndarray:
    """Values `(count, length)` with mean 0 and spread 1, each φ times the one before it and something new."""
    values = np.random.default_rng(21).normal(size=(count, length))
    for i in range(1, length):
        values[:, i] = phi * values[:, i - 1] + np.sqrt(1 - phi**2) * values[:, i]
    return values


def estimated(values: np.ndarray) -> np.ndarray:
    parts = values - values.mean(axis=1, keepdims=True)
    return (parts[:, 1:] * parts[:, :-1]).sum(axis=1) / (parts**2).sum(axis=1)


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6])
def test_the_estimate_from_few_values_is_too_low_and_the_correction_makes_it_right(phi: float) -> None:
    """Kendall (1954): by (1 + 3φ)/n; ten thousand streams of thirty values, so that the error of their mean is 0.002."""
    plain = estimated(streams(phi, 10_000, 30))
    assert plain.mean() < phi - 0.02
    assert np.mean([unbiased(float(lag1), 30) for lag1 in plain]) == pytest.approx(phi, abs=0.04)
    assert np.mean(unbiased(plain, 30)) - plain.mean() == pytest.approx((1 + 3 * plain.mean()) / 30)


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.8])
def test_means_of_dependent_values_err_as_much_more_as_is_said(phi: float) -> None:
    means = streams(phi, 4_000, 300).mean(axis=1)
    assert means.std() * np.sqrt(300) == pytest.approx(widening(phi), rel=0.05)


def test_the_constants_are_the_one_sided_95_percent_and_a_cap_below_one() -> None:
    from scipy.stats import norm

    assert norm.cdf(CERTAIN) == pytest.approx(0.95, abs=0.001)
    assert widening(MAX_LAG1) == pytest.approx(np.sqrt(19))
