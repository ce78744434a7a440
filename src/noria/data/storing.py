"""Storing: the good rows of a batch that a table does not have yet, as its next version, with the facts that name its content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from noria.core.clock import from_epoch
from noria.core.conservation import Balance
from noria.core.ids import digest
from noria.core.sql import RESERVED, connect, quoted
from noria.data.columns import counts
from noria.data.sources.port import Watermark
from noria.data.staging import ORDER, Expected, Staging
from noria.data.table import INGESTED, Table
from noria.data.types import sql_of, stored_type
from noria.stores import tables
from noria.stores.tables import DeltaTables, content_digest

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

WEEK_US = 7 * 86_400 * 1_000_000
DISTINCT, FRESH, STORED, TIES = (f"{RESERVED}{name}" for name in ("distinct", "fresh", "stored", "ties"))
BEFORE_ALL = -(1 << 62)  # where the order of rows begins that came before everything stored
BATCH_ROWS = 1 << 17  # that are written at once


@dataclass(frozen=True)
class Fresh:
    """The rows to store, in `FRESH`: how many, between which times they happened, and from when on they were known (microseconds)."""

    rows: int
    oldest: int | None
    newest: int | None
    known_from: int | None


def rows_out(stored: int = 0, repeated: int = 0, quarantined: int = 0) -> dict[str, int]:
    """Where the rows of a batch can go."""
    return {"stored": stored, "repeated": repeated, "quarantined": quarantined}


def open_staging(con: duckdb.DuckDBPyConnection, table: Table, store: DeltaTables | None) -> Staging:
    """Staging for a table as it is stored."""
    schema = None if store is None else store.schema(table.name)
    if store is None or schema is None:
        return Staging(con, Expected.of(table))
    types = {f.name: stored_type(f.name, f.type) for f in schema if not (table.stamped and f.name == INGESTED)}

    def survives(name: str, lost: str) -> bool:
        version = store.latest(table.name)
        assert version is not None
        with connect() as other:
            other.register(STORED, store.scan(table.name, version, columns=[name]))
            return not counts(other, STORED, {"": lost})[""]

    return Staging(con, Expected.of(table), {n: t for n, t in types.items() if t is not None}, store.count(table.name) > 0, survives)


def staged_rows(staging: Staging, table: Table, good: str) -> pa.Table:
    """The good rows, in order, as a first ingestion would store them."""
    columns = [quoted(c) for c in staging.types]
    if table.stamped:
        columns.append(f"{quoted(table.event_time)} AS {INGESTED}")
    return staging.con.sql(f"SELECT {', '.join(columns)} FROM {good} ORDER BY {ORDER}").to_arrow_table()


def fresh_rows(staging: Staging, table: Table, good: str, store: DeltaTables, now: datetime) -> Fresh:
    """Put the distinct good rows that are not stored yet into `FRESH`, in a fixed order (so that equal data gives equal bytes)."""
    con = staging.con
    columns = ", ".join(map(quoted, staging.types))
    read = f"SELECT {columns}, {ORDER} FROM {good}"
    if _register_stored(staging, table, good, store):
        read += f" UNION ALL SELECT {_in_todays_types(staging)}, CAST(NULL AS BIGINT) FROM {STORED}"
    stamp = ""
    if table.stamped:
        first = store.count(table.name) == 0
        stamp = f", {quoted(table.event_time) if first else _moment(now)} AS {INGESTED}"
    distinct = f"SELECT {columns}{stamp}, max({ORDER}) AS {ORDER} FROM ({read}) GROUP BY {columns} HAVING count({ORDER}) = count(*)"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {DISTINCT} AS {distinct}")  # and then sorted: both at once would share the memory
    con.execute(f"CREATE OR REPLACE TEMP TABLE {FRESH} AS SELECT * FROM {DISTINCT} ORDER BY ALL")
    con.execute(f"DROP TABLE {DISTINCT}")
    known, event = (f"epoch_us({quoted(c)})" for c in (table.known, table.event_time))
    [(rows, oldest, newest, known_from)] = con.sql(f"SELECT count(*), min({event}), max({event}), min({known}) FROM {FRESH}").fetchall()
    return Fresh(int(rows), oldest, newest, known_from)


def _register_stored(staging: Staging, table: Table, good: str, store: DeltaTables) -> bool:
    """Put the stored rows that could be read again into `STORED`; whether there can be any."""
    con = staging.con
    version = store.latest(table.name)
    if version is None or not staging.bound or not staging.rows:
        return False
    time = table.event_time if table.stamped else table.known
    [(first, last)] = con.sql(f"SELECT min(epoch_us({quoted(time)})), max(epoch_us({quoted(time)})) FROM {good}").fetchall()
    if first is None:
        return False
    rows = store.scan(table.name, version, within=(time, from_epoch(first), from_epoch(last)), columns=list(staging.stored))
    con.register(f"{RESERVED}scan", rows)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {STORED} AS SELECT * FROM {RESERVED}scan")
    con.unregister(f"{RESERVED}scan")
    return True


def _in_todays_types(staging: Staging) -> str:
    """The columns of what is stored in the types of what is staged; a column that is new is null there."""
    return ", ".join(
        f"CAST({quoted(n) if n in staging.stored else 'NULL'} AS {sql_of(t)}) AS {quoted(n)}" for n, t in staging.types.items()
    )


def _moment(now: datetime) -> str:
    return f"TIMESTAMPTZ '{now.isoformat()}'"


def backfilled(staging: Staging, table: Table, store: DeltaTables, fresh: Fresh) -> dict[str, int]:
    """A warning where rows come after younger ones, in a table that takes every row for known when it happened."""
    newest = store.details(table.name).get("newest")
    if table.known_at is not None or newest is None or not fresh.rows:
        return {}
    late = counts(staging.con, FRESH, {"": f"epoch_us({quoted(table.event_time)}) < {newest}"})[""]
    reason = f"older than stored rows: training sets treat them as if known at their time (give {table.name!r} a known_at)"
    return {reason: late} if late else {}


# --- the commit ---------------------------------------------------------------------------------------------------------


def commit(
    staging: Staging, table: Table, store: DeltaTables, fresh: Fresh, balance: Balance, watermark: Watermark, *, came_before: bool = False
) -> None:
    """Store the fresh rows with their facts, and first the columns that have to be wider for them.

    came_before: whether the rows came before all that is stored, and were only judged again: they supersede nothing
    """
    if fresh.rows and (staging.retyped or _stored_otherwise(table, store)):
        _retype(staging, table, store)
    before = store.details(table.name)
    version = store.latest(table.name)
    if not (fresh.rows or version is None or before.get("watermark") != watermark):
        return
    start = BEFORE_ALL if came_before else (1 if version is None else version + 2) << 32
    ordered = fresh.rows > 0 and _write_order(staging, table, start)
    columns = ", ".join([*map(quoted, staging.types), *([INGESTED] if table.stamped else []), *([ORDER] if ordered else [])])
    rows = f"SELECT {columns} FROM {FRESH}"
    found = _facts(table, before, fresh, balance, watermark, lambda: content_digest(_reader(staging.con, rows)))
    store.append(table.name, _reader(staging.con, rows), found)


def _stored_otherwise(table: Table, store: DeltaTables) -> bool:
    """Whether a column is stored as a type that new values are not stored as any more."""
    schema = store.schema(table.name)
    return schema is not None and any(stored_type(f.name, f.type) not in (f.type, None) for f in schema)


def _reader(con: duckdb.DuckDBPyConnection, sql: str) -> pa.RecordBatchReader:
    return con.sql(sql).to_arrow_reader(BATCH_ROWS)


def _retype(staging: Staging, table: Table, store: DeltaTables) -> None:
    """Write what is stored anew with the wider types, as a version of its own; every value stays what it is."""
    name, version = table.name, store.latest(table.name)
    assert version is not None
    con = staging.con
    con.register(f"{RESERVED}scan", store.scan(name, version))
    hidden = [c for c in (INGESTED, tables.ORDER) if c in _columns(con, f"{RESERVED}scan")]
    casts = [f"CAST({quoted(n)} AS {sql_of(staging.types[n])}) AS {quoted(n)}" for n in staging.stored]
    con.execute(f"CREATE OR REPLACE TEMP TABLE {STORED} AS SELECT {', '.join([*casts, *hidden])} FROM {RESERVED}scan")
    con.unregister(f"{RESERVED}scan")
    found = store.details(name)
    change = digest(sorted(staging.changes))
    found |= {"digest": digest([found["digest"], change]), "weeks": {w: digest([d, change]) for w, d in found["weeks"].items()}}
    store.replace(name, _reader(con, f"SELECT * FROM {STORED}"), found)


def _columns(con: duckdb.DuckDBPyConnection, relation: str) -> list[str]:
    return [str(c) for c in con.sql(f"SELECT * FROM {relation} LIMIT 0").columns]


def _write_order(staging: Staging, table: Table, start: int) -> bool:
    """Number the fresh rows that nothing but the order of ingestion tells apart: versions of one key that became known at one moment.

    All others get none, so that equal rows have equal bytes whatever the order they came in. Whether there are such rows.
    """
    con = staging.con
    same = ", ".join([*map(quoted, table.keys), quoted(table.known)])
    stored = f" UNION ALL SELECT {same} FROM {STORED}" if not table.stamped and STORED in _tables(con) else ""
    both = f"SELECT {same} FROM {FRESH}{stored}"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {TIES} AS SELECT {same} FROM ({both}) GROUP BY {same} HAVING count(*) > 1")
    ties = counts(con, TIES, {"": "true"})[""]
    if ties:
        tied = " AND ".join(f"t.{quoted(c)} = {FRESH}.{quoted(c)}" for c in (*table.keys, table.known))
        number = f"CASE WHEN EXISTS (SELECT 1 FROM {TIES} t WHERE {tied}) THEN {start} + {ORDER} END"
        con.execute(f"CREATE OR REPLACE TEMP TABLE {FRESH} AS SELECT * REPLACE ({number} AS {ORDER}) FROM {FRESH} ORDER BY ALL")
    return bool(ties)


def _tables(con: duckdb.DuckDBPyConnection) -> set[str]:
    return {str(name) for (name,) in con.sql("SELECT table_name FROM duckdb_tables()").fetchall()}


def _facts(
    table: Table, before: Mapping[str, Any], fresh: Fresh, balance: Balance, watermark: Watermark, content: Callable[[], str]
) -> dict[str, Any]:
    """What is stored in the commit: totals since the table was made, and digests that name its content."""
    totals = before.get("balance", {"rows_in": 0, "rows_out": rows_out()})
    weeks = dict(before.get("weeks", {}))
    chain = before.get("digest", "")
    if fresh.known_from is not None:
        added = content()
        week = str(fresh.known_from // WEEK_US * WEEK_US)
        chain = digest([chain, added])
        weeks[week] = digest([weeks.get(week, ""), added])
    sums = {name: totals["rows_out"].get(name, 0) + count for name, count in balance.rows_out.items()}
    total = Balance(f"ingest {table.name}", totals["rows_in"] + balance.rows_in, sums).checked()
    newest = max([n for n in (before.get("newest"), fresh.newest) if n is not None], default=None)
    return {"digest": chain or digest([]), "weeks": weeks, "balance": total.to_dict(), "watermark": watermark, "newest": newest}
