"""Ingestion: rows from a source into the next version of a table, each exactly once, the bad ones into quarantine.

What is stored, the sums that prove it, and the watermark up to which the source was read are one atomic commit of the
table, so that a kill at any point leaves either the version before or the version after, and running again adds nothing
twice. Rows that are read again are found among those stored with equal known times (event times, where ingestion itself
writes down when a row was known).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.clock import Clock, SystemClock, since_epoch
from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.ids import digest
from noria.core.sql import connect, literal, quoted
from noria.data.contract import ContractBroken, Rule, UnknownColumn
from noria.data.source import Batch, RawRow, Watermark
from noria.data.table import INGESTED, Facts, Snapshot, Table, microseconds_of
from noria.stores.tables import DeltaTables, content_digest

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

REASON, PLACE, RAW = "_reason", "_place", "_raw"
WEEK_US = 7 * 86_400 * 1_000_000


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
    """What one ingestion did: `balance` says where every row that was read went.

    reasons: why rows went into quarantine; warnings: what broke a rule whose policy is to warn; unreadable: files that could
    not be read (they are tried again next time)
    """

    snapshot: Snapshot
    balance: Balance
    reasons: dict[str, int]
    warnings: dict[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "snapshot": self.snapshot.to_dict(),
            "balance": self.balance.to_dict(),
            "reasons": self.reasons,
            "warnings": self.warnings,
            "unreadable": dict(self.unreadable),
        }


def ingest(table: Table, store: DeltaTables, folder: Path, clock: Clock | None = None) -> Ingested:
    """Bring `table` up to date with its source. Raises before anything is stored if the source can't be used."""
    with store.writing(table.name):
        batch = table.source.read(folder, store.details(table.name).get("watermark"))
        if batch is None:
            if store.latest(table.name) is None:
                raise NothingThere(table.name, table.source.describe())
            return Ingested(current(table, store), Balance(f"ingest {table.name}", 0, _went()), {})
        return _store(table, store, batch, (clock or SystemClock()).now())


def push(table: Table, store: DeltaTables, rows: pa.Table, clock: Clock | None = None) -> Ingested:
    """Add rows that an application sends, beside the source (whose watermark stays)."""
    with store.writing(table.name):
        watermark = store.details(table.name).get("watermark", {})
        return _store(table, store, Batch(rows, watermark), (clock or SystemClock()).now())


def replay_quarantine(table: Table, store: DeltaTables, clock: Clock | None = None) -> Ingested:
    """Judge the quarantined rows by the contract as it is now: what passes is stored, the rest stays."""
    name = quarantine_of(table)
    with store.writing(table.name):
        held = store.read_or_none(name)
        if held is None or held.num_rows == 0:
            return Ingested(current(table, store), Balance(f"replay {name}", 0, _went()), {})
        raw = _where(held, RAW, valid=True)
        rows = _where(held, RAW, valid=False).drop_columns([REASON, PLACE, RAW])
        done = _store(table, store, Batch(rows, store.details(table.name).get("watermark", {})), (clock or SystemClock()).now())
        with connect() as con:
            still = _judge(con, table, _typed(table, rows)).bad
        store.replace(name, _aligned(_as_quarantine(still, []), raw), {"rows": still.num_rows + raw.num_rows})
        return done


def check_source(table: Table, folder: Path) -> pa.Table:
    """Read a table's source and check its columns and its contract's SQL, without storing anything; returns the rows to store."""
    batch = table.source.read(folder, None)
    assert batch is not None, "a source that is read from its start has a batch"
    rows = _typed(table, batch.rows)
    _check_columns(table, rows)
    with connect() as con:
        _judge(con, table, rows.slice(0, 0))
    return _stamped(table, rows, None) if table.stamped else rows


def current(table: Table, store: DeltaTables, version: int | None = None) -> Snapshot:
    """The latest version of a table, or a given one. Raises `NotIngested` if there is none."""
    version = store.latest(table.name) if version is None else version
    if version is None:
        raise NotIngested(table.name)
    found = store.details(table.name, version)
    return Snapshot(table.name, version, found["digest"], int(found["balance"]["went"]["stored"]), found["weeks"])


def facts(table: Table, store: DeltaTables, version: int | None = None) -> Facts:
    """The latest version of a table (or a given one) with its rows."""
    snapshot = current(table, store, version)
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


class NothingThere(UserMistake):
    """A source has no row at all, so that not even its columns are known."""

    code = "NR-215"

    def __init__(self, table: str, source: str) -> None:
        self.table, self.source = table, source
        super().__init__(
            what=f"there is nothing to ingest into {table!r} yet",
            where=f"source {source} has no row",
            mend="ingest again when the first rows have arrived",
        )


