"""Few labels and many predictions: the stated level holds for good judges and for bad ones, and good ones make intervals shorter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from noria.statistics.prediction_powered import powered_mean

ALPHA, RUNS, TRUTH = 0.05, 800, 0.1


def drawn(rng: np.random.Generator, right: float, labels: int = 60, others: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels −1, 0 or 1 with the mean `TRUTH`, predictions that are right so often and else biased upwards."""
    y = rng.choice([-1.0, 0.0, 1.0], labels + others, p=[0.1, 0.7, 0.2])
    f = np.where(rng.random(len(y)) < right, y, rng.choice([0.0, 1.0], len(y)))
    return y[:labels], f[:labels], f[labels:]


@pytest.mark.parametrize("right", [0.95, 0.7, 0.0])
def test_bounds_hold_as_often_as_stated_whatever_the_predictions_are_worth(right: float) -> None:
    rng = np.random.default_rng([int(right * 100)])
    found = [powered_mean(*drawn(rng, right), ALPHA, ends=(-1, 1)) for _ in range(RUNS)]
    most = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
    assert np.mean([each.lower > TRUTH for each in found]) <= most
    assert np.mean([each.upper < TRUTH for each in found]) <= most
    assert np.mean([each.mean for each in found]) == pytest.approx(TRUTH, abs=0.015)


def test_good_predictions_shorten_the_interval_and_bad_ones_cost_nothing() -> None:
    rng = np.random.default_rng(3)
    good = [(powered_mean(*each, ALPHA).error, powered_mean(*each, ALPHA, power=0).error) for each in (drawn(rng, 0.95) for _ in range(50))]
    bad = [(powered_mean(*each, ALPHA).error, powered_mean(*each, ALPHA, power=0).error) for each in (drawn(rng, 0.0) for _ in range(50))]
    assert np.mean([ours / labels for ours, labels in good]) < 0.65
    assert np.mean([ours / labels for ours, labels in bad]) < 1.01
    assert np.mean([powered_mean(*drawn(rng, 0.0), ALPHA, power=1).error for _ in range(50)]) > np.mean([ours for ours, _ in bad])


def test_a_few_labels_that_are_all_the_same_prove_nothing() -> None:
    same = np.zeros(20)
    assert powered_mean(same, same, np.zeros(500), ALPHA).lower == 0
    guarded = powered_mean(same, same, np.zeros(500), ALPHA, ends=(-1, 1))
    assert guarded.lower < -0.1 < 0.1 < guarded.upper
    with pytest.raises(ValueError, match="two at least"):
        powered_mean(np.zeros(1), np.zeros(1), np.zeros(5), ALPHA)
    assert powered_mean(np.array([0.0, 1.0]), np.zeros(2), np.zeros(0), ALPHA).power == 0
