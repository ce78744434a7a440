"""Searching an index by meaning and by words at once, and reading the best of what was found once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from noria.llm.retrieval.conditions import Conditions
from noria.llm.retrieval.fusion import combined, diverse, fused, scaled

if TYPE_CHECKING:
    from noria.llm.embedding.port import Embedder, Reranker
    from noria.llm.index.port import Hit, Index

CANDIDATES = 50  # of each search, from which the best are chosen
Fusion = Literal["scores", "ranks"]


@dataclass(frozen=True)
class Retriever:
    """What finds chunks for questions.

    words: how much the search by words counts beside that by meaning; 0: not at all
    reranker: reads the best `reranked` with the question, of which it chooses
    trust: how much the reranker counts; 1: it has the last word on those that it has read, and the others are left out; below 1 the
    searches count as well
    balance: below 1, chunks that say the same are left out
    fusion: of the searches, by `combined` scores, or by `fused` ranks, which need no scores that can be compared within a search
    """

    index: Index
    embedder: Embedder
    reranker: Reranker | None = None
    words: float = 1.0
    candidates: int = CANDIDATES
    balance: float = 1.0
    reranked: int = CANDIDATES
    trust: float = 1.0
    fusion: Fusion = "scores"

    def find(self, question: str, count: int = 5, conditions: Conditions | None = None) -> list[Hit]:
        """The chunks that answer a question best, at most `count` of them. Scores are of the fusion, or the reranker's
        where it has the last word."""
        return self.find_any([question], count, conditions)

    def find_any(self, questions: Sequence[str], count: int = 5, conditions: Conditions | None = None) -> list[Hit]:
        """The same for several ways to ask one thing, the first of which is the question itself."""
        conditions = conditions or Conditions()
        known: dict[str, Hit] = {}
        results, weights = list[list[Hit]](), list[float]()
        for question in dict.fromkeys(questions):
            searches = [(self.index.search(self.embedder.embed_query(question), self.candidates, conditions), 1.0)]
            if self.words > 0:
                searches.append((self.index.search_words(question, self.candidates, conditions), self.words))
            for hits, weight in searches:
                known |= {hit.chunk.id: hit for hit in hits if hit.chunk.id not in known}
                results.append(hits)
                weights.append(weight)
        ranked = self.together(results, weights)[: self.candidates]
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
            "fusion": self.fusion,
        }

    def together(self, results: Sequence[Sequence[Hit]], weights: Sequence[float]) -> list[tuple[str, float]]:
        """The ids of what several searches found, best first, with their scores."""
        if self.fusion == "ranks":
            return fused([[hit.chunk.id for hit in hits] for hits in results], weights)
        return combined([[(hit.chunk.id, hit.score) for hit in hits] for hits in results], weights)

    def _reread(self, reranker: Reranker, question: str, ranked: list[tuple[str, float]], known: dict[str, Hit]) -> list[tuple[str, float]]:
        """The best of a ranking in the order that the reranker sees; or all of it, in an order between the reranker's and its own."""
        best = [each for each, _ in ranked[: self.reranked]]
        scores = reranker.scores(question, [known[each].chunk.embedded for each in best]).tolist()
        if self.trust >= 1:
            return sorted(zip(best, scores, strict=True), key=lambda pair: -pair[1])
        return trusting(ranked, dict(zip(best, scores, strict=True)), self.trust)

    def _diverse(self, question: str, ranked: list[tuple[str, float]], count: int) -> list[tuple[str, float]]:
        vectors = self.index.vectors([each for each, _ in ranked])
        return [ranked[place] for place in diverse(self.embedder.embed_query(question), vectors, count, self.balance)]


def trusting(ranked: Sequence[tuple[str, float]], judged: Mapping[str, float], trust: float) -> list[tuple[str, float]]:
    """A ranking in which the scores of a reranker count by `trust`, its own by the rest; what was not judged has 0 in the former."""
    own = scaled([score for _, score in ranked])
    theirs = dict(zip(judged, scaled(list(judged.values())), strict=True))
    mixed = [(each, (1 - trust) * score + trust * theirs.get(each, 0.0)) for (each, _), score in zip(ranked, own, strict=True)]
    return sorted(mixed, key=lambda pair: -pair[1])
