"""A mean of rows that come in clusters, such as those of one day: how far it may lie from the truth.

Rows of one day share its weather, its outage, its campaign. Intervals that take them for independent are far too narrow, so clusters are
the units (Liang & Zeger, "Longitudinal data analysis using generalized linear models", 1986; Cameron & Miller, "A practitioner's guide to
cluster-robust inference", 2015, section II).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MIN_CLUSTERS = 5  # below this, nothing is said


def mean_of_clusters(values: Floats, cluster: NDArray[np.int64], *, level: float = 0.95) -> tuple[float, float, float] | None:
    """The mean of `values` `(rows,)` and the bounds around it, by the clusters that rows belong to `(rows,)`; None with fewer than
    `MIN_CLUSTERS` of them. The bounds are those of Student's t with a degree of freedom fewer than there are clusters."""
    numbers, place = np.unique(cluster, return_inverse=True)
    count = len(numbers)
    if count < MIN_CLUSTERS:
        return None
    from scipy import stats

    mean = float(values.mean())
    apart = np.bincount(place, weights=values - mean, minlength=count)
    error = math.sqrt(count / (count - 1) * float((apart**2).sum())) / len(values)
    reach = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    return mean, mean - reach, mean + reach
