"""The declaration of a model: what it reads, what it learns, how it is trained, what a candidate must show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from noria.core.clock import duration
from noria.core.declarations import declare
from noria.evaluation.binary import Binary
from noria.evaluation.gates import BeatsChampion, Gate, NoSliceWorse
from noria.evaluation.task import Task
from noria.features.feature_set import FeatureSet
from noria.features.label import Label


class Trains(Protocol):
    """A trainer, as a model needs it; the one way to make one is `nr.trainer`."""

    def code_hash(self) -> str: ...
    def parameters(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Model:
    """A name in the registry and everything that makes its versions.

    holdout: the newest stretch of labelled data, on which a candidate of the same recipe, trained without it, is judged
    against the champion; the candidate that goes on is then trained on everything
    task: what labels and answers mean; a gate on a metric that is not the task's is refused with `UnknownMetric`
    trust: whether code that its bundles carry may run: what was pickled, and loaders of their own. One from elsewhere could do anything
    """

    name: str
    features: FeatureSet
    label: Label
    trainer: Trains
    gates: Sequence[Gate] = ()
    holdout: str = "14d"
    task: Task = field(default_factory=Binary)
    trust: bool = False

    def __post_init__(self) -> None:
        for gate in self.gates:
            if isinstance(gate, BeatsChampion | NoSliceWorse):
                self.task.metric(gate.metric)
        declare(self)

    @property
    def holdout_span(self) -> timedelta:
        return duration(self.holdout)
