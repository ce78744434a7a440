"""The types of features: which field a view's values are, and their columns as a model reads them.

A view whose values are all numbers (or true and false) gives float32, NaN where unknown: one block for all such views of a set. A view that
has any other value (a text, a time, a list), or is declared `typed`, gives each of its values in a type of its own: whole numbers as they
are, every other number as a double, true and false, texts, bytes, times in microseconds UTC (a date is its midnight), and lists of
these; null where unknown. The type of a value follows from the view and its table's schema alone, never from what else a model reads, so
that the online store and every feature set say the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.signature import FLOATS, Field, dense_type
from noria.data.rows import Fields, Rows, arrow_type
from noria.features.tensors import given_as_tensors
from noria.features.view import Aggregate, FeatureView

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float32]
Column: TypeAlias = "Floats | pa.Array"  # of one feature: float32 with NaN where unknown, or an Arrow array with null

OF_BOOLEANS = {"sum", "mean", "std", "quantile"}  # these take true and false for 1 and 0
COUNTS = ("count", "distinct")
PICKED = ("first", "last")  # a value as it is, whatever its type
ORDERED = ("min", "max")
WHOLE = {
    "TINYINT": "int8", "SMALLINT": "int16", "INTEGER": "int32", "BIGINT": "int64",
    "UTINYINT": "uint8", "USMALLINT": "uint16", "UINTEGER": "uint32", "UBIGINT": "uint64",
}  # fmt: skip
FRACTIONS = {"FLOAT": "float32", "DOUBLE": "float64", "HUGEINT": "float64", "UHUGEINT": "float64", "NULL": "float64"}
OTHERS = {"BOOLEAN": "bool", "VARCHAR": "string", "JSON": "string", "UUID": "string", "BLOB": "bytes", "DATE": "timestamp"}
_LIST = re.compile(r"(?P<of>.+)\[(?P<size>\d*)\]", re.DOTALL)


class NotANumber(UserMistake):
    """A number is made of what is none."""

    code = "NR-214"

    def __init__(self, *, view: str, feature: str, values: str, kind: str) -> None:
        self.view, self.feature, self.kind = view, feature, kind
        super().__init__(
            what=f"feature {feature!r} is {kind}, not a number",
            where=f"feature view {view!r}: {values}",
            fix="cast it to a number in the expression, or use nr.count or nr.distinct",
        )


class NoFeatureType(UserMistake):
    """A feature is of a type that no model reads."""

    code = "NR-260"

    def __init__(self, *, view: str, feature: str, values: str, kind: str) -> None:
        self.view, self.feature, self.kind = view, feature, kind
        super().__init__(
            what=f"feature {feature!r} is {kind}, which a feature can't be",
            where=f"feature view {view!r}: {values}",
            fix="give a number, a text, a time, true or false, or a list of these: take a part of it, or cast it, in the expression",
        )


# --- types --------------------------------------------------------------------------------------------------------------


def is_number(kind: str) -> bool:
    """Whether values of an engine's type are numbers; the type of NULL alone is taken for one."""
    return kind.startswith("DECIMAL") or kind.strip('"') in WHOLE or kind.strip('"') in FRACTIONS


def is_plain(kind: str) -> bool:
    """Whether values of an engine's type are read as float32 where nothing else is among them: numbers, true and false."""
    return is_number(kind) or kind == "BOOLEAN"


def fields_of_view(view: FeatureView, kinds: Mapping[str, str], latest: Mapping[str, str]) -> Fields:
    """The view's features as fields, in their order. kinds: the engine's type of each expression; latest: feature name → expression.

    Raises `NotANumber` or `NoFeatureType`.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, a in view.aggregate.items():
        found[name] = _kind_of_aggregate(view, name, a, kinds), f"{a.kind} of {a.expression}"
    for name, expression in latest.items():
        found[name] = kinds[expression], f"the latest {view.latest_expressions[name]}"
    typed = view.typed or not all(is_plain(kind) for kind, _ in found.values())
    return tuple(_field(view, name, kind, values) if typed else Field(name) for name, (kind, values) in found.items())


def _kind_of_aggregate(view: FeatureView, name: str, a: Aggregate, kinds: Mapping[str, str]) -> str:
    """The engine's type of an aggregate's values. Raises `NotANumber` for one of values that it can't be taken of."""
    if a.kind in COUNTS:
        return "BIGINT"
    kind = kinds[a.expression]
    if a.kind in PICKED or (a.kind in ORDERED and _single(kind) is not None):
        return kind
    if not (is_number(kind) or (kind == "BOOLEAN" and a.kind in OF_BOOLEANS)):
        raise NotANumber(view=view.name, feature=name, values=f"{a.kind} of {a.expression}", kind=kind)
    return "DOUBLE"


def _field(view: FeatureView, name: str, kind: str, values: str) -> Field:
    """A value of an engine's type as a field. Raises `NoFeatureType`."""
    single = _single(kind)
    if single is not None:
        return Field(name, single)
    listed = _LIST.fullmatch(kind)
    of = None if listed is None else _single(listed["of"])
    if listed is None or of is None:
        raise NoFeatureType(view=view.name, feature=name, values=values, kind=kind)
    return Field(name, of, (int(listed["size"]) if listed["size"] else None,))


def _single(kind: str) -> str | None:
    """The type of a single value of an engine's type; None where that is a list, or nothing that a field can be."""
    if _LIST.fullmatch(kind):
        return None
    if kind.startswith("DECIMAL"):
        return "float64"
    if kind.startswith("TIMESTAMP"):
        return "timestamp"
    if kind.startswith("ENUM"):
        return "string"
    plain = kind.strip('"')
    return WHOLE.get(plain) or FRACTIONS.get(plain) or OTHERS.get(plain)


