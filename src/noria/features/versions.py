"""Versions: a table's rows as what was known when, the one form that every feature and every label is computed from.

Rows with the same key are versions of one fact. A version counts at time t iff `_enter <= t < _superseded`, where it enters
once it has happened and is known, and is superseded when the next version of its key becomes known (a deleted one
supersedes and never counts). Late rows, corrections and retractions are then nothing but intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.sql import quoted
from noria.data.table import Facts, Table, microseconds_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Microseconds = NDArray[np.int64]

NEVER = 2**63 - 1


@dataclass(frozen=True)
class Versions:
    """The versions of a table that count at some time, in order of (event time, known time, key): their rank.

    rows: the table's own columns; event, known, superseded: `(rows,)`, microseconds since 1970-01-01 UTC
    """

    table: Table
    rows: pa.Table
    event: Microseconds
    known: Microseconds
    superseded: Microseconds

    def __len__(self) -> int:
        return len(self.event)

    @cached_property
    def enter(self) -> Microseconds:
        """When each version begins to count: it has happened, and it is known."""
        return np.maximum(self.event, self.known)

    @cached_property
    def in_order(self) -> bool:
        """Whether they enter one by one in the order of their rank: none is late, and no two enter at one moment."""
        return bool((self.enter[1:] > self.enter[:-1]).all())

    @cached_property
    def relation(self) -> pa.Table:
        """The rows with `_event`, `_known`, `_enter`, `_superseded` and `_rank` (all BIGINT), as SQL reads them."""
        import pyarrow as pa

        columns = {"_event": self.event, "_known": self.known, "_enter": self.enter, "_superseded": self.superseded}
        columns["_rank"] = np.arange(len(self))
        found = self.rows
        for name, values in columns.items():
            found = found.append_column(name, pa.array(values, pa.int64()))
        return found


def versions_of(facts: Facts, con: duckdb.DuckDBPyConnection) -> Versions:
    """The versions in one Snapshot of a table; `con` is any connection, on which nothing is left behind.

    Versions of one key that became known at the same moment are ordered by event time, then by their place in the
    snapshot, so that the last of them is the same on every machine.
    """
    import pyarrow as pa

    table, rows = facts.table, facts.rows
    event, known = (microseconds_of(rows.column(c)) for c in (table.event_time, table.known))
    narrow = rows.select(list(dict.fromkeys([*table.keys, *([table.deleted] if table.deleted else [])])))
    for name, values in (("_event", event), ("_known", known), ("_row", np.arange(rows.num_rows))):
        narrow = narrow.append_column(name, pa.array(values, pa.int64()))
    con.register("_facts", narrow)
    one_version_each = _one_version_each(con, table.keys)
    if one_version_each and table.deleted is None and bool((event[1:] > event[:-1]).all()):
        con.unregister("_facts")
        return Versions(table, rows, event, known, np.full(len(event), NEVER))
    found = con.sql(_ordered_sql(table, one_version_each=one_version_each)).fetchnumpy()
    con.unregister("_facts")
    place = np.asarray(found["_row"])
    rows = rows.combine_chunks().take(pa.array(place, pa.int64()))
    return Versions(table, rows, event[place], known[place], np.asarray(found["_superseded"]))


def _one_version_each(con: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> bool:
    """Whether every key stands once, so that nothing is ever superseded."""
    names = ", ".join(quoted(k) for k in keys)
    key = names if len(keys) == 1 else f"({names})"
    [(distinct, rows)] = con.sql(f"SELECT count(DISTINCT {key}), count(*) FROM _facts").fetchall()
    return bool(distinct == rows)


def _ordered_sql(table: Table, *, one_version_each: bool) -> str:
    keys = ", ".join(quoted(k) for k in table.keys)
    later = f"lead(_known) OVER (PARTITION BY {keys} ORDER BY _known, _event, _row)"
    superseded = str(NEVER) if one_version_each else f"coalesce({later}, {NEVER})"
    kept = f"WHERE NOT coalesce({quoted(table.deleted)}, false)" if table.deleted else ""
    return f"""
        SELECT _row, _superseded FROM (SELECT *, ({superseded})::BIGINT AS _superseded FROM _facts) {kept}
        ORDER BY _event, _known, {keys}, _row"""
