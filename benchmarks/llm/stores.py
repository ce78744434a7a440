"""What the stores cost beside the same libraries called directly, on the same vectors, in one run: queries, recall, and updates.

    python -m benchmarks.llm.stores [chunks]

Ours gives whole chunks of one version; bare gives ids and texts of a table that has nothing else.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figure import Figure, Proof
from benchmarks.llm.stocked import STORES, chunks_of, postgres, store_of, unit
from noria.llm.chunking import Chunk
from noria.llm.index import Index

CHUNKS, DIMENSION, QUERIES, FOUND, UPDATES = 5_000, 384, 60, 10, 3
SIDES = {"lance": "LanceDB", "pgvector": "pgvector", "qdrant": "Qdrant in a folder"}
Search = Callable[[np.ndarray], list[str]]


def prove(count: int = CHUNKS) -> Proof:
    chunks, vectors, queries = chunks_of(count, "text", 80), unit(count, DIMENSION), unit(QUERIES, DIMENSION, 1)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # so that disks, which differ, are no part of it
    for kind in STORES:
        with tempfile.TemporaryDirectory(dir=memory) as folder, postgres(Path(folder)) as url:
            place = url if kind == "pgvector" else f"{folder}/ours"
            yield from _store(kind, place, f"{folder}/bare", chunks, vectors, queries)


def _store(kind: str, place: str, bare_place: str, chunks: list[Chunk], vectors: np.ndarray, queries: np.ndarray) -> Proof:
    store = store_of(kind, place)
    store_of(kind, f"{place}/warm" if kind != "pgvector" else place, "warm").write("one", chunks[:1], vectors[:1])  # its library is loaded
    begin = time.perf_counter()
    index = store.write("one", chunks, vectors).index
    full = time.perf_counter() - begin
    begin = time.perf_counter()
    bare = BARE[kind](place if kind == "pgvector" else bare_place, chunks, vectors)
    bare_full = time.perf_counter() - begin
    yield f"# {SIDES[kind]}: {len(chunks):,} × {vectors.shape[1]} written in {full:.2f} s, bare {bare_full:.2f} s"
    yield from _queries(kind, index, bare, chunks, vectors, queries)
    update, vectors = float("inf"), vectors.copy()
    for number in range(UPDATES):  # the least of some: what else runs on the machine only adds
        chunks = [replace(each, text=f"changed {each.text}") if place % 100 == number else each for place, each in enumerate(chunks)]
        vectors[number::100] = unit(len(chunks[number::100]), vectors.shape[1], 2 + number)
        begin = time.perf_counter()
        written = store.write(f"changed-{number}", chunks, vectors)
        update = min(update, time.perf_counter() - begin)
    yield f"# {kind}: 1 % changed: {written.added:,} rows written, {written.kept:,} kept, in {update:.2f} s"
    if kind == "lance":  # a folder that is whole and can be copied: that is what it is for
        yield f"# lance writes each version whole: {update / full:.2f} of the first"
    else:
        yield Figure(f"update_{kind}_1_percent", update / full, "of the time of a full build", "<=", 0.25)
    store.close()


def _queries(kind: str, index: Index, bare: Search, chunks: list[Chunk], vectors: np.ndarray, queries: np.ndarray) -> Proof:
    wanted = [{chunks[place].id for place in np.argsort(-(vectors @ query))[:FOUND]} for query in queries]

    def ours(query: np.ndarray) -> list[str]:
        return [hit.chunk.id for hit in index.search(query, FOUND)]

    times: dict[str, list[float]] = {"ours": [], "bare": []}
    recalls: dict[str, list[float]] = {"ours": [], "bare": []}
    for number, query in enumerate([*queries[:10], *queries]):  # the first ten warm up
        for name, search in (("ours", ours), ("bare", bare))[:: 1 if number % 2 else -1]:
            begin = time.perf_counter()
            found = search(query)
            took = time.perf_counter() - begin
            if number >= 10:
                times[name].append(took)
                recalls[name].append(len(wanted[number - 10] & set(found)) / FOUND)
    p50 = {name: 1_000 * float(np.median(each)) for name, each in times.items()}
    yield f"# {kind}: p50 {p50['ours']:.2f} ms, bare {p50['bare']:.2f} ms; recall@10 bare {np.mean(recalls['bare']):.3f}"
    yield Figure(f"query_{kind}_p50_to_bare", p50["ours"] / p50["bare"], "times the bare store's", "<=", 1.5)
    yield Figure(f"recall_{kind}_at_10", float(np.mean(recalls["ours"])), "of the exact ten", ">=", 0.99)


# --- the libraries themselves ----------------------------------------------------------------------------------------------


def _bare_lance(place: str, chunks: Sequence[Chunk], vectors: np.ndarray) -> Search:
    import lancedb
    import pyarrow as pa

    ids, texts = [each.id for each in chunks], [each.text for each in chunks]
    stored = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    table = lancedb.connect(place).create_table("bare", pa.table({"id": ids, "text": texts, "vector": stored}))

    def search(query: np.ndarray) -> list[str]:
        return [row["id"] for row in table.search(query).distance_type("cosine").limit(FOUND).to_list()]

    return search


def _bare_pgvector(place: str, chunks: Sequence[Chunk], vectors: np.ndarray) -> Search:
    import psycopg
    from pgvector.psycopg import register_vector

    con: psycopg.Connection[Any] = psycopg.connect(place, autocommit=True)
    register_vector(con)
    con.execute(f"CREATE TABLE bare (id text, text text, vector vector({vectors.shape[1]}))")
    with con.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as copying:
        copying.set_types(("text", "text", "vector"))
        for each, vector in zip(chunks, vectors, strict=True):
            copying.write_row((each.id, each.text, vector))
    con.execute("ANALYZE bare")

    def search(query: np.ndarray) -> list[str]:
        sql = "SELECT id, text, vector <=> %s FROM bare ORDER BY vector <=> %s LIMIT %s"
        return [row[0] for row in con.execute(sql, (query, query, FOUND))]

    return search


def _bare_qdrant(place: str, chunks: Sequence[Chunk], vectors: np.ndarray) -> Search:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=place)
    client.create_collection("bare", vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE))
    points = [
        models.PointStruct(id=place, vector=vector.tolist(), payload={"id": each.id, "text": each.text})
        for place, (each, vector) in enumerate(zip(chunks, vectors, strict=True))
    ]
    client.upsert("bare", points)

    def search(query: np.ndarray) -> list[str]:
        return [point.payload["id"] for point in client.query_points("bare", query=query.tolist(), limit=FOUND).points]

    return search


BARE: dict[str, Callable[[str, Sequence[Chunk], np.ndarray], Search]] = {
    "lance": _bare_lance,
    "pgvector": _bare_pgvector,
    "qdrant": _bare_qdrant,
}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    for each in prove(int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS):
        print(each, flush=True)
