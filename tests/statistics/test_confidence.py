"""The confidence sequence holds at every look at once; a z-interval that is looked at daily does not. Bounds are those of the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from noria.statistics.confidence import Interval, asymptotic_sequence, bounded_sequence, mean_sequence, paired_sequence, radius

ALPHA = 0.1
STREAMS = 1500
DAYS = 30

# alpha, planned units, units, half the width at a spread of 1: `SequentialTwoSidedTTest.confidence_interval` of gbstats 0.8.0
# (GrowthBook's statistics, MIT licence), called with this alpha, `sequential_tuning_parameter` = planned and a variance of 1/units
GBSTATS = [
    (0.05, 5, 3, 1.76717613),
    (0.05, 5, 10, 0.9681241),
    (0.05, 5, 200, 0.24281626),
    (0.05, 20, 3, 2.03856833),
    (0.05, 20, 10, 0.97511005),
    (0.05, 20, 30, 0.55579281),
    (0.05, 100, 30, 0.58417331),
    (0.05, 100, 200, 0.21647913),
    (0.1, 5, 10, 0.8826005),
    (0.1, 6, 3, 1.62663856),
    (0.1, 6, 30, 0.52746315),
    (0.1, 20, 3, 1.89971421),
    (0.1, 20, 200, 0.21103437),
    (0.1, 100, 10, 1.14659334),
    (0.1, 100, 200, 0.19735547),
]


@pytest.mark.parametrize(("alpha", "planned", "units", "half"), GBSTATS)
def test_the_width_is_the_one_that_another_library_computes(alpha: float, planned: int, units: int, half: float) -> None:
    assert radius(units, 1.0, alpha=alpha, planned=planned) == pytest.approx(half, rel=1e-7)


@pytest.mark.parametrize(("alpha", "planned", "units"), [(0.1, 6, 3), (0.05, 20, 10), (0.01, 50, 200)])
def test_at_the_bound_the_evidence_of_the_mixture_is_one_over_alpha(alpha: float, planned: int, units: int) -> None:
    """Where the width comes from: Ville's inequality for exp(λS − λ²n/2) mixed over λ ~ N(0, ρ²), here integrated numerically."""
    rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / planned)
    total = units * radius(units, 1.0, alpha=alpha, planned=planned)
    peak = total / (units + rho**-2)
    evidence, _ = quad(
        lambda tilt: math.exp(tilt * total - tilt**2 * units / 2) * norm.pdf(tilt, scale=rho), peak - 8, peak + 8, points=[peak]
    )
    assert evidence == pytest.approx(1 / alpha, rel=1e-6)


@given(st.integers(2, 400), st.floats(0.01, 0.5), st.floats(0.1, 10))
def test_the_width_is_least_for_about_the_units_it_was_planned_for_and_goes_with_the_spread(units: int, alpha: float, sd: float) -> None:
    planned = radius(units, sd, alpha=alpha, planned=units)
    assert planned == pytest.approx(sd * radius(units, 1.0, alpha=alpha, planned=units))
    assert planned <= 1.02 * min(radius(units, sd, alpha=alpha, planned=max(round(units * by), 1)) for by in (0.25, 0.5, 2, 4))
    assert radius(units + 1, sd, alpha=alpha, planned=units) < planned < radius(units, sd, alpha=alpha / 2, planned=units)


def test_the_spread_is_pooled_over_both_periods_and_the_mean_is_of_the_later_one() -> None:
    """By hand: squares of (2, 4, 9) about 5 are 26, of (1, 3) about 2 are 2; 28 over 2 + 1 degrees of freedom."""
    found = paired_sequence(np.array([2.0, 4.0, 9.0]), np.array([1.0, 3.0]), alpha=0.1, planned=20)
    half = math.sqrt(28 / 3) * 1.89971421
    assert found is not None
    assert found.to_dict() == pytest.approx({"mean": 5.0, "lower": 5.0 - half, "upper": 5.0 + half, "units": 3})


