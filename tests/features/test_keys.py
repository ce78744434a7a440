"""Equal keys are equal everywhere: in one text for all of it, in training's join and in what serving looks up."""

# ruff: noqa: DTZ001 (a time without a zone is one kind of key)
from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noria as nr
from noria.data.table import Snapshot, SnapshotRows
from noria.features.keys import IncomparableKeys, KeyColumn, in_type, key_texts, kind_of, require_comparable
from noria.features.online import entity_keys
from noria.features.point_in_time import PointInTime

MOMENT = datetime(2024, 5, 1, 12, tzinfo=UTC)
LONG = "käse" * 100

NUMBERS = [
    pa.int32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(10, 2), pa.decimal128(38, 0), pa.decimal128(38, 20),
]  # fmt: skip
LOCALS = [pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("ns")]
MOMENTS = [pa.timestamp("us", tz="UTC"), pa.timestamp("ms", tz="America/New_York")]
TEXTS = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
BYTES = [pa.binary(), pa.binary(2)]
OTHERS = [pa.bool_(), pa.time64("us"), pa.time32("s")]

VALUES: dict[str, list[Any]] = {
    "a number": [
        None, 0, 1, 7, -7, 100, 250, 2**31, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 10**19, 10**37,
        math.nan, -0.0, 0.5, 0.1, 0.30000000000000004, 7.25, 1e-7, 5e-324, 1e15 + 0.5, 1e23, 1.7e308, math.inf, -math.inf,
        Decimal("0.1"), Decimal("7.00"), Decimal("7.25"), Decimal("0.0000001"), Decimal("-0.30"), Decimal("99999999.99"),
    ],
    "a date or a time without a zone": [
        None, date(1, 1, 1), date(1969, 12, 31), date(1970, 1, 1), date(2024, 5, 1), date(9999, 12, 31),
        datetime(2024, 5, 1), datetime(2024, 5, 1, 17, 30), datetime(2024, 5, 1, 17, 30, 0, 250_000), datetime(2024, 5, 1, 17, 30, 0, 1),
        datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime(1970, 1, 1),
    ],
    "a time with a zone": [
        None, MOMENT, MOMENT + timedelta(microseconds=1), MOMENT - timedelta(hours=4), datetime(1969, 7, 20, tzinfo=UTC),
    ],
    "text": [
        None, "", "a", "A", "a ", "7", "7.0", "null", "a|b", "a\\", "\\|", "a\x1fb", "a\x00", "a\x00b", "🙂", LONG, LONG + "x", LONG[:300],
    ],
    "bytes": [None, b"ab", b"\x00\xff", b"\xff\x00"],
    "a boolean": [None, True, False],
    "a time of day": [None, time(0), time(17, 30), time(17, 30, 0, 250_000)],
}  # fmt: skip


