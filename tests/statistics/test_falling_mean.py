"""Bets against a mean: what does not fall is hardly ever said to, and what falls is found soon."""

from __future__ import annotations

import numpy as np
import pytest

from noria.statistics.falling_mean import evidence_of_fall

VALUES = 2_000  # in the place of a year


def test_a_mean_just_at_the_limit_alarms_no_more_often_than_the_threshold_allows() -> None:
    threshold, alarms, runs = VALUES / 0.2, 0, 150
    for seed in range(runs):
        rng = np.random.default_rng([11, seed])
        values = (rng.random(VALUES) < 0.9).astype(float) if seed % 2 else rng.beta(9, 1, VALUES)
        alarms += bool((evidence_of_fall(values, 0.9) >= threshold).any())
    assert alarms <= 0.2 * runs


def test_a_fall_is_found_wherever_it_begins() -> None:
    found = []
    for seed in range(40):
        rng = np.random.default_rng([12, seed])
        values = (rng.random(1_000) < np.where(np.arange(1_000) < 800, 0.97, 0.6)).astype(float)
        over = np.flatnonzero(evidence_of_fall(values, 0.9) >= VALUES / 0.2)
        found.append(over[0] - 800 if len(over) else 1_000)
    assert min(found) >= 0
    assert np.median(found) < 60


def test_what_can_not_be_is_refused() -> None:
    assert evidence_of_fall(np.empty(0), 0.9).shape == (0,)
    for limit in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="limit"):
            evidence_of_fall(np.array([0.5]), limit)
    for value in (1.01, -0.01, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            evidence_of_fall(np.array([value]), 0.5)
