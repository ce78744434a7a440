"""Quantiles: an answer that says below which numbers an outcome will lie how often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from noria.core.errors import UserMistake
from noria.evaluation.metric import Floats, Metric, Part
from noria.evaluation.metrics.errors_of_numbers import ABSOLUTE_ERROR
from noria.evaluation.metrics.quantiles import coverage, crossings, interval_width, pinball_loss, quantile_bias
from noria.evaluation.metrics.rank_correlation import RANK_CORRELATION

MEDIAN = 0.5


class BadQuantiles(UserMistake):
    """Quantiles that are no chances in rising order."""

    code = "NR-253"

    def __init__(self, quantiles: object, why: str) -> None:
        self.quantiles = quantiles
        super().__init__(
            what=why, where=f"quantiles={quantiles!r}", fix="give each once, rising, between 0 and 1: quantiles=(0.1, 0.5, 0.9)"
        )


def require_quantiles(quantiles: Any) -> tuple[float, ...]:
    """The quantiles as numbers. Raises `BadQuantiles`."""
    if isinstance(quantiles, str) or not isinstance(quantiles, Sequence):
        raise BadQuantiles(quantiles, "quantiles are a list of numbers")
    for each in quantiles:
        if isinstance(each, bool) or not isinstance(each, int | float) or not 0 < each < 1:
            raise BadQuantiles(quantiles, f"the quantile {each!r} is not between 0 and 1")
    if any(after <= before for before, after in pairwise(quantiles)):
        raise BadQuantiles(quantiles, "quantiles that don't rise")
    return tuple(float(each) for each in quantiles)


@dataclass(frozen=True)
class Quantiles:
    """The quantiles of an answer, rising. unit: of outcomes, as people write it after a number"""

    levels: tuple[float, ...]
    unit: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(repr(level) for level in self.levels)

    @property
    def middle(self) -> int:
        """The place of the median, or of the quantile nearest to it."""
        return min(range(len(self.levels)), key=lambda place: abs(self.levels[place] - MEDIAN))

    @property
    def bias(self) -> Metric:
        return quantile_bias(self.levels)

    @property
    def discrimination(self) -> Metric:
        """How well their middle orders the rows."""
        return self._of_middle(RANK_CORRELATION)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The default first. Of a single quantile there is no interval, and without the median no error of it."""
        found = [self._in_unit(pinball_loss(self.levels))]
        if len(self.levels) > 1:
            found += [coverage(self.levels), self._in_unit(interval_width(self.levels)), crossings(self.levels)]
        found.append(self.bias)
        if MEDIAN in self.levels:
            found.append(self._in_unit(self._of_middle(ABSOLUTE_ERROR)))
        return (*found, self.discrimination)

    def _of_middle(self, metric: Metric) -> Metric:
        return replace(metric, part=Part((0, 1), (self.middle, self.middle + 1)))

    def _in_unit(self, metric: Metric) -> Metric:
        return replace(metric, unit=self.unit)

    def format(self, scores: Any, number: str) -> str:
        """A row's quantiles, as people read them. number: how one is written"""
        unit = f" {self.unit}" if self.unit else ""
        return ", ".join(f"{label}: {score:{number}}" for label, score in zip(self.labels, scores, strict=True)) + unit

    def format_bias(self, bias: float) -> str:
        share = f"{abs(bias) * 100:.1f} % of outcomes more than should be"
        return f"{'higher' if bias > 0 else 'lower'} than the quantiles ({share} lie {'above' if bias > 0 else 'below'} them)"

    def default(self, given: Any) -> tuple[float, ...] | None:
        """The scores of an answer that was declared beforehand: one number for all of them, or each by its label."""
        if isinstance(given, Mapping) and set(given) != set(self.labels):
            return None
        values = [given[label] if isinstance(given, Mapping) else given for label in self.labels]
        good = [float(v) for v in values if not isinstance(v, bool) and isinstance(v, int | float) and math.isfinite(v)]
        return tuple(good) if len(good) == len(values) else None


@dataclass(frozen=True)
class QuantileShares:
    """How often outcomes were below each quantile, on rows that the model had not seen."""

    levels: tuple[float, ...]
    shares: tuple[float, ...]
    crossing: float

    @staticmethod
    def of(quantiles: Quantiles, outcomes: Floats, scores: Floats) -> QuantileShares:
        """Of outcomes `(rows,)` and scores `(rows, quantiles)`."""
        shares = (outcomes[:, None] <= scores).mean(axis=0).tolist()
        return QuantileShares(quantiles.levels, tuple(shares), float((np.diff(scores, axis=1) < 0).any(axis=1).mean()))

    @property
    def summary(self) -> str:
        told = ", ".join(f"{level:g}: {share:.1%}" for level, share in zip(self.levels, self.shares, strict=True))
        crossing = f" In {self.crossing:.1%} of rows quantiles cross." if self.crossing else ""
        return f"Share of outcomes at or below each quantile: {told}.{crossing}"

    def to_dict(self) -> dict[str, float]:
        return {f"below_{level!r}": share for level, share in zip(self.levels, self.shares, strict=True)} | {"crossing": self.crossing}
