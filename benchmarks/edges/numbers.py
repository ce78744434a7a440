"""Numbers: aggregates are what exact arithmetic gives, as float32, however large, small or alike the numbers are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input
from benchmarks.edges.trial import moments
from noria.data.table import Snapshot, SnapshotRows
from noria.features.compile import AT
from noria.features.fields import as_float32
from noria.features.point_in_time import PointInTime

KIND = "numbers"
AGGREGATES = ("sum", "mean", "min", "max", "first", "last", "latest", "distinct", "median")
BIG = 2**53
LARGEST = float(np.finfo(np.float32).max)
D = Decimal

# Four values of a column, the first the earliest.
COLUMNS: dict[str, pa.Array] = {
    "beyond 2^53": pa.array([BIG + 1, BIG, 1, -1]),
    "near 2^63": pa.array([2**63 - 1, -(2**63), 2**63 - 1, 1]),
    "-2^63 alone": pa.array([-(2**63)] * 4),
    "sums beyond 64 bits": pa.array([2**63 - 1] * 4),
    "uint64": pa.array([2**64 - 1, 0, 1, 2**64 - 1], pa.uint64()),
    "as decimals of uint64": pa.array([D(2**64 - 1), D(0), D(1), D(2**64 - 1)], pa.decimal128(38, 0)),
    "cents": pa.array([D("0.10"), D("0.20"), D("-0.30"), D("1e6")], pa.decimal128(18, 2)),
    "long decimals": pa.array([D("12345678901234567890.123"), D("-12345678901234567890.122"), D(0), D("0.001")], pa.decimal128(28, 3)),
    "the longest decimals": pa.array([D("9" * 38), D("-" + "9" * 38), D(1), D(2)], pa.decimal128(38, 0)),
    "tenths": pa.array([0.1, 0.2, 0.3, -0.6]),
    "great and small": pa.array([1e16, 1.0, -1e16, 1.0]),
    "greatest and smallest": pa.array([LARGEST, 1.0, -LARGEST, 2.0]),
    "tiny": pa.array([1e-30, 2e-30, -1e-30, 1e-31]),
    "tinier": pa.array([1e-38, 1e-38, 1e-40, 3e-40]),
    "tiny beside huge": pa.array([1e30, 1e-30, -1e30, 0.0]),
    "twins": pa.array([1.0, 1.0 + 2**-52, 1.0, 1.0 + 2**-52]),
    "NaN among them": pa.array([1.5, math.nan, 2.5, math.nan]),
    "infinity among them": pa.array([1.5, math.inf, -math.inf, 2.5]),
    "beyond float32": pa.array([1e39, 1.0, -1e39, 2.0]),
    "rounding up to infinity": pa.array([3.4028235677973366e38, 1.0, 2.0, 3.0]),
    "nulls among them": pa.array([None, 1.0, None, 2.0]),
    "nulls alone": pa.array([None] * 4, pa.float64()),
    "NaN alone": pa.array([math.nan] * 4),
    "negative zeros": pa.array([-0.0, 0.0, -0.0, 0.0]),
    "float32": pa.array([0.1, 0.2, 16777217.0, -0.3], pa.float32()),
    "int8": pa.array([127, 127, -128, 127], pa.int8()),
    "truth values as numbers": pa.array([1, 0, 1, 1], pa.uint8()),
}


@cache
def _found() -> dict[str, dict[str, float]]:
    names = [f"c{i}" for i in range(len(COLUMNS))]
    table = nr.Table("events", nr.files("none"), key="id", event_time="at")
    rows = pa.table({"id": list(range(4)), "at": moments(4), **dict(zip(names, COLUMNS.values(), strict=True))})
    makers = {
        "sum": nr.total,
        "mean": nr.mean,
        "min": nr.minimum,
        "max": nr.maximum,
        "first": nr.first,
        "last": nr.last,
        "distinct": nr.distinct,
    }
    aggregate = {f"{kind}:{name}": make(name, window="1h") for kind, make in makers.items() for name in names}
    aggregate |= {f"median:{name}": nr.quantile(name, 0.5, window="1h") for name in names}
    view = nr.FeatureView("v", table, entity=(), aggregate=aggregate, latest={f"latest:{name}": name for name in names}, ttl="1d")
    joined = PointInTime([SnapshotRows(table, Snapshot("events", 0, "", 4), rows)]).join(pa.table({AT: moments(5).slice(4)}), [view])
    floats = {feature: float(as_float32(joined.column(feature))[0]) for feature in view.features}
    return {column: {kind: floats[f"{kind}:{name}"] for kind in AGGREGATES} for column, name in zip(COLUMNS, names, strict=True)}


def _exact(values: Sequence[Any]) -> dict[str, float]:
    """What each aggregate is, by exact arithmetic: numbers that float32 can't hold are unknown."""
    known = [Fraction(v) for v in values if v is not None and math.isfinite(v) and abs(Fraction(v)) < 2**128 - 2**103]
    different = {("NaN" if isinstance(v, float) and math.isnan(v) else v) for v in values if v is not None}
    latest = values[-1]
    exact: dict[str, Fraction | None] = {"distinct": Fraction(len(different))}
    exact |= dict.fromkeys(("sum", "mean", "min", "max", "first", "last", "median"))
    if known:
        ordered, half = sorted(known), len(known) // 2
        median = ordered[half] if len(known) % 2 else (ordered[half - 1] + ordered[half]) / 2
        of = {
            "sum": sum(known),
            "mean": sum(known) / len(known),
            "min": min(known),
            "max": max(known),
            "first": known[0],
            "last": known[-1],
        }
        exact |= {**of, "median": median}
    exact["latest"] = Fraction(latest) if latest is not None and math.isfinite(latest) else None
    return {kind: _as_float32(exact[kind]) for kind in AGGREGATES}


def _as_float32(value: Fraction | None) -> float:
    """The nearest double as float32; NaN where there is none. (Of the features, doubles are the widest.)"""
    if value is None:
        return math.nan
    with np.errstate(over="ignore"):
        found = float(np.float32(float(value)))
    return found if math.isfinite(found) else math.nan


def _close(found: float, exact: float, kind: str) -> bool:
    if math.isnan(found) or math.isnan(exact):
        return math.isnan(found) and math.isnan(exact)
    near = float(np.spacing(np.float32(abs(exact)))) if kind in ("median", "mean") else 0.0  # where a division is rounded twice
    return abs(found - exact) <= near


def inputs() -> Iterator[Input]:
    for name, values in COLUMNS.items():
        exact = _exact(values.to_pylist())
        for kind in AGGREGATES:

            def run(name: str = name, kind: str = kind, exact: float = exact[kind]) -> float:
                found = _found()[name][kind]
                return exact if _close(found, exact, kind) else found

            yield Input(KIND, f"{kind} of {name}", run, exact[kind])
