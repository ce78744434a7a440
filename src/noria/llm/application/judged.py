"""Gates on a set of questions: a candidate and the champion are both asked, and their answers compared question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.core.arguments import require_each
from noria.core.callers import beside_caller
from noria.core.clock import Stopwatch
from noria.core.progress import Tell
from noria.data.rows import Rows
from noria.evaluation.answer_scores import AnswerScore
from noria.evaluation.gates import Answers, ModelVerdicts
from noria.evaluation.generation import QUESTION
from noria.llm.application.judge_scores import judge_scores
from noria.llm.evaluation.answered import Answered, answered_rows
from noria.llm.evaluation.compare import Compared, compare
from noria.llm.evaluation.evaluate import evaluate
from noria.llm.evaluation.evaluated import Evaluated
from noria.llm.evaluation.failures import UnknownAnswerMetric
from noria.llm.evaluation.gates import AnswerGate
from noria.llm.evaluation.judge import Judge
from noria.llm.evaluation.judge_record import JudgeRecord
from noria.llm.evaluation.metrics import AnswerMetric, answer_metrics, retrieval_metrics
from noria.llm.evaluation.questions import Question, QuestionSet
from noria.llm.evaluation.review import read_reviewed


@dataclass(frozen=True)
class AskedModel:
    """A model of the task `nr.Generation` as what evaluation asks.

    name: as progress and reports have it; bundle: the id of what it was opened from, by which its answers are then known
    """

    model: Answers
    name: str
    bundle: str = ""

    def answer(self, question: Question, repeat: int = 0) -> Answered:  # noqa: ARG002 - the model samples as it does
        fields, watch = self.model.signature.inputs, Stopwatch()
        row = tuple(question.question if field.name == QUESTION.name else None for field in fields)
        [found] = answered_rows(self.model.answer(Rows.of_values(fields, [row])), [question.id], [watch.seconds])
        return found

    def definition(self) -> dict[str, Any]:
        return {"bundle": self.bundle} if self.bundle else {"model": self.name}


@dataclass(frozen=True, repr=False)
class Judged:
    """What `judged` gave: gates of an `nr.Model`."""

    questions: QuestionSet
    gates: tuple[AnswerGate, ...]
    judges: tuple[Judge, ...] = ()
    records: tuple[JudgeRecord, ...] = ()
    repeats: int = 1
    unreviewed: bool = False
    metrics: tuple[AnswerMetric, ...] | None = None

    def __repr__(self) -> str:
        """By what the questions, the gates, the judges and the metrics are: a run's id depends on it."""
        judges = [judge.definition() for judge in self.judges]
        own = "" if self.metrics is None else f", {[(metric.name, metric.best, metric.bounds) for metric in self.metrics]}"
        return f"Judged({self.questions.version}, {list(self.gates)!r}, {judges}, {self.repeats}, {self.unreviewed}{own})"

    @property
    def name(self) -> str:
        return f"answers to {self.questions.name}"

    @property
    def answer_scores(self) -> tuple[AnswerScore, ...]:
        """What its judges say of live answers, by which a shadow may be decided."""
        return judge_scores(self.judges, self.records)

    def judge_models(self, candidate: Answers, champion: Answers | None, tell: Tell) -> ModelVerdicts:
        """The verdicts, and the answers side by side. Raises `NotReviewed` where questions count that nobody has looked at, and
        `UnknownAnswerMetric`."""
        compared = self.compared(candidate, champion, tell)
        return ModelVerdicts(compared.verdicts, compared.page())

    def compared(self, candidate: Answers, champion: Answers | None, tell: Tell) -> Compared:
        """The two side by side, for verdicts and for the report."""
        before = None if champion is None else self.evaluated(AskedModel(champion, "champion"), tell)
        return self.judge(before, self.evaluated(AskedModel(candidate, "candidate"), tell))

    def evaluated(self, asked: AskedModel, tell: Tell, *, workers: int = 1) -> Evaluated:
        """What a model answers to the set, and what is measured of it."""
        return evaluate(
            asked,
            self.questions,
            self.metrics,
            self.judges,
            name=asked.name,
            repeats=self.repeats,
            workers=workers,
            progress=tell,
        )

    def judge(self, before: Evaluated | None, after: Evaluated) -> Compared:
        """The verdicts of the gates. Raises `NotReviewed` and `UnknownAnswerMetric`."""
        return compare(before, after, self.gates, records=self.records, unreviewed=self.unreviewed)


def judged(
    questions: QuestionSet | Path | str,
    gates: Sequence[AnswerGate],
    *,
    judges: Sequence[Judge] = (),
    records: Sequence[JudgeRecord] = (),
    repeats: int = 1,
    unreviewed: bool = False,
    metrics: Sequence[AnswerMetric] | None = None,
) -> Judged:
    """Gates of a model: before each release, candidate and champion answer a set of questions, and each gate compares them.

    questions: the set, or its file (from where the module stands), of which the decisions beside it count (`noria llm review`)
    gates: `llm.not_worse("recall@5", by=0.03)` and its like, which are unknown where something is missing
    judges: a metric each, which may gate once it was measured against people: its record is among `records`
    repeats: how often each question is asked, where answers are sampled; unreviewed: whether questions count that nobody has looked at
    metrics: what is measured beside the judges; those of retrieval and of answers that need no model, if left out

    Raises `BadQuestionSet`, `BadReview`, and `UnknownAnswerMetric` for a gate on what is not measured.
    """
    require_each("llm.judged", "gates", gates, AnswerGate, 'gates=[llm.at_least("recall@5", 0.8)]')
    found = questions if isinstance(questions, QuestionSet) else read_reviewed(beside_caller(questions, 1)).questions
    measured = None if metrics is None else tuple(metrics)
    _require_metrics(
        gates, [metric.name for metric in measured or [*retrieval_metrics(), *answer_metrics()]] + [each.name for each in judges]
    )
    return Judged(found, tuple(gates), tuple(judges), tuple(records), repeats, unreviewed, measured)


def _require_metrics(gates: Sequence[AnswerGate], known: Sequence[str]) -> None:
    """Raise `UnknownAnswerMetric` before anything is built and asked, which may cost something."""
    for gate in gates:
        metric = getattr(gate, "metric", None)
        if isinstance(metric, str) and metric not in known:
            raise UnknownAnswerMetric(metric, known, f"llm.judged(…), the gate {gate.name!r}")
