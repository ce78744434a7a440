"""Aggregates are exact, and no name that a user can choose is taken for one of ours: against plain Python on small tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import noria as nr
from noria.core.names import BadName
from noria.data.table import Snapshot, SnapshotRows
from noria.features.fields import as_float32
from noria.features.point_in_time import PointInTime

START = datetime(2024, 1, 1, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")
TABLE = nr.Table("events", nr.files("none.parquet"), key="id", event_time="happened")
LARGEST = float(np.finfo(np.float32).max)

KINDS: dict[str, Callable[..., nr.Aggregate]] = {
    "n": nr.count, "total": nr.total, "mean": nr.mean, "low": nr.minimum, "high": nr.maximum, "first": nr.first, "last": nr.last,
    "kinds": nr.distinct, "std": nr.std, "mid": lambda e, window: nr.quantile(e, 0.5, window=window),
}  # fmt: skip


def times(minutes: Sequence[float]) -> pa.Array:
    return pa.array([START + timedelta(minutes=m) for m in minutes], UTC_US)


def of(
    values: pa.Array, expression: str = "x", *, at: float | None = None, window: str = "10d", wanted: Sequence[str] = ()
) -> dict[str, Any]:
    """Every aggregate of a column's values, which come minute by minute, and the latest one."""
    rows = pa.table(
        {"id": [f"e{i}" for i in range(len(values))], "city": ["x"] * len(values), "happened": times(range(len(values))), "x": values}
    )
    aggregates = {name: make(expression, window=window) for name, make in KINDS.items() if not wanted or name in wanted}
    latest = {} if wanted and "latest" not in wanted else {"latest": expression}
    view = nr.FeatureView("v", TABLE, entity="city", aggregate=aggregates, latest=latest, ttl=window)
    spine = pa.table({"city": ["x"], "_at": times([len(values) if at is None else at])})
    [found] = PointInTime([SnapshotRows(TABLE, Snapshot("events", 0, "", len(rows)), rows)]).join(spine, [view]).to_pylist()
    return dict(found)


# --- exactness ----------------------------------------------------------------------------------------------------------

INTEGERS = {
    pa.int8(): (-128, 127), pa.uint8(): (0, 255), pa.int16(): (-(2**15), 2**15 - 1), pa.uint16(): (0, 2**16 - 1),
    pa.int32(): (-(2**31), 2**31 - 1), pa.uint32(): (0, 2**32 - 1), pa.int64(): (-(2**63), 2**63 - 1), pa.uint64(): (0, 2**64 - 1),
}  # fmt: skip


@pytest.mark.parametrize("type_", INTEGERS, ids=str)
def test_whole_numbers_keep_every_digit_to_the_ends_of_their_type(type_: pa.DataType) -> None:
    low, high = INTEGERS[type_]
    values = [high - 1, high, high, low, low + 1, None]
    found = of(pa.array(values, type_))
    there = [v for v in values if v is not None]
    exact = {"n": 5, "total": sum(there), "low": low, "high": high, "first": high - 1, "last": low + 1, "kinds": 4, "latest": None}
    assert {name: found[name] for name in exact} == exact
    assert found["mean"] == pytest.approx(sum(there) / 5, rel=1e-15)
    assert found["std"] == pytest.approx(statistics.stdev(there), rel=1e-12)


def test_whole_numbers_beyond_two_to_the_53rd_keep_their_digits() -> None:
    values = [2**53 + 1, 2**60 + 7, 3]
    found = of(pa.array(values, pa.int64()), wanted=["total", "low", "high", "first", "last", "latest"])
    assert found == {"total": sum(values), "low": 3, "high": 2**60 + 7, "first": 2**53 + 1, "last": 3, "latest": 3}


def test_the_least_of_all_int64_leaves_a_window_again() -> None:
    found = of(pa.array([-(2**63), 5, 6], pa.int64()), at=3, window="2m", wanted=["total", "mean", "low"])
    assert found == {"total": 6, "mean": 6.0, "low": 6}


def test_decimals_are_summed_exactly() -> None:
    values = [Decimal("0.10"), Decimal("0.20"), Decimal("123456789012345678901234.57"), None]
    found = of(pa.array(values, pa.decimal128(28, 2)), wanted=["n", "total", "low", "high", "last", "kinds", "latest"])
    high = Decimal("123456789012345678901234.57")
    assert found == {
        "n": 3,
        "total": high + Decimal("0.30"),
        "low": Decimal("0.10"),
        "high": high,
        "last": high,
        "kinds": 3,
        "latest": None,
    }


def test_decimals_of_38_digits_are_summed_as_doubles_and_never_overflow() -> None:
    nines = Decimal("9" * 38)
    found = of(pa.array([nines, nines], pa.decimal128(38, 0)), wanted=["total", "high"])
    assert found["total"] == pytest.approx(2e38, rel=1e-15)
    assert found["high"] == nines


def test_lists_that_sum_to_huge_integers_are_numbers_too() -> None:
    found = of(pa.array([[1, 2], [2**62, 2**62]]), "list_sum(x)", wanted=["total", "high", "latest"])
    assert found == {"total": float(2**63 + 3), "high": float(2**63), "latest": float(2**63)}


