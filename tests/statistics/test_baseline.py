"""Baselines: levels are simulated, with the share of errors stated."""

from __future__ import annotations

import numpy as np
import pytest

from noria.statistics.baseline import TAIL_DEGREES, Baseline, learn_baseline
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
