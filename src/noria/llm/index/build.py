"""From documents to an index: chunked, embedded and written, every document and chunk accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.ids import digest
from noria.llm.chunking.chunk import Chunk, Chunker, chunked
from noria.llm.documents.document import Document
from noria.llm.embedding.port import Embedder, embed_told
from noria.llm.index.lance import LanceIndex, write_lance

EMBEDDED_AT_ONCE = 512  # chunks between two reports of progress


@dataclass(frozen=True)
class Built:
    """An index and what it was made of.

    repeated: chunks whose text another one of the index has, and which are in it once; truncated: chunks longer than the embedder reads
    truncated_in: the documents that have such chunks, and how many, as far as the embedder says
    digest: of everything that its answers depend on: the chunks, in their order, and the settings
    """

    index: LanceIndex
    documents: int
    chunks: int
    repeated: int
    truncated: int
    digest: str
    definition: dict[str, Any]
    truncated_in: Mapping[str, int] = field(default_factory=dict)


def build(
    documents: Iterable[Document],
    chunker: Chunker,
    embedder: Embedder,
    folder: Path,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Built:
    """Build the index of documents as the new folder `folder`. progress: is told how many chunks of how many are embedded

    Chunks with the same text, the same access labels and the same metadata are one: the first's.
    """
    count, chunks, seen, repeated = 0, list[Chunk](), set[str](), 0
    for document in documents:
        count += 1
        for chunk in chunked(document, chunker):
            same = digest([chunk.text, dict(chunk.metadata), list(chunk.access)])
            if same in seen:
                repeated += 1
                continue
            seen.add(same)
            chunks.append(chunk)
    before = embedder.truncated
    vectors, truncated_in = np.zeros((len(chunks), embedder.dimension), np.float32), Counter[str]()
    for at in range(0, len(chunks), EMBEDDED_AT_ONCE):
        some = chunks[at : at + EMBEDDED_AT_ONCE]
        found = embed_told(embedder, [chunk.embedded for chunk in some])
        vectors[at : at + len(some)] = found.vectors
        truncated_in.update(chunk.document for chunk, cut in zip(some, found.cut, strict=True) if cut)
        progress(at + len(some), len(chunks))
    definition = {"chunker": chunker.definition(), "embedder": embedder.definition()}
    of_all = digest([definition, [[chunk.id, chunk.at, chunk.end] for chunk in chunks]])
    index = write_lance(folder, chunks, vectors)
    return Built(index, count, len(chunks), repeated, embedder.truncated - before, of_all, definition, dict(truncated_in))
