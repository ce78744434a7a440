"""Ingestion: rows from a source into the next version of a table, each exactly once, the bad ones into quarantine.

What is stored, the sums that prove it, and the watermark up to which the source was read are one atomic commit of the
table, so that a kill at any point leaves either the version before or the version after, and running again adds nothing
twice. Rows that are read again are found among those stored with equal known times (event times, where ingestion itself
writes down when a row was known).

The story of one batch: its pieces are staged in one relation with one type per column (`staging`), judged by the contract
(`judging`), what is refused goes into `quarantine`, and what is new is stored (`storing`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.clock import Clock, SystemClock
from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.sql import connect
from noria.data import quarantine, storing
from noria.data.judging import check_columns, judge
from noria.data.quarantine import PLACE, RAW, REASON, quarantine_of
from noria.data.sources.arrow import piece_of
from noria.data.sources.port import Batch, Piece, UnreadableData
from noria.data.staging import BadTimeColumn, SchemaChanged, Staging, out_of_space
from noria.data.stored import StoredRows
from noria.data.table import Snapshot, SnapshotRows, Table
from noria.stores.tables import DeltaTables

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "PLACE",
    "RAW",
    "REASON",
    "BadTimeColumn",
    "Checked",
    "Ingested",
    "NotIngested",
    "NothingThere",
    "SchemaChanged",
    "check_columns",
    "check_source",
    "current",
    "facts",
    "ingest",
    "push",
    "quarantine_of",
    "replay_quarantine",
    "stored",
]


@dataclass(frozen=True)
class Ingested:
    """What one ingestion did: `balance` says where every row that was read went.

    reasons: why rows went into quarantine; warnings: what broke a rule whose policy is to warn, what was read otherwise than it stands
    in the source, and what could not be read any more; unreadable: files that could not be taken in (they are tried again next time);
    changes: columns that are new, or have a wider type now
    """

    snapshot: Snapshot
    balance: Balance
    reasons: dict[str, int]
    warnings: dict[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    changes: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "snapshot": self.snapshot.to_dict(),
            "balance": self.balance.to_dict(),
            "reasons": self.reasons,
            "warnings": self.warnings,
            "unreadable": dict(self.unreadable),
            "changes": list(self.changes),
        }


def ingest(table: Table, store: DeltaTables, folder: Path, clock: Clock | None = None) -> Ingested:
    """Bring `table` up to date with its source. Raises before anything is stored if the source can't be used."""
    with store.writing(table.name):
        _require_same_key(table, store)
        batch = table.source.read(folder, store.details(table.name).get("watermark"))
        if batch is None:
            if store.latest(table.name) is None:
                raise NothingThere(table.name, table.source.describe())
            return Ingested(current(table, store), Balance(f"ingest {table.name}", 0, storing.rows_out()), {})
        return _store(table, store, batch, clock or SystemClock())


def _require_same_key(table: Table, store: DeltaTables) -> None:
    """Raise `SchemaChanged` where the table was stored under another declaration, with another key or event time."""
    there, balance = store.schema(table.name), store.details(table.name).get("balance")
    if there is None or balance is None or not balance["rows_out"]["stored"]:  # files that had but a head made no columns
        return
    lacking = [name for name in (*table.keys, table.event_time) if name not in there.names]
    if lacking:
        raise SchemaChanged(
            table=table.name, changes=[f"it is declared by {', '.join(map(repr, lacking))}, and was stored without: give it another name"]
        )


def push(table: Table, store: DeltaTables, rows: pa.Table, clock: Clock | None = None) -> Ingested:
    """Add rows that an application sends, beside the source (whose watermark stays)."""
    with store.writing(table.name):
        return _store(table, store, _beside(table, store, [piece_of("pushed", rows)]), clock or SystemClock())


def push_piece(table: Table, store: DeltaTables, piece: Piece, clock: Clock | None = None) -> Ingested:
    """Add the rows of one piece, such as a file, beside the source (whose watermark stays)."""
    with store.writing(table.name):
        return _store(table, store, _beside(table, store, [piece]), clock or SystemClock())


def replay_quarantine(table: Table, store: DeltaTables, clock: Clock | None = None) -> Ingested:
    """Judge the quarantined rows by the contract as it is now: what passes is stored, the rest stays."""
    with store.writing(table.name):
        held = quarantine.held(table, store)
        rows = None if held is None else _where(held, RAW, valid=False)
        if held is None or rows is None or rows.num_rows == 0:
            return Ingested(current(table, store), Balance(f"replay {quarantine_of(table)}", 0, storing.rows_out()), {})
        with _staged(table, store, [quarantine.as_piece(rows)]) as staging:
            done, still = _finish(staging, table, store, _watermark(table, store), clock or SystemClock(), {}, came_before=True)
        quarantine.hold_only(table, store, [_where(held, RAW, valid=True), still])
        return done


@dataclass(frozen=True)
class Checked:
    """What a first ingestion would do: `rows_in` records are read, and `rows` are those it would store; the rest as in `Ingested`."""

    rows: pa.Table
    rows_in: int
    reasons: Mapping[str, int]
    warnings: Mapping[str, int]
    unreadable: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows_in,
            "reasons": dict(self.reasons),
            "warnings": dict(self.warnings),
            "unreadable": dict(self.unreadable),
        }


