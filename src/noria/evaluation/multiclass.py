"""Multiclass: which of several. A label is one of the declared classes, and scores are the probabilities of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.signature import PREDICTION
from noria.data.rows import Rows
from noria.evaluation.estimation import Estimator, TemperedChances
from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics import registered, require_own
from noria.evaluation.metrics.classes import AUC, of_class, top_error
from noria.evaluation.of_classes import EACH, OfClasses
from noria.evaluation.task import Reliability, Task
from noria.features.classes import AsClasses, Class, Classes, require_declared
from noria.features.label import Coding, Label

if TYPE_CHECKING:
    import pyarrow as pa

CONFIDENCE = f"{PREDICTION}.confidence"
ROUNDED = 1e-6  # by which the chances of a default answer may miss 1


class OneClassOnly(UserMistake):
    """All outcomes that are known are of one class: there is nothing to tell apart."""

    code = "NR-236"

    def __init__(self, label: Label, found: str, *, rows: int) -> None:
        self.label, self.rows = label, rows
        super().__init__(
            what=f"all {rows:,} outcomes are {found}: a classifier needs two classes at least",
            where=f"nr.Label({label.table.name}, {label.column!r})",
            fix="name another column, or train once others have occurred",
        )


@dataclass(frozen=True)
class Multiclass(OfClasses, Task):
    """One of several classes: a label is a class, scores are the probabilities of all of them, which sum to 1.

    classes: all that there are, in the order of the model's answers: texts, whole numbers or booleans, as the label's column has them. They
        are declared, not learnt: a class that a training set happens to lack must not change what the next number of an answer means
    top: for `top_K_error`, how often the class that came about is not among the K most likely; None: no such metric
    own: metrics of your own, of outcomes `(rows,)` (the classes' places, −1 for one that was not declared) and scores `(rows, classes)`
    """

    classes: Classes
    top: int | None = None
    own: Sequence[Metric] = ()

    name: ClassVar[str] = "multiclass"
    title: ClassVar[str] = "multiclass classification"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    exclusive: ClassVar[bool] = True
    uncalibrated: ClassVar[str] = "Not measured: it needs five windows. Do not assume that these scores are calibrated probabilities."

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", require_declared(self.classes, "nr.Multiclass(classes=…)"))
        if self.top is not None and not 1 < self.top < len(self.classes):
            raise UserMistake(
                what=f"top={self.top} of {len(self.classes)} classes",
                where="nr.Multiclass(top=…)",
                fix="give 2 or more, and fewer than all",
            )
        require_own(self.own, Multiclass.name)

    @property
    def coding(self) -> Coding:
        return AsClasses(self.classes)

    @property
    def possible(self) -> tuple[float, ...]:
        return tuple(map(float, range(len(self.classes))))

    @property
    def monitored(self) -> tuple[str, ...]:
        """The class that is answered, as a category, and how likely it is called."""
        return PREDICTION, CONFIDENCE

    @cached_property
    def each(self) -> tuple[tuple[Metric, Metric], ...]:
        return tuple(of_class(name, i) for i, name in enumerate(self.labels)) if len(self.labels) <= EACH else ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        top = () if self.top is None else (top_error(self.top),)
        return (*registered(Multiclass.name), *top, *(metric for each in self.each for metric in each), *self.own)

    @property
    def discrimination(self) -> Metric:
        return AUC

    @property
    def estimator(self) -> Estimator:
        return TemperedChances(len(self.classes))

    def definition(self) -> dict[str, Any]:
        return {"name": self.name, "classes": list(self.classes), **({} if self.top is None else {"top": self.top})}

    def require_outcomes(self, label: Label, outcomes: Floats, rows: pa.Table) -> None:
        """Raise `UnknownClass` where a class was not declared, and `OneClassOnly` where all are alike."""
        AsClasses(self.classes).require_known(label, rows, int((outcomes < 0).sum()))
        if np.ptp(outcomes) == 0:
            raise OneClassOnly(label, self.format_outcome(outcomes[0]), rows=len(outcomes))

    def lacking(self, outcomes: Floats) -> str:
        return f"all are {self.format_outcome(outcomes[0])}" if np.ptp(outcomes) == 0 else ""

    def reliability(self, outcomes: Floats, scores: Floats, unit: NDArray[np.int64]) -> Reliability | None:
        """Whether scores are the probabilities that they look like; see `noria.evaluation.class_calibration`."""
        from noria.evaluation.class_calibration import measure_class_calibration

        return measure_class_calibration(self.labels, outcomes, scores, unit)

    def ideal(self, outcomes: Floats) -> Floats:
        return np.asarray(outcomes[:, None] == np.arange(len(self.classes)), np.float64)

    def default(self, given: Any) -> tuple[float, ...] | None:
        """A class, which is then certain, or the chance of every class."""
        if isinstance(given, Mapping):
            chances = {str(name): float(chance) for name, chance in given.items()}
            whole = set(chances) == set(self.labels) and all(0 <= chance <= 1 for chance in chances.values())
            return tuple(chances[name] for name in self.labels) if whole and abs(sum(chances.values()) - 1) <= ROUNDED else None
        if given not in self.classes:
            return None
        return tuple(float(own == given) for own in self.classes)

    @property
    def default_words(self) -> str:
        return f"one of {', '.join(map(repr, self.classes))}, or the chance of each: {{{self.classes[0]!r}: 0.5, …}}"

    def answer_columns(self, answers: Rows) -> dict[str, pa.Array]:
        """The class that is answered, as a text, and the probability of each."""
        import pyarrow as pa

        answered = self.scores(answers).argmax(axis=1) if len(answers) else np.empty(0, np.int64)
        return {PREDICTION: pa.array([self.labels[place] for place in answered], pa.string()), **super().answer_columns(answers)}

    def outcome_columns(self, outcomes: Floats) -> dict[str, pa.Array]:
        import pyarrow as pa

        return {"outcome": pa.array([None if np.isnan(each) else self.format_outcome(each) for each in outcomes], pa.string())}

    def plain(self, outcome: Any) -> Class | None:
        """The class; None for one that was not declared."""
        return self.classes[int(outcome)] if outcome >= 0 else None

    def format_outcome(self, outcome: Any) -> str:
        return self.labels[int(outcome)] if outcome >= 0 else "a class that is not declared"

    def format_score(self, score: Any) -> str:
        return f"{self.labels[int(np.argmax(score))]} ({np.max(score):.1%})"

    def format_rows(self, outcome: Any) -> str:
        return f"most often {self.labels[int(np.argmax(outcome))]} ({np.max(outcome):.1%})"
