"""Questions taken from production: where an application was unsure, said that it does not know, failed, or was not liked.

Of many ways to ask the same, one is taken, with how often it was asked. Production logs may hold personal data: redact them first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noria.core.ids import digest
from noria.llm.evaluation.near import clusters
from noria.llm.evaluation.questions import LONGEST, Question, QuestionSet

LOW_CONFIDENCE = 0.5
REASONS = ("thumbs_down", "blocked", "cut", "unknown", "low_confidence", "drifted")
"""Why a question is taken, the strongest reason first."""


@dataclass(frozen=True)
class Mined:
    """The questions, and of how many log rows they were taken; skipped: rows without a question."""

    questions: QuestionSet
    rows: int
    taken: int
    skipped: int


def mined(
    rows: Iterable[Mapping[str, Any]],
    *,
    below: float = LOW_CONFIDENCE,
    most: int = 200,
    known: Sequence[str] = (),
    name: str = "mined",
) -> Mined:
    """Questions of the rows of a prediction log: `question`, and as far as there are `confidence`, `finish`, `outcome` (0: thumbs down,
    1: up) and `drifted` (whether a monitor says that such questions are new).

    below: the confidence under which an answer was unsure; most: questions, the most often asked of each reason first
    known: questions that need not be taken again, such as those of the set there is

    They have slices `reason` and `asked` (once, few, or many times). None is reviewed, and no right answer is known yet.
    """
    found, every, skipped = list[tuple[str, str]](), 0, 0
    for row in rows:
        every += 1
        question = row.get("question")
        if not isinstance(question, str) or not question.strip() or len(question) > LONGEST:
            skipped += 1
            continue
        reason = _reason(row, below)
        if reason:
            found.append((" ".join(question.split()), reason))
    groups = clusters([*known, *(question for question, _ in found)])
    chosen = list[tuple[int, int, Question]]()
    for group in groups:
        if group[0] < len(known):
            continue
        own = [found[place - len(known)] for place in group]
        reason = min((reason for _, reason in own), key=REASONS.index)
        asked = _usual([question for question, _ in own])
        times = "once" if len(own) == 1 else "few" if len(own) < 10 else "many"
        question = Question(digest(asked)[:16], asked, slices={"reason": reason, "asked": times}, origin="mined", reviewed=False)
        chosen.append((REASONS.index(reason), -len(own), question))
    ordered = [question for _, _, question in sorted(chosen, key=lambda each: each[:2])]
    unique = {question.id: question for question in _in_turn(ordered)}
    return Mined(QuestionSet(name, tuple(unique.values())[:most]), every, len(found), skipped)


def _reason(row: Mapping[str, Any], below: float) -> str:
    """The strongest reason to take a row; empty for none."""
    confidence, outcome, finish = row.get("confidence"), row.get("outcome"), row.get("finish")
    if outcome is not None and not _nan(outcome) and float(outcome) < 0.5:
        return "thumbs_down"
    if finish in ("blocked", "unknown"):
        return str(finish)
    if finish == "length":
        return "cut"
    if confidence is not None and not _nan(confidence) and float(confidence) < below:
        return "low_confidence"
    return "drifted" if row.get("drifted") else ""


def _usual(questions: Sequence[str]) -> str:
    """How most people ask it; of equally many, the shortest."""
    return min(set(questions), key=lambda each: (-questions.count(each), len(each), each))


def _in_turn(questions: Sequence[Question]) -> list[Question]:
    """One of each reason in turn, so that no reason crowds out another."""
    of = {reason: [question for question in questions if question.slices["reason"] == reason] for reason in REASONS}
    longest = max(map(len, of.values()), default=0)
    return [those[place] for place in range(longest) for those in of.values() if place < len(those)]


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
