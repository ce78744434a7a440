"""Judging staged rows by the contract: which are good, which go into quarantine with which reason, and what is only a warning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from noria.core.clock import since_epoch
from noria.core.errors import UserMistake
from noria.core.sql import RESERVED, literal, quoted
from noria.data.columns import counts
from noria.data.contract import BadContract, ContractBroken, Rule
from noria.data.staging import FROM, ORDER, STAGED, BadTimeColumn, Staging, place_of, row_sql
from noria.data.table import Table
from noria.data.types import kind_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

GOOD, BAD = f"{RESERVED}good", f"{RESERVED}bad"
WHY = f"{RESERVED}why"
AHEAD = timedelta(days=1)  # how far a source's clock may be ahead of this one
EPOCH_AROUND = timedelta(days=365)


@dataclass(frozen=True)
class Judged:
    """Where the good rows stand (`good`, a relation), how many rows are good and bad, and how many break a rule that only warns."""

    good: str
    rows: int
    bad: int
    warnings: Mapping[str, int]


def judge(staging: Staging, table: Table, now: datetime) -> Judged:
    """Judge the staged rows. Bad ones stand in `BAD` with the reason in `WHY`.

    Raises `ContractBroken` for a rule whose policy is to reject, and what is wrong with the contract itself.
    """
    con, types = staging.con, _types(staging)
    check_columns(table, types)
    always = tuple(dict.fromkeys((*table.keys, *table.times)))
    rules = [*table.contract.rules(always, table.times, types), *_clock_rules(staging, table, now)]
    broken = _counted(con, table, rules)
    warnings: dict[str, int] = {}
    for i, rule in enumerate(rules):
        if broken[i] and rule.policy == "reject":
            raise ContractBroken(table=table.name, reason=rule.reason, rows=broken[i], example=_first_broken(con, types, rule))
        if broken[i] and rule.policy == "warn":
            warnings[rule.reason] = broken[i]
    good, bad = _split(con, [r for i, r in enumerate(rules) if broken[i] and r.policy == "quarantine"])
    return Judged(good, staging.rows - bad, bad, warnings | _batch_warnings(con, table, good, staging.rows_in, now))


def check_columns(table: Table, types: Mapping[str, pa.DataType]) -> None:
    """Raise `BadTimeColumn` and `ContractBroken` for columns of other types than they have to be."""
    for column in table.times:
        if kind_of(types[column]) != "zoned":
            raise BadTimeColumn(table=table.name, column=column, found=str(types[column]))
    if table.deleted and kind_of(types[table.deleted]) not in ("bool", "null"):
        raise UserMistake(
            what=f"column {table.deleted!r}, which marks deleted rows, is {types[table.deleted]}, not boolean",
            where=f"table {table.name!r}",
            fix=f"make it a boolean in the source, or declare it: types={{{table.deleted!r}: 'BOOLEAN'}}",
        )
    for reason in table.contract.other_types(types):
        raise ContractBroken(table=table.name, reason=reason, rows=0, example="")


def _types(staging: Staging) -> dict[str, pa.DataType]:
    """The type of every staged column; null where a column that the table needs has had no value yet."""
    import pyarrow as pa

    return staging.types | {n: pa.null() for n in staging.untyped}


def _clock_rules(staging: Staging, table: Table, now: datetime) -> list[Rule]:
    """Times that a clock invents: known later than now; and the zero of computers' clocks, where no other row is of that time."""
    rules = []
    if not table.stamped:
        late = f"epoch_us({quoted(table.known)}) > {since_epoch(now + AHEAD)}"
        rules.append(Rule("times", f"{table.known} is later than its ingestion", late, "quarantine"))
    for column in table.times:
        x, near = f"epoch_us({quoted(column)})", EPOCH_AROUND // timedelta(microseconds=1)
        rows = counts(staging.con, STAGED, {"zero": f"{x} = 0", "near": f"{x} <> 0 AND {x} BETWEEN -{near} AND {near}"})
        if rows["zero"] and not rows["near"] and rows["zero"] < staging.rows:
            rules.append(Rule("times", f"{column} is 1970-01-01 00:00, the Unix epoch", f"{x} = 0", "quarantine"))
    return rules


