"""Keys: one text for every key, equal exactly where the keys are equal, whatever types they are stored in.

The spine's `_key`, outcomes, the online store, skew and the prediction log all name entities and facts by it:

- numbers are equal by value: 7, 7.0, -0.0 and Decimal("7.00") are "7", "7", "0" and "7"; whole numbers have all their digits, other
  floats the shortest decimal that reads back as the same double, decimals no trailing zeros; none has an exponent
- a date and a time without a zone are equal at midnight: "2024-05-01", else "2024-05-01 17:30:00.25"; a time with a zone is its
  moment in UTC: "2024-05-01 17:30:00+00"
- text is itself, booleans are "true" and "false", bytes are hexadecimal digits
- several columns are joined by "|", with "\\" before every "|" and "\\" of a part; a single column stays as it is
- a key with a null or a NaN in any part is null, and equals nothing
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from noria.core.errors import UserMistake
from noria.core.sql import RESERVED

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ENCODING = 2  # what is stored under keys names it, so that what was stored under others is made anew

NUMBER, TEXT, BOOLEAN, BYTES = "a number", "text", "a boolean", "bytes"
LOCAL, MOMENT, TIME_OF_DAY = "a date or a time without a zone", "a time with a zone", "a time of day"
UNKNOWN = "only nulls"  # can be compared with everything, and equals nothing
_INT64 = 2.0**63
_PIECE = re.compile(r"\\.|\||[^\\|]", re.DOTALL)  # of a key of several columns: an escaped character, the end of a part, or any other one
_LIKE, _TEXTS = f"{RESERVED}like", f"{RESERVED}texts"


@dataclass(frozen=True)
class KeyColumn:
    """A column of a table that is a key, or a part of one."""

    table: str
    column: str
    type: pa.DataType

    @property
    def kind(self) -> str | None:
        return kind_of(self.type)

    def __str__(self) -> str:
        return f"{self.table}.{self.column}, {self.kind or 'not usable as a key'} ({self.type})"


class IncomparableKeys(UserMistake):
    """Two tables name an entity by values that can't be compared without guessing, or by values that can't be a key at all."""

    code = "NR-217"

    def __init__(self, left: KeyColumn, right: KeyColumn) -> None:
        self.left, self.right = left, right
        odd = left if left.kind is None else right if right.kind is None else None
        if odd is not None:
            what = f"column {odd.column!r} of {odd.table!r} can't be a key: its type is {odd.type}"
            fix = "use a column of numbers, text, dates, times, booleans or bytes"
        else:
            what = f"keys that can't be compared: {left.kind} in {left.table!r}, {right.kind} in {right.table!r}"
            fix = "give both columns the same type: cast one of them in its source"
        super().__init__(what=what, where=str(left) if left == right else f"{left}; {right}", fix=fix)


class KeysOfOtherLength(UserMistake):
    """A label's table has more or fewer key columns than the spine, so that no outcome could ever be found."""

    code = "NR-219"

    def __init__(self, spine: str, keys: Sequence[str], label: str, label_keys: Sequence[str]) -> None:
        self.spine, self.keys, self.label, self.label_keys = spine, tuple(keys), label, tuple(label_keys)
        super().__init__(
            what=f"outcomes have {len(label_keys)} key columns, and the spine has {len(keys)}",
            where=f"{label}: {', '.join(label_keys)}; {spine}: {', '.join(keys)}",
            fix="give both tables the same key columns",
        )


def kind_of(type_: pa.DataType) -> str | None:
    """The kind of values a type holds: keys of one kind can be compared. None for types that can't be keys."""
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(type_):
        return kind_of(type_.value_type)
    if is_.is_timestamp(type_):
        return LOCAL if type_.tz is None else MOMENT
    for kind, tests in (
        (NUMBER, (is_.is_integer, is_.is_floating, is_.is_decimal)),
        (TEXT, (is_.is_string, is_.is_large_string, is_.is_string_view)),
        (BOOLEAN, (is_.is_boolean,)),
        (LOCAL, (is_.is_date,)),
        (BYTES, (is_.is_binary, is_.is_large_binary, is_.is_fixed_size_binary, is_.is_binary_view)),
        (TIME_OF_DAY, (is_.is_time,)),
        (UNKNOWN, (is_.is_null,)),
    ):
        if any(test(type_) for test in tests):
            return kind
    return None


def require_comparable(left: KeyColumn, right: KeyColumn) -> None:
    """Raise `IncomparableKeys` unless equal values of the two columns can be told without guessing."""
    kinds = {left.kind, right.kind}
    if None in kinds or len(kinds - {UNKNOWN}) > 1:
        raise IncomparableKeys(left, right)


