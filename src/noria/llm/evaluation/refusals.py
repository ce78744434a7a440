"""Answers that say that there is no answer."""

from __future__ import annotations

import re

from noria.llm.evaluation.answered import ANSWERED, BLOCKED, UNKNOWN, Answered
from noria.llm.evaluation.questions import Question
from noria.llm.generation.citations import CITED
from noria.llm.generation.extractive import DONT_KNOW

LONGEST = 250  # characters; a longer answer says something, whatever else it says that it does not know
REFUSAL = re.compile(
    r"\b(?:i|we)(?:\s+am|'m|\s+are|'re|\s+do|\s+have|\s+could|\s+can|\s+was)?"
    r"\s*(?:do\s*n[o']?t|not|n't|cannot|can't|couldn't|unable to|sorry)\b"
    r"[^.]{0,60}\b(?:know|find|found|answer|sure|information|help|determine|say|tell)"
    r"|\b(?:no|not enough|insufficient) (?:relevant )?(?:information|answer|source|sources|context)\b"
    r"|\b(?:sources?|documents?|context|text)\b[^.]{0,40}\b(?:do(?:es)?n't|do(?:es)? not|says? nothing|no mention|not contain|not mention)"
    r"|\bweiß (?:ich )?(?:es )?nicht\b|\bje ne sais pas\b|\bno (?:lo )?sé\b",
    re.IGNORECASE,
)


def is_refusal(answered: Answered) -> bool:
    """Whether an answer says that it does not know: by its `finish`, or else by its words, of a short answer that cites nothing."""
    if answered.finish in (UNKNOWN, BLOCKED):
        return True
    return answered.finish == ANSWERED and says_unknown(answered.answer)


def says_unknown(answer: str) -> bool:
    """Whether a text says that there is no answer, and nothing else: such a one claims nothing."""
    text = answer.strip()
    return text == DONT_KNOW or (len(text) <= LONGEST and not CITED.search(text) and bool(REFUSAL.search(text.replace("’", "'"))))


def refusal_correctness(question: Question, answered: Answered) -> float:
    """1 where it is refused just where there is no answer; an empty answer is right nowhere."""
    if not is_refusal(answered) and not answered.answer.strip():
        return 0.0
    return float(is_refusal(answered) == question.unanswerable)
