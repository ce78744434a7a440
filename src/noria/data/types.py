"""Types: what each Arrow type is stored as, which conversions keep every value, and which widening two types share.

Tables store few types, so that the same column of two files meets in one:

    stored as                      what comes
    BIGINT                         int8 … int64, uint8 … uint32
    DECIMAL(38, 0)                 uint64
    DOUBLE                         float16, float32, float64
    DECIMAL(18 or 38, s)           decimals of scale s (a value of more than 38 digits is malformed)
    BOOLEAN, DATE, BLOB            bool; date32, date64 of whole days; binary of any width
    VARCHAR                        strings, dictionaries of them, UUIDs, JSON; times of day (`17:30:00.5`) and month intervals (ISO 8601)
    TIMESTAMP [WITH TIME ZONE]     timestamps of any unit in whole microseconds, rounded up: nothing is known before it happened
    BIGINT                         durations, in nanoseconds
    LIST, STRUCT, MAP of these     lists of any layout, structs, maps

A column of nothing but nulls has no type yet. Unions, and types that are none of these, are refused by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from noria.core.errors import UserMistake
from noria.core.sql import connect, folded, quoted
from noria.data.sources.port import PLACE, Column, Loaded, RawRow, UnreadableData

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

SHORT, LONG = 18, 38  # digits of a decimal in 64 and in 128 bits
NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class UnsupportedType(UserMistake):
    """A column has a type that tables can't store."""

    code = "NR-224"

    def __init__(self, column: str, type: Any) -> None:
        self.column, self.type = column, type
        super().__init__(
            what=f"column {column!r} is {type}, which can't be stored",
            where="tables store numbers, texts, booleans, times, bytes, and lists, structs and maps of them",
            fix="convert the column in the source, or leave it out",
        )


class BadTypes(UserMistake):
    """A declared type is none."""

    code = "NR-225"

    def __init__(self, column: str, type: str, where: str) -> None:
        self.column, self.type = column, type
        super().__init__(
            what=f"{type!r}, the type declared for {column!r}, can't be stored",
            where=where,
            fix="declare VARCHAR, BIGINT, DOUBLE, DECIMAL(18, 2), BOOLEAN, DATE, TIMESTAMP, TIMESTAMPTZ or a list of one (BIGINT[])",
        )


# --- what is stored as what ---------------------------------------------------------------------------------------------


def stored_type(column: str, type: pa.DataType) -> pa.DataType | None:
    """The type that a column is stored as; None for a column of nulls. Raises `UnsupportedType`."""
    import pyarrow as pa

    is_ = pa.types
    if is_.is_null(type):
        return None
    if is_.is_boolean(type) or is_.is_date32(type):
        return type
    if is_.is_uint64(type):
        return pa.decimal128(LONG, 0)
    if is_.is_integer(type) or is_.is_duration(type):
        return pa.int64()
    if is_.is_floating(type):
        return pa.float64()
    if is_.is_decimal(type):
        return decimal_of(type.precision, type.scale, column)
    if _is_text(type) or is_.is_time(type) or is_.is_interval(type):
        return pa.string()
    if is_.is_binary(type) or is_.is_large_binary(type) or is_.is_fixed_size_binary(type) or is_.is_binary_view(type):
        return pa.binary()
    if is_.is_date64(type):
        return pa.date32()
    if is_.is_timestamp(type):
        return pa.timestamp("us", tz="UTC" if type.tz else None)
    if is_.is_dictionary(type) or is_.is_run_end_encoded(type):
        return stored_type(column, type.value_type)
    return _nested_type(column, type)


def _nested_type(column: str, type: Any) -> pa.DataType:
    import pyarrow as pa

    if isinstance(type, pa.BaseExtensionType):
        found = _extension_type(column, type)
        assert found is not None, column
        return found
    if _is_list(type):
        return pa.list_(stored_type(column, type.value_type) or pa.string())
    if pa.types.is_struct(type) and _names_differ([f.name for f in type]):
        fields = [type.field(i) for i in range(type.num_fields)]
        return pa.struct([pa.field(f.name, stored_type(f"{column}.{f.name}", f.type) or pa.string()) for f in fields])
    if pa.types.is_map(type):
        return pa.map_(stored_type(column, type.key_type) or pa.string(), stored_type(column, type.item_type) or pa.string())
    raise UnsupportedType(column, type)


def _names_differ(names: list[str]) -> bool:
    """Whether a struct has fields, each with a name that engines tell from the others."""
    return bool(names) and all(names) and len(set(map(folded, names))) == len(names)


