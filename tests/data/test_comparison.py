"""Declared values against columns: what the engine says of each value is what exact arithmetic says."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.sql import connect
from noria.data.comparison import Incomparable, literal_of, none_of, outside

ZONED, NAIVE = pa.timestamp("us", tz="UTC"), pa.timestamp("us")
CENTS, LONG = pa.decimal128(18, 2), pa.decimal128(38, 18)
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
INT64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63 - 1, 0]))
FINITE = st.floats(allow_nan=False, allow_infinity=False)


engine = cache(connect)


def broken(condition: str, values: list[Any], kind: pa.DataType) -> list[bool]:
    """For which values of a column `x` a condition is true."""
    con = engine()
    con.register("raw", pa.table({"n": range(len(values)), "x": pa.array(values, kind)}))
    return [bool(b) for (b,) in con.sql(f"SELECT coalesce({condition}, false) FROM raw ORDER BY n").fetchall()]


def beyond(values: list[Any], low: Any, high: Any, kind: pa.DataType) -> list[bool]:
    return broken(outside("x", low, high, kind), values, kind)


def as_meant(bound: Any) -> Any:
    """A float on a decimal column is what is written."""
    return Decimal(repr(bound)) if isinstance(bound, float) and math.isfinite(bound) and not bound.is_integer() else bound


@settings(max_examples=25, deadline=None)
@given(
    st.lists(INT64, min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(-(2**70), 2**70), INT64, FINITE, st.decimals(allow_nan=False, allow_infinity=False, places=3)),
    st.one_of(st.none(), st.integers(-(2**70), 2**70), INT64, FINITE),
)
def test_integers_are_compared_exactly_with_any_number(values: list[int], low: Any, high: Any) -> None:
    if (low, high) != (None, None):
        truth = [(low is not None and v < low) or (high is not None and v > high) for v in values]
        assert beyond([*values, None], low, high, pa.int64()) == [*truth, False]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(-(10**18) + 1, 10**18 - 1).map(lambda n: Decimal(n).scaleb(-2)), min_size=1, max_size=5),
    st.one_of(st.integers(-(10**20), 10**20), st.floats(-1e18, 1e18), st.decimals(-1000, 1000, places=4)),
)
def test_decimals_are_compared_exactly_with_numbers_as_they_are_written(values: list[Decimal], bound: Any) -> None:
    assert beyond(values, bound, None, CENTS) == [v < as_meant(bound) for v in values]
    assert beyond(values, None, bound, CENTS) == [v > as_meant(bound) for v in values]
    assert broken(none_of("x", [bound, values[0]], CENTS), values, CENTS) == [v not in (as_meant(bound), values[0]) for v in values]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=5), st.floats(allow_nan=False))
def test_floats_are_compared_to_the_last_digit_and_nan_lies_in_no_range(values: list[float], bound: float) -> None:
    around = [*values, bound, math.nextafter(bound, -math.inf), math.nextafter(bound, math.inf)]
    assert beyond(around, bound, None, pa.float64()) == [not v >= bound for v in around]
    assert beyond(around, None, bound, pa.float64()) == [not v <= bound for v in around]
    assert broken(none_of("x", [bound], pa.float64()), around, pa.float64()) == [v != bound for v in around]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5), st.text(st.characters(exclude_categories=["Cs"]))
)
def test_texts_are_compared_by_code_points_whatever_they_contain(values: list[str], bound: str) -> None:
    assert beyond(values, bound, None, pa.string()) == [v < bound for v in values]
    assert broken(none_of("x", [bound, values[0]], pa.string()), values, pa.string()) == [v not in (bound, values[0]) for v in values]


HOUR = timedelta(hours=1)
naive = datetime.fromisoformat


@pytest.mark.parametrize(
    ("kind", "values", "low", "high", "truth"),
    [
        (ZONED, [NEW_YEAR - HOUR, NEW_YEAR, NEW_YEAR + HOUR], NEW_YEAR.astimezone(timezone(HOUR * 5.5)), NEW_YEAR, [True, False, True]),
        (ZONED, [NEW_YEAR], datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), [False]),
        (ZONED, [NEW_YEAR], None, datetime.max.replace(tzinfo=timezone(-HOUR)), [False]),
        (NAIVE, [naive("2024-01-01 12:00")], naive("2024-01-01 12:00:00.000001"), None, [True]),
        (
            NAIVE,
            [naive("2024-01-01"), naive("2024-01-02 23:00"), naive("2024-01-03")],
            date(2024, 1, 1),
            date(2024, 1, 2),
            [False, False, True],
        ),
        (NAIVE, [naive("2024-01-01")], None, date.max, [False]),
        (pa.date32(), [date(1, 1, 1), date(2024, 1, 1), date.max], date(2024, 1, 1), date(2024, 1, 1), [True, False, True]),
        (pa.date32(), [date(2024, 1, 1), date(2024, 1, 2)], naive("2024-01-01 12:00"), None, [True, False]),
        (pa.string(), ["06:59:59.9", "07:00:00", "07:00:00.25", "07:00:00.5"], time(7), time(7, 0, 0, 300_000), [True, False, False, True]),
        (pa.binary(), [b"\x00", b"a", b"b'"], b"a", b"b", [True, False, True]),
        (pa.int64(), [1, 2], np.int64(2), np.float64(2.5), [True, False]),
        (pa.float64(), [0.1, 0.3], Decimal("0.1"), Decimal("0.2"), [False, True]),
        (LONG, [Decimal("0.1"), Decimal("0.100000000000000001")], 0.1, 0.1, [False, True]),
        (pa.decimal128(20, 0), [2**64 - 1, 2**64 - 2], 2**64 - 1, None, [False, True]),
        (pa.decimal128(38, 0), [10**38 - 1], None, 10**39, [False]),
    ],
)
def test_bounds_of_every_kind(kind: pa.DataType, values: list[Any], low: Any, high: Any, truth: list[bool]) -> None:
    assert beyond(values, low, high, kind) == truth


@pytest.mark.parametrize(
    ("kind", "values", "allowed", "truth"),
    [
        (pa.bool_(), [True, False, None], [True], [False, True, False]),
        (pa.int64(), [1, 2, None], [1, 2.5, math.inf, 2**80], [False, True, False]),
        (pa.int64(), [1, None], [0.5], [True, False]),
        (pa.int64(), [2**53, 2**53 + 1], [2**53 + 1], [True, False]),
        (pa.string(), ["it's", "b", None], ["it's", None], [False, True, False]),
        (pa.string(), ["a", None], [None], [True, False]),
        (pa.string(), ["a"], ["a", math.nan], [False]),
        (pa.float64(), [1.0, math.nan, -0.0], [1, math.nan, 0], [False, False, False]),
        (pa.float64(), [math.nan], [1.0], [True]),
        (CENTS, [Decimal("1.10")], [1.1], [False]),
        (CENTS, [Decimal("1.10")], [Decimal("1.1000")], [False]),
        (CENTS, [Decimal("1.10")], [Decimal("1.101"), Decimal("NaN")], [True]),
        (pa.date32(), [date(2024, 1, 1), date(2024, 1, 2)], [date(2024, 1, 1)], [False, True]),
        (ZONED, [NEW_YEAR, NEW_YEAR + HOUR], [NEW_YEAR.astimezone(timezone(HOUR))], [False, True]),
        (pa.string(), ["17:30:00", "17:30:00.5"], [time(17, 30, 0, 500_000)], [True, False]),
        (pa.time64("us"), [time(17, 30)], [time(17, 30)], [False]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "b"], ["a"], [False, True]),
    ],
)
def test_allowed_values_of_every_kind(kind: pa.DataType, values: list[Any], allowed: list[Any], truth: list[bool]) -> None:
    assert broken(none_of("x", allowed, kind), values, kind) == truth


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (5, pa.string(), "5 is a number, and the column holds string"),
        ("5", pa.int64(), "'5' is text, and the column holds int64"),
        (1, pa.bool_(), "a number"),
        (True, pa.int64(), "a boolean"),
        (naive("2024-01-01"), ZONED, "a time without a zone"),
        (NEW_YEAR, NAIVE, "a time with a zone"),
        (date(2024, 1, 1), ZONED, "a date"),
        (1_700_000_000, ZONED, "a number"),
        ("2024-01-01", pa.date32(), "is text"),
        (2**53 + 1, pa.float64(), "can't be distinguished from neighboring values"),
        (10**400, pa.float64(), "can't be distinguished from neighboring values"),
        (2.5, pa.int64(), "not a valid value for a column of int64"),
        (timedelta(1), pa.int64(), "which no column can hold"),
        (1, pa.list_(pa.int64()), "the column holds list"),
        (1, pa.struct([("a", pa.int64())]), "the column holds struct"),
    ],
)
def test_what_can_not_be_compared_is_named(value: Any, kind: pa.DataType, words: str) -> None:
    with pytest.raises(Incomparable, match=words):
        literal_of(value, kind)
