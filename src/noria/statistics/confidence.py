"""Confidence sequences: intervals that hold at every look at once, so that looking daily costs nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def paired_sequence(differences: NDArray[np.float64], before: NDArray[np.float64], *, alpha: float, planned: int) -> Interval | None:
    """The confidence sequence for the mean of paired differences, one per independent unit (here: a day).

    `before` holds differences of the same kind from an earlier period (the gate's holdout): they say how much such
    differences vary, which three days alone cannot, but do not enter the mean. None while there are fewer than two
    observations to estimate a spread from.
    """
    residuals = [part - part.mean() for part in (differences, before) if len(part) > 1]
    degrees = sum(len(part) - 1 for part in residuals)
    if len(differences) == 0 or degrees < 2:
        return None
    sd = math.sqrt(sum(float((part**2).sum()) for part in residuals) / degrees)
    mean = float(differences.mean())
    half = radius(len(differences), sd, alpha=alpha, planned=planned)
    return Interval(mean, mean - half, mean + half, len(differences))
