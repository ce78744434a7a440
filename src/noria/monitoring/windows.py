"""Windows: one stretch of an endpoint's traffic, reduced to what detectors need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.metrics import ROW_LOSSES, auc
from noria.monitoring.monitor import AUC, CALIBRATION
from noria.profiles.profile import MAX_SLICES

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Performance:
    """A window's predictions against their outcomes. `missing` predictions have none, though it is due; `auc` is None for one class.

    slices: the same of parts of the rows, by name: a feature and its value, such as `origin_code=2`
    """

    rows: int
    missing: int
    positives: float
    prediction: float
    losses: dict[str, float]
    auc: float | None = None
    slices: Mapping[str, Performance] = field(default_factory=dict)

    def value(self, metric: str) -> float:
        """The window's value of a metric: a mean loss, for calibration positives minus predictions; NaN where there is none."""
        if metric == CALIBRATION:
            return self.positives - self.prediction
        found = self.auc if metric == AUC else self.losses.get(metric)
        return float("nan") if found is None else found

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "missing": self.missing,
            "positives": self.positives if self.rows else None,
            "prediction": self.prediction if self.rows else None,
            "losses": self.losses,
            "auc": self.auc,
            **({"slices": {name: each.to_dict() for name, each in self.slices.items()}} if self.slices else {}),
        }

    @staticmethod
    def of(found: Mapping[str, Any]) -> Performance:
        """The performance that `to_dict` gave."""
        nothing = {} if found["rows"] else {"positives": float("nan"), "prediction": float("nan")}
        slices = {name: Performance.of(each) for name, each in found.get("slices", {}).items()}
        return Performance(**{**found, **nothing, "slices": slices})


@dataclass(frozen=True)
class Window:
    """One bundle's window: `role` is champion or challenger; `statistics` is `(columns, 10)` in the profile's order.

    expected: of each metric, the mean loss to be expected of the scores, and its standard deviation
    """

    start: datetime
    bundle: str
    role: str
    rows: int
    statistics: Floats | None
    performance: Performance | None
    expected: Mapping[str, tuple[float, float]] | None = None


def measure(labels: Floats, predictions: Floats, cut_by: Mapping[str, NDArray[Any]] | None = None) -> Performance:
    """The performance of one window; labels `(rows,)` are NaN where the outcome is not known. cut_by: features whose values make slices."""
    slices = {}
    for name, values in (cut_by or {}).items():
        known, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        for value in known[np.argsort(-counts, kind="stable")[:MAX_SLICES]].tolist():
            own = values == value
            slices[f"{name}={value:g}"] = measure(labels[own], predictions[own])
    return replace(_measure(labels, predictions), slices=slices)


def _measure(labels: Floats, predictions: Floats) -> Performance:
    known = ~np.isnan(labels)
    y, p = labels[known], predictions[known]
    if len(y) == 0:
        return Performance(0, len(labels), float("nan"), float("nan"), {})
    losses = {name: float(loss(y, p).mean()) for name, loss in ROW_LOSSES.items()}
    ranked = auc(y, p)
    return Performance(len(y), int((~known).sum()), float(y.mean()), float(p.mean()), losses, None if np.isnan(ranked) else ranked)


def by_window(
    labels: Floats, predictions: Floats, window_of: NDArray[np.int64], cut_by: Mapping[str, NDArray[Any]] | None = None
) -> list[Performance]:
    """The performance of each window of a longer period, in time order."""
    found = []
    for window in np.unique(window_of):
        own = window_of == window
        found.append(measure(labels[own], predictions[own], {name: values[own] for name, values in (cut_by or {}).items()}))
    return found
