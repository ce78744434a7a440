"""Watermarks of queries: of any type with an order, null or not; no row is left out, and none is stored twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

import noria as nr
from benchmarks.edges.inputs import Input, any_of, refused
from benchmarks.edges.sql_types import execute, server
from benchmarks.edges.trial import Trial, Z, scratch

KIND = "watermarks"
QUERY = "SELECT * FROM orders"


def _rounds(kind: str, *rounds: Sequence[Any], query: str = QUERY, watermark: str = "n", keep: bool = True) -> list[str]:
    """The ids that are stored or held after rounds of rows with these watermarks, each ingested; `keep`: whether old rows stay."""
    sqlite3.register_converter("NUMERIC", lambda text: Decimal(text.decode()))  # so that SQLite gives decimals, as PostgreSQL does
    path = scratch() / "app.db"
    trial = Trial(source=nr.sql(query, url=f"sqlite:///{path}?detect_types=1", watermark=watermark))
    count = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute(f"CREATE TABLE orders (id TEXT, at TEXT, n {kind})")
        for values in rounds:
            if not keep:
                con.execute("DELETE FROM orders")
            for value in values:
                con.execute("INSERT INTO orders VALUES (?, ?, ?)", (f"o{count}", Z, value))
                count += 1
            trial.ingest()
    return sorted([*(row["id"] for row in trial.rows()), *(str(row["id"] or row["_raw"]) for row in trial.held())])


def _ids(count: int) -> list[str]:
    return [f"o{i}" for i in range(count)]


SQLITE: list[tuple[str, str, list[list[Any]], dict[str, Any], Any]] = [
    ("whole numbers", "INTEGER", [[1, 2], [3]], {}, _ids(3)),
    ("a NULL after numbers", "INTEGER", [[1], [None]], {}, _ids(2)),
    ("a NULL first", "INTEGER", [[None], [1]], {}, _ids(2)),
    ("NULL alone", "INTEGER", [[None], [None]], {}, _ids(2)),
    ("equal to the last one", "INTEGER", [[1, 2], [2, 2]], {}, _ids(4)),
    ("decimals", "NUMERIC", [["1.5"], ["2.25"]], {}, _ids(2)),
    ("decimals of a NULL", "NUMERIC", [["1.5"], [None]], {}, _ids(2)),
    ("decimals of many digits", "NUMERIC", [["12345678901234567.1"], ["12345678901234567.2"]], {}, _ids(2)),
    ("floats", "REAL", [[0.1, 0.3], [0.3, 0.4]], {}, _ids(4)),
    ("infinity", "REAL", [[1.0, float("inf")], [2.0]], {}, _ids(3)),
    ("beyond 2^53", "INTEGER", [[2**53], [2**53 + 1]], {}, _ids(2)),
    ("the ends of 64 bits", "INTEGER", [[-(2**63)], [2**63 - 1], [2**63 - 1]], {}, _ids(3)),
    ("texts", "TEXT", [["a"], ["b"]], {}, _ids(2)),
    ("times as texts", "TEXT", [[Z], ["2024-01-02T00:00:00Z"]], {}, _ids(2)),
    ("quotes in texts", "TEXT", [["a'b"], ["b'; --"]], {}, _ids(2)),
    ("bytes", "BLOB", [[b"\x01"], [b"\x02"]], {}, _ids(2)),
    ("truth values", "INTEGER", [[0], [1]], {}, _ids(2)),
    ("old rows deleted", "INTEGER", [[1, 2], [3], [4]], {"keep": False}, _ids(4)),
    ("texts and numbers", "", [[1, "a"]], {}, refused("NR-222")),
    ("texts after numbers", "", [[1], ["a"]], {}, refused("NR-222")),
    ("a column that is not there", "INTEGER", [[1]], {"watermark": "nn"}, refused("NR-203", "NR-222")),
    ("an empty name", "INTEGER", [[1]], {"watermark": ""}, refused("NR-222")),
    ("a name in quotes", "INTEGER", [[1], [2]], {"query": 'SELECT id, at, n AS "a ""b""" FROM orders', "watermark": 'a "b"'}, _ids(2)),
    ("a word of SQL", "INTEGER", [[1], [2]], {"query": 'SELECT id, at, n AS "select" FROM orders', "watermark": "select"}, _ids(2)),
    ("a name with a colon", "INTEGER", [[1], [2]], {"query": 'SELECT id, at, n AS "a:b" FROM orders', "watermark": "a:b"}, _ids(2)),
    ("a comment at the end of the query", "INTEGER", [[1], [2]], {"query": f"{QUERY} -- all"}, _ids(2)),
    ("a grouped query", "INTEGER", [[1], [2]], {"query": "SELECT id, max(at) AS at, max(n) AS n FROM orders GROUP BY id"}, _ids(2)),
    ("no rows, then some", "INTEGER", [[1], [], [2]], {}, _ids(2)),
]

MORE = {
    "floats",
    "beyond 2^53",
    "the ends of 64 bits",
    "texts",
    "bytes",
    "truth values",
    "a name with a colon",
    "a comment at the end of the query",
}

# The SQL of watermarks on three days of PostgreSQL.
POSTGRES: dict[str, tuple[str, list[str]]] = {
    "NUMERIC(10, 2)": ("NUMERIC(10, 2)", ["1.50", "NULL", "1.51"]),
    "NUMERIC": ("NUMERIC", ["1", "1.000000000000000000001", "2"]),
    "TIMESTAMPTZ": ("TIMESTAMPTZ", ["'2024-01-01Z'", "NULL", "'2024-01-01 00:00:00.000001Z'"]),
    "TIMESTAMP": ("TIMESTAMP", ["'2024-01-01'", "'2024-01-01'", "'2024-01-02'"]),
    "an infinite time": ("TIMESTAMPTZ", ["'2024-01-01Z'", "'infinity'", "'2024-01-02Z'"]),
    "DATE": ("DATE", ["'2024-01-01'", "NULL", "'2024-01-02'"]),
    "UUID": ("UUID", ["'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'", "NULL"]),
    "BIGINT": ("BIGINT", ["9007199254740992", "9007199254740993", "NULL"]),
    "NaN": ("DOUBLE PRECISION", ["1", "'NaN'", "2"]),
    "BYTEA": ("BYTEA", ["'\\x01'", "'\\x02'", "NULL"]),
    "TEXT": ("TEXT", ["'a'", "'b'", "NULL"]),
}


def _postgres(kind: str, values: Sequence[str]) -> list[str]:
    execute("DROP TABLE IF EXISTS orders", f"CREATE TABLE orders (id TEXT, at TIMESTAMPTZ, n {kind})")
    trial = Trial(source=nr.sql(QUERY, url=server(), watermark="n"))
    for i, value in enumerate(values):
        execute(f"INSERT INTO orders VALUES ('o{i}', '{Z}', {value})")
        trial.ingest()
    return sorted([*(row["id"] for row in trial.rows()), *(_id_of(row) for row in trial.held())])


def _id_of(held: dict[str, str | None]) -> str:
    return held.get("id") or str(held["_raw"]).split('"id": "')[1].split('"')[0]


def inputs() -> Iterator[Input]:
    for name, kind, rounds, more, right in SQLITE:
        yield Input(KIND, name, lambda kind=kind, rounds=rounds, more=more: _rounds(kind, *rounds, **more), right, slow=name in MORE)
    for name, (kind, values) in POSTGRES.items():
        right = any_of(_ids(3), refused("NR-222")) if name == "UUID" else _ids(3)
        yield Input(KIND, f"PostgreSQL's {name}", lambda kind=kind, values=values: _postgres(kind, values), right, slow=True)
