"""Gates on a set of questions: a candidate and the champion are both asked, and their answers compared question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.core.clock import Stopwatch
from noria.core.progress import Tell
from noria.data.rows import Rows
from noria.evaluation.gates import Answers, Verdict
from noria.evaluation.generation import QUESTION
from noria.llm.evaluation.answered import Answered, answered_rows
from noria.llm.evaluation.compare import Compared, compare
from noria.llm.evaluation.evaluate import evaluate
from noria.llm.evaluation.evaluated import Evaluated
from noria.llm.evaluation.gates import AnswerGate
from noria.llm.evaluation.judge import Judge
from noria.llm.evaluation.judge_record import JudgeRecord
from noria.llm.evaluation.questions import Question, QuestionSet


@dataclass(frozen=True)
class AskedModel:
    """A model of the task `nr.Generation` as what evaluation asks. name: as progress and reports have it"""

    model: Answers
    name: str

    def answer(self, question: Question, repeat: int = 0) -> Answered:  # noqa: ARG002 - the model samples as it does
        fields, watch = self.model.signature.inputs, Stopwatch()
        row = tuple(question.question if field.name == QUESTION.name else None for field in fields)
        [found] = answered_rows(self.model.answer(Rows.of_values(fields, [row])), [question.id], [watch.seconds])
        return found

    def definition(self) -> dict[str, Any]:
        return {"model": self.name}


@dataclass(frozen=True, repr=False)
class Judged:
    """What `judged` gave: gates of an `nr.Model`."""

    questions: QuestionSet
    gates: tuple[AnswerGate, ...]
    judges: tuple[Judge, ...] = ()
    records: tuple[JudgeRecord, ...] = ()
    repeats: int = 1
    unreviewed: bool = False

    def __repr__(self) -> str:
        """By what the questions, the gates and the judges are: a run's id depends on it."""
        judges = [judge.definition() for judge in self.judges]
        return f"Judged({self.questions.version}, {list(self.gates)!r}, {judges}, {self.repeats}, {self.unreviewed})"

    @property
    def name(self) -> str:
        return f"answers to {self.questions.name}"

    def judge_models(self, candidate: Answers, champion: Answers | None, tell: Tell) -> list[Verdict]:
        """Raises `NotReviewed` where questions count that nobody has looked at, and `UnknownAnswerMetric`."""
        return list(self.compared(candidate, champion, tell).verdicts)

    def compared(self, candidate: Answers, champion: Answers | None, tell: Tell) -> Compared:
        """The two side by side, for verdicts and for the report."""
        before = None if champion is None else self._evaluated(champion, "champion", tell)
        after = self._evaluated(candidate, "candidate", tell)
        return compare(before, after, self.gates, records=self.records, unreviewed=self.unreviewed)

    def _evaluated(self, model: Answers, name: str, tell: Tell) -> Evaluated:
        return evaluate(AskedModel(model, name), self.questions, judges=self.judges, name=name, repeats=self.repeats, progress=tell)


def judged(
    questions: QuestionSet | Path | str,
    gates: Sequence[AnswerGate],
    *,
    judges: Sequence[Judge] = (),
    records: Sequence[JudgeRecord] = (),
    repeats: int = 1,
    unreviewed: bool = False,
) -> Judged:
    """Gates of a model: before each release, candidate and champion answer a set of questions, and each gate compares them.

    questions: the set, or its file; gates: `llm.not_worse("recall@5", by=0.03)` and its like, which are unknown where something is missing
    judges: a metric each, which may gate once it was measured against people: its record is among `records`
    repeats: how often each question is asked, where answers are sampled; unreviewed: whether questions count that nobody has looked at

    Raises `BadQuestionSet`.
    """
    found = questions if isinstance(questions, QuestionSet) else QuestionSet.read(Path(questions))
    return Judged(found, tuple(gates), tuple(judges), tuple(records), repeats, unreviewed)
