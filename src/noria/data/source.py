"""Sources: where raw rows come from: files (here or behind any fsspec URL), SQL queries, streams.

A source is read from a watermark on: it returns what is new since then, and the watermark to store with it. Reading again
from an old watermark returns rows a second time and loses none; ingestion stores each once.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from noria.core.errors import MissingExtra, OutsideWorld, UserMistake
from noria.core.sql import connect, quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

READERS = {
    ".parquet": "read_parquet($path)",
    ".csv": "read_csv($path, store_rejects = true, strict_mode = true)",
    ".jsonl": "read_json($path, format = 'newline_delimited')",
}
REMOTE = re.compile(r"^[a-z][a-z0-9+.-]*://")

Watermark = dict[str, Any]


class MissingData(UserMistake):
    """A source names files that are not there."""

    code = "NR-201"

    def __init__(self, pattern: str, folder: str) -> None:
        self.pattern, self.folder = pattern, folder
        super().__init__(
            what=f"no file matches {pattern!r}",
            where=f"looked in {folder}",
            mend="put the data there, or correct the path in the table's source",
        )


class UnreadableData(OutsideWorld):
    """A file is there and can't be read as what its name says."""

    code = "NR-202"
    exit_code = 2

    def __init__(self, pattern: str, reason: str) -> None:
        self.pattern = pattern
        super().__init__(
            what=f"{pattern!r} could not be read",
            where=reason.strip().splitlines()[0],
            mend="replace the damaged file; nothing of it was stored",
        )


class SourceAway(OutsideWorld):
    """A database, a stream or a remote file system can't be reached, or refuses."""

    code = "NR-207"

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        super().__init__(
            what=f"source {source} can't be read",
            where=reason.strip().splitlines()[0][:300],
            mend="check the address, the credentials and that it runs; the next ingestion goes on where the last one ended",
        )


@dataclass(frozen=True)
class RawRow:
    """A piece of input that is no row: where it stands, what it says, and what is wrong with it."""

    place: str
    text: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """What a source had: rows, pieces that are no rows, files that could not be read at all, and how far it has been read."""

    rows: pa.Table
    watermark: Watermark
    raw: tuple[RawRow, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def came_in(self) -> int:
        return int(self.rows.num_rows) + len(self.raw)


class Source(Protocol):
    """Where a Table's raw rows come from."""

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:
        """What is new since a watermark (None: everything); None if nothing is. Relative paths start at the project's `folder`."""

    def describe(self) -> str: ...


# --- files --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileSource:
    """Parquet, CSV or JSON-lines files, named by a path, a glob or a URL; the watermark names each file's size and age."""

    pattern: str
    storage: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        return self.pattern

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:
        files = self._files(folder)
        there = files.list()
        if not there:
            raise MissingData(self.pattern, files.place)
        before = (since or {}).get("files", {})
        fresh = [path for path in there if before.get(path) != there[path]]
        if not fresh:
            return None
        parts, raw, unreadable = [], list[RawRow](), dict[str, str]()
        for path in fresh:
            try:
                with files.local(path) as local:
                    rows, rejected = _read_file(local, path)
            except UnreadableData as error:
                unreadable[path] = error.where
                continue
            parts.append(rows)
            raw += rejected
        if not parts:
            raise UnreadableData(fresh[0] if REMOTE.match(self.pattern) else self.pattern, unreadable[fresh[0]])
        read = {path: mark for path, mark in there.items() if path not in unreadable}
        return Batch(_stacked(parts, self.pattern), {"files": read}, tuple(raw), unreadable)

    def _files(self, folder: Path) -> _LocalGlob | _RemoteGlob:
        return _RemoteGlob(self.pattern, self.storage) if REMOTE.match(self.pattern) else _LocalGlob(self.pattern, folder)


@dataclass(frozen=True)
class _LocalGlob:
    """Files of this machine."""

    pattern: str
    folder: Path

    @property
    def place(self) -> str:
        return str(self.folder.resolve())

    def list(self) -> dict[str, list[int]]:
        base = Path(self.pattern) if Path(self.pattern).is_absolute() else self.folder / self.pattern
        found = sorted(base.parent.glob(base.name))
        return {str(p): [p.stat().st_size, p.stat().st_mtime_ns] for p in found}

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
            details = {path: fs.info(path) for path in sorted(fs.glob(self.pattern))}
        except Exception as error:  # every file system has exceptions of its own; re-raised with its words
            raise SourceAway(self.pattern, f"{type(error).__name__}: {error}") from error
        return {path: [d["size"], str(d.get("ETag") or d.get("mtime") or d.get("LastModified"))] for path, d in details.items()}

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) / Path(path).name
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
                what=f"{protocol}:// is not a known kind of address",
                where=f"source {self.pattern!r}",
                mend="use s3://, gs://, abfs:// or a path",
            ) from error


