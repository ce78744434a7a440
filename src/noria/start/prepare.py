"""Rows written anew, where they lack what every table needs: a time that can be read, or a key. As Parquet, in bounded memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.clock import microseconds
from noria.core.files import sync_folder
from noria.core.sql import connect, literal, quoted
from noria.data.sources.port import Piece
from noria.data.staging import ORDER, STAGED, Expected, Staging
from noria.start.choices import Proposal
from noria.start.sample import Sample

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 50_000
PREPARED = "rows.parquet"


def write_rows(pieces: Iterable[Piece], proposal: Proposal, sample: Sample, path: Path) -> int:
    """Write all rows to `path`, in their order, with the columns that are made; returns how many. It is there whole, or not at all."""
    with tempfile.TemporaryDirectory(prefix="noria-") as spill, connect(spill=Path(spill)) as con:
        staging = Staging(con, Expected(proposal.name))
        staging.add(pieces)
        if staging.first_error is not None and not staging.places:
            raise staging.first_error
        [(rows,)] = con.sql(f"SELECT count(*) FROM {STAGED}").fetchall()
        _store(con.sql(_statement(proposal, sample, list(staging.types), int(rows))), path)
    return int(rows)


def _statement(p: Proposal, sample: Sample, columns: list[str], rows: int) -> str:
    values = [_value(p, sample, name) for name in columns]
    number = f"row_number() OVER (ORDER BY {ORDER})"
    if p.key.made:
        values.insert(0, f"{number} AS {quoted(p.key.columns[0])}")
    if p.time.made:
        step = max(1, microseconds(p.time.span) // max(rows, 1))
        start = f"TIMESTAMPTZ {literal(p.time.start.isoformat())}"
        order = f"md5(CAST({ORDER} AS VARCHAR))" if p.time.shuffled else ORDER  # the same at every run
        place = f"row_number() OVER (ORDER BY {order})"
        values.insert(0, f"{start} + to_microseconds(CAST({place} * {step} AS BIGINT)) AS {quoted(p.time.column)}")
    return f"SELECT {', '.join(values)} FROM {STAGED} ORDER BY {ORDER}"


def _value(p: Proposal, sample: Sample, name: str) -> str:
    """A column as it is; the event time as a moment, and texts that are meant as numbers as these."""
    meant = sample.meant.get(name)
    if name == p.time.column and p.time.zone is not None:
        naive = meant.value if meant is not None else f"{quoted(name)}::TIMESTAMP"
        return f"{naive} AT TIME ZONE {literal(p.time.zone)} AS {quoted(name)}"
    return f"{meant.value} AS {quoted(name)}" if meant is not None else quoted(name)


def _store(rows: duckdb.DuckDBPyRelation, path: Path) -> None:
    import pyarrow.parquet as pq

    reader = rows.to_arrow_reader(BATCH_ROWS)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with pq.ParquetWriter(partial, reader.schema) as out:
            for batch in reader:
                out.write_batch(batch)
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)
