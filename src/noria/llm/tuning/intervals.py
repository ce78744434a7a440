"""Intervals of means over questions, by the bootstrap: of one at a time, and of several differences that hold together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from noria.core.randomness import Randomness

RESAMPLES, LEVEL = 2_000, 0.95
Floats = NDArray[np.float64]


def mean_interval(values: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of values `(questions,)` (Efron & Tibshirani 1993, chapter 13)."""
    low, high = np.quantile(_means(values[:, None])[:, 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired_intervals(differences: Floats) -> list[tuple[float, float]]:
    """Intervals of the means of paired differences `(questions, settings)`, all of which hold at once with 95 % probability.

    The largest studentized deviation of all settings is resampled (Westfall & Young 1993, "Resampling-based multiple testing"), so that
    trying many settings does not make one of them look better by chance. Questions are resampled with all their differences.
    """
    means, resampled = differences.mean(axis=0), _means(differences)
    errors = resampled.std(axis=0, ddof=1)
    scale = np.where(errors == 0, 1, errors)
    reach = float(np.quantile((np.abs(resampled - means) / scale).max(axis=1), LEVEL))
    return [(float(mean - reach * error), float(mean + reach * error)) for mean, error in zip(means, errors, strict=True)]


def _means(values: Floats) -> Floats:
    """Means of resamples of the rows `(resamples, columns)`; the same for the same values."""
    return np.asarray(_counts(len(values)) @ values / len(values), np.float64)


@lru_cache(maxsize=2)
def _counts(rows: int) -> Floats:
    """How often each row is in each resample `(resamples, rows)`."""
    rng = np.random.default_rng(Randomness().seed("tuning"))
    return rng.multinomial(rows, np.full(rows, 1 / rows), RESAMPLES).astype(np.float64)
