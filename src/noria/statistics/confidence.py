"""Confidence sequences: intervals that hold at every look at once, so that looking daily costs nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.statistics.autocorrelation import CERTAIN, MAX_LAG1, unbiased, widening

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds that hold for it at level `1 - alpha`, simultaneously over all looks."""

    mean: float
    lower: float
    upper: float
    units: int

    def to_dict(self) -> dict[str, float]:
        return {"mean": self.mean, "lower": self.lower, "upper": self.upper, "units": self.units}


def radius(units: int, sd: float, *, alpha: float, planned: int) -> float:
    """Half the width of the asymptotic confidence sequence after `units` observations.

    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence
    sequences" (2024), theorem 2.2: sd·√(2(nρ² + 1)/(n²ρ²)·log(√(nρ² + 1)/α)), with ρ chosen for `planned` units (eq. 12).
    """
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / planned
    v = units * rho2 + 1
    return sd * math.sqrt(2 * v / (units**2 * rho2) * math.log(math.sqrt(v) / alpha))


def paired_sequence(differences: Floats, before: Floats, *, alpha: float, planned: int) -> Interval | None:
    """The confidence sequence for the mean of paired differences, one per independent unit (here: a day).

    `before` holds differences of the same kind from an earlier period (the gate's holdout): they say how much such
    differences vary, which three days alone cannot, but do not enter the mean. None while there are fewer than two
    observations to estimate a spread from.
    """
    return _sequence(differences, _residuals(differences, before), 1.0, alpha=alpha, planned=planned)


def mean_sequence(values: Floats, before: Floats, *, alpha: float, planned: int) -> Interval | None:
    """The confidence sequence for the mean of a metric's values, one a window `(windows,)`, where one window resembles the one before it.

    As `paired_sequence`, but widened by √((1 + φ)/(1 − φ)), the factor by which the error of a mean of such values is larger; φ is the
    upper 95 % bound of the autocorrelation at lag 1, since a few windows can't rule it out.
    """
    residuals = _residuals(values, before)
    squares, count = sum(float((part**2).sum()) for part in residuals), max(sum(map(len, residuals)), 1)
    lag1 = sum(float((part[1:] * part[:-1]).sum()) for part in residuals) / squares if squares else 0.0
    most = min(max(unbiased(lag1, count) + CERTAIN / math.sqrt(count), 0.0), MAX_LAG1)
    return _sequence(values, residuals, widening(most), alpha=alpha, planned=planned)


def _residuals(values: Floats, before: Floats) -> list[Floats]:
    """The deviations of both periods, each about its own mean."""
    return [part - part.mean() for part in (values, before) if len(part) > 1]


def _sequence(values: Floats, residuals: list[Floats], widened: float, *, alpha: float, planned: int) -> Interval | None:
    degrees = sum(len(part) - 1 for part in residuals)
    if len(values) == 0 or degrees < 2:
        return None
    sd = widened * math.sqrt(sum(float((part**2).sum()) for part in residuals) / degrees)
    mean, half = float(values.mean()), radius(len(values), sd, alpha=alpha, planned=planned)
    return Interval(mean, mean - half, mean + half, len(values))


def bounded_sequence(values: Floats, low: float, high: float, *, alpha: float) -> tuple[Floats, Floats]:
    """The lower and upper bound `(n,)` of the mean after each of n values that lie in [low, high], for any distribution and any n.

    The predictable plug-in empirical Bernstein sequence: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by
    betting" (2024), theorem 2, with their λ truncated at a half. Values beyond the bounds are refused: what has none is clipped first,
    and the mean is then that of the clipped values.
    """
    x = (np.asarray(values, np.float64) - low) / (high - low)
    if len(x) and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError(f"values from {values.min():g} to {values.max():g} do not lie between {low:g} and {high:g}")
    n = np.arange(1, len(x) + 1)
    means = (0.5 + np.cumsum(x)) / (n + 1)
    before = np.concatenate([[0.5], means[:-1]])[: len(x)]
    spread = (0.25 + np.cumsum((x - means) ** 2)) / (n + 1)
    spread_before = np.concatenate([[0.25], spread[:-1]])[: len(x)]
    stake = np.minimum(np.sqrt(2 * math.log(2 / alpha) / (spread_before * n * np.log1p(n))), 0.5)
    cost = 4 * (x - before) ** 2 * (-np.log1p(-stake) - stake) / 4
    total = np.cumsum(stake)
    middle, half = np.cumsum(stake * x) / total, (math.log(2 / alpha) + np.cumsum(cost)) / total
    lower, upper = np.maximum.accumulate(np.maximum(middle - half, 0.0)), np.minimum.accumulate(np.minimum(middle + half, 1.0))
    return low + (high - low) * lower, low + (high - low) * upper


def asymptotic_sequence(values: Floats, *, alpha: float, planned: int, least: int = 100) -> tuple[Floats, Floats]:
    """The same for values without bounds, from the `least`-th on (the theorem is of large numbers): see `radius`."""
    x = np.asarray(values, np.float64)
    n = np.arange(1, len(x) + 1)
    means = np.cumsum(x) / n
    spread = np.sqrt(np.maximum(np.cumsum(x**2) / n - means**2, 0.0) * n / np.maximum(n - 1, 1))
    half = np.array([radius(int(k), float(sd), alpha=alpha, planned=planned) for k, sd in zip(n, spread, strict=True)])
    half[: least - 1] = np.inf
    return means - half, means + half
