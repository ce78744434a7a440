"""The error rate: how often the likelier class did not come about."""

from __future__ import annotations

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register


def errors(outcomes: Floats, probabilities: Floats) -> Floats:
    """1 for each row whose more likely class did not come about, 0 otherwise; the mean is one minus the accuracy."""
    return np.asarray((probabilities >= 0.5) != (outcomes == 1), np.float64)


ERROR_RATE = register(Metric("error_rate", errors, title="error rate", bounds=(0.0, 1.0)), tasks=["binary"], rank=30)
