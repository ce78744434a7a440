"""A sample of the data: at most some hundred thousand rows, typed as ingestion types them, in bounded memory.

What is larger than `MAX_BYTES` is read in slices from beginning to end, since a file that is sorted would show one kind of rows only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.sql import connect, quoted
from noria.data.sources.csv_lines import NOT_UTF_8
from noria.data.sources.files import CSV, JSON_LINES, PARQUET, FileSource, file_piece, files
from noria.data.sources.port import Piece, UnreadableData
from noria.data.sources.sql import SqlSource
from noria.data.staging import ORDER, STAGED, Expected, SchemaChanged, Staging
from noria.start.mistakes import UnlikeFiles
from noria.start.slices import slices
from noria.start.texts import Meant, has_decimal_commas, meanings, signed

if TYPE_CHECKING:
    import pyarrow as pa

WINDOWS = "cp1252"
MAX_ROWS, MAX_BYTES = 200_000, 64_000_000


@dataclass(frozen=True)
class Sample:
    """Rows of the data, and what became of the others.

    decimal: the sign before the fraction of numbers in CSV files; signed: columns of numbers with other signs about them, and one of them
    encoding: of CSV files, None for UTF-8; not_utf8: some of their lines are not
    whole: whether all rows were looked at; meant: columns of texts that are numbers or times, but for a few values
    malformed: records that are no rows, or do not fit the columns; unreadable: files that could not be read, with the reason
    """

    rows: pa.Table
    whole: bool
    meant: Mapping[str, Meant] = field(default_factory=dict)
    malformed: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    decimal: str = "."
    encoding: str | None = None
    not_utf8: bool = False
    signed: Mapping[str, str] = field(default_factory=dict)


def sample_files(pattern: str, folder: Path) -> Sample:
    """Of files, named as in `nr.files`. Raises `MissingData`, `UnlikeFiles`, and what the first file was refused with."""
    found = _in_its_encoding(pattern, folder)
    if any(has_decimal_commas(found.rows.column(name)) for name in found.rows.column_names):
        return replace(_sample(files(pattern, decimal=",", encoding=found.encoding), folder), decimal=",", encoding=found.encoding)
    return found


def _in_its_encoding(pattern: str, folder: Path) -> Sample:
    """Read as UTF-8; where that is wrong, as Windows writes files in the west, of which ISO 8859-1 is a part."""
    try:
        found = _sample(files(pattern), folder)
    except UnreadableData as error:
        if error.not_utf8:
            with suppress(UnreadableData):
                return _as_windows(pattern, folder)
        raise
    if found.not_utf8:
        with suppress(UnreadableData):
            return _as_windows(pattern, folder)
    return found


def _as_windows(pattern: str, folder: Path) -> Sample:
    return replace(_sample(files(pattern, encoding=WINDOWS), folder), encoding=WINDOWS)


def _sample(source: FileSource, folder: Path) -> Sample:
    batch = source.read(folder, None)
    assert batch is not None, "what is read for the first time is new"
    with ExitStack() as scratch:
        return _sampled(source.pattern, _bounded(batch.pieces, scratch))


def sample_query(source: SqlSource, folder: Path) -> Sample:
    """Of a query's first rows. Raises `SourceAway` and what else reading it raises."""
    return _sampled(source.query, source.read(folder, None).pieces)


def _bounded(pieces: Iterable[Piece], scratch: ExitStack) -> Iterator[Piece]:
    """The pieces, of which a large local file is replaced by slices of it."""
    for piece in pieces:
        path = Path(piece.place)
        if path.is_file() and path.stat().st_size > MAX_BYTES and path.suffix.lower() in (*CSV, *JSON_LINES, *PARQUET):
            part = Path(scratch.enter_context(tempfile.TemporaryDirectory(prefix="noria-"))) / f"part{path.suffix.lower()}"
            slices(path, part, MAX_BYTES, MAX_ROWS)
            yield Piece(piece.place, file_piece(part).load, alone=True)
        else:
            yield piece


def _sampled(about: str, pieces: Iterable[Piece]) -> Sample:
    whole = True
    with tempfile.TemporaryDirectory(prefix="noria-") as spill, connect(spill=Path(spill)) as con:
        staging = Staging(con, Expected(about))
        for piece in pieces:
            if staging.rows >= MAX_ROWS:
                whole = False
                break
            whole = whole and not (Path(piece.place).is_file() and Path(piece.place).stat().st_size > MAX_BYTES)
            staging.add([piece])
        if staging.first_error is not None:
            if not staging.places:
                raise staging.first_error
            if isinstance(staging.first_error, SchemaChanged):
                raise UnlikeFiles(*next(iter(staging.unreadable.items())))
        step = max(1, -(-staging.rows // MAX_ROWS))
        columns = ", ".join(map(quoted, staging.types)) or "NULL AS nothing"
        con.execute(f"CREATE TEMP TABLE sampled AS SELECT {columns} FROM {STAGED} WHERE {ORDER} % {step} = 0 ORDER BY {ORDER}")
        meant = meanings(con, "sampled", staging.types)
        columns = ", ".join(f"{meant[n].value} AS {quoted(n)}" if n in meant else quoted(n) for n in staging.types) or "nothing"
        rows = con.sql(f"SELECT {columns} FROM sampled").to_arrow_table()
        signs = signed(con, "sampled", [name for name in staging.types if name not in meant])
        return Sample(
            rows,
            whole and step == 1,
            meant,
            len(staging.raw) + staging.refused,
            dict(staging.unreadable),
            signed=signs,
            not_utf8=any(row.reason == NOT_UTF_8 for row in staging.raw),
        )
