"""Gates: pass/fail rules on an evaluation of a candidate against the champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.data.contract import UnknownColumn
from noria.evaluation.metrics import row_losses

Floats = NDArray[np.float64]
Outcome = Literal["passed", "failed", "unknown"]

MIN_ROWS = 200  # a slice below this says nothing about itself


@dataclass(frozen=True)
class Evaluation:
    """A candidate and the champion on the same rows, which neither was trained on.

    labels, candidate, champion: `(rows,)`; champion is None for the first model, or where it has seen the rows
    unit: `(rows,)` the window (day) of each row; slices: column → values `(rows,)`
    lacking: why there is no row, where there is none
    lost: why there is a champion and nothing of it to compare with; empty where that is not so
    """

    labels: Floats
    candidate: Floats
    champion: Floats | None
    unit: NDArray[np.int64]
    slices: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    lacking: str = "there are no rows to evaluate on"
    lost: str = ""

    def improvement_by_unit(self, metric: str) -> Floats:
        """Champion's loss minus candidate's, averaged within each unit: `(units,)`, in time order."""
        if self.champion is None:
            return np.empty(0)
        gain = row_losses(metric, self.labels, self.champion) - row_losses(metric, self.labels, self.candidate)
        units, place = np.unique(self.unit, return_inverse=True)
        return np.bincount(place, weights=gain, minlength=len(units)) / np.bincount(place, minlength=len(units))


@dataclass(frozen=True)
class Verdict:
    """What one gate said, and why."""

    gate: str
    outcome: Outcome
    why: str

    def to_dict(self) -> dict[str, str]:
        return {"gate": self.gate, "outcome": self.outcome, "why": self.why}


class Gate(Protocol):
    """A rule on an evaluation."""

    @property
    def name(self) -> str: ...
    def judge(self, evaluation: Evaluation) -> Verdict: ...


@dataclass(frozen=True)
class BeatsChampion:
    """Passes when the candidate's mean loss is lower than the champion's by at least `by` (negative: may be worse)."""

    metric: str
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
            return Verdict(self.name, "passed", "there is no champion yet")
        before = float(row_losses(self.metric, evaluation.labels, evaluation.champion).mean())
        after = float(row_losses(self.metric, evaluation.labels, evaluation.candidate).mean())
        if not np.isfinite([before, after]).all():
            return Verdict(self.name, "unknown", f"{self.metric} is not finite")
        outcome: Outcome = "passed" if before - after >= self.by else "failed"
        return Verdict(self.name, outcome, f"{self.metric} {after:.4f}, champion {before:.4f} on {len(evaluation.labels):,} rows")


@dataclass(frozen=True)
class NoSliceWorse:
    """Passes when no slice of at least 200 rows loses more than `by` against the champion."""

    metric: str
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
            return Verdict(self.name, "passed", "there is no champion yet")
        missing = [column for column in self.over if column not in evaluation.slices]
        if missing:
            return Verdict(self.name, "unknown", f"column {missing[0]!r} is not in the evaluation")
        worst, judged = ("", -np.inf), 0
        loss = row_losses(self.metric, evaluation.labels, evaluation.candidate)
        loss = loss - row_losses(self.metric, evaluation.labels, evaluation.champion)
        for column in self.over:
            values = evaluation.slices[column]
            for value in np.unique(values):
                inside = values == value
                if inside.sum() >= MIN_ROWS:
                    judged += 1
                    worst = max(worst, (f"{column}={value}", float(loss[inside].mean())), key=lambda pair: pair[1])
        if judged == 0:
            return Verdict(self.name, "unknown", f"no slice has {MIN_ROWS} rows")
        outcome: Outcome = "passed" if worst[1] <= self.by else "failed"
        return Verdict(self.name, outcome, f"worst of {judged} slices is {worst[0]}: {worst[1]:+.4f}")


def beats_champion(metric: str, *, by: float = 0.0) -> BeatsChampion:
    """A gate on the mean loss against the champion's."""
    row_losses(metric, np.empty(0), np.empty(0))
    return BeatsChampion(metric, by)


def no_slice_worse(metric: str, *, over: Sequence[str], by: float) -> NoSliceWorse:
    """A gate on every slice's mean loss against the champion's."""
    row_losses(metric, np.empty(0), np.empty(0))
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
