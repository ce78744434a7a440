"""A bank of streams with known truth: windows of rows in which nothing is wrong, and what may go wrong with them.

The last column has eight categories, coded 0 to 7; the others are numbers.

A stream is drawn window by window, so that years of it need no memory. Windows are days, or parts of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Generator = np.random.Generator

ROWS, COLUMNS = 500, 10
NOISE = 0.03  # how far a column's level moves from day to day while nothing is wrong, in standard deviations
WEEK = np.array([0.0, 0.05, 0.1, 0.05, 0.0, -0.6, -0.5])  # a business's week
HOURS, WEEKEND = 0.6, (5, 6)  # how far levels swing in a day, and when half as far
CATEGORY_EDGES = np.array([-0.5, 0.2, 0.6, 1.0, 1.3, 1.6, 2.0])
NEW_YEAR, HOLIDAYS = 365, (0, 45, 121, 144, 185, 276, 358, 359)


@dataclass
class Stream:
    """One stream of one kind. `window()` gives the next window's rows `(rows, columns)`. day: its number; a_day: how many a day has"""

    kind: str
    rng: Generator
    rows: int = ROWS
    columns: int = COLUMNS
    day: int = 0
    a_day: int = 1
    level: Floats = field(default_factory=lambda: np.zeros(0))

    def window(self) -> Floats:
        x = self._values(self._volume()) + self._levels()
        x[:, -1] = np.searchsorted(CATEGORY_EDGES, x[:, -1] / max(float(x[:, -1].std()), 1e-9))
        self.day += 1
        return x

    def _volume(self) -> int:
        if self.kind == "growing volume":
            return int(self.rows * (1 + 9 * min(self.day / 365, 1.0)))
        if self.kind == "users of unequal size" and self.day % 7 in WEEKEND:
            return int(self.rows * 0.4)
        return self.rows

    def _values(self, rows: int) -> Floats:
        size = (rows, self.columns)
        if self.kind == "heavy tails (t5)":
            return self.rng.standard_t(5, size) / np.sqrt(5 / 3)
        if self.kind == "heavy tails (t3)":
            return self.rng.standard_t(3, size) / np.sqrt(3)
        if self.kind == "correlated features":
            shared = self.rng.normal(size=(rows, 1))
            return np.sqrt(0.6) * shared + np.sqrt(0.4) * self.rng.normal(size=size)
        if self.kind == "rows by user":  # fifty users a day, ten rows each
            return self._of_users(np.full(rows // 10, 10))
        if self.kind == "users of unequal size":  # most with some rows, some with a hundred
            return self._of_users(np.ceil(np.exp(1.8 + self.rng.normal(size=rows // 10))).astype(int))
        return self.rng.normal(size=size)

    def _of_users(self, rows: NDArray[np.int64]) -> Floats:
        """The rows of users who have so many each `(users,)`, and are much the same in all of theirs."""
        users = np.repeat(self.rng.normal(size=(len(rows), self.columns)), rows, axis=0)
        return np.asarray(np.sqrt(0.8) * users + np.sqrt(0.2) * self.rng.normal(size=users.shape))

    def _levels(self) -> Floats:
        fresh = NOISE * self.rng.normal(size=self.columns)
        if self.kind.startswith("autocorrelated"):
            phi = 0.7 if self.kind.endswith("0.7") else 0.5
            if not len(self.level):
                self.level = fresh
            self.level = phi * self.level + np.sqrt(1 - phi**2) * fresh * 3
            return self.level
        if self.kind == "weekly season":
            return fresh + WEEK[self.day % 7]
        if self.kind == "hourly and weekly season":
            weekday, hour = self.day // self.a_day % 7, self.day % self.a_day
            swing = HOURS * np.sin(2 * np.pi * hour / self.a_day)
            return fresh + WEEK[weekday] + (swing / 2 if weekday in WEEKEND else swing)
        if self.kind == "weekly and autocorrelated":
            if not len(self.level):
                self.level = fresh
            self.level = 0.5 * self.level + np.sqrt(0.75) * fresh * 3
            return self.level + WEEK[self.day % 7]
        if self.kind == "holiday shocks":
            return fresh - (0.8 if self.day % NEW_YEAR in HOLIDAYS else 0.0)
        return fresh


QUIET = (
    "independent",
    "heavy tails (t5)",
    "heavy tails (t3)",
    "weekly season",
    "autocorrelated 0.5",
    "autocorrelated 0.7",
    "weekly and autocorrelated",
    "growing volume",
    "rows by user",
    "users of unequal size",
    "correlated features",
    "holiday shocks",
)
"""Kinds in which nothing is wrong."""

Change = Callable[[Floats, int, Generator], Floats]
"""What a change makes of a window, so many windows after it began (from 0)."""


def _shift(by: float, columns: int = 1) -> Change:
    def change(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
        x = x.copy()
        x[:, :columns] += by
        return x

    return change


def _two_in(share: float) -> Change:
    """A share of the rows moves by two standard deviations."""

    def change(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
        x = x.copy()
        x[rng.random(len(x)) < share, 0] += 2.0
        return x

    return change


def _wider(times: float) -> Change:
    def change(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
        x = x.copy()
        x[:, 0] *= times
        return x

    return change


def _related(correlation: float) -> Change:
    """Two columns become correlated, their margins as they were."""

    def change(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
        x = x.copy()
        x[:, 1] = correlation * x[:, 0] + np.sqrt(1 - correlation**2) * x[:, 1]
        return x

    return change


def _gradual(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    x = x.copy()
    x[:, 0] += min((since + 1) / 30, 1.0)
    return x


def _nulls(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    x = x.copy()
    x[rng.random(len(x)) < 0.2, 0] = np.nan
    return x


def _thousandfold(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    x = x.copy()
    x[:, 0] *= 1000
    return x


def _frozen(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    x = x.copy()
    x[:, 0] = x[0, 0]
    return x


def _clipped(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    x = x.copy()
    x[:, 0] = np.minimum(x[:, 0], 0.84)  # its 80th percentile
    return x


def _beyond(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    """A slice by a number, a fifth of the rows (by the second last column), moves by a standard deviation."""
    x = x.copy()
    x[x[:, -2] > 0.84, 0] += 1.0
    return x


def _of_category(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    """The rows of one category, a tenth of all, move by a standard deviation."""
    x = x.copy()
    x[x[:, -1] == 3, 0] += 1.0
    return x


def _mix(share: float) -> Change:
    """A share of all rows changes from the first two categories, which 0.58 of them have, to the third and fourth."""

    def change(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
        x = x.copy()
        moved = np.isin(x[:, -1], (0, 1)) & (rng.random(len(x)) < share / 0.58)
        x[moved, -1] += 2
        return x

    return change


def _renamed(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    """The second category has another code from now on."""
    x = x.copy()
    x[x[:, -1] == 1, -1] = 11
    return x


def _swapped(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    """A category column and a column of numbers have changed places."""
    x = x.copy()
    x[:, [0, -1]] = x[:, [-1, 0]]
    return x


def _error_code(x: Floats, since: int, rng: Generator) -> Floats:  # noqa: ARG001
    """A tenth of the values are −999."""
    x = x.copy()
    x[rng.random(len(x)) < 0.1, 0] = -999
    return x


@dataclass(frozen=True)
class Fault:
    """A change and the number of windows within which it should be found, in so large a share of streams."""

    name: str
    change: Change
    within: int
    share: float


FAULTS = (
    Fault("a thousandfold unit", _thousandfold, 1, 1.0),
    Fault("a fifth nulls", _nulls, 1, 1.0),
    Fault("a frozen column", _frozen, 1, 1.0),
    Fault("a renamed category", _renamed, 1, 1.0),
    Fault("columns changed places", _swapped, 1, 1.0),
    Fault("an error code in a tenth of the rows", _error_code, 1, 1.0),
    Fault("half a standard deviation", _shift(0.5), 3, 0.98),
    Fault("two, in a tenth of the rows", _two_in(0.1), 3, 0.98),
    Fault("spread times 1.4", _wider(1.4), 3, 0.98),
    Fault("a new correlation", _related(0.5), 3, 0.98),
    Fault("a quarter in three columns", _shift(0.25, 3), 4, 0.95),
    Fault("one, over thirty windows", _gradual, 15, 0.9),
    Fault("clipped at the 80th percentile", _clipped, 3, 0.98),
    Fault("a category mix changed by 15 %", _mix(0.15), 3, 0.98),
    Fault("one, in a fifth of the rows by another number", _beyond, 3, 0.9),
    Fault("one, in the rows of one category", _of_category, 3, 0.95),
)

BY_SIZE: dict[str, tuple[Callable[[float], Change], tuple[float, ...]]] = {
    "{:g} standard deviations": (_shift, (0.1, 0.15, 0.2, 0.3, 0.5)),
    "two, in {:.0%} of the rows": (_two_in, (0.02, 0.04, 0.06, 0.1)),
    "spread times {:g}": (_wider, (1.1, 1.2, 1.3, 1.4)),
    "a new correlation of {:g}": (_related, (0.2, 0.3, 0.4, 0.5)),
    "a category mix changed by {:.0%}": (_mix, (0.03, 0.06, 0.1, 0.15)),
}
"""What may change, in words, and sizes of it: from what is hardly an effect to what should be found."""