def _extension_type(column: str, type: Any) -> pa.DataType | None:
    import pyarrow as pa

    if type.extension_name in ("arrow.uuid", "arrow.json"):
        return pa.string()
    if type.extension_name == "arrow.bool8":
        return pa.bool_()
    return stored_type(column, type.storage_type)


def decimal_of(precision: int, scale: int, column: str = "") -> pa.DataType:
    """The decimal that holds so many digits, so many of them behind the point, with room for more before it."""
    import pyarrow as pa

    digits = max(precision, scale, precision - scale if scale < 0 else 0)
    if max(scale, 0) > LONG:
        raise UnsupportedType(column, f"a decimal with {scale} digits after the decimal point")
    return pa.decimal128(SHORT if digits <= SHORT else LONG, max(scale, 0))


def _is_text(type: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type))


def _is_list(type: Any) -> bool:
    import pyarrow as pa

    is_ = pa.types
    return bool(
        is_.is_list(type)
        or is_.is_large_list(type)
        or is_.is_fixed_size_list(type)
        or is_.is_list_view(type)
        or is_.is_large_list_view(type)
    )


# --- values -------------------------------------------------------------------------------------------------------------


def as_stored(column: str, values: pa.Array) -> pa.Array:
    """The values as their column stores them. Raises `UnsupportedType`, or `ArrowInvalid` where a value has no such form."""
    import pyarrow as pa
    import pyarrow.compute as pc

    type, target = values.type, stored_type(column, values.type)
    is_ = pa.types
    if target is None or type == target:
        return values
    if is_.is_dictionary(type) or is_.is_run_end_encoded(type):
        plain = values.dictionary_decode() if is_.is_dictionary(type) else pc.run_end_decode(values)
        return as_stored(column, plain)
    if isinstance(type, pa.BaseExtensionType):
        return _of_extension(column, values)
    if is_.is_timestamp(type):
        return _microseconds(values, target)
    if is_.is_duration(type):
        return pc.multiply_checked(values.cast(pa.int64()), NANOSECONDS[type.unit])
    if is_.is_time(type):
        return pa.array([None if v is None else _clock_text(v, type.unit) for v in values.cast(_integer(type)).to_pylist()], pa.string())
    if is_.is_interval(type):
        return pa.array([None if v is None else _interval_text(v) for v in values.to_pylist()], pa.string())
    if _is_list(type) or is_.is_struct(type) or is_.is_map(type):
        return _nested(column, values, target)
    if is_.is_float16(type):
        return values.cast(pa.float32()).cast(target)
    return values.cast(target)


def _integer(type: Any) -> pa.DataType:
    import pyarrow as pa

    return pa.int32() if type.bit_width == 32 else pa.int64()


def _microseconds(values: pa.Array, target: pa.DataType) -> pa.Array:
    """Timestamps in whole microseconds, rounded up."""
    import numpy as np
    import pyarrow as pa

    if values.type.unit != "ns":
        return values.cast(target)
    count = values.cast(pa.int64())
    whole, rest = np.divmod(np.asarray(count.fill_null(0).to_numpy(zero_copy_only=False)), 1000)
    up = pa.array(whole + (rest > 0), pa.int64(), mask=np.asarray(values.is_null().to_numpy(zero_copy_only=False)))
    return up.cast(target)


def _clock_text(count: int, unit: str) -> str:
    """A time of day as text, to the digit that it has: `17:30:00`, `17:30:00.5`."""
    seconds, rest = divmod(count * NANOSECONDS[unit], NANOSECONDS["s"])
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def _interval_text(value: Any) -> str:
    """An interval in ISO 8601, as `P1M2DT3.5S`."""
    from decimal import Decimal

    seconds = f"T{Decimal(value.nanoseconds) / NANOSECONDS['s']:f}S" if value.nanoseconds else ""
    text = (f"{value.months}M" if value.months else "") + (f"{value.days}D" if value.days else "") + seconds
    return "P" + (text or "T0S")


def _of_extension(column: str, values: Any) -> pa.Array:
    import uuid

    import pyarrow as pa

    if values.type.extension_name == "arrow.uuid":
        return pa.array([None if v is None else str(uuid.UUID(bytes=v)) for v in values.storage.to_pylist()], pa.string())
    if values.type.extension_name == "arrow.bool8":
        return values.storage.cast(pa.bool_())
    return as_stored(column, values.storage)


