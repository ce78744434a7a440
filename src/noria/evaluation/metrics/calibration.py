"""Calibration in the large: how much more often outcomes come about than scores say."""

from __future__ import annotations

from functools import cache

from noria.evaluation.metric import Metric, Part
from noria.evaluation.metrics import register


def observed_less_predicted(outcome: float, score: float) -> float:
    """The share of positives minus the mean prediction."""
    return outcome - score


@cache
def calibration_of(name: str, place: int) -> Metric:
    """The calibration of one of several classes, from its mean outcome and its mean score."""
    columns = (place, place + 1)
    title, part = f"calibration of {name}", Part(columns, columns)
    return Metric(f"{name}.calibration", observed_less_predicted, over="means", best="zero", bounds=(-1.0, 1.0), title=title, part=part)


CALIBRATION = register(
    Metric("calibration", observed_less_predicted, over="means", best="zero", bounds=(-1.0, 1.0)), tasks=["binary"], rank=50
)
