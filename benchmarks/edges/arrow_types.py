"""Arrow types: each comes twice, from Parquet and from an application, is read back as it was, and can be counted as a feature."""

# ruff: noqa: DTZ001 - times without a zone are among the inputs
from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input, any_of, refused
from benchmarks.edges.trial import Trial, moments
from noria.data.ingest import facts
from noria.features.compile import AT
from noria.features.point_in_time import PointInTime

KIND = "Arrow types"
U = uuid.UUID("6fa459ea-ee8a-3ca4-894e-db77e160355e")
NANOSECOND = 1_704_067_200_000_000_001  # a nanosecond after 2024-01-01


def _ns(*values: int | None, tz: str | None = None) -> pa.Array:
    return pa.array(values, pa.int64()).cast(pa.timestamp("ns", tz=tz))


# Three values of a type, the last of them null, and what is stored.
TYPES: dict[str, tuple[pa.Array, list[Any]]] = {
    "int8": (pa.array([-128, 127, None], pa.int8()), [-128, 127, None]),
    "int16": (pa.array([-(2**15), 1, None], pa.int16()), [-(2**15), 1, None]),
    "int32": (pa.array([-(2**31), 1, None], pa.int32()), [-(2**31), 1, None]),
    "int64": (pa.array([-(2**63), 2**63 - 1, None], pa.int64()), [-(2**63), 2**63 - 1, None]),
    "uint8": (pa.array([0, 255, None], pa.uint8()), [0, 255, None]),
    "uint16": (pa.array([0, 2**16 - 1, None], pa.uint16()), [0, 2**16 - 1, None]),
    "uint32": (pa.array([0, 2**32 - 1, None], pa.uint32()), [0, 2**32 - 1, None]),
    "uint64": (pa.array([0, 2**64 - 1, None], pa.uint64()), [Decimal(0), Decimal(2**64 - 1), None]),
    "float16": (pa.array([0.5, 65504.0, None], pa.float32()).cast(pa.float16()), [0.5, 65504.0, None]),
    "float32": (pa.array([0.5, math.nan, None], pa.float32()), [0.5, math.nan, None]),
    "float64": (pa.array([-0.0, math.inf, None]), [-0.0, math.inf, None]),
    "bool": (pa.array([True, False, None]), [True, False, None]),
    "string": (pa.array(["", "ü\0", None]), ["", "ü\0", None]),
    "large_string": (pa.array(["a", "🙂", None], pa.large_string()), ["a", "🙂", None]),
    "string_view": (pa.array(["a", "long enough to be elsewhere", None], pa.string_view()), ["a", "long enough to be elsewhere", None]),
    "binary": (pa.array([b"", b"\x00\xff", None]), [b"", b"\x00\xff", None]),
    "large_binary": (pa.array([b"a", b"b", None], pa.large_binary()), [b"a", b"b", None]),
    "fixed_size_binary": (pa.array([b"abcd", b"efgh", None], pa.binary(4)), [b"abcd", b"efgh", None]),
    "binary_view": (pa.array([b"a", b"b", None], pa.binary_view()), [b"a", b"b", None]),
    "decimal32": (pa.array([Decimal("1.25"), Decimal("-9.99"), None], pa.decimal32(3, 2)), [Decimal("1.25"), Decimal("-9.99"), None]),
    "decimal64": (pa.array([Decimal("1.25"), Decimal(-1), None], pa.decimal64(18, 2)), [Decimal("1.25"), Decimal(-1), None]),
    "decimal128": (pa.array([Decimal("9" * 38), Decimal(0), None], pa.decimal128(38, 0)), [Decimal("9" * 38), Decimal(0), None]),
    "decimal256 that fits": (pa.array([Decimal("1.5"), Decimal(0), None], pa.decimal256(50, 2)), [Decimal("1.5"), Decimal(0), None]),
    "decimal of negative scale": (pa.array([Decimal(12300), Decimal(0), None], pa.decimal128(5, -2)), [Decimal(12300), Decimal(0), None]),
    "date32": (pa.array([date(1969, 12, 31), date(9999, 12, 31), None]), [date(1969, 12, 31), date(9999, 12, 31), None]),
    "date64": (pa.array([date(2024, 1, 1), date(1900, 1, 1), None], pa.date64()), [date(2024, 1, 1), date(1900, 1, 1), None]),
    "time32 s": (pa.array([time(23, 59, 59), time(0), None], pa.time32("s")), ["23:59:59", "00:00:00", None]),
    "time32 ms": (pa.array([time(1, 2, 3, 500_000), time(0), None], pa.time32("ms")), ["01:02:03.5", "00:00:00", None]),
    "time64 us": (pa.array([time(1, 2, 3, 4), time(0), None], pa.time64("us")), ["01:02:03.000004", "00:00:00", None]),
    "time64 ns": (pa.array([1, 0, None], pa.int64()).cast(pa.time64("ns")), ["00:00:00.000000001", "00:00:00", None]),
    "timestamp s": (
        pa.array([datetime(2024, 1, 1), datetime(1900, 1, 1), None], pa.timestamp("s")),
        [datetime(2024, 1, 1), datetime(1900, 1, 1), None],
    ),
    "timestamp ms": (
        pa.array([datetime(2024, 1, 1), datetime(9999, 1, 1), None], pa.timestamp("ms")),
        [datetime(2024, 1, 1), datetime(9999, 1, 1), None],
    ),
    "timestamp us": (
        pa.array([datetime(2024, 1, 1), datetime(1, 1, 1), None], pa.timestamp("us")),
        [datetime(2024, 1, 1), datetime(1, 1, 1), None],
    ),
    "timestamp ns": (_ns(NANOSECOND, NANOSECOND - 1, None), [datetime(2024, 1, 1, microsecond=1), datetime(2024, 1, 1), None]),
    "timestamp ns, before 1970": (_ns(-1, -1001, None), [datetime(1970, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 999_999), None]),
    "timestamp with UTC": (moments(3), moments(3).to_pylist()),
    "timestamp ns with a zone": (
        _ns(NANOSECOND, NANOSECOND - 1, None, tz="Asia/Kolkata"),
        [datetime(2024, 1, 1, microsecond=1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC), None],
    ),
    "duration s": (pa.array([timedelta(seconds=2), timedelta(0), None], pa.duration("s")), [2_000_000_000, 0, None]),
    "duration ms": (pa.array([timedelta(seconds=2), timedelta(0), None], pa.duration("ms")), [2_000_000_000, 0, None]),
    "duration us": (pa.array([timedelta(microseconds=-1), timedelta(0), None], pa.duration("us")), [-1_000, 0, None]),
    "duration ns": (pa.array([1, 0, None], pa.int64()).cast(pa.duration("ns")), [1, 0, None]),
    "month_day_nano_interval": (
        pa.array([pa.MonthDayNano([1, 2, 3_500_000_000]), pa.MonthDayNano([0, 0, 0]), None]),
        ["P1M2DT3.5S", "PT0S", None],
    ),
    "null": (pa.nulls(3), None),
    "dictionary of strings": (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b", None]),
    "dictionary with a null value": (pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", None])), ["a", None, None]),
    "dictionary of numbers": (pa.array([5, 7, None]).dictionary_encode(), [5, 7, None]),
    "run-end encoded": (pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([5, None])), [5, 5, None]),
    "list": (pa.array([[1, None], [], None]), [[1, None], [], None]),
    "list of lists": (pa.array([[[1], []], [None], None]), [[[1], []], [None], None]),
    "list of texts": (pa.array([["a"], [""], None]), [["a"], [""], None]),
    "large_list": (pa.array([[1], [2, 3], None], pa.large_list(pa.int64())), [[1], [2, 3], None]),
    "fixed_size_list": (pa.array([[1.0, 2.0], [3.0, 4.0], None], pa.list_(pa.float32(), 2)), [[1.0, 2.0], [3.0, 4.0], None]),
    "list_view": (pa.array([[1], [2, 3], None], pa.list_view(pa.int64())), [[1], [2, 3], None]),
    "list of unsigned": (pa.array([[2**64 - 1], [0], None], pa.list_(pa.uint64())), [[Decimal(2**64 - 1)], [Decimal(0)], None]),
    "struct": (pa.array([{"a": 1, "b": "x"}, {"a": None, "b": None}, None]), [{"a": 1, "b": "x"}, {"a": None, "b": None}, None]),
    "struct of a struct": (pa.array([{"a": {"b": 1}}, {"a": None}, None]), [{"a": {"b": 1}}, {"a": None}, None]),
    "list of structs": (pa.array([[{"a": 1}], [], None]), [[{"a": 1}], [], None]),
    "map": (pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())), [[("k", 1)], [], None]),
    "uuid": (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([U.bytes, U.bytes, None], pa.binary(16))), [str(U), str(U), None]),
    "json": (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', "[]", None])), ['{"a":1}', "[]", None]),
    "bool8": (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())), [True, False, None]),
    "fixed_shape_tensor": (
        pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.int32(), [2]), pa.array([[1, 2], [3, 4], None], pa.list_(pa.int32(), 2))),
        [[1, 2], [3, 4], None],
    ),
}

