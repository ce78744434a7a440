"""Every Arrow type, ingested twice and read back: stored as what the module says, and never as another value."""

# ruff: noqa: DTZ001 (a time without a zone is one kind of value)

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import noria as nr
from feeds import Feed, dated, feed
from noria.core.sql import connect, quoted
from noria.data.ingest import push
from noria.data.types import (
    BadTypes,
    UnsupportedType,
    arrow_of,
    as_stored,
    converted,
    decimal_of,
    declared,
    kind_of,
    sql_of,
    stored_type,
    wider,
)

D = Decimal
UTC_US = pa.timestamp("us", tz="UTC")
NOON = datetime(2024, 3, 31, 12, 0, 0, 123456, tzinfo=UTC)
NAIVE = datetime(2024, 3, 31, 12, 0, 0, 123456)
MDN = pa.MonthDayNano
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@dataclass(frozen=True)
class Kind:
    """Values of a type: those of a first file and of a second, as they are read back; `stored` is the type they are stored as."""

    type: pa.DataType
    first: pa.Array
    second: pa.Array
    stored: pa.DataType
    values: list[Any]
    number: list[float] | None = None  # the latest value as a feature, where it is a number


def plain(
    type: pa.DataType, first: list[Any], second: list[Any], stored: pa.DataType, values: list[Any] | None = None, **more: Any
) -> Kind:
    made = [pa.array(part, type) for part in (first, second)]
    return Kind(type, made[0], made[1], stored, [*first, *second] if values is None else values, **more)


def whole(type: pa.DataType, low: int, high: int) -> Kind:
    return plain(type, [low, None], [high, 7], pa.int64(), number=[float(low), None, float(high), 7.0])


def decimals(type: pa.DataType, stored: pa.DataType, a: str, b: str, **more: Any) -> Kind:
    return plain(type, [D(a), None], [D(b), D(0)], stored, number=[float(D(a)), None, float(D(b)), 0.0], **more)


def extension(type: Any, storage: list[list[Any]], stored: pa.DataType, values: list[Any]) -> Kind:
    first, second = (pa.ExtensionArray.from_storage(type, pa.array(part, type.storage_type)) for part in storage)
    return Kind(type, first, second, stored, values)


def ns(*counts: int | None, tz: str | None = None) -> pa.Array:
    return pa.array(counts, pa.int64()).cast(pa.timestamp("ns", tz=tz))


def encoded(first: list[Any], second: list[Any], type: pa.DataType) -> tuple[pa.Array, pa.Array]:
    a, b = (pc.run_end_encode(pa.array(part, type)) for part in (first, second))
    return a, b


