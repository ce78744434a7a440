"""Texts that are meant as something else: times in a notation of their own, and columns of numbers or times with a few bad values.

Ingestion types a column by all of its values, so one bad date makes a text of a column of dates. Where nearly all values are dates, the
column is meant as dates, and the bad value belongs into quarantine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from noria.core.sql import literal, quoted
from noria.data.columns import counts
from noria.data.sources.text import value_of
from noria.data.types import sql_of
from noria.monitoring.predictions.values import EARLIEST, LATEST

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MOSTLY = 0.95  # of the values
DATES = ("%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y")
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
FORMATS = (*(date + time for date in DATES for time in TIMES), "%d-%b-%Y", "%b %d, %Y")
SWAPPED = str.maketrans("md", "dm")  # the month's place and the day's


CLOCK_NAMES = re.compile(r"(^|_)(time|timestamp|ts|datetime|date|epoch|at|created|updated|when)(_|$)", re.IGNORECASE)
UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
SIGNS = r"[$€£¥% ,]|EUR|USD|GBP"


@dataclass(frozen=True)
class Meant:
    """What a column of texts is meant as. value: SQL for it; written: how times are written, where ingestion does not read that

    good: values that can be read so; bad: those that can't; otherwise: another way to read them all, which gives other times
    """

    kind: Literal["time", "number"]
    value: str
    good: int
    bad: int
    written: str | None = None
    zoned: bool = False
    otherwise: str | None = None


def meanings(con: duckdb.DuckDBPyConnection, table: str, types: Mapping[str, pa.DataType]) -> dict[str, Meant]:
    """The columns of texts, of a relation with these columns, that are meant as times or numbers."""
    texts = [name for name, type in types.items() if sql_of(type) == "VARCHAR"]
    numbers = [name for name, type in types.items() if sql_of(type) in ("BIGINT", "DOUBLE") and CLOCK_NAMES.search(name)]
    there = counts(con, table, {c: f"{quoted(c)} IS NOT NULL" for c in texts})
    found: dict[str, Meant] = {}
    for kind, sql, written in _readings():
        left = [c for c in texts if c not in found and there[c]]
        read = counts(con, table, {c: f"{sql.format(x=quoted(c))} IS NOT NULL" for c in left})
        for c in left:
            if read[c] >= MOSTLY * there[c]:
                zoned = kind == "TIMESTAMP WITH TIME ZONE"
                meant: Literal["time", "number"] = "number" if kind == "DOUBLE" else "time"
                found[c] = Meant(meant, sql.format(x=quoted(c)), read[c], there[c] - read[c], written, zoned)
    decided = {c: _decided(con, table, c, meant) for c, meant in found.items()}
    return decided | {c: clock for c in numbers if (clock := _since_epoch(con, table, c)) is not None}


def _since_epoch(con: duckdb.DuckDBPyConnection, table: str, column: str) -> Meant | None:
    """Numbers named like a time that all lie between 1990 and 2100, counted from 1970 on; None where they don't."""
    x = quoted(column)
    [(least, most, there)] = con.sql(f"SELECT min({x}), max({x}), count({x}) FROM {table}").fetchall()
    for unit, a_second in UNITS.items():
        if there and EARLIEST * a_second <= least and most <= LATEST * a_second:
            value = f"make_timestamptz(CAST({x} * ({1_000_000} / {a_second}) AS BIGINT))"
            return Meant("time", value, int(there), 0, f"{unit} since 1970", zoned=True)
    return None


def has_decimal_commas(column: pa.ChunkedArray) -> bool:
    """Whether texts are numbers with a comma before their fraction: one of other than three digits, which would be thousands."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        return False
    there = column.drop_null()
    fits = pc.sum(pc.match_substring_regex(there, r"^-?\d+(,\d+)?$")).as_py() or 0
    return bool(fits >= MOSTLY * len(there) > 0 and pc.any(pc.match_substring_regex(there, r"^-?\d+,(\d{1,2}|\d{4,})$")).as_py())


def signed(con: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> dict[str, str]:
    """Columns of texts that are numbers but for signs about them, such as `$12.50`, `45 %` or `1,234`, with the first of each."""
    found: dict[str, str] = {}
    for column in columns:
        x = quoted(column)
        bare = f"regexp_replace(CAST({x} AS VARCHAR), {literal(SIGNS)}, '', 'g')"
        try_number = f"TRY_CAST({bare} AS DOUBLE) IS NOT NULL AND regexp_matches(CAST({x} AS VARCHAR), {literal(SIGNS)})"
        is_text = f"typeof(any_value({x})) = 'VARCHAR'"
        asked = (
            f"SELECT {is_text}, count({x}), count(*) FILTER (WHERE {try_number}), any_value({x}) FILTER (WHERE {try_number}) FROM {table}"
        )
        [(text, there, numbers, example)] = con.sql(asked).fetchall()
        if text and there and numbers >= MOSTLY * there:
            found[column] = str(example)
    return found


def _decided(con: duckdb.DuckDBPyConnection, table: str, column: str, meant: Meant) -> Meant:
    """Times that are written with the month before the day, or after it. Where both can be, the rows' order may say which."""
    swapped = (meant.written or "").translate(SWAPPED)
    if swapped == meant.written or swapped not in FORMATS:
        return meant
    other = _strptime(swapped).format(x=quoted(column))
    read = counts(con, table, {"other": f"{other} IS NOT NULL", "differs": f"{other} IS DISTINCT FROM {meant.value}"})
    if read["other"] > meant.good:  # a few values tell, such as a 13th, however many could be either
        return replace(meant, value=other, written=swapped, good=read["other"], bad=meant.good + meant.bad - read["other"])
    if meant.bad or read["other"] < meant.good or not read["differs"]:
        return meant
    ordered = {sql: _is_ordered(con, table, sql) for sql in (meant.value, other)}
    if ordered[meant.value] == ordered[other]:
        return replace(meant, otherwise=swapped)
    return meant if ordered[meant.value] else replace(meant, value=other, written=swapped)


def _is_ordered(con: duckdb.DuckDBPyConnection, table: str, sql: str) -> bool:
    """Whether times rise, or fall, from row to row."""
    steps = f"SELECT {sql} AS t, lag({sql}) OVER (ORDER BY rowid) AS before FROM {table}"
    [(falls, rises)] = con.sql(f"SELECT count(*) FILTER (t < before), count(*) FILTER (t > before) FROM ({steps})").fetchall()
    return not falls or not rises


def _strptime(written: str) -> str:
    return f"try_strptime({{x}}, {literal(written)})"


def _readings() -> list[tuple[str, str, str | None]]:
    """(type, SQL for the value of a column x, the format where it is none that ingestion reads), the first that fits counts."""
    strict = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "DOUBLE")
    own: list[tuple[str, str, str | None]] = [(kind, f"({_braced(value_of('{x}', kind))})", None) for kind in strict]
    return [*own, *(("TIMESTAMP", _strptime(written), written) for written in FORMATS)]


def _braced(sql: str) -> str:
    """SQL with a place for the column, whose own braces (of regular expressions) are kept."""
    return sql.replace("{", "{{").replace("}", "}}").replace("{{x}}", "{x}")