def _read_file(local: Path, name: str) -> tuple[pa.Table, list[RawRow]]:
    """The rows of one file, and its lines that are no rows. Raises `UnreadableData`."""
    import duckdb

    reader = READERS.get(local.suffix)
    if reader is None:
        raise UserMistake(
            what=f"files ending in {local.suffix!r} are not understood",
            where=f"source {name!r}",
            mend="use " + ", ".join(READERS),
        )
    with connect(may_read_files=True) as con:
        try:
            rows = con.sql(f"SELECT * FROM {reader}", params={"path": str(local)}).to_arrow_table()
            return rows, _rejected(con, name) if local.suffix == ".csv" else []
        except duckdb.Error as error:
            raise UnreadableData(name, str(error)) from error


def _rejected(con: duckdb.DuckDBPyConnection, name: str) -> list[RawRow]:
    """The lines that the CSV reader could not make rows of."""
    found = con.sql("SELECT line, any_value(csv_line), any_value(error_message) FROM reject_errors GROUP BY line ORDER BY line").fetchall()
    return [RawRow(f"{Path(name).name}, line {line}", str(text), str(why).splitlines()[0]) for line, text, why in found]


def _stacked(parts: list[pa.Table], pattern: str) -> pa.Table:
    """Files one below the other; a column that one lacks is null there, types that differ are refused."""
    import pyarrow as pa

    try:
        return pa.concat_tables(parts, promote_options="permissive" if len({p.schema for p in parts}) > 1 else "none")
    except pa.ArrowException as error:
        raise UnreadableData(pattern, f"its files have columns of different types: {error}") from error


def files(pattern: str, *, storage: Mapping[str, Any] | None = None) -> FileSource:
    """Rows from Parquet, CSV or JSON-lines files: `nr.files("data/flights/*.parquet")`, `nr.files("s3://bucket/*.csv")`.

    storage: options of the fsspec file system; `"${NAME}"` is taken from the environment
    """
    return FileSource(pattern, dict(storage or {}))


# --- SQL ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SqlSource:
    """The rows of a query, through SQLAlchemy. With `watermark`, a column that never falls, only newer rows are asked for."""

    query: str
    url: str
    watermark: str | None = None

    def describe(self) -> str:
        return self.query

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:  # noqa: ARG002
        import pyarrow as pa
        import sqlalchemy as sa

        last = (since or {}).get("last")
        statement, values = f"SELECT * FROM ({self.query.strip().rstrip(';')}) AS source", dict[str, Any]()
        if self.watermark is not None:
            if last is not None:  # what has the last value too may have come since; what is there already is stored once
                statement, values = f"{statement} WHERE {quoted(self.watermark)} >= :last", {"last": _from_text(last)}
            statement += f" ORDER BY {quoted(self.watermark)}"
        engine = None
        try:
            engine = sa.create_engine(from_environment(self.url))
            with engine.connect() as c:
                result = c.execute(sa.text(statement), values)
                names = list(result.keys())
                records = [dict(zip(names, row, strict=True)) for row in result]
        except ImportError as error:
            raise MissingExtra(library=str(error.name), extra="postgres", needed_for=f"the query {self.query!r}") from error
        except sa.exc.SQLAlchemyError as error:
            raise SourceAway(repr(self.query), str(getattr(error, "orig", None) or error)) from error
        finally:
            if engine is not None:
                engine.dispose()
        if not records:
            return None
        newest = None if self.watermark is None else _to_text(records[-1][self.watermark])
        return Batch(pa.Table.from_pylist(records), {"last": newest})


def sql(query: str, *, url: str, watermark: str | None = None) -> SqlSource:
    """Rows from a database: `nr.sql("SELECT * FROM orders", url="${ORDERS_DB}", watermark="changed_at")`.

    url: any SQLAlchemy URL; `"${NAME}"` is taken from the environment, which is where a password belongs
    """
    return SqlSource(query, url, watermark)