def kinds() -> dict[str, Kind]:
    text, i64, f64 = pa.string(), pa.int64(), pa.float64()
    point, nested = (
        pa.struct([("x", pa.int16()), ("y", pa.large_string())]),
        pa.list_(pa.struct([("k", text), ("v", pa.list_(pa.uint8()))])),
    )
    runs, words = encoded([1, 1], [None, 3], pa.int32()), encoded(["a", "a"], ["b", None], text)
    moments = [pa.array(part, UTC_US).dictionary_encode() for part in ([NOON, None], [NOON, NOON])]
    epoch = datetime(1970, 1, 1)
    return {
        "int8": whole(pa.int8(), -128, 127),
        "int16": whole(pa.int16(), -32768, 32767),
        "int32": whole(pa.int32(), -(2**31), 2**31 - 1),
        "int64": whole(i64, -(2**63), 2**63 - 1),
        "uint8": whole(pa.uint8(), 0, 255),
        "uint16": whole(pa.uint16(), 0, 65535),
        "uint32": whole(pa.uint32(), 0, 2**32 - 1),
        "uint64": decimals(pa.uint64(), pa.decimal128(38, 0), str(2**64 - 1), "1"),
        "float16": plain(pa.float16(), [1.5, None], [-0.25, 65504.0], f64, number=[1.5, None, -0.25, 65504.0]),
        "float32": plain(pa.float32(), [1.5, None], [-0.25, 1e10], f64, number=[1.5, None, -0.25, 1e10]),
        "float64": plain(f64, [0.1, None], [-1e300, 5e-324], f64),
        "decimal32": decimals(pa.decimal32(5, 2), pa.decimal128(18, 2), "-999.99", "0.01"),
        "decimal64": decimals(pa.decimal64(15, 3), pa.decimal128(18, 3), "123456789012.345", "-0.001"),
        "decimal128": decimals(pa.decimal128(5, 2), pa.decimal128(18, 2), "999.99", "-1.50"),
        "decimal128 long": decimals(pa.decimal128(38, 10), pa.decimal128(38, 10), "9" * 28 + ".0123456789", "-1.5000000000"),
        "decimal128 negative scale": decimals(pa.decimal128(5, -2), pa.decimal128(18, 0), "123400", "-99900"),
        "decimal256": decimals(pa.decimal256(40, 2), pa.decimal128(38, 2), "1" * 36 + ".25", "-0.75"),
        "bool": plain(pa.bool_(), [True, None], [False, True], pa.bool_(), number=[1.0, None, 0.0, 1.0]),
        "string": plain(text, ["", None], ["NA", "01"], text),
        "large_string": plain(pa.large_string(), ["é", None], ["b\n", '"'], text),
        "string_view": plain(pa.string_view(), ["a text beyond twelve bytes", None], ["b", ""], text),
        "dictionary of strings": plain(pa.dictionary(pa.int8(), text), ["a", None], ["b", "a"], text),
        "dictionary of ints": plain(pa.dictionary(pa.int32(), i64), [2**53 + 1, None], [-1, 0], i64),
        "dictionary of times": Kind(pa.dictionary(pa.int32(), UTC_US), *moments, UTC_US, [NOON, None, NOON, NOON]),
        "run-end-encoded ints": Kind(runs[0].type, *runs, i64, [1, 1, None, 3], number=[1.0, 1.0, None, 3.0]),
        "run-end-encoded strings": Kind(words[0].type, *words, text, ["a", "a", "b", None]),
        "binary": plain(pa.binary(), [b"\x00\xff", None], [b"", b"a"], pa.binary()),
        "large_binary": plain(pa.large_binary(), [b"\x00\xff", None], [b"", b"a"], pa.binary()),
        "fixed_size_binary": plain(pa.binary(2), [b"\x00\xff", None], [b"ab", b"\x00\x00"], pa.binary()),
        "binary_view": plain(pa.binary_view(), [b"more than twelve bytes", None], [b"", b"a"], pa.binary()),
        "date32": plain(pa.date32(), [date(1, 1, 1), None], [date(9999, 12, 31), date(1970, 1, 1)], pa.date32()),
        "date64": plain(pa.date64(), [date(1960, 2, 29), None], [date(2024, 2, 29), date(1970, 1, 1)], pa.date32()),
        "time32[s]": plain(
            pa.time32("s"), [time(0, 0, 0), None], [time(23, 59, 59), time(7, 5)], text, ["00:00:00", None, "23:59:59", "07:05:00"]
        ),
        "time32[ms]": plain(
            pa.time32("ms"), [time(17, 30, 0, 500_000), None], [time(1), time(1)], text, ["17:30:00.5", None, "01:00:00", "01:00:00"]
        ),
        "time64[us]": plain(
            pa.time64("us"), [time(17, 30, 0, 1), None], [time(1), time(1)], text, ["17:30:00.000001", None, "01:00:00", "01:00:00"]
        ),
        "time64[ns]": plain(pa.time64("ns"), [1, None], [3_600_000_000_000, 0], text, ["00:00:00.000000001", None, "01:00:00", "00:00:00"]),
        **{
            f"timestamp[{u}]": plain(pa.timestamp(u), [t, None], [epoch, t], pa.timestamp("us"), [t, None, epoch, t])
            for u, t in naive_times().items()
        },
        **{f"timestamp[{u}, UTC]": zoned(u, t, "UTC") for u, t in naive_times().items()},
        "timestamp[us, Europe/Berlin]": zoned("us", NAIVE, "Europe/Berlin"),
        "timestamp[us, -07:00]": zoned("us", NAIVE, "-07:00"),
        "timestamp[ns] before 1970": Kind(
            pa.timestamp("ns"),
            ns(-1, None),
            ns(-1001, -1000),
            pa.timestamp("us"),
            [epoch, None, epoch - timedelta(microseconds=1), epoch - timedelta(microseconds=1)],
        ),
        "timestamp[ns, zone] is rounded up": Kind(
            pa.timestamp("ns", tz="Europe/Berlin"),
            ns(1, None, tz="Europe/Berlin"),
            ns(1_999, 2_000, tz="Europe/Berlin"),
            UTC_US,
            [datetime(1970, 1, 1, 0, 0, 0, us, tzinfo=UTC) if us else None for us in (1, 0, 2, 2)],
        ),
        "duration[s]": plain(
            pa.duration("s"), [timedelta(days=1), None], [-timedelta(seconds=1), timedelta()], i64, [86_400 * 10**9, None, -(10**9), 0]
        ),
        "duration[ms]": plain(pa.duration("ms"), [timedelta(milliseconds=1), None], [timedelta(), timedelta()], i64, [10**6, None, 0, 0]),
        "duration[us]": plain(pa.duration("us"), [timedelta(microseconds=1), None], [timedelta(), timedelta()], i64, [1000, None, 0, 0]),
        "duration[ns]": plain(pa.duration("ns"), [1, None], [-5, 0], i64, [1, None, -5, 0]),
        "month_day_nano_interval": plain(
            pa.month_day_nano_interval(),
            [MDN([1, 2, 3_500_000_000]), None],
            [MDN([0, 0, 0]), MDN([-1, 0, -1])],
            text,
            ["P1M2DT3.5S", None, "PT0S", "P-1MT-0.000000001S"],
        ),
        "list": plain(pa.list_(pa.int8()), [[1, None], None], [[], [3]], pa.list_(i64)),
        "large_list": plain(pa.large_list(text), [["a", None], None], [[], ["b"]], pa.list_(text)),
        "fixed_size_list": plain(pa.list_(pa.float32(), 2), [[1.5, None], None], [[0.0, 1.0], [2.0, 3.0]], pa.list_(f64)),
        "list_view": plain(pa.list_view(pa.uint16()), [[1, None], None], [[], [3]], pa.list_(i64)),
        "large_list_view": plain(pa.large_list_view(text), [["a", None], None], [[], ["c"]], pa.list_(text)),
        "struct": plain(
            point, [{"x": 1, "y": None}, None], [{"x": None, "y": "b"}, {"x": 2, "y": ""}], pa.struct([("x", i64), ("y", text)])
        ),
        "map": plain(pa.map_(text, pa.int16()), [[("a", 1), ("b", None)], None], [[], [("", 2)]], pa.map_(text, i64)),
        "list of structs of lists": plain(
            nested,
            [[{"k": "a", "v": [1, None]}, None], None],
            [[], [{"k": None, "v": None}]],
            pa.list_(pa.struct([("k", text), ("v", pa.list_(i64))])),
        ),
        "struct of a map": plain(
            pa.struct([("m", pa.map_(text, pa.timestamp("s")))]),
            [{"m": [("a", epoch)]}, None],
            [{"m": None}, {"m": []}],
            pa.struct([("m", pa.map_(text, pa.timestamp("us")))]),
        ),
        "map of lists": plain(
            pa.map_(pa.int8(), pa.list_(pa.date32())),
            [[(1, [date(2024, 1, 1)])], None],
            [[(2, None)], []],
            pa.map_(i64, pa.list_(pa.date32())),
        ),
        "list of decimals": plain(
            pa.list_(pa.decimal128(4, 2)), [[D("1.25"), None], None], [[], [D("-9.99")]], pa.list_(pa.decimal128(18, 2))
        ),
        "list of times of day": plain(
            pa.list_(pa.time32("s")), [[time(1, 2, 3)], None], [[None], []], pa.list_(text), [["01:02:03"], None, [None], []]
        ),
        "list of nothing but nulls": plain(pa.list_(pa.null()), [[None], None], [[], [None, None]], pa.list_(text)),
        "uuid": extension(pa.uuid(), [[ID.bytes, None], [bytes(16), ID.bytes]], text, [str(ID), None, str(uuid.UUID(int=0)), str(ID)]),
        "json": extension(pa.json_(text), [['{"a": 1}', None], ["[]", "null"]], text, ['{"a": 1}', None, "[]", "null"]),
        "bool8": extension(pa.bool8(), [[1, None], [0, 1]], pa.bool_(), [True, None, False, True]),
    }