def held(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Those of the values that a type holds as they are (as floats, to the nearest)."""
    kept = []
    for value in values:
        try:
            one = pa.array([value], type_)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, TypeError, ValueError):
            continue
        if pa.types.is_integer(type_) and value is not None and one.to_pylist() != [value]:
            continue
        kept.append(one)
    return pa.concat_arrays([one.dictionary_decode() if pa.types.is_dictionary(type_) else one for one in kept]).cast(type_)


def meaning(value: Any) -> Any:
    """What a key says, in Python's terms: numbers by value, floats as the shortest decimal that reads back, dates as midnights."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float):
        return value if math.isinf(value) else Decimal(int(value)) if value.is_integer() else Decimal(repr(value))
    if isinstance(value, bool | str | bytes | time):
        return value
    if isinstance(value, int):
        return Decimal(value)
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    return datetime(value.year, value.month, value.day) if isinstance(value, date) and not isinstance(value, datetime) else value


def equal(one: Any, other: Any) -> bool:
    return meaning(one) is not None and meaning(one) == meaning(other)


PAIRS = [(a, b) for group in (NUMBERS, LOCALS, MOMENTS, TEXTS, BYTES) for a in group for b in group] + [(a, a) for a in OTHERS]


@pytest.mark.parametrize(("asked", "stored"), PAIRS, ids=str)
def test_training_finds_a_key_of_another_type_where_it_is_equal_and_serving_finds_the_same(asked: Any, stored: Any) -> None:
    spine, entities = held(VALUES[kind_of(asked) or ""], asked), held(VALUES[kind_of(stored) or ""], stored)
    expected = [sum(equal(one, other) for other in entities.to_pylist()) for one in spine.to_pylist()]
    assert sum(expected) > 0
    assert joined(spine, entities) == [expected] * 6
    keys = entity_keys(pa.table({"entity": entities}), ["entity"])
    assert [0 if key is None else keys.count(key) for key in entity_keys(pa.table({"entity": spine}), ["entity"])] == expected


def joined(spine: pa.Array, entities: pa.Array) -> list[list[int]]:
    """How many facts each row of a spine finds, as each form of the join counts them, without and with ticks."""
    n = len(entities)
    at = pa.array([MOMENT] * n, pa.timestamp("us", tz="UTC"))
    table = nr.Table("events", nr.files("none"), key="id", event_time="at")
    rows = pa.table({"id": list(range(n)), "entity": entities, "at": at, "one": [1] * n})
    engine = PointInTime([SnapshotRows(table, Snapshot("events", 0, "", n), rows)])
    asked = pa.table({"entity": spine, "_at": pa.array([MOMENT] * len(spine), pa.timestamp("us", tz="UTC"))})
    found = []
    for freshness in (None, "15m"):
        view = nr.FeatureView(
            "v", table, entity="entity", aggregate={"n": nr.count(window="1h"), "distinct": nr.distinct("id", window="1h")},
            latest=["one"], ttl="1h", freshness=freshness,
        )  # fmt: skip
        values = engine.join(asked, [view])
        counts = values.column("n").to_pylist()
        latest = [n if (one is not None) == (n > 0) else -1 for n, one in zip(counts, values.column("one").to_pylist(), strict=True)]
        found += [counts, values.column("distinct").to_pylist(), latest]
    return found


@pytest.mark.parametrize("group", [NUMBERS, LOCALS, MOMENTS, TEXTS, BYTES, *([t] for t in OTHERS)], ids=str)
def test_texts_of_keys_are_equal_exactly_where_the_keys_are(group: list[Any]) -> None:
    seen: dict[str, Any] = {}
    for type_ in group:
        values = held(VALUES[kind_of(type_) or ""], type_)
        for value, text in zip(values.to_pylist(), key_texts(pa.table({"k": values}), ["k"]).to_pylist(), strict=True):
            assert (text is None) == (meaning(value) is None)
            if text is not None:
                assert meaning(seen.setdefault(text, value)) == meaning(value)
    assert len(seen) == len({meaning(value) for value in seen.values()})


numbers = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1), st.decimals(-(10**12), 10**12, places=6))


@settings(max_examples=80, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=20))
def test_any_numbers_have_equal_texts_exactly_where_they_are_equal(values: list[Any]) -> None:
    texts = []
    for value in values:
        type_ = pa.float64() if isinstance(value, float) else pa.int64() if isinstance(value, int) else pa.decimal128(30, 6)
        texts += key_texts(pa.table({"k": pa.array([value], type_)}), ["k"]).to_pylist()
    for one, text in zip(values, texts, strict=True):
        for other, other_text in zip(values, texts, strict=True):
            assert (text is not None and text == other_text) == equal(one, other)
        assert text is None or "e" not in text.lower()