def quarantine_of(table: Table) -> str:
    """The side table that holds what was refused, with the reason, where it stood, and the raw text of what was no row."""
    return f"{table.name}__quarantine"


# --- storing a batch ----------------------------------------------------------------------------------------------------


def _store(table: Table, store: DeltaTables, batch: Batch, now: datetime) -> Ingested:
    rows = _typed(table, batch.rows)
    _check_columns(table, rows)
    with connect() as con:
        judged = _judge(con, table, rows)
        warnings = {**judged.warnings, **_check_batch(table, rows, now)}
        version = store.latest(table.name)
        good = _evolved(table, store.schema(table.name), judged.good)
        new = _not_yet_stored(con, table, store, version, good)
        before = store.details(table.name)
        warnings |= _backfilled(table, before, new)
        if table.stamped:
            new = _stamped(table, new, None if store.count(table.name) == 0 else now)
        bad = _as_quarantine(judged.bad, batch.raw)
        new_bad = _not_yet_quarantined(con, store, quarantine_of(table), bad)
    went = _went(stored=new.num_rows, repeated=judged.good.num_rows - new.num_rows, quarantined=bad.num_rows)
    balance = Balance(f"ingest {table.name}", batch.came_in, went).checked()
    reasons = _count_reasons(bad)
    if new_bad.num_rows:
        store.append(quarantine_of(table), new_bad, {"rows": new_bad.num_rows})
    if new.num_rows or version is None or before.get("watermark") != batch.watermark:
        store.append(table.name, new, _facts(table, before, new, balance, batch.watermark))
    return Ingested(current(table, store), balance, reasons, warnings, batch.unreadable)


def _facts(table: Table, before: Mapping[str, Any], new: pa.Table, balance: Balance, watermark: Watermark) -> dict[str, Any]:
    """What is stored in the commit: totals since the table was made, and digests that name its content."""
    totals = before.get("balance", {"came_in": 0, "went": _went()})
    weeks = dict(before.get("weeks", {}))
    chain = before.get("digest", "")
    known_from = _known_from(table, new)
    if known_from is not None:
        added = content_digest(new)
        week = str(known_from // WEEK_US * WEEK_US)
        chain = digest([chain, added])
        weeks[week] = digest([weeks.get(week, ""), added])
    went = {name: totals["went"].get(name, 0) + count for name, count in balance.went.items()}
    total = Balance(f"ingest {table.name}", totals["came_in"] + balance.came_in, went).checked()
    newest = max([n for n in (before.get("newest"), _newest(table, new)) if n is not None], default=None)
    return {"digest": chain or digest([]), "weeks": weeks, "balance": total.to_dict(), "watermark": watermark, "newest": newest}


def _newest(table: Table, rows: pa.Table) -> int | None:
    """When the newest of the facts happened (microseconds); None where there is none."""
    import pyarrow.compute as pc

    return since_epoch(pc.max(rows.column(table.event_time)).as_py()) if rows.num_rows else None


def _backfilled(table: Table, before: Mapping[str, Any], new: pa.Table) -> dict[str, int]:
    """A warning where rows come after younger ones, in a table that takes every row for known when it happened."""
    newest = before.get("newest")
    if table.known_at is not None or newest is None or new.num_rows == 0:
        return {}
    late = int((microseconds_of(new.column(table.event_time)) < newest).sum())
    reason = f"older than rows that are stored: training sets see them as if they had been there (give {table.name!r} a known_at)"
    return {reason: late} if late else {}


def _stamped(table: Table, rows: pa.Table, now: datetime | None) -> pa.Table:
    """The rows with the time of their ingestion; without one (a table's first rows), they were known when they happened."""
    import pyarrow as pa

    utc = pa.timestamp("us", tz="UTC")
    known = rows.column(table.event_time).cast(utc, safe=False) if now is None else pa.array([now] * rows.num_rows, utc)
    return rows.append_column(INGESTED, known)


def _known_from(table: Table, rows: pa.Table) -> int | None:
    import pyarrow.compute as pc

    return since_epoch(pc.min(rows.column(table.known)).as_py()) if rows.num_rows else None


def _went(stored: int = 0, repeated: int = 0, quarantined: int = 0) -> dict[str, int]:
    return {"stored": stored, "repeated": repeated, "quarantined": quarantined}


# --- judging ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    """Good rows, bad rows with the first rule that each broke, and how many broke a rule that only warns."""

    good: pa.Table
    bad: pa.Table
    warnings: dict[str, int]


def _judge(con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table) -> _Judged:
    """Raises `ContractBroken` for a rule whose policy is to reject, and `UnknownColumn` or the engine's words for bad SQL."""
    import duckdb
    import pyarrow as pa

    floats = [c for c in table.keys if pa.types.is_floating(rows.schema.field(c).type)]
    rules = table.contract.rules(tuple(dict.fromkeys((*table.keys, *table.times))), table.times, floats)
    con.register("raw", rows)
    broken = ", ".join(f"coalesce({rule.broken}, false) AS _broken_{i}" for i, rule in enumerate(rules))
    cases = " ".join(f"WHEN _broken_{i} THEN {literal(r.reason)}" for i, r in enumerate(rules) if r.policy == "quarantine")
    flags = ", ".join(f"_broken_{i}" for i in range(len(rules)))
    try:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE judged AS SELECT * EXCLUDE ({flags}), CASE {cases} END AS {quoted(REASON)}, "
            f"[{flags}] AS _flags FROM (SELECT *, {broken} FROM raw)"
        )
    except duckdb.Error as error:
        raise UserMistake(
            what=f"the contract of table {table.name!r} can't be checked",
            where=str(error).strip().splitlines()[0],
            mend="correct the condition in nr.Contract(sql={…})",
        ) from error
    warnings = {}
    for i, rule in enumerate(rules):
        if rule.policy == "quarantine":
            continue
        [(count,)] = con.sql(f"SELECT count(*) FROM judged WHERE _flags[{i + 1}]").fetchall()
        if count and rule.policy == "reject":
            raise ContractBroken(table=table.name, reason=rule.reason, rows=count, example=_first_broken(con, rule, i))
        if count:
            warnings[rule.reason] = int(count)
    columns = f"* EXCLUDE ({quoted(REASON)}, _flags)"
    good = con.sql(f"SELECT {columns} FROM judged WHERE {quoted(REASON)} IS NULL").to_arrow_table()
    bad = con.sql(f"SELECT * EXCLUDE (_flags) FROM judged WHERE {quoted(REASON)} IS NOT NULL").to_arrow_table()
    return _Judged(good, bad, warnings)


