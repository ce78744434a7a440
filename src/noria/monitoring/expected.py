"""Expected performance: what a window's loss will be, before its outcomes come, from the scores alone.

Where scores are calibrated, each says how likely either outcome is, and so what loss to expect of it (confidence-based performance
estimation; Kivimäki et al. 2025, with Poisson-binomial intervals). It sees covariate shift and is blind to a changed relation; so its own
reliability is kept: where its intervals have not covered what came later, it does not alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.evaluation.metrics import ROW_LOSSES
from noria.monitoring.monitor import Tolerance

Floats = NDArray[np.float64]

CLIP = 1e-6
LEVEL = 0.8  # of the intervals by which reliability is judged
LAST, MIN_COVERED = 10, 0.6  # windows; of ten intervals at 80 %, fewer than six cover once in thirty times by chance
MIN_MATURED = 5
RUN = 3  # windows in a row beyond the tolerance, upon which it is told


@dataclass(frozen=True)
class Expected:
    """A window's expected loss, and how far outcomes alone may carry the realised one from it (a standard deviation)."""

    mean: float
    sd: float


def calibrate(labels: Floats, scores: Floats) -> tuple[float, float]:
    """The intercept and slope that calibrate scores, by logistic regression on their logits (Platt 1999); (0, 1) where all is alike."""
    from scipy.optimize import minimize  # half a second, which only a loop that trains has to spend

    if len(np.unique(labels)) < 2:
        return 0.0, 1.0
    x = logit(np.clip(scores, CLIP, 1 - CLIP))

    def loss(parameters: Floats) -> float:
        z = parameters[0] + parameters[1] * x
        return float((np.logaddexp(0, z) - labels * z).mean() + 1e-4 * (parameters[1] - 1) ** 2)

    found = minimize(loss, np.array([0.0, 1.0]), method="BFGS")
    return float(found.x[0]), float(found.x[1])


def expect(metric: str, scores: Floats, calibration: tuple[float, float]) -> Expected:
    """The loss to be expected of scores `(rows,)`."""
    p = np.clip(scores, CLIP, 1 - CLIP)
    chance = expit(calibration[0] + calibration[1] * logit(p))
    one, zero = (ROW_LOSSES[metric](np.full(len(p), float(label)), p) for label in (1, 0))
    mean = chance * one + (1 - chance) * zero
    variance = chance * (1 - chance) * (one - zero) ** 2
    return Expected(float(mean.mean()), float(np.sqrt(variance.sum()) / len(p)))


@dataclass(frozen=True)
class ExpectedReading:
    """Expected losses of windows, and how they compared with what came later. bias, sd: of realised minus expected, beyond chance

    covered: the share of the last matured windows whose interval held; None before there are enough
    """

    tolerance: Tolerance
    baseline: float
    starts: tuple[datetime, ...]
    expected: Floats
    realised: Floats
    bias: float
    sd: float
    covered: float | None

    @property
    def reliable(self) -> bool:
        return self.covered is not None and self.covered >= MIN_COVERED

    @property
    def alarming(self) -> bool:
        """Whether the newest windows, all without outcomes, are expected to lie beyond the tolerance for certain."""
        waiting = np.isnan(self.realised)
        newest = self.expected[waiting][-RUN:] + self.bias
        limit = self.baseline + self.tolerance.by
        return self.reliable and len(newest) == RUN and bool((newest - self.sd > limit).all())

    @property
    def health(self) -> Health:
        if not len(self.expected):
            return Unknown("no window to estimate performance for yet")
        if self.covered is None:
            return Unknown(f"fewer than {MIN_MATURED} windows have outcomes to check the estimates against")
        if not self.reliable:
            return Unknown(f"the estimates held in only {self.covered:.0%} of the last windows: they are not used")
        if self.alarming:
            return Unhealthy(f"{self.tolerance.metric} is estimated at {self.expected[-1] + self.bias:.3f}")
        return Healthy({"windows": len(self.expected), "covered": self.covered, "expected": float(self.expected[-1] + self.bias)})

    def to_dict(self) -> dict[str, Any]:
        return {
            "metric": self.tolerance.metric,
            "baseline": self.baseline,
            "tolerance": self.tolerance.by,
            "expected": float(self.expected[-1] + self.bias),
            "covered": self.covered,
        }


def read_expected(tolerance: Tolerance, baseline: float, windows: Sequence[tuple[datetime, Expected, float | None]]) -> ExpectedReading:
    """Judge windows (start, what was expected of it, what came or None), in the order of time."""
    expected = np.array([e.mean for _, e, _ in windows])
    realised = np.array([np.nan if r is None else r for _, _, r in windows])
    chance = np.array([e.sd for _, e, _ in windows])
    matured = np.flatnonzero(~np.isnan(realised))
    bias, sd, covered = 0.0, float("inf"), None
    if len(matured) >= MIN_MATURED:
        held = [_held(expected, realised, chance, matured[:i], matured[i]) for i in range(MIN_MATURED, len(matured))][-LAST:]
        covered = float(np.mean(held)) if held else None
        bias, sd = _residual(expected, realised, matured)
    return ExpectedReading(tolerance, baseline, tuple(s for s, _, _ in windows), expected, realised, bias, sd, covered)


def _residual(expected: Floats, realised: Floats, past: NDArray[np.int64]) -> tuple[float, float]:
    residuals = (realised - expected)[past]
    return float(residuals.mean()), float(residuals.std(ddof=1))


def _held(expected: Floats, realised: Floats, chance: Floats, past: NDArray[np.int64], place: int) -> bool:
    """Whether the interval that the past would have given for a window held what came."""
    bias, sd = _residual(expected, realised, past)
    wide = float(stdtrit(len(past) - 1, (1 + LEVEL) / 2)) * max(sd, float(chance[place])) * np.sqrt(1 + 1 / len(past))
    return bool(abs(realised[place] - expected[place] - bias) <= wide)