awkward = st.text(st.sampled_from("a|\\\x1f\x00🙂"), max_size=4)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(awkward, awkward, awkward), min_size=2, max_size=30, unique=True))
def test_different_composite_keys_have_different_texts(keys: list[tuple[str, str, str]]) -> None:
    rows = pa.table({name: [key[i] for key in keys] for i, name in enumerate("abc")})
    assert len(set(key_texts(rows, ["a", "b", "c"]).to_pylist())) == len(keys)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([7]), "7"),
        (pa.array([7.0]), "7"),
        (pa.array([-0.0]), "0"),
        (pa.array([0.1]), "0.1"),
        (pa.array([0.1], pa.float32()), "0.10000000149011612"),
        (pa.array([1e19]), "10000000000000000000"),
        (pa.array([2**53 + 1]), "9007199254740993"),
        (pa.array([1e-7]), "0.0000001"),
        (pa.array([Decimal("100.50")]), "100.5"),
        (pa.array([Decimal("0.0000001")]), "0.0000001"),
        (pa.array([Decimal(100)]), "100"),
        (pa.array([Decimal("1E+3")], pa.decimal128(5, -3)), "1000"),
        (pa.array(["a|b\\"]), "a|b\\"),
        (pa.array([True]), "true"),
        (pa.array([date(2024, 5, 1)]), "2024-05-01"),
        (pa.array([datetime(2024, 5, 1)]), "2024-05-01"),
        (pa.array([datetime(2024, 5, 1, 10, 0, 0, 250_000)]), "2024-05-01 10:00:00.25"),
        (pa.array([datetime(2024, 5, 1, 10, 0)], pa.timestamp("s")), "2024-05-01 10:00:00"),
        (pa.array([MOMENT], pa.timestamp("us", tz="America/New_York")), "2024-05-01 12:00:00+00"),
        (pa.array([b"\x00\xff"]), "00ff"),
    ],
)
def test_a_single_key_reads_as_people_write_it(column: pa.Array, text: str) -> None:
    assert key_texts(pa.table({"k": column}), ["k"]).to_pylist() == [text]


def test_parts_of_a_composite_key_are_joined_and_a_part_that_is_unknown_makes_it_unknown() -> None:
    rows = pa.table({"shop": ["a", "x|y", "a", None], "n": [1.0, 2.5, math.nan, 4.0]})
    assert key_texts(rows, ["shop", "n"]).to_pylist() == ["a|1", "x\\|y|2.5", None, None]


def test_long_keys_that_begin_alike_are_kept_apart_and_none_can_pass_for_another() -> None:
    long = ["k" * 400, "k" * 401, "k" * 5_000]
    [*names] = entity_keys(pa.table({"k": long}), ["k"])
    disguised = [name[1:].decode() for name in names if name is not None]  # what a caller might send who knows how long keys are named
    again = entity_keys(pa.table({"k": [*long, *disguised]}), ["k"])
    assert again[:3] == names
    assert len(set(again)) == 6
    assert all(len(name) <= 300 for name in again if name is not None)


@pytest.mark.parametrize("type_", [pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.duration("us")], ids=str)
def test_what_cannot_be_a_key_is_refused_by_name(type_: pa.DataType) -> None:
    with pytest.raises(IncomparableKeys, match="'tags' of 'orders'") as refused:
        key_texts(pa.table({"tags": pa.array([None], type_)}), ["tags"], "orders")
    assert refused.value.code == "NR-217"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.string(), pa.int64()),
        (pa.bool_(), pa.int64()),
        (pa.timestamp("us"), pa.timestamp("us", tz="UTC")),
        (pa.date32(), pa.string()),
        (pa.binary(), pa.string()),
        (pa.time64("us"), pa.timestamp("us")),
    ],
    ids=str,
)
def test_keys_that_could_only_be_compared_by_guessing_are_refused_with_both_tables(left: pa.DataType, right: pa.DataType) -> None:
    with pytest.raises(IncomparableKeys, match=r"orders\.customer.*events\.customer"):
        require_comparable(KeyColumn("orders", "customer", left), KeyColumn("events", "customer", right))
    with pytest.raises(IncomparableKeys):
        joined(pa.nulls(1, left), pa.nulls(1, right))


def test_a_column_of_nulls_can_be_asked_of_anything_and_finds_nothing() -> None:
    for stored in (pa.array([1, 2]), pa.array(["a", None]), pa.nulls(2)):
        assert joined(pa.nulls(3), stored) == [[0, 0, 0]] * 6
    assert joined(pa.array(["a", None]), pa.nulls(2)) == [[0, 0]] * 6


def test_keys_of_the_tables_type_are_joined_as_they_are() -> None:
    column = pa.chunked_array([[1, 2], [3]], pa.int64())
    with duckdb.connect() as con:
        assert in_type(column, pa.int64(), con) is column
