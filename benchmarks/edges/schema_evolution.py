"""Days of one feed: what a day happens to lack or have never blocks the next, and widens a column only where nothing is lost."""

# ruff: noqa: DTZ001 - times without a zone are among the inputs
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa

from benchmarks.edges.inputs import Held, Input, any_of, refused
from benchmarks.edges.trial import Trial, Z, moments

KIND = "schema evolution"

# The text of a column on three days, and its values afterwards; no day is refused, and no row.
CSV_DAYS: dict[str, tuple[list[str], list[Any]]] = {
    "whole numbers after decimals": (["2.5", "3", "4"], [2.5, 3.0, 4.0]),
    "decimals after whole numbers": (["2", "3.5", "4"], [2.0, 3.5, 4.0]),
    "empty in between": (["2.5", "", "3.5"], [2.5, None, 3.5]),
    "empty first": (["", "", "3.5"], [None, None, 3.5]),
    "empty first, then a text": (["", "x", "5"], [None, "x", "5"]),
    "an hour on the second day": (
        ["2024-01-01", "2024-01-02 17:30:00", "2024-01-03"],
        [datetime(2024, 1, 1), datetime(2024, 1, 2, 17, 30), datetime(2024, 1, 3)],
    ),
    "days in a column of times": (["2024-01-01 10:00:00", "2024-01-02", ""], [datetime(2024, 1, 1, 10), datetime(2024, 1, 2), None]),
    "a long number later": (["1", str(2**63), "2"], [Decimal(1), Decimal(2**63), Decimal(2)]),
    "numbers in a column of texts": (["x", "7", "007"], ["x", "7", "007"]),
    "a sign for null later": (["1", "NA", "2"], [1, None, 2]),
    "infinity later": (["1.5", "inf", "-inf"], [1.5, math.inf, -math.inf]),
    "true and false, then nothing": (["true", "", "false"], [True, None, False]),
}

