"""The drift monitor: do the champion's inputs still look like those it was trained on?

Three signed statistics per column and window are scored against how they varied from window to window in the reference
period, with an effect floor, and accumulate as e-detectors, whose mean over columns alarms at the level that the budget of
false alarms implies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.data.profile import STATISTICS, Profile
from noria.monitoring.windows import Window
from noria.statistics.e_detector import drift_scores, learn_spread, shiryaev_roberts

Floats = NDArray[np.float64]

LEAST_REFERENCE = 20  # windows; below, the reference's own spread is not known
FLOORS = {"mean_rank": 0.05, "spread": 0.03, "null_share": 0.02}  # smaller shifts are trivial, however certain


@dataclass(frozen=True)
class DriftReading:
    """Evidence per window and column `(windows, columns)`, pooled `(windows,)`, against the level of alarm.

    shift: each column's mean rank minus the reference's `(windows, columns)`, from −0.5 to 0.5
    """

    columns: tuple[str, ...]
    evidence: Floats
    pooled: Floats
    shift: Floats
    level: float
    learning: bool

    @property
    def alarmed_at(self) -> int | None:
        over = np.flatnonzero(self.pooled >= self.level)
        return int(over[0]) if len(over) else None

    @property
    def alarming(self) -> bool:
        """Whether the evidence stands at or above the level now."""
        return len(self.pooled) > 0 and bool(self.pooled[-1] >= self.level)

    def leading(self, window: int) -> list[tuple[str, float]]:
        """The columns with most evidence at a window, with their shifts, the strongest first."""
        order = np.argsort(-self.evidence[window], kind="stable")[:5]
        return [(self.columns[i], float(self.shift[window, i])) for i in order]

    @property
    def health(self) -> Health:
        if self.learning:
            return Unknown(f"the reference has under {LEAST_REFERENCE} windows to learn its spread from")
        if len(self.pooled) == 0:
            return Unknown("no window of traffic to compare yet")
        if self.alarming:
            return Unhealthy(f"inputs have moved; most of all {self.leading(-1)[0][0]}")
        return Healthy({"windows": len(self.pooled), "evidence": float(self.pooled[-1]), "level": self.level})

    def to_dict(self, window: int) -> dict[str, Any]:
        return {
            "columns": {name: round(shift, 4) for name, shift in self.leading(window)},
            "evidence": float(self.pooled[window]),
            "level": self.level,
        }


def read_drift(reference: Profile, since: Sequence[Window], level: float) -> DriftReading:
    """Judge the windows `since` the champion went live against its reference profile."""
    names = reference.names
    learning = len(reference.windows) < LEAST_REFERENCE
    seen = [w.statistics for w in since if w.statistics is not None]
    if learning or not seen:
        nothing = np.empty((0, len(names)))
        return DriftReading(names, nothing, np.empty(0), nothing, level, learning)
    values = np.array(seen)
    flat = (len(values), len(names) * len(STATISTICS))
    past = learn_spread(reference.windows.reshape(len(reference.windows), -1))
    floor = np.tile([FLOORS[s] for s in STATISTICS], len(names))
    evidence = shiryaev_roberts(drift_scores(values.reshape(flat), past, floor)).reshape(values.shape).mean(axis=2)
    shift = values[:, :, 0] - past.mean.reshape(len(names), len(STATISTICS))[:, 0]
    return DriftReading(names, evidence, evidence.mean(axis=1), shift, level, learning)