def naive_times() -> dict[str, datetime]:
    return {"s": NAIVE.replace(microsecond=0), "ms": NAIVE.replace(microsecond=123_000), "us": NAIVE, "ns": NAIVE}


def zoned(unit: str, moment: datetime, zone: str) -> Kind:
    at = moment.replace(tzinfo=UTC)
    return plain(pa.timestamp(unit, tz=zone), [at, None], [datetime(1970, 1, 1, tzinfo=UTC), at], UTC_US)


def in_parquet(kind: Kind) -> bool:
    """Whether a Parquet file can hold it."""
    try:
        pq.write_table(pa.table({"x": kind.first}), pa.BufferOutputStream())
    except (pa.ArrowException, OSError):
        return False
    return True


KINDS = kinds()
NAMES = list(KINDS)
IN_PARQUET = [n for n, k in KINDS.items() if in_parquet(k)]
NUMBERS = [n for n, k in KINDS.items() if k.number is not None]


def columns(which: list[str], part: str) -> dict[str, pa.Array]:
    return {n: getattr(KINDS[n], part) for n in which}


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    """All types in one table: pushed, then other values, then nothing but nulls."""
    made = feed(tmp_path_factory.mktemp("pushed"))
    for start, part in ((0, "first"), (2, "second")):
        assert push(made.table, made.store, dated(start, **columns(NAMES, part))).balance.rows_out["stored"] == 2
    nulls = dated(4, **{n: pa.nulls(1, KINDS[n].type) for n in NAMES})
    assert push(made.table, made.store, nulls).balance.rows_out["stored"] == 1
    return made


