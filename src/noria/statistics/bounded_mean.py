"""The mean of a few bounded values, with bounds that hold where most values are equal and a few are extreme.

That is how two versions of one application differ: on most questions not at all. There a t-test errs by much, in the worst case at every
sample
size: of twenty questions on which nothing changed, it is certain that nothing ever does. Here `ln(1/alpha) / 2` values are imagined at the
end that would change the conclusion, as Agresti & Min ("Simple improved confidence intervals for comparing matched proportions", Statistics
in Medicine 2005) add half a pair to each cell. With that the level was kept in simulations of the worst distributions that were tried (a
few extreme losses among none, among small gains, and among as large gains, from 20 to 320 values; `benchmarks/llm/aa.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BoundedMean:
    """A mean and its bounds, each of which holds with 1 − alpha by itself. count: of the values"""

    mean: float
    lower: float
    upper: float
    count: int

    def to_dict(self) -> dict[str, float]:
        return {"mean": self.mean, "lower": self.lower, "upper": self.upper, "count": self.count}


def bounded_mean(values: Floats, low: float, high: float, alpha: float) -> BoundedMean:
    """The mean of independent values `(n,)` between `low` and `high`. Of none, NaN between the ends.

    Raises ValueError for values beyond the ends, which would break what is promised.
    """
    given = np.asarray(values, np.float64)
    if not len(given):
        return BoundedMean(math.nan, low, high, 0)
    if not (given.min() >= low - 1e-9 and given.max() <= high + 1e-9):
        raise ValueError(f"values from {given.min():g} to {given.max():g} do not lie between {low:g} and {high:g}")
    return BoundedMean(
        float(given.mean()),
        max(low, _lower(given, low, alpha)),
        min(high, -_lower(-given, -high, alpha)),
        len(given),
    )


def free_mean(values: Floats, alpha: float) -> BoundedMean:
    """The same of values without ends, by Student's t: right for many values whose tails are not heavy."""
    from scipy.special import stdtrit

    given = np.asarray(values, np.float64)
    if len(given) < 2:
        return BoundedMean(float(given.mean()) if len(given) else math.nan, -math.inf, math.inf, len(given))
    half = float(stdtrit(len(given) - 1, 1 - alpha)) * float(given.std(ddof=1)) / math.sqrt(len(given))
    return BoundedMean(float(given.mean()), float(given.mean()) - half, float(given.mean()) + half, len(given))


def needed(spread: float, by: float, low: float, alpha: float, power: float) -> int:
    """How many values show with this power that a mean of zero lies above −by, where their standard deviation is `spread`."""
    from scipy.special import ndtri

    z = float(ndtri(1 - alpha)) + float(ndtri(power))
    imagined = math.log(1 / alpha) / 2

    def enough(count: int) -> bool:
        shift = imagined * -low / (count + imagined)
        deviation = math.sqrt((count * spread**2 + imagined * low**2) / (count + imagined))
        return shift + z * deviation / math.sqrt(count + imagined) <= by

    most = 1
    while not enough(most):
        most *= 2
        if most > 10**8:
            return most
    least = most // 2
    while most - least > 1:
        middle = (most + least) // 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return most


def _lower(values: Floats, low: float, alpha: float) -> float:
    """The lower bound, with the imagined values at the lower end."""
    from scipy.special import stdtrit

    count, imagined = len(values), math.log(1 / alpha) / 2
    if count < 2:
        return low
    whole = count + imagined
    mean = (float(values.sum()) + imagined * low) / whole
    squares = float(((values - mean) ** 2).sum()) + imagined * (low - mean) ** 2
    return mean - float(stdtrit(count - 1, 1 - alpha)) * math.sqrt(squares / (whole - 1) / whole)
