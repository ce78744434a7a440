"""Baselines: levels are simulated, with the share of errors stated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f_oneway, gamma, norm, t

from noria.statistics.baseline import (
    TAIL_DEGREES,
    Baseline,
    Past,
    Spread,
    learn_baseline,
    season_effects,
    shortened,
    skewness_shown,
    to_be_learnt,
)
from noria.statistics.e_detector import normal_scores

STATISTICS = 400


def learnt(values: np.ndarray, within: float = 0.0, period: int = 1) -> Baseline:
    return learn_baseline(values, np.full(values.shape, within), np.arange(len(values)), [period] if period > 1 else [])


def test_a_score_beyond_two_is_as_rare_as_it_should_be_whatever_the_autocorrelation() -> None:
    rng = np.random.default_rng(0)
    for phi in (0.0, 0.5, 0.7):
        path = np.zeros((90, STATISTICS))
        for i in range(1, 90):
            path[i] = phi * path[i - 1] + np.sqrt(1 - phi**2) * rng.normal(size=STATISTICS)
        past, after = learnt(path[:60]), path[60:]
        scores = np.array([past.score(v, np.zeros(STATISTICS), 0, np.zeros(STATISTICS)) for v in after])
        assert (np.abs(scores) > 2).mean() < 0.07, phi  # 0.046 for a normal; a mean learnt from sixty windows adds a little


def test_volume_that_grows_is_no_news_and_volume_that_shrinks_no_alarm() -> None:
    rng = np.random.default_rng(1)
    past = learnt(rng.normal(size=(60, STATISTICS)) / np.sqrt(500) + 0.01 * rng.normal(size=(60, STATISTICS)), 1 / 500)
    for rows in (50, 500, 5_000):  # a hundredfold is beyond what sixty windows tell
        value = rng.normal(size=STATISTICS) / np.sqrt(rows) + 0.01 * rng.normal(size=STATISTICS)
        scores = past.score(value, np.full(STATISTICS, 1 / rows), 0, np.zeros(STATISTICS))
        assert 0.8 < scores.std() < 1.25, rows


def test_a_season_is_learnt_where_there_is_one_and_nowhere_else() -> None:
    rng = np.random.default_rng(2)
    week = np.array([0, 0, 0, 0, 0, -3.0, -3.0])
    values = rng.normal(size=(56, STATISTICS))
    values[:, :200] += week[np.arange(56) % 7][:, None]
    past = learnt(values, period=7)
    found = np.abs(past.season).max(axis=0) > 0
    assert found[:200].all()
    assert found[200:].mean() < 0.02
    assert past.expected(5)[:200].mean() == pytest.approx(-3, abs=0.4)
    assert (learnt(values[:20], period=7).season == 0).all()  # too short to tell


@pytest.mark.parametrize("sundays", [0, 1, 3])
def test_a_week_of_which_some_days_hardly_ever_come_is_learnt_from_the_others(sundays: int) -> None:
    rng = np.random.default_rng(8)
    phase = np.flatnonzero((np.arange(56) % 7 < 5) | (np.arange(56) >= 56 - 7 * sundays) & (np.arange(56) % 7 == 6))
    values = rng.normal(size=(40 + sundays, STATISTICS)) + np.where(phase % 7 == 0, -3.0, 0.0)[:, None]
    past = learn_baseline(values, np.zeros_like(values), phase, [7])
    assert past.expected(0).mean() == pytest.approx(-2.95, abs=0.4)
    assert past.expected(4).mean() == pytest.approx(0, abs=0.15)
    assert (past.season[5:] == 0).all()  # of what hardly came, nothing is known


def test_what_lies_within_the_floor_is_no_effect() -> None:
    past = learnt(np.random.default_rng(3).normal(size=(60, 5)) * 1e-3)
    assert (past.score(np.full(5, 0.02), np.zeros(5), 0, np.full(5, 0.03)) == 0).all()
    assert (past.score(np.full(5, 0.05), np.zeros(5), 0, np.full(5, 0.03)) > 3).all()


def test_what_is_far_off_is_clipped_before_it_is_learnt() -> None:
    past = learnt(np.random.default_rng(4).normal(size=(60, 5)))
    assert (np.abs(past.clipped(np.full(5, 1e6), np.zeros(5), 0)) < 6).all()


@pytest.mark.parametrize(("weeks", "left"), [(2, 0.35), (4, 0.2), (10, 0.1)])
def test_the_hours_of_a_week_are_learnt_in_steps_as_far_as_the_past_goes(weeks: int, left: float) -> None:
    """Of a swing of 1 that is half as large at weekends, on days that lie 0.5 lower then, so much is left over."""
    rng = np.random.default_rng(5)
    phase = np.arange(168 * weeks)
    weekend = phase // 24 % 7 >= 5
    truth = np.sin(2 * np.pi * phase / 24) * np.where(weekend, 0.5, 1.0) - np.where(weekend, 0.5, 0.0)
    values = truth[:, None] + 0.2 * rng.normal(size=(len(phase), 50))
    found = learn_baseline(values, np.zeros_like(values), phase, (168, 24))
    known = np.array([found.expected(i) for i in range(168)])
    assert np.abs(known - truth[:168, None]).mean() < left / 2
    score = found.score(truth[:168].mean() + np.zeros(50), np.zeros(50), 0, np.zeros(50))
    assert np.isfinite(score).all()
    fresh = truth[:168, None] + 0.2 * rng.normal(size=(168, 50))
    scores = np.array([found.score(v, np.zeros(50), i, np.zeros(50)) for i, v in enumerate(fresh)])
    assert 0.5 < scores.std() < 1.1  # what was learnt from few windows does not make new ones look unusual


def of_users(rng: np.random.Generator, users: int, windows: int, sizes: float) -> tuple[np.ndarray, np.ndarray]:
    """The share of rows in a tail of a tenth, in windows of users who have ten rows each or, by `sizes` (a log-normal's), more or fewer;
    and its variance within, were rows independent: `(windows, statistics)`."""
    rows = np.ceil(10 * np.exp(sizes * rng.normal(size=(windows, STATISTICS, users))))
    share = (rows * (rng.random(rows.shape) < 0.1)).sum(axis=2) / rows.sum(axis=2)
    return share, 0.09 / rows.sum(axis=2)


def test_rows_that_come_in_clusters_stray_further_where_there_are_fewer_of_them() -> None:
    rng = np.random.default_rng(6)
    value, within = of_users(rng, 100, 60, sizes=0.0)
    past = learn_baseline(value, within, np.arange(60))
    for users in (25, 50, 100, 400):
        value, within = of_users(rng, users, 50, sizes=0.0)
        scores = np.array([past.score(v, w, 0, np.zeros(STATISTICS)) for v, w in zip(value, within, strict=True)])
        assert scores.std() < 1.1, users
        assert (scores > 2).mean() < 0.04, users


def test_clusters_of_unequal_size_are_no_evidence_by_their_skewness() -> None:
    """What an e-detector multiplies by, exp(h·u − h²/2), is to be 1 or less on average."""
    rng = np.random.default_rng(7)
    value, within = of_users(rng, 50, 60, sizes=1.0)
    past = learn_baseline(value, within, np.arange(60))
    value, within = of_users(rng, 50, 200, sizes=1.0)
    scores = np.array([past.score(v, w, 0, np.zeros(STATISTICS)) for v, w in zip(value, within, strict=True)])
    as_they_are = normal_scores((value - past.spread.mean) / past.sd(within), TAIL_DEGREES)
    for tilt in (1.5, 2.5, 3.5):
        assert np.exp(tilt * scores - tilt**2 / 2).mean() < 1, tilt
        assert np.exp(tilt * as_they_are - tilt**2 / 2).mean() > 1.3, tilt


def test_what_is_skewed_row_by_row_is_not_taken_for_clusters() -> None:
    rng = np.random.default_rng(8)
    value, within = rng.binomial(500, 0.02, size=(60, STATISTICS)) / 500, np.full((60, STATISTICS), 0.02 * 0.98 / 500)
    past = learn_baseline(value, within, np.arange(60))
    assert past.skewness.mean() < 0.05  # the skewness of a share of ten rows is 0.3


def known(
    *, sd: float = 2.0, phi: float = 0.0, windows: int = 10, within: float = 0.0, between: float | None = None, skewness: float = 0.0
) -> Baseline:
    one = np.ones(1)
    spread = Spread(3.0 * one, sd * one, phi * one, windows)
    return Baseline(spread, (sd**2 if between is None else between) * one, within * one, skewness * one, np.array([[0.0], [1.0]]))


def of_one(value: float) -> np.ndarray:
    return np.array([value])


def test_what_is_expected_is_the_mean_and_the_season_of_the_phase() -> None:
    assert [known().expected(phase).tolist() for phase in (0, 1, 2, 7)] == [[3.0], [4.0], [3.0], [4.0]]


@pytest.mark.parametrize(
    ("past", "within", "expected"),
    [
        (known(), 0.0, 2 * np.sqrt(1 + 1 / 10)),  # of a new value about the mean of ten
        (known(phi=0.6), 0.0, 2 * 2 * np.sqrt(1 + 4 / 10)),  # √(1.6/0.4) = 2
        (known(between=4.0), 5.0, 3 * np.sqrt(1.1)),  # 4 between windows and 5 within this one
        (known(between=4.0, within=1.0), 0.5, np.sqrt(4.5 * 1.1)),  # more rows than usual: no more clusters are taken for granted
        (known(between=4.0, within=1.0), 3.0, np.sqrt((4 * 3 + 3) * 1.1)),  # a third of the rows, and of the clusters
        (known(sd=0.0), 0.0, 1e-6 * np.sqrt(1.1)),
    ],
    ids=["alone", "autocorrelated", "within", "more rows", "fewer rows", "never moves"],
)
def test_how_far_a_window_strays_is_the_sum_of_what_is_known_of_it(past: Baseline, within: float, expected: float) -> None:
    assert past.sd(of_one(within)) == pytest.approx(expected)


@pytest.mark.parametrize(("away", "floor"), [(1.0, 0.0), (-4.0, 0.5), (6.0, 1.0), (0.4, 0.5)])
def test_a_score_has_the_tail_of_students_t_beyond_the_floor(away: float, floor: float) -> None:
    past = known()
    z = np.sign(away) * max(abs(away) - floor, 0.0) / (2 * np.sqrt(1.1))
    score = past.score(of_one(4.0 + away), of_one(0.0), 1, of_one(floor))
    assert score == pytest.approx(norm.ppf(t.cdf(z, TAIL_DEGREES)), abs=1e-9)


@pytest.mark.parametrize("skewness", [0.5, 1.0, -1.0])
@pytest.mark.parametrize("chance", [0.05, 0.01, 1e-4])
def test_on_the_long_side_of_a_skewed_statistic_scores_are_those_of_its_own_tail(skewness: float, chance: float) -> None:
    """Against the gamma distribution of that skewness, by scipy; Wilson & Hilferty's approximation is good to a few percent."""
    shape, sign = 4 / skewness**2, np.sign(skewness)
    far = (gamma.isf(chance, shape) - shape) / np.sqrt(shape)
    past = known(skewness=skewness)
    score = past.score(3.0 + sign * far * past.sd(of_one(0.0)), of_one(0.0), 0, of_one(0.0))
    assert score == pytest.approx(sign * norm.ppf(t.cdf(norm.isf(chance), TAIL_DEGREES)), rel=0.03)
    plain = known().score(3.0 - sign * far * past.sd(of_one(0.0)), of_one(0.0), 0, of_one(0.0))
    assert past.score(3.0 - sign * far * past.sd(of_one(0.0)), of_one(0.0), 0, of_one(0.0)) == pytest.approx(plain)


def test_what_is_learnt_from_is_within_three_standard_deviations() -> None:
    past, far = known(), 3 * 2 * np.sqrt(1.1)
    found = [past.clipped(of_one(value), of_one(0.0), 1).tolist() for value in (-99.0, 3.5, 99.0)]
    assert found == [[pytest.approx(4 - far)], [3.5], [pytest.approx(4 + far)]]


def test_a_baseline_knows_mean_spread_and_what_of_it_rows_explain() -> None:
    values = np.array([[1.0, np.nan], [4.0, 2.0], [7.0, np.nan], [0.0, 3.0]])
    found = learn_baseline(values, np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 0.0]]), np.arange(4))
    assert found.spread.mean.tolist() == np.nanmean(values, axis=0).tolist()
    assert found.spread.sd == pytest.approx(np.nanstd(values, axis=0, ddof=1))
    assert found.within.tolist() == [2.0, 0.0]
    assert found.between == pytest.approx([10.0 - 2.0, 0.5])
    assert found.spread.windows == 4
    all_explained = learn_baseline(values, np.full((4, 2), 50.0), np.arange(4))
    assert all_explained.between == pytest.approx([1.0, 0.05]), "a tenth of the variance is never explained away"
    assert all_explained.skewness.tolist() == [0.0, 0.0]


