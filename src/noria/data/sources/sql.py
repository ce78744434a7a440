"""A SQL query as a source, through SQLAlchemy, in pieces of some thousand rows, so that a result may be larger than memory.

Types come from the cursor where it states them (PostgreSQL), else from the values (see `records`). With a watermark, a column
that never falls, rows from its last value on are asked for, and rows where it is null, every time: what is read again is stored
once, and nothing is left out. A row whose value does not fit its column is malformed, and does not keep the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from noria.core.environment import from_environment
from noria.core.errors import MissingExtra, NoriaError, UserMistake
from noria.data.contract import UnknownColumn
from noria.data.sources.port import BadSource, Batch, Column, Loaded, Piece, SourceAway, Watermark
from noria.data.sources.records import Records, kinds_of, records
from noria.data.types import declared, kind_of, load_arrow
from noria.data.zones import require_zones

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import sqlalchemy as sa

CHUNK = 50_000  # rows of a piece
LAST = "noria_last"
COMPARABLE = (int, float, Decimal, str, bytes, date)  # datetimes are dates
ORDERED = ({"whole", "float", "decimal"}, {"text"}, {"zoned"}, {"naive"}, {"date"}, {"binary"})


class AmbiguousColumns(UserMistake):
    """A query returns two columns that can't be told apart."""

    code = "NR-223"

    def __init__(self, *, source: str, columns: Sequence[str]) -> None:
        self.source, self.columns = source, list(columns)
        names = " and ".join(map(repr, columns))
        super().__init__(
            what=f"the columns {names} are ambiguous: names must differ in more than case",
            where=f"source {source}",
            fix="give one of them another name in the query: SELECT …, b.id AS b_id",
        )


@dataclass(frozen=True)
class SqlSource:
    """The rows of a query. With `watermark`, a column that never falls, only newer rows are asked for."""

    query: str
    url: str
    watermark: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    time_zones: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("query", self.query), ("url", self.url)):
            if not isinstance(value, str) or not value.strip():
                raise BadSource(source=repr(self.query), problem=f"{name}={value!r} is not a string", fix='nr.sql("SELECT …", url="…")')
        if self.watermark is not None and (not isinstance(self.watermark, str) or not self.watermark):
            problem = f"watermark={self.watermark!r} is not the name of a column"
            raise BadSource(source=repr(self.query), problem=problem, fix="name a query column that never decreases, or leave it out")
        declared(self.types, f"source {self.query!r}")

    def describe(self) -> str:
        return self.query

    def read(self, folder: Path, since: Watermark | None) -> Batch:  # noqa: ARG002
        reading = _Reading(self, since or {})
        return Batch(reading.pieces(), lambda _: reading.reached())


def sql(
    query: str,
    *,
    url: str,
    watermark: str | None = None,
    types: Mapping[str, str] | None = None,
    time_zones: Mapping[str, str] | None = None,
) -> SqlSource:
    """Rows from a database: `nr.sql("SELECT * FROM orders", url="${ORDERS_DB}", watermark="changed_at")`.

    query: a SELECT, in the database's own dialect
    url: any SQLAlchemy URL; `"${NAME}"` is taken from the environment, which is where a password belongs
    watermark: a column that never falls; rows from its greatest value on, and those where it is null, are read again each time
    types: column → SQL type, where the database's own is not wanted
    time_zones: column → the zone of its times that are stored without one, such as `{"placed_at": "Europe/Berlin"}`
    """
    return SqlSource(query, url, watermark, dict(types or {}), require_zones(time_zones, f"nr.sql({query!r})"))


# --- reading ------------------------------------------------------------------------------------------------------------


