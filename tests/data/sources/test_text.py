"""A text stands for one value of a type, or for none: no digit, hour, zero or zone is invented or lost."""

# ruff: noqa: DTZ001 (a time without a zone is one kind of value)

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from math import inf, isnan, nan
from typing import Any

import pyarrow as pa
import pytest

from noria.core.sql import connect
from noria.data.sources.text import fits, value_of, with_point

D = Decimal


@lru_cache
def engine() -> Any:
    return connect()


def read(text: str | None, kind: str, *, lenient: bool = False) -> Any:
    engine().register("t", pa.table({"x": pa.array([text], pa.string())}))
    found = engine().sql(f"SELECT {value_of('x', kind, lenient=lenient)} AS x, {fits('x', kind, lenient=lenient)} AS fits FROM t")
    [(value, there)] = zip(*found.to_arrow_table().to_pydict().values(), strict=True)
    assert there == (value is not None)
    return value


WHOLE = {
    "0": 0,
    "7": 7,
    "-7": -7,
    "9223372036854775807": 2**63 - 1,
    "-9223372036854775808": -(2**63),
    "9223372036854775808": None,
    "0000077": None,
    "00": None,
    "-0": None,
    "+7": None,
    "2.5": None,
    "3.0": None,
    "1e3": None,
    " 7": None,
    "7 ": None,
    "1_000": None,
    "1,000": None,
    "0x10": None,
    "": None,
    "-": None,
    "true": None,
    "٣": None,
    "７": None,
    "1\n": None,
}
DOUBLE = {
    "0": 0.0,
    "2.5": 2.5,
    "-2.50": -2.5,
    ".5": 0.5,
    "5.": 5.0,
    "1e3": 1000.0,
    "1E-3": 0.001,
    "1e400": None,
    "nan": nan,
    "NaN": nan,
    "inf": inf,
    "-Infinity": -inf,
    "9007199254740993": None,
    "0.1": 0.1,
    "12345678901234567890": None,
    "12345678901234500000": 12345678901234500000.0,
    "007.5": None,
    "1,5": None,
    "1 000.5": None,
    "--1": None,
    ".": None,
    "": None,
    "e5": None,
    "1e": None,
    "1d": None,
    "1.5f": None,
    "0x1p3": None,
    "1_0.5": None,
}
DECIMAL = {
    "2.5": D("2.50"),
    "-0.01": D("-0.01"),
    "2.500": D("2.50"),
    "2.505": None,
    "7": D("7.00"),
    "1e2": None,
    ".5": None,
    "007": None,
    "9999999999999999.99": D("9999999999999999.99"),
    "99999999999999999.99": None,
    "NaN": None,
    "": None,
    "1,5": None,
}
BOOLEAN = {"true": True, "FALSE": False, "True": True, "1": None, "0": None, "yes": None, "t": None, "": None, " true": None}
DAY = {
    "2024-02-29": date(2024, 2, 29),
    "2023-02-29": None,
    "2024-13-01": None,
    "2024-1-1": None,
    "2024-01-01 17:30": None,
    "2024-01-01 00:00": None,
    "01/02/2024": None,
    "20240101": None,
    "0001-01-01": date(1, 1, 1),
    "9999-12-31": date(9999, 12, 31),
    "2024-01-01Z": None,
    "infinity": None,
    "epoch": None,
    "": None,
}
NAIVE = {
    "2024-01-01": datetime(2024, 1, 1),
    "2024-01-01 17:30": datetime(2024, 1, 1, 17, 30),
    "2024-01-01T17:30:00": datetime(2024, 1, 1, 17, 30),
    "2024-01-01 17:30:00.5": datetime(2024, 1, 1, 17, 30, 0, 500_000),
    "2024-01-01 17:30:00.000001": datetime(2024, 1, 1, 17, 30, 0, 1),
    "2024-01-01 17:30:00.0000001": datetime(2024, 1, 1, 17, 30, 0, 1),
    "2024-01-01 17:30:00.0000010": datetime(2024, 1, 1, 17, 30, 0, 1),
    "2024-01-01 17:30:00.000000999": datetime(2024, 1, 1, 17, 30, 0, 1),
    "1969-12-31 23:59:59.9999999": datetime(1970, 1, 1),
    "2024-01-01T17:30:00Z": None,
    "2024-01-01 25:00": None,
    "2024-01-01 17": None,
    "2024-01-01 17:30 PM": None,
    "17:30": None,
    "1704067200": None,
    "infinity": None,
    "": None,
}
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
ZONED = {
    "2024-01-01T12:00:00Z": NOON,
    "2024-01-01T12:00:00z": NOON,
    "2024-01-01 12:00:00 UTC": NOON,
    "2024-01-01 12:00:00UTC": NOON,
    "2024-01-01 12:00Z": NOON,
    "2024-01-01T14:00:00+02:00": NOON,
    "2024-01-01T14:00:00+0200": NOON,
    "2024-01-01 07:00:00-05": NOON,
    "2024-01-01T17:30:00+05:30": NOON,
    "2024-01-01T12:00:00.000000Z": NOON,
    "2024-01-01T12:00:00.0000001Z": NOON.replace(microsecond=1),
    "2024-01-01T12:00:00.123456789+00:00": NOON.replace(microsecond=123_457),
    "2024-01-01T12:00:00.123456000+00:00": NOON.replace(microsecond=123_456),
    "2024-01-01T11:59:59.9999999Z": NOON,
    "2024-01-01T12:00:00": None,
    "2024-01-01": None,
    "2024-01-01 12:00:00 Europe/Berlin": None,
    "2024-01-01 12:00:00 CET": None,
    "2024-01-01T12:00:00+25:00": None,
    "2024-01-01T12:00:00+16": None,
    "2024-01-01T12:00:00+02:75": None,
    "2024-01-02T02:00:00+1400": NOON,
    "2024-01-01T00:00:00-12:00": NOON,
    "2024-01-01T12:00:60Z": None,
    "2024-01-01T11:60:00Z": None,
    "2024-01-01T24:00:00Z": datetime(2024, 1, 2, tzinfo=UTC),
    "-2024-01-01T12:00:00Z": None,
    "12024-01-01T12:00:00Z": None,
    "2024-02-30T12:00:00Z": None,
    "1704110400": None,
    "Mon, 01 Jan 2024 12:00:00 GMT": None,
    "infinity": None,
    "": None,
}
TABLE = [
    (text, kind, wanted)
    for kind, values in {
        "BIGINT": WHOLE,
        "DOUBLE": DOUBLE,
        "DECIMAL(18,2)": DECIMAL,
        "BOOLEAN": BOOLEAN,
        "DATE": DAY,
        "TIMESTAMP": NAIVE,
        "TIMESTAMP WITH TIME ZONE": ZONED,
        "VARCHAR": {t: t for t in ("", " ", "NA", "0000077", "2.5", "é\n")},
    }.items()
    for text, wanted in values.items()
]


