"""From documents to an index: chunked, embedded and written, every document and chunk accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import NoriaError
from noria.core.ids import digest, short
from noria.llm.chunking.chunk import Chunk, Chunker, chunked
from noria.llm.documents.document import Document
from noria.llm.embedding.port import Embedder, embed_told
from noria.llm.index.lance import LanceIndex, write_lance
from noria.llm.index.port import Index, IndexStore, VersionTaken, Written
from noria.llm.index.rows import BadChunk, chunk_json, require_chunk

MAX_NAMED = 20  # documents that a chunk names as having the same text: what stands in all of them is about none
EMBEDDED_AT_ONCE = 512  # chunks between two reports of progress
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Failure:
    """A document of which nothing is in the index, and why."""

    document: str
    reason: str


@dataclass(frozen=True)
class Cut:
    """Chunks, and what became of each document and chunk. documents: those that were given; empty: those without a text

    failed: those that could not be cut or stored; repeated: chunks whose text another one has, and which are there once
    """

    chunks: list[Chunk]
    documents: int
    empty: int
    failed: tuple[Failure, ...]
    repeated: int


@dataclass(frozen=True)
class Built:
    """An index and what it was made of.

    documents: that were given, of which `empty` had no text and `failed` could not be cut or stored; the others are in the index
    chunks: of the index; repeated: chunks whose text another one of the index has, and which are in it once
    truncated: chunks longer than the embedder reads; truncated_in: how many of each document, as far as the embedder says
    written, kept: rows that were written, and that stood there from the version before
    digest: of everything that its answers depend on: the chunks, in their order, and the settings; version: its name in a store
    """

    index: Index
    documents: int
    chunks: int
    repeated: int
    truncated: int
    digest: str
    definition: dict[str, Any]
    empty: int = 0
    failed: tuple[Failure, ...] = ()
    written: int = 0
    kept: int = 0
    version: str = ""
    truncated_in: Mapping[str, int] = field(default_factory=dict)


def _silent(_done: int, _all: int) -> None:
    """Tell nobody."""


def build(documents: Iterable[Document], chunker: Chunker, embedder: Embedder, folder: Path, progress: Told = _silent) -> Built:
    """Build the index of documents as the new folder `folder`. progress: is told how many chunks of how many are embedded

    Chunks with the same text, the same access labels and the same metadata are one: the first's, which names the documents of the others.
    """

    def write(chunks: list[Chunk], vectors: NDArray[np.float32], _digest: str) -> tuple[Written, str]:
        index: LanceIndex = write_lance(folder, chunks, vectors)
        return Written(index, len(chunks), 0, 0), folder.name

    return _built(documents, chunker, embedder, write, progress)


def build_in(
    store: IndexStore,
    documents: Iterable[Document],
    chunker: Chunker,
    embedder: Embedder,
    version: str | None = None,
    progress: Told = _silent,
) -> Built:
    """Build a version of an index in a store. version: its name, by default of its digest, so that the same corpus is the same version

    What the version before has is not written again. A build that was stopped is begun again by the same call: with a `CachedEmbedder`,
    what was embedded is not embedded again.
    """

    def write(chunks: list[Chunk], vectors: NDArray[np.float32], of_all: str) -> tuple[Written, str]:
        name = short(of_all) if version is None else version
        try:
            return store.write(name, chunks, vectors), name
        except VersionTaken:
            if version is not None:
                raise
            return Written(store.open(name), 0, 0, len(chunks)), name  # the same chunks, whose vectors differ in their last digits

    return _built(documents, chunker, embedder, write, progress)


def _built(
    documents: Iterable[Document],
    chunker: Chunker,
    embedder: Embedder,
    write: Callable[[list[Chunk], NDArray[np.float32], str], tuple[Written, str]],
    progress: Told,
) -> Built:
    cut = cut_of(documents, chunker)
    before = embedder.truncated
    vectors, truncated_in = _embedded(cut.chunks, embedder, progress)
    definition = {"chunker": chunker.definition(), "embedder": embedder.definition()}
    of_all = digest([definition, [[chunk.id, chunk_json(chunk)] for chunk in cut.chunks]])
    written, name = write(cut.chunks, vectors, of_all)
    return Built(
        index=written.index,
        documents=cut.documents,
        chunks=len(cut.chunks),
        repeated=cut.repeated,
        truncated=embedder.truncated - before,
        truncated_in=truncated_in,
        digest=of_all,
        definition=definition,
        empty=cut.empty,
        failed=cut.failed,
        written=written.added,
        kept=written.kept,
        version=name,
    )


def cut_of(documents: Iterable[Document], chunker: Chunker) -> Cut:
    """The chunks of documents. One that can't be cut or stored, or has the id of another, is left out, with its reason."""
    count, empty, repeated, chunks, failed = 0, 0, 0, list[Chunk](), list[Failure]()
    seen, ids, also = dict[str, int](), set[str](), dict[int, list[str]]()
    for document in documents:
        count += 1
        if document.id in ids:
            failed.append(Failure(document.id, "another document has this id"))
            continue
        ids.add(document.id)
        try:
            found = chunked(document, chunker)
            for chunk in found:
                require_chunk(chunk)
        except Exception as error:  # noqa: BLE001 - of chunkers that people write; the other documents go on
            failed.append(Failure(document.id, _reason(error)))
            continue
        empty += not found
        for chunk in found:
            same = digest([chunk.text, dict(chunk.metadata), list(chunk.access)])
            if same in seen:
                repeated += 1
                also.setdefault(seen[same], []).append(document.id)
                continue
            seen[same] = len(chunks)
            chunks.append(chunk)
    for place, others in also.items():
        own = chunks[place].document
        chunks[place] = replace(chunks[place], also=tuple(name for name in dict.fromkeys(others) if name != own)[:MAX_NAMED])
    return Cut(chunks, count, empty, tuple(failed), repeated)


def _reason(error: Exception) -> str:
    if isinstance(error, BadChunk):
        return error.reason
    return error.what if isinstance(error, NoriaError) else f"{type(error).__name__}: {error}"


def _embedded(chunks: list[Chunk], embedder: Embedder, progress: Told) -> tuple[NDArray[np.float32], dict[str, int]]:
    """The vectors of chunks `(chunks, dimension)`, and how many of each document were cut, as far as the embedder says."""
    vectors, truncated_in = np.zeros((len(chunks), embedder.dimension), np.float32), Counter[str]()
    for at in range(0, len(chunks), EMBEDDED_AT_ONCE):
        some = chunks[at : at + EMBEDDED_AT_ONCE]
        found = embed_told(embedder, [chunk.embedded for chunk in some])
        vectors[at : at + len(some)] = found.vectors
        truncated_in.update(chunk.document for chunk, cut in zip(some, found.cut, strict=True) if cut)
        progress(at + len(some), len(chunks))
    return vectors, dict(truncated_in)
