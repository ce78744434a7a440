"""Windows: one stretch of an endpoint's traffic, reduced to what detectors need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from noria.evaluation.performance import Performance


@dataclass(frozen=True)
class Window:
    """One bundle's window: `role` is champion or challenger; `statistics` is `(columns, 10)` in the profile's order.

    expected: of each metric, the mean loss to be expected of the scores, and its standard deviation
    """

    start: datetime
    bundle: str
    role: str
    rows: int
    statistics: NDArray[np.float64] | None
    performance: Performance | None
    expected: Mapping[str, tuple[float, float]] | None = None
