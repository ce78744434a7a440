"""The Brier score: how far probabilities are from what came about, squared."""

from __future__ import annotations

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register


def squared_errors(outcomes: Floats, probabilities: Floats) -> Floats:
    """The squared error of each row; its mean is the Brier score (Brier 1950)."""
    return (outcomes - probabilities) ** 2


BRIER = register(Metric("brier", squared_errors, title="Brier score", bounds=(0.0, 1.0)), tasks=["binary"], rank=20)
