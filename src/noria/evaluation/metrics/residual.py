"""The mean residual: by how much outcomes are higher than was predicted."""

from __future__ import annotations

import math

from noria.evaluation.metric import Metric
from noria.evaluation.metrics import register


def mean_residual(outcome: float, score: float) -> float:
    """The mean outcome minus the mean prediction."""
    return outcome - score


MEAN_RESIDUAL = register(
    Metric("mean_residual", mean_residual, over="means", best="zero", bounds=(-math.inf, math.inf), title="mean residual"),
    tasks=["regression"],
    rank=50,
)
