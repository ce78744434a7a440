"""Contracts: what each row of a table has to look like. A row that breaks a rule is quarantined with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from noria.core.errors import UserMistake, nearest
from noria.core.sql import literal, quoted


@dataclass(frozen=True)
class Contract:
    """Rules on rows.

    not_null: columns that must have a value (the key and the times always must)
    between: closed ranges, column → (lowest, highest)
    one_of: allowed values, column → values
    """

    not_null: Sequence[str] = ()
    between: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    one_of: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def columns(self) -> set[str]:
        """Every column that a rule names."""
        return {*self.not_null, *self.between, *self.one_of}

    def rules(self, always: Sequence[str]) -> list[tuple[str, str]]:
        """(reason, SQL that is true for a row that breaks the rule), in the order in which they are tried."""
        found = [(f"{c} is null", f"{quoted(c)} IS NULL") for c in dict.fromkeys((*always, *self.not_null))]
        for c, (low, high) in self.between.items():
            found.append((f"{c} is outside {low:g} to {high:g}", f"{quoted(c)} NOT BETWEEN {low!r} AND {high!r}"))
        for c, values in self.one_of.items():
            allowed = ", ".join(literal(v) for v in values)
            found.append((f"{c} is not an allowed value", f"{quoted(c)} NOT IN ({allowed})"))
        return found


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
