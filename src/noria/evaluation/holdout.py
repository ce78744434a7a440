"""What a holdout says of a candidate, and how sure that is: beside the champion, and beside an answer that is always the same."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.gates import Evaluation
from noria.evaluation.metric import Floats
from noria.evaluation.task import Task
from noria.statistics.clusters import mean_of_clusters


class Bounds(NamedTuple):
    """A mean, and between what it lies at a level of 95 % if the windows of the holdout are a fair sample."""

    mean: float
    lower: float
    upper: float


def bounds_of_losses(evaluation: Evaluation) -> dict[str, Bounds]:
    """How sure the candidate's figure is, of each metric that is a mean over rows or groups, where enough windows know one."""
    found = dict[str, Bounds]()
    for metric in evaluation.task.losses:
        losses = evaluation.losses(metric, evaluation.candidate)
        said = ~np.isnan(losses)
        _add(found, metric.name, losses[said], evaluation.of_parts(metric, evaluation.unit)[said])
    return {metric.name: _within(found[metric.name], metric.bounds) for metric in evaluation.task.losses if metric.name in found}


def _within(found: Bounds, possible: tuple[float, float]) -> Bounds:
    """The same without what can't be: an error rate is not below 0, however few rows there are."""
    if not possible[0] <= found.mean <= possible[1]:  # then what was declared of the metric is wrong
        return found
    return Bounds(found.mean, max(found.lower, possible[0]), min(found.upper, possible[1]))


def bounds_of_gains(evaluation: Evaluation) -> dict[str, Bounds]:
    """By how much the candidate is better than the champion on the same rows, by metric; empty without a champion."""
    found = dict[str, Bounds]()
    for metric in evaluation.task.losses if evaluation.champion is not None else ():
        before, after, counted = evaluation.compared(metric)
        _add(found, metric.name, metric.improvement(before, after), evaluation.of_parts(metric, evaluation.unit)[counted])
    return found


def constant(task: Task, outcomes: Floats, evaluation: Evaluation) -> dict[str, float]:
    """The losses on the holdout of an answer that is always the mean of the outcomes before it, what any model should beat; empty where a
    task has no such answer. outcomes: of the rows that were trained on"""
    if task.grouped_by is not None or not len(evaluation.labels) or not len(outcomes):
        return {}
    with warnings.catch_warnings():  # numpy warns where there is nothing to take a mean of
        warnings.simplefilter("ignore", RuntimeWarning)
        ideal = task.ideal(outcomes)
        same = np.nanmean(ideal, axis=0)
        scores = np.broadcast_to(same, (len(evaluation.labels), *np.shape(same))).astype(float)
        figures = {metric.name: float(np.nanmean(evaluation.losses(metric, scores))) for metric in task.losses}
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _add(found: dict[str, Bounds], name: str, values: Floats, unit: NDArray[np.int64]) -> None:
    bounds = mean_of_clusters(values, unit)
    if bounds is not None:
        found[name] = Bounds(*bounds)
