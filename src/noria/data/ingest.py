"""Ingestion: rows from a source into the next version of a table, each exactly once, the bad ones into quarantine.

What is stored and the sums that prove it are one atomic commit of the table, so that a kill at any point leaves either
the version before or the version after, and running again adds nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.ids import digest
from noria.core.sql import connect, literal, quoted
from noria.data.contract import UnknownColumn
from noria.data.table import Facts, Snapshot, Table
from noria.stores.tables import DeltaTables, content_digest

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

REASON = "_reason"


class BadTimeColumn(UserMistake):
    """A time column is not a timestamp with a zone."""

    code = "NR-204"

    def __init__(self, *, table: str, column: str, found: str) -> None:
        self.table, self.column, self.found = table, column, found
        super().__init__(
            what=f"column {column!r} holds {found}, not a time with a zone",
            where=f"table {table!r}",
            mend="write it as a timestamp in UTC (in DuckDB: TIMESTAMPTZ; in pandas: datetime64[ns, UTC])",
        )


class SchemaChanged(UserMistake):
    """New rows lack a column the table has, or have it with another type."""

    code = "NR-205"

    def __init__(self, *, table: str, changes: list[str]) -> None:
        self.table, self.changes = table, changes
        super().__init__(
            what=f"the columns of {table!r} have changed: {'; '.join(changes)}",
            where="the new rows do not fit the version that is stored",
            mend="restore the columns in the source, or declare a new table",
        )


@dataclass(frozen=True)
class Ingested:
    """What one ingestion did: `balance` says where every row that was read went."""

    snapshot: Snapshot
    balance: Balance
    reasons: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        return {"snapshot": self.snapshot.to_dict(), "balance": self.balance.to_dict(), "reasons": self.reasons}


def ingest(table: Table, store: DeltaTables, folder: Path) -> Ingested:
    """Bring `table` up to date with its source. Raises before anything is stored if the source can't be used."""
    raw = table.source.read(folder)
    _check_columns(table, raw)
    with connect() as con:
        good, bad = _split(con, table, raw)
        version = store.latest(table.name)
        before = None if version is None else store.read(table.name, version)
        if before is not None:
            _check_schema(table, before, good)
            good = good.select(before.column_names)
        new = _not_yet_stored(con, good, before)
        bad_before = store.read_or_none(_quarantine(table))
        new_bad = _not_yet_stored(con, bad, bad_before)
    repeated = good.num_rows - new.num_rows
    balance = Balance(
        f"ingest {table.name}",
        raw.num_rows,
        {"stored": new.num_rows, "repeated": repeated, "quarantined": bad.num_rows},
    ).checked()
    reasons = _count_reasons(bad)
    if new_bad.num_rows:
        store.append(_quarantine(table), new_bad, {"rows": new_bad.num_rows})
    if new.num_rows or version is None:
        chain = digest([store.details(table.name).get("digest", "") if version is not None else "", content_digest(new)])
        facts = {"digest": chain, "balance": balance.to_dict(), "reasons": reasons}
        store.append(table.name, new, facts)
    return Ingested(current(table, store), balance, reasons)


def check_source(table: Table, folder: Path) -> None:
    """Read a table's source and check its columns, without storing anything."""
    _check_columns(table, table.source.read(folder))


def current(table: Table, store: DeltaTables) -> Snapshot:
    """The latest version of a table. Raises `NotIngested` if there is none."""
    version = store.latest(table.name)
    if version is None:
        raise NotIngested(table.name)
    return Snapshot(table.name, version, store.details(table.name)["digest"], store.count(table.name))


def facts(table: Table, store: DeltaTables) -> Facts:
    """The latest version of a table with its rows."""
    snapshot = current(table, store)
    return Facts(table, snapshot, store.read(table.name, snapshot.version))


class NotIngested(UserMistake):
    """A table was asked for before its first ingestion."""

    code = "NR-206"

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(
            what=f"table {table!r} is empty: it was never ingested",
            where="no version of it is stored",
            mend="run `noria ingest`",
        )


def _quarantine(table: Table) -> str:
    return f"{table.name}__quarantine"


def _check_columns(table: Table, raw: pa.Table) -> None:
    import pyarrow as pa

    needed = {
        **dict.fromkeys(table.keys, "key"),
        **dict.fromkeys(table.times, "time"),
        **dict.fromkeys(table.contract.columns(), "contract"),
        **({table.deleted: "deleted"} if table.deleted else {}),
    }
    for column, role in needed.items():
        if column not in raw.column_names:
            raise UnknownColumn(column=column, named_by=f"the {role} of table {table.name!r}", available=raw.column_names)
    for column in table.times:
        kind = raw.schema.field(column).type
        if not (pa.types.is_timestamp(kind) and kind.tz):
            raise BadTimeColumn(table=table.name, column=column, found=str(kind))


def _split(con: duckdb.DuckDBPyConnection, table: Table, raw: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Good rows, and bad rows with the first rule that each broke."""
    con.register("raw", raw)
    cases = " ".join(f"WHEN {sql} THEN {literal(why)}" for why, sql in table.contract.rules((*table.keys, *table.times)))
    judged = con.sql(f"SELECT *, CASE {cases} END AS {quoted(REASON)} FROM raw").to_arrow_table()
    con.register("judged", judged)
    good = con.sql(f"SELECT * EXCLUDE ({quoted(REASON)}) FROM judged WHERE {quoted(REASON)} IS NULL").to_arrow_table()
    bad = con.sql(f"SELECT * FROM judged WHERE {quoted(REASON)} IS NOT NULL").to_arrow_table()
    return good, bad


def _not_yet_stored(con: duckdb.DuckDBPyConnection, rows: pa.Table, stored: pa.Table | None) -> pa.Table:
    """The distinct rows that are not stored yet, in a fixed order (so that equal data gives equal bytes)."""
    con.register("candidate", rows)
    if stored is None:
        return con.sql("SELECT DISTINCT * FROM candidate ORDER BY ALL").to_arrow_table()
    con.register("stored", stored)
    return con.sql("SELECT * FROM (SELECT * FROM candidate EXCEPT SELECT * FROM stored) ORDER BY ALL").to_arrow_table()


def _check_schema(table: Table, before: pa.Table, new: pa.Table) -> None:
    changes = []
    for column in before.schema:
        if column.name not in new.column_names:
            changes.append(f"{column.name} is gone")
        elif new.schema.field(column.name).type != column.type:
            changes.append(f"{column.name} was {column.type}, is {new.schema.field(column.name).type}")
    if changes:
        raise SchemaChanged(table=table.name, changes=changes)


def _count_reasons(bad: pa.Table) -> dict[str, int]:
    counts = bad.column(REASON).value_counts() if bad.num_rows else []
    return {str(entry["values"]): entry["counts"].as_py() for entry in counts}