numbers = st.floats(-LARGEST, LARGEST, allow_nan=False, allow_infinity=False)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.one_of(numbers, st.floats(-1e3, 1e3), st.floats(-1e-30, 1e-30)), min_size=1, max_size=12))
@example([1e20, 1.0, -1e20])
@example([2.0**63, -(2.0**62), -(2.0**62), 1.0])
@example([1e15, 0.1, -1e15, 1e-12])
@example([1e-35, 1e30, -1e30])
@example([2.0**-20, -(2.0**-21), -(2.0**-22), -(2.0**-60)])
@example([1.4e-45, 1.4e-45])
@example([3e38, 3e38, -3e38])
def test_sums_of_floats_are_exact_over_all_that_float32_can_hold(values: list[float]) -> None:
    found = of(pa.array(values), wanted=["total", "mean"])
    exact = sum(map(Fraction, values))
    nearest = float(exact)
    assert found["total"] == pytest.approx(nearest, rel=1e-15, abs=len(values) * 2.0**-186)
    assert found["mean"] == pytest.approx(float(exact / len(values)), rel=1e-15, abs=len(values) * 2.0**-186)


def test_what_left_a_window_leaves_no_trace_in_its_sum() -> None:
    assert of(pa.array([1e30, -1e-25, 1e-9]), at=2, window="1m", wanted=["total"]) == {"total": 1e-9}


def test_a_sum_is_the_same_whatever_other_rows_need_more_parts() -> None:
    alone = of(pa.array([0.1, 0.2, 0.7]), at=2, window="3m", wanted=["total", "mean"])
    among = of(pa.array([0.1, 0.2, 0.7, 1e37, 1e-36, 1e9]), at=2, window="3m", wanted=["total", "mean"])
    assert repr(alone) == repr(among)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e200, -1e39])
def test_what_float32_cannot_hold_is_unknown_to_every_aggregate_and_fails_none(odd: float) -> None:
    expected = of(pa.array([3.0, None, 1.0, 2.0]))
    found = of(pa.array([3.0, odd, 1.0, 2.0]))
    assert found == expected | {"n": 4, "kinds": 4}  # to count and distinct it is a value
    [latest] = as_float32(pa.chunked_array([pa.array([of(pa.array([1.0, odd]), wanted=["latest"])["latest"]])]))
    assert np.isnan(latest)
    assert of(pa.array([odd, odd])) | {"latest": None} == {name: {"n": 2, "kinds": 1}.get(name) for name in (*KINDS, "latest")}


def test_a_result_that_float32_cannot_hold_is_unknown() -> None:
    found = of(pa.array([3e38, 3e38]), wanted=["total", "mean"])
    assert found["mean"] == pytest.approx(3e38)
    assert as_float32(pa.chunked_array([pa.array([found["total"], found["mean"], None])]))[[0, 2]].tolist() == pytest.approx(
        [math.nan, math.nan], nan_ok=True
    )


@pytest.mark.parametrize("values", [pa.nulls(3), pa.array([None, None], pa.float64()), pa.array([None], pa.int64())])
def test_a_column_of_nulls_gives_unknown_values(values: pa.Array) -> None:
    assert of(values) == {name: 0 if name in ("n", "kinds") else None for name in (*KINDS, "latest")}


def test_booleans_are_ones_and_zeros_where_they_are_summed() -> None:
    wanted = {"n": nr.count, "total": nr.total, "mean": nr.mean, "std": nr.std, "kinds": nr.distinct}
    found = of(pa.array([True, False, True, None]), wanted=list(wanted))
    assert found == {"n": 3, "total": 2, "mean": pytest.approx(2 / 3), "std": pytest.approx(statistics.stdev([1, 0, 1])), "kinds": 2}


# --- names --------------------------------------------------------------------------------------------------------------

ODD = [
    "_event", "_known", "_enter", "_superseded", "_rank", "_bucket", "_q", "_t", "_k0", "_row", "_order", "one", "_at", "_key",
    "c0", "n0", "s0", "a0", "b0", "x0", "y0", "p0_1", "v", "m", "w", "q", "x", "s", "moves", "running", "rank", "versions",
    "_queries", "_spine", "_asked", "_facts", "select", "from", "order", "at", "user", "current_date", "timestamp", "null", "true",
    'quo"te', "a space", "a.dot", "a,comma", "back\\slash", "semi;colon", "new\nline", "tab\t", "émoji 🛫", "ÄÖ", "äö", "Upper", "uppeR2",
    "--", "/*", "%s", "{0}", "$1", "?", "rowid", "id", "count(*)", "__noria", "_noria_event", "noria", "'", "1", " ",
]  # fmt: skip


