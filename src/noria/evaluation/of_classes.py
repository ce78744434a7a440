"""What tasks over declared classes have in common, whether one of the classes comes about or any number of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.core.signature import PREDICTION, Field
from noria.evaluation.metric import Floats, Metric
from noria.evaluation.task import Answers
from noria.features.classes import Classes
from noria.features.label import Label

EACH = 20  # classes at most, for each of which there are metrics of its own


class OfClasses:
    """One output, of a probability for each class. Derive from it before `Task`.

    classes: in the order of the model's answers; each: of each class, its AUC and its calibration, where classes are few
    """

    classes: Classes

    @property
    def each(self) -> Sequence[tuple[Metric, Metric]]:
        return ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes as texts, as answers have them."""
        return tuple(map(str, self.classes))

    @property
    def outputs(self) -> tuple[Field, ...]:
        return (Field(PREDICTION, "float64", (len(self.classes),), nullable=False, labels=self.labels),)

    @property
    def biases(self) -> tuple[Metric, ...]:
        return tuple(calibration for _, calibration in self.each)

    def scores(self, answers: Answers) -> Floats:
        """A class that a model does not know has no chance."""
        found = answers.scores(self.outputs)
        others = np.isnan(found)
        others &= ~others.all(axis=1, keepdims=True)
        return np.where(others, 0.0, found)

    def strength(self, scores: Floats) -> Floats:
        return np.asarray(scores.max(axis=1))

    def heading(self, label: Label) -> str:
        return f"most frequent {label.target}"

    def format_mean(self, outcome: Floats) -> str:
        return f"{self.labels[int(np.argmax(outcome))]} {np.max(outcome):.0%}"

    def format_bias(self, bias: float, metric: Metric) -> str:
        name = metric.name.removesuffix(".calibration")
        return f"{'more' if bias > 0 else 'less'} often {name}, by {abs(bias):.0%} of the rows"
