"""What can be said of an answer in words without an outcome and without a judge: whether there is one, how sure it was, what it took."""

from __future__ import annotations

import math
from typing import Any

from noria.evaluation.answer_scores import AnswerScore, ShownAnswer

ANSWERED, FAILED = ("answered", "length"), "failed"


def is_answer(shown: ShownAnswer) -> bool:
    """Whether it is an answer, and not that there is none: unknown, blocked, failed."""
    return shown.said.get("finish") in ANSWERED


def _answered(shown: ShownAnswer) -> float:
    return float(is_answer(shown))


def _confidence(shown: ShownAnswer) -> float:
    return min(max(float(shown.said.get("confidence") or 0.0), 0.0), 1.0)


def _seconds(shown: ShownAnswer) -> float:
    return shown.seconds


def _cost(shown: ShownAnswer) -> float | str:
    return _taken(shown, "cost")


def _tokens(shown: ShownAnswer) -> float | str:
    prompt, completion = _taken(shown, "prompt_tokens"), _taken(shown, "completion_tokens")
    return prompt + completion if isinstance(prompt, float) and isinstance(completion, float) else "its tokens are not known"


def _taken(shown: ShownAnswer, name: str) -> float | str:
    value: Any = shown.said.get(name)
    if value is None and shown.said.get("finish") != FAILED:
        return f"its {name} is not known"
    return float(value or 0.0)


UNENDING = (0.0, math.inf)
ANSWER_SCORES = (
    AnswerScore("answered", _answered),
    AnswerScore("confidence", _confidence),
    AnswerScore("seconds", _seconds, "lowest", UNENDING, "s"),
    AnswerScore("cost", _cost, "lowest", UNENDING, "USD"),
    AnswerScore("tokens", _tokens, "lowest", UNENDING),
)
