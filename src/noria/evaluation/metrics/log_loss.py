"""Log-loss: what a probability costs by how unlikely it called what came about."""

from __future__ import annotations

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register

CLIP = 1e-7  # a probability of exactly 0 or 1 that is wrong would cost infinitely much


def log_losses(outcomes: Floats, probabilities: Floats) -> Floats:
    """The log-loss of each row, in nats (Good 1952); probabilities are clipped to [1e-7, 1 − 1e-7]."""
    p = np.clip(probabilities, CLIP, 1 - CLIP)
    return -(outcomes * np.log(p) + (1 - outcomes) * np.log1p(-p))


LOG_LOSS = register(Metric("log_loss", log_losses, title="log-loss"), tasks=["binary"], rank=10)
