"""Values that resemble the ones before them: how far to trust what few of them say of it, and what it does to the error of their mean."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value", float, NDArray[np.float64])

CERTAIN = 1.64  # standard errors of 1/√n: one-sided, 95 %
MAX_LAG1 = 0.9


def unbiased(lag1: Value, count: int) -> Value:
    """An autocorrelation at lag 1 that was estimated from so many values, with Kendall's (1954) correction of its small-sample bias."""
    return lag1 + (1 + 3 * lag1) / count


def widening(lag1: Value) -> Value:
    """How many times larger the error of a mean is than were the values independent: √((1 + φ)/(1 − φ))."""
    found: Value = np.sqrt((1 + lag1) / (1 - lag1))
    return found