@pytest.fixture(scope="module")
def from_parquet(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    """Those that Parquet can hold, from files: values, others, nothing but nulls (with and without a type), and the first file again."""
    made = feed(tmp_path_factory.mktemp("parquet"), "*.parquet")
    assert made.took("a.parquet", dated(0, **columns(IN_PARQUET, "first"))) == {"stored": 2, "repeated": 0, "quarantined": 0}
    assert made.took("b.parquet", dated(2, **columns(IN_PARQUET, "second")))["stored"] == 2
    assert made.took("c.parquet", dated(4, **{n: pa.nulls(1, KINDS[n].type) for n in IN_PARQUET}))["stored"] == 1
    assert made.took("d.parquet", dated(5, **{n: pa.nulls(1) for n in IN_PARQUET}))["stored"] == 1
    assert made.took("again.parquet", dated(0, **columns(IN_PARQUET, "first"))) == {"stored": 0, "repeated": 2, "quarantined": 0}
    return made


@pytest.mark.parametrize("name", NAMES)
def test_what_is_pushed_of_every_type_is_read_back(pushed: Feed, name: str) -> None:
    schema = pushed.store.schema("events")
    assert schema is not None
    assert schema.field(name).type == KINDS[name].stored
    assert stored_type(name, KINDS[name].type) == KINDS[name].stored
    assert pushed.column(name) == [*KINDS[name].values, None]


@pytest.mark.parametrize("name", IN_PARQUET)
def test_what_a_parquet_file_holds_of_every_type_is_read_back(from_parquet: Feed, name: str) -> None:
    assert from_parquet.column(name) == [*KINDS[name].values, None, None]


@pytest.mark.parametrize("name", NAMES)
def test_slices_are_stored_as_what_they_hold(name: str) -> None:
    kind = KINDS[name]
    if pa.types.is_run_end_encoded(kind.type):
        pytest.skip("Arrow does not join these")
    joined = pa.concat_arrays([kind.first, kind.second, kind.first])
    part = as_stored("x", joined.slice(1, 3))
    assert part.to_pylist() == kind.values[1:4]
    assert as_stored("x", joined.slice(2, 0)).to_pylist() == []
    part.validate(full=True)


def test_numbers_of_every_type_are_features_of_the_same_value(pushed: Feed) -> None:
    ids = ["e0", "e1", "e2", "e3"]
    means = pushed.features(ids, aggregate={f"f{i}": nr.mean(quoted(n), window="unlimited") for i, n in enumerate(NUMBERS)})
    latest = {f"f{i}": quoted(n) for i, n in enumerate(NUMBERS) if n != "bool"}  # of which a latest value is no number
    newest = pushed.features(ids, latest=latest, ttl="unlimited")
    for i, name in enumerate(NUMBERS):
        wanted = KINDS[name].number
        assert means[f"f{i}"] == wanted, name
        assert [None if v is None else float(v) for v in newest.get(f"f{i}", wanted)] == wanted, name


def test_a_union_is_refused_by_name(tmp_path: Path) -> None:
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    made = feed(tmp_path)
    with pytest.raises(UnsupportedType, match=r"column 'odd' is .*union"):
        push(made.table, made.store, dated(odd=union))
    inside = pa.StructArray.from_arrays([union], names=["u"])
    with pytest.raises(UnsupportedType, match=r"column 'odd\.u' is .*union"):
        push(made.table, made.store, dated(odd=inside))
    assert made.store.latest("events") is None


TWICE, CASES, UNNAMED = (pa.struct([(n, pa.int64()) for n in names]) for names in (["x", "x"], ["x", "X"], ["x", ""]))


@pytest.mark.parametrize("type", [pa.struct([]), pa.list_(pa.struct([])), pa.decimal256(60, 50), TWICE, pa.list_(CASES), UNNAMED], ids=str)
def test_what_has_no_form_in_a_table_is_refused_by_name(type: pa.DataType) -> None:
    with pytest.raises(UnsupportedType, match="column 'x"):
        stored_type("x", type)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pa.array([D("1" * 39)], pa.decimal256(39, 0)), "39 digits"),
        (pa.array([2**62], pa.duration("s")), "a duration beyond 292 years"),
        (pa.array([1], pa.int64()).cast(pa.date64(), safe=False), "a date64 with an hour"),
        (pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())), "a map with a key twice"),
        (pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]), "no UTF-8"),
        (pa.array([2**62], pa.int64()).cast(pa.timestamp("s")), "a time beyond 64 bits"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_value_that_its_type_cannot_hold_is_no_other_value_and_no_traceback(tmp_path: Path, values: pa.Array, words: str) -> None:
    made = feed(tmp_path)
    with pytest.raises(nr.NoriaError):
        push(made.table, made.store, dated(x=values))
    assert made.rows() == [], words


def test_a_column_of_nulls_has_no_type_until_it_has_a_value(tmp_path: Path) -> None:
    made = feed(tmp_path, "*.parquet")
    made.put("a.parquet", dated(0, x=pa.nulls(1), deep=pa.array([1]))).ingest()
    assert "x" not in made.types()
    made.put("b.parquet", dated(1, x=pa.array([b"\x01"]), deep=pa.array([2]))).ingest()
    assert made.column("x") == [None, b"\x01"]
    assert made.types()["x"] == "binary"


# --- declared types -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("VARCHAR", pa.string()),
        ("text", pa.string()),
        ("INT", pa.int64()),
        ("UTINYINT", pa.int64()),
        ("UBIGINT", pa.decimal128(38, 0)),
        ("REAL", pa.float64()),
        ("DECIMAL(5, 2)", pa.decimal128(18, 2)),
        ("NUMERIC(38,3)", pa.decimal128(38, 3)),
        ("BOOLEAN", pa.bool_()),
        ("DATE", pa.date32()),
        ("TIME", pa.string()),
        ("TIMESTAMP", pa.timestamp("us")),
        ("TIMESTAMP_NS", pa.timestamp("us")),
        ("TIMESTAMPTZ", UTC_US),
        ("TIMESTAMP WITH TIME ZONE", UTC_US),
        ("UUID", pa.string()),
        ("BLOB", pa.binary()),
        ("BIGINT[]", pa.list_(pa.int64())),
        ("STRUCT(a INT, b VARCHAR)", pa.struct([("a", pa.int64()), ("b", pa.string())])),
        ("MAP(VARCHAR, DOUBLE)", pa.map_(pa.string(), pa.float64())),
    ],
)
def test_a_declared_type_is_stored_as_its_family(name: str, stored: pa.DataType) -> None:
    assert declared({"x": name}, "here") == {"x": stored}
    assert arrow_of(sql_of(stored)) == stored