def test_a_period_of_one_value_says_nothing_of_the_spread() -> None:
    alone = paired_sequence(np.array([5.0]), np.array([1.0, 2.0, 6.0]), alpha=0.1, planned=6)
    assert alone is not None
    assert (alone.mean, alone.units) == (5.0, 1)
    assert alone.upper - 5.0 == pytest.approx(math.sqrt(14 / 2) * radius(1, 1.0, alpha=0.1, planned=6))


def test_without_a_spread_there_is_no_interval() -> None:
    assert paired_sequence(np.array([0.1]), np.empty(0), alpha=0.1, planned=6) is None
    assert paired_sequence(np.array([0.1, 0.2]), np.empty(0), alpha=0.1, planned=6) is None
    assert paired_sequence(np.array([0.1]), np.array([0.1, 0.2]), alpha=0.1, planned=6) is None
    assert paired_sequence(np.empty(0), np.arange(14.0), alpha=0.1, planned=6) is None
    assert paired_sequence(np.array([0.1, 0.2]), np.array([0.1, 0.2]), alpha=0.1, planned=6) is not None


def test_windows_that_resemble_each_other_widen_the_bounds_by_what_the_autocorrelation_may_be() -> None:
    """By hand: residuals (−2, −1, 1, 2) and (1, −1) have lag products 2 − 1 + 2 − 1 = 2 and squares 12."""
    values, before = np.array([1.0, 2.0, 4.0, 5.0]), np.array([3.0, 1.0])
    lag1 = 2 / 12
    most = lag1 + (1 + 3 * lag1) / 6 + 1.64 / math.sqrt(6)
    assert most > 0.9, "so that the cap is what counts here"
    plain, wide = (f(values, before, alpha=0.1, planned=28) for f in (paired_sequence, mean_sequence))
    assert plain is not None
    assert wide is not None
    assert (wide.upper - wide.mean) / (plain.upper - plain.mean) == pytest.approx(math.sqrt(1.9 / 0.1))


@pytest.mark.parametrize("phi", [-0.6, 0.0, 0.5])
def test_with_many_windows_the_widening_is_that_of_their_autocorrelation(phi: float) -> None:
    """Against `numpy.corrcoef` of the values and the ones before them, up to the upper 95 % bound that a thousand windows leave."""
    rng = np.random.default_rng(11)
    values = rng.normal(size=1000)
    for i in range(1, len(values)):
        values[i] += phi * values[i - 1]
    plain, wide = (f(values, np.empty(0), alpha=0.1, planned=28) for f in (paired_sequence, mean_sequence))
    assert plain is not None
    assert wide is not None
    most = max(float(np.corrcoef(values[1:], values[:-1])[0, 1]) + 1.64 / math.sqrt(1000), 0.0)
    assert (wide.upper - wide.lower) / (plain.upper - plain.lower) == pytest.approx(math.sqrt((1 + most) / (1 - most)), rel=0.01)


def test_values_that_never_vary_have_bounds_without_width() -> None:
    assert mean_sequence(np.full(5, 2.0), np.empty(0), alpha=0.1, planned=28) == Interval(2.0, 2.0, 2.0, 5)