@pytest.mark.parametrize(("text", "kind", "wanted"), TABLE)
def test_a_text_is_the_value_that_it_says_or_none(text: str, kind: str, wanted: Any) -> None:
    found = read(text, kind)
    assert found == wanted or (isinstance(wanted, float) and isnan(wanted) and isnan(found))
    assert type(found) is type(wanted) or isinstance(found, datetime)


@pytest.mark.parametrize(
    "kind",
    ["BIGINT", "DOUBLE", "DECIMAL(38,10)", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "VARCHAR", "BLOB", "BIGINT[]"],
)
def test_null_is_null_in_every_type(kind: str) -> None:
    assert read(None, kind) is None


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        ("+7", "BIGINT", 7),
        ("0000077", "BIGINT", 77),
        ("-007", "BIGINT", -7),
        ("000", "BIGINT", 0),
        ("2.5", "BIGINT", None),
        ("7 ", "BIGINT", None),
        ("+", "BIGINT", None),
        ("+-7", "BIGINT", None),
        ("+007.50", "DOUBLE", 7.5),
        ("-00.5", "DOUBLE", -0.5),
        ("007.50", "DECIMAL(18,2)", D("7.50")),
        ("+0.5", "DECIMAL(18,2)", D("0.50")),
        ("007.505", "DECIMAL(18,2)", None),
    ],
)
def test_a_declared_number_may_have_a_plus_sign_and_leading_zeros(text: str, kind: str, wanted: Any) -> None:
    assert read(text, kind, lenient=True) == wanted


