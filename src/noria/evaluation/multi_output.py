"""Several outputs: each of them is a task of its own, and one model answers all. A part of an outcome may be known before the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from noria.core.errors import UserMistake
from noria.core.signature import PREDICTION, Field
from noria.data.rows import Rows, width
from noria.evaluation.estimation import Estimator, Expected
from noria.evaluation.metric import Floats, Metric, Part
from noria.evaluation.task import Answers, Task
from noria.features.label import Coding, Label
from noria.features.outcomes import known_rows
from noria.features.structs import AsStructs

if TYPE_CHECKING:
    import pyarrow as pa


class BadOutputs(UserMistake):
    """The outputs of a task can't be told apart, or can't be outputs."""

    code = "NR-238"

    def __init__(
        self, what: str, fix: str = 'give each a name and a task: nr.MultiOutput({"minutes": nr.Regression(unit="min"), …})'
    ) -> None:
        super().__init__(what=what, where="nr.MultiOutput", fix=fix)


class Output(NamedTuple):
    """One output. columns: those of outcomes and scores that are its own"""

    name: str
    task: Task
    part: Part

    def of(self, outcomes: Floats, scores: Floats) -> tuple[Floats, Floats]:
        return self.part.read(outcomes, scores)


@dataclass(frozen=True)
class EachOutput(Estimator):
    """What the task of a metric's output estimates. What is fitted to each output is kept with its length before it."""

    parts: tuple[Output, ...]

    def fit(self, outcomes: Floats, scores: Floats) -> tuple[float, ...]:
        found = list[float]()
        for out in self.parts:
            mine, own = out.of(outcomes, scores)
            known = known_rows(mine)
            told = () if out.task.estimator is None or not known.any() else out.task.estimator.fit(mine[known], own[known])
            found += [len(told), *told]
        return tuple(found)

    def expected(self, metric: Metric, scores: Floats, fitted: Sequence[float] = ()) -> Expected:
        """NaN where nothing was fitted, or the output's task estimates nothing."""
        out = next(out for out in self.parts if out.part == metric.part)
        told = self._of(out, fitted)
        if out.task.estimator is None or not told:
            return Expected(float("nan"), float("nan"))
        _, own = out.of(scores, scores)
        return out.task.estimator.expected(replace(metric, part=None), own, told)

    def _of(self, wanted: Output, fitted: Sequence[float]) -> Sequence[float]:
        at = 0
        for out in self.parts if len(fitted) else ():
            length = int(fitted[at])
            if out is wanted:
                return fitted[at + 1 : at + 1 + length]
            at += 1 + length
        return ()


