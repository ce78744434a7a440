"""A candidate against the champion: every gate's verdict, and the answers that were worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noria.core.ids import finite
from noria.evaluation.gates import Verdict, all_passed
from noria.llm.evaluation.evaluated import Evaluated, Record
from noria.llm.evaluation.gates import AnswerGate
from noria.llm.evaluation.judge_record import JudgeRecord
from noria.llm.evaluation.pairs import Comparison, Labels
from noria.llm.evaluation.questions import Question

WORST = 20  # answers that are shown side by side


@dataclass(frozen=True)
class Compared:
    """What the gates said of a candidate."""

    comparison: Comparison
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate passed, and there was one."""
        return bool(self.verdicts) and all_passed(self.verdicts)

    def worst(self, most: int = WORST) -> list[tuple[Question, Record | None, Record, dict[str, float]]]:
        """The questions on which the candidate lost most: with both answers, and what each metric lost, in units of its range.

        Where nothing was lost, and of a first candidate, those whose own values are worst.
        """
        found = list[tuple[float, int, tuple[Question, Record | None, Record, dict[str, float]]]]()
        before = self.comparison.before
        for number, question in enumerate(self.comparison.after.questions):
            after = self.comparison.after.by_id.get(question.id)
            if not after:
                continue
            old = before.by_id.get(question.id, ())[:1] if before is not None else ()
            lost = self._lost(old[0] if old else None, after[0])
            found.append((-sum(sorted(lost.values(), reverse=True)[:3]), number, (question, old[0] if old else None, after[0], lost)))
        return [each for _, _, each in sorted(found, key=lambda each: each[:2])[:most]]

    def _lost(self, before: Record | None, after: Record) -> dict[str, float]:
        lost = dict[str, float]()
        for name, metric in self.comparison.after.metrics.items():
            value = after.values.get(name)
            if value is None or not metric.bounded:
                continue
            old = before.values.get(name) if before is not None else (metric.bounds[1] if metric.best == "highest" else metric.bounds[0])
            if old is None:
                continue
            change = (old - value if metric.best == "highest" else value - old) / (metric.bounds[1] - metric.bounds[0])
            if change > 1e-9:
                lost[name] = change
        return lost

    def to_dict(self) -> dict[str, Any]:
        """The whole as plain data, for JSON: null where there is no number."""
        before, after = self.comparison.before, self.comparison.after
        found: dict[str, Any] = finite(
            {
                "passed": self.passed,
                "verdicts": [verdict.to_dict() for verdict in self.verdicts],
                "set": {"name": after.questions.name, "version": after.questions.version, "questions": len(after.questions)},
                "candidate": _told(after),
                "champion": None if before is None else _told(before),
                "judges": [record.to_dict() for record in self.comparison.records],
                "worst": [_worst(*each) for each in self.worst()],
            }
        )
        return found

    def page(self) -> str:
        """The report: one HTML page that loads nothing."""
        from noria.llm.evaluation.report import render

        return render(self)


def compare(
    before: Evaluated | None,
    after: Evaluated,
    gates: Sequence[AnswerGate],
    *,
    records: Sequence[JudgeRecord] = (),
    human: Labels | None = None,
    unreviewed: bool = False,
) -> Compared:
    """Judge a candidate by gates. before: the champion on the same set, None where there is none yet

    records: of the judges, as `measured` made them; a metric of a judge without one is unknown
    human: what people say of some answers, by metric and question id: (the champion's, the candidate's); of questions drawn at random
    unreviewed: whether questions count that a machine made and nobody has looked at

    Raises `NotReviewed`, `NotComparable`, `UnknownAnswerMetric`.
    """
    if not unreviewed:
        after.questions.require_reviewed()
    comparison = Comparison(before, after, tuple(records), human or {})
    return Compared(comparison, tuple(gate.judge(comparison) for gate in gates))


def _told(evaluated: Evaluated) -> dict[str, Any]:
    return {
        "name": evaluated.name,
        "application": evaluated.application,
        "metrics": evaluated.summary(),
        "missing": {name: reasons for name in evaluated.metrics if (reasons := evaluated.missing_reasons(name))},
        "failed": sum(bool(record.answered.error) for record in evaluated.records),
    }


def _worst(question: Question, before: Record | None, after: Record, lost: Mapping[str, float]) -> dict[str, Any]:
    return {
        "question": question.to_dict(),
        "candidate": _answer(after),
        "champion": None if before is None else _answer(before),
        "lost": dict(lost),
    }


def _answer(record: Record) -> dict[str, Any]:
    answered = record.answered
    return {
        "answer": answered.answer,
        "error": answered.error,
        "finish": answered.finish,
        "cited": list(answered.cited),
        "found": list(answered.found),
        "values": dict(record.values),
        "missing": dict(record.missing),
    }
