"""The declaration of a model: what it reads, what it learns, how it is trained, what a candidate must show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.arguments import WrongArgument, require, require_each
from noria.core.clock import duration
from noria.core.declarations import declare
from noria.core.errors import UserMistake
from noria.data.table import Table
from noria.evaluation.binary import Binary
from noria.evaluation.gates import BeatsChampion, Gate, ModelGate, NoSliceWorse
from noria.evaluation.task import Task
from noria.features.feature_set import FeatureSet
from noria.features.label import Label
from noria.models.runtimes.formats import is_estimator


class Trains(Protocol):
    """A trainer, as a model needs it: `nr.trainer` and `nr.sklearn` make one."""

    def code_hash(self) -> str: ...
    def parameters(self) -> dict[str, Any]: ...


class NotATrainer(UserMistake):
    """What a model is declared with as its trainer can't train it."""

    code = "NR-315"

    def __init__(self, model: str, trainer: Any) -> None:
        kind = getattr(trainer, "__name__", type(trainer).__name__)
        if is_estimator(trainer) or (isinstance(trainer, type) and callable(getattr(trainer, "fit", None))):
            given, fix = f"the estimator {kind}", f"write trainer=nr.sklearn({kind}(…))"
        elif callable(trainer):
            above = "def fitted(train, *, seed)" if kind == "<lambda>" else f"def {kind}"
            given, fix = f"the function {kind}", f"put @nr.trainer above {above}"
        else:
            given, fix = repr(trainer), "give it a function with @nr.trainer above, or nr.sklearn(estimator)"
        super().__init__(what=f"the trainer of model {model!r} is {given}", where=f"nr.Model({model!r}, trainer=…)", fix=fix)


@dataclass(frozen=True)
class Model:
    """A name in the registry and everything that makes its versions.

    name: as the registry has it
    features: what it reads; label: what it learns
    trainer: a function declared with `@nr.trainer`, `nr.sklearn(…)`, or `nr.model_file(…)`
    gates: what a candidate must show to be released: `nr.beats_champion(…)`, `nr.no_slice_worse(…)`
    holdout: the newest stretch of labelled data, such as `"14d"`, on which a candidate of the same recipe, trained without it, is judged
        against the champion; the candidate that goes on is then trained on everything
    task: what labels and answers mean; a gate on a metric that is not the task's is refused with `UnknownMetric`
    trust: whether code that its bundles carry may run: what was pickled, and loaders of their own. One from elsewhere could do anything
    weights: a column of the spine, or a feature, by which rows count more or less in training; metrics count all rows alike
    """

    name: str
    features: FeatureSet
    label: Label
    trainer: Trains
    gates: Sequence[Gate | ModelGate] = ()
    holdout: str = "14d"
    task: Task = field(default_factory=Binary)
    trust: bool = False
    weights: str | None = None

    def __post_init__(self) -> None:
        if not callable(getattr(self.trainer, "code_hash", None)):
            raise NotATrainer(self.name, self.trainer)
        self._check_arguments()
        self.task.require_spine(self.features.spine.name, self.features.spine.keys)
        for gate in self.gates:
            if isinstance(gate, BeatsChampion | NoSliceWorse):
                self.task.metric(gate.metric)
        declare(self)

    def _check_arguments(self) -> None:
        """Raise `WrongArgument` or `BadDuration` for what is of another kind than it has to be."""
        call = f"nr.Model({self.name!r})"
        require(call, "features", self.features, FeatureSet, "features: the set that nr.FeatureSet(…) gave")
        require(call, "label", self.label, Label, 'label=nr.Label(returns, "returned", matures="30h")')
        if isinstance(self.task, type) or not hasattr(self.task, "require_spine"):  # any class may be a task
            raise WrongArgument(call, "task", self.task, "write task=nr.Binary(), task=nr.Regression() or another, with its brackets")
        self._check_task(call)
        require_each(call, "gates", self.gates, (Gate, ModelGate), 'gates=[nr.beats_champion("log_loss", by=-0.02)]')
        for gate in self.gates:
            if getattr(gate, "compares", "") == "answers":
                raise WrongArgument(call, "gates", gate, 'put it into llm.judged("questions.jsonl", gates=[…]), which asks the questions')
        duration(self.holdout)

    def _check_task(self, call: str) -> None:
        """Raise `WrongArgument` where a trainer has nothing to learn from, or what is built is asked to learn."""
        learns, built = getattr(self.task, "learns", True), hasattr(self.trainer, "build") and hasattr(self.trainer, "tables")
        if learns and built:
            raise WrongArgument(call, "task", self.task, "write task=nr.Generation(), since the trainer builds an application")
        if not learns and not built:
            raise WrongArgument(call, "task", self.task, "give an llm.Application as the trainer, or leave the task out")

    def groups_of(self, keys: Sequence[str | None]) -> NDArray[np.int64] | None:
        """The number of the group that each row belongs to `(rows,)`, by the rows' keys; None where its task has no groups."""
        return self.task.groups_of(keys, self.features.spine.keys)

    @property
    def built_from(self) -> tuple[Table, ...]:
        """The tables that its trainer reads beside the training set, such as the corpus of an application."""
        return tuple(getattr(self.trainer, "tables", ()))

    @property
    def holdout_span(self) -> timedelta:
        return duration(self.holdout)