def test_the_skewness_of_windows_is_taken_for_more_than_dozens_of_them_show_and_has_a_bound() -> None:
    values = np.concatenate([np.zeros((19, 1)), np.ones((1, 1))])
    standard = (values - values.mean()) / values.std(ddof=1)
    found = learn_baseline(values[:, :1], np.zeros((20, 1)), np.arange(20))
    assert found.skewness == pytest.approx(min((standard**3).mean() / (2 / 3), 3.0))
    gentle = np.array([[0.0], [1.0], [2.0], [5.0]])
    standard = (gentle - gentle.mean()) / gentle.std(ddof=1)
    assert learn_baseline(gentle, np.zeros((4, 1)), np.arange(4)).skewness == pytest.approx((standard**3).mean() * 1.5)
    assert learn_baseline(-gentle, np.zeros((4, 1)), np.arange(4)).skewness == pytest.approx(-(standard**3).mean() * 1.5)


def test_autocorrelation_is_believed_beyond_chance_alone() -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(size=(60, STATISTICS))
    assert (learnt(values).spread.autocorrelation > 0).mean() < 0.08  # one-sided 5 %, and what is corrected for bias
    for i in range(1, 60):
        values[i] = 0.7 * values[i - 1] + np.sqrt(1 - 0.49) * values[i]
    assert learnt(values).spread.autocorrelation.mean() == pytest.approx(0.7, abs=0.05)
    assert (learnt(np.arange(60.0)[:, None]).spread.autocorrelation == [0.9]).all()


