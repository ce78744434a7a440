"""Request transforms: what they return is a number for each row, NaN where there is none, or a mistake that is explained."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.edges.inputs import Input, any_of, refused
from noria.features.feature_set import RequestTransform, transformed

KIND = "request transforms"
NAN = math.nan
START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = pa.table(
    {
        "at": pa.array([START, START], pa.timestamp("us", tz="UTC")),
        "signup": pa.array([START - timedelta(hours=1), None], pa.timestamp("us", tz="UTC")),
    }
)
HOUR = float(np.float32(3_600_000_000))


def _pandas() -> Any:
    import pandas as pd

    return pd


# What a transform of two rows returns, and its feature.
RETURNS: list[tuple[str, Callable[[Any], Any], Any]] = [
    ("an Arrow array", lambda _: pa.array([1.5, None]), [1.5, NAN]),
    ("an Arrow chunked array", lambda _: pa.chunked_array([[1], [2]]), [1.0, 2.0]),
    ("a NumPy array", lambda _: np.array([1, 2]), [1.0, 2.0]),
    ("a masked array", lambda _: np.ma.array([1, 2], mask=[False, True]), [1.0, NAN]),
    ("a list", lambda _: [1, None], [1.0, NAN]),
    ("a list of truth values", lambda _: [True, False], [1.0, 0.0]),
    ("a list of decimals", lambda _: [Decimal("1.5"), None], [1.5, NAN]),
    ("a list of fractions", lambda _: [Fraction(1, 2), None], [0.5, NAN]),
    ("Arrow decimals", lambda _: pa.array([Decimal("1.5"), None]), [1.5, NAN]),
    ("Arrow truth values with a null", lambda _: pa.array([True, None]), [1.0, NAN]),
    ("Arrow whole numbers with a null", lambda _: pa.array([2**60, None]), [2.0**60, NAN]),
    ("nothing but nulls", lambda _: pa.nulls(2), [NAN, NAN]),
    ("a list of NaN", lambda _: [NAN, 1.0], [NAN, 1.0]),
    ("a span with a null", lambda rows: pc.subtract(rows["at"], rows["signup"]), [HOUR, NAN]),
    ("a date with a null", lambda _: pa.array([date(1970, 1, 2), None]), [1.0, NAN]),
    ("a time with a null", lambda rows: rows["signup"], refused("NR-212")),
    ("NumPy spans and NaT", lambda _: np.array([1, "NaT"], "timedelta64[s]"), [1.0, NAN]),
    ("NumPy times and NaT", lambda _: np.array(["1970-01-01T00:00:01", "NaT"], "datetime64[s]"), [1.0, NAN]),
    ("a pandas series", lambda _: _pandas().Series([1.5, None]), [1.5, NAN]),
    ("pandas whole numbers with NA", lambda _: _pandas().array([1, None], dtype="Int64"), [1.0, NAN]),
    ("pandas truth values with NA", lambda _: _pandas().array([True, None], dtype="boolean"), [1.0, NAN]),
    ("pandas times with NaT", lambda _: _pandas().Series(_pandas().to_datetime(["1970-01-01", None])), [0.0, NAN]),
    ("float16", lambda _: np.array([1, 2], np.float16), [1.0, 2.0]),
    ("uint64", lambda _: np.array([2**64 - 1, 0], np.uint64), [float(np.float32(2**64)), 0.0]),
    ("beyond float32", lambda _: [1e39, -1e39], any_of([math.inf, -math.inf], [NAN, NAN])),
    ("texts", lambda _: pa.array(["a", "b"]), refused("NR-212")),
    ("texts like numbers", lambda _: ["1", "2"], refused("NR-212")),
    ("categories", lambda _: pa.array(["a", "b"]).dictionary_encode(), refused("NR-212")),
    ("lists", lambda _: pa.array([[1], [2]]), refused("NR-212")),
    ("structs", lambda _: pa.array([{"a": 1}, {"a": 2}]), refused("NR-212")),
    ("bytes", lambda _: [b"1", b"2"], refused("NR-212")),
    ("complex numbers", lambda _: np.array([1j, 2]), refused("NR-212")),
    ("one number", lambda _: 5, refused("NR-212")),
    ("None", lambda _: None, refused("NR-212")),
    ("too few", lambda _: [1], refused("NR-212")),
    ("too many", lambda _: [1, 2, 3], refused("NR-212")),
    ("two dimensions", lambda _: np.ones((2, 2)), refused("NR-212")),
    ("two dimensions of one", lambda _: np.ones((2, 1)), refused("NR-212")),
    ("a whole number without end", lambda _: [10**400, 1], refused("NR-212")),
    ("objects", lambda _: [object(), object()], refused("NR-212")),
    ("an error of its own", lambda _: 1 / 0, refused("NR-212")),
    ("a column that is not there", lambda rows: rows["nothing"], refused("NR-212")),
    ("an exception of its own", lambda _: (_ for _ in ()).throw(decimal.InvalidOperation()), refused("NR-212")),
]


def _feature(compute: Callable[[Any], Any]) -> list[float]:
    found: list[float] = transformed([RequestTransform(("f",), lambda rows: {"f": compute(rows)})], ROWS)["f"].tolist()
    return found


def _returned(value: Any) -> Any:
    return transformed([RequestTransform(("f",), lambda _: value)], ROWS)


def inputs() -> Iterator[Input]:
    for name, compute, right in RETURNS:
        yield Input(KIND, name, lambda c=compute: _feature(c), right)
    for name, value in (
        ("no mapping", [1, 2]),
        ("nothing", {}),
        ("another feature", {"g": [1, 2]}),
        ("one feature too many", {"f": [1, 2], "g": [1, 2]}),
    ):
        yield Input(KIND, f"returned: {name}", lambda v=value: _returned(v), refused("NR-212"))