def betting(values: list[float], alpha: float) -> list[tuple[float, float]]:
    """Theorem 2 of Waudby-Smith & Ramdas (2024), one value after the other, each symbol by its name in the paper."""
    bounds, total, weighted, cost = [], 0.0, 0.0, 0.0
    mu_hat, sigma2, seen, squares = 0.5, 0.25, 0.0, 0.0
    low, high = 0.0, 1.0
    for t, value in enumerate(values, 1):
        lam = min(math.sqrt(2 * math.log(2 / alpha) / (sigma2 * t * math.log(1 + t))), 0.5)
        psi_e = (-math.log(1 - lam) - lam) / 4
        v = 4 * (value - mu_hat) ** 2
        total, weighted, cost = total + lam, weighted + lam * value, cost + v * psi_e
        low = max(low, (weighted - math.log(2 / alpha) - cost) / total)
        high = min(high, (weighted + math.log(2 / alpha) + cost) / total)
        bounds.append((low, high))
        seen += value
        mu_hat = (0.5 + seen) / (t + 1)
        squares += (value - mu_hat) ** 2
        sigma2 = (0.25 + squares) / (t + 1)
    return bounds


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([0.01, 0.1, 0.4]), st.floats(-5, 5), st.floats(0.1, 10))
def test_bounds_of_bounded_values_are_the_papers_value_by_value(values: list[float], alpha: float, low: float, width: float) -> None:
    """On [0, 1], and moved and stretched with the values."""
    expected = np.array(betting(values, alpha))
    x = np.array(values)
    lower, upper = bounded_sequence(x, 0.0, 1.0, alpha=alpha)
    np.testing.assert_allclose(np.column_stack([lower, upper]), expected, rtol=1e-9, atol=1e-12)
    inside = np.clip(low + width * x, low, low + width)
    moved = np.column_stack(bounded_sequence(inside, low, low + width, alpha=alpha))
    np.testing.assert_allclose(moved, low + width * expected, rtol=1e-6, atol=1e-6)


def test_values_at_the_bounds_are_within_them() -> None:
    lower, upper = bounded_sequence(np.array([0.0, 1.0] * 200), 0.0, 1.0, alpha=0.1)
    assert 0 < lower[-1] < 0.5 < upper[-1] < 1
    for beyond in (-1e-9, 1 + 1e-9):
        with pytest.raises(ValueError, match="do not lie between 0 and 1"):
            bounded_sequence(np.array([0.5, beyond]), 0.0, 1.0, alpha=0.1)
    with pytest.raises(ValueError, match="values from nan"):
        bounded_sequence(np.array([0.5, np.nan]), 0.0, 1.0, alpha=0.1)


def test_without_bounds_each_look_is_the_mean_and_the_spread_of_what_was_seen() -> None:
    values = np.random.default_rng(12).gamma(2.0, 3.0, 150)
    lower, upper = asymptotic_sequence(values, alpha=0.05, planned=20, least=50)
    assert np.isneginf(lower[:49]).all()
    assert np.isposinf(upper[:49]).all()
    for n in (50, 51, 100, 150):
        half = radius(n, float(values[:n].std(ddof=1)), alpha=0.05, planned=20)
        assert (lower[n - 1], upper[n - 1]) == pytest.approx((values[:n].mean() - half, values[:n].mean() + half))
    assert np.isinf(asymptotic_sequence(values, alpha=0.05, planned=20)[0]).sum() == 99
    single = asymptotic_sequence(np.array([3.0]), alpha=0.05, planned=20, least=1)
    assert (single[0][0], single[1][0]) == (3.0, 3.0)


def test_daily_looking_breaks_the_level_of_a_z_interval_but_not_of_the_sequence() -> None:
    """Level 10 %: the sequence misses the truth at some look in at most 10 % of streams (three standard errors allowed)."""
    rng = np.random.default_rng(8)
    missed = missed_z = 0
    for _ in range(STREAMS):
        before, days = 0.02 * rng.standard_t(5, 14), 0.02 * rng.standard_t(5, DAYS)
        looks = [paired_sequence(days[:n], before, alpha=ALPHA, planned=6) for n in range(3, DAYS + 1)]
        missed += any(look is None or not look.lower <= 0 <= look.upper for look in looks)
        missed_z += any(abs(days[:n].mean()) > 1.645 * days[:n].std(ddof=1) / np.sqrt(n) for n in range(3, DAYS + 1))
    assert missed / STREAMS <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / STREAMS)
    assert missed_z / STREAMS > 3 * ALPHA