# The arrays of a Parquet column on two days, and its values.
PARQUET_DAYS: dict[str, tuple[pa.Array, pa.Array, list[Any]]] = {
    "int32 after int64": (pa.array([1], pa.int64()), pa.array([2], pa.int32()), [1, 2]),
    "int64 after int32": (pa.array([1], pa.int32()), pa.array([2**40], pa.int64()), [1, 2**40]),
    "int64 after uint8": (pa.array([1], pa.uint8()), pa.array([-1], pa.int64()), [1, -1]),
    "uint64 after int64": (pa.array([-1], pa.int64()), pa.array([2**64 - 1], pa.uint64()), [Decimal(-1), Decimal(2**64 - 1)]),
    "nulls after floats": (pa.array([1.5]), pa.nulls(1), [1.5, None]),
    "floats after nulls": (pa.nulls(1), pa.array([1.5]), [None, 1.5]),
    "float after whole numbers": (pa.array([1], pa.int64()), pa.array([1.5]), [1.0, 1.5]),
    "whole numbers after floats": (pa.array([1.5]), pa.array([2], pa.int64()), [1.5, 2.0]),
    "float32 after float64": (pa.array([0.1]), pa.array([0.5], pa.float32()), [0.1, 0.5]),
    "decimals of more digits": (
        pa.array([Decimal("9.99")], pa.decimal128(3, 2)),
        pa.array([Decimal("129.50")], pa.decimal128(5, 2)),
        [Decimal("9.99"), Decimal("129.50")],
    ),
    "decimals of a finer scale": (
        pa.array([Decimal("9.5")], pa.decimal128(3, 1)),
        pa.array([Decimal("9.255")], pa.decimal128(4, 3)),
        [Decimal("9.5"), Decimal("9.255")],
    ),
    "decimal after whole numbers": (
        pa.array([1], pa.int64()),
        pa.array([Decimal("1.5")], pa.decimal128(3, 1)),
        [Decimal(1), Decimal("1.5")],
    ),
    "naive milliseconds after microseconds": (
        pa.array([datetime(2024, 1, 1)], pa.timestamp("us")),
        pa.array([datetime(2024, 1, 2)], pa.timestamp("ms")),
        [datetime(2024, 1, 1), datetime(2024, 1, 2)],
    ),
    "another zone": (
        pa.array([datetime(2024, 1, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
        pa.array([datetime(2024, 1, 2, tzinfo=UTC)], pa.timestamp("ns", tz="Europe/Berlin")),
        [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)],
    ),
    "a time after dates": (
        pa.array([date(2024, 1, 1)]),
        pa.array([datetime(2024, 1, 2, 5)], pa.timestamp("us")),
        [datetime(2024, 1, 1), datetime(2024, 1, 2, 5)],
    ),
    "categories after texts": (pa.array(["a"]), pa.array(["b"]).dictionary_encode(), ["a", "b"]),
    "large texts after texts": (pa.array(["a"]), pa.array(["b"], pa.large_string()), ["a", "b"]),
    "longer fixed lists": (pa.array([[1, 2]], pa.list_(pa.int64(), 2)), pa.array([[1, 2, 3]], pa.list_(pa.int64())), [[1, 2], [1, 2, 3]]),
    "a list of nulls": (pa.array([[1.5]]), pa.array([[None]], pa.list_(pa.null())), [[1.5], [None]]),
}

HEAD = "id,v,at\n"


@cache
def _csv_days() -> dict[str, list[Any]]:
    names = [f"c{i}" for i in range(len(CSV_DAYS))]
    trial = Trial()
    for day in range(3):
        line = ",".join([f"r{day}", Z, *(texts[day] for texts, _ in CSV_DAYS.values())])
        trial.write(f"d{day}.csv", ",".join(["id", "at", *names]) + "\n" + line + "\n").ingest()
    return dict(zip(CSV_DAYS, trial.columns(names, ["r0", "r1", "r2"]).values(), strict=True))


@cache
def _parquet_days() -> dict[str, list[Any]]:
    names = [f"c{i}" for i in range(len(PARQUET_DAYS))]
    trial = Trial()
    for day in range(2):
        columns = dict(zip(names, (arrays[day] for arrays in PARQUET_DAYS.values()), strict=True))
        trial.write(f"d{day}.parquet", pa.table({"id": [day], "at": moments(1), **columns})).ingest()
    return dict(zip(PARQUET_DAYS, trial.columns(names, [0, 1]).values(), strict=True))


def _days(contents: Sequence[str], ending: str = "csv", **declared: Any) -> Trial:
    """A table after days of files, each ingested on its day; a day's file that is refused is told of."""
    trial = Trial(**declared)
    for day, content in enumerate(contents):
        trial.write(f"d{day}.{ending}", content).ingest()
    return trial


def _rows(*contents: str, ending: str = "csv") -> list[Any]:
    return [row.get("v") for row in sorted(_days(contents, ending).rows(), key=lambda row: str(row["id"]))]


def _refused_files(*contents: str) -> tuple[list[Any], int]:
    """The ids that are stored, and how many files are told of as unreadable by the last ingestion, all before the last day there."""
    trial = Trial()
    for day, content in enumerate(contents[:-1]):
        trial.write(f"d{day}.csv", content)
    trial.write(f"d{len(contents)}.csv", contents[-1])
    done = trial.ingest()
    return sorted(row["id"] for row in trial.rows()), len(done.unreadable)


def _fixed() -> list[Any]:
    """A file that was refused, fixed later: it is tried again."""
    trial = Trial().write("a.csv", f"{HEAD}r0,1,{Z}\n").write("b.csv", f"id,at\nr1,{Z}\n")
    trial.ingest()
    trial.write("b.csv", f"{HEAD}r1,2,{Z}\n").ingest()
    return trial.values(["r0", "r1"])


def _unread_is_retried() -> int:
    trial = Trial().write("a.csv", f"{HEAD}r0,1,{Z}\n").write("b.parquet", b"no parquet")
    trial.ingest()
    return len(trial.ingest().unreadable)


def _said() -> Any:
    trial = Trial().write("a.csv", f"{HEAD}r0,1,{Z}\n")
    trial.ingest()
    return bool(trial.write("b.csv", f"{HEAD}r1,1.5,{Z}\n").ingest().changes)


def _both_ids() -> list[str]:
    """Two ids that are one number: both are there, one of them perhaps in quarantine."""
    trial = _days([f"id,at\n7,{Z}\n", f"id,at\n007,{Z}\n"])
    return sorted(str(row["id"]) for row in [*trial.rows(), *trial.held()])


SINGLE: list[tuple[str, Callable[[], Any], Any]] = [
    ("a day without rows", lambda: _rows(f"{HEAD}r0,2.5,{Z}\n", HEAD), [2.5]),
    ("the day after a day without rows", lambda: _rows(f"{HEAD}r0,2.5,{Z}\n", HEAD, f"{HEAD}r1,3.5,{Z}\n"), [2.5, 3.5]),
    ("a first day without rows", lambda: _rows(HEAD, f"{HEAD}r1,3.5,{Z}\n"), [3.5]),
    ("a day of zero bytes", lambda: _rows(f"{HEAD}r0,2.5,{Z}\n", "", f"{HEAD}r1,3.5,{Z}\n"), [2.5, 3.5]),
    ("a new column", lambda: _rows(f"id,at\nr0,{Z}\n", f"{HEAD}r1,3.5,{Z}\n"), [None, 3.5]),
    ("columns in another order", lambda: _rows(f"{HEAD}r0,1,{Z}\n", f"at,v,id\n{Z},2,r1\n"), [1, 2]),
    ("a text in a column of numbers", lambda: _days([f"{HEAD}r0,1,{Z}\n", f"{HEAD}r1,two,{Z}\n"]).values(["r0", "r1"]), [1, Held("two")]),
    (
        "a leading zero on the second day",
        lambda: _days([f"{HEAD}r0,10001,{Z}\n", f"{HEAD}r1,02139,{Z}\n"]).values(["r0", "r1"]),
        [10001, Held("02139")],
    ),
    ("a column that is gone", lambda: _refused_files(f"{HEAD}r0,1,{Z}\n", f"id,at\nr1,{Z}\n", f"{HEAD}r2,3,{Z}\n"), (["r0", "r2"], 1)),
    (
        "a column in another case",
        lambda: _refused_files(f"{HEAD}r0,1,{Z}\n", f"id,V,at\nr1,2,{Z}\n", f"{HEAD}r2,3,{Z}\n"),
        (["r0", "r2"], 1),
    ),
    (
        "a column that stands twice",
        lambda: _refused_files(f"{HEAD}r0,1,{Z}\n", f"id,v,v,at\nr1,2,2,{Z}\n", f"{HEAD}r2,3,{Z}\n"),
        (["r0", "r2"], 1),
    ),
    ("a refused file that is fixed", _fixed, [1, 2]),
    ("a refused file is tried again, and told of again", _unread_is_retried, refused("NR-202")),
    ("a widening is said", _said, True),
    (
        "an optional key is absent",
        lambda: _rows(f'{{"id":"a","v":1,"at":"{Z}"}}\n', f'{{"id":"b","at":"{Z}"}}\n', ending="jsonl"),
        [1, None],
    ),
    (
        "null first, numbers later",
        lambda: _rows(f'{{"id":"a","v":null,"at":"{Z}"}}\n', f'{{"id":"b","v":1,"at":"{Z}"}}\n', ending="jsonl"),
        [None, 1],
    ),
    (
        "a decimal on the second day",
        lambda: _rows(f'{{"id":"a","v":1,"at":"{Z}"}}\n', f'{{"id":"b","v":1.5,"at":"{Z}"}}\n', ending="jsonl"),
        [1.0, 1.5],
    ),
    (
        "a string where numbers were",
        lambda: _days([f'{{"id":"a","v":1,"at":"{Z}"}}\n', f'{{"id":"b","v":"1","at":"{Z}"}}\n'], "jsonl").values(["a", "b"]),
        [1, Held("1")],
    ),
    (
        "an id without leading zeros after one with",
        lambda: sorted(r["id"] for r in _days([f"id,at\n007,{Z}\n", f"id,at\n7,{Z}\n"]).rows()),
        ["007", "7"],
    ),
    ("an id with leading zeros after one without", _both_ids, ["007", "7"]),
    (
        "a whole number that a float can't tell",
        lambda: _days([f"{HEAD}r0,0.5,{Z}\n", f"{HEAD}r1,9007199254740993,{Z}\n"]).values(["r0", "r1"]),
        any_of([0.5, Held("9007199254740993")], [Decimal("0.5"), Decimal(2**53 + 1)]),
    ),
    (
        "decimals where such numbers are",
        lambda: _days([f"{HEAD}r0,9007199254740993,{Z}\n", f"{HEAD}r1,0.5,{Z}\n"]).values(["r0", "r1"]),
        any_of([9007199254740993, Held("0.5")], [Decimal(2**53 + 1), Decimal("0.5")]),
    ),
    ("nothing but a damaged file", lambda: Trial().write("a.parquet", b"no parquet").ingest(), refused("NR-202")),
]


def inputs() -> Iterator[Input]:
    for name, (_, right) in CSV_DAYS.items():
        yield Input(KIND, f"CSV: {name}", lambda name=name: _csv_days()[name], right)
    for name, (_, _, right) in PARQUET_DAYS.items():
        yield Input(KIND, f"Parquet: {name}", lambda name=name: _parquet_days()[name], right)
    for i, (name, run, right) in enumerate(SINGLE):
        yield Input(KIND, name, run, right, slow=i % 2 > 0)