def _to_text(value: Any) -> str | int | float:
    return value if isinstance(value, int | float | str) else f"time {value.isoformat()}"


def _from_text(value: Any) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(value.removeprefix("time ")) if isinstance(value, str) and value.startswith("time ") else value


# --- streams ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """One message of a stream, and its position: reading after it returns what came later."""

    position: str
    body: bytes


class StreamReader(Protocol):
    """A live stream: messages in an order that never changes, each with a position (a Redis id, a Kafka offset, …)."""

    def read(self, after: str | None, at_most: int) -> list[Message]: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class StreamSource:
    """JSON messages of a stream. The position read up to is stored with the rows, so that none is stored twice."""

    url: str
    topic: str
    columns: Mapping[str, str]
    at_most: int = 100_000

    def describe(self) -> str:
        return f"{self.url.split('@')[-1]} {self.topic}"

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:  # noqa: ARG002
        reader = open_stream(from_environment(self.url), self.topic)
        try:
            messages = reader.read((since or {}).get("position"), self.at_most)
        finally:
            reader.close()
        if not messages and since is not None:
            return None
        rows, raw = _rows_of(messages, self.columns)
        return Batch(rows, {"position": messages[-1].position} if messages else {}, tuple(raw))


def open_stream(url: str, topic: str) -> StreamReader:
    """The reader for a stream's URL. Raises `MissingExtra`, or a complaint about an unknown kind of stream."""
    from noria.core.plugins import adapter

    scheme = url.split("://", 1)[0]
    if scheme not in ("redis", "rediss", "unix"):
        raise UserMistake(what=f"{scheme}:// is not a known kind of stream", where=f"stream {topic!r}", mend="use redis://host:port/0")
    reader: StreamReader = adapter("redis_streams", extra="redis", needed_for=f"the stream {topic!r}").open_reader(url, topic)
    return reader


def _rows_of(messages: list[Message], columns: Mapping[str, str]) -> tuple[pa.Table, list[RawRow]]:
    """Messages as rows of the declared columns; what is not JSON, lacks a type or is no object is no row."""
    import msgspec
    import pyarrow as pa

    good: list[tuple[Message, dict[str, Any]]] = []
    raw: list[RawRow] = []
    for message in messages:
        try:
            found = msgspec.json.decode(message.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raw.append(_raw(message, f"not valid JSON: {error}"))
            continue
        if isinstance(found, dict):
            good.append((message, found))
        else:
            raw.append(_raw(message, "not a JSON object"))
    texts = {name: pa.array([_as_text(row.get(name)) for _, row in good], pa.string()) for name in columns}
    casts = ", ".join(f"TRY_CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
    with connect() as con:
        con.register("messages", pa.table(texts))
        typed = con.sql(f"SELECT {casts} FROM messages").to_arrow_table()
    bad: dict[int, str] = {}
    for name, kind in columns.items():
        lost = pa.compute.and_(pa.compute.is_null(typed.column(name)), pa.compute.is_valid(texts[name]))
        for place in pa.compute.indices_nonzero(lost).to_pylist():
            bad.setdefault(place, f"{name} is not {kind}")
    raw += [_raw(good[place][0], why) for place, why in sorted(bad.items())]
    return typed.take(pa.array([i for i in range(len(good)) if i not in bad], pa.int64())), raw


def _raw(message: Message, reason: str) -> RawRow:
    return RawRow(f"message {message.position}", message.body.decode("utf-8", "replace")[:2000], reason)


def _as_text(value: Any) -> str | None:
    import json

    return value if value is None or isinstance(value, str) else json.dumps(value)


def stream(url: str, topic: str, *, columns: Mapping[str, str]) -> StreamSource:
    """Rows from a live stream of JSON messages: `nr.stream("redis://localhost/0", "clicks", columns={"id": "VARCHAR", …})`.

    columns: name → SQL type (VARCHAR, DOUBLE, BIGINT, BOOLEAN, TIMESTAMPTZ); a message that does not fit is quarantined
    """
    return StreamSource(url, topic, dict(columns))


def from_environment(value: Any) -> Any:
    """A text with every `${NAME}` taken from the environment, so that secrets stand in no file. Other values as they are."""
    if not isinstance(value, str):
        return value

    def taken(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise UserMistake(
                what=f"the environment has no {found[1]}",
                where="a table's source names it",
                mend=f"set it: export {found[1]}=…",
            )
        return os.environ[found[1]]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", taken, value)