@pytest.mark.parametrize("weeks", [4, 9])
def test_a_season_is_believed_by_an_analysis_of_variance_and_shrunk(weeks: int) -> None:
    """Beside `scipy.stats.f_oneway`: what the mean of its windows says, times n/(n + 1); nothing where the chance is over 0.001."""
    rng = np.random.default_rng(10)
    values = rng.normal(size=(7 * weeks, 300)) + np.linspace(0, 5, 300) * (np.arange(7 * weeks) % 7 == 2)[:, None]
    groups = [values[day::7] for day in range(7)]
    chance = f_oneway(*groups).pvalue
    found, widened = season_effects(values, np.arange(7 * weeks), (7,))
    means = np.array([group.mean(axis=0) for group in groups]) - values.mean(axis=0)
    assert found == pytest.approx(np.where(chance < 0.001, means * weeks / (weeks + 1), 0.0), abs=1e-9)
    assert 20 < (chance < 0.001).sum() < 290
    assert (widened == 1).all()


def test_no_season_is_looked_for_with_under_four_windows_of_each_phase() -> None:
    values = 9.0 * (np.arange(28) % 7 == 2)[:, None] + np.random.default_rng(11).normal(size=(28, 1))
    assert season_effects(values, np.arange(28), (7,))[0].any()
    assert not season_effects(values[:27], np.arange(27), (7,))[0].any()
    assert season_effects(values, np.arange(28), ())[0].tolist() == [[0.0]]


