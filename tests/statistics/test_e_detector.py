"""The detectors keep their budget on streams in which nothing changes, and see what they are for. Levels are stated."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import chi2, norm, t

from noria.evaluation.binary import Binary
from noria.evaluation.performance import Performance
from noria.monitoring.monitor import Tolerance
from noria.monitoring.performance import read_performance
from noria.monitoring.windows import Window
from noria.statistics.baseline import learn_baseline
from noria.statistics.e_detector import ShiryaevRoberts, alarms_begun_anew, normal_scores, shiryaev_roberts, threshold_for

YEARS = 120
BUDGET = 2.0


def upper_bound(alarms: int, years: float) -> float:
    """The upper 95 % Poisson bound of a rate."""
    return float(chi2.ppf(0.95, 2 * (alarms + 1)) / 2 / years)


def count_alarms(path: np.ndarray, threshold: float) -> int:
    return int((path >= threshold).any())


def evidence(values: np.ndarray) -> np.ndarray:
    """The evidence of windows `(windows, columns)` against the first sixty of them, pooled."""
    known = learn_baseline(values[:60], np.zeros((60, 20)), np.arange(60))
    return shiryaev_roberts(known.score(values[60:], np.zeros(20), 0, np.full(20, 0.02))).mean(axis=1)


@pytest.mark.parametrize("kind", ["normal", "t5", "autocorrelated"])
def test_drift_alarms_stay_within_the_budget_when_nothing_changes(kind: str) -> None:
    rng = np.random.default_rng(4)
    threshold = threshold_for(alarms_per_year=BUDGET, windows_per_year=365)
    alarms = 0
    for _ in range(YEARS):
        noise = rng.standard_t(5, (425, 20)) / np.sqrt(5 / 3) if kind == "t5" else rng.normal(size=(425, 20))
        if kind == "autocorrelated":
            for i in range(1, len(noise)):
                noise[i] = 0.5 * noise[i - 1] + np.sqrt(1 - 0.25) * noise[i]
        values = 0.5 + 0.02 * noise
        alarms += count_alarms(evidence(values), threshold)
    assert upper_bound(alarms, YEARS) <= BUDGET


def test_a_shift_of_a_fifth_of_the_ranks_is_seen_within_three_windows() -> None:
    rng = np.random.default_rng(5)
    threshold = threshold_for(alarms_per_year=BUDGET, windows_per_year=365)
    seen = 0
    for _ in range(100):
        values = 0.5 + 0.02 * rng.normal(size=(63, 20))
        values[60:, 3] += 0.2
        seen += count_alarms(evidence(values), threshold)
    assert seen >= 98


def baseline(bias: np.ndarray, rng: np.random.Generator) -> list[Performance]:
    values = bias + 0.08 * rng.normal(size=len(bias))
    return [Performance(500, 0, 0.3 + v, 0.3, {"log_loss": 0.5 + v, "brier": 0.2 + v}) for v in values]


def windows(found: list[Performance]) -> list[Window]:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return [Window(start + timedelta(days=i), "b", "champion", 500, None, p) for i, p in enumerate(found)]


@pytest.mark.parametrize("metric", ["calibration", "log_loss"])
def test_performance_alarms_stay_within_the_budget_at_the_edge_of_the_tolerance(metric: str) -> None:
    """The worst case of the null: half the tolerance is used up all year, and the spread is learnt from fourteen days."""
    rng = np.random.default_rng(6)
    tolerance, threshold = Tolerance(metric, by=0.03), threshold_for(alarms_per_year=BUDGET, windows_per_year=365)
    alarms = 0
    for _ in range(YEARS):
        reading = read_performance(Binary(), tolerance, baseline(np.zeros(14), rng), windows(baseline(np.full(365, 0.015), rng)), threshold)
        alarms += reading.alarmed_at is not None
    assert upper_bound(alarms, YEARS) <= BUDGET


@pytest.mark.parametrize("sign", [1, -1])
def test_a_lost_calibration_is_seen_in_both_directions(sign: int) -> None:
    rng = np.random.default_rng(7)
    threshold = threshold_for(alarms_per_year=BUDGET, windows_per_year=365)
    reading = read_performance(
        Binary(),
        Tolerance("calibration", by=0.03),
        baseline(np.zeros(14), rng),
        windows(baseline(np.full(30, sign * 0.15), rng)),
        threshold,
    )
    assert reading.alarming
    assert reading.alarmed_at is not None
    assert reading.alarmed_at <= 12


def test_no_window_and_empty_windows_are_unknown_not_well() -> None:
    tolerance = Tolerance("log_loss", by=0.03)
    nothing = Performance(0, 10, float("nan"), float("nan"), {})
    for since in ([], [nothing] * 5):
        reading = read_performance(Binary(), tolerance, [], windows(since), 100)
        assert type(reading.health).__name__ == "Unknown"


def test_scores_are_symmetric_and_finite_far_out() -> None:
    z = np.array([-80.0, -1.0, 0.0, 1.0, 80.0])
    u = normal_scores(z, 5.0)
    assert np.isfinite(u).all()
    assert np.allclose(u, -u[::-1])


def test_windows_without_a_value_change_nothing() -> None:
    scores = np.array([[1.0], [np.nan], [1.0]])
    path = shiryaev_roberts(scores)
    assert path[1] == path[0]


def test_evidence_of_a_drift_that_lasted_for_years_ebbs_within_a_month() -> None:
    path = shiryaev_roberts(np.concatenate([np.full((2000, 1), 3.2), np.zeros((30, 1))]))[:, 0]
    assert np.isfinite(path).all()
    assert path[1999] > 1e14
    assert path[-1] < 5


def test_alarms_that_begin_anew_are_those_of_a_detector_for_each_level() -> None:
    rng = np.random.default_rng(3)
    scores, weights, thresholds = rng.normal(size=(300, 4)), np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.5, 5.0, 50.0, 1e6])
    scores[:, 2] += 0.5
    scores[40:50] = np.nan
    expected = []
    for threshold in thresholds:
        detector, count = ShiryaevRoberts(4), 0
        for window in scores:
            if detector.add(window) @ weights >= threshold:
                detector, count = ShiryaevRoberts(4), count + 1
        expected.append(count)
    assert alarms_begun_anew(scores, weights, thresholds).tolist() == expected
    assert expected[0] > expected[1] > expected[2] > 0


@pytest.mark.parametrize("degrees", [3.0, 5.0, 15.0])
def test_scores_have_the_tail_probability_that_scipy_gives_students_t(degrees: float) -> None:
    z = np.array([-4.0, -1.0, 0.0, 0.5, 2.5])
    assert normal_scores(z, degrees) == pytest.approx(norm.ppf(t.cdf(z, degrees)), abs=1e-12)
    assert normal_scores(np.array([1e300]), 5.0) == pytest.approx([norm.isf(1e-300)])


def test_evidence_grows_by_the_recursion_of_each_tilt() -> None:
    """Shiryaev-Roberts with plain numbers: R ← (1 + R)·exp(h·u − h²/2), averaged over the tilts."""
    scores = [0.5, 2.0, -1.0]
    evidence = dict.fromkeys((0.5, 1.5), 0.0)
    for number, score in enumerate(scores):
        evidence = {tilt: (1 + value) * math.exp(tilt * score - tilt**2 / 2) for tilt, value in evidence.items()}
        path = shiryaev_roberts(np.array(scores)[:, None], (0.5, 1.5))
        assert path[number, 0] == pytest.approx(sum(evidence.values()) / 2)


def test_the_evidence_of_every_tilt_is_the_number_of_windows_on_average() -> None:
    """E[R after n windows] = n while nothing is wrong: what makes the average run length at least the level."""
    scores = np.random.default_rng(31).normal(size=(4, 400_000))
    for tilt in (-1.5, 0.5, 1.0):
        assert shiryaev_roberts(scores, (tilt,)).mean(axis=1) == pytest.approx([1, 2, 3, 4], rel=0.15)
    assert ShiryaevRoberts(1).add(np.array([60.0]))[0] <= 1e15


def test_alarms_are_counted_as_a_detector_that_begins_anew_counts_them() -> None:
    rng = np.random.default_rng(32)
    scores = rng.normal(size=(300, 3)) + 0.6
    scores[rng.random(scores.shape) < 0.1] = np.nan
    weights, thresholds = np.array([0.5, 0.3, 0.2]), np.array([20.0, 100.0, 1e9])
    counted = []
    for threshold in thresholds:
        detector, alarms = ShiryaevRoberts(3), 0
        for window in scores:
            if float(detector.add(window) @ weights) >= threshold:
                detector, alarms = ShiryaevRoberts(3), alarms + 1
        counted.append(alarms)
    assert alarms_begun_anew(scores, weights, thresholds).tolist() == counted
    assert counted[0] > counted[1] > counted[2] == 0


def test_a_level_is_as_many_windows_as_there_are_between_two_alarms() -> None:
    assert threshold_for(alarms_per_year=2.0, windows_per_year=365) == 182.5


def test_evidence_is_the_same_to_both_sides() -> None:
    scores = np.random.default_rng(33).normal(size=(30, 4)) + 0.5
    assert shiryaev_roberts(-scores) == pytest.approx(shiryaev_roberts(scores))
