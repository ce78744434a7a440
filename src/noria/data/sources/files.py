"""Files: Parquet, CSV and JSON lines, here or behind any fsspec URL; the watermark names each file's size and age."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from noria.core.arguments import require
from noria.core.errors import UserMistake, nearest
from noria.core.sql import literal, quoted
from noria.data.sources.csv_lines import CsvForm, load_csv
from noria.data.sources.json_lines import load_json_lines
from noria.data.sources.other_kinds import refused, require_kind
from noria.data.sources.parquet import load_parquet
from noria.data.sources.places import COMPRESSED, Place, ending, place_of
from noria.data.sources.port import Batch, Column, Loaded, Piece, UnreadableData, Watermark
from noria.data.types import declared
from noria.data.zones import require_zones

if TYPE_CHECKING:
    import duckdb

CSV, JSON_LINES, PARQUET = (".csv", ".tsv", ".txt"), (".jsonl", ".ndjson", ".json"), (".parquet", ".pq")
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class MissingData(UserMistake):
    """A source names files that are not there."""

    code = "NR-201"

    def __init__(self, pattern: str, folder: str) -> None:
        self.pattern, self.folder = pattern, folder
        inside = Path(folder, pattern) if "://" not in pattern else None
        if inside is not None and inside.is_dir():
            there = sorted(path.name for path in inside.iterdir())[:5]
            what = f"the folder {pattern!r} has no file that can be read"
            where = f"it has {', '.join(there)}" if there else "it is empty"
            super().__init__(what=what, where=where, fix=f"put files into it that end in {', '.join((*PARQUET, *CSV, *JSON_LINES))}")
            return
        beside = _beside(inside) if inside is not None else []
        super().__init__(
            what=f"no file matches {pattern!r}{nearest(PurePosixPath(pattern).name, beside)}",
            where=f"looked in {folder}" + (f"; there is {', '.join(beside[:5])}" if beside and "*" not in pattern else ""),
            fix="a shell writes out ~ only without quotes: give the whole path"
            if pattern.startswith("~")
            else "put the data there, or correct the path in the table's source",
        )


def _beside(path: Path) -> list[str]:
    """The files of data where one was looked for."""
    try:
        return sorted(each.name for each in path.parent.iterdir() if ending(each.name) in (*PARQUET, *CSV, *JSON_LINES))
    except OSError:
        return []


@dataclass(frozen=True)
class FileSource:
    """Files named by a path, a folder, a glob or a URL. `types` are those of columns that are declared."""

    pattern: str
    storage: Mapping[str, Any] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    form: CsvForm = field(default_factory=CsvForm)
    time_zones: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        return self.pattern

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:
        files = self._files(folder)
        there = files.list()
        if not there:
            raise MissingData(self.pattern, files.place)
        read, form = since or {}, [self.form.delimiter, self.form.decimal, self.form.encoding]
        form += [f"{column} in {zone}" for column, zone in sorted(self.time_zones.items())]
        before = read.get("files", {}) if read.get("form", form) == form else {}  # what was refused may be right in another form
        fresh = [path for path in there if before.get(path) != there[path]]
        if not fresh:
            return None
        pieces = (Piece(path, self._loader(files, path), alone=True) for path in fresh)
        return Batch(pieces, lambda refused: {"files": {p: mark for p, mark in there.items() if p not in refused}, "form": form})

    def each(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """The name of every file, and where it lies on this machine for as long as the next one is not asked for. Raises `MissingData`."""
        files = self._files(folder)
        there = files.list()
        if not there:
            raise MissingData(self.pattern, files.place)
        for path in there:
            with files.local(path) as local:
                yield path, local

    def _loader(self, files: Place, path: str) -> Any:
        def load(con: duckdb.DuckDBPyConnection, name: str) -> Loaded:
            with files.local(path) as local:
                return _with_partitions(con, name, _load(con, name, path, local, self.form), files.relative(path))

        return load

    def _files(self, folder: Path) -> Place:
        return place_of(self.pattern, folder, self.storage, (*PARQUET, *CSV, *JSON_LINES))


def files(
    pattern: str | PathLike[str],
    *,
    types: Mapping[str, str] | None = None,
    storage: Mapping[str, Any] | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    encoding: str | None = None,
    time_zones: Mapping[str, str] | None = None,
) -> FileSource:
    """Rows from Parquet, CSV or JSON-lines files, plain or compressed (.gz, .zst): `nr.files("data/flights/*.parquet")`,
    `nr.files("s3://bucket/day=*/*.csv")`, `nr.files("exports/orders")` for every file of a folder.

    pattern: a path, a folder, a glob or a URL of any fsspec file system; a relative path begins at the project's folder
    types: column → SQL type that it is stored as, such as `{"postcode": "VARCHAR", "price": "DECIMAL(18, 2)"}`; a value that does
        not fit is quarantined with its text. Columns without one are typed by all values of the first file that has some
    storage: options of the fsspec file system; `"${NAME}"` is taken from the environment
    delimiter, decimal, encoding: of CSV files; found out, `"."` and UTF-8 if left out
    time_zones: column → the zone of its times that are written without one, such as `{"started": "Europe/Berlin"}`
    """
    require("nr.files", "pattern", pattern, (str, PathLike), 'nr.files("data/*.csv"): one path, folder, glob or URL')
    pattern = str(pattern)
    where = f"nr.files({pattern!r})"
    declared(types or {}, where)
    if decimal not in (".", ","):
        raise UserMistake(what=f"{decimal!r} is not a decimal separator", where=where, fix='give "." or ","')
    if delimiter is not None and len(delimiter) != 1:
        raise UserMistake(what=f"{delimiter!r} is not a delimiter", where=where, fix='give one character, such as ";"')
    return FileSource(
        pattern, dict(storage or {}), dict(types or {}), CsvForm(delimiter, decimal, encoding), require_zones(time_zones, where)
    )


def file_piece(path: Path, form: CsvForm | None = None) -> Piece:
    """One file of this machine as a piece that is taken in or refused as a whole."""
    return Piece(str(path), lambda con, name: _load(con, name, str(path), path, form or CsvForm()))


def _load(con: duckdb.DuckDBPyConnection, name: str, path: str, local: Path, form: CsvForm) -> Loaded:
    kind = ending(path)
    try:
        if kind in (*PARQUET, *CSV, *JSON_LINES) and not path.lower().endswith(COMPRESSED):
            require_kind(local, path, parquet=kind in PARQUET)
        if kind in PARQUET:
            return load_parquet(con, name, path, local)
        if kind in CSV:
            return load_csv(con, name, path, local, form)
        if kind in JSON_LINES:
            return load_json_lines(con, name, path, local)
    except OSError as error:  # it is gone by now, or may not be read
        raise UnreadableData(path, str(error)) from error
    raise refused(path, kind, (*PARQUET, *CSV, *JSON_LINES))


# --- partitions ---------------------------------------------------------------------------------------------------------


def _with_partitions(con: duckdb.DuckDBPyConnection, name: str, loaded: Loaded, relative: str) -> Loaded:
    """The rows with the values that the folders' names give (`day=2024-01-01/…`), where the file itself lacks the column."""
    there = {c.name.casefold() for c in loaded.columns}
    parts = dict(p.split("=", 1) for p in PurePosixPath(relative).parts[:-1] if re.fullmatch(r"[^=]+=.*", p))
    added = {unquote(k): None if v == NO_VALUE else unquote(v) for k, v in parts.items() if unquote(k).casefold() not in there}
    if not added or not loaded.columns:
        return loaded
    for column, value in added.items():
        con.execute(f"ALTER TABLE {quoted(name)} ADD COLUMN {quoted(column)} VARCHAR DEFAULT {'NULL' if value is None else literal(value)}")
    return Loaded((*loaded.columns, *(Column(c, None) for c in added)), loaded.rows, loaded.raw, loaded.sparse, loaded.notes)
