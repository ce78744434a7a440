"""Gates: pass/fail rules on an evaluation of a candidate against the champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.progress import Tell
from noria.core.signature import Signature
from noria.data.contract import UnknownColumn
from noria.data.rows import Rows
from noria.evaluation.metric import Metric
from noria.evaluation.metrics import require_metric
from noria.evaluation.task import Task
from noria.features.groups import whole_groups

Floats = NDArray[np.float64]
Outcome = Literal["passed", "failed", "unknown"]

NO_CHAMPION = "there is no champion yet"  # why gates on a difference pass then
MIN_ROWS = 200  # a slice below this says nothing about itself


@dataclass(frozen=True)
class Evaluation:
    """A candidate and the champion on the same rows, which neither was trained on.

    labels, candidate, champion: `(rows,)`, or with several numbers a row, as the task has them; champion is None for the first model, or
        where it has seen the rows
    unit: `(rows,)` the window (day) of each row; slices: column → values `(rows,)`
    groups: `(rows,)` the number of the group that each row belongs to, where the task has groups; all rows of one lie in one unit
    lacking: why there is no row, where there is none
    lost: why there is a champion and nothing of it to compare with; empty where that is not so
    """

    task: Task
    labels: Floats
    candidate: Floats
    champion: Floats | None
    unit: NDArray[np.int64]
    slices: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    lacking: str = "there are no rows to evaluate on"
    lost: str = ""
    groups: NDArray[np.int64] | None = None

    def losses(self, metric: Metric, scores: Floats) -> Floats:
        """Of each row whose outcome is known, as much of it as the metric is of `(known rows,)`; or of each group `(groups,)`."""
        if metric.over == "groups":
            return metric.losses(self.labels, scores, self.groups)
        known = metric.known(self.labels)
        return metric.losses(self.labels, scores) if known.all() else metric.losses(self.labels[known], scores[known])

    def compared(self, metric: Metric) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """The champion's and the candidate's losses of what counts in both means, and which parts, as `losses` has them, count."""
        assert self.champion is not None
        before, after = (self.losses(metric, scores) for scores in (self.champion, self.candidate))
        counted = metric.says(before, after)
        return before[counted], after[counted], counted

    def inside(self, metric: Metric, values: NDArray[Any], value: Any) -> NDArray[np.bool_]:
        """Which parts, as `losses` has them, have one value of a slice: known rows, or groups all of whose rows have it."""
        own = values == value
        return self.of_parts(metric, own if self.groups is None else whole_groups(own, self.groups))

    def of_parts(self, metric: Metric, values: NDArray[Any]) -> NDArray[Any]:
        """What is known of rows `(rows,)`, of what has a loss of its own: known rows, or each group's first row."""
        if metric.over == "groups" and self.groups is not None:
            return values[np.unique(self.groups, return_index=True)[1]]
        known = metric.known(self.labels)
        return values if known.all() else values[known]

    def improvement_by_unit(self, metric: Metric | str) -> Floats:
        """How much better the candidate is than the champion, averaged within each unit: `(units,)`, in time order."""
        if self.champion is None:
            return np.empty(0)
        metric = self.task.metric(metric)
        before, after, counted = self.compared(metric)
        gain = metric.improvement(before, after)
        units, place = np.unique(self.of_parts(metric, self.unit)[counted], return_inverse=True)
        return np.bincount(place, weights=gain, minlength=len(units)) / np.bincount(place, minlength=len(units))


@dataclass(frozen=True)
class Verdict:
    """What one gate said, and why."""

    gate: str
    outcome: Outcome
    why: str

    def to_dict(self) -> dict[str, str]:
        return {"gate": self.gate, "outcome": self.outcome, "why": self.why}


@runtime_checkable
class Gate(Protocol):
    """A rule on an evaluation."""

    @property
    def name(self) -> str: ...
    def judge(self, evaluation: Evaluation) -> Verdict: ...


class Answers(Protocol):
    """A model that can be asked: what it answers to rows of its inputs, which it has by name."""

    @property
    def signature(self) -> Signature: ...
    def answer(self, rows: Rows) -> Rows: ...


@dataclass(frozen=True)
class ModelVerdicts:
    """What a `ModelGate` says: a verdict for each of its rules. page: a whole HTML page for people to see why, empty where it has none"""

    verdicts: Sequence[Verdict]
    page: str = ""


@runtime_checkable
class ModelGate(Protocol):
    """Rules for which the models themselves are asked, such as on a set of questions."""

    @property
    def name(self) -> str: ...

    def judge_models(self, candidate: Answers, champion: Answers | None, tell: Tell) -> ModelVerdicts:
        """A verdict for each rule. champion: None where there is none yet"""