# --- values -------------------------------------------------------------------------------------------------------------


def column_of(field: Field, column: pa.ChunkedArray) -> Column:
    """An engine's values as a feature's column: float32 with NaN where that is the field's type, else as Arrow has the field."""
    return as_float32(column) if is_float32(field) else as_arrow(field, column)


def is_float32(field: Field) -> bool:
    return field.type == "float32" and not field.shape


def as_float32(column: pa.ChunkedArray) -> Floats:
    """A column of numbers as a model reads them: float32, NaN where null or not finite."""
    import pyarrow as pa

    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values = np.asarray(column.cast(pa.float32(), safe=False).to_numpy(), dtype=np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def as_arrow(field: Field, column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Values in the field's own type; null where null, and where a single number is not finite. Raises `pa.ArrowException`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = arrow_type(field)
    if whole.type == kind and field.type not in FLOATS:
        return whole
    if pa.types.is_dictionary(whole.type):
        whole = whole.dictionary_decode()
    if field.type == "timestamp":  # a date, or a time of another unit or without a zone
        single = whole.type.value_type if field.shape else whole.type
        whole = whole.cast(with_values_of(whole.type, pa.timestamp("us", tz=getattr(single, "tz", None))), safe=False)
    found = whole.cast(kind)
    return pc.if_else(pc.is_finite(found), found, pa.scalar(None, kind)) if field.type in FLOATS and not field.shape else found


def with_values_of(kind: pa.DataType, single: pa.DataType) -> pa.DataType:
    """An Arrow type of lists with another type of values in them; of single values, that type."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        return pa.list_(single, kind.list_size)
    return pa.list_(single) if pa.types.is_list(kind) or pa.types.is_large_list(kind) else single


def given_as(field: Field, values: Any) -> pa.Array:
    """What a user's function gave (NumPy, Arrow, pandas, a list) in the field's type, null where it is null or NaN.

    Raises `TypeError`, `ValueError` or `OverflowError` for values of another type, or that the type can't hold as they are.
    """
    import pyarrow as pa

    if len(field.shape) > 1:
        return given_as_tensors(field, values)
    found = _arrow_of(values)
    if not len(found):  # a list of nothing has no type
        return pa.nulls(0, arrow_type(field))
    if not _fits(field, found.type):
        raise TypeError(f"values of type {found.type} are not {field.written_type}")
    return as_arrow(field, found)


def _arrow_of(values: Any) -> pa.Array:
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray | pa.Array):
        found = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    elif isinstance(values, np.ma.MaskedArray):
        found = pa.array(values.data, mask=np.ma.getmaskarray(values), from_pandas=True)
    elif isinstance(values, np.ndarray) and values.ndim > 1:
        found = pa.array(list(values))
    else:
        found = pa.array(values, from_pandas=True)
    return found.dictionary_decode() if pa.types.is_dictionary(found.type) else found


def _fits(field: Field, kind: pa.DataType) -> bool:
    """Whether values of an Arrow type are of the kind that a field says; whether each fits, a cast finds out."""
    import pyarrow as pa

    is_ = pa.types
    if field.shape:
        listed = is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind)
        return bool(listed) and _fits(Field(field.name, field.type), kind.value_type)
    number = is_.is_integer(kind) or is_.is_floating(kind)
    tests = {
        "string": is_.is_string(kind) or is_.is_large_string(kind) or is_.is_string_view(kind),
        "bytes": is_.is_binary(kind) or is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind),
        "bool": is_.is_boolean(kind),
        "timestamp": is_.is_timestamp(kind) or is_.is_date(kind),
    }
    return bool(is_.is_null(kind) or tests.get(field.type, number or is_.is_decimal(kind)))


def arrow_column(field: Field, column: Column) -> pa.Array:
    """A feature's column as Arrow has it, null where unknown."""
    import pyarrow as pa

    return pa.array(column, pa.float32(), from_pandas=True) if isinstance(column, np.ndarray) else as_arrow(field, column)


def as_rows(fields: Fields, columns: Mapping[str, Column], count: int) -> Rows:
    """Features by name as so many rows of these fields, in their order: one block where all are float32."""
    if is_block(fields):
        return Rows.dense(fields, stacked(columns, [field.name for field in fields], count))
    return Rows.of(fields, [arrow_column(field, columns[field.name]) for field in fields])


def is_block(fields: Sequence[Field]) -> bool:
    """Whether rows of these fields are one block of float32."""
    return dense_type(fields) == "float32" or not fields


def stacked(columns: Mapping[str, Floats], names: Sequence[str], rows: int) -> Floats:
    """Features in the order of `names`: `(rows, features)` float32."""
    return np.column_stack([columns[name] for name in names]) if rows else np.empty((0, len(names)), np.float32)


def table_rows(fields: Fields, table: pa.Table) -> Rows:
    """The columns of an Arrow table that have the fields' names, as rows of these fields."""
    if is_block(fields):
        return Rows.dense(fields, feature_matrix(table, [field.name for field in fields]))
    return Rows.of(fields, [as_arrow(field, table.column(field.name)) for field in fields])


def feature_matrix(rows: pa.Table, features: Sequence[str]) -> Floats:
    """Columns of an Arrow table as `(rows, features)` float32, NaN where null."""
    if rows.num_rows == 0:
        return np.empty((0, len(features)), np.float32)
    columns = [rows.column(f).combine_chunks().to_numpy(zero_copy_only=False) for f in features]
    return np.ascontiguousarray(np.column_stack(columns).astype(np.float32, copy=False))
