"""Tasks of model files: what their answers mean, by what the file says and by `--task` and `--classes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from noria.core.errors import nearest
from noria.evaluation.binary import Binary
from noria.evaluation.multiclass import Multiclass
from noria.evaluation.multilabel import Multilabel
from noria.evaluation.regression import Regression
from noria.evaluation.task import Task
from noria.models.files.port import ReadOptions
from noria.models.files.refusals import WrongTask

TASKS = ("binary", "regression", "multiclass", "multilabel", "none")
NONE = "none"  # the outputs as the model has them, whatever they mean


def asked_task(asked: ReadOptions) -> Task | None:
    """The task that was asked for; None where none was, or `none`. Raises `WrongTask`."""
    name, classes = asked.task, tuple(asked.classes)
    if name is not None and name not in TASKS:
        raise WrongTask(f"--task {name}", f"there is no such task{nearest(name, TASKS)}", f"use one of {', '.join(TASKS)}")
    if name in ("multiclass", "multilabel"):
        if len(classes) < 2:
            fix = f"add --classes with the names of the classes, in the order of the model's answers: --task {name} --classes cat,dog,bird"
            raise WrongTask(f"--task {name}", "it needs the names of two classes or more", fix)
        return Multiclass(classes) if name == "multiclass" else Multilabel(classes)
    if classes and name is not None:
        raise WrongTask("--classes", f"the task {name} has no classes", "use --task multiclass or --task multilabel, or leave it out")
    return {"binary": Binary(), "regression": Regression()}.get(name or "")


def of_classes(known: Sequence[Any] | np.ndarray[Any, Any], asked: ReadOptions) -> Task:
    """The task of a classifier that was fitted on these classes. Raises `WrongTask`."""
    values = [each.item() if isinstance(each, np.generic) else each for each in known]
    names = list(asked.classes) or [_plain(each) for each in values]
    if len(names) != len(values):
        raise WrongTask("--classes", f"it has {len(names)} names, and the model has {len(values)} classes", "give a name for each class")
    if len(values) == 2 and not asked.classes and [_plain(each) for each in values] in ([0, 1], [False, True]):
        return Binary()
    return Multiclass(tuple(names))


def _plain(value: Any) -> Any:
    """A class as tasks have them: numbers that are whole are whole numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def of_objective(objective: str, classes: int, asked: ReadOptions) -> tuple[Task | None, bool] | None:
    """The task of a booster's objective, and whether only the order of its answers means anything; None for one that is not known."""
    name = objective.removeprefix("binary:").removeprefix("reg:").removeprefix("count:")
    if name in ("binary", "logistic", "cross_entropy"):
        return Binary(), False
    if name in ("multiclass", "multiclassova", "multi:softprob"):
        return of_classes(list(range(classes)), asked), False
    if name in ("lambdarank", "rank_xendcg") or name.startswith("rank:"):
        return None, True
    if objective.startswith(("reg:", "count:")) or name in REGRESSIONS:
        return Regression(), False
    return None


REGRESSIONS = ("regression", "regression_l1", "regression_l2", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie")