def _nested(column: str, values: Any, target: Any) -> pa.Array:
    """Lists, structs and maps, value by value: their parts are converted as columns are."""
    import pyarrow as pa

    mask = values.is_null() if values.null_count else None
    if pa.types.is_struct(values.type):
        parts = [_typed(as_stored(column, values.field(i)), target.field(i).type) for i in range(values.type.num_fields)]
        return pa.StructArray.from_arrays(parts, fields=[target.field(i) for i in range(target.num_fields)], mask=mask)
    if pa.types.is_map(values.type):
        keys, items = (as_stored(column, part) for part in (values.keys, values.items))
        offsets = _offsets(values)
        return pa.MapArray.from_arrays(offsets, _typed(keys, target.key_type), _typed(items, target.item_type)).cast(target)
    import numpy as np

    # Not by a cast: from a list view with an empty list in it, Arrow's loses values.
    inner = _typed(as_stored(column, values.flatten()), target.value_type)
    lengths = values.value_lengths().fill_null(0)
    ends = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), inner, mask=mask).cast(target)


def _offsets(values: Any) -> pa.Array:
    """A map's offsets, with a null where the map is null, relative to its own keys."""
    return values.offsets if not values.null_count else _null_offsets(values)


def _null_offsets(values: Any) -> pa.Array:
    import pyarrow as pa

    offsets = values.offsets.to_pylist()
    there = values.is_valid().to_pylist()
    return pa.array([o if there[i] else None for i, o in enumerate(offsets[:-1])] + [offsets[-1]], pa.int32())


def _typed(values: pa.Array, target: pa.DataType) -> pa.Array:
    """A column of nulls as its nulls of a type; others as they are."""
    return values.cast(target) if values.type != target else values


# --- loading Arrow rows -------------------------------------------------------------------------------------------------


def load_arrow(
    con: duckdb.DuckDBPyConnection,
    name: str,
    place: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    raw: tuple[RawRow, ...] = (),
    *,
    sparse: bool = False,
) -> Loaded:
    """Put record batches into a new relation as they are stored, with their place from 1 on.

    Raises `UnsupportedType` and `UnreadableData` (a value that its type can't hold, or a damaged batch).
    """
    import duckdb
    import pyarrow as pa

    _require_names(place, schema.names)
    columns = tuple(Column(f.name, stored_type(f.name, f.type)) for f in schema)
    fields = [pa.field(c.name, c.type or pa.null()) for c in columns]
    target = pa.schema([*fields, pa.field(PLACE, pa.int64())])
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} ({_declared_columns(target)})")
    rows = 0
    for batch in batches:
        if batch.num_rows:
            try:
                arrays = [_typed(as_stored(c.name, batch.column(i)), target.field(i).type) for i, c in enumerate(columns)]
            except (pa.ArrowException, OverflowError) as error:
                raise UnreadableData(place, f"a value can't be stored: {error}") from error
            arrays.append(pa.array(range(rows + 1, rows + batch.num_rows + 1), pa.int64()))
            con.register("__noria_arrow", pa.Table.from_arrays(arrays, schema=target))
            try:
                con.execute(f"INSERT INTO {quoted(name)} SELECT * FROM __noria_arrow")
            except duckdb.InvalidInputException as error:  # a map with a key twice
                raise UnreadableData(place, f"a value can't be stored: {error}") from error
            con.unregister("__noria_arrow")
        rows += batch.num_rows
    return Loaded(columns, rows, raw, sparse)


def _require_names(place: str, names: Sequence[str]) -> None:
    """Raise `UnreadableData` unless every column has a name that no other has: engines tell none apart by case."""
    if "" in names:
        raise UnreadableData(place, f"column {names.index('') + 1} of its {len(names)} has no name")
    twice = [n for n, count in Counter(n.casefold() for n in names).items() if count > 1]
    if twice:
        raise UnreadableData(place, f"two of its columns are named {twice[0]!r}, ignoring case: rename one of them")


def _declared_columns(schema: pa.Schema) -> str:
    return ", ".join(f"{quoted(f.name)} {sql_of(f.type)}" for f in schema)


# --- SQL names ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def sql_of(type: pa.DataType) -> str:
    """The engine's name of a stored type."""
    with connect() as con:
        con.register("__noria_arrow", _empty(type))
        return str(con.sql("SELECT x FROM __noria_arrow").types[0])


def _empty(type: pa.DataType) -> pa.Table:
    import pyarrow as pa

    return pa.schema([pa.field("x", type)]).empty_table()


@lru_cache(maxsize=4096)
def arrow_of(sql: str) -> pa.DataType | None:
    """The stored type of an engine's type by name; None for what is none. Raises `UnsupportedType`."""
    import duckdb

    with connect() as con:
        try:
            con.execute(f"CREATE TABLE t (x {sql})")
            found = con.sql(f"SELECT CAST(x AS {sql}) AS x FROM t").to_arrow_table().schema  # a type alone, no constraint with it
        except duckdb.Error:
            return None
    return stored_type("x", found.field("x").type) if len(found) == 1 else None