@dataclass(frozen=True)
class MultiOutput(Task):
    """Several outputs of one model: a label is a struct, or several columns, of which each output reads the one of its name.

    outputs_of: each output's task, by name: `nr.Binary()`, `nr.Regression(…)`, `nr.Multiclass(…)`. Metrics are named `output.metric`; the
        first output's default is the default. An outcome of which some parts are known counts for those
    """

    outputs_of: Mapping[str, Task]

    name: ClassVar[str] = "multi_output"
    title: ClassVar[str] = "prediction of several outputs"
    uncalibrated: ClassVar[str] = "Not measured for several outputs."

    def __post_init__(self) -> None:
        try:
            given = dict(self.outputs_of)  # a definition has pairs
        except (TypeError, ValueError) as error:
            raise BadOutputs("the outputs are not by name") from error
        if len(given) < 2:
            raise BadOutputs("a task of several outputs has fewer than two")
        object.__setattr__(self, "outputs_of", {name: _task(name, task) for name, task in given.items()})

    @cached_property
    def parts(self) -> tuple[Output, ...]:
        """The outputs, with the columns of outcomes and scores that are theirs."""
        found, outcome, score = list[Output](), 0, 0
        for name, task in self.outputs_of.items():
            outcomes, scores = task.coding.width, sum(width(field) for field in task.outputs)
            found.append(Output(name, task, Part((outcome, outcome + outcomes), (score, score + scores))))
            outcome, score = outcome + outcomes, score + scores
        return tuple(found)

    @property
    def coding(self) -> Coding:
        return AsStructs({name: task.coding for name, task in self.outputs_of.items()})

    @property
    def outputs(self) -> tuple[Field, ...]:
        return tuple(_renamed(field, name) for name, task in self.outputs_of.items() for field in task.outputs)

    @property
    def monitored(self) -> tuple[str, ...]:
        return tuple(f"{out.name}{name.removeprefix(PREDICTION)}" for out in self.parts for name in out.task.monitored)

    @cached_property
    def _metrics(self) -> dict[str, tuple[Metric, ...]]:
        return {out.name: tuple(_named(metric, out) for metric in out.task.metrics if metric.part is None) for out in self.parts}

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(metric for own in self._metrics.values() for metric in own)

    @property
    def biases(self) -> tuple[Metric, ...]:
        return tuple(_named(out.task.bias, out) for out in self.parts if out.task.bias is not None)

    @property
    def discrimination(self) -> Metric | None:
        """The first output's."""
        first = self.parts[0]
        return None if first.task.discrimination is None else _named(first.task.discrimination, first)

    @property
    def estimator(self) -> Estimator:
        return EachOutput(self.parts)

    def definition(self) -> dict[str, Any]:
        pairs = [[name, task.definition()] for name, task in self.outputs_of.items()]  # their order counts
        return {"name": self.name, "outputs_of": pairs}

    def _labels(self, label: Label) -> Iterator[tuple[Output, Label]]:
        for out in self.parts:
            yield out, Label(label.table, out.name, matures=label.matures)

    def require_label(self, label: Label, rows: pa.Table) -> None:
        """Raise what an output's task raises for its column."""
        parts = self._apart(label, rows)
        for out, own in self._labels(label):
            out.task.require_label(own, parts)

    def require_outcomes(self, label: Label, outcomes: Floats, rows: pa.Table) -> None:
        """Raise what an output's task raises for those of its outcomes that are known, or `BadOutputs` where none is."""
        parts = self._apart(label, rows)
        for out, own in self._labels(label):
            mine, _ = out.of(outcomes, outcomes)
            known = known_rows(mine)
            if not known.any():
                what = f"of {len(outcomes):,} rows no outcome of {out.name!r} is known"
                raise BadOutputs(what, "ingest its outcomes, train later, or leave that output out")
            out.task.require_outcomes(own, mine[known], parts)

    def _apart(self, label: Label, rows: pa.Table) -> pa.Table:
        """The label's values with a column for each output."""
        import pyarrow as pa

        values = label.read(rows).combine_chunks()
        return pa.table({name: values.field(name) for name in self.outputs_of})

    def lacking(self, outcomes: Floats) -> str:
        for out in self.parts:
            mine, _ = out.of(outcomes, outcomes)
            known = mine[known_rows(mine)]
            why = out.task.lacking(known) if len(known) else "none is known"
            if why:
                return f"{why} ({out.name})"
        return ""

    def scores(self, answers: Answers) -> Floats:
        found = super().scores(answers)
        return np.column_stack([out.task.scores(_Part(_columns_of(found, out))) for out in self.parts])

    def ideal(self, outcomes: Floats) -> Floats:
        return np.column_stack([out.task.ideal(out.of(outcomes, outcomes)[0]) for out in self.parts])

    def strength(self, scores: Floats) -> Floats:
        return np.asarray(scores[:, 0])

    def default(self, given: Any) -> tuple[float, ...] | None:
        """The answer of each output, by name."""
        if not isinstance(given, Mapping) or set(given) != set(self.outputs_of):
            return None
        found = [task.default(given[name]) for name, task in self.outputs_of.items()]
        return None if None in found else tuple(number for each in found for number in each or ())

    @property
    def default_words(self) -> str:
        return "a possible answer for each output: {" + ", ".join(f"{name!r}: …" for name in self.outputs_of) + "}"

    def same(self, before: Floats, after: Floats) -> Any:
        pairs = ((out.task, out.of(before, before)[1], out.of(after, after)[1]) for out in self.parts)
        return np.logical_and.reduce([task.same(one, other) for task, one, other in pairs])

    def answer_columns(self, answers: Rows) -> dict[str, pa.Array]:
        found: dict[str, pa.Array] = {}
        for out in self.parts:
            own = Rows.of_scores(out.task.outputs, _columns_of(self.scores(answers), out))
            found |= {f"{out.name}{name.removeprefix(PREDICTION)}": column for name, column in out.task.answer_columns(own).items()}
        return found

    def outcome_columns(self, outcomes: Floats) -> dict[str, pa.Array]:
        found: dict[str, pa.Array] = {}
        for out in self.parts:
            own = out.task.outcome_columns(out.of(outcomes, outcomes)[0])
            found |= {f"outcome.{out.name}{name.removeprefix('outcome')}": column for name, column in own.items()}
        return found

    def plain(self, outcome: Any) -> Any:
        return {out.name: None if _unknown(mine) else out.task.plain(mine) for out, mine in self._of_one(outcome)}

    def format_outcome(self, outcome: Any) -> str:
        told = ((out, None if _unknown(mine) else out.task.format_outcome(mine)) for out, mine in self._of_one(outcome))
        return ", ".join(f"{out.name} {words or 'unknown so far'}" for out, words in told)

    def _of_one(self, outcome: Any) -> Iterator[tuple[Output, Any]]:
        for out in self.parts:
            (first, end), whole = out.part.outcomes, np.asarray(outcome)
            yield out, whole[first] if end - first == 1 else whole[first:end]

    def format_score(self, score: Any) -> str:
        return ", ".join(f"{out.name} {out.task.format_score(_columns(score, out))}" for out in self.parts)

    def format_mean(self, outcome: Any) -> str:
        return ", ".join(f"{out.name} {out.task.format_mean(_columns(outcome, out))}" for out in self.parts)

    def format_rows(self, outcome: Any) -> str:
        return f"in the mean {self.format_mean(outcome)}"

    def heading(self, label: Label) -> str:
        return f"mean {label.target}"

    def format_bias(self, bias: float, metric: Metric) -> str:
        out = next(out for out in self.parts if metric.name.startswith(f"{out.name}."))
        return f"{out.task.format_bias(bias, metric)} ({out.name})"


