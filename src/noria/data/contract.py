"""Contracts: what the rows of a table have to look like, and what happens when they don't.

Rules compile to SQL and are judged in one pass by the engine that reads the rows anyway (docs/adr/0008 says why no
validation library).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from noria.core.clock import duration, in_words
from noria.core.errors import UserMistake, nearest
from noria.core.sql import RESERVED, connect, quoted
from noria.data.comparison import Incomparable, is_missing, kind_of, none_of, outside, plain

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Policy = Literal["reject", "quarantine", "warn"]
POLICIES = ("reject", "quarantine", "warn")
KINDS = ("not_null", "between", "one_of", "unique", "rows", "stale_after")
FIRST_YEAR, LAST_YEAR = 1900, 2200  # times beyond are mistakes, such as milliseconds read as seconds
ROWS = f"{RESERVED}rows"  # what conditions are tried on
LONGEST = 200  # characters of a declaration that an error shows


class BadContract(UserMistake):
    """A rule of a contract can't be kept by any row, or can't be compared with its column."""

    code = "NR-221"

    def __init__(self, *, rule: str, problem: str, fix: str) -> None:
        self.rule, self.problem = rule, problem
        super().__init__(what=problem, where=f"nr.Contract({rule if len(rule) <= LONGEST else rule[:LONGEST] + '…'})", fix=fix)


@dataclass(frozen=True)
class Rule:
    """One rule on rows: `broken` is SQL that is true for a row that breaks it, false or null for others.

    rowwise: whether a row is judged by its own values alone; SQL with windows or subqueries can't stand inside an aggregate
    """

    name: str
    reason: str
    broken: str
    policy: Policy
    rowwise: bool = True


@dataclass(frozen=True)
class Contract:
    """Rules on rows and batches. Only `not_null` is about what is missing: the other rules pass over nulls.

    not_null: columns that must have a value, and not NaN (the key and the times always must)
    between: closed ranges, column → (lowest, highest), None for no bound; numbers, texts, dates or times, NaN lies in none
    one_of: allowed values, column → values
    unique: columns, or tuples of columns, in which no value may stand twice in a batch
    sql: name → condition over the row's columns that is true, or null, for a good row; a row that it can't be computed for breaks it
    types: column → SQL type that the source must deliver, as it is stored (always rejected otherwise)
    rows: least and most rows of a batch, None for no bound
    stale_after: the newest event of a batch may not be older than this when it is ingested
    policy: what happens, by rule: `"between:price"`, a whole kind (`"between"`) or the name of an sql rule, each `"reject"`
        the batch, `"quarantine"` the rows (the default for rows) or `"warn"` (the default for `rows` and `stale_after`).
        A tuple of columns is named with commas: `"unique:shop,day"`

    Raises `BadContract` for what can't be meant.
    """

    not_null: Sequence[str] = ()
    between: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    one_of: Mapping[str, Collection[Any]] = field(default_factory=dict)
    unique: Sequence[str | tuple[str, ...]] = ()
    sql: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[int | None, int | None] = (None, None)
    stale_after: str | timedelta | None = None
    policy: Mapping[str, Policy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_names("not_null", self.not_null)
        _check_names("unique", self.unique, or_tuples=True)
        for kind in ("between", "one_of", "sql", "types", "policy"):
            _check_mapping(kind, getattr(self, kind))
        for column, bounds in self.between.items():
            _check_range(column, bounds)
        for column, values in self.one_of.items():
            _check_values(column, values)
        for kind in ("sql", "types"):
            for name, text in getattr(self, kind).items():
                _check_text(kind, name, text)
        _check_rows(self.rows)
        _check_age(self.stale_after)
        self._check_policy()

    def _check_policy(self) -> None:
        of_columns = {f"{kind}:{c}" for kind in ("not_null", "between", "one_of") for c in getattr(self, kind)}
        declared = {*KINDS, *of_columns, *(f"unique:{','.join(_several(c))}" for c in self.unique)}
        for name in declared.intersection(self.sql):
            raise BadContract(rule=f"sql={{{name!r}: …}}", problem=f"{name!r} is the name of another rule", fix="rename the condition")
        known = declared | set(self.sql)
        for name, policy in self.policy.items():
            if name not in known or policy not in POLICIES:
                raise BadContract(
                    rule=f"policy={{{name!r}: {policy!r}}}",
                    problem=f"the contract has no rule {name!r} with policy {policy!r}{nearest(name, known)}",
                    fix=f"rules: {', '.join(sorted(known))}; policies: {', '.join(POLICIES)}",
                )

    def columns(self) -> set[str]:
        """Every column that a rule names (those in `sql` are found by the engine)."""
        return {*self.not_null, *self.between, *self.one_of, *self.types, *(c for each in self.unique for c in _several(each))}

    def rules(self, always: Sequence[str], times: Sequence[str], types: Mapping[str, pa.DataType]) -> list[Rule]:
        """The rules on rows, in the order in which they are tried.

        always: columns that must have a value whatever the contract says; times: those of them that are times; types: of every column, as
        it will be stored

        Raises `BadContract` for a value that can't be compared with its column and a condition that the engine refuses, and
        `UnknownColumn`.
        """
        import pyarrow as pa

        for column in sorted(self.columns() - set(types)):
            raise UnknownColumn(column=column, named_by="the contract", available=list(types))
        floats = [c for c in types if pa.types.is_floating(types[c])]
        found = [Rule("key", f"{c} is null", f"{quoted(c)} IS NULL", "quarantine") for c in always]
        found += [Rule("key", f"{c} is not a number", f"isnan({quoted(c)})", "quarantine") for c in always if c in floats]
        found += [Rule("times", f"{c} is outside the years {FIRST_YEAR} to {LAST_YEAR}", _far(c), "quarantine") for c in times]
        for c in dict.fromkeys(self.not_null):
            found.append(self._rule("not_null", c, f"{c} is null", f"{quoted(c)} IS NULL"))
            found += [self._rule("not_null", c, f"{c} is not a number", f"isnan({quoted(c)})")] if c in floats else []
        empty = {c for c in types if pa.types.is_null(types[c])}  # columns of nothing but nulls, of which values say nothing
        found += [self._between(c, low, high, types[c]) for c, (low, high) in self.between.items() if c not in empty]
        found += [self._one_of(c, values, types[c]) for c, values in self.one_of.items() if c not in empty]
        found += [self._unique(_several(each), floats) for each in dict.fromkeys(map(_several, self.unique))]
        return found + self._conditions(types)

    def _between(self, column: str, low: Any, high: Any, kind: pa.DataType) -> Rule:
        try:
            broken = outside(column, *_closed(low, high), kind)
        except Incomparable as error:
            raise _incomparable(f"between={{{column!r}: {(low, high)!r}}}", column, kind, error) from error
        return self._rule("between", column, f"{column} is {_outside_in_words(*_closed(low, high))}", broken)

    def _one_of(self, column: str, values: Collection[Any], kind: pa.DataType) -> Rule:
        try:
            broken = none_of(column, values, kind)
        except Incomparable as error:
            raise _incomparable(f"one_of={{{column!r}: {list(values)!r}}}", column, kind, error) from error
        return self._rule("one_of", column, f"{column} is not an allowed value", broken)

    def _unique(self, columns: tuple[str, ...], floats: Collection[str]) -> Rule:
        there = [f"{quoted(c)} IS NOT NULL" + (f" AND NOT isnan({quoted(c)})" if c in floats else "") for c in columns]
        twice = f"count(*) OVER (PARTITION BY {', '.join(map(quoted, columns))}) > 1"
        verb = "is" if len(columns) == 1 else "are"
        rule = self._rule("unique", ",".join(columns), f"{', '.join(columns)} {verb} duplicated", " AND ".join([*there, twice]))
        return replace(rule, rowwise=False)

    def _conditions(self, types: Mapping[str, pa.DataType]) -> list[Rule]:
        """The rules of `sql`, tried on no rows first, so that what the engine refuses is said before anything is judged."""
        if not self.sql:
            return []
        import pyarrow as pa

        with connect() as con:
            con.register(ROWS, pa.schema(list(types.items())).empty_table())
            broken = {name: _broken(con, name, condition) for name, condition in self.sql.items()}
        return [
            Rule(name, f"violates: {name}", sql, self.policy.get(name, "quarantine"), rowwise) for name, (sql, rowwise) in broken.items()
        ]

    def _rule(self, kind: str, column: str, reason: str, broken: str) -> Rule:
        policy = self.policy.get(f"{kind}:{column}", self.policy.get(kind, "quarantine"))
        return Rule(f"{kind}:{column}", reason, broken, policy)

    def other_types(self, types: Mapping[str, pa.DataType]) -> list[str]:
        """Which columns have another type than `types` declares, in words; a column of nothing but nulls has none yet.

        types: of every column, as it will be stored. Both are compared as they are stored: INT and BIGINT are one. Raises `BadTypes`.
        """
        import pyarrow as pa

        from noria.data.types import declared, sql_of

        wanted = declared(self.types, "nr.Contract(types=…)")
        differ = [c for c in wanted if c in types and not pa.types.is_null(types[c]) and types[c] != wanted[c]]
        return [f"{c} is {sql_of(types[c])}, not {sql_of(wanted[c])}" for c in differ]

    def of_batch(self, rows: int, newest: datetime | None, now: datetime) -> list[tuple[str, Policy]]:
        """What a whole batch breaks: (reason, policy)."""
        broken: list[tuple[str, Policy]] = []
        least, most = self.rows
        if (least is not None and rows < least) or (most is not None and rows > most):
            bounds = f"{'any' if least is None else f'{least:,}'} to {'any' if most is None else f'{most:,}'}"
            broken.append((f"{rows:,} rows, expected {bounds}", self.policy.get("rows", "warn")))
        if self.stale_after is not None and (newest is None or now - newest > duration(self.stale_after)):
            age = "there are no events" if newest is None else f"the newest event is {in_words(now - newest)} old"
            most_old = self.stale_after if isinstance(self.stale_after, str) else in_words(self.stale_after)
            broken.append((f"{age}, expected {most_old} at most", self.policy.get("stale_after", "warn")))
        return broken


class UnknownColumn(UserMistake):
    """A declaration names a column that the data does not have."""

    code = "NR-203"

    def __init__(self, *, column: str, named_by: str, available: Sequence[str]) -> None:
        self.column, self.available = column, list(available)
        super().__init__(
            what=f"there is no column {column!r}{nearest(column, available)}",
            where=f"{named_by} names it; the columns are {', '.join(available)}",
            fix="correct the name in the declaration, or add the column to the data",
        )


class ContractBroken(UserMistake):
    """A batch breaks a rule whose policy is to reject it."""

    code = "NR-208"

    def __init__(self, *, table: str, reason: str, rows: int, example: str) -> None:
        self.table, self.reason, self.rows = table, reason, rows
        super().__init__(
            what=f"a batch for {table!r} violates its contract: {reason}" + (f" ({rows:,} rows)" if rows else ""),
            where=example or f"table {table!r}",
            fix="fix the source, or give the rule another policy; nothing of the batch was stored",
        )


# --- SQL ----------------------------------------------------------------------------------------------------------------


def _far(column: str) -> str:
    low, high = (f"TIMESTAMPTZ '{year}-01-01 00:00:00+00'" for year in (FIRST_YEAR, LAST_YEAR))
    return f"{quoted(column)} < {low} OR {quoted(column)} >= {high}"


def _broken(con: duckdb.DuckDBPyConnection, name: str, condition: str) -> tuple[str, bool]:
    """SQL that is true for a row of `ROWS` that breaks a condition, and whether it is rowwise. Raises `BadContract`.

    The condition is tried with and without parentheses, so that it is one expression: `a) OR (b` is none, nor is `a, b` or `a; b`. A
    comment at its end may not swallow the parenthesis.
    """
    import duckdb

    rule, fix = f"sql={{{name!r}: {condition!r}}}", "write one SQL expression that is true for a good row"
    try:
        _ = con.sql(f"SELECT {condition}\nFROM {ROWS} LIMIT 0").types
        kinds = con.sql(f"SELECT *, ({condition}\n) FROM {ROWS}").types
    except duckdb.Error as error:
        raise BadContract(rule=rule, problem=f"the condition {name!r} can't be computed: {_in_one_line(error)}", fix=fix) from error
    if len(kinds) != len(con.table(ROWS).columns) + 1 or str(kinds[-1]) != "BOOLEAN":
        raise BadContract(rule=rule, problem=f"the condition {name!r} is {kinds[-1]}, not boolean", fix=fix)
    tried = f"coalesce(NOT TRY(coalesce(({condition}\n), true)), true)"  # one row that it can't be computed for spoils no batch
    try:
        _ = con.sql(f"SELECT {tried} FROM {ROWS}").types
    except duckdb.Error:  # windows and subqueries can't be tried
        return f"NOT ({condition}\n)", False
    return tried, True


def _in_one_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _incomparable(rule: str, column: str, kind: pa.DataType, error: Incomparable) -> BadContract:
    return BadContract(
        rule=rule,
        problem=f"{column!r} can't be compared with the values in the contract: {error}",
        fix=f"write values as the column holds them ({kind}), or give the column another type in its source",
    )


def _closed(low: Any, high: Any) -> tuple[Any, Any]:
    """The bounds that say something: no number lies beyond infinity."""
    unbounded = (-math.inf, math.inf)
    low, high = (None if isinstance(b, float) and b == far else b for b, far in zip((plain(low), plain(high)), unbounded, strict=True))
    return low, high


def _outside_in_words(low: Any, high: Any) -> str:
    if low is None or high is None:
        return "not a number" if low is high else f"above {_shown(high)}" if low is None else f"below {_shown(low)}"
    return f"outside {_shown(low)} to {_shown(high)}"


def _shown(bound: Any) -> str:
    if isinstance(bound, float):
        return repr(bound).removesuffix(".0")
    return bound.isoformat(sep=" ") if isinstance(bound, datetime) else repr(bound) if isinstance(bound, str | bytes) else str(bound)


# --- declarations -------------------------------------------------------------------------------------------------------


def _several(columns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns)


def _check_names(kind: str, columns: Any, *, or_tuples: bool = False) -> None:
    if not isinstance(columns, list | tuple):
        raise BadContract(rule=f"{kind}={columns!r}", problem=f"{kind} is not a list of columns", fix="write for example ['price']")
    for each in columns:
        several = each if or_tuples and isinstance(each, tuple) else (each,)
        if not several or not all(isinstance(c, str) for c in several) or len(set(several)) < len(several):
            raise BadContract(rule=f"{kind}={columns!r}", problem=f"{each!r} is not a column name", fix="list each column once")


def _check_mapping(kind: str, found: Any) -> None:
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise BadContract(rule=f"{kind}={found!r}", problem=f"{kind} is not a dict with names", fix=f"write {kind}={{'name': …}}")


def _check_text(kind: str, name: str, text: Any) -> None:
    if not isinstance(text, str) or not text.strip():
        what = "an SQL condition" if kind == "sql" else "an SQL type"
        raise BadContract(rule=f"{kind}={{{name!r}: {text!r}}}", problem=f"{text!r} is not {what}", fix="write it as a string")


def _check_range(column: str, bounds: Any) -> None:
    rule, fix = f"between={{{column!r}: {bounds!r}}}", "write (lowest, highest), with None for no bound"
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        raise BadContract(rule=rule, problem=f"{bounds!r} is not a pair of bounds", fix=fix)
    there = [plain(b) for b in bounds if b is not None]
    if not there:
        raise BadContract(rule=rule, problem="a range needs at least one bound", fix=fix)
    if any(is_missing(b) for b in there):
        raise BadContract(rule=rule, problem="NaN can't be a bound", fix=fix)
    kinds = _kinds(rule, there)
    if "a boolean" in kinds:
        raise BadContract(rule=rule, problem="true and false can't be bounds", fix="use one_of")
    low, high = (plain(b) for b in bounds)
    if low == math.inf or high == -math.inf or (len(there) == 2 and low > high):
        raise BadContract(rule=rule, problem=f"no value lies between {low!r} and {high!r}", fix=fix)


def _check_values(column: str, values: Any) -> None:
    rule, fix = f"one_of={{{column!r}: {values!r}}}", "write a list of the allowed values"
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Collection):
        raise BadContract(rule=rule, problem=f"{values!r} is not a list of values", fix=fix)
    if not len(values):
        raise BadContract(rule=rule, problem=f"no value is allowed in {column!r}", fix=fix)
    _kinds(rule, [plain(v) for v in values if not is_missing(v)])


def _kinds(rule: str, values: Sequence[Any]) -> set[str]:
    """What values are: at most one kind. Raises `BadContract`."""
    try:
        kinds = {kind_of(v) for v in values}
        for text in (v for v in values if isinstance(v, str)):
            text.encode()
    except Incomparable as error:
        raise BadContract(rule=rule, problem=str(error), fix="write numbers, strings, booleans, bytes, dates or times") from error
    except UnicodeEncodeError as error:
        raise BadContract(rule=rule, problem=f"a string can't be stored: {error}", fix="write strings that are valid Unicode") from error
    if len(kinds) > 1:
        raise BadContract(rule=rule, problem=f"{' and '.join(sorted(kinds))} can't be compared", fix="write values of one kind")
    return kinds


def _check_rows(rows: Any) -> None:
    rule, fix = f"rows={rows!r}", "write (least, most), with None for no bound"
    if not isinstance(rows, list | tuple) or len(rows) != 2:
        raise BadContract(rule=rule, problem=f"{rows!r} is not a pair of numbers", fix=fix)
    there = [n for n in rows if n is not None]
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in there) or (len(there) == 2 and rows[0] > rows[1]):
        raise BadContract(rule=rule, problem=f"no batch has {rows[0]!r} to {rows[1]!r} rows", fix=fix)


def _check_age(age: Any) -> None:
    """Raises `BadContract`, or `BadDuration` for a text that is none."""
    if age is not None and (not isinstance(age, str | timedelta) or duration(age) <= timedelta()):
        raise BadContract(rule=f"stale_after={age!r}", problem=f"{age!r} is not a valid age", fix="write for example '2d'")
