"""A live stream of JSON messages as a source: everything that it held when the reading began, a stretch of messages at a time.

The position read up to is stored with the rows, so that none is stored twice. A stream forgets: what was trimmed, deleted or made
anew before it was read is counted where the server counts, and told in any case. Values are read strictly, from their own texts:
3.7 is no BIGINT, a number is no time, and a time without a zone is none with one. A string that says a number in full ("9.99",
as producers write decimals and long whole numbers) fits a column of numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from noria.core.environment import from_environment
from noria.core.sql import connect
from noria.data.sources.arrow import piece_of
from noria.data.sources.port import BadSource, Batch, Piece, RawRow, Watermark, kept_text
from noria.data.sources.text import value_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

AT_MOST = 50_000  # messages of a piece
DIGITS = 38  # of the longest decimal
SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True)
class Message:
    """One message of a stream, and its position: reading after it returns what came later."""

    position: str
    body: bytes


@dataclass(frozen=True)
class Extent:
    """What a stream has to read at a moment, for someone who has read up to a position.

    after, until: what is to be read lies between them; `after` is None for the start, `until` is None where there is no stream
    added: how many messages were ever added; None where the server does not count them
    known: how many of these the reader has read or knows to be lost; None where that is not known
    lost: what is lost beside what these numbers say, and how much of it at least
    """

    after: str | None
    until: str | None
    added: int | None = None
    known: int | None = None
    lost: Mapping[str, int] = field(default_factory=dict)


class StreamReader(Protocol):
    """A live stream: messages in an order that never changes, each with a position (a Redis id, a Kafka offset, …)."""

    def extent(self, after: str | None, added: int | None) -> Extent:
        """What there is to read after a position, when `added` messages had been added."""

    def read(self, after: str | None, at_most: int, until: str | None = None) -> list[Message]: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class StreamSource:
    """JSON messages of a stream, as rows of declared columns; `at_most` are held in memory at a time."""

    url: str
    topic: str
    columns: Mapping[str, str]
    at_most: int = AT_MOST

    def __post_init__(self) -> None:
        for name, value in (("url", self.url), ("topic", self.topic)):
            if not isinstance(value, str) or not value:
                raise self._bad(f"{name}={value!r} is not a string", 'nr.stream("redis://host:6379/0", "clicks", columns={…})')
        if not self.columns:
            raise self._bad("no columns are declared", 'name the keys to read: columns={"id": "VARCHAR", "at": "TIMESTAMPTZ"}')
        names = [name.casefold() for name in self.columns]
        twice = next((name for name in self.columns if names.count(name.casefold()) > 1), None)
        if twice is not None:
            raise self._bad(f"column {twice!r} is declared twice: names must differ in more than case", "remove one")
        _types(self.columns, f"stream {self.topic!r}")

    @property
    def types(self) -> Mapping[str, str]:
        return self.columns

    def describe(self) -> str:
        return f"{_without_secrets(self.url)} {self.topic}"

    def read(self, folder: Path, since: Watermark | None) -> Batch:  # noqa: ARG002
        reading = _Reading(self, since)
        return Batch(reading.pieces(), lambda _: reading.reached, reading.lost)

    def _bad(self, problem: str, fix: str) -> BadSource:
        return BadSource(source=f"stream {self.topic!r}", problem=problem, fix=fix)


def stream(url: str, topic: str, *, columns: Mapping[str, str]) -> StreamSource:
    """Rows from a live stream of JSON messages: `nr.stream("redis://localhost/0", "clicks", columns={"id": "VARCHAR", …})`.

    url: of a Redis server; `"${NAME}"` is taken from the environment; topic: the stream's key
    columns: name → SQL type (VARCHAR, DOUBLE, BIGINT, DECIMAL(18, 2), BOOLEAN, DATE, TIMESTAMPTZ, lists and structs of them);
        a message that does not fit is quarantined, a key that is absent is null
    """
    return StreamSource(url, topic, dict(columns))


def open_stream(url: str, topic: str) -> StreamReader:
    """The reader for a stream's URL. Raises `MissingExtra`, or `BadSource` for an unknown kind of stream."""
    from noria.core.plugins import adapter

    scheme = url.split("://", 1)[0] if "://" in url else ""
    if scheme not in SCHEMES:
        problem = f"{scheme}:// is not a supported kind of stream" if scheme else "its address is not a URL"
        raise BadSource(source=f"stream {topic!r}", problem=problem, fix="use redis://host:port/0")
    reader: StreamReader = adapter("redis_streams", extra="redis", needed_for=f"the stream {topic!r}").open_reader(url, topic)
    return reader


