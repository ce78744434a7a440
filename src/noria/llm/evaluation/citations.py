"""Whether what an answer cites is what answers the question, or says what the answer says."""

from __future__ import annotations

import re
from collections.abc import Callable

from noria.llm.chunking.sentences import sentences
from noria.llm.evaluation.answered import Answered
from noria.llm.evaluation.questions import Question
from noria.llm.evaluation.refusals import is_refusal
from noria.llm.generation.citations import CITED

Supports = Callable[[str, str], float]  # how likely it is that a text (first) supports a sentence (second), 0 to 1
SUPPORTED = 0.5
LONGEST = 1_000  # characters of a statement
CITATION_AFTER = re.compile(r"([.!?…])((?:\s*\[\d{1,3}(?:\s*,\s*\d{1,3})*\])+)")


def statements(answer: str) -> list[tuple[str, tuple[int, ...]]]:
    """The sentences of an answer without their citations, and the numbers that each cites."""
    moved = CITATION_AFTER.sub(r"\2\1", answer)  # a citation after the full stop belongs to the sentence before it
    found = list[tuple[str, tuple[int, ...]]]()
    for at, end in sentences(moved, LONGEST):
        sentence = moved[at:end]
        numbers = tuple(int(number) for match in CITED.finditer(sentence) for number in match[1].split(","))
        if text := " ".join(CITED.sub("", sentence).split()):
            found.append((text, numbers))
    return found


def citation_precision(answered: Answered, supports: Supports) -> float:
    """The share of cited chunks that support a statement of the answer that cites them; 0 where it cites none, or what was not found."""
    if is_refusal(answered) or not answered.cited:
        return 0.0
    texts, told = answered.text_of, [text for text, _ in statements(answered.answer)]
    supported = sum(any(supports(texts.get(chunk, ""), text) >= SUPPORTED for text in told) for chunk in answered.cited)
    return supported / len(answered.cited)


def citation_recall(answered: Answered, supports: Supports) -> float:
    """The share of statements that a chunk supports which the answer cites."""
    told = [text for text, _ in statements(answered.answer)]
    if is_refusal(answered) or not told:
        return 0.0
    cited = [text for chunk in answered.cited if (text := answered.text_of.get(chunk, ""))]
    return sum(any(supports(source, text) >= SUPPORTED for source in cited) for text in told) / len(told)


def cited_relevant(question: Question, answered: Answered) -> float:
    """Whether it cites a chunk, or a chunk of a document, that is known to answer the question: 1 or 0."""
    from noria.llm.evaluation.retrieval_metrics import ranking

    places = dict(zip(answered.found, answered.found_places, strict=False))
    cited = Answered(question.id, found=answered.cited, found_places=tuple(places.get(chunk, "") for chunk in answered.cited))
    return float(any(question.relevant.get(name, 0) > 0 for name in ranking(question, cited)))
