"""Flips bits and cuts tails of a table's and an online store's files, and reads them again: other values, or silence?

    python -m benchmarks.features.bit_rot ROUNDS     prints {"refused", "harmless", "crashed", "wrong"}

Each reading is a forked child, since a damaged tree may crash its reader (which is noticed). This process itself never opens
a table: the table library does not work in the forked children of a process that has used it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.features.events import LATEST, SPAN, START, TABLE, events
from noria.core.clock import from_epoch
from noria.core.errors import NoriaError
from noria.data.ingest import current, push
from noria.features.materialize import Materializer
from noria.features.online import OnlineFeatures
from noria.stores.online import LmdbStore
from noria.stores.tables import DeltaTables

ENTITIES = 400  # enough for a tree with branches
PARTS = ("snapshot", "rows", "state", "values")
LOCKS = ("lock.mdb", ".facts.lock")


def prepare(folder: Path) -> None:
    tables, store = DeltaTables(folder / "tables"), LmdbStore(folder / "online")
    push(TABLE, tables, events(4_000, entities=ENTITIES))
    push(TABLE, tables, events(4_500, entities=ENTITIES))
    Materializer(store, tables).run(LATEST, from_epoch(START + SPAN))
    store.close()


def contents(folder: Path) -> str:
    """Everything that a table and an online store serve, as a hash of each part; or that they refuse."""
    try:
        tables = DeltaTables(folder / "tables")
        snapshot = current(TABLE, tables)
        rows = tables.read("facts", snapshot.version)
        parts = [repr(snapshot).encode(), repr(rows.to_pydict()).encode()]
        store = LmdbStore(folder / "online")
        features = OnlineFeatures(store, [LATEST])
        features.verify()
        parts.append(repr(features.state(LATEST)).encode())
        parts.append(features.read([[str(i).encode() for i in range(ENTITIES)]], from_epoch(START + SPAN))[0].values.tobytes())
        store.close()
        return " ".join(hashlib.sha256(part).hexdigest() for part in parts)
    except NoriaError:
        return "refused"


def contents_in_child(folder: Path) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            os.write(write, contents(folder).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer or "crashed"


def damage(path: Path, rng: random.Random, *, truncate: bool) -> str:
    """Damage a file; returns how, in words."""
    data = bytearray(path.read_bytes())
    place, bit = rng.randrange(max(1, len(data))), rng.randrange(8)
    if truncate:
        data = data[:place]
    elif data:
        data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"{path.name} of {len(data)} bytes cut at {place}" if truncate else f"{path.name}: bit {bit} of byte {place} flipped"


def rounds(count: int) -> dict[str, int]:
    rng, found = random.Random(7), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        whole, damaged = Path(scratch) / "whole", Path(scratch) / "damaged"
        subprocess.run([sys.executable, "-m", "benchmarks.features.bit_rot", "--prepare", str(whole)], check=True)
        expected = contents_in_child(whole)
        assert expected not in ("refused", "crashed"), expected
        files = sorted(p for p in whole.rglob("*") if p.is_file() and p.name not in LOCKS)
        for i in range(count):
            shutil.copytree(whole, damaged)
            how = damage(damaged / rng.choice(files).relative_to(whole), rng, truncate=i % 5 == 0)
            answer = contents_in_child(damaged)
            kind = answer if answer in ("refused", "crashed") else "harmless" if answer == expected else "wrong"
            found[kind] += 1
            if kind == "wrong":
                differing = [name for name, a, b in zip(PARTS, answer.split(), expected.split(), strict=True) if a != b]
                print(f"wrong {', '.join(differing)}: {how}", file=sys.stderr)
            shutil.rmtree(damaged)
    return {kind: found[kind] for kind in ("refused", "harmless", "crashed", "wrong")}


if __name__ == "__main__":
    if sys.argv[1] == "--prepare":
        prepare(Path(sys.argv[2]))
    else:
        print(json.dumps(rounds(int(sys.argv[1]))))