def _without_secrets(url: str) -> str:
    """A URL without user, password and options."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "stream"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else url


# --- reading ------------------------------------------------------------------------------------------------------------


@dataclass
class _Reading:
    """One reading of a stream: what came after `since`, what is lost, and how far it got."""

    source: StreamSource
    since: Watermark | None
    lost: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reached: Watermark = dict(self.since or {})

    def pieces(self) -> Iterator[Piece]:
        """Closes the reader when the messages are used up, or when nobody wants more of them."""
        source, before = self.source, self.since or {}
        with closing(open_stream(from_environment(source.url), source.topic)) as reader:
            extent = reader.extent(before.get("position"), before.get("added"))
            count, position = 0, extent.after
            while extent.until not in (None, position):
                messages = reader.read(position, source.at_most, extent.until)
                if not messages:
                    break
                yield self._piece(messages, position)
                count, position = count + len(messages), messages[-1].position
        if count == 0 and self.since is None:
            yield self._piece([], None)  # its columns are known, so that the table can be made
        self._finish(extent, count)

    def _piece(self, messages: list[Message], after: str | None) -> Piece:
        rows, raw = _rows_of(messages, self.source.columns)
        return piece_of(self.source.topic if after is None else f"{self.source.topic} after {after}", rows, tuple(raw))

    def _finish(self, extent: Extent, count: int) -> None:
        self.lost.update(extent.lost)
        if extent.added is not None and extent.known is not None:
            gone = extent.added - extent.known - count
            if gone > 0:
                self.lost[f"messages of stream {self.source.topic!r} were trimmed or deleted before they were read"] = gone
        if extent.until is not None:
            self.reached = {"position": extent.until, **({} if extent.added is None else {"added": extent.added})}


# --- messages as rows ---------------------------------------------------------------------------------------------------


class _Number(str):
    """A JSON number, as it is written."""

    __slots__ = ()


class _Malformed(ValueError):
    """A message that is no JSON object, with the reason."""


def _rows_of(messages: list[Message], columns: Mapping[str, str]) -> tuple[pa.Table, list[RawRow]]:
    """Messages as rows of the declared columns, and those that are malformed: not JSON, not an object, or of another type."""
    import pyarrow as pa

    types = _types(columns, "the columns of a stream")
    objects, wrong = dict[int, dict[str, Any]](), dict[int, str]()
    for place, message in enumerate(messages):
        try:
            objects[place] = _object(message.body)
        except _Malformed as error:
            wrong[place] = str(error)
    places, arrays = list(objects), []
    with connect() as con:
        for name, type in types.items():
            array, misfits = _column(con, [o.get(name) for o in objects.values()], type, columns[name])
            arrays.append(array)
            for i in sorted(misfits):
                wrong.setdefault(places[i], f"{name} is not {columns[name]}")
    rows = pa.Table.from_arrays(arrays, names=list(types))
    fits = [i for i, place in enumerate(places) if place not in wrong]
    if len(fits) < len(places):
        rows = rows.take(pa.array(fits, pa.int64()))
    return rows, [_raw(messages[place], why) for place, why in sorted(wrong.items())]


def _types(columns: Mapping[str, str], where: str) -> dict[str, pa.DataType]:
    """Declared columns as they are stored. Raises `BadTypes`, and `BadSource` for a type that no JSON value has."""
    from noria.data.types import declared

    types = declared(columns, where)
    for name, type in types.items():
        if _has_map(type):
            raise BadSource(
                source=where, problem=f"{name!r} is declared as {columns[name]}", fix="declare a STRUCT, or VARCHAR for its JSON"
            )
    return types


def _has_map(type: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_map(type)) or any(_has_map(type.field(i).type) for i in range(type.num_fields))


def _raw(message: Message, reason: str) -> RawRow:
    return RawRow(f"message {message.position}", kept_text(message.body.decode("utf-8", "backslashreplace")), reason)


def _object(body: bytes) -> dict[str, Any]:
    """A message as an object whose numbers are as they are written. Raises `_Malformed`."""
    try:
        found = JSON.decode(body.decode())
    except UnicodeDecodeError:
        raise _Malformed("not valid JSON: not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _Malformed(f"not valid JSON: {error.msg}" if body else "the message is empty") from None
    except RecursionError:
        raise _Malformed("not valid JSON: nested too deeply") from None
    if not isinstance(found, dict):
        raise _Malformed("not a JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Malformed(f"the key {twice!r} is duplicated")
    return found


def _no_constant(name: str) -> Any:
    raise _Malformed(f"not valid JSON: {name}")


JSON = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_no_constant, object_pairs_hook=_unique)


# --- values -------------------------------------------------------------------------------------------------------------


def _column(con: duckdb.DuckDBPyConnection, values: Sequence[Any], type: Any, declared: str | None = None) -> tuple[pa.Array, set[int]]:
    """JSON values as a column of a stored type, and the places of those that do not fit."""
    import pyarrow as pa

    if pa.types.is_list(type):
        return _lists(con, values, type)
    if pa.types.is_struct(type):
        return _structs(con, values, type)
    return _scalars(con, values, type, declared)


def _scalars(con: duckdb.DuckDBPyConnection, values: Sequence[Any], type: Any, declared: str | None) -> tuple[pa.Array, set[int]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from noria.data.types import kind_of, sql_of

    kind = kind_of(type)
    texts = pa.array([None if v is None else _text(v, kind) for v in values], pa.string())
    value = value_of("x", sql_of(type))
    if declared is not None:  # within what was declared, too: it may be narrower than what it is stored as
        value = f"CASE WHEN TRY_CAST(({value}) AS {declared}) IS NOT NULL THEN {value} END"
    con.register("__noria_texts", pa.table({"x": texts}))
    found = con.sql(f"SELECT {value} AS x FROM __noria_texts").to_arrow_table().column("x").combine_chunks().cast(type)
    there = pa.array([v is not None for v in values], pa.bool_())
    return found, set(pc.indices_nonzero(pc.and_(there, pc.is_null(found))).to_pylist())


def _lists(con: duckdb.DuckDBPyConnection, values: Sequence[Any], type: Any) -> tuple[pa.Array, set[int]]:
    import pyarrow as pa

    bad = {i for i, v in enumerate(values) if v is not None and not isinstance(v, list)}
    lists = [v if isinstance(v, list) else [] for v in values]
    owners = [i for i, v in enumerate(lists) for _ in v]
    inner, misfits = _column(con, [v for items in lists for v in items], type.value_type)
    ends = [0]
    for items in lists:
        ends.append(ends[-1] + len(items))
    mask = pa.array([v is None for v in values], pa.bool_())
    found = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), inner, type=type, mask=mask)
    return found, bad | {owners[i] for i in misfits}


def _structs(con: duckdb.DuckDBPyConnection, values: Sequence[Any], type: Any) -> tuple[pa.Array, set[int]]:
    import pyarrow as pa

    bad = {i for i, v in enumerate(values) if v is not None and not isinstance(v, dict)}
    dicts = [v if isinstance(v, dict) else {} for v in values]
    fields = [type.field(i) for i in range(type.num_fields)]
    parts = [_column(con, [d.get(f.name) for d in dicts], f.type) for f in fields]
    mask = pa.array([v is None for v in values], pa.bool_())
    found = pa.StructArray.from_arrays([array for array, _ in parts], fields=fields, mask=mask)
    return found, bad.union(*(misfits for _, misfits in parts))


def _text(value: Any, kind: str) -> str | None:
    """A JSON value as the text that a column of a kind is read from; None where it has none."""
    if isinstance(value, _Number):
        return _number(value, kind)
    if isinstance(value, bool):
        return str(value).lower() if kind in ("bool", "text") else None
    if isinstance(value, str):
        return value if value.isascii() or _is_unicode(value) else None
    try:
        return _written(value) if kind == "text" else None
    except RecursionError:
        return None


def _number(text: _Number, kind: str) -> str | None:
    """A number in plain digits, as far as it can be: 3.0 and 3e0 are the whole number 3, and 1e-2 is the decimal 0.01."""
    if kind in ("whole", "decimal"):
        try:
            number = Decimal(text)
        except ArithmeticError:  # an exponent of twenty digits
            return None
        if number.is_zero():
            return "0"
        if abs(number.adjusted()) > DIGITS or len(number.as_tuple().digits) > 2 * DIGITS:
            return None
        plain = f"{number:f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    if kind == "float":
        whole = text.removeprefix("-").isdigit()
        return None if whole and (len(text) > DIGITS or int(float(text)) != int(text)) else str(text)
    return None if kind == "binary" else str(text)


def _is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _written(value: Any) -> str:
    """Nested JSON as text, with its numbers as they were written."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)}: {_written(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return str(value) if isinstance(value, _Number) else json.dumps(value)
