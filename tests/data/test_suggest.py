"""A suggested contract: Python that can be pasted, and that the rows it was made from keep."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noria as nr
from noria.core.sql import connect
from noria.data.suggest import as_python, suggest, suggest_types

TABLE = nr.Table("orders", nr.files("orders.parquet"), key="id", event_time="at")
ROWS = 20
engine = cache(connect)


def pasted(column: Any, kind: pa.DataType | None = None, name: str = "x") -> nr.Contract:
    """What is suggested for a column, after it was pasted and has judged the same rows."""
    rows = pa.table({name: pa.array(column, kind)})
    suggested = suggest(TABLE, rows)
    contract: nr.Contract = eval(as_python(suggested), {"nr": nr})  # noqa: S307 - our own words
    assert contract == suggested
    engine().register("raw", rows)
    for rule in contract.rules((), (), {name: rows.schema.field(0).type}):
        assert engine().sql(f"SELECT count(*) FROM raw WHERE {rule.broken}").fetchall() == [(0,)], rule
    return contract


@pytest.mark.parametrize(
    ("column", "kind", "wanted"),
    [
        ([1.0, 2.0, 3.0, None], None, (0.8, 3.2)),
        ([123456.789012345, 0.1 + 0.2], None, (0.0, 136000.0)),
        ([7.25, 7.25], None, (7.25, 7.25)),
        ([0.1 + 0.2], None, (0.1 + 0.2, 0.1 + 0.2)),
        ([1.0, math.inf], None, (1.0, None)),
        ([-math.inf, math.inf], None, None),
        ([1.0, math.nan], None, None),
        ([1.7e308, -1.7e308], None, None),
        ([None, None], pa.float64(), None),
        ([1, 2, 3, 4], None, (0, 5)),
        ([-5, -1], None, (-6, 0)),
        ([2**53 + 1, 2**53 + 1], None, (2**53 + 1, 2**53 + 1)),
        ([2**63 - 1, 0], None, (0, 10150000000000000000)),
        ([Decimal("1.10"), Decimal("9.99")], pa.decimal128(18, 2), (0.21, 10.88)),
        ([Decimal("12345678901234567890.123456789012345678")], pa.decimal128(38, 18), (12345678901234567890, 12345678901234567891)),
        ([True, False], None, None),
        ([date(2024, 1, 1)], None, None),
        ([datetime(2024, 1, 1, tzinfo=UTC)], None, None),
        ([], pa.float64(), None),
    ],
)
def test_a_range_holds_what_was_seen(column: list[Any], kind: pa.DataType | None, wanted: Any) -> None:
    assert pasted(column, kind).between == ({} if wanted is None else {"x": wanted})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=6))
def test_floats_of_any_size_keep_their_range(column: list[float]) -> None:
    pasted(column, pa.float64())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(10**37), 10**37), min_size=1, max_size=6), st.integers(0, 37))
def test_decimals_of_any_size_keep_their_range(units: list[int], scale: int) -> None:
    pasted([Decimal((n < 0, tuple(map(int, str(abs(n)))), -scale)) for n in units], pa.decimal128(38, scale))


@pytest.mark.parametrize(
    "text", ["it's", 'say "hi"', "both ' and \"", "back\\slash", "new\nline", "\x07\u202e", "😀", "é", ":smile:", "[bold]"]
)
def test_texts_come_out_as_they_are_in_values_and_in_names(text: str) -> None:
    assert pasted([text] * ROWS).one_of == {"x": [text]}
    assert pasted([1] * ROWS, name=text).not_null == [text]


def test_many_values_are_no_list_and_what_lacks_some_may_lack_them() -> None:
    assert pasted([str(i) for i in range(ROWS)]).one_of == {}
    assert pasted([None, *["a"] * ROWS]) == nr.Contract(one_of={"x": ["a"]})
    assert pasted([1.0, math.nan] * ROWS) == nr.Contract()
    assert pasted([None] * ROWS) == nr.Contract()


def test_keys_and_times_are_left_to_rules_of_their_own() -> None:
    rows = pa.table({"id": [1, 2], "at": [datetime(2024, 1, 1, tzinfo=UTC)] * 2})
    assert suggest(TABLE, rows) == nr.Contract()


def test_types_are_written_so_that_they_can_be_pasted() -> None:
    columns = {"id": "VARCHAR", 'a "b"\\': "DECIMAL(18, 2)"}
    assert eval(f"dict({suggest_types(columns)})") == {"types": columns}  # noqa: S307 - our own words
