"""How far predicted numbers are from those that came about."""

from __future__ import annotations

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register


def absolute_errors(outcomes: Floats, scores: Floats) -> Floats:
    """The absolute error of each row; least for the median of what may come."""
    return np.abs(outcomes - scores)


def squared_errors(outcomes: Floats, scores: Floats) -> Floats:
    """The squared error of each row; least for the mean of what may come."""
    return (outcomes - scores) ** 2


def root_mean_squared_error(outcomes: Floats, scores: Floats) -> float:
    """The root of the mean squared error, in the outcomes' unit."""
    return float(np.sqrt(np.mean((outcomes - scores) ** 2)))


ABSOLUTE_ERROR = register(Metric("absolute_error", absolute_errors, title="mean absolute error"), tasks=["regression"], rank=10)
SQUARED_ERROR = register(Metric("squared_error", squared_errors, title="mean squared error"), tasks=["regression"], rank=20)
RMSE = register(Metric("rmse", root_mean_squared_error, over="set", title="RMSE"), tasks=["regression"], rank=30)
