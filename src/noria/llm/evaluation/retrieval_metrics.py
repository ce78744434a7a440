"""How well chunks are found: recall@k, precision@k, MRR and nDCG@k by ir-measures, which computes them as trec_eval does."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from noria.core.errors import MissingExtra
from noria.evaluation.generation import ALSO
from noria.llm.evaluation.answered import Answered
from noria.llm.evaluation.questions import Question

AFTER = re.compile(r"[\s,#:>›]")  # what follows a document's id in a place


def ranking(question: Question, answered: Answered) -> list[str]:
    """What was found, best first, under the names that `relevant` has: a chunk's id, or else its document's, each once."""
    found = list[str]()
    places = answered.found_places or ("",) * len(answered.found)
    for chunk, place in zip(answered.found, places, strict=False):
        found += [chunk] if chunk in question.relevant else _documents(place, question) or [place or chunk]
    return list(dict.fromkeys(found))


def _documents(place: str, question: Question) -> list[str]:
    """The relevant documents that a place lies in: the one that it names, and those that say the same."""
    first, *others = place.split(ALSO)
    inside = [
        name for name in question.relevant if first == name or (first.startswith(name) and AFTER.match(first[len(name) : len(name) + 1]))
    ]
    return [*sorted(inside, key=len)[-1:], *(name for name in others if name in question.relevant)]


def retrieval_values(question: Question, answered: Answered, measures: Sequence[str]) -> dict[str, float]:
    """The values of measures such as `R@5`, `P@5`, `RR`, `nDCG@10` for one question; none of a question whose relevant texts are unknown.

    The greater a grade, the more it counts in nDCG; for the others, 1 and more is relevant. A relevant document of which several chunks
    were found counts once, where the first stands.
    """
    grades = {name: int(grade) for name, grade in question.relevant.items() if grade > 0}
    if not grades:
        return {}
    found = ranking(question, answered)
    run = {question.id: {name: 1.0 / place for place, name in enumerate(found, start=1)}}
    if not found:
        return dict.fromkeys(measures, 0.0)
    values = _library().iter_calc([_measure(name) for name in measures], {question.id: grades}, run)
    of = {str(each.measure): float(each.value) for each in values}
    return {name: value for name in measures if math.isfinite(value := of[str(_measure(name))])}


@cache
def _measure(name: str) -> Any:
    return _library().parse_measure(name)


def _library() -> Any:
    """ir-measures. Raises `MissingExtra`."""
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtra(library="ir-measures", extra="llm", needed_for="metrics of retrieval") from error
    return ir_measures
