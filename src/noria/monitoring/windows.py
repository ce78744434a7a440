"""Windows: one stretch of an endpoint's traffic, reduced to what detectors need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.metrics import ROW_LOSSES
from noria.monitoring.monitor import CALIBRATION

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Performance:
    """A window's predictions against their outcomes. `missing` predictions have none, though it is due."""

    rows: int
    missing: int
    positives: float
    prediction: float
    losses: dict[str, float]

    def value(self, metric: str) -> float:
        """The window's value of a metric: a mean loss, or for calibration positives minus predictions."""
        return self.positives - self.prediction if metric == CALIBRATION else self.losses[metric]

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "missing": self.missing,
            "positives": self.positives,
            "prediction": self.prediction,
            "losses": self.losses,
        }


@dataclass(frozen=True)
class Window:
    """One bundle's window: `role` is champion or challenger; `statistics` is `(columns, 3)` in the profile's order."""

    start: datetime
    bundle: str
    role: str
    rows: int
    statistics: Floats | None
    performance: Performance | None


def measure(labels: Floats, predictions: Floats) -> Performance:
    """The performance of one window; labels `(rows,)` are NaN where the outcome is not known."""
    known = ~np.isnan(labels)
    y, p = labels[known], predictions[known]
    if len(y) == 0:
        return Performance(0, len(labels), float("nan"), float("nan"), {})
    losses = {name: float(loss(y, p).mean()) for name, loss in ROW_LOSSES.items()}
    return Performance(len(y), int((~known).sum()), float(y.mean()), float(p.mean()), losses)


def by_window(labels: Floats, predictions: Floats, window_of: NDArray[np.int64]) -> list[Performance]:
    """The performance of each window of a longer period, in time order."""
    return [measure(labels[window_of == w], predictions[window_of == w]) for w in np.unique(window_of)]
