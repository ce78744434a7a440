"""AUC: how well scores rank the rows that came about before those that did not."""

from __future__ import annotations

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import register


def auc(outcomes: Floats, scores: Floats) -> float:
    """The area under the ROC curve as the Mann-Whitney statistic with mid-ranks; NaN when a class is missing."""
    positives = int(outcomes.sum())
    negatives = len(outcomes) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    del values
    mid_rank = np.cumsum(counts) - (counts - 1) / 2
    return float((mid_rank[inverse][outcomes == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def mean_auc(outcomes: Floats, scores: Floats) -> float:
    """The mean AUC of the columns `(rows, classes)` of which some rows came about and some did not; NaN where there is none."""
    found = [auc(outcomes[:, place], scores[:, place]) for place in range(scores.shape[1])]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


AUC = register(Metric("auc", auc, over="set", best="highest", bounds=(0.0, 1.0), title="AUC"), tasks=["binary"], rank=40)