@dataclass(frozen=True)
class BeatsChampion:
    """Passes when the candidate's mean is better than the champion's by at least `by` (negative: may be worse)."""

    metric: Metric | str
    by: float

    @property
    def name(self) -> str:
        return f"beats champion in {self.metric} by {self.by:g}"

    def judge(self, evaluation: Evaluation) -> Verdict:
        if len(evaluation.labels) == 0:
            return Verdict(self.name, "unknown", evaluation.lacking)
        if evaluation.lost:
            return Verdict(self.name, "unknown", evaluation.lost)
        if evaluation.champion is None:
            return Verdict(self.name, "passed", NO_CHAMPION)
        metric = evaluation.task.metric(self.metric)
        *losses, _ = evaluation.compared(metric)
        before, after = map(_mean, losses)
        if not np.isfinite([before, after]).all():
            return Verdict(self.name, "unknown", f"{metric} is not finite")
        outcome: Outcome = "passed" if metric.improvement(before, after) >= self.by else "failed"
        figures = f"{metric} {metric.format(after)}, champion {metric.format(before)}"
        counted = f"{len(losses[0]):,} groups" if metric.over == "groups" else f"{len(evaluation.labels):,} rows"
        return Verdict(self.name, outcome, f"{figures} on {counted}")


@dataclass(frozen=True)
class NoSliceWorse:
    """Passes when no slice of at least 200 rows (groups, of a metric over groups) loses more than `by` against the champion."""

    metric: Metric | str
    over: tuple[str, ...]
    by: float

    @property
    def name(self) -> str:
        return f"no slice over {', '.join(self.over)} worse in {self.metric} by {self.by:g}"

    def judge(self, evaluation: Evaluation) -> Verdict:
        if len(evaluation.labels) == 0:
            return Verdict(self.name, "unknown", evaluation.lacking)
        if evaluation.lost:
            return Verdict(self.name, "unknown", evaluation.lost)
        if evaluation.champion is None:
            return Verdict(self.name, "passed", NO_CHAMPION)
        missing = [column for column in self.over if column not in evaluation.slices]
        if missing:
            return Verdict(self.name, "unknown", f"column {missing[0]!r} is not in the evaluation")
        worst, judged, metric = ("", -np.inf), 0, evaluation.task.metric(self.metric)
        champion, candidate, counted = evaluation.compared(metric)
        loss = metric.improvement(candidate, champion)  # of what would be gained by keeping the champion
        for column in self.over:
            values = evaluation.slices[column]
            for value in _distinct(values):
                inside = evaluation.inside(metric, values, value)[counted]
                if inside.sum() >= MIN_ROWS:
                    judged += 1
                    worst = max(worst, (f"{column}={value}", float(loss[inside].mean())), key=lambda pair: pair[1])
        if judged == 0:
            return Verdict(self.name, "unknown", f"no slice has {MIN_ROWS} {metric.over}")
        outcome: Outcome = "passed" if worst[1] <= self.by else "failed"
        return Verdict(self.name, outcome, f"worst of {judged} slices is {worst[0]}: {metric.format(worst[1], sign=True)}")


def _mean(losses: Floats) -> float:
    """NaN of none, and where one is that."""
    return float(losses.mean()) if len(losses) else float("nan")


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The values that make slices, in order; what is null makes none."""
    known = values[np.array([value is not None for value in values], bool)] if values.dtype == object else values
    return np.unique(known)


def beats_champion(metric: Metric | str, *, by: float = 0.0) -> BeatsChampion:
    """A gate: the candidate's metric is better than the champion's on the holdout, or there is no champion yet.

    metric: a mean over rows or groups: its name, as the model's task has it, or a metric of your own
    by: at least by how much, in the metric's unit; a negative number allows it to be worse by that much

    Raises `UnknownMetric`.
    """
    require_metric(metric, averaged=True, where="nr.beats_champion")
    return BeatsChampion(metric, by)


def no_slice_worse(metric: Metric | str, *, over: Sequence[str], by: float) -> NoSliceWorse:
    """A gate: in no slice of at least 200 rows (or groups) is the candidate worse than the champion; unknown where none has so many.

    metric: a mean over rows or groups: its name, as the model's task has it, or a metric of your own
    over: columns of the spine, or features; each of their values is a slice
    by: how much worse it may be, in the metric's unit

    Raises `UnknownMetric`.
    """
    require_metric(metric, averaged=True, where="nr.no_slice_worse")
    if not over:
        raise UserMistake(what="a slice gate needs columns", where="no_slice_worse(over=[])", fix='name some: over=["carrier"]')
    return NoSliceWorse(metric, tuple(over), by)


def check_gates(gates: Sequence[object], model: str, columns: Sequence[str]) -> None:
    """Raise `UnknownColumn` for a gate over slices of a column that is neither the spine's nor a feature."""
    for gate in gates:
        for column in getattr(gate, "over", ()):
            if column not in columns:
                raise UnknownColumn(column=column, named_by=f"a gate of model {model!r}", available=list(columns))


def all_passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether every gate passed; one that is unknown has not."""
    return all(v.outcome == "passed" for v in verdicts)
