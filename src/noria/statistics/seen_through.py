"""A share of good answers, seen through a judge that errs: from what it says of answers on which people have given their word.

On average a judge says `good` of answers that people call good, and `bad` of the others: of a share h of good ones it says
h·good + (1 − h)·bad, which is solved for h (Rogan & Gladen, "Estimating prevalence from the results of a screening test", American Journal
of Epidemiology 1978). It is taken to err in the same way on answers that nobody has labelled, of which more or fewer may be good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.statistics.bounded_mean import BoundedMean, bounded_mean

Floats = NDArray[np.float64]

MIN_EACH = 10  # labels of good answers, and of bad ones
MIN_APART = 0.2  # what the judge says of the two, below which it says too little


@dataclass(frozen=True)
class JudgeErrors:
    """What a judge says of answers that people call good, and of others; both pairs of bounds hold together with 1 − alpha."""

    good: BoundedMean
    bad: BoundedMean
    alpha: float

    @property
    def lacking(self) -> str:
        """Why nothing can be seen through it; empty where something can."""
        if min(self.good.count, self.bad.count) < MIN_EACH:
            return f"people called {self.good.count} of its labelled answers good and {self.bad.count} bad; {MIN_EACH} of each are needed"
        if self.good.lower - self.bad.upper < MIN_APART:
            apart = self.good.lower - self.bad.upper
            return f"it may tell good answers from bad ones by {max(apart, 0):.2f} only; {MIN_APART} is needed"
        return ""

    def least_said(self, share: float) -> float:
        """The least mean that it may say of answers of which at least this share is good."""
        return share * self.good.lower + (1 - share) * self.bad.lower

    def share(self, lower: float, mean: float, upper: float) -> tuple[float, float, float]:
        """The share of good answers, with its bounds, by what the judge says on average, with bounds."""
        found = (
            (lower - self.bad.upper) / (self.good.upper - self.bad.upper),
            (mean - self.bad.mean) / (self.good.mean - self.bad.mean),
            (upper - self.bad.lower) / (self.good.lower - self.bad.lower),
        )
        low, middle, high = (float(np.clip(each, 0.0, 1.0)) for each in found)
        return low, middle, high


def judge_errors(good: Floats, bad: Floats, alpha: float) -> JudgeErrors:
    """The errors of a judge from its scores of answers that people call good `(n,)`, and of those that they don't `(m,)`."""
    return JudgeErrors(bounded_mean(good, 0.0, 1.0, alpha / 4), bounded_mean(bad, 0.0, 1.0, alpha / 4), alpha)