@pytest.mark.parametrize(
    "name",
    ["nonsense", "", "VARCHAR); DROP TABLE t; --", "INT, y INT", "DECIMAL(99, 2)", "INT DEFAULT 7", "INT PRIMARY KEY", None, 3, "NULL"],
)
def test_a_declared_type_that_is_none_is_refused_with_the_column(name: Any) -> None:
    with pytest.raises(BadTypes, match="declared for 'x'"):
        declared({"x": name}, "here")


@pytest.mark.parametrize("name", ["UNION(a INT, b VARCHAR)", "HUGEINT[3][]"])
def test_declared_types_that_are_hard_to_store_end_in_one_message_or_a_type(name: str) -> None:
    try:
        found = declared({"x": name}, "here")
    except nr.NoriaError:
        return
    assert sql_of(found["x"])


@pytest.fixture(scope="module")
def engine() -> Any:
    with connect() as con:
        yield con


# --- conversions --------------------------------------------------------------------------------------------------------

FLOAT, INT, TEXT, DAY = pa.float64(), pa.int64(), pa.string(), pa.date32()
DEC2, DEC38 = pa.decimal128(18, 2), pa.decimal128(38, 0)
TS = pa.timestamp("us")


@pytest.mark.parametrize(
    ("source", "target", "value", "wanted"),
    [
        (INT, FLOAT, 2**53, float(2**53)),
        (INT, FLOAT, 2**53 + 1, None),
        (INT, FLOAT, 2**63 - 1, None),
        (FLOAT, INT, 3.0, 3),
        (FLOAT, INT, 3.5, None),
        (FLOAT, INT, -0.0, 0),
        (FLOAT, INT, 2.0**63, None),
        (FLOAT, INT, float("nan"), None),
        (FLOAT, INT, float("inf"), None),
        (INT, DEC2, 3, D("3.00")),
        (INT, DEC2, 10**17, None),
        (DEC2, INT, D("3.00"), 3),
        (DEC2, INT, D("3.50"), None),
        (DEC38, INT, D(2**63), None),
        (DEC38, INT, D(2**63 - 1), 2**63 - 1),
        (DEC38, FLOAT, D(2**53 + 1), None),
        (DEC38, FLOAT, D(2**60), float(2**60)),
        (DEC2, FLOAT, D("0.50"), 0.5),
        (FLOAT, DEC2, 0.5, D("0.50")),
        (FLOAT, DEC2, 0.555, None),
        (FLOAT, DEC2, float("nan"), None),
        (DEC2, pa.decimal128(18, 1), D("1.50"), D("1.5")),
        (DEC2, pa.decimal128(18, 1), D("1.55"), None),
        (DAY, TS, date(2024, 1, 1), datetime(2024, 1, 1)),
        (TS, DAY, datetime(2024, 1, 1), date(2024, 1, 1)),
        (TS, DAY, datetime(2024, 1, 1, 17, 30), None),
        (INT, TEXT, -7, "-7"),
        (pa.list_(INT), pa.list_(FLOAT), [1, None], [1.0, None]),
        (pa.list_(FLOAT), pa.list_(INT), [1.0, 2.5], None),
        (pa.struct([("x", INT)]), pa.struct([("x", INT), ("y", TEXT)]), {"x": 1}, {"x": 1, "y": None}),
        (pa.struct([("x", INT), ("y", TEXT)]), pa.struct([("x", INT)]), {"x": 1, "y": "a"}, None),
        (pa.struct([("x", INT), ("y", TEXT)]), pa.struct([("x", INT)]), {"x": 1, "y": None}, {"x": 1}),
        (pa.struct([("y", TEXT)]), pa.struct([("x", INT)]), {"y": "a"}, None),
        (pa.struct([("x", INT)]), TEXT, {"x": 1}, '{"x":1}'),
    ],
)
def test_a_value_is_converted_without_loss_or_is_null(
    engine: Any, source: pa.DataType, target: pa.DataType, value: Any, wanted: Any
) -> None:
    sql = converted("x", source, target)
    assert sql is not None
    engine.register("t", pa.table({"x": pa.array([value, None], source)}))
    assert engine.sql(f"SELECT {sql} FROM t").to_arrow_table().column(0).to_pylist() == [wanted, None]


