"""Expected performance: what a window's loss will be, before its outcomes come, from the scores alone.

How it is estimated is the task's (`noria.evaluation.estimation`). It sees covariate shift and is blind to a changed relation; so its own
reliability is kept: where its intervals have not covered what came later, it does not alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.evaluation.estimation import Expected
from noria.evaluation.metric import Metric
from noria.monitoring.monitor import Tolerance

Floats = NDArray[np.float64]

LEVEL = 0.8  # of the intervals by which reliability is judged
LAST, MIN_COVERED = 10, 0.6  # windows; of ten intervals at 80 %, fewer than six cover once in thirty times by chance
MIN_MATURED = 5
RUN = 3  # windows in a row beyond the tolerance, upon which it is told


@dataclass(frozen=True)
class ExpectedReading:
    """Expected losses of windows, and how they compared with what came later. bias, sd: of realised minus expected, beyond chance

    covered: the share of the last matured windows whose interval held; None before there are enough
    """

    metric: Metric
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
        beyond = [(sign * newest - self.sd > sign * self.baseline + self.tolerance.by).all() for sign in self.metric.worse]
        return self.reliable and len(newest) == RUN and any(beyond)

    @property
    def newest(self) -> float:
        """What the newest window is expected to be."""
        return float(self.expected[-1] + self.bias)

    @property
    def health(self) -> Health:
        if not len(self.expected):
            return Unknown("no window to estimate performance for yet")
        if self.covered is None:
            return Unknown(f"fewer than {MIN_MATURED} windows have outcomes to check the estimates against")
        if not self.reliable:
            return Unknown(f"the estimates held in only {self.covered:.0%} of the last windows: they are not used")
        if self.alarming:
            return Unhealthy(f"{self.metric.title} is estimated at {self.metric.format(self.newest, digits=3)}")
        return Healthy({"windows": len(self.expected), "covered": self.covered, "expected": self.newest})

    def to_dict(self) -> dict[str, Any]:
        return {
            "metric": self.metric.name,
            "baseline": self.baseline,
            "tolerance": self.tolerance.by,
            "expected": self.newest,
            "covered": self.covered,
        }


def read_expected(
    metric: Metric, tolerance: Tolerance, baseline: float, windows: Sequence[tuple[datetime, Expected, float | None]]
) -> ExpectedReading:
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
    return ExpectedReading(metric, tolerance, baseline, tuple(s for s, _, _ in windows), expected, realised, bias, sd, covered)


def _residual(expected: Floats, realised: Floats, past: NDArray[np.int64]) -> tuple[float, float]:
    residuals = (realised - expected)[past]
    return float(residuals.mean()), float(residuals.std(ddof=1))


def _held(expected: Floats, realised: Floats, chance: Floats, past: NDArray[np.int64], place: int) -> bool:
    """Whether the interval that the past would have given for a window held what came."""
    bias, sd = _residual(expected, realised, past)
    wide = float(stdtrit(len(past) - 1, (1 + LEVEL) / 2)) * max(sd, float(chance[place])) * np.sqrt(1 + 1 / len(past))
    return bool(abs(realised[place] - expected[place] - bias) <= wide)