def odd_rows() -> tuple[pa.Table, dict[str, list[float]]]:
    """A table with a column of every odd name, each with values of its own."""
    values = {name: [10.0 * i + 1, 10.0 * i + 5, 10.0 * i + 3] for i, name in enumerate(ODD)}
    keys = {"the key": ["a", "b", "c"], "the city": ["x"] * 3, "the time": times([1, 2, 3])}
    return pa.table({**keys, **values}), values


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("table_name", ["v", "m", "_queries", "versions", "select"])
def test_columns_of_every_odd_name_have_their_own_values(table_name: str) -> None:
    rows, values = odd_rows()
    table = nr.Table(table_name, nr.files("none.parquet"), key="the key", event_time="the time")
    makers = {"sum": nr.total, "min": nr.minimum, "last": nr.last, "n": nr.count}
    views = [
        nr.FeatureView(
            f"v{i}",
            table,
            entity="the city",
            aggregate={f"{kind} of {name}": make(quoted(name), window="1h") for name in names for kind, make in makers.items()},
            latest={f"latest {name}": quoted(name) for name in names},
            ttl="1h",
        )
        for i, names in enumerate([[name] for name in ODD] if table_name == "v" else [ODD])  # a view of each, or one of all: many are slow
    ]
    views.append(nr.FeatureView("plain", table, entity="the city", latest=ODD, ttl="1h"))
    spine = pa.table({"the city": ["x"], "_at": times([10])})
    [found] = PointInTime([SnapshotRows(table, Snapshot(table_name, 0, "", 3), rows)]).join(spine, views).to_pylist()
    expected: dict[str, float] = {}
    for name, (first, high, last) in values.items():
        expected |= {f"sum of {name}": first + high + last, f"min of {name}": first, f"last of {name}": last, f"n of {name}": 3}
        expected |= {f"latest {name}": last, name: last}
    assert found == expected


@pytest.mark.parametrize("name", ODD)
def test_an_entity_or_a_key_may_have_any_odd_name(name: str) -> None:
    table = nr.Table("t", nr.files("none.parquet"), key=(name, "other"), event_time="the time", deleted="gone")
    rows = pa.table(
        {
            name: [1, 1, 2, 2],
            "other": [1, 1, 1, 1],
            "the time": times([1, 2, 3, 4]),
            "value": [1, 2, 3, 4],
            "gone": [False, False, False, True],
        }
    )
    view = nr.FeatureView("v", table, entity=name, aggregate={"total": nr.total("value", window="1h")}, latest=["value"], ttl="1h")
    spine = pa.table({name: [1, 2, 3], "_at ": [0, 0, 0], "_at" if name != "_at" else "when": times([10] * 3)})
    facts = SnapshotRows(table, Snapshot("t", 0, "", 4), rows)
    if name in ("_at", "_key"):
        with pytest.raises(BadName, match=name):
            PointInTime([facts]).spine(table, timedelta(), START, START + timedelta(days=1))
        return
    found = PointInTime([facts]).join(spine, [view]).to_pylist()
    assert found == [{"total": 2, "value": 2}, {"total": None, "value": None}, {"total": None, "value": None}]
    *_, one = PointInTime([facts]).spine(table, timedelta(), START, START + timedelta(minutes=3)).to_pylist()
    assert (one[name], one["value"], one["_key"]) == (1, 2, "1|1")


@pytest.mark.parametrize("name", ["_at", "_key", "_AT", "_Key"])
def test_a_spine_may_not_have_a_column_where_predictions_have_their_times_and_keys(name: str) -> None:
    table = nr.Table("t", nr.files("none.parquet"), key="id", event_time="happened")
    rows = pa.table({"id": [1], "happened": times([1]), name: [1]})
    with pytest.raises(BadName, match=name):
        PointInTime([SnapshotRows(table, Snapshot("t", 0, "", 1), rows)]).spine(table, timedelta(), START, START + timedelta(days=1))


def test_a_spine_keeps_columns_that_differ_in_case_and_types_as_they_are() -> None:
    table = nr.Table("t", nr.files("none.parquet"), key="Id", event_time="happened")
    rows = pa.table({"Id": [2, 1], "happened": times([1, 1]), "iD": ["b", "a"], "kind": pa.array(["x", "y"]).dictionary_encode()})
    found = PointInTime([SnapshotRows(table, Snapshot("t", 0, "", 2), rows)]).spine(table, timedelta(), START, START + timedelta(days=1))
    assert [(row["Id"], row["iD"], row["kind"], row["_key"]) for row in found.to_pylist()] == [(1, "a", "y", "1"), (2, "b", "x", "2")]
    assert found.schema.field("kind").type == rows.schema.field("kind").type


def test_features_that_differ_in_case_or_have_odd_names_are_kept_apart() -> None:
    rows = pa.table({"id": ["a"], "city": ["x"], "happened": times([1]), "x": [4.0]})
    names = ["A", "a", "_q", "__noria_query", 'quo"te', "new\nline", "select"]
    view = nr.FeatureView("v", TABLE, entity="city", aggregate={n: nr.total(f"x + {i}", window="1h") for i, n in enumerate(names)})
    found = PointInTime([SnapshotRows(TABLE, Snapshot("events", 0, "", 1), rows)]).join(
        pa.table({"city": ["x"], "_at": times([2])}), [view]
    )
    assert found.to_pylist() == [{name: 4.0 + i for i, name in enumerate(names)}]
