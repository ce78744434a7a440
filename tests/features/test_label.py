"""Labels: an outcome is what its column says, of the key that it says it of, from when it was known."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import noria as nr
from noria.core.clock import since_epoch
from noria.core.errors import UserMistake
from noria.data.contract import UnknownColumn
from noria.data.table import Snapshot, SnapshotRows
from noria.features.coding import BadLabel
from noria.features.keys import IncomparableKeys, KeysOfOtherLength
from noria.features.label import Label
from noria.features.outcomes import Outcomes
from noria.features.point_in_time import PointInTime

START = datetime(2024, 1, 1, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")
END = START + timedelta(days=9)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def returns(keys: dict[str, Any], returned: Any, known: list[int] | None = None, gone: list[bool] | None = None) -> SnapshotRows:
    columns = {**keys, "returned": returned}
    rows = pa.table({name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()})
    at = pa.array([START] * rows.num_rows, UTC_US)
    told = at if known is None else pa.array([day(n) for n in known], UTC_US)
    rows = rows.append_column("at", at).append_column("known", told).append_column("gone", pa.array(gone or [False] * rows.num_rows))
    table = nr.Table("returns", nr.files("none"), key=tuple(keys), event_time="at", known_at="known", deleted="gone")
    return SnapshotRows(table, Snapshot("returns", 0, "", rows.num_rows), rows)


def orders(keys: dict[str, Any]) -> SnapshotRows:
    rows = pa.table(keys)
    rows = rows.append_column("at", pa.array([START] * rows.num_rows, UTC_US))
    return SnapshotRows(
        nr.Table("orders", nr.files("none"), key=tuple(keys), event_time="at"), Snapshot("orders", 0, "", rows.num_rows), rows
    )


def outcomes(returned: Any, positive: Any = 1) -> list[float]:
    facts = returns({"id": [str(i) for i in range(len(returned))]}, returned)
    return Outcomes(facts, Label(facts.table, "returned", positive)).known_at(facts.rows.column("id").to_pylist(), END).tolist()


def labelled(spine: dict[str, Any], keys: dict[str, Any], returned: list[float]) -> dict[str, float]:
    """The outcome of each key of a spine that has one."""
    asked, facts = orders(spine), returns(keys, returned)
    named = PointInTime([asked]).spine(asked.table, timedelta(0), START, END).column("_key").to_pylist()
    found = Outcomes(facts, Label(facts.table, "returned"), asked).known_at(named, END)
    return {key: value for key, value in zip(named, found, strict=True) if not math.isnan(value)}


@pytest.mark.parametrize(
    ("returned", "positive", "expected"),
    [
        (pa.array([1.0, 0.0, math.nan, None]), 1, [1, 0, math.nan, math.nan]),
        (pa.array([1.0, 0.0, math.nan, None], pa.float32()), 1, [1, 0, math.nan, math.nan]),
        (pa.array([0.1, 1.0], pa.float32()), 0.1, [1, 0]),
        (pa.array([1, 2, None]), 1, [1, 0, math.nan]),
        (pa.array([1, 2], pa.uint8()), 2.0, [0, 1]),
        (pa.array([2**53, 2**53 + 1]), 2**53 + 1, [0, 1]),
        (pa.array([Decimal("1.00"), Decimal("0.10"), None]), 1, [1, 0, math.nan]),
        (pa.array([Decimal("1.00"), Decimal("0.10")]), 0.1, [0, 1]),
        (pa.array([True, False, None]), True, [1, 0, math.nan]),
        (pa.array([True, False, None]), 1, [1, 0, math.nan]),
        (pa.array([True, False]), False, [0, 1]),
        (pa.array([1, 0]), True, [1, 0]),
        (pa.array(["yes", "no", "", None]), "yes", [1, 0, 0, math.nan]),
        (pa.array(["1", "0"]), "1", [1, 0]),
        (pa.array(["yes", "no"]).dictionary_encode(), "yes", [1, 0]),
        (pa.nulls(2), "yes", [math.nan, math.nan]),
    ],
)
def test_an_outcome_is_one_where_it_equals_positive_and_unknown_where_it_is_null_or_nan(
    returned: pa.Array, positive: Any, expected: list[float]
) -> None:
    assert np.array_equal(outcomes(returned, positive), expected, equal_nan=True)


@pytest.mark.parametrize(
    ("returned", "positive"),
    [
        (pa.array(["yes", "no"]), 1),
        (pa.array(["1", "0"]), 1),
        (pa.array(["true", "false"]), True),
        (pa.array([1, 0]), "1"),
        (pa.array([1.0, 0.0]), "yes"),
        (pa.array([True, False]), "true"),
        (pa.array([True, False]), 2),
        (pa.array([1, 0]), 0.5),
        (pa.array([1, 0], pa.int8()), 300),
        (pa.array([1.0]), math.nan),
        (pa.array([1.0]), 2**53 + 1),
        (pa.array([Decimal("1.00")]), 0.125),
        (pa.array([START], UTC_US), 1),
        (pa.array([[1]]), 1),
    ],
)
def test_a_positive_that_no_value_of_the_column_can_equal_is_refused(returned: pa.Array, positive: Any) -> None:
    with pytest.raises(BadLabel, match="returned") as refused:
        outcomes(returned, positive)
    assert refused.value.code == "NR-218"


def test_a_label_on_a_column_that_is_not_there_is_named_with_the_nearest_one() -> None:
    facts = returns({"id": ["a"]}, [1])
    with pytest.raises(UnknownColumn, match="did you mean 'returned'"):
        Outcomes(facts, Label(facts.table, "retuned"))


def test_composite_keys_that_look_alike_have_their_own_outcomes() -> None:
    two = {"shop": ["x|y", "x"], "order": ["z", "y|z"]}
    assert labelled(two, two, [1, 0]) == {"x\\|y|z": 1.0, "x|y\\|z": 0.0}
    assert labelled(two, {"shop": ["x|y"], "order": ["z"]}, [1]) == {"x\\|y|z": 1.0}


def test_key_columns_that_are_declared_in_another_order_are_matched_by_name() -> None:
    assert labelled({"shop": ["a", "b"], "order": ["b", "a"]}, {"order": ["b"], "shop": ["a"]}, [1]) == {"a|b": 1.0}


@pytest.mark.parametrize(
    ("spine", "keys"),
    [
        (pa.array([1, 2]), pa.array([1.0, 2.0])),
        (pa.array([1, 2]), pa.array([Decimal("1.00"), Decimal("2.00")])),
        (pa.array([1, 2], pa.int32()), pa.array([1, 2], pa.uint64())),
        (pa.array(["a", "b"]), pa.array(["a", "b"]).dictionary_encode()),
        (pa.array([START.date(), END.date()]), pa.array([START.replace(tzinfo=None), END.replace(tzinfo=None)])),
    ],
)
def test_keys_of_another_type_find_their_outcomes_where_they_are_equal(spine: pa.Array, keys: pa.Array) -> None:
    assert list(labelled({"id": spine}, {"id": keys}, [1, 0]).values()) == [1.0, 0.0]


def test_a_key_that_is_not_a_number_has_no_outcome() -> None:
    assert labelled({"id": pa.array([1.0, math.nan])}, {"id": pa.array([1.0, math.nan])}, [1, 1]) == {"1": 1.0}


@pytest.mark.parametrize(
    ("spine", "keys", "error"),
    [
        ({"id": ["1"]}, {"id": [1]}, IncomparableKeys),
        ({"id": [True]}, {"id": [1]}, IncomparableKeys),
        ({"id": [START]}, {"id": [START.replace(tzinfo=None)]}, IncomparableKeys),
        ({"shop": ["a"], "id": ["1"]}, {"id": ["1"]}, KeysOfOtherLength),
    ],
)
def test_keys_that_cannot_be_those_of_the_spine_are_refused(spine: dict[str, Any], keys: dict[str, Any], error: type[UserMistake]) -> None:
    with pytest.raises(error, match=r"orders.*returns|returns.*orders"):
        labelled(spine, keys, [1])


def test_outcomes_are_those_known_at_a_moment_through_corrections_and_retractions() -> None:
    facts = returns(
        {"id": ["a", "a", "b", "b", "c", "c"]},
        [0.0, 1.0, 1.0, 1.0, math.nan, 1.0],
        known=[1, 3, 1, 3, 1, 3],
        gone=[False, False, False, True, False, False],
    )
    label = Outcomes(facts, Label(facts.table, "returned"))
    known = [label.known_at(["a", "b", "c", "d", None], day(n)).tolist() for n in (0, 1, 3)]
    nan = math.nan
    assert np.array_equal(known, [[nan] * 5, [0, 1, nan, nan, nan], [1, nan, 1, nan, nan]], equal_nan=True)


def test_an_outcome_is_known_since_the_first_row_that_has_one() -> None:
    facts = returns({"id": ["a", "a", "b", "c", "c"]}, [math.nan, 1.0, None, 0.0, 1.0], known=[1, 3, 1, 2, 4])
    since = Outcomes(facts, Label(facts.table, "returned")).known_since(["a", "b", "c", "d", None]).tolist()
    assert since == [since_epoch(day(3)), math.inf, since_epoch(day(2)), math.inf, math.inf]
