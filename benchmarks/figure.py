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
