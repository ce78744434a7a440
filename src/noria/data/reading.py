"""Reading files without a table: the rows of a pattern, typed as ingestion types them, and what could not be read."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.sql import connect, quoted
from noria.data.sources.files import files
from noria.data.staging import ORDER, STAGED, Expected, Staging

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ReadFiles:
    """The rows of files in their order; how many records are malformed or do not fit; and files that could not be taken in."""

    rows: pa.Table
    malformed: int
    unreadable: Mapping[str, str]


def read_files(pattern: str, folder: Path) -> ReadFiles:
    """Read files named by a path, a folder, a glob or a URL. Raises `MissingData`, and what the first file was refused with if none could
    be read."""
    batch = files(pattern).read(folder, None)
    assert batch is not None, "what is read for the first time is new"
    with tempfile.TemporaryDirectory(prefix="noria-") as spill, connect(spill=Path(spill)) as con:
        staging = Staging(con, Expected(pattern))
        staging.add(batch.pieces)
        if staging.first_error is not None and not staging.places:
            raise staging.first_error
        columns = ", ".join(map(quoted, staging.types)) or "NULL AS nothing"
        rows = con.sql(f"SELECT {columns} FROM {STAGED} ORDER BY {ORDER}").to_arrow_table()
        return ReadFiles(rows, len(staging.raw) + staging.refused, dict(staging.unreadable))
