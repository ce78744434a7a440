"""Staging: a batch's pieces in one relation of the engine, every column in one type, each value as it came or refused with its text.

A column has the type that is declared for it, else the type that the table stores, else the one that its source states, else the
narrowest that all of its texts fit. Values that fit it without loss are converted. Where some do not, the column is widened if
there is a type that holds the old values and the new ones; what fits nothing is refused, row by row. A column that has no value
yet has no type yet, and is left out until it has. What is staged may be larger than memory: the engine spills to disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import NoriaError, OutsideWorld, UserMistake
from noria.core.sql import RESERVED, literal, quoted
from noria.data.columns import ABSENT, COLUMNS_AT_ONCE, Planned, counts, guessed, inferred, planned, wider_types
from noria.data.contract import UnknownColumn
from noria.data.sources.port import PLACE, Column, Loaded, Piece, RawRow, SourceAway, UnreadableData
from noria.data.table import INGESTED, Table
from noria.data.types import converted, declared, kind_of, sql_of
from noria.data.zones import in_zones

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

STAGED, REFUSED, PIECE = f"{RESERVED}staged", f"{RESERVED}refused", f"{RESERVED}piece"
ORDER, FROM = f"{RESERVED}order", f"{RESERVED}from"  # of a staged row: its number in the batch, and the number of its piece


class BadTimeColumn(UserMistake):
    """A time column is not a timestamp with a zone."""

    code = "NR-204"

    def __init__(self, *, table: str, column: str, found: str) -> None:
        self.table, self.column, self.found = table, column, found
        super().__init__(
            what=f"column {column!r} holds {found}, not a time with a zone",
            where=f"table {table!r}",
            fix=_as_time(column, found),
        )


def _as_time(column: str, found: str) -> str:
    """What to do about what was found in a column of times."""
    if found.startswith("TIMESTAMP") or re.search(r"'\d{4}-\d\d-\d\d[ T]\d\d:\d\d[^Z+]*'$", found):
        return (
            f'say whose clock it is: nr.files(…, time_zones={{"{column}": "UTC"}}); in pandas, df["{column}"].dt.tz_localize("UTC"); '
            "or write each time with its offset, such as 2024-05-01T08:00:00Z"
        )
    if re.search(r"'\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}", found):
        return f'write the year first, such as 2024-05-31T08:00:00Z: pandas.to_datetime(df["{column}"], dayfirst=True, utc=True)'
    return "name a column of times, or write it as a timestamp in UTC (in DuckDB: TIMESTAMPTZ; as text: 2024-05-01T08:00:00Z)"


class SchemaChanged(UserMistake):
    """New rows lack a column the table has, or have it with a type that does not convert."""

    code = "NR-205"

    def __init__(self, *, table: str, changes: list[str]) -> None:
        self.table, self.changes = table, changes
        super().__init__(
            what=f"the columns of {table!r} have changed: {'; '.join(changes)}",
            where="the new rows do not match the stored version",
            fix="restore the columns in the source, or declare a new table",
        )


class BadColumnName(UserMistake):
    """A source has a column that can't be told from another one, or from one of Noria's own."""

    code = "NR-226"

    def __init__(self, *, table: str, column: str, reason: str) -> None:
        self.table, self.column = table, column
        super().__init__(what=f"column {column!r} {reason}", where=f"table {table!r}", fix="rename it in the source, or in its query")


@dataclass(frozen=True)
class Expected:
    """What is known of a table's columns beforehand.

    declared: the types of those that are declared; needed: those that it can't do without, and what for; times: those that are moments;
    keys: those that name a fact, in which two different texts may never become one value; zones: whose clock times without a zone are of
    """

    table: str
    declared: Mapping[str, pa.DataType] = field(default_factory=dict)
    needed: Mapping[str, str] = field(default_factory=dict)
    times: tuple[str, ...] = ()
    stamped: bool = False
    keys: tuple[str, ...] = ()
    zones: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(table: Table) -> Expected:
        """What a table's declaration says. Raises `BadTimeColumn` for a time that is declared as something else."""
        types = declared(table.source.types, f"the types of table {table.name!r}")
        for name in table.times:
            if name in types and kind_of(types[name]) != "zoned":
                raise BadTimeColumn(table=table.name, column=name, found=f"{sql_of(types[name])} as declared")
        needed = {
            **dict.fromkeys(sorted(table.contract.columns()), "contract"),
            **({table.deleted: "deleted"} if table.deleted else {}),
            **dict.fromkeys(table.times, "time"),
            **dict.fromkeys(table.keys, "key"),
        }
        return Expected(table.name, types, needed, table.times, table.stamped, table.keys, getattr(table.source, "time_zones", {}))


