"""From documents to answers: an index of real chunks, searched by meaning and by words, with an embedder whose vectors are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noria.llm.chunking import ByKind
from noria.llm.documents import Document
from noria.llm.index import Built, build
from noria.llm.retrieval import Conditions, Result, Retriever, combined, fused
from noria.llm.retrieval.retriever import trusting

WORDS = ["cat", "feline", "dog", "tax", "levy", "law", "park"]
MEANINGS = np.array([[1, 0, 0], [0.95, 0.05, 0], [0.6, 0, 0.4], [0, 1, 0], [0, 0.9, 0.1], [0, 0.6, 0.5], [0.1, 0, 1]], np.float32)


class Meanings:
    """An embedder that knows what seven words mean."""

    dimension, truncated = 3, 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        counts = [Counter(text.lower().replace(".", " ").replace("?", " ").split()) for text in texts]
        found = np.array([sum((MEANINGS[i] * each[word] for i, word in enumerate(WORDS)), np.full(3, 0.01)) for each in counts], np.float32)
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).reshape(len(texts), 3)

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed([text])[0]

    def definition(self) -> dict[str, Any]:
        return {"embedder": "meanings"}


class Longest:
    """A reranker that likes long texts."""

    def scores(self, question: str, texts: Sequence[str]) -> np.ndarray:
        assert question
        return np.array([len(text) for text in texts], np.float32)

    def definition(self) -> dict[str, Any]:
        return {"reranker": "longest"}


DOCUMENTS = [
    Document("pets.md", "# Pets\n\nA feline sleeps.\n\n# Dogs\n\nA dog runs in the park.", metadata={"team": "pets"}),
    Document("money.md", "# Money\n\nThe levy is due. Form 7B is for the tax.", metadata={"team": "money"}, access=("staff",)),
    Document("copy.md", "# Money\n\nThe levy is due. Form 7B is for the tax.", metadata={"team": "money"}, access=("staff",)),
    Document("park.txt", "The park opens at nine.", "plain", metadata={"team": "park"}),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    told: list[tuple[int, int]] = []
    found = build(DOCUMENTS, ByKind(), Meanings(), tmp_path_factory.mktemp("index") / "one", lambda done, of: told.append((done, of)))
    assert told[-1] == (found.chunks, found.chunks)
    return found


def test_every_document_and_chunk_is_accounted_for(built: Built, tmp_path: Path) -> None:
    assert (built.documents, built.chunks, built.repeated, built.truncated, len(built.index)) == (4, 4, 1, 0, 4)
    again = build(DOCUMENTS, ByKind(), Meanings(), tmp_path / "two")
    assert again.digest == built.digest
    assert build(DOCUMENTS[:2], ByKind(), Meanings(), tmp_path / "three").digest != built.digest


def test_meaning_finds_other_words_and_words_find_what_has_no_meaning(built: Built) -> None:
    retriever = Retriever(built.index, Meanings())
    assert retriever.find("cat?", 1)[0].chunk.text.startswith("# Pets")
    assert retriever.find("7B", 1)[0].chunk.document == "money.md"
    assert Retriever(built.index, Meanings(), words=0).find("tax", 1)[0].chunk.document == "money.md"
    assert len(retriever.find("cat", 50)) == 4


def test_nothing_is_found_that_may_not_be_read(built: Built) -> None:
    retriever = Retriever(built.index, Meanings())
    guest = Conditions.read(None, ["guest"])
    assert "money.md" not in {hit.chunk.document for hit in retriever.find("tax levy 7B", 50, guest)}
    park = Conditions.read({"team": "park"})
    assert [hit.chunk.document for hit in retriever.find("cat", 50, park)] == ["park.txt"]


def test_a_reranker_has_the_last_word_and_several_questions_are_one(built: Built) -> None:
    reranked = Retriever(built.index, Meanings(), reranker=Longest()).find("cat", 4)
    assert [hit.score for hit in reranked] == sorted((hit.score for hit in reranked), reverse=True)
    assert reranked[0].score == max(len(hit.chunk.embedded) for hit in reranked)
    unmoved = [hit.chunk.id for hit in Retriever(built.index, Meanings()).find("cat", 4)]
    assert [hit.chunk.id for hit in Retriever(built.index, Meanings(), reranker=Longest(), trust=0).find("cat", 4)] == unmoved
    two = Retriever(built.index, Meanings(), reranker=Longest(), reranked=2).find("cat", 4)
    assert {hit.chunk.id for hit in two} == set(unmoved[:2])
    half = Retriever(built.index, Meanings(), reranker=Longest(), reranked=2, trust=0.5).find("cat", 4)
    assert {hit.chunk.id for hit in half} == set(unmoved)  # what it has not read is not lost
    both = Retriever(built.index, Meanings()).find_any(["cat", "levy"], 2)
    assert {hit.chunk.document for hit in both} == {"pets.md", "money.md"}
    assert Retriever(built.index, Meanings(), balance=0.3).find("dog park", 2) != []


def test_combined_scores_keep_how_far_one_is_ahead(built: Built) -> None:
    meaning, words = [("a", 0.9), ("b", 0.5), ("c", 0.425)], [("b", 7.0), ("a", 6.5), ("d", 2.0)]
    found = combined([Result(meaning, 1.0, -1.0, whole=False), Result(words, 0.25)])
    expected = {"a": 1 + 0.25 * 6.5 / 7, "b": 1.5 / 1.9 + 0.25, "c": 0.75, "d": 0.75 + 0.25 * 2 / 7}
    assert dict(found) == pytest.approx({name: score / 1.25 for name, score in expected.items()})
    assert [name for name, _ in found] == ["a", "b", "d", "c"]
    assert [each for each, _ in fused([["b", "a"], ["a", "b"]])] == ["b", "a"]  # whose ranks can't tell them apart
    assert combined([Result([("a", 3.0), ("b", 3.0)]), Result([])]) == [("a", 0.5), ("b", 0.5)]
    assert combined([Result([("a", 0.0), ("a", 0.0)])]) == [("a", 1.0)]
    assert combined([]) == []
    by_ranks = Retriever(built.index, Meanings(), fusion="ranks").find("cat", 1)
    assert by_ranks[0].score == pytest.approx(1 / 61, rel=0.5)
    assert Retriever(built.index, Meanings()).find("feline", 1)[0].score == pytest.approx(1.0)  # first by meaning and by words


def test_a_reranker_that_is_trusted_by_half_moves_what_it_is_sure_of() -> None:
    ranked = [("a", 1.0), ("b", 0.8), ("c", 0.0)]
    assert [each for each, _ in trusting(ranked, {"a": -9.0, "b": 4.0}, 0.5)] == ["b", "a", "c"]
    assert [each for each, _ in trusting(ranked, {"a": -9.0, "b": 4.0}, 0.1)] == ["a", "b", "c"]
    assert [each for each, _ in trusting(ranked, {}, 0.3)] == ["a", "b", "c"]
