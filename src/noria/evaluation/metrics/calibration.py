"""Calibration in the large: how much more often outcomes come about than scores say."""

from __future__ import annotations

from noria.evaluation.metric import Metric
from noria.evaluation.metrics import register


def observed_less_predicted(outcome: float, score: float) -> float:
    """The share of positives minus the mean prediction."""
    return outcome - score


CALIBRATION = register(
    Metric("calibration", observed_less_predicted, over="means", best="zero", bounds=(-1.0, 1.0)), tasks=["binary"], rank=50
)