def _always(_: str, __: str) -> bool:
    return True


@dataclass
class Staging:
    """The staged rows of one ingestion.

    stored: the types of the table's columns as it is; bound: whether they hold values, so that they may only be widened
    survives: whether every stored value of a column keeps its value, given SQL that is true where one would be lost
    types: the type of every column, in order, those that are stored first; seen: the columns of all pieces
    places: where each piece came from; starts: the `ORDER` before its first row
    raw: malformed records; unreadable: refused pieces, with the reason
    notes: what was read otherwise than it stands there, and how often
    first_error: what the first refused piece was refused with
    """

    con: duckdb.DuckDBPyConnection
    expected: Expected
    stored: Mapping[str, pa.DataType] = field(default_factory=dict)
    bound: bool = False
    survives: Callable[[str, str], bool] = _always
    types: dict[str, pa.DataType] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    raw: list[RawRow] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    first_error: NoriaError | None = None
    rows: int = 0
    refused: int = 0
    columns_made: int = 0

    def __post_init__(self) -> None:
        self.types.update(self.stored)
        columns = "".join(f"{quoted(n)} {sql_of(t)}, " for n, t in self.types.items())
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {STAGED} ({columns}{ORDER} BIGINT, {FROM} BIGINT)")
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {REFUSED} (reason VARCHAR, place VARCHAR, row MAP(VARCHAR, VARCHAR))")

    @property
    def rows_in(self) -> int:
        return self.rows + self.refused + len(self.raw)

    @property
    def retyped(self) -> dict[str, pa.DataType]:
        """The stored columns that have another type now."""
        return {n: t for n, t in self.types.items() if n in self.stored and self.stored[n] != t}

    @property
    def changes(self) -> list[str]:
        """What is new in the columns, in words."""
        added = [f"{n} {sql_of(t)} is new" for n, t in self.types.items() if n not in self.stored and self.stored]
        return [*added, *(f"{n} was {sql_of(self.stored[n])}, is {sql_of(t)}" for n, t in self.retyped.items())]

    def add(self, pieces: Iterable[Piece]) -> None:
        """Stage pieces one by one. A piece that stands alone (a file) is refused by itself, with the reason in `unreadable`.

        Raises what the others are refused with: `SchemaChanged`, `UnknownColumn`, `BadTimeColumn`, `BadColumnName`, …
        """
        try:
            for piece in pieces:
                try:
                    self._add(piece)
                except NoriaError as error:
                    if not piece.alone or isinstance(error, SourceAway):
                        raise
                    self.unreadable[piece.place] = error.where if isinstance(error, UnreadableData) else error.what
                    self.first_error = self.first_error or error
        finally:
            if isinstance(pieces, Generator):  # what it holds open, such as a connection, is let go at once
                pieces.close()

    def _add(self, piece: Piece) -> None:
        loaded = in_zones(self.con, PIECE, piece.load(self.con, PIECE), self.expected.zones)
        if loaded.columns:
            self._check_names(loaded.columns)
            self._check_there(loaded)
            plan = self._plan(loaded)
            self.seen.update(dict.fromkeys(c.name for c in loaded.columns))
            self._evolve(plan)
            self._insert(loaded, plan, piece.place)
            self.con.execute(f"DROP TABLE {PIECE}")  # it is as large as what was staged of it
        self.raw += loaded.raw
        for note, count in loaded.notes.items():
            self._note(note, count)

    def _note(self, note: str, count: int) -> None:
        if count:
            self.notes[note] = self.notes.get(note, 0) + count

    @property
    def untyped(self) -> list[str]:
        """Columns that are there, or that the table needs, and that have had no value yet."""
        return [n for n in {**self.expected.needed, **self.seen} if n not in self.types]

    def require_columns(self) -> None:
        """Stage the untyped columns as nulls, so that their rows can be judged."""
        for name in self.untyped:
            self.con.execute(f'ALTER TABLE {STAGED} ADD COLUMN {quoted(name)} "NULL"')

    # --- names ---

    def _check_names(self, columns: Sequence[Column]) -> None:
        known = {n.casefold(): n for n in self.types}
        seen: dict[str, str] = {}
        for name in (c.name for c in columns):
            folded = name.casefold()
            if "\0" in name:
                raise self._bad_name(name, "has a NUL in its name")
            if folded.startswith(RESERVED):
                raise self._bad_name(name, f"begins with {RESERVED!r}, as Noria's own columns do")
            if self.expected.stamped and folded == INGESTED:
                raise self._bad_name(name, "is written by ingestion itself (known_at=nr.INGESTED)")
            if folded in seen:
                raise self._bad_name(name, f"is duplicated (also as {seen[folded]!r}): engines ignore case in names")
            if known.get(folded, name) != name:
                raise self._bad_name(name, f"is {known[folded]!r} in the table: spell it the same")
            seen[folded] = name

    def _bad_name(self, name: str, reason: str) -> BadColumnName:
        return BadColumnName(table=self.expected.table, column=name, reason=reason)

    def _check_there(self, loaded: Loaded) -> None:
        """Raise `UnknownColumn` for a declared column that no piece had yet, and `SchemaChanged` for one that is gone."""
        names = [c.name for c in loaded.columns]
        for column, role in self.expected.needed.items():
            if column not in names and column not in self.types and not (loaded.sparse and role not in ("key", "time")):
                raise UnknownColumn(column=column, named_by=f"the {role} of table {self.expected.table!r}", available=names)
        gone = [f"{n} is missing" for n in self.types if n not in names]
        if gone and loaded.rows and not loaded.sparse:
            raise SchemaChanged(table=self.expected.table, changes=gone)

    # --- types ---

    def _plan(self, loaded: Loaded) -> list[Planned]:
        """How every column of a piece is staged; a column without any value is left out, unless it has a type."""
        columns = {c.name: c for c in loaded.columns}
        free = {n for n, c in columns.items() if c.type is None and self._wanted(n) is None} if loaded.rows else set()
        tried = guessed(self.con, PIECE, [columns[n] for n in columns if n in free])
        types = {n: self._wanted(n) or c.type or self._of_key(n, tried.get(n)) for n, c in columns.items()}
        plan = self._computed({n: self._planned(columns[n], t) for n, t in types.items() if t is not None})
        misfits = self._misfits(plan)
        self._check_times(plan, misfits)
        again = inferred(self.con, PIECE, [columns[n] for n in columns if n in free and (n not in plan or n in misfits)])
        better = {n: self._planned(columns[n], self._of_key(n, t)) for n, t in again.items()}
        for name in misfits.keys() - free:
            wide = self._widened(columns[name], plan[name], misfits[name])
            if wide is not None:
                better[name] = wide
        plan |= self._computed(better)
        for name, count in counts(self.con, PIECE, {n: p.absences() for n, p in plan.items() if p.absent}).items():
            self._note(f"{name}: {', '.join(ABSENT[:3])} or the like, read as null", count)
        return [plan[n] for n in columns if n in plan]

    def _computed(self, plan: dict[str, Planned]) -> dict[str, Planned]:
        """The same plan with every value computed, once, in a column of the piece."""
        new = {n: p for n, p in plan.items() if not p.same}
        if not new:
            return plan
        self.columns_made += 1
        made = {n: replace(p, value=quoted(f"{RESERVED}{self.columns_made}_{n}")) for n, p in new.items()}
        values = [f"{p.value} AS {made[n].value}" for n, p in new.items()]
        parts: list[str] = []
        for start in range(0, len(values), COLUMNS_AT_ONCE) if len(values) > COLUMNS_AT_ONCE else ():
            parts.append(f"{RESERVED}part{len(parts)}")  # since one statement for thousands of columns takes minutes to plan
            some = ", ".join(values[start : start + COLUMNS_AT_ONCE])
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE {parts[-1]} AS SELECT {some} FROM {PIECE}")
        every = "*" if parts else ", ".join(["*", *values])
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {PIECE}_next AS SELECT {every} FROM {' POSITIONAL JOIN '.join([PIECE, *parts])}")
        for name in (PIECE, *parts):
            self.con.execute(f"DROP TABLE {name}")
        self.con.execute(f"ALTER TABLE {PIECE}_next RENAME TO {PIECE}")
        return plan | made

    def _misfits(self, plan: Mapping[str, Planned]) -> dict[str, int]:
        """How many values do not fit, of the columns in which some don't."""
        found = counts(self.con, PIECE, {n: p.misfit() for n, p in plan.items() if not p.same})
        return {n: count for n, count in found.items() if count}

    def _wanted(self, name: str) -> pa.DataType | None:
        """The type that a column has to have; None if its values say."""
        import pyarrow as pa

        if name in self.expected.declared:
            return self.expected.declared[name]
        if name in self.expected.times:
            return pa.timestamp("us", tz="UTC")
        return self.types.get(name) if self.bound or self.rows or name not in self.stored else None

    def _of_key(self, name: str, type: Any) -> Any:
        """The type of texts; of a key's texts only one in which different texts stay different: 1.1 and 1.10 are two versions."""
        import pyarrow as pa

        lossy = type is not None and kind_of(type) in ("float", "bool", "decimal") and getattr(type, "scale", 1) != 0
        return pa.string() if name in self.expected.keys and lossy else type

    def _planned(self, column: Column, type: pa.DataType) -> Planned:
        found = planned(column, type, lenient=column.name in self.expected.declared)
        return self._without_values(column, type) if found is None else found

    def _without_values(self, column: Column, type: pa.DataType) -> Planned:
        """A column whose type does not convert: refused, unless it holds nothing but nulls."""
        if not counts(self.con, PIECE, {"": f"{quoted(column.name)} IS NOT NULL"})[""]:
            return Planned(column.name, type, f"CAST(NULL AS {sql_of(type)})")
        assert column.type is not None
        found = sql_of(column.type)
        if column.name in self.expected.times:
            raise BadTimeColumn(table=self.expected.table, column=column.name, found=found)
        raise SchemaChanged(table=self.expected.table, changes=[f"{column.name} was {sql_of(type)}, is {found}"])

    def _check_times(self, plan: Mapping[str, Planned], misfits: Mapping[str, int]) -> None:
        """Raise `BadTimeColumn` where the first rows of a table have texts for a time of which none is one: all would be refused alike."""
        for name in self.expected.times:
            if (
                misfits.get(name)
                and not (self.bound or self.rows)
                and not counts(self.con, PIECE, {"": f"{plan[name].value} IS NOT NULL"})[""]
            ):
                [(text,)] = self.con.sql(
                    f"SELECT {quoted(name)} FROM {PIECE} WHERE {plan[name].misfit()} ORDER BY {PLACE} LIMIT 1"
                ).fetchall()
                raise BadTimeColumn(table=self.expected.table, column=name, found=f"values such as {text!r}")

    def _widened(self, column: Column, narrow: Planned, misfits: int) -> Planned | None:
        """A column as the wider type that fits more of it, if one keeps every value that the table has; None if none does."""
        if column.name in self.expected.declared or column.name in self.expected.times:
            return None
        if column.name in self.expected.keys and column.type is None:
            return None
        best = None
        for type in wider_types(self.con, PIECE, column, narrow.type):
            wide = self._planned(column, type)
            count = counts(self.con, PIECE, {"": wide.misfit()})[""]
            if count < misfits and self._keeps(column.name, narrow.type, type):
                best, misfits = wide, count
        return best

    def _keeps(self, name: str, one: pa.DataType, other: pa.DataType) -> bool:
        """Whether every value that the column has so far, staged and stored, is the same in the other type."""
        if name not in self.types:
            return True
        value = converted(quoted(name), one, other)
        lost = f"{quoted(name)} IS NOT NULL AND ({value}) IS NULL"
        kept = value is not None and not counts(self.con, STAGED, {"": lost})[""]
        return kept and (name not in self.stored or not self.bound or self.survives(name, lost))

    # --- rows ---

    def _evolve(self, plan: Sequence[Planned]) -> None:
        """Give the staged relation the columns and types of a plan. Raises `SchemaChanged` where a declared type loses values."""
        for p in plan:
            before = self.types.get(p.name)
            if before is None:
                self.con.execute(f"ALTER TABLE {STAGED} ADD COLUMN {quoted(p.name)} {sql_of(p.type)}")
            elif before != p.type:
                if (self.bound or self.rows) and not self._keeps(p.name, before, p.type):
                    raise SchemaChanged(table=self.expected.table, changes=[f"{p.name} was {sql_of(before)}, is declared {sql_of(p.type)}"])
                self.con.execute(f"ALTER TABLE {STAGED} ALTER COLUMN {quoted(p.name)} TYPE {sql_of(p.type)}")
            self.types[p.name] = p.type

    def _insert(self, loaded: Loaded, plan: Sequence[Planned], place: str) -> None:
        misfits = self._misfits({p.name: p for p in plan})
        bad = [p for p in plan if p.name in misfits]
        broken = " OR ".join(f"coalesce({p.misfit()}, false)" for p in bad) or "false"
        names = "".join(f"{quoted(p.name)}, " for p in plan)
        values = "".join(f"{p.value}, " for p in plan)
        start = self.rows + self.refused
        self.con.execute(
            f"INSERT INTO {STAGED} ({names}{ORDER}, {FROM}) "
            f"SELECT {values}{start} + {PLACE}, {len(self.places)} FROM {PIECE} WHERE NOT ({broken})"
        )
        refused = counts(self.con, PIECE, {"": broken})[""] if bad else 0
        if refused:
            self._refuse(loaded, bad, broken, place)
        self.rows += loaded.rows - refused
        self.refused += refused
        self.places.append(place)
        self.starts.append(start)

    def _refuse(self, loaded: Loaded, bad: Sequence[Planned], broken: str, place: str) -> None:
        """Keep the rows that do not fit, with the text of every column."""
        cases = " ".join(f"WHEN {p.misfit()} THEN {literal(self._reason(p))}" for p in bad)
        names = [c.name for c in loaded.columns]
        self.con.execute(
            f"INSERT INTO {REFUSED} SELECT CASE {cases} END, {literal(place_of(place))} || {PLACE}, {row_sql(names)} "
            f"FROM {PIECE} WHERE {broken} ORDER BY {PLACE}"
        )

    def _reason(self, p: Planned) -> str:
        return f"{p.name} is not a time with a zone" if p.name in self.expected.times else f"{p.name} is not {sql_of(p.type)}"


def place_of(place: str) -> str:
    """Where the rows of a piece stand, to be followed by a row's number."""
    return f"{Path(place).name}, row " if place else "row "


def row_sql(columns: Sequence[str]) -> str:
    """SQL for a row as a map from the names of its columns to their texts."""
    names = ", ".join(map(literal, columns))
    return f"MAP([{names}], [{', '.join(f'{quoted(c)}::VARCHAR' for c in columns)}])"


def out_of_space(error: Exception) -> OutsideWorld:
    """What the engine says when a batch is larger than what memory and disk hold together."""
    return OutsideWorld(
        what="a batch is too large to be staged",
        where=str(error).strip().splitlines()[0],
        fix="free space where temporary files go (TMPDIR), or split the source into smaller files",
    )
