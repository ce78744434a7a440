"""Predictions against their outcomes, as a whole and in slices: what is kept of each window of a holdout, and of live traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.task import Task
from noria.features.groups import whole_groups
from noria.features.outcomes import known_rows
from noria.profiles.profile import MAX_SLICES


@dataclass(frozen=True)
class Performance:
    """A window's predictions against their outcomes. `missing` predictions have none, though it is due.

    outcome, prediction: their means as `Task.means` has them, NaN without rows
    losses: the metrics that are means over rows; figures: those of all rows together, None where there is none, such as an AUC of one class
    slices: the same of parts of the rows, by name: a feature and its value, such as `origin_code=2`
    groups: where the task has them, how many have rows with outcomes, and how many of these count in the task's default metric: the others'
        outcomes say nothing
    """

    rows: int
    missing: int
    outcome: float | Sequence[float]
    prediction: float | Sequence[float]
    losses: Mapping[str, float]
    figures: Mapping[str, float | None] = field(default_factory=dict)
    slices: Mapping[str, Performance] = field(default_factory=dict)
    groups: tuple[int, int] | None = None

    @staticmethod
    def of_nothing(task: Task) -> Performance:
        """Of no rows at all."""
        figures = dict.fromkeys(metric.name for metric in task.metrics if metric.over == "set")
        return Performance(0, 0, float("nan"), float("nan"), {}, figures)

    def value(self, metric: Metric) -> float:
        """The window's value of a metric; NaN where there is none."""
        if metric.over == "means":
            return metric.of_means(
                *(np.asarray(mean, np.float64) if isinstance(mean, list) else mean for mean in (self.outcome, self.prediction))
            )
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
            **({} if self.groups is None else {"groups": list(self.groups)}),
            **({"slices": {name: each.to_dict() for name, each in self.slices.items()}} if self.slices else {}),
        }

    @staticmethod
    def of(found: Mapping[str, Any]) -> Performance:
        """The performance that `to_dict` gave."""
        rest = dict(found)
        rows, missing, losses = (rest.pop(name) for name in ("rows", "missing", "losses"))
        outcome, prediction = (float("nan") if mean is None else mean for mean in (rest.pop("positives"), rest.pop("prediction")))
        slices = {name: Performance.of(each) for name, each in rest.pop("slices", {}).items()}
        groups = rest.pop("groups", None)
        return Performance(rows, missing, outcome, prediction, losses, rest, slices, None if groups is None else (groups[0], groups[1]))


def measure(
    task: Task,
    labels: Floats,
    predictions: Floats,
    cut_by: Mapping[str, NDArray[Any]] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Performance:
    """The performance of one window; labels `(rows,)` or `(rows, outcomes)` are NaN where the outcome is not known.

    cut_by: features whose values make slices; groups: the number of each row's group `(rows,)`, where the task has groups. A group belongs
    to a slice where all of its rows do.
    """
    slices = {}
    for name, values in (cut_by or {}).items():
        unknown = np.array([v is None for v in values], bool) if values.dtype == object else np.isnan(values)
        known, counts = np.unique(values[~unknown], return_counts=True)
        for value in known[np.argsort(-counts, kind="stable")[:MAX_SLICES]].tolist():
            own = values == value
            own = own if groups is None else whole_groups(own, groups)
            inside = _measure(task, labels[own], predictions[own], _those(groups, own))
            slices[f"{name}={value}" if isinstance(value, str) else f"{name}={value:g}"] = inside
    return replace(_measure(task, labels, predictions, groups), slices=slices)


def _measure(task: Task, labels: Floats, predictions: Floats, groups: NDArray[np.int64] | None) -> Performance:
    known = known_rows(labels)
    y, p, of = labels[known], predictions[known], _those(groups, known)
    figures = {metric.name: value_of(metric, y, p, of) for metric in task.metrics if metric.over == "set"}
    losses = {metric.name: value_of(metric, y, p, of) for metric in task.losses if metric.known(y).any()}
    if of is not None:  # whose outcomes may say nothing of any group
        losses = {name: value for name, value in losses.items() if not np.isnan(value)}
    outcome, prediction = task.means(y, p) if len(y) else (float("nan"), float("nan"))
    figures_or_none = {name: None if np.isnan(value) else value for name, value in figures.items()}
    counts = None if of is None else counted_groups(task, y, p, of)
    return Performance(len(y), int((~known).sum()), outcome, prediction, losses, figures_or_none, groups=counts)


def counted_groups(task: Task, outcomes: Floats, scores: Floats, groups: NDArray[np.int64]) -> tuple[int, int]:
    """How many groups there are, and how many count in the task's default metric."""
    metric, there = task.metric(), len(np.unique(groups))
    return there, int(metric.says(metric.losses(outcomes, scores, groups)).sum()) if metric.over == "groups" else there


def value_of(metric: Metric, outcomes: Floats, scores: Floats, groups: NDArray[np.int64] | None = None) -> float:
    """A metric of those rows whose outcome is known, as much of it as the metric is of."""
    known = metric.known(outcomes)
    return metric.value(outcomes[known], scores[known], _those(groups, known))


def _those(groups: NDArray[np.int64] | None, rows: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    return None if groups is None else groups[rows]


def by_window(
    task: Task,
    labels: Floats,
    predictions: Floats,
    window_of: NDArray[np.int64],
    cut_by: Mapping[str, NDArray[Any]] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> list[Performance]:
    """The performance of each window of a longer period, in time order."""
    found = []
    for window in np.unique(window_of):
        own = window_of == window
        cut = {name: values[own] for name, values in (cut_by or {}).items()}
        found.append(measure(task, labels[own], predictions[own], cut, _those(groups, own)))
    return found
