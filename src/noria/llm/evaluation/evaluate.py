"""Asking an application every question of a set, and measuring what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from noria.core.clock import Stopwatch
from noria.core.files import LocalFiles
from noria.core.ids import digest
from noria.core.progress import Progress, Tell, silence
from noria.llm.evaluation.answered import Answered, Answering, failed
from noria.llm.evaluation.evaluated import Evaluated, Record
from noria.llm.evaluation.judge import Judge
from noria.llm.evaluation.metrics import AnswerMetric, answer_metrics, judged_metric, retrieval_metrics
from noria.llm.evaluation.questions import Question, QuestionSet


def evaluate(
    application: Answering,
    questions: QuestionSet,
    metrics: Sequence[AnswerMetric] | None = None,
    judges: Sequence[Judge] = (),
    *,
    name: str = "application",
    repeats: int = 1,
    workers: int = 1,
    folder: Path | None = None,
    progress: Tell = silence,
) -> Evaluated:
    """The answers of an application to a set, and what is measured of them.

    metrics: those of retrieval and of answers that need no model, if left out; judges: a metric each
    repeats: how often each question is asked, for an application that samples; workers: threads that ask
    folder: where answers and judgements are kept, by the application, the set and the judge: an evaluation that was stopped goes on, and
        what is missing is asked for again; None keeps nothing

    A question whose answer, metric or judgement fails stops no other: what is missing is said, with why.
    """
    every = [*(metrics if metrics is not None else [*retrieval_metrics(), *answer_metrics()]), *map(judged_metric, judges)]
    definition = application.definition()
    of = digest(definition)
    work = _Work(application, every, _Kept.of(folder, of, questions, every))
    asked = [(question, repeat) for question in questions for repeat in range(repeats)]
    records = dict[tuple[str, int], Record]()
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        waiting = {pool.submit(work.record, question, repeat): (question.id, repeat) for question, repeat in asked}
        for done, future in enumerate(as_completed(waiting), start=1):
            records[waiting[future]] = future.result()
            progress(Progress("evaluate", f"{done:,} of {len(asked):,} answers", name, done / len(asked)))
    ordered = tuple(records[question.id, repeat] for question, repeat in asked)
    return Evaluated(name, of, definition, questions, {metric.name: metric for metric in every}, ordered)


def remeasured(before: Evaluated, metrics: Sequence[AnswerMetric] = (), judges: Sequence[Judge] = ()) -> Evaluated:
    """The same answers measured by other metrics or judges, without asking the application again."""
    every, of = [*metrics, *map(judged_metric, judges)], {question.id: question for question in before.questions}
    work = _Work(None, every, _Kept())
    records = tuple(work.measured(of[record.answered.question_id], record.answered, record.repeat) for record in before.records)
    return replace(before, metrics={metric.name: metric for metric in every}, records=records)


@dataclass(frozen=True)
class _Work:
    """What is done for one question."""

    application: Answering | None
    metrics: Sequence[AnswerMetric]
    kept: _Kept

    def record(self, question: Question, repeat: int) -> Record:
        answered = self.kept.answer(question.id, repeat)
        if answered is None:
            answered = self._answered(question, repeat)
            if not answered.error:
                self.kept.keep({"answer": answered.to_dict(), "repeat": repeat})
        return self.measured(question, answered, repeat)

    def measured(self, question: Question, answered: Answered, repeat: int) -> Record:
        values, missing, notes = dict[str, float](), dict[str, str](), dict[str, str]()
        for metric in self.metrics:
            if answered.error and metric.name != "failed":
                if metric.name not in ("seconds", "cost", "tokens") and _applies(metric, question, answered):
                    missing[metric.name] = "the application failed"
                continue
            if metric.judge is not None:
                self._judge(metric, metric.judge, question, answered, repeat, values, missing, notes)
                continue
            try:
                value = metric.of(question, answered)
            except Exception as error:  # noqa: BLE001 - a metric of one's own, which must stop no other question
                missing[metric.name] = f"the metric raised {type(error).__name__}"
                continue
            if value is not None and value == value:
                values[metric.name] = float(value)
        return Record(answered, repeat, values, missing, notes)

    def _answered(self, question: Question, repeat: int) -> Answered:
        assert self.application is not None
        watch = Stopwatch()
        try:
            answered = self.application.answer(question, repeat)
        except Exception as error:  # noqa: BLE001 - whatever an application raises
            return failed(question.id, error, watch.seconds)
        if answered.seconds is None:
            answered = replace(answered, seconds=watch.seconds)
        return answered if answered.question_id == question.id else replace(answered, question_id=question.id)

    def _judge(
        self,
        metric: AnswerMetric,
        judge: Judge,
        question: Question,
        answered: Answered,
        repeat: int,
        values: dict[str, float],
        missing: dict[str, str],
        notes: dict[str, str],
    ) -> None:
        if judge.needs_reference and not question.references:
            return
        kept = self.kept.judgement(metric, answered, repeat)
        if kept is None:
            try:
                found = judge.judge(question.question, answered.answer, answered.found_texts, next(iter(question.references), None))
            except Exception as error:  # noqa: BLE001 - a judge of one's own, which must stop no other question
                missing[metric.name] = f"failed: the judge raised {type(error).__name__}"
                return
            if found.score is None:
                missing[metric.name] = found.missing.replace("_", " ")
                notes[metric.name] = found.why
                return
            kept = {"score": found.score, "why": found.why}
            key = {"judge": metric.judge_digest, "of": _answer_digest(answered), "id": question.id, "repeat": repeat}
            self.kept.keep({"judgement": kept, **key})
        values[metric.name] = float(kept["score"])
        if kept["why"]:
            notes[metric.name] = str(kept["why"])


@dataclass
class _Kept:
    """Answers and judgements of an earlier run, one JSON line each; a line that was cut short is as if it was not there."""

    path: Path | None = None
    answers: dict[tuple[str, int], Answered] = field(default_factory=dict)
    judgements: dict[tuple[str, str, str, int], dict[str, Any]] = field(default_factory=dict)
    lock: Any = field(default_factory=Lock)

    @staticmethod
    def of(folder: Path | None, application: str, questions: QuestionSet, metrics: Sequence[AnswerMetric]) -> _Kept:
        del metrics
        if folder is None:
            return _Kept()
        folder.mkdir(parents=True, exist_ok=True)
        kept = _Kept(folder / f"{digest([application, questions.version])[:32]}.jsonl")
        for line in _lines(kept.path):
            kept.take(line)
        return kept

    def take(self, line: Mapping[str, Any]) -> None:
        if "answer" in line:
            answered = Answered.read(line["answer"])
            self.answers[answered.question_id, line["repeat"]] = answered
        elif "judgement" in line:
            self.judgements[line["judge"], line["of"], line["id"], line["repeat"]] = line["judgement"]

    def answer(self, question_id: str, repeat: int) -> Answered | None:
        return self.answers.get((question_id, repeat))

    def judgement(self, metric: AnswerMetric, answered: Answered, repeat: int) -> dict[str, Any] | None:
        if not self.judgements:
            return None
        return self.judgements.get((metric.judge_digest, _answer_digest(answered), answered.question_id, repeat))

    def keep(self, line: Mapping[str, Any]) -> None:
        """Write a line down at once, so that little is lost where a run is stopped."""
        if self.path is None:
            return
        with self.lock:
            file = LocalFiles().append(self.path)
            try:
                file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
            finally:
                file.close()


def _lines(path: Path | None) -> Iterable[dict[str, Any]]:
    """The lines of a file that are whole; and the file ends with one, so that what comes next begins a line."""
    if path is None or not path.is_file():
        return
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    if torn:
        LocalFiles().write(path, whole + b"\n" if whole else b"")
    for line in whole.split(b"\n"):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _answer_digest(answered: Answered) -> str:
    """Of what a judge reads of an answer."""
    return digest([answered.answer, list(answered.found_texts)])[:32]


def _applies(metric: AnswerMetric, question: Question, answered: Answered) -> bool:
    """Whether a metric says something of a question, as of an answer that is empty."""
    if metric.judge is not None:
        return bool(question.references) or not metric.judge.needs_reference
    applies: Callable[[Question, Answered], float | None] = metric.of
    try:
        return applies(question, replace(answered, error="")) is not None
    except Exception:  # noqa: BLE001 - a metric of one's own
        return True