def declared(types: Mapping[str, str], where: str) -> dict[str, pa.DataType]:
    """Declared types as they are stored. Raises `BadTypes`."""
    found = {}
    for column, name in types.items():
        type = arrow_of(name) if isinstance(name, str) else None
        if type is None:
            raise BadTypes(column, name, where)
        found[column] = type
    return found


# --- conversions --------------------------------------------------------------------------------------------------------


def kind_of(type: pa.DataType) -> str:
    """The family of a stored type."""
    import pyarrow as pa

    is_ = pa.types
    if is_.is_timestamp(type):
        return "zoned" if type.tz else "naive"
    for kind, test in (
        ("whole", is_.is_integer),
        ("float", is_.is_floating),
        ("decimal", is_.is_decimal),
        ("date", is_.is_date),
        ("text", _is_text),
        ("bool", is_.is_boolean),
        ("null", is_.is_null),
        ("binary", lambda t: is_.is_binary(t) or is_.is_large_binary(t)),
    ):
        if test(type):
            return kind
    return "nested"


CONVERTIBLE = {
    ("whole", "float"),
    ("whole", "decimal"),
    ("whole", "whole"),
    ("float", "float"),
    ("float", "whole"),
    ("float", "decimal"),
    ("decimal", "whole"),
    ("decimal", "float"),
    ("decimal", "decimal"),
    ("date", "naive"),
    ("naive", "date"),
    ("whole", "text"),
    ("nested", "nested"),
    ("nested", "text"),
    ("text", "text"),
    ("binary", "binary"),
}


def converted(column: str, source: pa.DataType, target: pa.DataType) -> str | None:
    """SQL for a value of one stored type as another, null where that would not be the same value; None if no value has a form."""
    if source == target:
        return column
    kinds = kind_of(source), kind_of(target)
    if kinds not in CONVERTIBLE:
        return None
    there, back = f"TRY_CAST({column} AS {sql_of(target)})", sql_of(source)
    if kinds == ("whole", "text"):
        return f"CAST({column} AS VARCHAR)"
    if kinds == ("nested", "text"):
        return f"CAST(to_json({column}) AS VARCHAR)"
    if kinds == ("nested", "nested") and not _binds(source, target):
        return f"CAST(NULL AS {sql_of(target)})"
    return f"CASE WHEN TRY_CAST({there} AS {back}) = {column} THEN {there} END"


@lru_cache(maxsize=4096)
def _binds(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether the engine casts between two nested types, both ways: not between structs that share no field."""
    import duckdb

    with connect() as con:
        con.register("__noria_arrow", _empty(source))
        try:
            return len(con.sql(f"SELECT TRY_CAST(TRY_CAST(x AS {sql_of(target)}) AS {sql_of(source)}) FROM __noria_arrow").types) == 1
        except duckdb.Error:
            return False


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both, where there is one besides text."""
    import pyarrow as pa

    if one == other:
        return one
    kinds = {kind_of(one), kind_of(other)}
    if kinds == {"whole", "float"} or kinds == {"float"}:
        return pa.float64()
    if kinds == {"whole"}:
        return pa.int64()
    if kinds == {"whole", "decimal"} or kinds == {"decimal"}:
        return _wider_decimal(one, other)
    if kinds == {"nested"}:
        return _wider_nested(one, other)
    return pa.timestamp("us") if kinds == {"date", "naive"} else None


def _wider_nested(one: Any, other: Any) -> pa.DataType | None:
    """Lists and maps of wider values; structs with the fields of both."""
    import pyarrow as pa

    if pa.types.is_list(one) and pa.types.is_list(other):
        values = wider(one.value_type, other.value_type)
        return None if values is None else pa.list_(values)
    if pa.types.is_map(one) and pa.types.is_map(other):
        key, item = wider(one.key_type, other.key_type), wider(one.item_type, other.item_type)
        return None if key is None or item is None else pa.map_(key, item)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        fields = {f.name: f.type for f in one}
        for f in other:
            found = wider(fields.get(f.name, f.type), f.type)
            if found is None:
                return None
            fields[f.name] = found
        return pa.struct(list(fields.items()))
    return None


def _wider_decimal(one: Any, other: Any) -> pa.DataType:
    scales = [t.scale if kind_of(t) == "decimal" else 0 for t in (one, other)]
    before = max(t.precision - t.scale if kind_of(t) == "decimal" else 19 for t in (one, other))
    return decimal_of(min(LONG, before + max(scales)), max(scales))
