"""Searching an index by meaning and by words at once, and reading the best of what was found once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from noria.llm.retrieval.conditions import Conditions
from noria.llm.retrieval.fusion import diverse, fused

if TYPE_CHECKING:
    from noria.llm.embedding.port import Embedder, Reranker
    from noria.llm.index.port import Hit, Index

CANDIDATES = 50  # of each search, from which the best are chosen


@dataclass(frozen=True)
class Retriever:
    """What finds chunks for questions.

    words: how much the search by words counts beside that by meaning; 0: not at all
    reranker: reads the best `reranked` with the question, of which it chooses
    trust: how much the reranker's order counts; 1: it has the last word, below 1 the order of the searches counts as well
    balance: below 1, chunks that say the same are left out
    """

    index: Index
    embedder: Embedder
    reranker: Reranker | None = None
    words: float = 1.0
    candidates: int = CANDIDATES
    balance: float = 1.0
    reranked: int = CANDIDATES
    trust: float = 1.0

    def find(self, question: str, count: int = 5, conditions: Conditions | None = None) -> list[Hit]:
        """The chunks that answer a question best, at most `count` of them. Scores are the reranker's, or those of the fused ranks."""
        return self.find_any([question], count, conditions)

    def find_any(self, questions: Sequence[str], count: int = 5, conditions: Conditions | None = None) -> list[Hit]:
        """The same for several ways to ask one thing, the first of which is the question itself."""
        conditions = conditions or Conditions()
        known: dict[str, Hit] = {}
        rankings, weights = list[list[str]](), list[float]()
        for question in dict.fromkeys(questions):
            searches = [(self.index.search(self.embedder.embed_query(question), self.candidates, conditions), 1.0)]
            if self.words > 0:
                searches.append((self.index.search_words(question, self.candidates, conditions), self.words))
            for hits, weight in searches:
                known |= {hit.chunk.id: hit for hit in hits if hit.chunk.id not in known}
                rankings.append([hit.chunk.id for hit in hits])
                weights.append(weight)
        ranked = fused(rankings, weights)[: self.candidates]
        if self.reranker is not None and ranked:
            ranked = self._reread(self.reranker, questions[0], ranked, known)
        if self.balance < 1 and ranked:
            ranked = self._diverse(questions[0], ranked, count)
        return [replace(known[each], score=score) for each, score in ranked[:count]]

    def definition(self) -> dict[str, Any]:
        """Its settings, as a bundle has them."""
        return {
            "embedder": self.embedder.definition(),
            "reranker": None if self.reranker is None else self.reranker.definition(),
            "words": self.words,
            "candidates": self.candidates,
            "balance": self.balance,
            "reranked": self.reranked,
            "trust": self.trust,
        }

    def _reread(self, reranker: Reranker, question: str, ranked: list[tuple[str, float]], known: dict[str, Hit]) -> list[tuple[str, float]]:
        """The best of a ranking in the order that the reranker sees, or between that and their own; without the others."""
        best = [each for each, _ in ranked[: self.reranked]]
        scores = reranker.scores(question, [known[each].chunk.embedded for each in best]).tolist()
        judged = sorted(zip(best, scores, strict=True), key=lambda pair: -pair[1])
        if self.trust >= 1:
            return judged
        return fused([[each for each, _ in judged], best], [self.trust, 1 - self.trust])

    def _diverse(self, question: str, ranked: list[tuple[str, float]], count: int) -> list[tuple[str, float]]:
        vectors = self.index.vectors([each for each, _ in ranked])
        return [ranked[place] for place in diverse(self.embedder.embed_query(question), vectors, count, self.balance)]
