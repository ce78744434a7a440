"""One promised figure and how it prints: `PASS|SHORT name value unit (goal …)`."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass

COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "=": operator.eq}


@dataclass(frozen=True)
class Figure:
    """A measured value against its goal."""

    name: str
    value: float
    unit: str
    sign: str
    goal: float

    @property
    def holds(self) -> bool:
        return bool(COMPARE[self.sign](self.value, self.goal))

    def __str__(self) -> str:
        return f"{'PASS' if self.holds else 'SHORT'} {self.name} {self.value:.6g} {self.unit} (goal {self.sign} {self.goal:g})"


Proof = Iterator[Figure | str]  # a text is a remark, printed as it is and not counted


def most_a_year(events: int, years: float) -> float:
    """How many a year there may be, where so many were counted: the upper 95 % bound of a Poisson rate (Garwood 1936)."""
    from scipy.stats import chi2

    return float(chi2.ppf(0.95, 2 * events + 2) / 2 / years)
