"""Files: Parquet, CSV and JSON lines, here or behind any fsspec URL; the watermark names each file's size and age."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from noria.core.environment import from_environment
from noria.core.errors import MissingExtra, UserMistake
from noria.core.sql import literal, quoted
from noria.data.sources.csv_lines import CsvForm, load_csv
from noria.data.sources.json_lines import load_json_lines
from noria.data.sources.parquet import load_parquet
from noria.data.sources.port import Batch, Column, Loaded, Piece, SourceAway, UnreadableData, Watermark
from noria.data.types import declared

if TYPE_CHECKING:
    import duckdb

REMOTE = re.compile(r"^[a-z][a-z0-9+.-]*://")
COMPRESSED = (".gz", ".zst")
CSV, JSON_LINES, PARQUET = (".csv", ".tsv", ".txt"), (".jsonl", ".ndjson", ".json"), (".parquet", ".pq")
NO_DATA = re.compile(
    r"^(_SUCCESS|_metadata|_common_metadata|_committed_.*|_started_.*|[._].*\.crc|\..*)$"
)  # what Spark and others leave beside
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class MissingData(UserMistake):
    """A source names files that are not there."""

    code = "NR-201"

    def __init__(self, pattern: str, folder: str) -> None:
        self.pattern, self.folder = pattern, folder
        super().__init__(
            what=f"no file matches {pattern!r}",
            where=f"looked in {folder}",
            fix="put the data there, or correct the path in the table's source",
        )


@dataclass(frozen=True)
class FileSource:
    """Files named by a path, a folder, a glob or a URL. `types` are those of columns that are declared."""

    pattern: str
    storage: Mapping[str, Any] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    form: CsvForm = field(default_factory=CsvForm)

    def describe(self) -> str:
        return self.pattern

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:
        files = self._files(folder)
        there = files.list()
        if not there:
            raise MissingData(self.pattern, files.place)
        read, form = since or {}, [self.form.delimiter, self.form.decimal, self.form.encoding]
        before = read.get("files", {}) if read.get("form", form) == form else {}  # what was refused may be right in another form
        fresh = [path for path in there if before.get(path) != there[path]]
        if not fresh:
            return None
        pieces = (Piece(path, self._loader(files, path), alone=True) for path in fresh)
        return Batch(pieces, lambda refused: {"files": {p: mark for p, mark in there.items() if p not in refused}, "form": form})

    def _loader(self, files: _LocalGlob | _RemoteGlob, path: str) -> Any:
        def load(con: duckdb.DuckDBPyConnection, name: str) -> Loaded:
            with files.local(path) as local:
                return _with_partitions(con, name, _load(con, name, path, local, self.form), files.relative(path))

        return load

    def _files(self, folder: Path) -> _LocalGlob | _RemoteGlob:
        return _RemoteGlob(self.pattern, self.storage) if REMOTE.match(self.pattern) else _LocalGlob(self.pattern, folder)


def files(
    pattern: str,
    *,
    types: Mapping[str, str] | None = None,
    storage: Mapping[str, Any] | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    encoding: str | None = None,
) -> FileSource:
    """Rows from Parquet, CSV or JSON-lines files, plain or compressed (.gz, .zst): `nr.files("data/flights/*.parquet")`,
    `nr.files("s3://bucket/day=*/*.csv")`, `nr.files("exports/orders")` for every file of a folder.

    types: column → SQL type that it is stored as, such as `{"postcode": "VARCHAR", "price": "DECIMAL(18, 2)"}`; a value that does
        not fit is quarantined with its text. Columns without one are typed by all values of the first file that has some
    storage: options of the fsspec file system; `"${NAME}"` is taken from the environment
    delimiter, decimal, encoding: of CSV files; found out, `"."` and UTF-8 if left out
    """
    where = f"nr.files({pattern!r})"
    declared(types or {}, where)
    if decimal not in (".", ","):
        raise UserMistake(what=f"{decimal!r} is not a decimal separator", where=where, fix='give "." or ","')
    if delimiter is not None and len(delimiter) != 1:
        raise UserMistake(what=f"{delimiter!r} is not a delimiter", where=where, fix='give one character, such as ";"')
    return FileSource(pattern, dict(storage or {}), dict(types or {}), CsvForm(delimiter, decimal, encoding))


def file_piece(path: Path, form: CsvForm | None = None) -> Piece:
    """One file of this machine as a piece that is taken in or refused as a whole."""
    return Piece(str(path), lambda con, name: _load(con, name, str(path), path, form or CsvForm()))


def _load(con: duckdb.DuckDBPyConnection, name: str, path: str, local: Path, form: CsvForm) -> Loaded:
    ending = _ending(path)
    try:
        if ending in PARQUET:
            return load_parquet(con, name, path, local)
        if ending in CSV:
            return load_csv(con, name, path, local, form)
        if ending in JSON_LINES:
            return load_json_lines(con, name, path, local)
    except OSError as error:  # it is gone by now, or may not be read
        raise UnreadableData(path, str(error)) from error
    raise UnreadableData(path, f"files ending in {ending!r} are not supported; use {', '.join((*PARQUET, *CSV, *JSON_LINES))}")


def _ending(path: str) -> str:
    suffixes = PurePosixPath(path.lower()).suffixes
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


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


# --- where files are ----------------------------------------------------------------------------------------------------


def _with_data(paths: list[str]) -> list[str]:
    """The files that hold data: what Spark and other tools leave beside them, and hidden files, do not."""
    return [
        p for p in paths if not NO_DATA.match(PurePosixPath(p).name) and not any(part.startswith("_temporary") for part in Path(p).parts)
    ]


def _of_known_kinds(paths: Iterable[str]) -> list[str]:
    """The files of a folder that can be read: others, such as a README, may stand beside them."""
    return [p for p in paths if _ending(p) in (*PARQUET, *CSV, *JSON_LINES)]


@dataclass(frozen=True)
class _LocalGlob:
    """Files of this machine."""

    pattern: str
    folder: Path

    @property
    def place(self) -> str:
        return str(self.folder.resolve())

    @cached_property
    def _base(self) -> Path:
        return Path(self.pattern) if Path(self.pattern).is_absolute() else self.folder / self.pattern

    @cached_property
    def _fixed(self) -> Path:
        """The folders above the first part of the pattern that has a wildcard."""
        parts = self._base.parts
        wild = next((i for i, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts) - 1)
        return Path(*parts[:wild])

    def list(self) -> dict[str, list[int]]:
        if self._base.is_dir():
            found = [Path(p) for p in _of_known_kinds(map(str, self._base.rglob("*")))]
        elif self._base.is_file():  # a name may have brackets
            found = [self._base]
        else:
            found = list(self._fixed.glob(str(self._base.relative_to(self._fixed))))
        chosen = _with_data(sorted(str(p) for p in found if p.exists() and not p.is_dir())) or (
            [str(self._base)] if self._base.is_file() else []
        )
        return {p: [(s := Path(p).stat()).st_size, s.st_mtime_ns] for p in chosen}

    def relative(self, path: str) -> str:
        root = self._base if self._base.is_dir() else self._fixed
        return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else Path(path).name

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        yield Path(path)


@dataclass(frozen=True)
class _RemoteGlob:
    """Files behind an fsspec URL; each is fetched for as long as it is read."""

    pattern: str
    storage: Mapping[str, Any]

    @property
    def place(self) -> str:
        return self.pattern

    def list(self) -> dict[str, list[Any]]:
        fs = self._fs()
        try:
            fs.invalidate_cache()
            base = fs._strip_protocol(self.pattern)
            found = _of_known_kinds(fs.find(base)) if fs.isdir(base) else [p for p in fs.glob(self.pattern) if not fs.isdir(p)]
            details = {path: fs.info(path) for path in _with_data(sorted(found))}
        except Exception as error:  # every file system has exceptions of its own; re-raised with its words
            raise SourceAway(self.pattern, f"{type(error).__name__}: {error}") from error
        return {path: [d["size"], str(d.get("ETag") or d.get("mtime") or d.get("LastModified"))] for path, d in details.items()}

    def relative(self, path: str) -> str:
        base = str(self._fs()._strip_protocol(self.pattern)).rstrip("/")
        root = base if path.startswith(base + "/") else re.split(r"[*?\[]", base, maxsplit=1)[0].rpartition("/")[0]
        return path.removeprefix(root)

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) / PurePosixPath(path).name
            try:
                self._fs().get(path, str(target))
            except Exception as error:
                raise SourceAway(path, f"{type(error).__name__}: {error}") from error
            yield target

    def _fs(self) -> Any:
        import fsspec

        protocol = self.pattern.split("://", 1)[0]
        try:
            return fsspec.filesystem(protocol, **{name: from_environment(value) for name, value in self.storage.items()})
        except ImportError as error:
            raise MissingExtra(
                library=f"fsspec's driver for {protocol}://", extra=protocol, needed_for=f"reading {self.pattern}"
            ) from error
        except ValueError as error:
            raise UserMistake(
                what=f"{protocol}:// is not a supported kind of address",
                where=f"source {self.pattern!r}",
                fix="use s3://, gs://, abfs:// or a path",
            ) from error
