"""A hundred builders of each store are killed (SIGKILL) at random moments: the version before always serves, and the build succeeds again.

Of Weaviate and Pinecone, twenty each, against servers of the tests that speak their protocols, which go on when a builder dies.

python -m benchmarks.llm.kills [kills [store …]]
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.figure import Figure, Proof
from benchmarks.llm.stocked import SERVED, STORES, chunks_of, hosted, postgres, store_of, unit
from noria.llm.chunking import Chunk
from noria.llm.index import IndexStore

KILLS, KILLS_SERVED = 100, 20
CHUNKS, DIMENSION = 200, 32
SWEPT_EVERY = 10  # kills
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a kill is no power cut: what was written is there, on whatever disk
OLD, VECTORS = chunks_of(CHUNKS, "old"), unit(CHUNKS, DIMENSION)


def prove(count: int | None = None, kinds: Sequence[str] = (*STORES, *SERVED)) -> Proof:
    os.environ["PYTHONWARNINGS"] = "ignore:lancedb fork support"  # builders are forked from a process that has used nothing yet
    multiprocessing.set_forkserver_preload(["benchmarks.llm.stocked", "benchmarks.llm.preloaded"])
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, postgres(Path(folder)) as url:
        for kind in kinds:
            if kind in SERVED:
                with hosted(kind) as address:
                    yield from _kills(kind, address, count or KILLS_SERVED)
            else:
                yield from _kills(kind, url if kind == "pgvector" else str(Path(folder) / kind), count or KILLS)


def _kills(kind: str, place: str, count: int) -> Proof:
    with _opened(kind, place) as store:
        store.write("old", _content(None), VECTORS)
    usual = _killed(kind, place, -2, None)
    draw, served, unfinished, whole, again = random.Random(0), 0, 0, 0, 0
    for number in range(count):
        _killed(kind, place, number, draw.uniform(0, 1.2 * usual))
        with _opened(kind, place) as store:
            served += _serves(store, "old", None)
            there = f"new-{number}" in store.versions()
            unfinished += not there
            whole += _serves(store, f"new-{number}", number) if there else _unseen(store, number)
            if not there:
                store.write(f"new-{number}", _content(number), VECTORS)
            again += _serves(store, f"new-{number}", number)
            if number % SWEPT_EVERY == SWEPT_EVERY - 1:
                _tidied(store)
    yield f"# {kind}: a build takes {usual:.2f} s; {unfinished} of {count} builders were killed before their version was complete"
    yield Figure(f"kills_{kind}_old_version_serves", served, f"of {count} kills", "=", count)
    yield Figure(f"kills_{kind}_new_version_whole_or_unseen", whole, f"of {count} kills", "=", count)
    yield Figure(f"kills_{kind}_new_version_there_after_building_again", again, f"of {count} kills", "=", count)


def _content(number: int | None) -> list[Chunk]:
    """The chunks of a version: every fourth build changes every fourth of them, the others all."""
    changed = range(0, CHUNKS, 4 if number is not None and number % 4 == 3 else 1) if number is not None else ()
    return [replace(each, text=f"new{number} {each.text}") if place in changed else each for place, each in enumerate(OLD)]


def _unseen(store: IndexStore, number: int) -> bool:
    return not any(store.open(each).search_words(f"new{number}", 5) for each in store.versions())


def _tidied(store: IndexStore) -> None:
    """Drop all but the old version, so that the store does not grow with the kills."""
    for version in store.versions():
        if version != "old":
            store.drop(version)
    getattr(store, "sweep", lambda: None)()


def _serves(store: IndexStore, version: str, number: int | None) -> bool:
    index, wanted = store.open(version), _content(number)
    found = index.search(unit(1, DIMENSION)[0], 2 * CHUNKS)
    return {(hit.chunk.id, hit.chunk.text) for hit in found} == {(each.id, each.text) for each in wanted} and len(found) == CHUNKS


@contextmanager
def _opened(kind: str, place: str) -> Iterator[IndexStore]:
    store = store_of(kind, place)
    try:
        yield store
    finally:
        store.close()


def _killed(kind: str, place: str, number: int, after: float | None) -> float:
    """Start a builder, and kill it so many seconds after it has begun, or when it is done; after how many seconds that was."""
    here, there = multiprocessing.Pipe()
    builder = multiprocessing.get_context("forkserver").Process(target=_builds, args=(kind, place, number, there))
    builder.start()
    here.recv()
    begin = time.perf_counter()
    here.poll(after)
    took = time.perf_counter() - begin
    assert builder.pid is not None
    os.kill(builder.pid, signal.SIGKILL)
    builder.join()
    return took


def _builds(kind: str, place: str, number: int, begun: Connection) -> None:
    store, chunks = store_of(kind, place), _content(number)
    begun.send(True)
    store.write(f"new-{number}", chunks, VECTORS)
    begun.send(True)
    time.sleep(60)


def main(arguments: Sequence[str]) -> None:
    for each in prove(int(arguments[0]) if arguments else None, arguments[1:] or (*STORES, *SERVED)):
        print(each, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
