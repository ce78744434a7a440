"""Metrics across horizons: a metric of single outcomes, of all cells (a row and a horizon) whose outcome is known."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np

from noria.evaluation.metric import Floats, Metric, Over


@dataclass(frozen=True, repr=False)
class AcrossHorizons(Metric):
    """A metric of all horizons together. one: the same of a single one"""

    one: Metric | None = None

    def __repr__(self) -> str:
        """By the code of the metric of one, which is what may change."""
        return f"AcrossHorizons({self.one!r})"


def cells(outcomes: Floats, scores: Floats, per: int) -> tuple[Floats, Floats]:
    """The outcomes that are known `(cells,)`, row after row, and what was answered of each, `(cells,)`, or `(cells, per)` of several."""
    known = ~np.isnan(outcomes).reshape(-1)
    answered = scores.reshape(-1, per)[known]
    return outcomes.reshape(-1)[known], answered[:, 0] if per == 1 else answered


@cache
def across(one: Metric, horizons: int, per: int) -> AcrossHorizons:
    """A metric of so many horizons, each answered with so many numbers, from that of one."""

    def of_rows(outcomes: Floats, scores: Floats) -> Floats:
        known = ~np.isnan(outcomes).reshape(-1, horizons)
        losses = np.zeros(known.shape)
        losses[known] = one.losses(*cells(outcomes, scores, per))
        return np.asarray(losses.sum(axis=1) / known.sum(axis=1))

    def of_set(outcomes: Floats, scores: Floats) -> float:
        return one.value(*cells(outcomes, scores, per))

    def of_means(outcome: Any, score: Any) -> float:
        told, answered = (np.atleast_1d(np.asarray(mean, np.float64)) for mean in (outcome, score))
        known = ~np.isnan(told)
        if not known.any():
            return float("nan")
        answered = answered.reshape(-1, per)[known].mean(axis=0)
        return one.of_means(told[known].mean(), answered[0] if per == 1 else answered)

    forms: dict[Over, Any] = {"rows": of_rows, "set": of_set, "means": of_means}
    same = {field.name: getattr(one, field.name) for field in fields(Metric)}
    return AcrossHorizons(**{**same, "of": forms[one.over], "part": None, "one": one})
