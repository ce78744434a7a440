"""A CSV file of thirty million rows: `python -m benchmarks.edges.large FOLDER`, which writes it, or ingests it in a process to be measured.

Its column of amounts holds whole numbers for 29 million rows, then decimals; a thousand rows at the end have words in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb

import noria as nr
from benchmarks.edges.trial import scratch
from benchmarks.figure import Figure, Proof
from noria.data.ingest import ingest
from noria.stores.tables import DeltaTables

ROWS = 30_000_000
BAD = 1_000  # rows whose amount is a word
AMOUNT = f"CASE WHEN i >= {ROWS - BAD} THEN 'word' WHEN i < 29000000 THEN (i % 1000)::VARCHAR ELSE (i % 1000)::VARCHAR || '.5' END"


def write(path: Path) -> None:
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT i AS id, strftime(TIMESTAMP '2024-01-01' + to_seconds(i), '%Y-%m-%dT%H:%M:%SZ') AS at, "
            f"{AMOUNT} AS amount, 'c' || (i * 7919 % 1000000) AS customer FROM range({ROWS}) t(i)) TO '{path}' (HEADER)"
        )


def run(folder: Path) -> dict[str, float]:
    """Ingest the file, and say what became of it."""
    start = time.perf_counter()
    store = DeltaTables(folder / "tables")
    table = nr.Table("events", nr.files("large.csv", types={"amount": "DOUBLE"}), key="id", event_time="at")
    rows_out = ingest(table, store, folder).balance.rows_out
    seconds = time.perf_counter() - start
    version = store.latest("events")
    assert version is not None
    with duckdb.connect() as con:
        con.register("events", store.scan("events", version))
        rows = con.sql("SELECT count(DISTINCT id), sum(amount::DECIMAL(18, 1))::DOUBLE, count(DISTINCT customer) FROM events").fetchall()
    [(ids, total, customers)] = rows
    return {"seconds": seconds, **rows_out, "ids": ids, "total": total, "customers": customers}


def expected_total() -> float:
    """The sum of the amounts that are numbers."""
    whole = sum(range(1000)) * (ROWS // 1000 - 1)  # the last thousand rows have none
    return whole + 0.5 * (ROWS - BAD - 29_000_000)


def prove() -> Proof:
    folder = scratch()
    write(folder / "large.csv")
    size = (folder / "large.csv").stat().st_size / 1e9
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.edges.large", str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    found = json.loads(text.splitlines()[-1]) if status == 0 else {"seconds": float("inf")}
    (folder / "large.csv").unlink()
    yield f"# {ROWS:,} rows of CSV, {size:.2f} GB: {found['seconds']:.0f} s"
    right = (found.get("stored"), found.get("quarantined"), found.get("ids"), found.get("total"))
    yield Figure("large_file_rows_right", float(right == (ROWS - BAD, BAD, ROWS - BAD, expected_total())), "", "=", 1)
    yield Figure("large_file_memory", usage.ru_maxrss / 1e6 if status == 0 else float("inf"), "GB", "<=", 6)


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
