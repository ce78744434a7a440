"""Rank correlation: how well predicted numbers order the rows."""

from __future__ import annotations

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register


def rank_correlation(outcomes: Floats, scores: Floats) -> float:
    """Spearman's correlation, with mid-ranks for equal values; NaN where one of the two does not vary (Spearman 1904)."""
    ranks = mid_ranks(outcomes), mid_ranks(scores)
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def mid_ranks(values: Floats) -> Floats:
    """The ranks of values `(rows,)` from 1, where equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], np.float64)


RANK_CORRELATION = register(
    Metric("rank_correlation", rank_correlation, over="set", best="highest", bounds=(-1.0, 1.0), title="rank correlation"),
    tasks=["regression"],
    rank=40,
)
