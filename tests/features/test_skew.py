"""Skew: what was served is compared with the very fact that its key names."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

import noria as nr
from noria.core.clock import since_epoch
from noria.core.signature import Field
from noria.data.rows import Rows
from noria.data.table import Snapshot, SnapshotRows
from noria.features.point_in_time import PointInTime
from noria.features.skew import Served, measure_skew

START = datetime(2024, 1, 1, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")


@nr.request_transform("amount")
def amount(rows: pa.Table) -> dict[str, np.ndarray]:
    return {"amount": rows.column("paid").to_numpy()}


def orders(keys: dict[str, pa.Array]) -> SnapshotRows:
    n = len(next(iter(keys.values())))
    rows = pa.table({**keys, "paid": [10.0 + i for i in range(n)], "at": pa.array([START] * n, UTC_US)})
    return SnapshotRows(nr.Table("orders", nr.files("none"), key=tuple(keys), event_time="at"), Snapshot("orders", 0, "", n), rows)


def amounts(*values: float) -> Rows:
    return Rows.dense((Field("amount"),), np.array(values, np.float32)[:, None])


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"shop": pa.array(["x|y", "x"]), "order": pa.array(["z", "y|z"])}, ["x\\|y|z", "x|y\\|z"]),
        ({"shop": pa.array(["a", "a"]), "order": pa.array([1, 2])}, ["a|1", "a|2"]),
        ({"order": pa.array([1.0, 2.5])}, ["1", "2.5"]),
        ({"order": pa.array([1.0, float("nan")])}, ["1", None]),
        ({"order": pa.array([2**53, 2**53 + 1])}, ["9007199254740992", "9007199254740993"]),
    ],
)
def test_each_served_row_is_compared_with_the_fact_of_its_own_key(keys: dict[str, pa.Array], names: list[str | None]) -> None:
    facts = orders(keys)
    features = nr.FeatureSet("f", spine=facts.table, request=[amount])
    served = Served(["nobody", *names], np.full(3, since_epoch(START)), amounts(0.0, 10.0, 11.0))
    skew = measure_skew(features, PointInTime([facts]), served)
    known = sum(name is not None for name in names)
    assert (skew.rows, skew.unknown_keys, skew.worst) == (known, 3 - known, None)


def test_a_served_value_that_differs_is_shown_with_its_key() -> None:
    facts = orders({"order": pa.array([1, 2])})
    features = nr.FeatureSet("f", spine=facts.table, request=[amount])
    served = Served(["1", "2"], np.full(2, since_epoch(START)), amounts(10.0, 12.0))
    worst = measure_skew(features, PointInTime([facts]), served).worst
    assert worst is not None
    assert worst.example == {"key": "2", "at": START.isoformat(), "served": 12.0, "offline": 11.0}