def _counted(con: duckdb.DuckDBPyConnection, table: Table, rules: Sequence[Rule]) -> list[int]:
    """How many rows break each rule first or at all: for a rule that quarantines, whatever rules come before it."""
    import duckdb

    windows = not all(r.rowwise for r in rules)  # which can't stand inside an aggregate
    flags = ", ".join(f"coalesce({r.broken}, false) AS {RESERVED}{i}" for i, r in enumerate(rules))
    try:
        if not windows:
            found = counts(con, STAGED, {str(i): r.broken for i, r in enumerate(rules)})
        else:
            found = counts(con, f"(SELECT {flags} FROM {STAGED})", {str(i): f"{RESERVED}{i}" for i in range(len(rules))})
    except duckdb.Error as error:
        raise BadContract(
            rule=f"of table {table.name!r}",
            problem=f"it can't be checked: {str(error).strip().splitlines()[0]}",
            fix="correct the condition in nr.Contract(sql={…})",
        ) from error
    return [found[str(i)] for i in range(len(rules))]


def _split(con: duckdb.DuckDBPyConnection, rules: Sequence[Rule]) -> tuple[str, int]:
    """Good and bad rows apart; returns the relation of the good ones, and how many are bad."""
    if not rules:
        con.execute(f"CREATE OR REPLACE TEMP TABLE {BAD} AS SELECT *, CAST(NULL AS VARCHAR) AS {WHY} FROM {STAGED} LIMIT 0")
        return STAGED, 0
    cases = " ".join(f"WHEN coalesce({r.broken}, false) THEN {literal(r.reason)}" for r in rules)
    judged = f"{RESERVED}judged"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {judged} AS SELECT *, CASE {cases} END AS {WHY} FROM {STAGED}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE {BAD} AS SELECT * FROM {judged} WHERE {WHY} IS NOT NULL ORDER BY {ORDER}")
    con.execute(f"CREATE OR REPLACE TEMP VIEW {GOOD} AS SELECT * EXCLUDE ({WHY}) FROM {judged} WHERE {WHY} IS NULL")
    return GOOD, counts(con, BAD, {"": "true"})[""]


def _first_broken(con: duckdb.DuckDBPyConnection, types: Mapping[str, pa.DataType], rule: Rule) -> str:
    columns = ", ".join(map(quoted, types))
    broken = f"SELECT * FROM (SELECT *, coalesce({rule.broken}, false) AS {WHY} FROM {STAGED}) WHERE {WHY} ORDER BY {ORDER} LIMIT 1"
    names, [row] = list(types), con.sql(f"SELECT {columns} FROM ({broken})").fetchall()
    return f"{rule.name}; first bad row: " + ", ".join(f"{n}={v}" for n, v in zip(names, row, strict=True))[:300]


def _batch_warnings(con: duckdb.DuckDBPyConnection, table: Table, good: str, rows: int, now: datetime) -> dict[str, int]:
    """Rules on the batch as a whole; raises `ContractBroken` for those whose policy is to reject."""
    if table.contract.rows == (None, None) and table.contract.stale_after is None:
        return {}
    [(newest,)] = con.sql(f"SELECT max({quoted(table.event_time)}) FROM {good}").fetchall()
    warnings = {}
    for reason, policy in table.contract.of_batch(rows, newest, now):
        if policy == "reject":
            raise ContractBroken(table=table.name, reason=reason, rows=0, example=f"source {table.source.describe()}")
        warnings[reason] = rows
    return warnings


def bad_rows_sql(staging: Staging) -> str:
    """SQL for the bad rows as quarantine holds them: reason, place, row as a map of texts."""
    names = ", ".join(literal(place_of(p)) for p in staging.places) or "''"
    starts = ", ".join(map(str, staging.starts)) or "0"
    columns = [*staging.types, *staging.untyped]
    place = f"[{names}][{FROM} + 1] || ({ORDER} - [{starts}][{FROM} + 1])"
    return f"SELECT {WHY} AS reason, {place} AS place, {row_sql(columns)} AS row FROM {BAD} ORDER BY {ORDER}"
