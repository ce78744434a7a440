"""Labels: an outcome that is null or NaN is not known, and one that can't be compared with `positive` is a mistake that is explained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

import noria as nr
from benchmarks.edges.inputs import Input, any_of, refused
from benchmarks.edges.trial import moments
from noria.core.clock import from_epoch
from noria.data.table import Snapshot, SnapshotRows
from noria.features.label import Label
from noria.features.outcomes import Outcomes

KIND = "labels"
NAN = math.nan
TABLE = nr.Table("returns", nr.files("none"), key="id", event_time="at")
LATER = from_epoch(1_704_067_200_000_000 + 10**9)

# Outcomes, `positive`, and the labels.
OUTCOMES: list[tuple[str, Any, Any, Any]] = [
    ("whole numbers", pa.array([1, 0, None]), 1, [1.0, 0.0, NAN]),
    ("floats and NaN", pa.array([1.0, NAN, None]), 1, [1.0, NAN, NAN]),
    ("float32 and a fraction", pa.array([0.5, NAN, 1.0], pa.float32()), 0.5, [1.0, NAN, 0.0]),
    ("NaN alone", pa.array([NAN, NAN]), 1, [NAN, NAN]),
    ("infinity", pa.array([math.inf, 1.0]), 1, [0.0, 1.0]),
    ("truth values", pa.array([True, False, None]), True, [1.0, 0.0, NAN]),
    ("truth values and 1", pa.array([True, False, None]), 1, [1.0, 0.0, NAN]),
    ("truth values and False", pa.array([True, False, None]), False, [0.0, 1.0, NAN]),
    ("texts", pa.array(["yes", "no", None]), "yes", [1.0, 0.0, NAN]),
    ("texts and an empty one", pa.array(["", "no", None]), "", [1.0, 0.0, NAN]),
    ("texts like numbers", pa.array(["1", "01", None]), "1", [1.0, 0.0, NAN]),
    ("large texts", pa.array(["yes", None], pa.large_string()), "yes", [1.0, NAN]),
    ("categories", pa.array(["yes", "no", None]).dictionary_encode(), "yes", [1.0, 0.0, NAN]),
    ("decimals", pa.array([Decimal("1.00"), Decimal("0.50"), None]), 1, [1.0, 0.0, NAN]),
    ("decimals and a float", pa.array([Decimal("0.10"), Decimal("0.20")]), 0.1, [1.0, 0.0]),
    ("negative zero", pa.array([-0.0, 1.0]), 0, [1.0, 0.0]),
    ("uint8", pa.array([1, 0, None], pa.uint8()), 1, [1.0, 0.0, NAN]),
    ("the greatest whole number", pa.array([2**63 - 1, 2**63 - 2]), 2**63 - 1, [1.0, 0.0]),
    ("nothing but nulls", pa.nulls(2), 1, [NAN, NAN]),
    ("True for numbers", pa.array([1, 0]), True, [1.0, 0.0]),
    ("texts and 1", pa.array(["yes", "no"]), 1, refused("NR-218")),
    ("texts and True", pa.array(["True", "False"]), True, refused("NR-218")),
    ("numbers and a text", pa.array([1, 0]), "1", refused("NR-218")),
    ("whole numbers and a fraction", pa.array([1, 0]), 0.5, refused("NR-218")),
    ("whole numbers and NaN", pa.array([1, 0]), NAN, refused("NR-218")),
    ("uint8 and 300", pa.array([1, 0], pa.uint8()), 300, refused("NR-218")),
    ("truth values and a text", pa.array([True, False]), "true", refused("NR-218")),
    ("truth values and 2", pa.array([True, False]), 2, refused("NR-218")),
    ("dates", pa.array([date(2024, 1, 1)]), 1, refused("NR-218")),
    ("lists", pa.array([[1], [0]]), 1, refused("NR-218")),
    ("structs", pa.array([{"a": 1}]), 1, refused("NR-218")),
    ("bytes", pa.array([b"1"]), "1", refused("NR-218")),
    ("an infinite positive", pa.array([math.inf, 1.0]), math.inf, any_of([1.0, 0.0], refused("NR-218"))),
]


def _facts(values: pa.Array, name: str = "label") -> SnapshotRows:
    count = len(values)
    rows = pa.table({"id": [f"r{i}" for i in range(count)], name: values, "at": moments(count)})
    return SnapshotRows(TABLE, Snapshot("returns", 0, "", count), rows)


def _labels(values: pa.Array, positive: Any) -> list[float]:
    keys = [f"r{i}" for i in range(len(values))]
    found: list[float] = Outcomes(_facts(values), Label(TABLE, "label", positive=positive)).known_at(keys, LATER).tolist()
    return found


def _revised(*values: float | None) -> float:
    """The label of one fact whose outcome is revised."""
    rows = pa.table({"id": ["r"] * len(values), "label": pa.array(values, pa.float64()), "at": moments(len(values))})
    facts = SnapshotRows(TABLE, Snapshot("returns", 0, "", len(values)), rows)
    return float(Outcomes(facts, Label(TABLE, "label")).known_at(["r"], LATER)[0])


def inputs() -> Iterator[Input]:
    for name, values, positive, right in OUTCOMES:
        yield Input(KIND, name, lambda values=values, positive=positive: _labels(values, positive), right)
    yield Input(KIND, "an outcome revised", lambda: _revised(0.0, 1.0), 1.0)
    yield Input(KIND, "an outcome withdrawn", lambda: _revised(1.0, None), NAN)
    yield Input(KIND, "an outcome after NaN", lambda: _revised(NAN, 1.0), 1.0)
    yield Input(
        KIND, "a column that is not there", lambda: Outcomes(_facts(pa.array([1]), "other"), Label(TABLE, "label")), refused("NR-203")
    )
    unknown = ["nothing", None]
    yield Input(
        KIND,
        "a key that is unknown, and none",
        lambda: Outcomes(_facts(pa.array([1])), Label(TABLE, "label")).known_at(unknown, LATER).tolist(),
        [NAN, NAN],
    )
