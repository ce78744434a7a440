"""The mean of bounded values, tested and bounded by bets, which may be looked at after every value.

Who bets against "the mean is at most m" wins on values above m. If it is, no way of betting is expected to win, and the chance that its
capital ever reaches 1/α is at most α (Ville 1939): Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (2024),
with a fixed share of what may be lost staked on each value, and the capital of several such shares averaged. It holds for any distribution
between the ends, and for values that depend on those before, as long as each is expected to be at most m.

Most differences of two versions of one application are nought, on which bounds that go by an estimated variance close in slowly. That
values between −1 and 1 are not worse than −0.1 in the mean is shown here by 38 noughts, and by `bounded_sequence` by 93.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STAKES = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95])  # of what may be lost on one value
HALVINGS = 16  # of the range, in which a bound is looked for


def log_capital(values: Floats, low: float, mean: float) -> float:
    """The logarithm of the most that bets against "the mean is at most `mean`" ever had, from 1; values `(n,)` are `low` or more.

    >>> round(float(np.exp(log_capital(np.full(40, 0.0), -1.0, -0.1))), 1)
    12.5
    """
    given = np.asarray(values, np.float64)
    if not len(given) or mean <= low:
        return 0.0 if not len(given) or mean == low else math.inf
    won = (given - mean) / (mean - low)
    paths = np.cumsum(np.log1p(np.outer(STAKES, won)), axis=1)
    most = paths.max(axis=0)
    return max(0.0, float((most + np.log(np.exp(paths - most).mean(axis=0))).max()))


def shown_above(values: Floats, low: float, mean: float, alpha: float) -> bool:
    """Whether it is shown that the mean of values `(n,)` lies above `mean`: wrongly with a chance of `alpha` at most, over all looks."""
    return log_capital(values, low, mean) >= math.log(1 / alpha)


def lower_bound(values: Floats, low: float, high: float, alpha: float) -> float:
    """What the mean of values between `low` and `high` is at least, at level 1 − alpha, over all looks at once."""
    under, over = low, high
    for _ in range(HALVINGS):
        middle = (under + over) / 2
        under, over = (middle, over) if shown_above(values, low, middle, alpha) else (under, middle)
    return under


def upper_bound(values: Floats, low: float, high: float, alpha: float) -> float:
    """What it is at most."""
    return -lower_bound(-np.asarray(values, np.float64), -high, -low, alpha)
