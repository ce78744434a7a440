"""Metrics: a figure of how well scores agree with outcomes, and how that figure is to be read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake, nearest
from noria.core.fingerprint import fingerprint
from noria.core.ids import short
from noria.features.outcomes import known_rows

Floats = NDArray[np.float64]
Over = Literal["rows", "groups", "set", "means"]
Best = Literal["lowest", "highest", "zero"]

AVERAGED: tuple[Over, ...] = ("rows", "groups")
Columns = tuple[int, int]  # from the first to before the last
WORSE: dict[Best, tuple[float, ...]] = {"lowest": (1.0,), "highest": (-1.0,), "zero": (1.0, -1.0)}


class UnknownMetric(UserMistake):
    """A declaration names a metric that does not exist, or that can't be used there."""

    code = "NR-320"

    def __init__(self, metric: Metric | str, known: Iterable[str], *, kind: str, where: str) -> None:
        self.name, self.known = str(metric), list(known)
        added = ", or add it to the task, such as nr.Binary(own=[…])" if isinstance(metric, Metric) else ""
        super().__init__(
            what=f"{self.name!r} is not {kind}{nearest(self.name, self.known)}",
            where=where,
            fix=f"use one of {', '.join(self.known)}{added}",
        )


class BadMetric(UserMistake):
    """A metric of one's own can't be used."""

    code = "NR-322"

    def __init__(self, name: str, why: str, *, fix: str) -> None:
        self.name = name
        super().__init__(what=f"the metric {name!r} {why}", where="nr.Metric", fix=fix)


@dataclass(frozen=True)
class Part:
    """The columns of outcomes `(rows, …)` and of scores `(rows, …)` that are one output's. A single column is read as `(rows,)`."""

    outcomes: Columns
    scores: Columns

    def read(self, outcomes: Any, scores: Any) -> tuple[Any, Any]:
        """What is this output's of both."""
        return self.of_outcomes(outcomes), scores if scores.ndim == 1 else _columns(scores, self.scores)

    def of_outcomes(self, outcomes: Any) -> Any:
        """What is this output's of outcomes; of one number a row it is all of them."""
        return outcomes if outcomes.ndim == 1 else _columns(outcomes, self.outcomes)


def _columns(values: Any, columns: Columns) -> Any:
    """Of numbers `(…, numbers)`, these; of a single one `(…,)`."""
    first, end = columns
    return values[..., first] if end - first == 1 else values[..., first:end]