UNWRITABLE = {
    "dictionary with a null value",
    "run-end encoded",
    "list_view",
    "month_day_nano_interval",
    "decimal of negative scale",
}  # in Parquet

REFUSED: dict[str, tuple[pa.Array, Any]] = {
    "a union": (pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]), refused("NR-224")),
    "a struct without fields": (pa.array([{}, {}], pa.struct([])), refused("NR-224")),
    "a decimal of fifty digits": (pa.array([Decimal("1" * 50), None], pa.decimal256(50, 0)), refused("NR-202", "NR-224")),
    "a date64 within a day": (
        pa.array([1, 2], pa.int64()).cast(pa.date64(), safe=False),
        any_of(refused("NR-202", "NR-224"), [date(1970, 1, 1)] * 2),
    ),
    "seconds beyond every calendar": (pa.array([2**60, 0], pa.int64()).cast(pa.timestamp("s")), refused("NR-202", "NR-224")),
    "a duration of a thousand years": (pa.array([2**55, 0], pa.int64()).cast(pa.duration("us")), refused("NR-202", "NR-224")),
}


def _columns(names: list[str], start: int) -> pa.Table:
    columns = {f"c{i}": TYPES[name][0] for i, name in enumerate(names)}
    return pa.table({"id": [start + i for i in range(3)], "at": moments(3), **columns})