def _first_broken(con: duckdb.DuckDBPyConnection, rule: Rule, place: int) -> str:
    found = con.sql(f"SELECT * EXCLUDE ({quoted(REASON)}, _flags) FROM judged WHERE _flags[{place + 1}] LIMIT 1").to_arrow_table()
    [row] = found.to_pylist()
    return f"{rule.name}; first bad row: " + ", ".join(f"{name}={value}" for name, value in row.items())[:300]


def _check_batch(table: Table, rows: pa.Table, now: datetime) -> dict[str, int]:
    """Rules on the batch as a whole; returns the warnings."""
    import pyarrow.compute as pc

    newest = pc.max(rows.column(table.event_time)).as_py() if rows.num_rows else None
    warnings = {}
    for reason, policy in table.contract.of_batch(rows.num_rows, newest, now):
        if policy == "reject":
            raise ContractBroken(table=table.name, reason=reason, rows=0, example=f"source {table.source.describe()}")
        warnings[reason] = rows.num_rows
    return warnings


def _check_columns(table: Table, rows: pa.Table) -> None:
    import pyarrow as pa

    needed = {
        **dict.fromkeys(table.keys, "key"),
        **dict.fromkeys(table.times, "time"),
        **dict.fromkeys(sorted(table.contract.columns()), "contract"),
        **({table.deleted: "deleted"} if table.deleted else {}),
    }
    for column, role in needed.items():
        if column not in rows.column_names:
            raise UnknownColumn(column=column, named_by=f"the {role} of table {table.name!r}", available=rows.column_names)
    for column in table.times:
        kind = rows.schema.field(column).type
        if not (pa.types.is_timestamp(kind) and kind.tz):
            raise BadTimeColumn(table=table.name, column=column, found=str(kind))
    with connect() as con:
        con.register("rows", rows.slice(0, 0))
        for column, wanted in table.contract.types.items():
            [found] = con.sql(f"SELECT {quoted(column)} FROM rows").types
            [expected] = con.sql(f"SELECT CAST(NULL AS {wanted})").types
            if found != expected:
                raise ContractBroken(table=table.name, reason=f"{column} is {found}, not {expected}", rows=0, example="")


