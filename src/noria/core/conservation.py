"""Conservation: every row that comes in is accounted for. Every stage states its sum, and a sum that does not add up stops it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noria.core.errors import OurBug


class RowsLost(OurBug):
    """The rows that left a stage are not the rows that entered it."""

    code = "NR-701"

    def __init__(self, balance: Balance) -> None:
        self.balance = balance
        super().__init__(
            what=f"{balance.stage}: {balance.rows_in:,} rows in, {balance.accounted:,} accounted for",
            where=", ".join(f"{name} {count:,}" for name, count in balance.rows_out.items()),
            fix="nothing was stored; please report this with the data that led here",
        )


@dataclass(frozen=True)
class Balance:
    """The sum of one stage: how many rows came in, and how many went where."""

    stage: str
    rows_in: int
    rows_out: Mapping[str, int]

    @property
    def accounted(self) -> int:
        return sum(self.rows_out.values())

    @property
    def holds(self) -> bool:
        return self.rows_in == self.accounted

    def checked(self) -> Balance:
        """This balance, or `RowsLost`."""
        if not self.holds:
            raise RowsLost(self)
        return self

    def to_dict(self) -> dict[str, Any]:
        return {"stage": self.stage, "rows_in": self.rows_in, "rows_out": dict(self.rows_out), "holds": self.holds}
