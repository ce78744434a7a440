"""Versions: a table's rows as what was known when, the one form that every feature and every label is computed from.

Rows with the same key are versions of one fact. A version counts at time t iff `_enter <= t < _superseded`, where it enters
once it has happened and is known, and is superseded when the next version of its key becomes known (a deleted one
supersedes and never counts). Late rows, corrections and retractions are then nothing but intervals.

Of two versions of one key that became known at the same moment, the one that was ingested later supersedes the other. Times
are microseconds; an event or a known time between two of them counts from the later one on, so that nothing counts too early.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.sql import RESERVED
from noria.data.table import SnapshotRows, Table, microseconds_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Microseconds = NDArray[np.int64]

NEVER = 2**63 - 1

# The names of a version's times and rank in SQL.
EVENT, ENTER, SUPERSEDED, RANK = (f"{RESERVED}{name}" for name in ("event", "enter", "superseded", "rank"))
_FACTS, _KNOWN, _ROW, _ORDER, _DELETED = (f"{RESERVED}{name}" for name in ("facts", "known", "row", "order", "deleted"))


@dataclass(frozen=True)
class Versions:
    """The versions of a table that count at some time, in order of (event time, known time, key, ingestion): their rank.

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
    def times(self) -> dict[str, Microseconds]:
        """When each version happened, enters and is superseded, and its rank, by the names that SQL has for them."""
        return {EVENT: self.event, ENTER: self.enter, SUPERSEDED: self.superseded, RANK: np.arange(len(self))}


def versions_of(facts: SnapshotRows, con: duckdb.DuckDBPyConnection) -> Versions:
    """The versions in one Snapshot of a table; `con` is any connection, on which nothing is left behind.

    Versions of one key that became known at the same moment are ordered by when they were ingested, where that is known
    (`Facts.order`), then by event time and by their place in the snapshot, so that the last of them is the same on every machine.
    """
    import pyarrow as pa

    table, rows = facts.table, facts.rows
    event, known = (microseconds_of(rows.column(c)) for c in (table.event_time, table.known))
    keys = {f"{RESERVED}k{i}": rows.column(key) for i, key in enumerate(table.keys)}
    numbers = {_KNOWN: known, EVENT: event, _ROW: np.arange(rows.num_rows)}
    if facts.order is not None:
        numbers[_ORDER] = facts.order
    deleted = {_DELETED: rows.column(table.deleted)} if table.deleted else {}
    con.register(_FACTS, pa.table({**keys, **deleted, **{name: pa.array(values, pa.int64()) for name, values in numbers.items()}}))
    one_version_each = _one_version_each(con, list(keys))
    if one_version_each and table.deleted is None and bool((event[1:] > event[:-1]).all()):
        con.unregister(_FACTS)
        return Versions(table, rows, event, known, np.full(len(event), NEVER))
    order = [_ORDER] if facts.order is not None else []
    found = con.sql(_ordered_sql(list(keys), order, deleted=bool(deleted), one_version_each=one_version_each)).fetchnumpy()
    con.unregister(_FACTS)
    place = np.asarray(found[_ROW])
    rows = rows.combine_chunks().take(pa.array(place, pa.int64()))
    return Versions(table, rows, event[place], known[place], np.asarray(found[SUPERSEDED]))


def _one_version_each(con: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> bool:
    """Whether every key stands once, so that nothing is ever superseded."""
    names = ", ".join(keys)
    key = names if len(keys) == 1 else f"({names})"
    [(distinct, rows)] = con.sql(f"SELECT count(DISTINCT {key}), count(*) FROM {_FACTS}").fetchall()
    return bool(distinct == rows)


def _ordered_sql(keys: Sequence[str], order: Sequence[str], *, deleted: bool, one_version_each: bool) -> str:
    """(_ROW, SUPERSEDED) of every version that counts, by rank; `order` is the column of ingestion, if there is one."""
    within_key = ", ".join([_KNOWN, *order, EVENT, _ROW])
    later = f"lead({_KNOWN}) OVER (PARTITION BY {', '.join(keys)} ORDER BY {within_key})"
    superseded = str(NEVER) if one_version_each else f"coalesce({later}, {NEVER})"
    kept = f"WHERE NOT coalesce({_DELETED}, false)" if deleted else ""
    return f"""
        SELECT {_ROW}, {SUPERSEDED} FROM (SELECT *, ({superseded})::BIGINT AS {SUPERSEDED} FROM {_FACTS}) {kept}
        ORDER BY {", ".join([EVENT, _KNOWN, *keys, *order, _ROW])}"""