def _task(name: str, task: Any) -> Task:
    """The task of an output. Raises `BadOutputs`."""
    found: Task = Task.of(task) if isinstance(task, Mapping) else task  # a mapping as a definition has it
    if not name.isidentifier():
        raise BadOutputs(f"{name!r} is no name of an output")
    if Task not in type(found).__mro__ or isinstance(found, MultiOutput) or len(found.outputs) != 1:
        raise BadOutputs(f"the output {name!r} has no task that can be one of several")
    if any(metric.over == "groups" for metric in found.metrics):
        raise BadOutputs(f"the output {name!r} is judged by groups, which rows of several outputs do not have")
    return found


@dataclass(frozen=True)
class _Part:
    """The answers of one output, already in its task's order."""

    found: Floats

    def scores(self, fields: tuple[Field, ...]) -> Floats:  # noqa: ARG002
        return self.found


def _columns_of(scores: Floats, out: Output) -> Floats:
    _, found = out.of(scores, scores)
    return found


def _renamed(field: Field, name: str) -> Field:
    return Field(name, field.type, field.shape, field.nullable, field.labels)


def _named(metric: Metric, out: Output) -> Metric:
    return replace(metric, name=f"{out.name}.{metric.name}", title=f"{metric.title} of {out.name}", part=out.part)


def _columns(score: Any, out: Output) -> Any:
    first, end = out.part.scores
    return score[first] if end - first == 1 else score[first:end]


def _unknown(outcome: Any) -> bool:
    return bool(np.isnan(outcome).all())
