"""Ingestion beside its bare parts: DuckDB reads the same file, and deltalake writes the same rows, with nothing checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
from deltalake import write_deltalake

import noria as nr
from benchmarks.edges.trial import scratch
from benchmarks.figure import Figure, Proof
from noria.data.ingest import ingest
from noria.stores.tables import DeltaTables

ROWS = 1_000_000
TIMES = 3
QUERY = (
    f"SELECT i AS id, TIMESTAMPTZ '2024-01-01 00:00:00Z' + to_seconds(i) AS at, 'c' || (i * 7919 % 50000) AS customer, "
    f"(i % 997) / 8 AS amount, i % 7 AS items, i % 3 = 0 AS paid FROM range({ROWS}) t(i)"
)


def _seconds(work: Callable[[], Any]) -> float:
    found = []
    for _ in range(TIMES):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return median(found)


def _ours(path: Path) -> None:
    done = ingest(nr.Table("events", nr.files(str(path)), key="id", event_time="at"), DeltaTables(scratch()), path.parent)
    assert done.balance.rows_out["stored"] == ROWS


def _bare(path: Path) -> None:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        rows = con.sql(f"SELECT * FROM read_{'parquet' if path.suffix == '.parquet' else 'csv'}('{path}')").to_arrow_table()
        write_deltalake(str(scratch() / "bare"), rows)


def prove() -> Proof:
    folder = scratch()
    for ending, goal in (("parquet", 12.0), ("csv", 12.0)):
        path = folder / f"events.{ending}"
        with duckdb.connect() as con:
            con.execute("SET TimeZone = 'UTC'")
            form = ", TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ'" if ending == "csv" else ""
            con.execute(f"COPY ({QUERY}) TO '{path}' (FORMAT {ending}{form})")
        ours, bare = _seconds(lambda path=path: _ours(path)), _seconds(lambda path=path: _bare(path))  # type: ignore[misc]
        yield f"# {ROWS:,} rows of {ending}: {ours:.2f} s, {ROWS / ours:,.0f} rows/s; the bare parts {bare:.2f} s"
        yield Figure(f"ingest_{ending}", ours / bare, "times the bare parts, which check and remember nothing", "<=", goal)
