"""Data and features: point-in-time joins and the online store beside what they are built on and beside Feast; online equals
offline on the flights; nothing lost, doubled or silently wrong when processes are killed and bits flip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import lmdb
import numpy as np
import pyarrow as pa

from benchmarks.features import flights
from benchmarks.features.events import FEATURES, LATEST, SPAN, START, TABLE, events, facts, spine
from benchmarks.figure import Figure, Proof
from benchmarks.peers import peer_python
from noria.core.clock import from_epoch
from noria.data.ingest import push
from noria.features.materialize import Materializer
from noria.features.online import Layout, OnlineFeatures
from noria.features.point_in_time import PointInTime
from noria.stores.online import LmdbStore
from noria.stores.tables import DeltaTables

HERE = Path(__file__).parent
ROWS = 1_000_000
FEAST = ("feast[duckdb]==0.67.0", "setuptools<81")


def prove() -> Proof:
    yield from joins()
    yield from large_join()
    yield from online()
    yield from small_appends()
    yield from bit_rot()
    yield from crashes()
    with tempfile.TemporaryDirectory() as scratch:
        yield from flights.prove(Path(scratch))


def _seconds(work: Callable[[], Any], times: int = 5) -> float:
    work()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return median(found)


# --- joins --------------------------------------------------------------------------------------------------------------


def joins() -> Proof:
    asked = spine(ROWS)
    for name, table, goal in (
        ("join_in_order", events(ROWS), 1.7),
        ("join_late_and_corrected", events(ROWS, late=0.05, corrected=0.025), 3.3),
    ):
        known = facts(table)
        mine = _seconds(lambda known=known: PointInTime([known]).join(asked, [LATEST]))  # type: ignore[misc]
        bare = _seconds(lambda table=table: _bare_asof(table, asked))  # type: ignore[misc]
        yield f"# {name}: {mine:.3f} s, DuckDB's bare ASOF join {bare:.3f} s"
        yield Figure(name, mine / bare, "times the bare ASOF join", "<=", goal)
    yield from _against_feast()


def _bare_asof(table: pa.Table, asked: pa.Table) -> pa.Table:
    columns = ", ".join(f"f.{name}" for name in FEATURES)
    with duckdb.connect() as con:
        con.register("facts", table)
        con.register("spine", asked)
        return con.sql(
            f"SELECT s.entity, s._at, {columns} FROM spine s ASOF LEFT JOIN facts f ON s.entity = f.entity AND s._at >= f.happened"
        ).to_arrow_table()


def _against_feast() -> Proof:
    """Feast joins every fact within the TTL, then drops all but the newest: its work grows with the facts of an entity, ours does not."""
    python = peer_python("feast", FEAST)
    if python is None:
        yield "# feast can't be installed here: not compared"
        return
    for entities in (50_000, 10_000):
        known, asked = facts(events(ROWS, entities=entities)), spine(ROWS, entities=entities)
        ours = _seconds(lambda known=known, asked=asked: PointInTime([known]).join(asked, [LATEST]))  # type: ignore[misc]
        peer = [str(python), str(HERE / "peer_feast.py"), str(ROWS), str(entities)]
        done = subprocess.run(peer, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            yield f"# feast did not run: {done.stderr.strip().splitlines()[-1:]}"
            return
        found = json.loads(done.stdout.splitlines()[-1])
        ratio = found["seconds"] / ours
        each = f"{ROWS // entities} facts an entity"
        yield f"# {each}: Feast (DuckDB) {found['seconds']:.1f} s, {found['rows']:,} rows; ours {ours:.3f} s: {ratio:.1f}x"
    yield Figure("join_against_feast", ratio, f"times as fast as Feast at {each}", ">=", 10)


def large_join() -> Proof:
    """Ten million by ten million, in a process of its own whose peak memory is measured."""
    code = (
        "from benchmarks.features.events import *; from noria.features.point_in_time import PointInTime; import time;"
        "f, s = facts(events(10_000_000, late=0.05, entities=500_000)), spine(10_000_000, entities=500_000); t = time.perf_counter();"
        "n = PointInTime([f]).join(s, [LATEST]).num_rows; assert n == 10_000_000; print(time.perf_counter() - t)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seconds = float(process.stdout.read() or "inf")
    _, status, usage = os.wait4(process.pid, 0)
    yield f"# 10M x 10M x 10 features, 5 % late: {seconds:.1f} s, data included in the memory"
    yield Figure("large_join_memory", usage.ru_maxrss / 1e6 if status == 0 else float("inf"), "GB", "<=", 8)


# --- online -------------------------------------------------------------------------------------------------------------


def online() -> Proof:
    count = 300_000
    rng = np.random.default_rng(2)
    table = events(count).set_column(0, "entity", pa.array(np.arange(count)))
    with tempfile.TemporaryDirectory() as scratch:
        tables, store = DeltaTables(Path(scratch) / "tables"), LmdbStore(Path(scratch) / "online")
        push(TABLE, tables, table)
        at = from_epoch(START + SPAN)
        materializer = Materializer(store, tables)
        materializer.stale(LATEST)
        start = time.perf_counter()
        done = materializer.run(LATEST, at)
        seconds = time.perf_counter() - start
        yield Figure("materialise", done.changed / seconds, "rows/s (table read included)", ">=", 200_000)
        features, prefix = OnlineFeatures(store, [LATEST]), Layout(LATEST).prefix
        asked = [[str(int(n)).encode() for n in rng.integers(0, count, 100)] for _ in range(3000)]
        mine, bare = [], []
        environment: lmdb.Environment = store._env
        for keys in asked:
            start = time.perf_counter()
            features.read([keys], at)
            mine.append(time.perf_counter() - start)
            names = [prefix + key for key in keys]
            start = time.perf_counter()
            with environment.begin() as reading:
                [reading.get(name) for name in names]
            bare.append(time.perf_counter() - start)
        store.close()
    yield f"# 100 entities x 10 features: {1e3 * median(mine):.3f} ms, bare LMDB {1e3 * median(bare):.3f} ms"
    yield Figure("multi_get", 1e3 * median(mine), "ms", "<", 0.2)


def small_appends() -> Proof:
    """Ten thousand one-row appends beside the same rows in one: reading may not crawl."""
    with tempfile.TemporaryDirectory() as scratch:
        store = DeltaTables(Path(scratch))
        row = events(1)
        start = time.perf_counter()
        for i in range(10_000):
            store.append("many", row, {"i": i})
        yield f"# 10,000 one-row appends: {time.perf_counter() - start:.0f} s"
        store.append("one", events(10_000), {})
        many, one = (_seconds(lambda n=n: DeltaTables(Path(scratch)).read_or_none(n), 3) for n in ("many", "one"))  # type: ignore[misc]
        yield f"# reading them: {many:.3f} s, the same in one append {one:.3f} s"
        yield Figure("read_after_small_appends", many, "s", "<=", 1.0)
        yield Figure("rows_after_small_appends", store.count("many"), "", "=", 10_000)


# --- faults -------------------------------------------------------------------------------------------------------------


def bit_rot() -> Proof:
    """Flips and truncations of the files of a table and of an online store: other values served, or damage not noticed."""
    found = _in_process("benchmarks.features.bit_rot", "2500")
    yield f"# bit rot, 2,000 flips and 500 truncations: {found}"
    yield Figure("bit_rot_rounds", found["refused"] + found["harmless"] + found["crashed"] + found["wrong"], "", "=", 2500)
    yield Figure("bit_rot_refused", found["refused"], "", ">=", 800)
    yield Figure("bit_rot_wrong_values_served", found["wrong"], "", "=", 0)


def _in_process(module: str, *arguments: str) -> dict[str, float]:
    """The JSON that a module of proofs prints, run in a process of its own."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def crashes() -> Proof:
    """SIGKILL of ingest, materialise and compaction, at random moments and at each boundary, each rerun three times."""
    for stage in ("ingest", "materialize", "compact"):
        found = _in_process("benchmarks.features.crash", stage, "100")
        yield Figure(f"kills_during_{stage}", found["random"], "at random moments", ">=", 100)
        yield Figure(f"kills_at_boundaries_of_{stage}", found["boundary"], "", ">=", 100)
        yield Figure(f"killed_{stage}_differing", found["differing"], "", "=", 0)
        yield Figure(f"killed_{stage}_rows_unaccounted", found["lost"], "", "=", 0)