NESTED = "STRUCT(x BIGINT, y DOUBLE[], z VARCHAR)"


def nested(x: Any = None, y: Any = None, z: Any = None) -> dict[str, Any]:
    return {"x": x, "y": y, "z": z}


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        ("[1, 2]", "BIGINT[]", [1, 2]),
        ("[1,null]", "BIGINT[]", [1, None]),
        ("[1, NULL]", "BIGINT[]", [1, None]),
        ("[]", "BIGINT[]", []),
        ('["a"]', "BIGINT[]", None),
        ("[1.5]", "BIGINT[]", None),
        ("[1", "BIGINT[]", None),
        ("1,2", "BIGINT[]", None),
        ("7", "BIGINT[]", None),
        ("x", "BIGINT[]", None),
        ("", "BIGINT[]", None),
        ("[1, 2.5]", "DOUBLE[]", [1.0, 2.5]),
        ("[1.0, NULL, nan]", "DOUBLE[]", [1.0, None, nan]),
        ("[1.25]", "DECIMAL(18,2)[]", [D("1.25")]),
        ("[1.255]", "DECIMAL(18,2)[]", None),
        ('["a", null, "b c"]', "VARCHAR[]", ["a", None, "b c"]),
        ("[[1], []]", "BIGINT[][]", [[1], []]),
        ('[["x"]]', "BIGINT[][]", None),
        ('["2024-01-01T00:00:00Z"]', "TIMESTAMP WITH TIME ZONE[]", [datetime(2024, 1, 1, tzinfo=UTC)]),
        ('["2024-01-01"]', "TIMESTAMP WITH TIME ZONE[]", None),
        ('{"x": 1}', NESTED, nested(1)),
        ('{"z":"b","x":1}', NESTED, nested(1, None, "b")),
        ('{"x":2,"y":[1.0,2.5],"z":"it"}', NESTED, nested(2, [1.0, 2.5], "it")),
        ("{'x': 1, 'y': [1.0], 'z': a}", NESTED, nested(1, [1.0], "a")),
        ('{"x":null}', NESTED, nested()),
        ('{"x": "one"}', NESTED, None),
        ('{"x": 2.5}', NESTED, None),
        ('{"x": 1, "w": 2}', NESTED, None),
        ("[1]", NESTED, None),
        ("7", NESTED, None),
        ("null", NESTED, None),
        ('{"a": 1}', "MAP(VARCHAR, BIGINT)", [("a", 1)]),
        ("{a=1}", "MAP(VARCHAR, BIGINT)", [("a", 1)]),
        ('{"a": "b"}', "MAP(VARCHAR, BIGINT)", None),
        ('[{"x": 1}]', "STRUCT(x BIGINT)[]", [{"x": 1}]),
        ('[{"x": 1.5}]', "STRUCT(x BIGINT)[]", None),
    ],
)
def test_a_nested_value_is_read_whole_or_not_at_all(text: str, kind: str, wanted: Any) -> None:
    found = read(text, kind)
    assert found == wanted or str(found) == str(wanted)  # NaN is not NaN


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,5", "1.5"), ("-0,25", "-0.25"), ("7", "7"), ("1.5", "1.5"), ("1.000,5", "1.000,5"), ("1,2,3", "1,2,3"), ("", ""), ("x,y", "x,y")],
)
def test_a_decimal_comma_becomes_a_point_in_what_is_a_number(text: str, number: str) -> None:
    engine().register("t", pa.table({"x": [text]}))
    assert engine().sql(f"SELECT {with_point('x')} FROM t").fetchall() == [(number,)]
