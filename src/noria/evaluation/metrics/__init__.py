"""The metrics that Noria knows: one module for each family, which registers what it defines. Nothing else is edited to add one."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Sequence
from functools import cache

from noria.evaluation.metric import BadMetric, Metric, UnknownMetric

TOP = re.compile(r"top_\d+_error")
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


def require_own(own: Sequence[Metric], task: str, *, among: Sequence[Metric] | None = None, grouped: bool = False) -> None:
    """Raise `BadMetric` for a metric of somebody's own that has the name of another, or that needs groups, where the task has none.

    among: the metrics that the task has, where its parameters make them
    """
    taken = [metric.name for metric in (registered(task) if among is None else among)]
    for metric in own:
        if metric.over == "groups" and not grouped:
            raise BadMetric(metric.name, f"is a mean over groups, and {task} models have none", fix='let it be over="rows" or "set"')
        if metric.name in taken:
            raise BadMetric(metric.name, "has the name of another", fix="choose another name")
        taken.append(metric.name)


def require_metric(metric: Metric | str, *, averaged: bool, where: str) -> None:
    """Raise `UnknownMetric` for a name that no metric has, and for a metric that is no mean, where that is asked for.

    Of what a metric is (`class.auc`, `output.rmse`) and its number (`top_3_error`) only a task knows, which is asked later.
    """
    if isinstance(metric, Metric) and (metric.averaged or not averaged):
        return
    known = list(dict.fromkeys(each.name for each in registered() if each.averaged or not averaged))
    if isinstance(metric, Metric) or not _may_be(metric.rpartition(".")[2], known):
        raise UnknownMetric(metric, known, kind="a metric that averages over rows" if averaged else "a metric", where=where)


def _may_be(name: str, known: Sequence[str]) -> bool:
    """Whether a task may have a metric of this name."""
    return name in known or TOP.fullmatch(name) is not None or _family(name) in map(_family, known)


def _family(name: str) -> str:
    """Its name without the number of places that it is of, which a task's parameter says: `ndcg_at_10` is of `ndcg`."""
    family, _, places = name.partition("_at_")
    return family if places.isdecimal() else name
