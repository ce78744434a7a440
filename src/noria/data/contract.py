"""Contracts: what the rows of a table have to look like, and what happens when they don't.

Rules compile to SQL and are judged in one pass by the engine that reads the rows anyway (docs/adr/0008 says why no
validation library).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from noria.core.clock import duration, in_words
from noria.core.errors import UserMistake, nearest
from noria.core.sql import literal, quoted

Policy = Literal["reject", "quarantine", "warn"]
POLICIES = ("reject", "quarantine", "warn")
FIRST_YEAR, LAST_YEAR = 1900, 2200  # times beyond are mistakes, such as milliseconds read as seconds


@dataclass(frozen=True)
class Rule:
    """One rule on rows: `broken` is SQL that is true for a row that breaks it."""

    name: str
    reason: str
    broken: str
    policy: Policy


@dataclass(frozen=True)
class Contract:
    """Rules on rows and batches.

    not_null: columns that must have a value (the key and the times always must)
    between: closed ranges, column → (lowest, highest)
    one_of: allowed values, column → values
    unique: columns in which no value may stand twice in a batch
    sql: name → condition over the row's columns that is true for a good row
    types: column → SQL type that the source must deliver (always rejected otherwise)
    rows: least and most rows of a batch, None for no bound
    stale_after: the newest event of a batch may not be older than this when it is ingested
    policy: what happens, by rule: `"between:price"`, a whole kind (`"between"`) or the name of an sql rule, each `"reject"`
        the batch, `"quarantine"` the rows (the default for rows) or `"warn"` (the default for `rows` and `stale_after`)
    """

    not_null: Sequence[str] = ()
    between: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    one_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unique: Sequence[str] = ()
    sql: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[int | None, int | None] = (None, None)
    stale_after: str | None = None
    policy: Mapping[str, Policy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {"not_null", "between", "one_of", "unique", "rows", "stale_after", *self.sql}
        known |= {f"not_null:{c}" for c in self.not_null} | {f"unique:{c}" for c in self.unique}
        known |= {f"between:{c}" for c in self.between} | {f"one_of:{c}" for c in self.one_of}
        for name, policy in self.policy.items():
            if name not in known or policy not in POLICIES:
                raise UserMistake(
                    what=f"the contract has no rule {name!r} with policy {policy!r}{nearest(name, known)}",
                    where="nr.Contract(policy=…)",
                    mend=f"rules: {', '.join(sorted(known))}; policies: {', '.join(POLICIES)}",
                )

    def columns(self) -> set[str]:
        """Every column that a rule names (those in `sql` are found by the engine)."""
        return {*self.not_null, *self.between, *self.one_of, *self.unique, *self.types}

    def rules(self, always: Sequence[str], times: Sequence[str], floats: Sequence[str]) -> list[Rule]:
        """The rules on rows, in the order in which they are tried.

        always: columns that must have a value whatever the contract says; times: those of them that are times; floats: those
        that are floating-point numbers
        """
        found = [Rule("key", f"{c} is null", f"{quoted(c)} IS NULL", "quarantine") for c in always]
        found += [Rule("key", f"{c} is not a number", f"isnan({quoted(c)})", "quarantine") for c in floats]
        found += [Rule("times", f"{c} lies outside the years {FIRST_YEAR} to {LAST_YEAR}", _far(c), "quarantine") for c in times]
        for c in self.not_null:
            found.append(self._rule("not_null", c, f"{c} is null", f"{quoted(c)} IS NULL"))
        for c, (low, high) in self.between.items():
            found.append(self._rule("between", c, f"{c} is outside {low:g} to {high:g}", f"{quoted(c)} NOT BETWEEN {low!r} AND {high!r}"))
        for c, values in self.one_of.items():
            allowed = ", ".join(literal(v) for v in values)
            found.append(self._rule("one_of", c, f"{c} is not an allowed value", f"{quoted(c)} NOT IN ({allowed})"))
        for c in self.unique:
            found.append(self._rule("unique", c, f"{c} stands twice", f"count(*) OVER (PARTITION BY {quoted(c)}) > 1"))
        for name, condition in self.sql.items():
            found.append(Rule(name, f"not: {name}", f"NOT ({condition})", self.policy.get(name, "quarantine")))
        return found

    def _rule(self, kind: str, column: str, reason: str, broken: str) -> Rule:
        policy = self.policy.get(f"{kind}:{column}", self.policy.get(kind, "quarantine"))
        return Rule(f"{kind}:{column}", reason, broken, policy)

    def of_batch(self, rows: int, newest: datetime | None, now: datetime) -> list[tuple[str, Policy]]:
        """What a whole batch breaks: (reason, policy)."""
        broken: list[tuple[str, Policy]] = []
        least, most = self.rows
        if (least is not None and rows < least) or (most is not None and rows > most):
            bounds = f"{'any' if least is None else f'{least:,}'} to {'any' if most is None else f'{most:,}'}"
            broken.append((f"{rows:,} rows, expected {bounds}", self.policy.get("rows", "warn")))
        if self.stale_after is not None and (newest is None or now - newest > duration(self.stale_after)):
            age = "there is no event" if newest is None else f"the newest event is {in_words(now - newest)} old"
            broken.append((f"{age}, expected {self.stale_after} at most", self.policy.get("stale_after", "warn")))
        return broken


class UnknownColumn(UserMistake):
    """A declaration names a column that the data does not have."""

    code = "NR-203"

    def __init__(self, *, column: str, named_by: str, available: Sequence[str]) -> None:
        self.column, self.available = column, list(available)
        super().__init__(
            what=f"there is no column {column!r}{nearest(column, available)}",
            where=f"{named_by} names it; the columns are {', '.join(available)}",
            mend="correct the name in the declaration, or add the column to the data",
        )


class ContractBroken(UserMistake):
    """A batch breaks a rule whose policy is to reject it."""

    code = "NR-208"

    def __init__(self, *, table: str, reason: str, rows: int, example: str) -> None:
        self.table, self.reason, self.rows = table, reason, rows
        super().__init__(
            what=f"a batch for {table!r} breaks its contract: {reason}" + (f" ({rows:,} rows)" if rows else ""),
            where=example or f"table {table!r}",
            mend="mend the source, or give the rule another policy; nothing of the batch was stored",
        )


def _far(column: str) -> str:
    low, high = (f"TIMESTAMPTZ '{year}-01-01 00:00:00+00'" for year in (FIRST_YEAR, LAST_YEAR))
    return f"{quoted(column)} < {low} OR {quoted(column)} >= {high}"