def _typed(table: Table, rows: pa.Table) -> pa.Table:
    """The rows with times that are written as text read as times, where at least one says its zone; else as they are.

    A text without a zone becomes null, which the contract quarantines: guessing its zone is how hours get lost.
    """
    import pyarrow as pa

    texts = [c for c in table.times if c in rows.column_names and pa.types.is_string(rows.schema.field(c).type)]
    for column in texts:
        with connect() as con:
            con.register("rows", rows)
            name = quoted(column)
            zoned = f"regexp_matches({name}, '(Z|[+-]\\d\\d(:?\\d\\d)?)$')"
            found = con.sql(f"SELECT * REPLACE (CASE WHEN {zoned} THEN TRY_CAST({name} AS TIMESTAMPTZ) END AS {name}) FROM rows")
            read = found.to_arrow_table()
        if read.column(column).null_count < read.num_rows:
            rows = read
    return rows


def _evolved(table: Table, before: pa.Schema | None, good: pa.Table) -> pa.Table:
    """Good rows in the stored order of columns, added ones last. Raises `SchemaChanged` for lost or retyped ones."""
    if before is None:
        return good
    if table.stamped:
        before = before.remove(before.get_field_index(INGESTED))
    changes = []
    for column in before:
        if column.name not in good.column_names:
            changes.append(f"{column.name} is gone")
        elif not _same_type(good.schema.field(column.name).type, column.type):
            changes.append(f"{column.name} was {column.type}, is {good.schema.field(column.name).type}")
    if changes and good.num_rows:
        raise SchemaChanged(table=table.name, changes=changes)
    if changes:
        return before.empty_table()
    added = [c for c in good.column_names if c not in before.names]
    return good.select([*before.names, *added])


def _same_type(found: Any, stored: Any) -> bool:
    """Whether a type comes back from the store as the other (Delta knows one width of text and of lists)."""
    return bool(found == stored) or str(found).removeprefix("large_") == str(stored).removeprefix("large_")


# --- once each ----------------------------------------------------------------------------------------------------------


def _not_yet_stored(con: duckdb.DuckDBPyConnection, table: Table, store: DeltaTables, version: int | None, good: pa.Table) -> pa.Table:
    """The distinct rows that are not stored yet, in a fixed order (so that equal data gives equal bytes)."""
    import pyarrow.compute as pc

    con.register("candidate", good)
    if version is None or good.num_rows == 0:
        return con.sql("SELECT DISTINCT * FROM candidate ORDER BY ALL").to_arrow_table()
    time = table.event_time if table.stamped else table.known
    span = pc.min_max(good.column(time)).as_py()
    stored = store.read(table.name, version, within=(time, span["min"], span["max"]))
    return _except(con, good, stored)


def _not_yet_quarantined(con: duckdb.DuckDBPyConnection, store: DeltaTables, name: str, bad: pa.Table) -> pa.Table:
    held = store.read_or_none(name) if bad.num_rows else None
    return bad if held is None else _except(con, bad, held)


def _except(con: duckdb.DuckDBPyConnection, rows: pa.Table, stored: pa.Table) -> pa.Table:
    con.register("candidate", rows)
    con.register("stored", _aligned(stored, rows.schema.empty_table()))
    columns = ", ".join(quoted(c) for c in rows.column_names)
    return con.sql(f"SELECT * FROM (SELECT {columns} FROM candidate EXCEPT SELECT {columns} FROM stored) ORDER BY ALL").to_arrow_table()


def _aligned(rows: pa.Table, other: pa.Table) -> pa.Table:
    """Both tables one below the other; a column that one lacks is null there."""
    import pyarrow as pa

    return pa.concat_tables([rows, other], promote_options="permissive")


def _as_quarantine(bad: pa.Table, raw: Sequence[RawRow]) -> pa.Table:
    """Bad rows, and pieces that are no rows, as the quarantine stores them."""
    import pyarrow as pa

    for name in (PLACE, RAW):
        bad = bad.append_column(name, pa.nulls(bad.num_rows, pa.string()))
    if not raw:
        return bad
    texts = {REASON: [r.reason for r in raw], PLACE: [r.place for r in raw], RAW: [r.text for r in raw]}
    return _aligned(bad, pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()}))


def _where(rows: pa.Table, column: str, *, valid: bool) -> pa.Table:
    """The rows in which a column has (or has not) a value."""
    import pyarrow.compute as pc

    return rows.filter(pc.is_valid(rows.column(column)) if valid else pc.is_null(rows.column(column)))


def _count_reasons(bad: pa.Table) -> dict[str, int]:
    counts = bad.column(REASON).value_counts() if bad.num_rows else []
    return {str(entry["values"]): entry["counts"].as_py() for entry in counts}
