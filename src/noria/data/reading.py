"""Reading files without a table: the rows of a pattern, typed as ingestion types them, and what could not be read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.sql import connect, quoted
from noria.data.sources.files import JSON_LINES, FileSource, files
from noria.data.sources.json_lines import BLOCK_BYTES
from noria.data.sources.port import Source, UnreadableData
from noria.data.staging import ORDER, STAGED, Expected, Staging

if TYPE_CHECKING:
    import pyarrow as pa

WILD = ("*", "/")  # how a pattern may end that files of several kinds match


@dataclass(frozen=True)
class ReadFiles:
    """The rows of files in their order; how many records are malformed or do not fit; and files that could not be taken in."""

    rows: pa.Table
    malformed: int
    unreadable: Mapping[str, str]


def read_rows(source: str | Path | Source, folder: Path, format: str | None = None) -> ReadFiles:
    """Read files, or a source such as `nr.sql(…)`. format: of inference logs, such as `sagemaker`; if left out, it is recognized

    Raises what `read_files` raises, and `UnreadableLog`.
    """
    if isinstance(source, str | Path):
        source = files(str(source))
    if isinstance(source, FileSource):
        read = _read_logs(source, folder, format)
        if read is not None:
            return read
    return _read(source, folder)


def read_files(pattern: str, folder: Path) -> ReadFiles:
    """Read files named by a path, a folder, a glob or a URL. Raises `MissingData`, and what the first file was refused with if none could
    be read."""
    return _read(files(pattern), folder)


def _read_logs(source: FileSource, folder: Path, format: str | None) -> ReadFiles | None:
    """The rows of inference logs; None where the files are none."""
    from noria.data.inference_logs import LogRows, as_table, detected, read_inference_log

    if format is None and not source.pattern.removesuffix(".gz").removesuffix(".zst").endswith((*JSON_LINES, *WILD)):
        return None
    whole = LogRows()
    for place, path in source.each(folder):
        if format is None:
            format = detected(_lines(path)) if str(path).removesuffix(".gz").removesuffix(".zst").endswith(JSON_LINES) else None
            if format is None:
                return None
        found = read_inference_log(_lines(path), format, place)
        whole.rows += found.rows
        whole.malformed += found.malformed
    return ReadFiles(as_table(whole.rows), whole.malformed, {})


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, plain or compressed. Raises `UnreadableData`."""
    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            rest = b""
            while block := bytes(stream.read(BLOCK_BYTES)):
                *lines, rest = (rest + block).split(b"\n")
                yield from lines
            if rest:
                yield rest
    except (OSError, EOFError) as error:
        raise UnreadableData(str(path), str(error)) from error


def _read(source: Source, folder: Path) -> ReadFiles:
    batch = source.read(folder, None)
    assert batch is not None, "what is read for the first time is new"
    with tempfile.TemporaryDirectory(prefix="noria-") as spill, connect(spill=Path(spill)) as con:
        staging = Staging(con, Expected(source.describe()))
        staging.add(batch.pieces)
        if staging.first_error is not None and not staging.places:
            raise staging.first_error
        columns = ", ".join(map(quoted, staging.types)) or "NULL AS nothing"
        rows = con.sql(f"SELECT {columns} FROM {STAGED} ORDER BY {ORDER}").to_arrow_table()
        return ReadFiles(rows, len(staging.raw) + staging.refused, dict(staging.unreadable))