@pytest.mark.parametrize(
    ("source", "target"),
    [(pa.bool_(), INT), (INT, pa.bool_()), (TS, UTC_US), (DAY, UTC_US), (UTC_US, TS), (INT, TS), (FLOAT, TEXT), (TEXT, pa.binary())],
)
def test_types_of_other_meaning_do_not_convert(source: pa.DataType, target: pa.DataType) -> None:
    assert converted("x", source, target) is None


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (INT, FLOAT, FLOAT),
        (FLOAT, FLOAT, FLOAT),
        (INT, DEC2, pa.decimal128(38, 2)),
        (DEC2, pa.decimal128(18, 4), pa.decimal128(38, 4)),
        (DAY, TS, TS),
        (INT, TEXT, None),
        (FLOAT, DEC2, None),
        (TS, UTC_US, None),
        (pa.bool_(), INT, None),
        (pa.list_(INT), pa.list_(FLOAT), pa.list_(FLOAT)),
        (pa.list_(INT), pa.list_(TEXT), None),
        (pa.map_(TEXT, INT), pa.map_(TEXT, FLOAT), pa.map_(TEXT, FLOAT)),
        (pa.struct([("x", INT)]), pa.struct([("x", INT)]), pa.struct([("x", INT)])),
        (pa.struct([("x", INT)]), pa.struct([("x", TEXT)]), None),
        (pa.struct([("x", INT)]), pa.list_(INT), None),
    ],
)
def test_two_types_share_a_wider_one_that_holds_the_values_of_both(one: pa.DataType, other: pa.DataType, both: pa.DataType | None) -> None:
    assert wider(one, other) == wider(other, one) == both


@pytest.mark.parametrize(
    ("precision", "scale", "found"), [(1, 0, "(18, 0)"), (18, 18, "(18, 18)"), (19, 2, "(38, 2)"), (3, -3, "(18, 0)"), (5, 7, "(18, 7)")]
)
def test_a_decimal_has_room_for_more_digits(precision: int, scale: int, found: str) -> None:
    assert str(decimal_of(precision, scale)) == f"decimal128{found}"


@pytest.mark.parametrize("name", NAMES)
def test_every_stored_type_has_a_family_and_a_name_that_gives_it_back(name: str) -> None:
    stored = KINDS[name].stored
    assert kind_of(stored) in ("whole", "float", "decimal", "text", "bool", "date", "naive", "zoned", "binary", "nested")
    assert arrow_of(sql_of(stored)) == stored
    assert stored_type("x", stored) == stored, "what is stored is stored as it is"
