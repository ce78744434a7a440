"""Of several labels, any number of which come about: what it cost to give each the chance that it was given.

Outcomes and scores are `(rows, labels)`; an outcome is 1 where its label came about, else 0.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from noria.evaluation.metric import Floats, Metric, Part
from noria.evaluation.metrics import register
from noria.evaluation.metrics.auc import auc, mean_auc
from noria.evaluation.metrics.calibration import calibration_of
from noria.evaluation.metrics.log_loss import log_losses as binary_log_losses


def log_losses(outcomes: Floats, probabilities: Floats) -> Floats:
    """The log-loss of each row in nats, averaged over its labels."""
    return np.asarray(binary_log_losses(outcomes, probabilities).mean(axis=1))


def squared_errors(outcomes: Floats, probabilities: Floats) -> Floats:
    """The squared error of each row, averaged over its labels."""
    return np.asarray(((outcomes - probabilities) ** 2).mean(axis=1))


def errors(outcomes: Floats, probabilities: Floats) -> Floats:
    """The share of each row's labels on which the likelier answer was wrong (Hamming loss; Schapire & Singer 1999)."""
    return np.asarray(((probabilities >= 0.5) != (outcomes == 1)).mean(axis=1), np.float64)


@cache
def of_label(name: str, place: int) -> tuple[Metric, Metric]:
    """The AUC of one label, and how much more often it came about than its scores say."""
    part = Part((place, place + 1), (place, place + 1))
    told = Metric(f"{name}.auc", auc, over="set", best="highest", bounds=(0.0, 1.0), title=f"AUC of {name}", part=part)
    return told, calibration_of(name, place)


TASK = "multilabel"
LOG_LOSS = register(Metric("log_loss", log_losses, title="log-loss"), tasks=[TASK], rank=10)
BRIER = register(Metric("brier", squared_errors, title="Brier score", bounds=(0.0, 1.0)), tasks=[TASK], rank=20)
ERROR_RATE = register(Metric("error_rate", errors, title="error rate", bounds=(0.0, 1.0)), tasks=[TASK], rank=30)
AUC = register(
    Metric("auc", mean_auc, over="set", best="highest", bounds=(0.0, 1.0), title="mean AUC of the labels"), tasks=[TASK], rank=40
)
