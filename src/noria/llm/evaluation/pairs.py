"""Two applications on the same questions: by how much the second is better, question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from noria.llm.evaluation.evaluated import Evaluated
from noria.llm.evaluation.failures import NotComparable
from noria.llm.evaluation.judge_record import JudgeRecord
from noria.llm.evaluation.metrics import AnswerMetric
from noria.llm.evaluation.questions import Question

Floats = NDArray[np.float64]
Labels = Mapping[str, Mapping[str, tuple[float | None, float]]]
"""What people say of answers: by metric, by question id, of the champion's answer (None: there is no champion) and of the candidate's."""


@dataclass(frozen=True)
class Differences:
    """By how much the candidate is better on each question, in the metric's unit `(questions,)`: higher is better, whatever the metric.

    lowest, highest: what it could be, whatever the missing values are; ends: between which it lies
    """

    questions: tuple[Question, ...]
    lowest: Floats
    highest: Floats
    missing: int
    ends: tuple[float, float]

    @property
    def known(self) -> Floats:
        """Those of the questions of which nothing is missing."""
        return np.asarray(self.lowest[self.lowest == self.highest])

    def of(self, chosen: NDArray[np.bool_]) -> Differences:
        """The same of some questions."""
        kept = tuple(question for question, inside in zip(self.questions, chosen.tolist(), strict=True) if inside)
        low, high = self.lowest[chosen], self.highest[chosen]
        return Differences(kept, low, high, int((low != high).sum()), self.ends)


@dataclass(frozen=True)
class Comparison:
    """A candidate and the champion on the same questions; before is None where there is no champion yet.

    records: of the judges, that were measured against people; human: what people say of some of these very answers
    """

    before: Evaluated | None
    after: Evaluated
    records: Sequence[JudgeRecord] = ()
    human: Labels = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.before is None:
            return
        if self.before.questions.version != self.after.questions.version:
            raise NotComparable("the two were evaluated on different sets, or on different versions of one")
        for name, metric in self.before.metrics.items():
            other = self.after.metrics.get(name)
            if other is not None and other.judge_digest != metric.judge_digest:
                raise NotComparable(f"{name} was judged by another judge before, or by another version of it")

    def differences(self, name: str, where: str) -> Differences:
        """Of a metric. Raises `UnknownAnswerMetric`."""
        assert self.before is not None
        metric = self.after.metric(name, where)
        self.before.metric(name, where)
        before, after = self.before.by_question(name), self.after.by_question(name)
        place = {question.id: number for number, question in enumerate(before.questions)}
        both = [(place[question.id], number) for number, question in enumerate(after.questions) if question.id in place]
        old, new = np.array([pair[0] for pair in both], np.intp), np.array([pair[1] for pair in both], np.intp)
        width = metric.bounds[1] - metric.bounds[0]
        low, high = after.lowest[new] - before.highest[old], after.highest[new] - before.lowest[old]
        if metric.best == "lowest":
            low, high = -high, -low
        questions = tuple(after.questions[number] for number in new.tolist())
        missing = int((before.lowest[old] != before.highest[old]).sum() + (after.lowest[new] != after.highest[new]).sum())
        return Differences(questions, low, high, missing, (-width, width))

    def record(self, metric: AnswerMetric) -> tuple[JudgeRecord | None, str]:
        """The record of a metric's judge, or why it may not be gone by; both are empty for a metric without a judge."""
        if metric.judge is None:
            return None, ""
        found = next((record for record in self.records if record.judge == metric.judge_digest), None)
        if found is None:
            other = any(record.name == metric.name for record in self.records)
            why = "another version of the judge was measured, not this one" if other else "the judge was not measured against human labels"
            return None, f"{why}: measured(judge, labels)"
        why = found.why_not()
        return (None, why) if why else (found, "")