def _twice(names: list[str], *, from_files: bool) -> Trial:
    trial = Trial()
    for start in (0, 3):
        if from_files:
            trial.write(f"f{start}.parquet", _columns(names, start)).ingest()
        else:
            trial.push(_columns(names, start))
    return trial


@cache
def _pushed() -> dict[str, list[Any]]:
    found = _twice(list(TYPES), from_files=False).columns([f"c{i}" for i in range(len(TYPES))], range(6))
    return dict(zip(TYPES, found.values(), strict=True))


@cache
def _from_parquet() -> dict[str, list[Any]]:
    names = [name for name in TYPES if name not in UNWRITABLE]
    found = _twice(names, from_files=True).columns([f"c{i}" for i in range(len(names))], range(6))
    return dict(zip(names, found.values(), strict=True))


@cache
def _counted() -> dict[str, float]:
    """How many values of each type a feature counts, of all six rows."""
    trial = _twice(list(TYPES), from_files=False)
    there = set(trial.rows()[0])
    aggregate = {f"f{i}": nr.count(f"c{i}", window="1d") for i in range(len(TYPES)) if f"c{i}" in there}
    view = nr.FeatureView("v", trial.table, entity=(), aggregate=aggregate)
    spine = pa.table({AT: moments(4).slice(3)})
    [row] = PointInTime([facts(trial.table, trial.store)]).join(spine, [view]).to_pylist()
    return {name: float(row.get(f"f{i}", 0)) for i, name in enumerate(TYPES)}


def _alone(values: pa.Array) -> list[Any]:
    trial = Trial()
    trial.push(pa.table({"id": [0, 1], "at": moments(2), "v": values}))
    return trial.values([0, 1])


def inputs() -> Iterator[Input]:
    for name, (values, stored) in TYPES.items():
        right = [None] * 6 if stored is None else stored * 2
        yield Input(KIND, f"{name}, pushed twice", lambda name=name: _pushed()[name], right)
        if name not in UNWRITABLE:
            yield Input(KIND, f"{name}, from Parquet twice", lambda name=name: _from_parquet()[name], right)
        there = sum(value is not None for value in right)
        yield Input(KIND, f"{name}, counted as a feature", lambda name=name: _counted()[name], float(there))
        del values
    for name, (values, right) in REFUSED.items():
        yield Input(KIND, name, lambda values=values: _alone(values), right)
