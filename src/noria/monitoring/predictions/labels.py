"""Class labels without probabilities, and how often each class is answered right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from noria.evaluation.metric import Floats, Metric
from noria.evaluation.task import Task

EACH = 10  # classes at most, each of which is judged by itself


def wrong(outcomes: Floats, answers: Floats) -> Floats:
    """1 for each row whose answer is another class than its outcome; the mean is one minus the accuracy."""
    return np.asarray((outcomes != answers) | (outcomes < 0), np.float64)


ERROR_RATE = Metric("error_rate", wrong, bounds=(0.0, 1.0), title="error rate")


@cache
def accuracy_of(name: str, place: int) -> Metric:
    """How often the outcomes of one class are answered right, by scores `(rows, classes)` or by places of classes `(rows,)`."""

    def right(outcomes: Floats, scores: Floats) -> float:
        own = outcomes == place
        if not own.any():
            return float("nan")
        answered = scores[own].argmax(axis=1) if scores.ndim == 2 else scores[own]
        return float((answered == place).mean())

    return Metric(f"{name}.accuracy", right, over="set", best="highest", bounds=(0.0, 1.0), title=f"accuracy of {name}")


def accuracies(labels: Sequence[str]) -> tuple[Metric, ...]:
    """The accuracy of each class, where classes are few."""
    return tuple(accuracy_of(name, i) for i, name in enumerate(labels)) if len(labels) <= EACH else ()


@dataclass(frozen=True)
class ClassLabels(Task):
    """A model that answers with a class and no probability. Outcomes and scores are the places of classes `(rows,)`, −1 for another one."""

    classes: tuple[str, ...]

    name: ClassVar[str] = "class_labels"
    title: ClassVar[str] = "classification without probabilities"

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classes

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (ERROR_RATE, *accuracies(self.classes))

    def means(self, outcomes: Floats, scores: Floats) -> tuple[Any, Any]:  # noqa: ARG002
        """Places of classes have no mean."""
        return float("nan"), float("nan")

    def definition(self) -> dict[str, Any]:
        return {"name": self.name, "classes": list(self.classes)}
