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
TEMPERATURES = (-3.0, 3.0)  # the logarithms of the least and the greatest


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
class TemperedChances(Estimator):
    """The loss of each class, weighted by how likely the scores, at the temperature that calibrates them, say that it is (Guo et al.
    2017)."""

    classes: int

    def fit(self, outcomes: Floats, scores: Floats) -> tuple[float, ...]:
        """The temperature by which the scores' logarithms are divided; nothing where all outcomes are alike."""
        from scipy.optimize import minimize_scalar

        declared = outcomes >= 0
        if len(np.unique(outcomes[declared])) < 2:
            return ()
        logs, place = np.log(np.clip(scores[declared], CLIP, 1)), outcomes[declared].astype(np.int64)

        def loss(log_temperature: float) -> float:
            chance = self._tempered(logs, float(np.exp(log_temperature)))
            return float(-np.log(np.clip(chance[np.arange(len(place)), place], CLIP, 1)).mean())

        return (float(np.exp(minimize_scalar(loss, bounds=TEMPERATURES, method="bounded").x)),)

    def expected(self, metric: Metric, scores: Floats, fitted: Sequence[float] = ()) -> Expected:
        (temperature,) = fitted or (1.0,)
        chance = self._tempered(np.log(np.clip(scores, CLIP, 1)), temperature)
        losses = np.column_stack([metric.losses(np.full(len(scores), float(place)), scores) for place in range(self.classes)])
        mean = (chance * losses).sum(axis=1)
        variance = np.maximum((chance * losses**2).sum(axis=1) - mean**2, 0.0)
        return Expected(float(mean.mean()), float(np.sqrt(variance.sum()) / len(scores)))

    @staticmethod
    def _tempered(logs: Floats, temperature: float) -> Floats:
        from scipy.special import softmax

        return np.asarray(softmax(logs / temperature, axis=1), np.float64)


@dataclass(frozen=True)
class ResidualsByScore(Estimator):
    """The loss that each score would have with the residuals which scores of its size had on the holdout.

    bins: of scores; residuals: kept for each bin, the means of so many slices of them by their size
    column: of several scores a row, the one that residuals are from
    """

    bins: int = 10
    residuals: int = 25
    column: int | None = None

    def fit(self, outcomes: Floats, scores: Floats) -> tuple[float, ...]:
        """The inner edges of bins of equally many scores, then the residuals in each; nothing without rows enough."""
        scores = self._centre(scores)
        if len(scores) < self.bins * self.residuals:
            return ()
        edges = np.quantile(scores, np.linspace(0, 1, self.bins + 1)[1:-1])
        place, residual = np.searchsorted(edges, scores), np.sort(outcomes - scores)
        order = place[np.argsort(outcomes - scores, kind="stable")]
        found = [self._slices(residual[order == i], residual) for i in range(self.bins)]
        return (*edges.tolist(), *np.concatenate(found).tolist())

    def _centre(self, scores: Floats) -> Floats:
        return scores if self.column is None else scores[:, self.column]

    def _slices(self, own: Floats, every: Floats) -> Floats:
        """The means of equal slices of sorted residuals; of all where a bin, for scores that tie, has too few."""
        of = own if len(own) >= self.residuals else every
        return np.array([part.mean() for part in np.array_split(of, self.residuals)])

    def expected(self, metric: Metric, scores: Floats, fitted: Sequence[float] = ()) -> Expected:
        """NaN where nothing was fitted."""
        if not len(fitted) or not len(scores):
            return Expected(float("nan"), float("nan"))
        return expected_of(metric, self.may_be(self._centre(scores), np.asarray(fitted)), scores)

    def may_be(self, scores: Floats, fitted: Floats) -> Floats:
        """Outcomes that scores `(rows,)` may have `(rows, residuals)`, by what `fit` gave."""
        edges, told = fitted[: self.bins - 1], fitted[self.bins - 1 :].reshape(self.bins, self.residuals)
        return np.asarray(scores[:, None] + told[np.searchsorted(edges, scores)])


@dataclass(frozen=True)
class ResidualsByHorizon(Estimator):
    """The same for several horizons, each with residuals of its own.

    per: scores of each horizon; middle: which of them residuals are from. Of a row, the slices of all horizons are taken from the smallest
    to the greatest residuals together, as if they moved alike: that is right for the mean, and no less than right for its spread
    """

    horizons: int
    per: int = 1
    middle: int = 0

    @property
    def _one(self) -> ResidualsByScore:
        return ResidualsByScore()

    def fit(self, outcomes: Floats, scores: Floats) -> tuple[float, ...]:
        """What is learnt of each horizon, one after the other; nothing where one has too few rows."""
        found = list[float]()
        for told, answered in zip(outcomes.reshape(-1, self.horizons).T, self._middles(scores).T, strict=True):
            known = ~np.isnan(told)
            fitted = self._one.fit(told[known], answered[known])
            if not fitted:
                return ()
            found += fitted
        return tuple(found)

    def expected(self, metric: Metric, scores: Floats, fitted: Sequence[float] = ()) -> Expected:
        """NaN where nothing was fitted."""
        if not len(fitted) or not len(scores):
            return Expected(float("nan"), float("nan"))
        parts = np.array(fitted).reshape(self.horizons, -1)
        may_be = np.stack([self._one.may_be(each, part) for each, part in zip(self._middles(scores).T, parts, strict=True)], axis=-1)
        return expected_of(metric, may_be if self.horizons > 1 else may_be[..., 0], scores)

    def _middles(self, scores: Floats) -> Floats:
        """`(rows, horizons)`"""
        return scores.reshape(-1, self.horizons, self.per)[:, :, self.middle]


def expected_of(metric: Metric, may_be: Floats, scores: Floats) -> Expected:
    """A metric's loss over outcomes `(rows, outcomes that may be)`, or `(rows, outcomes that may be, numbers)`, of scores `(rows, …)`."""
    rows, each = may_be.shape[:2]
    losses = metric.losses(may_be.reshape(rows * each, *may_be.shape[2:]), np.repeat(scores, each, axis=0)).reshape(rows, each)
    return Expected(float(losses.mean()), float(np.sqrt(losses.var(axis=1).sum()) / rows))
