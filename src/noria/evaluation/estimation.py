"""Estimation: what a loss will be before outcomes come, from scores alone.

Where scores are calibrated probabilities, each says how likely either outcome is, and so what loss to expect of it (confidence-based
performance estimation; Kivimäki et al. 2025, with Poisson-binomial intervals). Where they are numbers, the residuals of the holdout say it,
among scores of the same size: what moves inputs towards scores that are hard is seen, a changed relation is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from noria.evaluation.metric import Floats, Metric

CLIP = 1e-6


@dataclass(frozen=True)
class Expected:
    """A window's expected loss, and how far outcomes alone may carry the realised one from it (a standard deviation)."""

    mean: float
    sd: float


class Estimator(Protocol):
    """How the losses of rows are estimated from their scores."""

    def fit(self, outcomes: Floats, scores: Floats) -> tuple[float, ...]:
        """What is learnt from a holdout `(rows,)`, as plain numbers, which are stored."""

    def expected(self, metric: Metric, scores: Floats, fitted: Sequence[float] = ()) -> Expected:
        """What a metric that is a mean over rows will be of scores `(rows,)`; fitted: what `fit` gave, empty where nothing was"""


@dataclass(frozen=True)
class CalibratedChances(Estimator):
    """The loss of either outcome, weighted by how likely the calibrated score says that it is."""

    def fit(self, outcomes: Floats, scores: Floats) -> tuple[float, float]:
        """The intercept and slope that calibrate scores, by logistic regression on their logits (Platt 1999); (0, 1) where all is alike."""
        from scipy.optimize import minimize  # half a second, which only a loop that trains has to spend
        from scipy.special import logit

        if len(np.unique(outcomes)) < 2:
            return 0.0, 1.0
        x = logit(np.clip(scores, CLIP, 1 - CLIP))

        def loss(parameters: Floats) -> float:
            z = parameters[0] + parameters[1] * x
            return float((np.logaddexp(0, z) - outcomes * z).mean() + 1e-4 * (parameters[1] - 1) ** 2)

        found = minimize(loss, np.array([0.0, 1.0]), method="BFGS")
        return float(found.x[0]), float(found.x[1])

    def expected(self, metric: Metric, scores: Floats, fitted: Sequence[float] = ()) -> Expected:
        from scipy.special import expit, logit

        intercept, slope = fitted or (0.0, 1.0)
        p = np.clip(scores, CLIP, 1 - CLIP)
        chance = expit(intercept + slope * logit(p))
        one, zero = (metric.losses(np.full(len(p), outcome), p) for outcome in (1.0, 0.0))
        mean = chance * one + (1 - chance) * zero
        variance = chance * (1 - chance) * (one - zero) ** 2
        return Expected(float(mean.mean()), float(np.sqrt(variance.sum()) / len(p)))


@dataclass(frozen=True)
class ResidualsByScore(Estimator):
    """The loss that each score would have with the residuals which scores of its size had on the holdout."""

    bins: int = 10
    residuals: int = 25  # kept for each bin: the means of so many slices of them, by their size

    def fit(self, outcomes: Floats, scores: Floats) -> tuple[float, ...]:
        """The inner edges of bins of equally many scores, then the residuals in each; nothing without rows enough."""
        if len(scores) < self.bins * self.residuals:
            return ()
        edges = np.quantile(scores, np.linspace(0, 1, self.bins + 1)[1:-1])
        place, residual = np.searchsorted(edges, scores), np.sort(outcomes - scores)
        order = place[np.argsort(outcomes - scores, kind="stable")]
        found = [self._slices(residual[order == i], residual) for i in range(self.bins)]
        return (*edges.tolist(), *np.concatenate(found).tolist())

    def _slices(self, own: Floats, every: Floats) -> Floats:
        """The means of equal slices of sorted residuals; of all where a bin, for scores that tie, has too few."""
        of = own if len(own) >= self.residuals else every
        return np.array([part.mean() for part in np.array_split(of, self.residuals)])

    def expected(self, metric: Metric, scores: Floats, fitted: Sequence[float] = ()) -> Expected:
        """NaN where nothing was fitted."""
        if not len(fitted) or not len(scores):
            return Expected(float("nan"), float("nan"))
        edges, told = np.array(fitted[: self.bins - 1]), np.array(fitted[self.bins - 1 :]).reshape(self.bins, self.residuals)
        may_be = scores[:, None] + told[np.searchsorted(edges, scores)]
        losses = metric.losses(may_be.ravel(), np.repeat(scores, self.residuals)).reshape(may_be.shape)
        return Expected(float(losses.mean()), float(np.sqrt(losses.var(axis=1).sum()) / len(scores)))