@pytest.mark.parametrize(
    ("count", "most", "learnt_before", "expected"),
    [
        (13, 90, False, False),
        (14, 90, False, True),
        (15, 90, False, True),
        (15, 90, True, False),
        (20, 90, True, False),
        (21, 90, True, True),
        (22, 90, True, False),
        (700, 1000, True, True),  # a fiftieth of what there is: fourteen windows
        (707, 1000, True, False),
        (2000, 1000, True, True),  # of a thousand at most: twenty
        (2010, 1000, True, False),
    ],
)
def test_a_past_is_learnt_anew_now_and_then(count: int, most: int, learnt_before: bool, expected: bool) -> None:
    assert to_be_learnt(count, most, 14, learnt=learnt_before) is expected


def test_a_past_is_of_its_newest_windows_and_is_told_once_there_are_enough() -> None:
    past = Past((), most=10, least=5)
    for i in range(42):
        assert (past.baseline is None) == (i < 5)
        past.add(of_one(float(i)), of_one(0.0), i)
    assert past.baseline is not None
    assert (past.baseline.spread.windows, past.baseline.spread.mean.tolist()) == (10, [36.5])
    begun = Past.of(np.arange(12.0)[:, None], np.zeros((12, 1)), np.arange(12), (), 10)
    assert begun.baseline is not None
    assert begun.baseline.spread.mean.tolist() == [6.5]
    for i in range(12, 14):
        begun.add(of_one(float(i)), of_one(0.0), i)
    assert begun.baseline.spread.mean.tolist() == [8.5]


