"""Kills a stage at random moments and at its boundaries, reruns it three times, and compares the end with an undisturbed run.

python -m benchmarks.features.crash STAGE KILLS     kills it KILLS times in each way; prints {"random", "boundary", "differing", "lost"}
python -m benchmarks.features.crash --run STAGE FOLDER N TIMES     runs the stage so often; at its N-th boundary it kills itself
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import noria as nr
from benchmarks.features.events import SPAN, START, events
from noria.core.clock import from_epoch
from noria.core.files import AppendFile, LocalFiles
from noria.data.ingest import ingest, quarantine_of
from noria.features.materialize import Materializer
from noria.features.online import Layout
from noria.stores.online import LmdbStore
from noria.stores.tables import DeltaTables

TABLE = nr.Table(
    "facts",
    nr.files("data/*.parquet"),
    key=("entity", "happened"),
    event_time="happened",
    known_at="known",
    contract=nr.Contract(between={"v0": (-1.5, 1.5)}),
)
VIEW = nr.FeatureView(
    "recent", TABLE, entity="entity", aggregate={"n": nr.count(window="3d"), "mean": nr.mean("v1", window="3d")}, latest=["v2"], ttl="9d"
)
EARLY, LATE = from_epoch(START + SPAN // 2), from_epoch(START + SPAN)


class Killed:
    """Counts the boundaries that are passed, and kills this process at the n-th (0: at none)."""

    def __init__(self, n: int) -> None:
        self.passed, self._n = 0, n

    def __call__(self) -> None:
        self.passed += 1
        if self.passed == self._n:
            os.kill(os.getpid(), signal.SIGKILL)


class KilledFiles(LocalFiles):
    def __init__(self, killed: Killed) -> None:
        self._killed = killed

    def append(self, path: Path) -> AppendFile:
        self._killed()
        return super().append(path)

    def write(self, path: Path, data: bytes) -> None:
        self._killed()
        super().write(path, data)


def run(stage: str, folder: Path, nth: int) -> int:
    """Run a stage; returns how many boundaries it passed: before and after each commit, write and sync of a file."""
    killed = Killed(nth)
    tables = DeltaTables(folder / "tables", KilledFiles(killed))
    append = tables.append

    def boundary(name: str, rows: pa.Table, facts: dict[str, object]) -> int:
        killed()
        version = append(name, rows, facts)
        killed()
        return version

    tables.append = boundary  # type: ignore[method-assign, assignment]
    if stage == "ingest":
        ingest(TABLE, tables, folder)
    elif stage == "compact":
        killed()
        tables.compact("facts")
        killed()
    else:
        store = LmdbStore(folder / "online")
        write = store.write

        def between(records: object) -> None:
            killed()
            write(records)  # type: ignore[arg-type]
            killed()

        store.write = between  # type: ignore[method-assign, assignment]
        Materializer(store, tables).run(VIEW, LATE)
        store.close()
    return killed.passed


def prepare(stage: str, folder: Path) -> None:
    """A folder in which the stage has something to do: a table with a first half, and the second half to come."""
    (folder / "data").mkdir(parents=True)
    rows = events(4_000, late=0.1, corrected=0.1, entities=60)
    pq.write_table(rows.slice(0, 2_000), folder / "data" / "a.parquet")
    tables = DeltaTables(folder / "tables")
    ingest(TABLE, tables, folder)
    store = LmdbStore(folder / "online")
    Materializer(store, tables).run(VIEW, EARLY)
    store.close()
    pq.write_table(rows.slice(2_000), folder / "data" / "b.parquet")
    if stage != "ingest":
        ingest(TABLE, tables, folder)


def digest(folder: Path) -> str:
    """What a reader sees: rows, quarantine, online records."""
    found = hashlib.sha256()
    tables = DeltaTables(folder / "tables")
    for name in ("facts", quarantine_of(TABLE)):
        rows = tables.read_or_none(name)
        found.update(repr(None if rows is None else rows.to_pydict()).encode())
    store = LmdbStore(folder / "online")
    for record in store.scan(Layout(VIEW).prefix):
        found.update(repr(record).encode())
    store.close()
    return found.hexdigest()


def unaccounted(folder: Path) -> int:
    """Distinct source rows less stored and quarantined ones."""
    tables = DeltaTables(folder / "tables")
    source = pa.concat_tables([pq.read_table(p) for p in sorted((folder / "data").glob("*.parquet"))])
    rows = source.group_by(source.column_names).aggregate([]).num_rows
    return abs(rows - tables.count("facts") - tables.count(quarantine_of(TABLE)))


def rounds(stage: str, count: int) -> dict[str, float]:
    rng = random.Random(11)
    with tempfile.TemporaryDirectory() as scratch:
        start, twin = Path(scratch) / "start", Path(scratch) / "twin"
        prepare(stage, start)
        shutil.copytree(start, twin)
        boundaries = run(stage, Path(shutil.copytree(start, Path(scratch) / "counted")), 0)
        begun = time.perf_counter()
        _spawn(stage, twin, 0).wait()
        whole = time.perf_counter() - begun
        expected = digest(twin)
        kills = {"random": 0, "boundary": 0}
        differing = lost = turn = 0
        while min(kills.values()) < count and turn < 12 * count:
            turn += 1
            way = min(kills, key=lambda w: kills[w])
            folder = Path(scratch) / "round"
            shutil.copytree(start, folder)
            process = _spawn(stage, folder, 1 + kills["boundary"] % boundaries if way == "boundary" else 0)
            if way == "random":
                time.sleep(rng.uniform(0.35, 1.0) * whole)
                process.kill()
            kills[way] += process.wait() == -signal.SIGKILL
            assert _spawn(stage, folder, 0, times=3).wait() == 0
            differing += digest(folder) != expected
            lost += unaccounted(folder)
            shutil.rmtree(folder)
    return {**kills, "differing": differing, "lost": lost}


def _spawn(stage: str, folder: Path, nth: int, times: int = 1) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.features.crash", "--run", stage, str(folder), str(nth), str(times)]
    return subprocess.Popen(command)


if __name__ == "__main__":
    if sys.argv[1] == "--run":
        for _ in range(int(sys.argv[5])):
            run(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        print(json.dumps(rounds(sys.argv[1], int(sys.argv[2]))))
