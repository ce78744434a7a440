"""Answers against right ones: word for word, by their words, and by their meaning."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from noria.llm.embedding.port import Embedder
from noria.llm.generation.citations import CITED

ARTICLES = frozenset({"a", "an", "the"})
WORD = re.compile(r"\w+")


def plain(text: str) -> list[str]:
    """The words of an answer that count: without citations, articles, case and signs, as SQuAD has it (Rajpurkar et al. 2016)."""
    clean = unicodedata.normalize("NFKC", CITED.sub("", text)).casefold()
    return [word for word in WORD.findall(clean) if word not in ARTICLES]


def exact(answer: str, references: Sequence[str]) -> float:
    """1 where the answer is one of the references, but for citations, articles, case and signs; or else 0."""
    return float(any(plain(answer) == plain(reference) for reference in references))


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The harmonic mean of the answer's words that a reference has and the reference's that the answer has; of the nearest reference."""
    return max((_f1(plain(answer), plain(reference)) for reference in references), default=0.0)


def token_recall(answer: str, references: Sequence[str]) -> float:
    """The share of a reference's words that the answer has; of the nearest reference. For answers that say more than the reference."""
    given = Counter(plain(answer))

    def share(reference: Counter[str]) -> float:
        return (given & reference).total() / reference.total() if reference else 0.0

    return max((share(Counter(plain(reference))) for reference in references), default=0.0)


def similarity(answer: str, references: Sequence[str], embedder: Embedder) -> float:
    """The cosine of the answer and the nearest reference, 0 where it is below."""
    clean = CITED.sub("", answer).strip()
    if not clean or not references:
        return 0.0
    vectors = embedder.embed([clean, *references])
    return float(min(max((vectors[1:] @ vectors[0]).max(), 0.0), 1.0))


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    both = (Counter(answer) & Counter(reference)).total()
    return 2 * both / (len(answer) + len(reference))
