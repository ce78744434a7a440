"""Builds into a store: what is there is not written again, what was embedded is not embedded again, and every document is accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexes import DIMENSION, store_of
from noria.llm.chunking import ByKind
from noria.llm.chunking.chunk import Span
from noria.llm.documents import Document
from noria.llm.embedding import CachedEmbedder
from noria.llm.index import Failure, UnknownStore, VersionTaken, build_in, open_index, open_store, reference
from noria.llm.retrieval.conditions import Conditions


class Hashed:
    """An embedder whose vectors follow from the texts' letters. stop_at: after so many texts, it dies"""

    dimension, truncated = DIMENSION, 0

    def __init__(self, stop_at: int = 10**9) -> None:
        self.seen, self._stop_at = 0, stop_at

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += len(texts)
        if self.seen > self._stop_at:
            raise KeyboardInterrupt
        found = np.array([np.random.default_rng(list(text.encode())).normal(size=DIMENSION) for text in texts], np.float32)
        return found.reshape(len(texts), DIMENSION) / np.linalg.norm(found.reshape(len(texts), DIMENSION), axis=1, keepdims=True)

    def embed_query(self, text: str) -> np.ndarray:
        return self.embed([text])[0]

    def definition(self) -> dict[str, Any]:
        return {"embedder": "hashed"}


class Picky:
    """A chunker that can't read some documents."""

    def spans(self, document: Document) -> Iterable[Span]:
        if "bad" in document.id:
            raise ZeroDivisionError("no columns")
        return ByKind().spans(document)

    def definition(self) -> dict[str, Any]:
        return {"chunker": "picky"}


def corpus(count: int, changed: Sequence[int] = ()) -> list[Document]:
    return [Document(f"d{n}.md", f"# Part {n}\n\nThe text {n}{' is new' if n in changed else ''}.") for n in range(count)]


def test_every_document_is_accounted_for(tmp_path: Path) -> None:
    given = [
        *corpus(3),
        Document("bad.md", "x"),
        Document("empty.md", " \n"),
        Document("half.md", "\ud800"),
        Document("d1.md", "again"),
        *corpus(0),
    ]
    given.append(Document("copy.md", corpus(1)[0].text))
    told: list[tuple[int, int]] = []
    built = build_in(store_of("lance", str(tmp_path)), given, Picky(), Hashed(), progress=lambda done, of: told.append((done, of)))
    reasons = {each.document: each.reason for each in built.failed}
    assert built.failed[0] == Failure("bad.md", "ZeroDivisionError: no columns")
    assert (sorted(reasons), reasons["d1.md"]) == (["bad.md", "d1.md", "half.md"], "another document has this id")
    assert "half a character" in reasons["half.md"]
    assert (built.documents, built.empty, built.chunks, built.repeated, len(built.index)) == (8, 1, 3, 1, 3)
    assert told == [(3, 3)]
    named = {hit.chunk.document: hit.chunk.also for hit in built.index.search_words("text", 5, Conditions())}
    assert named == {"d0.md": ("copy.md",), "d1.md": (), "d2.md": ()}


@pytest.mark.parametrize("kind", ["lance", "pgvector", "qdrant"])
def test_a_new_version_of_a_corpus_costs_what_has_changed(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = store_of(
        kind, request.getfixturevalue("postgres_url") if kind == "pgvector" else ":memory:" if kind == "qdrant" else str(tmp_path)
    )
    embedder = CachedEmbedder(Hashed(), tmp_path / "kept")
    first = build_in(store, corpus(40), ByKind(), embedder)
    again = build_in(store, corpus(40), ByKind(), embedder)
    assert (again.version, again.written, again.kept) == (first.version, 0, 40)
    second = build_in(store, corpus(40, changed=[3, 7]), ByKind(), embedder)
    assert (embedder.embedded, second.version != first.version) == (42, True)
    assert (second.written, second.kept) == ((40, 0) if kind == "lance" else (2, 38))
    labelled = [Document(each.id, each.text, access=("staff",)) if each.id == "d5.md" else each for each in corpus(40)]
    assert build_in(store, labelled, ByKind(), embedder).version not in (first.version, second.version)
    assert embedder.embedded == 42
    with pytest.raises(VersionTaken):
        build_in(store, corpus(2), ByKind(), embedder, first.version)
    assert (len(store.versions()), len(store.open(first.version))) == (3, 40)
    store.close()


def test_a_build_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    store = store_of("lance", str(tmp_path / "store"))
    with pytest.raises(KeyboardInterrupt):
        build_in(store, corpus(1_200), ByKind(), CachedEmbedder(Hashed(stop_at=1_100), tmp_path / "kept"))
    assert store.versions() == []
    again = CachedEmbedder(Hashed(), tmp_path / "kept")
    assert len(build_in(store, corpus(1_200), ByKind(), again).index) == 1_200
    assert again.embedded == 1_200 - 1_024  # all but those that the first had embedded before it died


def test_a_bundle_refers_to_a_version_without_secrets(postgres_url: str, tmp_path: Path) -> None:
    environ = {"NORIA_INDEX_URL": postgres_url}
    store = open_store("pgvector", "docs", environ)
    built = build_in(store, corpus(3), ByKind(), Hashed())
    where = reference(store, built.version)
    store.close()
    assert where == {"store": "pgvector", "collection": "docs", "version": built.version}
    index = open_index(where, environ)
    assert len(index) == 3
    index.close()
    folder = open_store("lance", str(tmp_path), {})
    assert len(open_index(reference(folder, build_in(folder, corpus(3), ByKind(), Hashed(), "one").version), {})) == 3
    with pytest.raises(UnknownStore, match="did you mean 'pgvector'"):
        open_store("pgvektor", "docs", environ)
