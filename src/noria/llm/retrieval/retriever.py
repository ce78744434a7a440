"""Searching an index by meaning and by words at once, and reading the best of what was found once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from noria.llm.retrieval.conditions import Conditions
from noria.llm.retrieval.fusion import Result, combined, diverse, fused, scaled

if TYPE_CHECKING:
    from noria.llm.embedding.port import Embedder, Reranker
    from noria.llm.index.port import Hit, Index

CANDIDATES = 50  # of each search, from which the best are chosen
MIN_COSINE = -1.0
BESIDE_MEANING = 0.25  # of scores by words where `words` is 1: cosines of the best differ by about a quarter of what they could
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
        meaning: list[list[Hit]] = []
        words: list[list[Hit]] = []
        for question in dict.fromkeys(questions):
            meaning.append(self.index.search(self.embedder.embed_query(question), self.candidates, conditions))
            if self.words > 0:
                words.append(self.index.search_words(question, self.candidates, conditions))
        for hits in (*meaning, *words):
            known |= {hit.chunk.id: hit for hit in hits if hit.chunk.id not in known}
        ranked = together(meaning, words, self.words, self.candidates, self.fusion)
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


def together(
    meaning: Sequence[Sequence[Hit]], words: Sequence[Sequence[Hit]], weight: float, count: int, fusion: Fusion
) -> list[tuple[str, float]]:
    """The ids of at most `count` chunks that searches by meaning and by words found, best first, with their scores.

    weight: of the searches by words; count: also that each search was asked for
    """
    if fusion == "ranks":
        rankings = [[hit.chunk.id for hit in hits] for hits in (*meaning, *words)]
        return fused(rankings, [1.0] * len(meaning) + [weight] * len(words))[:count]
    near = [Result(_scores(hits), 1.0, MIN_COSINE, len(hits) < count) for hits in meaning]
    alike = [Result(_scores(hits), weight * BESIDE_MEANING, 0.0, len(hits) < count) for hits in words]
    return combined([*near, *alike])[:count]


def _scores(hits: Sequence[Hit]) -> list[tuple[str, float]]:
    return [(hit.chunk.id, hit.score) for hit in hits]


def trusting(ranked: Sequence[tuple[str, float]], judged: Mapping[str, float], trust: float) -> list[tuple[str, float]]:
    """A ranking in which the scores of a reranker count by `trust`, its own by the rest; what was not judged has 0 in the former."""
    own = scaled([score for _, score in ranked])
    theirs = dict(zip(judged, scaled(list(judged.values())), strict=True))
    mixed = [(each, (1 - trust) * score + trust * theirs.get(each, 0.0)) for (each, _), score in zip(ranked, own, strict=True)]
    return sorted(mixed, key=lambda pair: -pair[1])
