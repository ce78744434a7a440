"""How far two who judge the same agree, beyond what chance would bring about."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def kappa(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Cohen's kappa of two yes-or-no judgements `(n,)` (Cohen 1960): 1 where they agree, 0 as chance would have it; NaN where both always
    say the same one thing, as nothing can be told from it."""
    first, second = np.asarray(one, bool), np.asarray(other, bool)
    if not len(first):
        return math.nan
    agreed = float((first == second).mean())
    chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return math.nan if chance >= 1 else (agreed - chance) / (1 - chance)


def share_bounds(yes: int, count: int, alpha: float) -> tuple[float, float]:
    """The exact two-sided bounds of a share at level 1 − alpha (Clopper & Pearson 1934)."""
    from scipy.special import betaincinv

    if count == 0:
        return 0.0, 1.0
    lower = float(betaincinv(yes, count - yes + 1, alpha / 2)) if yes else 0.0
    upper = float(betaincinv(yes + 1, count - yes, 1 - alpha / 2)) if yes < count else 1.0
    return lower, upper


def resampled_bounds(values: Floats, alpha: float, seed: int = 0, draws: int = 2_000) -> tuple[float, float]:
    """The bounds of a mean of values `(n,)` by the percentile bootstrap over them (Efron 1979), for figures that are shown, not gated
    on."""
    given = np.asarray(values, np.float64)
    if not len(given):
        return math.nan, math.nan
    rng = np.random.default_rng([len(given), seed])
    means = np.array([given[rng.integers(0, len(given), len(given))].mean() for _ in range(draws)])
    low, high = np.quantile(means, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)
