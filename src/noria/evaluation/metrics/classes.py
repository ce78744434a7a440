"""Of several classes of which one comes about: what it cost to give it the chance that it was given.

Outcomes `(rows,)` are the places of classes, −1 for one that nobody declared: no chance was given to it. Scores are `(rows, classes)`.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register
from noria.evaluation.metrics.auc import auc, mean_auc
from noria.evaluation.metrics.calibration import calibration_of
from noria.evaluation.metrics.log_loss import CLIP


def chance_given(outcomes: Floats, probabilities: Floats) -> Floats:
    """The probability that each row's class was given `(rows,)`."""
    place = outcomes.astype(np.int64)
    return np.where(place < 0, 0.0, np.take_along_axis(probabilities, np.maximum(place, 0)[:, None], axis=1)[:, 0])


def log_losses(outcomes: Floats, probabilities: Floats) -> Floats:
    """The log-loss of each row, in nats (Good 1952); probabilities are clipped to [1e-7, 1 − 1e-7]."""
    return np.asarray(-np.log(np.clip(chance_given(outcomes, probabilities), CLIP, 1 - CLIP)))


def errors(outcomes: Floats, probabilities: Floats) -> Floats:
    """1 for each row whose most likely class did not come about, 0 otherwise; the mean is one minus the accuracy."""
    return np.asarray(probabilities.argmax(axis=1) != outcomes, np.float64)


def squared_errors(outcomes: Floats, probabilities: Floats) -> Floats:
    """The squared errors of each row over all classes; the mean is the Brier score as it was first defined (Brier 1950)."""
    given = chance_given(outcomes, probabilities)
    return np.asarray((probabilities**2).sum(axis=1) + 1 - 2 * given)


def one_against_the_rest(outcomes: Floats, probabilities: Floats) -> float:
    """The mean AUC of each class against all others, over the classes that both came about and did not (Hand & Till 2001 compare pairs)."""
    return mean_auc((outcomes[:, None] == np.arange(probabilities.shape[1])).astype(float), probabilities)


@cache
def top_error(at: int) -> Metric:
    """How often the class that came about is not among the `at` most likely ones."""

    def missed(outcomes: Floats, probabilities: Floats) -> Floats:
        given = chance_given(outcomes, probabilities)
        above = (probabilities > given[:, None]).sum(axis=1)
        return np.asarray((above >= at) | (outcomes < 0), np.float64)

    return Metric(f"top_{at}_error", missed, bounds=(0.0, 1.0), title=f"top-{at} error rate")


@cache
def of_class(name: str, place: int) -> tuple[Metric, Metric]:
    """The AUC of one class against the rest, and how much more often it came about than its scores say."""

    def ranked(outcomes: Floats, probabilities: Floats) -> float:
        return auc((outcomes == place).astype(float), probabilities[:, place])

    told = Metric(f"{name}.auc", ranked, over="set", best="highest", bounds=(0.0, 1.0), title=f"AUC of {name}")
    return told, calibration_of(name, place)


TASK = "multiclass"
LOG_LOSS = register(Metric("log_loss", log_losses, title="log-loss"), tasks=[TASK], rank=10)
BRIER = register(Metric("brier", squared_errors, title="Brier score", bounds=(0.0, 2.0)), tasks=[TASK], rank=20)
ERROR_RATE = register(Metric("error_rate", errors, title="error rate", bounds=(0.0, 1.0)), tasks=[TASK], rank=30)
AUC = register(
    Metric("auc", one_against_the_rest, over="set", best="highest", bounds=(0.0, 1.0), title="mean AUC, one class against the rest"),
    tasks=[TASK],
    rank=40,
)
