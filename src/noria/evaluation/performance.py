"""Predictions against their outcomes, as a whole and in slices: what is kept of each window of a holdout, and of live traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.task import Task
from noria.profiles.profile import MAX_SLICES


@dataclass(frozen=True)
class Performance:
    """A window's predictions against their outcomes. `missing` predictions have none, though it is due.

    outcome, prediction: their means, NaN without rows
    losses: the metrics that are means over rows; figures: those of all rows together, None where there is none, such as an AUC of one class
    slices: the same of parts of the rows, by name: a feature and its value, such as `origin_code=2`
    """

    rows: int
    missing: int
    outcome: float
    prediction: float
    losses: Mapping[str, float]
    figures: Mapping[str, float | None] = field(default_factory=dict)
    slices: Mapping[str, Performance] = field(default_factory=dict)

    def value(self, metric: Metric) -> float:
        """The window's value of a metric; NaN where there is none."""
        if metric.over == "means":
            return float(metric.of(self.outcome, self.prediction))
        found = self.losses.get(metric.name) if metric.averaged else self.figures.get(metric.name)
        return float("nan") if found is None else found

    def to_dict(self) -> dict[str, Any]:
        """As it is stored: the mean outcome is called `positives` whatever the task, and figures stand beside it by their names."""
        return {
            **self.figures,
            "rows": self.rows,
            "missing": self.missing,
            "positives": self.outcome if self.rows else None,
            "prediction": self.prediction if self.rows else None,
            "losses": dict(self.losses),
            **({"slices": {name: each.to_dict() for name, each in self.slices.items()}} if self.slices else {}),
        }

    @staticmethod
    def of(found: Mapping[str, Any]) -> Performance:
        """The performance that `to_dict` gave."""
        rest = dict(found)
        rows, missing, losses = (rest.pop(name) for name in ("rows", "missing", "losses"))
        outcome, prediction = (float("nan") if mean is None else mean for mean in (rest.pop("positives"), rest.pop("prediction")))
        slices = {name: Performance.of(each) for name, each in rest.pop("slices", {}).items()}
        return Performance(rows, missing, outcome, prediction, losses, rest, slices)


def measure(task: Task, labels: Floats, predictions: Floats, cut_by: Mapping[str, NDArray[Any]] | None = None) -> Performance:
    """The performance of one window; labels `(rows,)` are NaN where the outcome is not known. cut_by: features whose values make slices."""
    slices = {}
    for name, values in (cut_by or {}).items():
        unknown = np.array([v is None for v in values], bool) if values.dtype == object else np.isnan(values)
        known, counts = np.unique(values[~unknown], return_counts=True)
        for value in known[np.argsort(-counts, kind="stable")[:MAX_SLICES]].tolist():
            own = values == value
            slices[f"{name}={value}" if isinstance(value, str) else f"{name}={value:g}"] = measure(task, labels[own], predictions[own])
    return replace(_measure(task, labels, predictions), slices=slices)


def _measure(task: Task, labels: Floats, predictions: Floats) -> Performance:
    known = ~np.isnan(labels)
    y, p = labels[known], predictions[known]
    figures = {metric.name: metric.value(y, p) for metric in task.metrics if metric.over == "set"}
    return Performance(
        len(y),
        int((~known).sum()),
        float(y.mean()) if len(y) else float("nan"),
        float(p.mean()) if len(y) else float("nan"),
        {metric.name: metric.value(y, p) for metric in task.losses} if len(y) else {},
        {name: None if np.isnan(value) else value for name, value in figures.items()},
    )


def by_window(
    task: Task,
    labels: Floats,
    predictions: Floats,
    window_of: NDArray[np.int64],
    cut_by: Mapping[str, NDArray[Any]] | None = None,
) -> list[Performance]:
    """The performance of each window of a longer period, in time order."""
    found = []
    for window in np.unique(window_of):
        own = window_of == window
        found.append(measure(task, labels[own], predictions[own], {name: values[own] for name, values in (cut_by or {}).items()}))
    return found
