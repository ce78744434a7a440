"""A contract suggested from data: what has held so far, as the declaration that would keep it so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noria.core.sql import connect, quoted
from noria.data.contract import Contract
from noria.data.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VALUES = 30  # a text column with more different ones is not a list of allowed values
ROOM = 0.1  # how far beyond what was seen a number may lie, as a share of its range


def suggest(table: Table, rows: pa.Table) -> Contract:
    """A contract that all of `rows` keep: columns never null, ranges with a tenth of room, lists of values.

    Keys and times have rules of their own, whatever the contract says, and are left out.
    """
    import pyarrow as pa

    columns = [f for f in rows.schema if f.name not in (*table.keys, *table.times)]
    with connect() as con:
        con.register("rows", rows)
        not_null = [f.name for f in columns if rows.num_rows and rows.column(f.name).null_count == 0]
        between = {f.name: _range(con, f.name) for f in columns if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)}
        one_of = {f.name: _values(con, f.name, rows.num_rows) for f in columns if pa.types.is_string(f.type)}
    return Contract(
        not_null=not_null,
        between={name: found for name, found in between.items() if found is not None},
        one_of={name: found for name, found in one_of.items() if found},
    )


def as_python(contract: Contract) -> str:
    """The declaration, ready to be pasted into a project."""
    parts = []
    if contract.not_null:
        parts.append(f"    not_null={list(contract.not_null)!r},")
    if contract.between:
        parts += ["    between={", *(f"        {name!r}: ({low:g}, {high:g})," for name, (low, high) in contract.between.items()), "    },"]
    if contract.one_of:
        parts += ["    one_of={", *(f"        {name!r}: {list(values)!r}," for name, values in contract.one_of.items()), "    },"]
    return "\n".join(["nr.Contract(", *parts, ")"]).replace("'", '"')


def _range(con: Any, column: str) -> tuple[float, float] | None:
    name = quoted(column)
    [(low, high)] = con.sql(f"SELECT min({name}::DOUBLE), max({name}::DOUBLE) FROM rows WHERE isfinite({name}::DOUBLE)").fetchall()
    if low is None:
        return None
    room = (high - low) * ROOM
    return (low if low >= 0 > low - room else low - room), high + room


def _values(con: Any, column: str, rows: int) -> Sequence[str]:
    name = quoted(column)
    found = con.sql(f"SELECT DISTINCT {name} FROM rows WHERE {name} IS NOT NULL ORDER BY 1 LIMIT {MOST_VALUES + 1}").fetchall()
    return [value for (value,) in found] if len(found) <= min(MOST_VALUES, rows // 10) else []
