"""A contract suggested from data: what has held so far, as the declaration that would keep it so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.data.contract import Contract
from noria.data.summary import NumberSummary, TextSummary, summarise
from noria.data.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VALUES = 30  # a text column with more different ones is not a list of allowed values
ROOM = 0.1  # how far beyond what was seen a number may lie, as a share of its range


def suggest(table: Table, rows: pa.Table) -> Contract:
    """A contract that all of `rows` keep: columns never null, ranges with a tenth of room, lists of values.

    Keys and times have rules of their own, whatever the contract says, and are left out.
    """
    columns = [c for c in rows.column_names if c not in (*table.keys, *table.times, table.known)]
    seen = summarise(rows.select(columns))
    return Contract(
        not_null=[c for c in columns if rows.num_rows and rows.column(c).null_count == 0],
        between={c: bounds for c, s in seen.items() if isinstance(s, NumberSummary) and (bounds := _range(s)) is not None},
        one_of={c: values for c, s in seen.items() if isinstance(s, TextSummary) and (values := _values(s))},
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


def _range(seen: NumberSummary) -> tuple[float, float] | None:
    if seen.least is None or seen.greatest is None:
        return None
    room = (seen.greatest - seen.least) * ROOM
    low = seen.least - room
    return (seen.least if seen.least >= 0 > low else low), seen.greatest + room


def _values(seen: TextSummary) -> list[str]:
    few = seen.lost == 0 and len(seen.values) <= min(MOST_VALUES, seen.rows // 10)
    return list(seen.values) if few else []
