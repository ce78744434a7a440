"""Whether answers helped, and how likely they were said to: of answers in words."""

from __future__ import annotations

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register


def helped(outcomes: Floats, scores: Floats) -> Floats:  # noqa: ARG001
    """1 for each answer that helped, 0 otherwise."""
    return np.asarray(outcomes, np.float64)


def likely(outcomes: Floats, scores: Floats) -> Floats:  # noqa: ARG001
    """The chance of each answer to help, as it was given."""
    return np.asarray(scores, np.float64)


HELPFUL = register(Metric("helpful", helped, best="highest", bounds=(0.0, 1.0), title="share that helped"), tasks=["generation"], rank=1)
LIKELY = register(Metric("confidence", likely, best="highest", bounds=(0.0, 1.0), title="mean confidence"), tasks=["generation"], rank=50)
