"""How answers in words ended, and what they took, counted from what a model answered: no outcome is needed for it."""

from __future__ import annotations

import math
from typing import Any

from noria.data.rows import Rows
from noria.stores.answer_counts import AnswerCounts, SpentCounts

SEARCHED = "searched"  # how what is no answer finishes
FINISHES = {"unanswered": "unknown", "blocked": "blocked", "cut": "length"}  # how answers do that are counted


def counted(answers: Rows) -> AnswerCounts:
    """How a model's answers ended.

    An answer is a miss of the retrieval where nothing was found, or where it says that it does not know and nobody was asked to write it
    (it took no token): nothing that was found was near enough. One that a model wrote is none, whatever it says.
    """
    return AnswerCounts(*(len(counts_to(answers, name)) for name in AnswerCounts.__struct_fields__))


def counts_to(answers: Rows, name: str) -> list[int]:
    """The places of the answers that a count of `AnswerCounts` counts."""
    finishes = _listed(answers, "finish")
    if name == "answers":
        return [place for place, finish in enumerate(finishes) if finish not in (None, SEARCHED)]
    if name != "missed":
        return [place for place, finish in enumerate(finishes) if finish == FINISHES[name]]
    found, written = _listed(answers, "found"), _listed(answers, "completion_tokens")
    return [place for place in counts_to(answers, "unanswered") if not found[place] or written[place] == 0]


def spent(answers: Rows) -> SpentCounts:
    """What answers took, searches included."""
    prompts, written, costs = (_listed(answers, name) for name in ("prompt_tokens", "completion_tokens", "cost"))
    tokens = [(prompt or 0) + (completion or 0) for prompt, completion in zip(prompts, written, strict=True)]
    priced = [cost is not None and math.isfinite(cost) for cost in costs]
    dollars = sum(cost for cost, known in zip(costs, priced, strict=True) if known)
    unpriced = sum(took > 0 and not known for took, known in zip(tokens, priced, strict=True))
    return SpentCounts(sum(tokens), float(dollars), unpriced)


def _listed(answers: Rows, name: str) -> list[Any]:
    """A column's values; None where a bundle of another version lacks it."""
    return answers.column(name).to_pylist() if name in answers.names else [None] * len(answers)