@dataclass
class _Reading:
    """One reading of a query: what is newer than `since`, and the greatest watermark seen."""

    source: SqlSource
    since: Watermark
    newest: Any = None

    def pieces(self) -> Iterator[Piece]:
        """Closes the connection when the rows are used up, or when nobody wants more of them."""
        self.newest = self._last()
        with _connected(self.source) as c:
            if self.source.watermark is not None:
                self._check_watermark(c)
            statement, values = self._statement(c)
            with c.execution_options(stream_results=True, max_row_buffer=CHUNK).execute(statement, values) as result:
                names = list(result.keys())
                self._check_names(names, c.dialect.name)
                types, start = _cursor_types(c, result), 1
                for rows in result.partitions(CHUNK):
                    found = records(names, rows, types, self.source.types, start)
                    self._advance(names, rows, found, types)
                    yield _piece(found, start)
                    start += len(rows)

    def reached(self) -> Watermark:
        """The greatest watermark so far, as stored; none where no row had one yet."""
        if self.source.watermark is None:
            return {}
        return {} if self.newest is None else {"last": _kept(self.newest), "column": self.source.watermark}

    def _last(self) -> Any:
        """The stored watermark, unless it is of another column."""
        known = self.source.watermark is not None and self.since.get("column", self.source.watermark) == self.source.watermark
        return _restored(self.since.get("last")) if known else None

    def _statement(self, c: sa.Connection, where: str = "") -> tuple[sa.TextClause, dict[str, Any]]:
        import sqlalchemy as sa

        values = {}
        if not where and self.newest is not None:
            name = self._name(c)
            where = f"WHERE {name} >= :{LAST} OR {name} IS NULL"
            values = {LAST: _bound(self.newest, c.dialect.name)}
        # On a line of its own, so that a comment at the end of the query ends there.
        return sa.text(f"SELECT * FROM (\n{_inner(self.source.query)}\n) noria_source {where}"), values

    def _name(self, c: sa.Connection) -> str:
        assert self.source.watermark is not None
        marks: Any = c.dialect.identifier_preparer
        name = self.source.watermark.replace(marks.escape_quote, marks.escape_to_quote)
        return f"noria_source.{marks.initial_quote}{_escaped(name)}{marks.final_quote}"

    def _check_watermark(self, c: sa.Connection) -> None:
        """Raise unless the query has the watermark's column, and it has an order."""
        import sqlalchemy as sa

        statement, _ = self._statement(c, f"WHERE 1 = 0 AND {self._name(c)} >= {self._name(c)}")
        try:
            c.execute(statement).close()
            return
        except sa.exc.SQLAlchemyError as error:
            reason = _reason(error)
            c.rollback()
        statement, _ = self._statement(c, "WHERE 1 = 0")
        with c.execute(statement) as result:
            self._check_names(list(result.keys()), c.dialect.name)
        raise self._unordered(reason)

    def _check_names(self, names: Sequence[str], dialect: str) -> None:
        seen: dict[str, str] = {}
        for name in names:
            base, _, number = name.rpartition(":")
            if dialect == "sqlite" and number.isdigit() and base.casefold() in seen:
                name = base  # SQLite calls a second `a` of an inner query `a:1`
            if name.casefold() in seen:
                raise AmbiguousColumns(source=repr(self.source.query), columns=[seen[name.casefold()], name])
            seen[name.casefold()] = name
        wanted = dict.fromkeys(self.source.types, "the types of the query")
        if self.source.watermark is not None:
            wanted[self.source.watermark] = "the watermark of the query"
        for name, role in wanted.items():
            if name not in names:
                raise UnknownColumn(column=name, named_by=f"{role} {self.source.query!r}", available=names)

    def _advance(self, names: Sequence[str], rows: Sequence[Sequence[Any]], found: Records, types: Mapping[str, Any]) -> None:
        """Raise the watermark to the greatest value that these rows have. What is not finite is none: nothing comes after it."""
        name = self.source.watermark
        if name is None:
            return
        place = names.index(name)
        skip = found.misfits.get(name, ()) if types.get(name) is not None else ()
        read = [row[place] for i, row in enumerate(rows) if row[place] is not None and i not in skip]
        finite = [v for v in read if not isinstance(v, float | Decimal) or math.isfinite(v)]
        values = [bytes(v) if isinstance(v, bytearray | memoryview) else v for v in finite]
        together = values if self.newest is None else [*values, self.newest]
        if not _have_an_order(together):
            raise self._unordered(f"its values are {', '.join(sorted({_described(v) for v in together}))}")
        self.newest = max(together, default=None)

    def _unordered(self, reason: str) -> BadSource:
        return BadSource(
            source=repr(self.source.query),
            problem=f"{self.source.watermark!r} can't be a watermark: {reason.splitlines()[0]}",
            fix="name a column of numbers or of times, all of one type, that never decreases",
        )


def _have_an_order(values: Sequence[Any]) -> bool:
    """Whether values can be compared with one another, as the database does."""
    if all(isinstance(v, UUID) for v in values):
        return True
    kinds = kinds_of(values)
    return all(isinstance(v, COMPARABLE) for v in values) and any(kinds <= known for known in ORDERED)


def _described(value: Any) -> str:
    return type(value).__name__ + (" without a zone" if isinstance(value, datetime) and value.tzinfo is None else "")


def _piece(found: Records, start: int) -> Piece:
    place = "" if start == 1 else f"rows from {start}"

    def load(con: duckdb.DuckDBPyConnection, name: str) -> Loaded:

        loaded = load_arrow(con, name, place, found.rows.schema, found.rows.to_batches(), found.raw)
        return replace(loaded, columns=tuple(_column(c, c.name in found.texts) for c in loaded.columns))

    return Piece(place, load)


