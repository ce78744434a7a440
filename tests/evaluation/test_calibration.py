"""Calibration is claimed where it was measured, and only then."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import f as fisher

from noria.evaluation.calibration import LEVEL, Calibration, expected_error, measure_calibration

DAYS, ROWS = 14, 300


def drawn(seed: int, slope: float = 1.0, intercept: float = 0.0, shared: float = 0.0) -> Calibration:
    """Scores whose outcomes have this slope and intercept; `shared`: what the rows of one day have in common (in logits)."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(DAYS), ROWS)
    z = rng.normal(-1.0, 1.0, len(day))
    labels = (rng.random(len(day)) < expit(intercept + slope * z + shared * rng.normal(size=DAYS)[day])).astype(float)
    found = measure_calibration(labels, expit(z), day)
    assert found is not None
    return found


def test_slope_and_intercept_are_those_that_the_outcomes_were_drawn_with() -> None:
    for slope, intercept in ((1.0, 0.0), (1.76, -1.3), (0.6, 0.5)):
        found = drawn(1, slope, intercept)
        assert found.slope == pytest.approx(slope, abs=4 * found.slope_error)
        assert found.intercept == pytest.approx(intercept, abs=4 * found.intercept_error)
        assert found.slope_error < 0.15


def test_calibrated_scores_are_refused_no_more_often_than_the_level_says_though_days_have_much_in_common() -> None:
    for shared in (0.0, 0.3):  # by 200 draws, the level of 1 % and three standard errors
        refused = sum(not drawn(seed, shared=shared).holds for seed in range(200)) / 200
        assert refused < LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / 200) + 0.02 * bool(shared)  # what days share also flattens the slope


def test_scores_that_are_too_timid_or_too_extreme_say_so() -> None:
    timid, extreme, high, fine = drawn(1, 1.76, -1.3), drawn(1, 0.6), drawn(2, intercept=-0.4), drawn(2)
    assert "not calibrated" in timid.summary
    assert "too close to the middle" in timid.summary
    assert "slope 1." in timid.summary
    assert "too extreme" in extreme.summary
    assert "(too high)" in high.summary
    assert "consistent with calibrated probabilities" in fine.summary
    assert "not calibrated" not in fine.summary


def test_the_expected_error_is_the_distance_of_scores_from_shares() -> None:
    labels = np.array([0.0, 1.0] * 500)
    assert expected_error(labels, np.full(1000, 0.5)) == pytest.approx(0.0)
    assert expected_error(labels, np.full(1000, 0.8)) == pytest.approx(0.3)
    halves = np.repeat([0.2, 0.8], 500)
    assert expected_error((np.arange(1000) % 5 == 0).astype(float), halves) == pytest.approx(0.3)


def test_what_can_not_be_measured_is_not() -> None:
    day, rng = np.arange(1000) // 100, np.random.default_rng(1)
    scores, labels = rng.random(1000), (rng.random(1000) < 0.5).astype(float)
    assert measure_calibration(np.zeros(1000), scores, day) is None
    assert measure_calibration(labels, np.full(1000, 0.5), day) is None
    assert measure_calibration(labels, scores, day // 3) is None
    assert measure_calibration((scores > 0.5).astype(float), scores, day) is None
    assert measure_calibration(np.empty(0), np.empty(0), np.empty(0, np.int64)) is None


def test_every_figure_is_that_of_a_slow_formula() -> None:
    """Cox's slope and intercept by a general minimizer, the sandwich by a loop over days, and an F test with two and days - 2 degrees."""
    rng = np.random.default_rng(5)
    day = np.repeat(np.arange(6), 50)
    scores = np.append(rng.random(len(day) - 1), 1.0)  # one that is certain, and is taken for very sure
    labels = (rng.random(len(day)) < expit(0.3 + 0.8 * logit(np.clip(scores, 1e-6, 1 - 1e-6)))).astype(float)
    found = measure_calibration(labels, scores, day)
    assert found is not None
    x = np.column_stack([np.ones(len(day)), logit(np.clip(scores, 1e-6, 1 - 1e-6))])
    loss = lambda b: float(np.logaddexp(0, x @ b).sum() - labels @ x @ b)  # noqa: E731
    slow = minimize(loss, [0.0, 1.0], method="BFGS", options={"gtol": 1e-8}).x
    p = expit(x @ slow)
    bread = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x)
    pulls = [((labels - p)[day == d][:, None] * x[day == d]).sum(axis=0) for d in range(6)]
    covariance = bread @ sum(np.outer(pull, pull) for pull in pulls) @ bread * 6 / 5
    away = slow - [0.0, 1.0]
    expected = {
        "rows": 300,
        "units": 6,
        "slope": slow[1],
        "slope_error": np.sqrt(covariance[1, 1]),
        "intercept": slow[0],
        "intercept_error": np.sqrt(covariance[0, 0]),
        "error": expected_error(labels, scores),
        "predicted": scores.mean(),
        "observed": labels.mean(),
        "p": fisher.sf(away @ np.linalg.inv(covariance) @ away / 2, 2, 4),
    }
    assert found.to_dict() == pytest.approx(expected, rel=1e-4)