def key_texts(rows: pa.Table, names: Sequence[str], table: str = "the spine") -> pa.ChunkedArray:
    """The key of every row as one text, `(rows,)`, null where a part is unknown. Raises `IncomparableKeys` for what can't be a key.

    Of no columns, the key of every row is the empty text: there is one entity, which is everything.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = []
    for name in names:
        column = KeyColumn(table, name, rows.schema.field(name).type)
        require_comparable(column, column)
        parts.append(_texts(rows.column(name)))
    if not parts:
        return pa.chunked_array([pa.repeat("", rows.num_rows)])
    if len(parts) == 1:
        return parts[0]
    escaped = [pc.replace_substring(pc.replace_substring(part, "\\", "\\\\"), "|", "\\|") for part in parts]
    return pc.binary_join_element_wise(*escaped, "|")


def key_parts(text: str, columns: int) -> list[str]:
    """The texts of a key's columns: what `key_texts` joined. Of a text that is no key of so many columns, another number of them.

    >>> key_parts("q1|item\\\\|7", 2)
    ['q1', 'item|7']
    """
    if columns == 1:
        return [text]
    if "\\" not in text:
        return text.split("|")
    parts = [""]
    for piece in _PIECE.findall(text):
        if piece == "|":
            parts.append("")
        else:
            parts[-1] += piece[-1]  # without the "\\" before it
    return parts


def in_type(column: pa.ChunkedArray, wanted: pa.DataType, con: duckdb.DuckDBPyConnection) -> pa.ChunkedArray:
    """A column of keys in the type of a column that it is compared with: each value's equal there, null where it has none.

    The kinds are the same. A column that is of that type already stays as it is, but for NaN, which equals nothing.
    con: any connection, on which nothing is left behind
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column, wanted = _decoded(column), wanted.value_type if pa.types.is_dictionary(wanted) else wanted
    if pa.types.is_null(column.type) or pa.types.is_null(wanted):
        return pa.chunked_array([pa.nulls(len(column), pa.int32() if pa.types.is_null(wanted) else wanted)])
    if column.type == wanted or kind_of(wanted) in (TEXT, MOMENT, BYTES):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column) if pa.types.is_floating(wanted) else column
    if pa.types.is_integer(column.type) and pa.types.is_integer(wanted):
        try:
            return column.cast(wanted)
        except pa.ArrowInvalid:  # not all of them fit
            pass
    found = column.combine_chunks().dictionary_encode()
    encoded = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return pa.chunked_array([_equals(encoded.dictionary, wanted, con).take(encoded.indices)])


def _equals(values: pa.Array, wanted: pa.DataType, con: duckdb.DuckDBPyConnection) -> pa.Array:
    """The values in another type: their texts read as that type, where they read back as the same text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = _texts(pa.chunked_array([values]))
    con.register(_LIKE, pa.schema([("x", wanted)]).empty_table())
    con.register(_TEXTS, pa.table({"x": texts, "i": np.arange(len(texts))}))
    [kind] = con.sql(f"SELECT x FROM {_LIKE}").types
    read = con.sql(f"SELECT TRY_CAST(x AS {kind}) AS x FROM {_TEXTS} ORDER BY i").to_arrow_table().column("x").cast(wanted)
    con.unregister(_TEXTS)
    con.unregister(_LIKE)
    same = pc.equal(_texts(read), texts)
    return pc.if_else(same, read, pa.scalar(None, wanted)).combine_chunks()


def without_nan(rows: pa.Table) -> pa.Table:
    """Rows of keys with NaN as null and -0.0 as 0.0, so that equal keys are equal to any engine."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type):
            column = rows.column(i)
            zero = pa.scalar(0.0, field.type)
            column = pc.if_else(pc.equal(column, zero), zero, column)
            rows = rows.set_column(i, field.name, pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column))
    return rows


# --- one column as text -------------------------------------------------------------------------------------------------


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    column = _decoded(column)
    return pa.chunked_array([_text(chunk) for chunk in column.chunks], pa.string())


def _text(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    kind, is_ = kind_of(values.type), pa.types
    if is_.is_floating(values.type):
        return _float_text(values)
    if is_.is_decimal(values.type):
        return _decimal_text(values)
    if kind == BYTES:
        return pa.array([None if value is None else value.hex() for value in values.to_pylist()], pa.string())
    if kind in (LOCAL, MOMENT, TIME_OF_DAY):
        return _time_text(values)
    return values.cast(pa.string())


def _float_text(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False))  # null is NaN here, and either is null as a key
    whole = (np.abs(numbers) < _INT64) & (numbers == np.trunc(numbers))
    wholes = pa.array(np.where(whole, numbers, 0.0).astype(np.int64)).cast(pa.string())
    if whole.all():
        return wholes
    texts = pc.if_else(pa.array(whole), wholes, pa.array(numbers, from_pandas=True).cast(pa.string()))
    return _without_exponents(texts, "e")


def _decimal_text(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = values.cast(pa.string())
    if values.type.scale > 0:
        texts = pc.replace_substring_regex(texts, r"^([^E]*?)\.?0*$", r"\1")
    return _without_exponents(texts, "E")


def _without_exponents(texts: pa.Array, mark: str) -> pa.Array:
    """The few numbers that are written with an exponent, written without."""
    import pyarrow as pa
    import pyarrow.compute as pc

    some = pc.match_substring(texts, mark)
    if not pc.any(some).as_py():
        return texts
    found = texts.filter(some).to_pylist()
    return pc.replace_with_mask(texts, some, pa.array([_plain(text) for text in found], pa.string()))


def _plain(text: str) -> str:
    """A number in digits alone; a whole one that is a double has all the digits that the double has."""
    number = Decimal(text)
    if "e" in text and number == number.to_integral_value():
        return str(int(float(text)))
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _time_text(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    type_ = values.type
    if pa.types.is_date(type_):
        return values.cast(pa.date32()).cast(pa.string())
    fine = "ns" if getattr(type_, "unit", "us") == "ns" else "us"
    if pa.types.is_time(type_):
        return pc.replace_substring_regex(values.cast(pa.time64(fine)).cast(pa.string()), r"\.?0*$", "")
    texts = pc.replace_substring_regex(values.cast(pa.timestamp(fine)).cast(pa.string()), r"\.?0*$", "")
    if type_.tz is not None:
        return pc.binary_join_element_wise(texts, "+00", "")
    return pc.replace_substring_regex(texts, " 00:00:00$", "")


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
