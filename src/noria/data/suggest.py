"""A contract suggested from data: what has held so far, as the declaration that would keep it so."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import TYPE_CHECKING, Any

from noria.data.contract import Contract
from noria.data.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

Number = int | float
Range = tuple[Number | None, Number | None]

MAX_VALUES = 30  # a text column with more different ones is not a list of allowed values
ROWS_A_VALUE = 10  # on average, below which the values of a text are not all the allowed ones
ROOM = 10  # beyond what was seen a number may lie this part of its range, a tenth
MOSTLY = 0.95  # of the texts of a column that is proposed as numbers
DIGITS = 100  # of the arithmetic on bounds, more than a decimal has


def suggest(table: Table, rows: pa.Table) -> Contract:
    """A contract that all of `rows` keep: columns never null, ranges of numbers with a tenth of room, lists of texts.

    Keys and times have rules of their own, whatever the contract says, and are left out.
    """
    columns = {c: rows.column(c) for c in rows.column_names if c not in (*table.keys, *table.times, table.known)}
    return Contract(
        not_null=[c for c, column in columns.items() if rows.num_rows and not _has_missing(column)] or (),
        between={c: bounds for c, column in columns.items() if (bounds := _range(column)) is not None},
        one_of={c: values for c, column in columns.items() if (values := _values(column))},
    )


def as_python(contract: Contract) -> str:
    """The declaration of a suggested contract, ready to be pasted into a project."""
    parts = []
    if contract.not_null:
        parts.append(f"    not_null={_written(list(contract.not_null))},")
    if contract.between:
        bounds = (f"        {_written(name)}: ({low!r}, {high!r})," for name, (low, high) in contract.between.items())
        parts += ["    between={", *bounds, "    },"]
    if contract.one_of:
        values = (f"        {_written(name)}: {_written(list(values))}," for name, values in contract.one_of.items())
        parts += ["    one_of={", *values, "    },"]
    return "\n".join(["nr.Contract(", *parts, ")"])


def suggest_types(columns: Mapping[str, str]) -> str:
    """The types of a source's columns, column → SQL type, ready to be pasted into `nr.files(…)`."""
    return "\n".join(["types={", *(f"    {_written(name)}: {_written(kind)}," for name, kind in columns.items()), "},"])


def types_of(rows: pa.Table, without: Sequence[str] = ()) -> dict[str, str]:
    """The SQL type of each column; of a text most of whose values are numbers (all but one in twenty), DOUBLE."""
    from noria.data.types import sql_of

    columns = [f for f in rows.schema if f.name not in without]
    numbers = _mostly_numbers(rows, [f.name for f in columns if sql_of(f.type) == "VARCHAR"])
    return {f.name: "DOUBLE" if f.name in numbers else sql_of(f.type) for f in columns}


def _mostly_numbers(rows: pa.Table, texts: Sequence[str]) -> set[str]:
    from noria.core.sql import connect, quoted
    from noria.data.columns import counts
    from noria.data.sources.text import value_of

    with connect() as con:
        con.register("texts", rows.select(list(texts)))
        there = counts(con, "texts", {c: f"{quoted(c)} IS NOT NULL" for c in texts})
        number = counts(con, "texts", {c: f"({value_of(quoted(c), 'DOUBLE')}) IS NOT NULL" for c in texts})
    return {c for c in texts if there[c] and number[c] >= MOSTLY * there[c]}


def _written(value: Any) -> str:
    """A text, or a list of texts, as Python."""
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    # JSON's escapes are Python's too; what does not print is escaped, so that it is pasted as it is
    return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)


def _has_missing(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    return bool(column.null_count or (pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py()))


def _range(column: pa.ChunkedArray) -> Range | None:
    """Bounds around a column's numbers; None where there are none, or NaN, which lies in no range."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_ = pa.types
    if not (is_.is_integer(column.type) or is_.is_floating(column.type) or is_.is_decimal(column.type)):
        return None
    there = column.drop_null()
    if not len(there) or _has_missing(there):
        return None
    found = pc.min_max(there).as_py()
    bounds = _bounds(found["min"], found["max"], column.type)
    return None if bounds == (None, None) else bounds


def _bounds(least: Any, greatest: Any, kind: pa.DataType) -> Range:
    if not (math.isfinite(least) and math.isfinite(greatest)):
        return (least if math.isfinite(least) else None, greatest if math.isfinite(greatest) else None)
    with localcontext(prec=DIGITS):
        low, high = _with_room(_decimal(least), _decimal(greatest))
        return _number(low, kind, ROUND_FLOOR), _number(high, kind, ROUND_CEILING)


def _decimal(value: int | float | Decimal) -> Decimal:
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _with_room(least: Decimal, greatest: Decimal) -> tuple[Decimal, Decimal]:
    """A range with room on both sides, in round numbers, that does not cross zero where the values don't."""
    room = (greatest - least) / ROOM
    if not room:
        return least, greatest
    step = Decimal((0, (1,), room.adjusted() - 1))
    low = ((least - room) / step).to_integral_value(ROUND_FLOOR) * step
    high = ((greatest + room) / step).to_integral_value(ROUND_CEILING) * step
    return (Decimal(0) if least >= 0 > low else low), (Decimal(0) if greatest <= 0 < high else high)


def _number(bound: Decimal, kind: pa.DataType, outward: str) -> Number | None:
    """A bound as a number of Python that stands no further in; None for one that a float can't hold."""
    import pyarrow as pa

    if bound == bound.to_integral_value() and not pa.types.is_floating(kind):
        return int(bound)
    written = float(bound)
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and Decimal(repr(written)) != bound):
        return int(bound.to_integral_value(outward))
    return written + 0.0 if math.isfinite(written) else None


def _values(column: pa.ChunkedArray) -> list[str]:
    """The values of a column of texts, in order, where they are so few that they look like all there are."""
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return []
    values = [v for v in column.unique().to_pylist() if v is not None] if len(column) else []
    return sorted(values) if len(values) <= min(MAX_VALUES, len(column) // ROWS_A_VALUE) else []
