"""What people say of questions that a machine made: a file of one decision a line, beside the set, which is never changed by it.

    {"id": "3f…", "decision": "accept", "by": "ada"}
    {"id": "9c…", "decision": "accept", "by": "ada", "question": "What does a permit cost?", "references": ["Forty euros."]}
    {"id": "77…", "decision": "reject", "by": "ada", "why": "nobody would ask this"}

The last decision on a question counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from noria.core.files import LocalFiles
from noria.llm.evaluation.failures import BadReview
from noria.llm.evaluation.questions import Question, QuestionSet


@dataclass(frozen=True)
class Decision:
    """What a person says of a question. question, references, unanswerable: what they have put right, None as it was"""

    id: str
    decision: Literal["accept", "reject"]
    by: str
    question: str | None = None
    references: tuple[str, ...] | None = None
    unanswerable: bool | None = None
    why: str = ""

    def line(self) -> bytes:
        given = {name: value for name, value in asdict(self).items() if value not in (None, "")}
        return (json.dumps(given, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Reviewed:
    """A set after its review: without what was rejected, and what is left to be looked at."""

    questions: QuestionSet
    accepted: int
    rejected: int
    left: tuple[Question, ...]


def review_file(path: str | Path) -> Path:
    """Where the decisions on a set's file stand."""
    path = Path(path)
    return path.with_name(f"{path.stem}.review.jsonl")


def decide(path: str | Path, decision: Decision) -> None:
    """Write one decision down, at once."""
    file = LocalFiles().append(Path(path))
    try:
        file.write(decision.line())
        file.sync()
    finally:
        file.close()


def decisions(path: str | Path) -> list[Decision]:
    """The decisions of a file; none where there is no file. Raises `BadReview`."""
    path = Path(path)
    if not path.is_file():
        return []
    return [_decision(line, f"{path}, line {number}") for number, line in enumerate(path.read_text("utf-8").split("\n"), 1) if line.strip()]


def reviewed(questions: QuestionSet, given: Sequence[Decision]) -> Reviewed:
    """A set as people have decided. Raises `BadReview` for a decision on a question that it does not have."""
    of = {decision.id: decision for decision in given}
    ids = {question.id for question in questions}
    strange = next((each for each in of if each not in ids), None)
    if strange is not None:
        raise BadReview("the review", f"there is no question {strange!r} in the set {questions.name!r}")
    kept, left, accepted, rejected = list[Question](), list[Question](), 0, 0
    for question in questions:
        decision = of.get(question.id)
        if decision is None:
            kept.append(question)
            if not question.reviewed:
                left.append(question)
        elif decision.decision == "accept":
            accepted += 1
            kept.append(_put_right(question, decision))
        else:
            rejected += 1
    return Reviewed(QuestionSet(questions.name, tuple(kept)), accepted, rejected, tuple(left))


def read_reviewed(path: str | Path) -> Reviewed:
    """The set of a file, as the decisions beside it have it. Raises `BadQuestionSet`, `BadReview`."""
    return reviewed(QuestionSet.read(path), decisions(review_file(path)))


def _put_right(question: Question, decision: Decision) -> Question:
    unanswerable = question.unanswerable if decision.unanswerable is None else decision.unanswerable
    references = question.references if decision.references is None else decision.references
    return replace(
        question,
        question=decision.question or question.question,
        references=() if unanswerable else references,
        relevant={} if unanswerable else question.relevant,
        unanswerable=unanswerable,
        reviewed=True,
    )


def _decision(line: str, where: str) -> Decision:
    try:
        given: Any = json.loads(line)
    except ValueError as error:
        raise BadReview(where, f"the line is no JSON: {error}") from error
    if not isinstance(given, Mapping) or not isinstance(given.get("id"), str) or given.get("decision") not in ("accept", "reject"):
        raise BadReview(where, "the line has no id, or no decision that is `accept` or `reject`")
    if not str(given.get("by") or "").strip():
        raise BadReview(where, "the line does not say who decided, in `by`")
    references = given.get("references")
    if references is not None and not (isinstance(references, list) and all(isinstance(each, str) for each in references)):
        raise BadReview(where, "`references` is no list of texts")
    return Decision(
        given["id"],
        given["decision"],
        str(given["by"]),
        given.get("question"),
        None if references is None else tuple(references),
        given.get("unanswerable"),
        str(given.get("why") or ""),
    )
