"""Columns: how one column of a piece becomes a column of its table, as SQL; and which type texts without one have.

A text is read strictly (see `noria.data.sources.text`). How other tools write null (`NA`, `NULL`, …) is null in columns of numbers,
times and booleans; in texts it stays what it is, since Namibia is `NA`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noria.core.sql import literal, quoted
from noria.data.sources.port import Column
from noria.data.sources.text import CLOCK, DAY, NOT_FINITE, NUMBER, OFFSET, PLAIN, WHOLE, value_of, with_point
from noria.data.types import LONG, arrow_of, converted, decimal_of, kind_of, sql_of, wider

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ABSENT = ("NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "<NA>")
ABSENT_SQL = f"({', '.join(map(literal, ABSENT))})"
SAMPLE_ROWS, SAMPLE_CELLS = 1_000, 100_000
COLUMNS_AT_ONCE = 100  # in one statement
KINDS = ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")  # of texts, the narrowest first
STRING_KINDS = KINDS[3:]  # a JSON string is a text or a time, never a number
NUMBERS = ("whole", "float", "decimal")


@dataclass(frozen=True)
class Planned:
    """A column as a type: SQL for its `value`, which is null where what stands there does not fit.

    same: whether the value is the column as it is, so that everything fits
    absent: whether the signs that other tools write for null are null in it
    """

    name: str
    type: pa.DataType
    value: str
    same: bool = False
    absent: bool = False

    def misfit(self) -> str:
        """SQL that is true where something does not fit."""
        if self.same:
            return "false"
        lost = f"{quoted(self.name)} IS NOT NULL AND ({self.value}) IS NULL"
        return f"{lost} AND {quoted(self.name)} NOT IN {ABSENT_SQL}" if self.absent else lost

    def absences(self) -> str:
        """SQL that is true where a sign for null stands."""
        return f"({self.value}) IS NULL AND {quoted(self.name)} IN {ABSENT_SQL}"


def planned(column: Column, type: pa.DataType, *, lenient: bool = False) -> Planned | None:
    """A column as a type; None where no value of the one has a form in the other.

    lenient: for declared types: numbers may have a plus sign and leading zeros, a JSON string may be a number, and 0 and 1 truth values
    """
    x = quoted(column.name)
    if column.type is None or (kind_of(column.type) == "text" and column.type != type):
        return _text_as(column, type, lenient=lenient)
    if column.type == type and kind_of(type) == "date":  # tables can't store what lies far beyond
        return Planned(column.name, type, f"CASE WHEN {x} BETWEEN DATE '0001-01-01' AND DATE '9999-12-31' THEN {x} END")
    if column.type == type:
        return Planned(column.name, type, x, same=True)
    value = converted(x, column.type, type)
    if value is None and lenient and (kind_of(column.type), kind_of(type)) == ("whole", "bool"):  # as databases without booleans have them
        value = f"CASE {x} WHEN 0 THEN false WHEN 1 THEN true END"
    if value is None or (kind_of(type) == "text" and kind_of(column.type) == "whole" and not lenient):  # it may have lost zeros
        return None
    return Planned(column.name, type, value)


def _text_as(column: Column, type: pa.DataType, *, lenient: bool) -> Planned:
    x, sql, kind = quoted(column.name), sql_of(type), kind_of(type)
    if kind == "text":
        return Planned(column.name, type, x, same=True)
    if column.strings and not lenient and kind in (*NUMBERS, "bool"):
        return Planned(column.name, type, f"CAST(NULL AS {sql})")
    value = value_of(_number(column) if kind in NUMBERS else x, sql, lenient=lenient)
    return Planned(column.name, type, value, absent=not column.strings)


def _number(column: Column) -> str:
    return f"({with_point(quoted(column.name))})" if column.decimal_comma else quoted(column.name)


def counts(con: duckdb.DuckDBPyConnection, relation: str, conditions: Mapping[str, str]) -> dict[str, int]:
    """How many rows of a relation each condition holds for."""
    found: dict[str, int] = {}
    names = list(conditions)
    for start in range(0, len(names), COLUMNS_AT_ONCE):
        some = names[start : start + COLUMNS_AT_ONCE]
        asked = ", ".join(f"count(*) FILTER (WHERE {conditions[n]})" for n in some)
        [row] = con.sql(f"SELECT {asked} FROM {relation}").fetchall()
        found |= dict(zip(some, map(int, row), strict=True))
    return found


# --- the type of texts --------------------------------------------------------------------------------------------------


def guessed(con: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[Column]) -> dict[str, pa.DataType]:
    """The type that each column's first texts suggest, to be tried on all of them; none for a column that has none among them."""
    rows = max(SAMPLE_ROWS // 10, min(SAMPLE_ROWS, SAMPLE_CELLS // max(len(columns), 1)))
    listed = ", ".join(quoted(c.name) for c in columns)
    sample = con.sql(f"SELECT {listed} FROM {relation} LIMIT {rows}").fetchall() if columns else []
    found = {}
    for i, c in enumerate(columns):
        texts = [row[i] for row in sample if row[i] is not None and (c.strings or row[i] not in ABSENT)]
        if texts:
            found[c.name] = _arrow(_guess(c, texts))
    return found


def _guess(column: Column, texts: Sequence[str]) -> str:
    """The narrowest kind that some texts look like."""
    looks = {
        "BIGINT": lambda t: re.match(WHOLE, t),
        "DOUBLE": lambda t: re.match(NUMBER, t.replace(",", ".") if column.decimal_comma else t) or t in NOT_FINITE,
        "BOOLEAN": lambda t: t.lower() in ("true", "false"),
        "DATE": lambda t: re.match(DAY, t),
        "TIMESTAMP": lambda t: re.match(CLOCK + "$", t) or re.match(DAY, t),
        "TIMESTAMP WITH TIME ZONE": lambda t: re.match(CLOCK + OFFSET, t),
    }
    return next((k for k in _kinds(column) if all(map(looks[k], texts))), "VARCHAR")


def inferred(con: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[Column]) -> dict[str, pa.DataType]:
    """The narrowest type that all texts of each column fit; none for a column of nulls."""
    found = _fitting(con, relation, columns)
    for c in columns:
        if found.get(c.name) == "VARCHAR" and not c.strings:
            found[c.name] = _long_number(con, relation, c) or "VARCHAR"
    return {n: _arrow(k) for n, k in found.items()}


def _fitting(con: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[Column]) -> dict[str, str]:
    """The narrowest kind for each column that has a text. Signs for null alone are texts."""
    texts = counts(con, relation, {c.name: f"{quoted(c.name)} IS NOT NULL" for c in columns})
    columns = [c for c in columns if texts[c.name]]  # empty columns, of which wide files have many, are tried as nothing
    found = {}
    for start in range(0, len(columns), COLUMNS_AT_ONCE // 5):
        some = columns[start : start + COLUMNS_AT_ONCE // 5]
        asked = {}
        for c in some:
            x = quoted(c.name)
            asked[f"{c.name}\0values"] = f"{x} IS NOT NULL" if c.strings else f"{x} NOT IN {ABSENT_SQL}"
            asked |= {f"{c.name}\0{k}": _misfit(c, k) for k in _kinds(c)}
        seen = counts(con, relation, asked)
        for c in some:
            fits = [k for k in _kinds(c) if not seen[f"{c.name}\0{k}"] and seen[f"{c.name}\0values"]]
            found[c.name] = fits[0] if fits else "VARCHAR"
    return found


def _kinds(column: Column) -> tuple[str, ...]:
    return STRING_KINDS if column.strings else KINDS


def _misfit(column: Column, kind: str) -> str:
    return _text_as(column, _arrow(kind), lenient=False).misfit()


def _arrow(kind: str) -> pa.DataType:
    found = arrow_of(kind)
    assert found is not None, kind
    return found


def _long_number(con: duckdb.DuckDBPyConnection, relation: str, column: Column) -> str | None:
    """Plain numbers with more digits than other types carry are decimals, where one holds them all."""
    type = _decimal(con, relation, column)
    if type is None or counts(con, relation, {"": _misfit(column, sql_of(type))})[""]:
        return None
    return sql_of(type)


def _decimal(con: duckdb.DuckDBPyConnection, relation: str, column: Column) -> pa.DataType | None:
    """The decimal that holds every plain number among texts; None where there is none, or too many digits."""
    x = _number(column)
    plain = f"regexp_matches({x}, {literal(PLAIN)})"
    [(before, behind)] = con.sql(
        f"SELECT max(length(regexp_extract({x}, '^-?([0-9]+)', 1))) FILTER (WHERE {plain}), "
        f"max(length(regexp_extract({x}, '[.]([0-9]*?)0*$', 1))) FILTER (WHERE {plain}) FROM {relation}"
    ).fetchall()
    return None if before is None or before + behind > LONG else decimal_of(before + behind, behind)


def wider_types(con: duckdb.DuckDBPyConnection, relation: str, column: Column, type: pa.DataType) -> list[pa.DataType]:
    """Types that hold what `type` holds and may hold what does not fit it in a column, the simplest first."""
    import pyarrow as pa

    if column.type is not None and kind_of(column.type) != "text":
        found = wider(type, column.type)
        return [] if found is None or found == type else [found]
    kind = kind_of(type)
    if kind == "date":
        return [pa.timestamp("us")]
    if kind not in ("whole", "decimal") or column.strings:
        return []
    digits = _decimal(con, relation, column)
    exact = None if digits is None else wider(type, digits)
    return [t for t in (pa.float64() if kind == "whole" else None, exact) if t is not None and t != type]