def _column(column: Column, untyped: bool) -> Column:
    """A column whose texts are known to be texts, and null where they mean null."""
    return replace(column, type=None if untyped else column.type, strings=column.type is not None and kind_of(column.type) == "text")


# --- connections --------------------------------------------------------------------------------------------------------


@contextmanager
def _connected(source: SqlSource) -> Iterator[sa.Connection]:
    """A connection to a source's database. What goes wrong while it is open is `SourceAway`, in the driver's words."""
    import sqlalchemy as sa

    engine, url = None, from_environment(source.url)
    try:
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.connect() as c:
            _prepare(c)
            yield c
    except NoriaError:
        raise
    except ImportError as error:
        raise MissingExtra(library=str(error.name), extra="postgres", needed_for=f"the query {source.query!r}") from error
    except Exception as error:  # drivers have exceptions of their own, for values too; re-raised with their words
        raise SourceAway(repr(source.query), _without_password(_reason(error), url)) from error
    finally:
        if engine is not None:
            engine.dispose()


def _reason(error: Exception) -> str:
    found = getattr(error, "orig", None) or error
    return str(found) or type(found).__name__


def _without_password(reason: str, url: str) -> str:
    import sqlalchemy as sa

    try:
        password = sa.make_url(url).password
    except (sa.exc.ArgumentError, ValueError):
        return "the URL can't be read: write driver://user:password@host/database"
    return reason.replace(str(password), "***") if password else reason


def _prepare(c: sa.Connection) -> None:
    driver: Any = c.connection.dbapi_connection
    if c.dialect.driver == "psycopg":
        _postgres().prepare(driver)
    elif c.dialect.driver == "pysqlite":
        driver.text_factory = _text_or_bytes


def _cursor_types(c: sa.Connection, result: sa.CursorResult[Any]) -> Mapping[str, pa.DataType | None]:
    """The types that the cursor states; none where its driver has none."""
    if c.dialect.driver != "psycopg" or result.cursor is None:
        return {}
    found: Mapping[str, pa.DataType | None] = _postgres().column_types(c.connection.dbapi_connection, result.cursor.description)
    return found


def _postgres() -> Any:
    from noria.core.plugins import adapter

    return adapter("postgres_cursor", extra="postgres", needed_for="a query on PostgreSQL")


def _text_or_bytes(data: bytes) -> str | bytes:
    """SQLite's text; bytes where it is not UTF-8, which are then no text."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


# --- the query's text ---------------------------------------------------------------------------------------------------


def _inner(query: str) -> str:
    """A query as a part of another: without the semicolons at its end, and with no parameters of its own."""
    from sqlparse import lexer, tokens

    parts: list[tuple[Any, str]] = list(lexer.tokenize(query))  # type: ignore[no-untyped-call]
    end = len(parts)
    while end and (parts[end - 1][0] in tokens.Comment or parts[end - 1][0] in tokens.Whitespace or parts[end - 1][1] == ";"):
        end -= 1
    return _escaped("".join(text for i, (_, text) in enumerate(parts) if i < end or text != ";"))


def _escaped(text: str) -> str:
    """Text in which SQLAlchemy sees no `:parameter`."""
    return text.replace(":", "\\:")


# --- watermarks ---------------------------------------------------------------------------------------------------------


def _kept(value: Any) -> Any:
    """A watermark as JSON that gives exactly it back."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    return {"bytes": value.hex()} if isinstance(value, bytes) else {"uuid" if isinstance(value, UUID) else "text": str(value)}


def _restored(kept: Any) -> Any:
    """The watermark that was kept; in older versions a time was text too."""
    if isinstance(kept, dict):
        [(kind, text)] = kept.items()
        read: dict[str, Callable[[str], Any]] = {
            "decimal": Decimal,
            "time": datetime.fromisoformat,
            "date": date.fromisoformat,
            "bytes": bytes.fromhex,
            "uuid": UUID,
        }
        return read.get(kind, str)(text)
    if isinstance(kept, str) and kept.startswith("time "):
        text = kept.removeprefix("time ")
        return date.fromisoformat(text) if len(text) == len("2024-01-01") else datetime.fromisoformat(text)
    return kept


def _bound(value: Any, dialect: str) -> Any:
    """A watermark as a parameter. SQLite has neither decimals nor times: a number is rounded down, so that no row is left out."""
    if dialect != "sqlite":
        return value
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, Decimal):
        return _number_below(value)
    return str(value) if isinstance(value, date | UUID) else value


def _number_below(value: Decimal) -> int | float:
    whole = int(value.to_integral_value(ROUND_FLOOR))
    if whole == value and abs(whole) < 2**63:
        return whole
    number = float(value)
    return math.nextafter(number, -math.inf) if Decimal(number) > value else number