@dataclass(frozen=True, repr=False)
class Metric:
    """A figure of how well scores agree with outcomes.

    name: as declarations and stored figures have it; title: as people read it, the name if left out
    of: from outcomes and scores, `(rows,)` each (`(rows, outputs)` where a task has several outputs), to what `over` says
    over: "rows": `of` gives the loss of each row, `(rows,)`, and the figure is their mean; "groups": it gives the loss of the rows of one
        group, such as a query's, and the figure is the mean over groups, without those of which it is NaN since their outcomes say
        nothing; "set": it gives the figure itself, such as an AUC; "means": it gives the figure from the mean outcome and the mean score
        alone, such as a bias
    at_once: of a metric over groups, whether `of` is given the rows of all groups, with the numbers of these `(rows,)` as its third
        argument, and gives `(groups,)`, in the order of their numbers: much faster where there are many
    best: which value is best: "lowest" (a loss), "highest" or "zero" (a bias)
    bounds: between which the figure lies; unit: of its values, as people write it after a number, such as "min"
    part: the output that it is of, where a task has several

    Only a figure that is a mean over rows or groups can be compared in pairs; gates and rollouts need such a one.

    >>> Metric("absolute_error", lambda outcomes, scores: abs(outcomes - scores), unit="min").format(12.34567)
    '12.3457 min'
    """

    name: str
    of: Callable[..., Any]
    over: Over = "rows"
    best: Best = "lowest"
    bounds: tuple[float, float] = (0.0, math.inf)
    title: str = ""
    unit: str = ""
    part: Part | None = None
    at_once: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.of, FunctionType):
            raise BadMetric(self.name, f"is computed by a {type(self.of).__name__}", fix="give a function: a run is known by its code")
        object.__setattr__(self, "title", self.title or self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        """The same in every process, and another for other code: a run's id depends on it."""
        return f"Metric({self.name!r}, {short(fingerprint(self.of))})"

    @property
    def heading(self) -> str:
        """Its title, with the unit, over figures without."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def averaged(self) -> bool:
        """Whether it is a mean over rows or groups, each with a loss of its own."""
        return self.over in AVERAGED

    @property
    def worse(self) -> tuple[float, ...]:
        """The signs of changes for the worse: 1 where it grows, −1 where it falls, both for one that is best at zero."""
        return WORSE[self.best]

    @property
    def bounded(self) -> bool:
        """Whether it has bounds on both sides, so that no row can make a window's value as large as it likes."""
        return all(map(math.isfinite, self.bounds))

    def known(self, outcomes: Floats) -> NDArray[np.bool_]:
        """The rows of which it can be computed: those whose outcome, or as much of it as the metric is of, is known `(rows,)`."""
        return known_rows(outcomes if self.part is None else self.part.of_outcomes(outcomes))

    def of_means(self, outcome: Any, score: Any) -> float:
        """The figure from the mean outcome and the mean score, numbers or `(numbers,)`, of a metric over means."""
        if self.part is not None:
            outcome, score = (_columns(np.atleast_1d(mean), self.part.scores) for mean in (outcome, score))
        return float(self.of(outcome, score))

    def losses(self, outcomes: Floats, scores: Floats, groups: NDArray[np.int64] | None = None) -> Floats:
        """The loss of each row `(rows,)`, or of each group `(groups,)` in the order of their numbers, for a metric that is `averaged`. Of a
        group that says nothing, it is NaN."""
        if self.part is not None:
            outcomes, scores = self.part.read(outcomes, scores)
        if self.over == "rows":
            return np.asarray(self.of(outcomes, scores), np.float64)
        assert self.over == "groups", f"{self.name} is of all rows together"
        assert groups is not None, f"{self.name} needs to know which rows belong together"
        if self.at_once:
            return np.asarray(self.of(outcomes, scores, groups), np.float64)
        return np.array([self.of(outcomes[rows], scores[rows]) for rows in _rows_of_groups(groups)], np.float64)

    def says(self, *losses: Floats) -> NDArray[np.bool_]:
        """What counts in a mean of these losses `(rows,)` or `(groups,)`: all rows, and the groups of which none of them is NaN."""
        known = np.ones(len(losses[0]), np.bool_)
        for each in losses if self.over == "groups" else ():
            known &= ~np.isnan(each)
        return known

    def mean(self, losses: Floats) -> float:
        """The mean of losses; NaN where nothing counts in it."""
        counted = losses[self.says(losses)]
        return float(counted.mean()) if len(counted) else math.nan

    def value(self, outcomes: Floats, scores: Floats, groups: NDArray[np.int64] | None = None) -> float:
        """The figure of these rows; NaN where there is none."""
        if len(outcomes) == 0:
            return math.nan
        if self.averaged:
            return self.mean(self.losses(outcomes, scores, groups))
        if self.over == "means":
            return self.of_means(outcomes.mean(axis=0), scores.mean(axis=0))
        return float(self.of(*((outcomes, scores) if self.part is None else self.part.read(outcomes, scores))))

    def improvement(self, before: Any, after: Any) -> Any:
        """By how much `after` is better than `before`: numbers, or arrays of them."""
        if self.best == "zero":
            return abs(before) - abs(after)
        return before - after if self.best == "lowest" else after - before

    def tolerated(self, baseline: float, by: float) -> list[float]:
        """How far it may get from its baseline, rising: two figures for one that gets worse both ways."""
        return sorted(baseline + sign * by for sign in self.worse)

    def format(self, value: float, *, digits: int = 4, sign: bool = False) -> str:
        """A value, or with its sign a change, as people read it."""
        return f"{value:{'+' if sign else ''}.{digits}f}{' ' * bool(self.unit)}{self.unit}"


def _rows_of_groups(groups: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The places of each group's rows, in their order, by the groups' numbers."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups.min(initial=0) - 1))
    return np.split(order, starts[1:]) if len(groups) else []
