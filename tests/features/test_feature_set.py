"""Request transforms: what they may return, and what becomes of what is unknown."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import noria as nr
from noria.features.feature_set import BadTransform, transformed

ROWS = pa.table({"id": [1, 2]})
DAY = dt.date(1970, 1, 3)
TIME = dt.datetime(1970, 1, 1, 0, 0, 5, tzinfo=dt.UTC)


def returned(column: Any) -> Any:
    @nr.request_transform("x")
    def given(_: pa.Table) -> dict[str, Any]:
        return {"x": column}

    return transformed([given], ROWS)["x"]


NULLS = {
    "Arrow int64": (pa.array([3, None]), 3),
    "Arrow chunked": (pa.chunked_array([[3], pa.array([None], pa.int64())]), 3),
    "Arrow float": (pa.array([1.5, None]), 1.5),
    "Arrow bool": (pa.array([True, None]), 1),
    "Arrow decimal": (pa.array([Decimal("2.5"), None]), 2.5),
    "Arrow date": (pa.array([DAY, None]), 2),
    "Arrow time": (pa.array([TIME, None], pa.timestamp("s", tz="UTC")), 5),
    "Arrow span": (pa.array([dt.timedelta(seconds=7), None], pa.duration("s")), 7),
    "Arrow null": (pa.nulls(2), np.nan),
    "datetime64": (np.array(["1970-01-02", "NaT"], "M8[D]"), 1),
    "timedelta64": (np.array([9, "NaT"], "m8[us]"), 9),
    "object": (np.array([4, None], object), 4),
    "object decimals": (np.array([Decimal("0.5"), Decimal("NaN")], object), 0.5),
    "masked": (np.ma.masked_array([6, 1], [False, True]), 6),
    "masked times": (np.ma.masked_array(np.array([6, 1], "m8[s]"), [False, True]), 6),
    "pandas Int64": (pd.Series([8, None], dtype="Int64"), 8),
    "pandas boolean": (pd.Series([True, None], dtype="boolean"), 1),
    "pandas NaT": (pd.to_timedelta(pd.Series([1, None]), unit="ns"), 1),
    "pandas object": (pd.Series([2, pd.NA], dtype=object), 2),
    "list": ([2, None], 2),
    "float": (np.array([2.0, np.nan]), 2),
}


@pytest.mark.parametrize("kind", NULLS)
def test_what_is_null_is_unknown_whatever_it_came_in(kind: str) -> None:
    column, there = NULLS[kind]
    found = returned(column)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([there, np.nan], np.float32))


NUMBERS = {
    "booleans": (np.array([True, False]), [1, 0]),
    "whole numbers that float32 can't hold": (np.array([2**53 + 1, 2**24 + 1]), [2.0**53, 2.0**24]),
    "uint64": (np.array([2**64 - 1, 0], np.uint64), [2.0**64, 0]),
    "float16": (np.array([0.5, 1], np.float16), [0.5, 1]),
    "beyond float32": (np.array([1e300, -1e300]), [np.inf, -np.inf]),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_become_float32(kind: str) -> None:
    column, expected = NUMBERS[kind]
    assert returned(column).tolist() == expected


REFUSED = {
    "text": np.array(["a", "b"]),
    "text of digits": pa.array(["01", "2"]),
    "object text": np.array(["01", None], object),
    "pandas text": pd.Series(["1", "2"]),
    "dictionary of texts": pa.array(["1", "2"]).dictionary_encode(),
    "bytes": pa.array([b"1", b"2"]),
    "complex": np.array([1j, 2]),
    "complex objects": np.array([1j, 2], object),
    "lists": pa.array([[1], [2]]),
    "ragged": [[1], [2, 3]],
    "structs": pa.array([{"a": 1}, {"a": 2}]),
    "times of day": pa.array([dt.time(1), dt.time(2)]),
    "two columns": np.ones((2, 2)),
    "too few": np.ones(1),
    "one number": 1.0,
    "nothing": None,
    "huge": [10**400, 1],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_a_number_for_each_row_is_refused(kind: str) -> None:
    with pytest.raises(BadTransform, match="'given'"):
        returned(REFUSED[kind])


@pytest.mark.parametrize("values", [None, [1, 2], {}, {"y": [1, 2]}, {"x": [1, 2], "y": [1, 2]}])
def test_other_features_than_were_declared_are_refused(values: Any) -> None:
    @nr.request_transform("x")
    def other(_: pa.Table) -> Any:
        return values

    with pytest.raises(BadTransform, match="declares"):
        transformed([other], ROWS)


def test_a_transform_that_raises_is_named_with_its_words_and_its_line() -> None:
    @nr.request_transform("x")
    def ratio(_: pa.Table) -> dict[str, Any]:
        return {"x": [1 // 0, 2]}

    with pytest.raises(BadTransform, match=r"'ratio'.*ZeroDivisionError.*test_feature_set.py, line \d+"):
        transformed([ratio], ROWS)
