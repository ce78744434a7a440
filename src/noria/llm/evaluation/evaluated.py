"""An application's answers to a set of questions, and what was measured of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.llm.evaluation.answered import Answered
from noria.llm.evaluation.failures import UnknownAnswerMetric
from noria.llm.evaluation.metrics import AnswerMetric
from noria.llm.evaluation.questions import Question, QuestionSet
from noria.statistics.agreement import resampled_bounds

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Record:
    """One answer with what was measured of it.

    values: of the metrics that say something of the question; missing: why a metric has none that should have one, by its name
    notes: what judges said, by their names
    """

    answered: Answered
    repeat: int
    values: Mapping[str, float]
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ByQuestion:
    """A metric of each question that it says something of, in the set's order: the mean over the repeats, `(questions,)`.

    lowest, highest: what the mean could be, whatever the missing values are; equal where none is missing
    spread: within a question, over its repeats: the root of the mean variance; NaN where each was asked once
    """

    questions: tuple[Question, ...]
    lowest: Floats
    highest: Floats
    missing: int
    spread: float

    @property
    def known(self) -> Floats:
        """The values of the questions of which none is missing `(known,)`."""
        return np.asarray(self.lowest[self.lowest == self.highest])


@dataclass(frozen=True)
class Evaluated:
    """The records of an application on a set, each question as often as it was asked.

    application: by which it is known; definition: what its answers depend on; metrics: by name
    """

    name: str
    application: str
    definition: Mapping[str, Any]
    questions: QuestionSet
    metrics: Mapping[str, AnswerMetric]
    records: tuple[Record, ...]

    def metric(self, name: str, where: str = "the evaluation") -> AnswerMetric:
        """A metric by its name. Raises `UnknownAnswerMetric`."""
        if name not in self.metrics:
            raise UnknownAnswerMetric(name, self.metrics, where)
        return self.metrics[name]

    @cached_property
    def by_id(self) -> Mapping[str, tuple[Record, ...]]:
        """The records of each question."""
        found: dict[str, tuple[Record, ...]] = {}
        for record in self.records:
            found[record.answered.question_id] = (*found.get(record.answered.question_id, ()), record)
        return found

    def by_question(self, name: str) -> ByQuestion:
        """A metric of each question. Raises `UnknownAnswerMetric`."""
        metric, kept, low, high, spread, missing = self.metric(name), list[Question](), list[float](), list[float](), list[float](), 0
        for question in self.questions:
            records = self.by_id.get(question.id, ())
            values = [record.values[name] for record in records if name in record.values]
            lacking = sum(name in record.missing for record in records)
            if not values and not lacking:
                continue
            kept.append(question)
            missing += bool(lacking)
            for bounds, end in ((low, metric.bounds[0]), (high, metric.bounds[1])):
                bounds.append((sum(values) + (lacking * end if lacking else 0.0)) / (len(values) + lacking))
            if len(values) > 1:
                spread.append(float(np.var(values, ddof=1)))
        within = math.sqrt(sum(spread) / len(spread)) if spread else math.nan
        return ByQuestion(tuple(kept), np.array(low, np.float64), np.array(high, np.float64), missing, within)

    def summary(self, alpha: float = 0.05) -> dict[str, dict[str, Any]]:
        """Of each metric its mean over the questions that have one, with bounds by the bootstrap over questions; how many lack one; and
        the spread over the repeats of a question."""
        found = dict[str, dict[str, Any]]()
        for name, metric in self.metrics.items():
            of = self.by_question(name)
            if not of.questions:
                continue
            known = of.known
            low, high = resampled_bounds(known, alpha)
            found[name] = {
                "title": metric.title or name,
                "unit": metric.unit,
                "best": metric.best,
                "judge": metric.judge_digest or None,
                "mean": float(known.mean()) if len(known) else None,
                "lower": low if len(known) else None,
                "upper": high if len(known) else None,
                "questions": len(of.questions),
                "missing": of.missing,
                "repeatability": None if math.isnan(of.spread) else of.spread,
            }
        return found

    def missing_reasons(self, name: str) -> dict[str, int]:
        """Why values of a metric are missing, and how often each."""
        found = dict[str, int]()
        for record in self.records:
            if why := record.missing.get(name):
                found[why] = found.get(why, 0) + 1
        return found

    @cached_property
    def table(self) -> pa.Table:
        """A row for each answer: the question, the answer, what was found and cited, each metric, and `missing`: why one has none."""
        import pyarrow as pa

        of = {question.id: question for question in self.questions}
        slices = sorted({name for question in self.questions for name in question.slices})
        rows = [_row(of[record.answered.question_id], record, self.metrics, slices) for record in self.records]
        return pa.Table.from_pylist(rows, _schema(self.metrics, slices))


def _row(question: Question, record: Record, metrics: Mapping[str, AnswerMetric], slices: Sequence[str]) -> dict[str, Any]:
    answered = record.answered
    return {
        "question_id": question.id,
        "repeat": record.repeat,
        "question": question.question,
        "answer": answered.answer,
        "cited": list(answered.cited),
        "found": list(answered.found),
        "finish": answered.finish,
        "error": answered.error or None,
        **{name: record.values.get(name) for name in metrics},
        "missing": [{"metric": name, "why": why} for name, why in record.missing.items()],
        **{f"slice_{name}": question.slices.get(name) for name in slices},
    }


def _schema(metrics: Mapping[str, AnswerMetric], slices: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    texts = pa.list_(pa.string())
    missing = pa.list_(pa.struct([("metric", pa.string()), ("why", pa.string())]))
    head = [("question_id", pa.string()), ("repeat", pa.int64()), ("question", pa.string()), ("answer", pa.string()), ("cited", texts)]
    head += [("found", texts), ("finish", pa.string()), ("error", pa.string()), *((name, pa.float64()) for name in metrics)]
    return pa.schema([*head, ("missing", missing), *((f"slice_{name}", pa.string()) for name in slices)])
