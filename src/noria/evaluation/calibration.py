"""Calibration, measured: whether scores are the probabilities that they look like, on rows that the model has not seen.

A logistic regression of the outcomes on the scores' logits has slope 1 and intercept 0 where they are (Cox 1958, "Two further
applications of a model for binary regression"). A slope above 1 means that scores are too timid, one below 1 that they are too extreme;
the intercept, that they are too low or too high together. Rows of one window are not independent, so the fit's errors are those of
windows (Liang & Zeger 1986, "Longitudinal data analysis using generalized linear models").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, fdtrc, logit

Floats = NDArray[np.float64]

CLIP = 1e-6
LEVEL = 0.01  # at which a slope of 1 with an intercept of 0 is refused
MIN_UNITS = 5
STEPS, DONE = 50, 1e-10
STEEPEST = 1e3  # beyond it, the scores tell the outcomes apart without a miss, and no slope is the best one
BINS = 10


@dataclass(frozen=True)
class Calibration:
    """How scores of `rows` rows in `units` windows compare with their outcomes.

    slope, intercept: of the logistic recalibration, with their standard errors; error: the expected calibration error, the mean distance of
    the score from the share of positives in ten bins of equally many rows; p: of a slope of 1 with an intercept of 0
    """

    rows: int
    units: int
    slope: float
    slope_error: float
    intercept: float
    intercept_error: float
    error: float
    predicted: float
    observed: float
    p: float

    @property
    def holds(self) -> bool:
        """Whether what was measured is consistent with calibrated probabilities."""
        return self.p >= LEVEL

    @property
    def summary(self) -> str:
        """What was measured, in two sentences."""
        figures = (
            f"On {self.rows:,} rows of {self.units} windows that the evaluated model had not seen: slope {self.slope:.2f} ± "
            f"{self.slope_error:.2f}, intercept {self.intercept:+.2f} ± {self.intercept_error:.2f} (1 and 0 if calibrated), expected "
            f"calibration error {self.error:.3f}; predicted {self.predicted:.3f}, observed {self.observed:.3f}."
        )
        if self.holds:
            return f"{figures} That is consistent with calibrated probabilities."
        return f"{figures} These scores are not calibrated probabilities ({self._way}): use them to rank, or recalibrate them."

    @property
    def _way(self) -> str:
        if abs(self.slope - 1) > 2 * self.slope_error:
            return "too close to the middle" if self.slope > 1 else "too extreme"
        return "too low" if self.observed > self.predicted else "too high"

    def to_dict(self) -> dict[str, float]:
        return dict(vars(self))


def measure_calibration(labels: Floats, scores: Floats, unit: NDArray[np.int64]) -> Calibration | None:
    """The calibration of scores `(rows,)` of labels in {0, 1}, by windows `unit` `(rows,)`.

    None where it can't be measured: of under five windows, of outcomes that are all alike, and of scores that are all alike or miss none.
    """
    units = len(np.unique(unit))
    if units < MIN_UNITS or len(np.unique(labels)) < 2 or len(np.unique(scores)) < 2:
        return None
    x = np.column_stack([np.ones(len(scores)), logit(np.clip(scores, CLIP, 1 - CLIP))])
    found = _fit(x, labels)
    if found is None:
        return None
    covariance = _covariance(x, labels, found, unit)
    away = found - np.array([0.0, 1.0])
    statistic = float(away @ np.linalg.pinv(covariance) @ away) / 2
    errors = np.sqrt(np.diag(covariance))
    return Calibration(
        rows=len(labels),
        units=units,
        slope=float(found[1]),
        slope_error=float(errors[1]),
        intercept=float(found[0]),
        intercept_error=float(errors[0]),
        error=expected_error(labels, scores),
        predicted=float(scores.mean()),
        observed=float(labels.mean()),
        p=float(fdtrc(2, units - 2, statistic)),
    )


def expected_error(labels: Floats, scores: Floats) -> float:
    """The mean distance of the mean score from the share of positives, over ten bins of equally many rows; equal scores share a bin."""
    edges = np.unique(np.quantile(scores, np.arange(1, BINS) / BINS))
    place = np.searchsorted(edges, scores, side="right")
    return float(sum(abs((scores[place == b] - labels[place == b]).sum()) for b in range(len(edges) + 1)) / len(labels))


def _fit(x: Floats, labels: Floats) -> Floats | None:
    """The coefficients by Newton's method; None where there is no best one."""
    found = np.array([0.0, 1.0])
    for _ in range(STEPS):
        p = expit(x @ found)
        step = np.linalg.pinv(_information(x, p)) @ (x.T @ (labels - p))
        found = found + np.clip(step, -1.0, 1.0)
        if np.abs(found).max() > STEEPEST:
            return None
        if np.abs(step).max() < DONE:
            return np.asarray(found)
    return None


def _information(x: Floats, p: Floats) -> Floats:
    return np.asarray((x * (p * (1 - p))[:, None]).T @ x)


def _covariance(x: Floats, labels: Floats, found: Floats, unit: NDArray[np.int64]) -> Floats:
    """The sandwich: what the scores' derivatives vary by from window to window, not from row to row."""
    p = expit(x @ found)
    inverse = np.linalg.pinv(_information(x, p))
    _, place = np.unique(unit, return_inverse=True)
    count = int(place.max()) + 1
    pulls = np.column_stack([np.bincount(place, weights=(labels - p) * column, minlength=count) for column in x.T])
    return np.asarray(inverse @ (pulls.T @ pulls) @ inverse * count / (count - 1))
