"""Slices of a file that is too large to be looked at whole: whole records from beginning to end, as a file of the same kind."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from noria.data.sources.files import PARQUET

SLICES = 16


def slices(path: Path, part: Path, max_bytes: int, max_rows: int) -> None:
    """Write about `max_bytes` of `path` (of a Parquet file: about `max_rows`) to `part`."""
    if path.suffix.lower() in PARQUET:
        _parquet(path, part, max_rows)
    else:
        _lines(path, part, max_bytes)


def _lines(path: Path, part: Path, max_bytes: int) -> None:
    """The first line, which may name columns, and `SLICES` stretches of whole lines, evenly spaced."""
    size = path.stat().st_size
    with path.open("rb") as source, part.open("wb") as out:
        out.write(source.readline())
        after_head = source.tell()
        for place in range(SLICES):
            source.seek(max(after_head, size * place // SLICES))
            if place:
                source.readline()  # the rest of a line
            _copy(source, out, max_bytes // SLICES)


def _copy(source: BinaryIO, out: BinaryIO, count: int) -> None:
    """So many bytes, and what is left of the last line."""
    found = source.read(count) + source.readline()
    out.write(found if found.endswith(b"\n") or not found else found + b"\n")


def _parquet(path: Path, part: Path, max_rows: int) -> None:
    """Rows of `SLICES` row groups, evenly spaced."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as source, pq.ParquetWriter(part, source.schema_arrow) as out:
        groups = sorted({source.num_row_groups * place // SLICES for place in range(SLICES)})
        for group in groups:
            left = max_rows // len(groups)
            for batch in source.iter_batches(10_000, row_groups=[group]):
                out.write_table(pa.Table.from_batches([batch.slice(0, left)]))
                left -= batch.num_rows
                if left <= 0:
                    break
