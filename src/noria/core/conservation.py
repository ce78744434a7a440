"""Conservation: what came in went somewhere. Every stage states its sum, and a sum that does not add up stops it."""

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
            what=f"{balance.stage}: {balance.came_in:,} rows came in, {balance.accounted:,} are accounted for",
            where=", ".join(f"{name} {count:,}" for name, count in balance.went.items()),
            mend="nothing was stored; please report this with the data that led here",
        )


@dataclass(frozen=True)
class Balance:
    """The sum of one stage: `came_in` rows, and where each of them `went`."""

    stage: str
    came_in: int
    went: Mapping[str, int]

    @property
    def accounted(self) -> int:
        return sum(self.went.values())

    @property
    def holds(self) -> bool:
        return self.came_in == self.accounted

    def checked(self) -> Balance:
        """This balance, or `RowsLost`."""
        if not self.holds:
            raise RowsLost(self)
        return self

    def to_dict(self) -> dict[str, Any]:
        return {"stage": self.stage, "came_in": self.came_in, "went": dict(self.went), "holds": self.holds}
