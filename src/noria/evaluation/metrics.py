"""Metrics of probabilistic classifiers. Labels are `(rows,)` in {0, 1}, probabilities `(rows,)` in [0, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake, nearest

Floats = NDArray[np.float64]

CLIP = 1e-7  # a probability of exactly 0 or 1 that is wrong would cost infinitely much


def log_losses(labels: Floats, probabilities: Floats) -> Floats:
    """The log-loss of each row, in nats (Good 1952); probabilities are clipped to [1e-7, 1 − 1e-7]."""
    p = np.clip(probabilities, CLIP, 1 - CLIP)
    return -(labels * np.log(p) + (1 - labels) * np.log1p(-p))


def squared_errors(labels: Floats, probabilities: Floats) -> Floats:
    """The squared error of each row; its mean is the Brier score (Brier 1950)."""
    return (labels - probabilities) ** 2


def errors(labels: Floats, probabilities: Floats) -> Floats:
    """1 for each row whose more likely class did not come about, 0 otherwise; the mean is one minus the accuracy."""
    return np.asarray((probabilities >= 0.5) != (labels == 1), np.float64)


ROW_LOSSES = {"log_loss": log_losses, "brier": squared_errors, "error_rate": errors}


def row_losses(metric: str, labels: Floats, probabilities: Floats) -> Floats:
    """The losses of a metric that is a mean over rows. Raises for a name that is not one."""
    if metric not in ROW_LOSSES:
        raise UserMistake(
            what=f"{metric!r} is not a metric that averages over rows{nearest(metric, ROW_LOSSES)}",
            where="a gate, a rollout or a tolerance names it",
            fix="use one of " + ", ".join(ROW_LOSSES),
        )
    return ROW_LOSSES[metric](labels, probabilities)


def auc(labels: Floats, probabilities: Floats) -> float:
    """The area under the ROC curve as the Mann-Whitney statistic with mid-ranks; NaN when a class is missing."""
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    values, inverse, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    del values
    mid_rank = np.cumsum(counts) - (counts - 1) / 2
    return float((mid_rank[inverse][labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))
