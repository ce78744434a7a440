"""Stores of indexes, opened anew as another process would, and chunks with vectors to fill them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.llm.chunking import Chunk
from noria.llm.index import IndexStore, LanceStore

DIMENSION = 8


def store_of(kind: str, place: str, collection: str = "docs") -> IndexStore:
    """A store: `lance` and `qdrant` in a folder, `pgvector` in a database; `pgvector_hnsw` with an approximate index from the first row.

    `qdrant_http`, `weaviate` and `pinecone` at an address.
    """
    if kind.startswith("pgvector"):
        from psycopg.conninfo import make_conninfo

        from noria.integrations.pgvector_index import EXACT_ROWS, pgvector_store

        if kind == "pgvector_hnsw":  # which the planner would not search among so few
            return pgvector_store(make_conninfo(place, options="-c enable_seqscan=off"), collection, exact_rows=0)
        return pgvector_store(place, collection, EXACT_ROWS)
    if kind.startswith("qdrant"):
        from noria.integrations.qdrant_index import qdrant_store

        return qdrant_store(place, collection)
    if kind == "weaviate":
        from noria.integrations.weaviate_index import weaviate_store

        return weaviate_store(place, collection)
    if kind == "pinecone":
        from noria.integrations.pinecone_index import pinecone_store

        return pinecone_store("right", collection, place)
    return LanceStore(f"{place}/{collection}")


def unit(count: int, seed: int = 0, dimension: int = DIMENSION) -> np.ndarray:
    """Vectors of length 1."""
    found = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def chunk(number: int, text: str = "text", metadata: dict | None = None, access: Sequence[str] = ()) -> Chunk:
    return Chunk(f"c{number}", f"d{number}.md", text, 0, len(text), ("A", "B"), "page 1", "wider", metadata or {}, tuple(access))


def chunks_of(texts: Sequence[str]) -> list[Chunk]:
    return [chunk(number, text) for number, text in enumerate(texts)]
