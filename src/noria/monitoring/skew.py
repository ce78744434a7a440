"""The skew monitor: were the features that the last window was served those that the definitions give?

Skew is no statistic: a value that differs was served wrongly. The limit is a share of one view's values, since a store that
is brought forward in ticks may lag for a moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.features.skew import Skew


@dataclass(frozen=True)
class SkewReading:
    """The skew of the last closed window against the largest share of values that may differ."""

    limit: float
    skew: Skew | None

    @property
    def alarming(self) -> bool:
        worst = self.skew.worst if self.skew is not None else None
        return worst is not None and worst.share > self.limit

    @property
    def subject(self) -> str:
        """The view with the largest share of differing values."""
        worst = self.skew.worst if self.skew is not None else None
        return "" if worst is None else worst.view or "request"

    @property
    def health(self) -> Health:
        if self.skew is None or self.skew.rows == 0:
            return Unknown("no prediction of the last window could be recomputed")
        worst = self.skew.worst
        if worst is not None and worst.share > self.limit:
            return Unhealthy(f"{worst.share:.1%} of {worst.feature} ({self.subject}) differ from their offline values")
        return Healthy({"rows": self.skew.rows, "largest share": 0.0 if worst is None else worst.share, "limit": self.limit})

    def to_dict(self) -> dict[str, Any]:
        """The evidence a finding is stored with."""
        return {"limit": self.limit, "rows": self.skew.rows if self.skew else 0, "views": self.skew.by_view() if self.skew else {}}
