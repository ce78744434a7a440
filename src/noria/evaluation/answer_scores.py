"""Scores of single answers that need no outcome: by these two models are compared on one question, of which only one of them was shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Slopes = Callable[[float], tuple[float, float]]


def exact(level: float) -> tuple[float, float]:  # noqa: ARG001
    """The slope of what is counted, and not judged: none of a difference is lost."""
    return 1.0, 1.0


@dataclass(frozen=True)
class ShownAnswer:
    """One logged answer. asked, said: the inputs and outputs of its row, by name; seconds: that it took"""

    asked: Mapping[str, Any]
    said: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class AnswerScore:
    """A figure of one answer.

    of: of an answer; words where it can't be said, though it should be: why, such as "the judge timed out"
    best: which value is; bounds: between which it lies; judged: whether a judge gives it, who may err
    slopes: at a level, by how little and how much the score rises where people's rises by 1: a judge who errs shrinks differences
    lacking: why nothing may be decided by it; empty where something may
    """

    name: str
    of: Callable[[ShownAnswer], float | str]
    best: Literal["highest", "lowest"] = "highest"
    bounds: tuple[float, float] = (0.0, 1.0)
    unit: str = ""
    judged: bool = False
    slopes: Slopes = exact
    lacking: str = ""

    @property
    def bounded(self) -> bool:
        """Whether it has ends on both sides."""
        return all(map(math.isfinite, self.bounds))

    def gain(self, before: float, after: float) -> float:
        """By how much `after` is better."""
        return after - before if self.best == "highest" else before - after
