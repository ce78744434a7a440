"""Series of counts: what is usual follows the series, and chances are what they say."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from scipy.stats import nbinom

from noria.statistics.counts import CountSeries

WEEK = np.array([1.0, 1.1, 1.2, 1.1, 1.3, 0.5, 0.4])


def learnt(counts: Iterable[int], periods: tuple[int, ...] = (7,)) -> CountSeries:
    series = CountSeries(periods, most=120, least=14)
    for phase, rows in enumerate(counts):
        series.add(int(rows), phase)
    return series


def test_nothing_is_told_before_there_is_past_enough() -> None:
    assert not learnt([5] * 13).learnt
    assert learnt([5] * 14).learnt


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_chances_are_kept(noise: float) -> None:
    unlikely = count = 0
    for seed in range(40):
        rng = np.random.default_rng([1, seed])
        counts = rng.poisson(500 * WEEK[np.arange(200) % 7] * rng.lognormal(sigma=noise, size=200))
        series = learnt(counts[:60])
        for phase in range(60, 200):
            unlikely += series.chance(int(counts[phase]), phase, floor=0.0) < 0.01
            series.add(int(counts[phase]), phase)
            count += 1
    assert 0.003 < unlikely / count < 0.025  # of 0.02, to both sides


def test_of_few_rows_chances_are_those_of_counting() -> None:
    rng = np.random.default_rng(2)
    series = learnt(rng.poisson(3.0, size=120))
    assert 0.003 < series.chance(0, 120, floor=0.0) < 0.15  # e⁻³ = 0.05; what the level is, is not known so well
    silent = []
    for phase in range(120, 126):
        silent.append(series.chance(0, phase, floor=0.0))
        series.set_aside(0, phase)
    assert silent == sorted(silent, reverse=True)
    assert silent[-1] < 1e-5


def test_the_level_follows_growth_and_the_season_stays() -> None:
    rng, days = np.random.default_rng(3), np.arange(300)
    series = learnt(rng.poisson(100 * WEEK[days % 7] * 10 ** (days / 300)))
    for phase in range(300, 307):
        assert series.expected(phase) == pytest.approx(1000 * WEEK[phase % 7], rel=0.15)


def test_where_tails_have_been_heavy_what_is_far_off_is_likelier() -> None:
    rng = np.random.default_rng(4)
    light = learnt(rng.poisson(800 * np.exp(0.08 * rng.normal(size=120))), ())
    heavy = learnt(rng.poisson(800 * np.exp(0.08 * rng.standard_t(2, 120) / 2)), ())
    within = 9.0  # a floor below which all of it lies: errors' own shapes alone are asked
    assert light.chance(500, 120, floor=0.0) < light.chance(500, 120, floor=within) < 0.002
    assert heavy.chance(500, 120, floor=within) > 20 * light.chance(500, 120, floor=within)


def test_what_stood_out_again_and_again_is_less_and_less_of_a_wonder() -> None:
    rng = np.random.default_rng(5)
    series = learnt(rng.poisson(800 * np.exp(0.05 * rng.normal(size=60))), ())
    first = series.chance(1600, 60, floor=0.0)
    for phase in range(60, 108):
        if phase % 8 == 4:
            series.set_aside(1600, phase)
        else:
            series.add(int(rng.poisson(800 * np.exp(0.05 * rng.normal()))), phase)
    assert series.expected(108) == pytest.approx(800, rel=0.1)  # it moved no level
    assert series.chance(1600, 108, floor=0.0) > 1000 * first


@pytest.mark.parametrize("rows", [0, 1, 10**12])
def test_extremes_are_no_crash(rows: int) -> None:
    for past in ([0] * 30, [1000] * 30, [0, 10**12] * 15, [1] * 30):
        series = learnt(past)
        assert 0 <= series.chance(rows, 30, floor=0.4) <= 1
        series.set_aside(rows, 30)
        series.add(rows, 31)
        assert series.expected(32) >= 0


def always(rows: int, windows: int = 40) -> CountSeries:
    series = CountSeries((), most=60, least=20)
    for _ in range(windows):
        series.add(rows, 0)
    return series


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 9])
def test_of_a_series_that_never_moved_chances_are_those_of_a_negative_binomial(rows: int) -> None:
    """By scipy: a mean of three rows, and a spread between windows of one percent, which is the least that is taken for granted."""
    size, share = 1 / 0.01**2, 1 / 0.01**2 / (1 / 0.01**2 + 3)
    series = always(3)
    assert series.expected(0) == pytest.approx(3.0)
    expected = nbinom.cdf(rows, size, share) if rows < 3 else nbinom.sf(rows - 1, size, share)
    assert series.chance(rows, 0, 0.0) == pytest.approx(expected, rel=1e-6)


def test_silence_is_as_unlikely_as_all_of_its_windows_together_until_a_row_comes() -> None:
    series, size = always(3), 1e4
    for silent in range(4):
        assert series.chance(0, 0, 0.0) == pytest.approx(nbinom.pmf(0, size, size / (size + 3 * (silent + 1))), rel=1e-6)
        series.set_aside(0, 0)
    series.set_aside(1, 0)
    assert series.chance(0, 0, 0.0) == pytest.approx(nbinom.pmf(0, size, size / (size + 3)), rel=1e-6)


def test_what_stood_out_moves_no_level_and_what_was_well_moves_it() -> None:
    series = always(1000)
    series.set_aside(10, 0)
    assert series.expected(0) == pytest.approx(1000.0)
    series.add(1020, 0)
    assert 1000 < series.expected(0) < 1020


def test_a_series_is_learnt_from_the_window_on_with_which_there_are_enough() -> None:
    assert not always(3, 19).learnt
    assert always(3, 20).learnt