def check_source(table: Table, folder: Path) -> Checked:
    """Read a table's source and judge its rows, without storing anything. Raises what ingestion would refuse a first batch with."""
    batch = table.source.read(folder, None)
    if batch is None:
        raise NothingThere(table.name, table.source.describe())
    with _staged(table, None, batch.pieces) as staging:
        if staging.first_error is not None and not staging.rows_in:
            raise staging.first_error
        if not staging.types:
            raise NothingThere(table.name, table.source.describe())
        judged = judge(staging, table, SystemClock().now())
        refused = _count_reasons(quarantine.refused_rows(staging))
        warnings = {**judged.warnings, **staging.notes, **batch.lost}
        return Checked(storing.staged_rows(staging, table, judged.good), staging.rows_in, refused, warnings, dict(staging.unreadable))


def current(table: Table, store: DeltaTables, version: int | None = None) -> Snapshot:
    """The latest version of a table, or a given one. Raises `NotIngested` if there is none."""
    version = store.latest(table.name) if version is None else version
    if version is None:
        raise NotIngested(table.name)
    found = store.details(table.name, version)
    return Snapshot(table.name, version, found["digest"], int(found["balance"]["rows_out"]["stored"]), found["weeks"])


def facts(table: Table, store: DeltaTables, version: int | None = None) -> SnapshotRows:
    """The latest version of a table (or a given one) with its rows, and the order in which they were ingested where it matters."""
    return StoredRows(table, current(table, store, version), store).whole


def stored(table: Table, store: DeltaTables, *, held: bool = False) -> StoredRows:
    """The latest version of a table, of which nothing is read yet; held: whether all of it is, once something is asked of it."""
    return StoredRows(table, current(table, store), store, held)


class NotIngested(UserMistake):
    """A table was asked for before its first ingestion."""

    code = "NR-206"

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(
            what=f"table {table!r} is empty: it was never ingested",
            where="no version of it is stored",
            fix="run `noria ingest`",
        )


class NothingThere(UserMistake):
    """A source has no row at all, so that not even its columns are known."""

    code = "NR-215"

    def __init__(self, table: str, source: str) -> None:
        self.table, self.source = table, source
        super().__init__(
            what=f"there is nothing to ingest into {table!r} yet",
            where=f"source {source} has no row",
            fix="ingest again when the first rows have arrived",
        )


# --- a batch ------------------------------------------------------------------------------------------------------------


def _store(table: Table, store: DeltaTables, batch: Batch, clock: Clock) -> Ingested:
    with _staged(table, store, batch.pieces) as staging:
        quarantine.note_files(table, store, staging)
        if staging.first_error is not None and not staging.rows_in:
            raise staging.first_error
        if not staging.types and not staging.rows_in and store.latest(table.name) is None:
            raise NothingThere(table.name, table.source.describe())
        if not staging.types and store.latest(table.name) is None:  # so that not even the columns are known
            raise UnreadableData(staging.raw[0].place, f"none of the {staging.rows_in:,} records is a valid row: {staging.raw[0].reason}")
        done, _ = _finish(staging, table, store, batch.finish(staging.unreadable), clock, batch.lost)
        return done


def _finish(
    staging: Staging,
    table: Table,
    store: DeltaTables,
    watermark: dict[str, Any],
    clock: Clock,
    lost: Mapping[str, int],
    *,
    came_before: bool = False,
) -> tuple[Ingested, pa.Table]:
    """Judge and store what is staged; returns what was done, and what was refused."""
    now = clock.now()
    staging.require_columns()
    judged = judge(staging, table, now)
    refused = quarantine.refused_rows(staging)
    fresh = storing.fresh_rows(staging, table, judged.good, store, now)
    balance = Balance(
        f"ingest {table.name}",
        staging.rows_in,
        storing.rows_out(stored=fresh.rows, repeated=judged.rows - fresh.rows, quarantined=refused.num_rows),
    ).checked()
    warnings = {**judged.warnings, **staging.notes, **lost, **storing.backfilled(staging, table, store, fresh)}
    quarantine.put(table, store, refused)
    storing.commit(staging, table, store, fresh, balance, watermark, came_before=came_before)
    return Ingested(current(table, store), balance, _count_reasons(refused), warnings, dict(staging.unreadable), staging.changes), refused


@contextmanager
def _staged(table: Table, store: DeltaTables | None, pieces: Any) -> Iterator[Staging]:
    """The pieces, staged on an engine that is closed afterwards and whose files are removed."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="noria-") as spill, connect(spill=Path(spill)) as con:
        staging = storing.open_staging(con, table, store)
        try:
            staging.add(pieces)
            yield staging
        except duckdb.OutOfMemoryException as error:
            raise out_of_space(error) from error


def _beside(table: Table, store: DeltaTables, pieces: Sequence[Piece]) -> Batch:
    """A batch that does not come from the table's source."""
    watermark = _watermark(table, store)
    return Batch(iter(pieces), lambda _: watermark)


def _watermark(table: Table, store: DeltaTables) -> dict[str, Any]:
    found: dict[str, Any] = store.details(table.name).get("watermark", {})
    return found


def _where(rows: pa.Table, column: str, *, valid: bool) -> pa.Table:
    """The rows in which a column has (or has not) a value."""
    import pyarrow.compute as pc

    return rows.filter(pc.is_valid(rows.column(column)) if valid else pc.is_null(rows.column(column)))


def _count_reasons(refused: pa.Table) -> dict[str, int]:
    counts = refused.column(REASON).value_counts() if refused.num_rows else []
    return {str(entry["values"]): entry["counts"].as_py() for entry in counts}
