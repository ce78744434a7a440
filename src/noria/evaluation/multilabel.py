"""Multilabel: which of several, any number of them. A label is a list of the declared classes, and scores are the probabilities of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import registered, require_own
from noria.evaluation.metrics.labels import AUC, of_label
from noria.evaluation.multiclass import OneClassOnly
from noria.evaluation.of_classes import EACH, OfClasses
from noria.evaluation.task import Task
from noria.features.classes import AsClassSets, Classes, require_declared
from noria.features.label import Coding, Label

if TYPE_CHECKING:
    import pyarrow as pa

LIKELY = 0.5  # from which on a label is answered, for people


@dataclass(frozen=True)
class Multilabel(OfClasses, Task):
    """Any number of several classes: a label is a list of those that came about, scores are the probabilities of all of them.

    classes: all that there are, in the order of the model's answers, as the lists have them
    own: metrics of your own, of outcomes and scores `(rows, classes)`
    """

    classes: Classes
    own: Sequence[Metric] = ()

    name: ClassVar[str] = "multilabel"
    title: ClassVar[str] = "multilabel classification"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    uncalibrated: ClassVar[str] = "Not measured. Do not assume that these scores are calibrated probabilities."

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", require_declared(self.classes, "nr.Multilabel(classes=…)"))
        require_own(self.own, Multilabel.name)

    @property
    def coding(self) -> Coding:
        return AsClassSets(self.classes)

    @cached_property
    def each(self) -> tuple[tuple[Metric, Metric], ...]:
        return tuple(of_label(name, i) for i, name in enumerate(self.labels)) if len(self.labels) <= EACH else ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (*registered(Multilabel.name), *(metric for each in self.each for metric in each), *self.own)

    @property
    def discrimination(self) -> Metric:
        return AUC

    def definition(self) -> dict[str, Any]:
        return {"name": self.name, "classes": list(self.classes)}

    def require_outcomes(self, label: Label, outcomes: Floats, rows: pa.Table) -> None:
        """Raise `UnknownClass` where a list has a class that was not declared, and `OneClassOnly` where all lists are alike."""
        AsClassSets(self.classes).require_known(label, rows)
        if not np.ptp(outcomes, axis=0).any():
            raise OneClassOnly(label, self.format_outcome(outcomes[0]), rows=len(outcomes))

    def lacking(self, outcomes: Floats) -> str:
        return f"all are {self.format_outcome(outcomes[0])}" if not np.ptp(outcomes, axis=0).any() else ""

    def default(self, given: Any) -> tuple[float, ...] | None:
        """The chance of every class."""
        if not isinstance(given, Mapping) or {str(name) for name in given} != set(self.labels):
            return None
        chances = {str(name): float(chance) for name, chance in given.items()}
        return tuple(chances[name] for name in self.labels) if all(0 <= chance <= 1 for chance in chances.values()) else None

    @property
    def default_words(self) -> str:
        return f"the chance of each class: {{{self.classes[0]!r}: 0.5, …}}"

    def plain(self, outcome: Any) -> Any:
        """The classes that came about."""
        return [name for name, there in zip(self.classes, outcome, strict=True) if there]

    def format_outcome(self, outcome: Any) -> str:
        return ", ".join(str(name) for name in self.plain(outcome)) or "none"

    def format_score(self, score: Any) -> str:
        likely = [f"{self.labels[i]} ({score[i]:.1%})" for i in np.argsort(-np.asarray(score)) if score[i] >= LIKELY]
        return ", ".join(likely) or f"none ({self.labels[int(np.argmax(score))]} {np.max(score):.1%})"

    def format_rows(self, outcome: Any) -> str:
        return f"most often with {self.labels[int(np.argmax(outcome))]} ({np.max(outcome):.1%})"
