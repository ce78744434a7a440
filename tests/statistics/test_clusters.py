"""Intervals of means by clusters: they hold as often as they say, and those that take rows for independent do not."""

from __future__ import annotations

import numpy as np

from noria.statistics.clusters import MIN_CLUSTERS, mean_of_clusters


def test_the_truth_lies_within_as_often_as_said() -> None:
    """2,000 holdouts of 14 days of 5 to 60 rows, half of whose variance is the day's: at 95 %, between 93 and 97 % (three standard errors
    of the simulation and what 14 clusters of different sizes cost)."""
    rng = np.random.default_rng(3)
    within, naive = 0, 0
    for _ in range(2_000):
        sizes = rng.integers(5, 61, 14)
        day = np.repeat(np.arange(14), sizes)
        values = 0.4 + rng.normal(size=14)[day] + rng.normal(size=len(day))
        found = mean_of_clusters(values, day)
        assert found is not None
        within += found[1] <= 0.4 <= found[2]
        naive += abs(values.mean() - 0.4) <= 1.96 * values.std() / np.sqrt(len(values))
    assert 0.92 <= within / 2_000 <= 0.97
    assert naive / 2_000 < 0.6


def test_of_few_clusters_nothing_is_said() -> None:
    assert mean_of_clusters(np.arange(8.0), np.arange(8) % (MIN_CLUSTERS - 1)) is None
    assert mean_of_clusters(np.ones(10), np.arange(10)) == (1.0, 1.0, 1.0)
