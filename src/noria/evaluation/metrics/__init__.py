"""The metrics that Noria knows: one module for each family, which registers what it defines. Nothing else is edited to add one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from noria.evaluation.metric import BadMetric, Metric, UnknownMetric

_registered: dict[Metric, tuple[int, tuple[str, ...]]] = {}


def register(metric: Metric, *, tasks: Sequence[str], rank: int) -> Metric:
    """Make a metric known. tasks: those it is of, by name; rank: where it stands among others: the lowest mean is its task's default"""
    _registered[metric] = rank, tuple(tasks)
    return metric


@cache
def registered(task: str | None = None) -> tuple[Metric, ...]:
    """The metrics of a task, or all, by rank."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    own = [metric for metric, (_, tasks) in _registered.items() if task is None or task in tasks]
    return tuple(sorted(own, key=lambda metric: _registered[metric][0]))


def require_own(own: Sequence[Metric], task: str) -> None:
    """Raise `BadMetric` for a metric of somebody's own that has the name of another, or that needs groups, which the task has none of."""
    taken = [metric.name for metric in registered(task)]
    for metric in own:
        if metric.over == "groups":
            raise BadMetric(metric.name, f"is a mean over groups, and {task} models have none", fix='let it be over="rows" or "set"')
        if metric.name in taken:
            raise BadMetric(metric.name, "has the name of another", fix="choose another name")
        taken.append(metric.name)


def require_metric(metric: Metric | str, *, averaged: bool, where: str) -> None:
    """Raise `UnknownMetric` for a name that no metric has, and for a metric that is no mean, where that is asked for."""
    if isinstance(metric, Metric) and (metric.averaged or not averaged):
        return
    known = [each.name for each in registered() if each.averaged or not averaged]
    if isinstance(metric, Metric) or metric not in known:
        raise UnknownMetric(metric, known, kind="a metric that averages over rows" if averaged else "a metric", where=where)
