"""Columns of a table as numbers, texts and times, whatever their Arrow types are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake, nearest
from noria.core.sql import connect

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Column = Any  # pa.ChunkedArray

SHOWN = 5  # values in a message
UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}  # of which a second has so many
EARLIEST, LATEST = 631_152_000, 4_102_444_800  # seconds since 1970: the years 1990 and 2100
LOOKED_AT = 20  # texts, by which they are recognized as lists


class NotPredictions(UserMistake):
    """A table has no predictions that can be judged: a column is missing, or its values are not answers of the task."""

    code = "NR-580"


def require_columns(rows: pa.Table, wanted: Sequence[str | None], role: str, where: str) -> None:
    """Raise `NotPredictions` for the first column that the table lacks. role: the argument that names it"""
    for name in wanted:
        if name is not None and name not in rows.column_names:
            raise NotPredictions(
                what=f"there is no column {name!r}{nearest(name, rows.column_names)}",
                where=f"{where}, {role}",
                fix=f"name one of {', '.join(rows.column_names[:20])}",
            )


def is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind))


def is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def plain(column: Column) -> Column:
    """A column without a dictionary."""
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def numbers(column: Column) -> Floats:
    """Numbers and booleans `(rows,)` float64, NaN where null."""
    import pyarrow as pa

    column = plain(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.array(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def texts(column: Column) -> Column:
    """Values as texts, null where there is none. Whole numbers are written without a point, so that 1 and 1.0 are the same class."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = plain(column)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        known = column.drop_null()
        if pc.all(pc.and_(pc.equal(known, pc.floor(known)), pc.less(pc.abs(known), 2.0**53)), min_count=0).as_py():
            column = column.cast(pa.int64())
    return column.cast(pa.string())


def distinct(column: Column) -> list[str]:
    """The distinct values of a column as texts, in order."""
    return sorted(value for value in texts(column).unique().to_pylist() if value is not None)


def places(column: Column, of: Sequence[str]) -> Floats:
    """The place of each value among texts `(rows,)`; −1 where it is not among them, NaN where it is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = texts(column)
    found = np.array(pc.fill_null(pc.index_in(text, value_set=pa.array(list(of), pa.string())), -1).to_numpy(), np.float64)
    found[np.asarray(text.is_null())] = np.nan
    return found


def times(column: Column) -> Column:
    """Times that are texts, or numbers since 1970-01-01 UTC, as timestamps in UTC; other columns as they are.

    Texts without a zone are UTC. A text that is no time is null.
    """
    import pyarrow as pa

    unit = epoch_unit(column)
    if unit is not None:
        values = numbers(column)
        us = np.where(np.isfinite(values), np.nan_to_num(values) * (1_000_000 / UNITS[unit]), 0.0).astype(np.int64)
        return pa.chunked_array([pa.array(us, pa.int64(), mask=~np.isfinite(values)).cast(pa.timestamp("us", tz="UTC"))])
    if not is_text(column.type):
        return column
    rows = pa.table({"t": plain(column).cast(pa.string())})
    with connect() as con:
        con.register("rows", rows)
        read = con.sql("SELECT try_cast(t AS TIMESTAMPTZ) AS t FROM rows").to_arrow_table()
    return read.column("t").cast(pa.timestamp("us", tz="UTC"))


def epoch_unit(column: Column) -> str | None:
    """The unit of numbers that are times since 1970-01-01 UTC: the one in which all lie between 1990 and 2100; None where they are none."""
    if not is_number(column.type) or column.null_count == len(column):
        return None
    values = numbers(column)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    least, most = float(values.min()), float(values.max())
    return next((unit for unit, a_second in UNITS.items() if EARLIEST * a_second <= least and most <= LATEST * a_second), None)


def lists(column: Column) -> Column:
    """Texts of lists of numbers, such as `[0.2, 0.8]` in CSV, as lists; other columns as they are."""
    import pyarrow as pa

    if not is_text(column.type):
        return column
    first = [text.strip() for text in column.drop_null()[:LOOKED_AT].to_pylist()]
    if not first or not all(text.startswith("[") and text.endswith("]") for text in first):
        return column
    rows = pa.table({"t": column.cast(pa.string())})
    with connect() as con:
        con.register("rows", rows)
        return con.sql("SELECT try_cast(t AS DOUBLE[]) AS t FROM rows").to_arrow_table().column("t")


def seconds(column: Column) -> Floats:
    """Dates or times as seconds since 1970-01-01 UTC `(rows,)`, NaN where null."""
    from noria.profiles.projection import seconds_of

    return seconds_of(times(column))


def in_short(values: Sequence[str]) -> str:
    """A few values for a message."""
    return ", ".join(map(repr, values[:SHOWN])) + (", …" if len(values) > SHOWN else "")
