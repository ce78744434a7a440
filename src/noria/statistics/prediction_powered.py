"""Means of what people say, from a few of their labels and many predictions of them.

PPI++ (Angelopoulos, Duchi & Zrnic, "PPI++: Efficient prediction-powered inference", 2023, section 3; Angelopoulos et al.,
"Prediction-powered
inference", Science 2023): the mean of many predictions, corrected by what the few labels say of their error. `power` (λ in the paper)
says how much predictions count; it is chosen for the smallest variance (eq. 6), so that useless predictions cost next to nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MIN_LABELS = 20  # below these, the normal approximation is not to be trusted


@dataclass(frozen=True)
class PoweredMean:
    """A mean with its standard error, and the bounds that each hold with 1 − alpha by themselves.

    power: how much the predictions counted, 0: not at all; labels, predictions: how many there were
    """

    mean: float
    error: float
    lower: float
    upper: float
    power: float
    labels: int
    predictions: int

    def to_dict(self) -> dict[str, float]:
        return dict(self.__dict__)


def powered_mean(
    labels: Floats,
    predicted: Floats,
    others: Floats,
    alpha: float,
    power: float | None = None,
    ends: tuple[float, float] | None = None,
) -> PoweredMean:
    """The mean of labels.

    labels `(n,)`: what people say; predicted `(n,)`: the predictions of the same; others `(N,)`: predictions of what nobody labelled
    power: None chooses it; 0 is the classical mean of the labels; 1 is prediction-powered inference as first published

    ends: between which labels lie: labels at the worst of them are then imagined, as in `bounded_mean`, so that a few labels which are all
        the same prove nothing

    The labelled must be drawn at random from all. Raises ValueError for fewer than two labels.
    """
    from scipy.special import stdtrit

    y, f, g = (np.asarray(each, np.float64) for each in (labels, predicted, others))
    if len(y) < 2 or len(y) != len(f):
        raise ValueError(f"{len(y)} labels and {len(f)} predictions of them; two at least are needed, and as many of each")
    if power is None:
        power = _best_power(y, f, g)
    n, many = len(y), len(g)
    if not many:
        power = 0.0
    rest = power * float(g.mean()) if many else 0.0
    spread = power**2 * float(g.var(ddof=1 if many > 1 else 0)) / many if many else 0.0
    corrected = y - power * f
    mean, error = rest + float(corrected.mean()), math.sqrt(float(corrected.var(ddof=1)) / n + spread)
    half = float(stdtrit(n - 1, 1 - alpha))
    lower, upper = mean - half * error, mean + half * error
    if ends is not None:
        low, high = (end - power * float(f.mean()) for end in ends)
        lower = max(min(lower, rest + _guarded(corrected, low, spread, alpha, -half)), ends[0])
        upper = min(max(upper, rest + _guarded(corrected, high, spread, alpha, half)), ends[1])
    return PoweredMean(mean, error, lower, upper, power, n, many)


def _guarded(corrected: Floats, end: float, spread: float, alpha: float, quantile: float) -> float:
    """A bound of the mean of corrected labels, with some imagined at an end, as in `bounded_mean`. spread: a further variance"""
    imagined = math.log(1 / alpha) / 2
    whole = len(corrected) + imagined
    mean = (float(corrected.sum()) + imagined * end) / whole
    squares = float(((corrected - mean) ** 2).sum()) + imagined * (end - mean) ** 2
    return mean + quantile * math.sqrt(squares / (whole - 1) / whole + spread)


def _best_power(y: Floats, f: Floats, g: Floats) -> float:
    """The λ of the smallest variance, between 0 and 1: cov(y, f) / ((1 + n/N) var(f))."""
    if len(g) < 2:
        return 0.0
    spread = float(np.concatenate([f, g]).var(ddof=1))
    if spread <= 1e-12:
        return 0.0
    best = float(np.cov(y, f, ddof=1)[0, 1]) / ((1 + len(y) / len(g)) * spread)
    return min(max(best, 0.0), 1.0)
