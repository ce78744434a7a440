"""Tasks: what labels and answers mean, and so how answers are judged, told and trusted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake, nearest
from noria.core.signature import SCORE, Field
from noria.data.rows import Rows
from noria.evaluation.answer_scores import AnswerScore
from noria.evaluation.estimation import Estimator
from noria.evaluation.metric import Floats, Metric, UnknownMetric
from noria.evaluation.yes_or_no import require_yes_or_no
from noria.features.coding import EqualToPositive
from noria.features.groups import group_numbers
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


class Answers(Protocol):
    """What has been answered: rows of a model's outputs, or logged predictions."""

    def scores(self, fields: tuple[Field, ...]) -> Floats: ...


class Task(Protocol):
    """What a model's labels and answers mean. Derive a task of your own from it: what is not said here otherwise is as below.

    Outcomes are `(rows,)` float64, NaN where they are not known yet; scores are `(rows,)` float64, as the model answers. Where a task has
    several of either, they are `(rows, outcomes)` and `(rows, scores)`.

    coding: how a label's values become outcomes
    name: as stored definitions have it; title: as people read it
    bounds: between which a score lies; possible: all outcomes that there are, where they can be counted
    exclusive: whether a row's scores are the chances of outcomes of which one comes about, and sum to 1
    bias: the metric of how outcomes and scores differ in the mean; discrimination: of how well scores tell outcomes apart, with bounds on
        both sides; estimator: of losses before their outcomes come; None: there is no such one
    tolerance: by how much two scores may differ that count as the same answer
    learns: whether its models learn from outcomes. Where not, they are built: rows without an outcome count as well, answers may take
        seconds, cost money, and differ from one time to the next, so that only a few are asked for in training
    outcomes_belong_to_the_answer: whether an outcome is of the answer that was shown, such as that it helped, and says nothing of what
        another model would have answered. Such models are compared in a shadow by `answer_scores`, or with outcomes of their own
    """

    name: ClassVar[str]
    title: ClassVar[str]
    bounds: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    exclusive: ClassVar[bool] = False
    tolerance: ClassVar[float] = 1e-6
    learns: ClassVar[bool] = True
    outcomes_belong_to_the_answer: ClassVar[bool] = False
    uncalibrated: ClassVar[str] = "Not measured."

    @property
    def coding(self) -> Coding:
        return EqualToPositive()

    @property
    def possible(self) -> tuple[float, ...]:
        return ()

    @property
    def outputs(self) -> tuple[Field, ...]:
        """What a model answers with: the last columns of its signature."""
        return (SCORE,)

    @property
    def monitored(self) -> tuple[str, ...]:
        """The columns that answers are watched by: an output, whose value is the place of the greatest where it has labels; one of its
        labels, `output.label`; or how great the greatest is, `output.confidence`."""
        return tuple(name for field in self.outputs for name in ([f"{field.name}.{label}" for label in field.labels] or [field.name]))

    @property
    def grouped_by(self) -> str | None:
        """The key column of the spine that says which rows belong together, such as a query's; None where each stands for itself.

        A task with one states it in its definition, as `group`: by that a server keeps the rows of a request together.
        """
        return None

    def groups_of(self, keys: Sequence[str | None], columns: Sequence[str]) -> NDArray[np.int64] | None:
        """The number of each row's group `(rows,)`, by the rows' keys and the spine's key columns; None where the task has no groups."""
        return None if self.grouped_by is None else group_numbers(keys, columns, self.grouped_by)

    @property
    def metrics(self) -> Sequence[Metric]:
        """All metrics that apply, the default first."""

    @property
    def bias(self) -> Metric | None:
        return None

    @property
    def biases(self) -> Sequence[Metric]:
        """How outcomes and scores differ in the mean: the bias, or one for each of several."""
        return () if self.bias is None else (self.bias,)

    @property
    def discrimination(self) -> Metric | None:
        return None

    @property
    def estimator(self) -> Estimator | None:
        return None

    @property
    def answer_scores(self) -> Sequence[AnswerScore]:
        """What can be said of one answer without its outcome, by which shadows are judged where outcomes belong to the answer."""
        return ()

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
        known = {kind.name: kind for kind in _derived(Task) if "name" in vars(kind)}  # one that inherits a name is not what it names
        parameters = dict(definition)
        name = parameters.pop("name")
        if name not in known:
            raise UnknownTask(name, sorted(known))
        return known[name](**parameters)

    def require_spine(self, spine: str, keys: Sequence[str]) -> None:  # noqa: ARG002
        """Raise for a spine of this name with these key columns, by which no row of this task could be told."""
        return

    def require_label(self, label: Label, rows: pa.Table) -> None:
        """Raise for a label whose column, in the rows of its table, holds no outcomes of this task."""
        if isinstance(self.coding, EqualToPositive):
            require_yes_or_no(label, rows)

    def require_outcomes(self, label: Label, outcomes: Floats, rows: pa.Table) -> None:  # noqa: ARG002
        """Raise for the outcomes of a training set `(rows,)` from which no model can learn; rows: of the label's table."""
        return

    def require_groups(self, label: Label, outcomes: Floats, groups: NDArray[np.int64]) -> None:  # noqa: ARG002
        """Raise for the outcomes of a training set `(rows,)`, in these groups `(rows,)`, from which no model can learn."""
        return

    def lacking(self, outcomes: Floats) -> str:  # noqa: ARG002
        """Why no model can learn from these outcomes `(rows,)`, of which there are some, after "they"; empty where one can."""
        return ""

    def reliability(self, outcomes: Floats, scores: Floats, unit: NDArray[np.int64]) -> Reliability | None:  # noqa: ARG002
        """How far scores may be taken at their word, measured by windows `unit` `(rows,)`; None where it can't be."""
        return None

    def scores(self, answers: Answers) -> Floats:
        """The numbers of answers, in the order of the outputs and their labels, by which they are matched. A bundle may have been sealed
        for others: what it does not answer is NaN."""
        return answers.scores(self.outputs)

    def proving(self, rows: Rows) -> Rows:
        """Rows of a model's inputs as a server asks them to prove that it has the model: such that the answers are always the same."""
        return rows

    def ideal(self, outcomes: Floats) -> Floats:
        """The scores that would have been right for outcomes: as many numbers a row as there are scores."""
        return outcomes

    def means(self, outcomes: Floats, scores: Floats) -> tuple[Any, Any]:
        """The mean of what would have been right, and of what was answered: a number each, NaN without rows; or a list of several, None for
        one of which nothing is known."""
        with warnings.catch_warnings():  # numpy warns where there is nothing to take a mean of
            warnings.simplefilter("ignore", RuntimeWarning)
            outcome, score = np.nanmean(self.ideal(outcomes), axis=0), np.nanmean(scores, axis=0)
        return _without_nan(outcome.tolist()), _without_nan(score.tolist())

    def answer_columns(self, answers: Rows) -> dict[str, pa.Array]:
        """Answers as columns of single values, by which SQL and other tools read them: `output`, or `output.label` where it has labels."""
        import pyarrow as pa

        found: dict[str, pa.Array] = {}
        for field in self.outputs:
            numbers = answers.labelled(field)
            names = [f"{field.name}.{label}" for label in field.labels] or [field.name]
            found |= {name: pa.array(numbers[:, i], from_pandas=True) for i, name in enumerate(names)}
        return found

    def outcome_columns(self, outcomes: Floats) -> dict[str, pa.Array]:
        """Outcomes as columns of single values, null where they are not known: `outcome`, or `outcome.` and what is answered by number."""
        import pyarrow as pa

        if outcomes.ndim == 1:
            return {"outcome": pa.array(outcomes, from_pandas=True)}
        names = [label for field in self.outputs for label in field.labels or [field.name]]
        return {f"outcome.{name}": pa.array(outcomes[:, i], from_pandas=True) for i, name in enumerate(names)}

    def strength(self, scores: Floats) -> Floats:
        """One number of each row's scores `(rows,)`, by which rows are told apart whose outcomes come sooner or later."""
        return scores

    def default(self, given: Any) -> tuple[float, ...] | None:
        """The scores of an answer that was declared beforehand; None where it is no possible one."""
        least, most = self.bounds
        if isinstance(given, bool) or not isinstance(given, int | float) or not np.isfinite(given) or not least <= given <= most:
            return None
        return (float(given),)

    @property
    def default_words(self) -> str:
        """What `default` takes, as a message says it."""
        return "a number that is a possible score"

    def same(self, before: Floats, after: Floats) -> NDArray[np.bool_]:
        """Which answers count as equal."""
        equal = np.abs(np.asarray(after) - np.asarray(before)) <= self.tolerance
        return np.asarray(equal if equal.ndim < 2 else equal.all(axis=1))

    def plain(self, outcome: Any) -> Any:
        """One outcome, a number or `(outcomes,)`, as programs read it."""
        return outcome.tolist() if isinstance(outcome, np.ndarray) else float(outcome)

    def format_outcome(self, outcome: Any) -> str:
        """One outcome, as people read it."""
        return f"{outcome:g}"

    def format_score(self, score: Any) -> str:
        """One row's score, a number or `(scores,)`, as people read it."""
        return f"{score:.4f}"

    def format_mean(self, outcome: Any) -> str:
        """The mean outcome, as `means` gives it, beside a heading or in a column of such figures."""
        return f"{outcome:.3f}"

    def format_rows(self, outcome: Any) -> str:
        """What outcomes there are, from their mean, after a number of rows and a comma."""
        return f"with a mean outcome of {outcome:.4g}"

    def target(self, label: Label) -> str:
        """What is predicted, as people read it, such as `returned = 1`."""
        positive = self.coding.positive(label)
        return label.target if positive is None else f"{label.target} = {positive}"

    def heading(self, label: Label) -> str:
        """What the mean outcome is, over a column of such figures."""
        return f"mean {label.target}"

    def format_bias(self, bias: float, metric: Metric) -> str:  # noqa: ARG002
        """How outcomes differ from scores in the mean, by one of the `biases`, after "outcomes are"."""
        return f"{'higher' if bias > 0 else 'lower'} by {abs(bias):.4g}"


def _without_nan(mean: Any) -> Any:
    """A list as it can be stored; a number as it is."""
    return [None if np.isnan(each) else each for each in mean] if isinstance(mean, list) else mean
