"""Tasks: what labels and answers mean, and so how answers are judged, told and trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake, nearest
from noria.evaluation.estimation import Estimator
from noria.evaluation.metric import Floats, Metric, UnknownMetric
from noria.features.coding import EqualToPositive
from noria.features.label import Coding, Label

if TYPE_CHECKING:
    import pyarrow as pa


class UnknownTask(UserMistake):
    """A stored definition names a task that nothing here defines."""

    code = "NR-321"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, list(known)
        super().__init__(
            what=f"there is no task {name!r}{nearest(name, known)}",
            where=f"known are {', '.join(known)}",
            fix="load the project whose module defines it, or install the version of Noria that has it",
        )


def _derived(kind: Any) -> Iterator[type[Task]]:
    """All that derive from it, those that derive from others last."""
    for own in kind.__subclasses__():
        yield own
        yield from _derived(own)


class Reliability(Protocol):
    """How far scores may be taken at their word, as it was measured."""

    @property
    def summary(self) -> str: ...
    def to_dict(self) -> dict[str, float]: ...


class Task(Protocol):
    """What a model's labels and answers mean. Derive a task of your own from it: what is not said here otherwise is as below.

    Outcomes are `(rows,)` float64, NaN where they are not known yet; scores are `(rows,)` float64, as the model answers.

    coding: how a label's values become outcomes
    name: as stored definitions have it; title: as people read it
    bounds: between which a score lies; possible: all outcomes that there are, where they can be counted
    bias: the metric of how outcomes and scores differ in the mean; discrimination: of how well scores tell outcomes apart, with bounds on
        both sides; estimator: of losses before their outcomes come; None: there is no such one
    tolerance: by how much two scores may differ that count as the same answer
    """

    name: ClassVar[str]
    title: ClassVar[str]
    coding: ClassVar[Coding] = EqualToPositive()
    bounds: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    possible: ClassVar[tuple[float, ...]] = ()
    tolerance: ClassVar[float] = 1e-6
    uncalibrated: ClassVar[str] = "Not measured."

    @property
    def metrics(self) -> Sequence[Metric]:
        """All metrics that apply, the default first."""

    @property
    def bias(self) -> Metric | None:
        return None

    @property
    def discrimination(self) -> Metric | None:
        return None

    @property
    def estimator(self) -> Estimator | None:
        return None

    @property
    def losses(self) -> list[Metric]:
        """The metrics that are means over rows or groups."""
        return [metric for metric in self.metrics if metric.averaged]

    def metric(self, wanted: Metric | str | None = None) -> Metric:
        """The metric of this name, or the default. Raises `UnknownMetric` for one that is not the task's."""
        if wanted is None:
            return self.losses[0]
        found = next((metric for metric in self.metrics if metric.name == str(wanted)), None)
        if found is None or (isinstance(wanted, Metric) and wanted != found):
            kind = f"a metric of {self.title}"
            raise UnknownMetric(wanted, [m.name for m in self.metrics], kind=kind, where=f"the task {self.name!r}")
        return found

    def definition(self) -> dict[str, Any]:
        """The task by its name and parameters, as plain data."""
        return {"name": self.name}

    @staticmethod
    def of(definition: Mapping[str, Any]) -> Task:
        """The task that `definition` gave. Raises `UnknownTask`."""
        known = {kind.name: kind for kind in _derived(Task)}
        parameters = dict(definition)
        name = parameters.pop("name")
        if name not in known:
            raise UnknownTask(name, sorted(known))
        return known[name](**parameters)

    def require_label(self, label: Label, rows: pa.Table) -> None:  # noqa: ARG002
        """Raise for a label whose column, in the rows of its table, holds no outcomes of this task."""
        return

    def require_outcomes(self, label: Label, outcomes: Floats, rows: pa.Table) -> None:  # noqa: ARG002
        """Raise for the outcomes of a training set `(rows,)` from which no model can learn; rows: of the label's table."""
        return

    def lacking(self, outcomes: Floats) -> str:  # noqa: ARG002
        """Why no model can learn from these outcomes `(rows,)`, of which there are some, after "they"; empty where one can."""
        return ""

    def reliability(self, outcomes: Floats, scores: Floats, unit: NDArray[np.int64]) -> Reliability | None:  # noqa: ARG002
        """How far scores may be taken at their word, measured by windows `unit` `(rows,)`; None where it can't be."""
        return None

    def same(self, before: Floats, after: Floats) -> NDArray[np.bool_]:
        """Which answers count as equal."""
        return np.asarray(np.abs(np.asarray(after) - np.asarray(before)) <= self.tolerance)

    def plain(self, outcome: float) -> float:
        """One outcome, as programs read it."""
        return float(outcome)

    def format_outcome(self, outcome: float) -> str:
        """One outcome, as people read it."""
        return f"{outcome:g}"

    def format_score(self, score: float) -> str:
        """One score, as people read it."""
        return f"{score:.4f}"

    def format_rows(self, outcome: float) -> str:
        """What outcomes there are, from their mean, after a number of rows and a comma."""
        return f"with a mean outcome of {outcome:.4g}"

    def target(self, label: Label) -> str:
        """What is predicted, as people read it, such as `returned = 1`."""
        positive = self.coding.positive(label)
        return label.column if positive is None else f"{label.column} = {positive}"

    def heading(self, label: Label) -> str:
        """What the mean outcome is, over a column of such figures."""
        return f"mean {label.column}"

    def format_bias(self, bias: float) -> str:
        """How outcomes differ from scores in the mean, after "outcomes are"."""
        return f"{'higher' if bias > 0 else 'lower'} by {abs(bias):.4g}"
