"""Parquet files: types as the file states them, read in row groups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from noria.data.sources.port import Loaded, UnreadableData
from noria.data.types import load_arrow

if TYPE_CHECKING:
    import duckdb

BLOCK_ROWS = 1 << 19


def load_parquet(con: duckdb.DuckDBPyConnection, name: str, place: str, path: Path) -> Loaded:
    """Put the rows of a Parquet file into a relation. Raises `UnreadableData` and `UnsupportedType`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_file() and path.stat().st_size == 0:
        return Loaded((), 0)
    try:
        with pq.ParquetFile(path) as file:
            return load_arrow(con, name, place, file.schema_arrow, file.iter_batches(BLOCK_ROWS))
    except (OSError, pa.ArrowException) as error:
        raise UnreadableData(place, str(error)) from error