def test_a_mean_of_a_quarter_of_the_clusters_is_twice_as_skewed() -> None:
    """The skewness of a mean goes with one over the root of what it is of: 0.5 becomes 1, beside scipy's gamma distribution of that."""
    past, within = known(skewness=0.5, between=4.0, within=1.0), of_one(4.0)
    far = (gamma.isf(0.01, 4.0) - 4.0) / 2.0
    score = past.score(3.0 + far * past.sd(within), within, 0, of_one(0.0))
    assert score == pytest.approx(norm.ppf(t.cdf(norm.isf(0.01), TAIL_DEGREES)), rel=0.03)


def test_scores_on_the_long_side_are_shortened_as_those_of_a_gamma_distribution() -> None:
    """Of shape 4, and so skewness 1: by Wilson and Hilferty's cube root, the score of its quantile is that of the normal one."""
    chances = np.array([0.1, 0.01, 0.001])
    z = (gamma.isf(chances, 4) - 4) / 2
    assert shortened(z, np.ones(3)) == pytest.approx(norm.isf(chances), abs=0.03)
    assert shortened(-z, np.full(3, -1.0)) == pytest.approx(-norm.isf(chances), abs=0.03)
    assert shortened(-z, np.ones(3)).tolist() == (-z).tolist()  # the short side stays


def test_skewness_counts_only_where_windows_show_it() -> None:
    assert skewness_shown(np.empty(0)) == 0.0
    long_tailed = np.append(np.full(99, -0.1), 9.9)
    assert skewness_shown(long_tailed / long_tailed.std()) == 3.0  # at most
    some = np.tile([-1.0, -0.4, 1.4], 30)
    assert skewness_shown(some) == pytest.approx((some**3).mean() * 1.5)
    assert skewness_shown(some[:6]) == 0.0  # of six windows chance alone makes as much
