"""The port of sources: what is new since a watermark, in pieces that ingestion loads one by one.

A source states types where it knows them (Parquet, a database's cursor, declared columns). Where it doesn't (CSV, the strings
of JSON), a column comes as text, and ingestion types it by all of its values. Reading again from an old watermark returns rows
a second time and loses none; ingestion stores each once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from noria.core.errors import OutsideWorld, UserMistake

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Watermark = dict[str, Any]
PLACE = "__noria_place"  # BIGINT: which line or row of its piece a loaded row is, from 1
MAX_TEXT = 100_000  # characters of a malformed record that are kept


@dataclass(frozen=True)
class RawRow:
    """A malformed record: where it stands, what it says, and what is wrong with it."""

    place: str
    text: str
    reason: str


@dataclass(frozen=True)
class Column:
    """A column of a loaded piece: its type as stored (see `noria.data.types`), or None for text that is still to be typed.

    decimal_comma: whether numbers in the text are written as `1,5`
    strings: whether the text is known to be a string (JSON's), so that it can be a time or a date but never a number
    """

    name: str
    type: pa.DataType | None
    decimal_comma: bool = False
    strings: bool = False


@dataclass(frozen=True)
class Loaded:
    """What a piece holds, once its rows stand in a relation of the engine with the columns `columns` and `PLACE`.

    sparse: whether a column that is absent only means that it has no value here (JSON), not that it was dropped
    notes: what was read otherwise than it stands there, and how often
    """

    columns: tuple[Column, ...]
    rows: int
    raw: tuple[RawRow, ...] = ()
    sparse: bool = False
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """A stretch of a source that is typed as one: a file, the rows of a query, some messages.

    load: puts the rows into a new relation of that name; raises `UnreadableData`
    alone: whether it can be refused by itself, leaving the pieces after it as they are (a file can)
    """

    place: str
    load: Callable[[duckdb.DuckDBPyConnection, str], Loaded]
    alone: bool = False


@dataclass
class Batch:
    """What a source has: its pieces, in order, and how far it has been read once they are used up.

    finish: the watermark to store, given the pieces that could not be taken in (they are tried again next time)
    lost: what was not read, and how much of it; complete once the pieces are used up
    """

    pieces: Iterator[Piece]
    finish: Callable[[Mapping[str, str]], Watermark]
    lost: dict[str, int] = field(default_factory=dict)


class Source(Protocol):
    """Where a Table's raw rows come from."""

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:
        """What is new since a watermark (None: everything); None if nothing is. Relative paths start at the project's `folder`."""

    def describe(self) -> str: ...

    @property
    def types(self) -> Mapping[str, str]:
        """Declared columns: name → SQL type. They are stored as that, whatever a piece states."""


class UnreadableData(OutsideWorld):
    """A file is there and can't be read as what its name says. not_utf8: since its text has another encoding"""

    code = "NR-202"
    exit_code = 2

    def __init__(self, pattern: str, reason: str, fix: str = "replace the damaged file", *, not_utf8: bool = False) -> None:
        self.not_utf8 = not_utf8
        self.pattern, self.reason = pattern, (reason.strip().splitlines() or ["no reason was given"])[0]
        super().__init__(
            what=f"{pattern!r} could not be read",
            where=self.reason,
            fix=f"{fix}; nothing of it was stored",
        )


class BadSource(UserMistake):
    """A source is declared in a way that it can't be read."""

    code = "NR-222"

    def __init__(self, *, source: str, problem: str, fix: str) -> None:
        self.source, self.problem = source, problem
        super().__init__(what=problem, where=f"source {source}", fix=fix)


class SourceAway(OutsideWorld):
    """A database, a stream or a remote file system can't be reached, or refuses."""

    code = "NR-207"

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        super().__init__(
            what=f"source {source} can't be read",
            where=(reason.strip().splitlines() or ["no reason was given"])[0][:300],
            fix="check the address, the credentials and that it runs; the next ingestion resumes where the last one ended",
        )


def kept_text(text: str) -> str:
    """The text of a malformed record as quarantine keeps it: all of it, up to a bound, and storable."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … (cut: {len(text):,} characters in all)"
