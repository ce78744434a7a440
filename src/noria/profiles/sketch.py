"""Sketches: a window of rows against a frozen reference, counted in one pass, in memory that does not grow with the rows, mergeable.

A column is counted in the reference's bins (its values, where it has few), and beside them what lies far below or far above all that the
reference had, or is none of its few values, and nulls. Ranks, tails, spreads and shares of categories follow from the counts; relations
from the sums of products of ranks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import OurBug

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Column = NDArray[np.floating[Any]]
Counts = NDArray[np.int64]

WIDTH = 64  # of a column's counts: its bins, and the three places behind them
BELOW, ABOVE, NULL = 61, 62, 63  # a category that was never seen counts as below
MIN_SCALE, DENSE = 10, 2  # whole numbers that come often are a scale, such as degrees, and no codes, if there are so many, so close
MAX_STRANGE = 64  # values that are counted one by one
MAX_VALUES = 50  # that a column of categories may have
CHUNK = 8192  # rows that are counted at once: what a core's cache holds
CELLS = 2048


@dataclass(frozen=True)
class Bins:
    """The bins of one column: `borders` `(bins - 1,)` between them, rising, and the least and greatest value that the reference had.

    All is in single precision, as models are served, so that a value falls into the same bin wherever it is counted; in double where the
    borders are, as of values near 3e8 that differ by less than single precision can tell.

    values: the column's values `(bins,)` where it has but few, so that each is a category; else None. Where they are a scale, one between
        or near them that never came counts as the next lower one
    """

    borders: Column
    least: float
    greatest: float
    values: Column | None = None

    def of(self, column: NDArray[Any]) -> Column:
        """Values `(rows,)` in the precision of the bins."""
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(column, dtype=self.borders.dtype)

    def places(self, column: Column) -> NDArray[np.uint8]:
        """The place of each value `(rows,)` among a column's counts."""
        grid = self._grid
        with np.errstate(invalid="ignore", over="ignore"):
            if grid is None:
                found = self.borders.searchsorted(column, side="right").astype(np.uint8)
            else:
                low, scale, floor, upper = grid
                cell = (column - low) * scale
                np.clip(cell, 0, CELLS - 1, out=cell)
                found = floor.take(cell.astype(np.int16), mode="clip")
                found += column >= upper.take(found)
            if self.values is not None:
                known = self.values.take(found, mode="clip")
                if not (known == column).all():
                    found[self._is_far(column) if self.is_scale else known != column] = BELOW
            elif self._may_stray(column):
                wide = self.greatest - self.least
                found[column < self.least - wide] = BELOW
                found[column > self.greatest + wide] = ABOVE
        if not np.isfinite(column).all():
            found[~np.isfinite(column)] = NULL
        return found

    @cached_property
    def is_scale(self) -> bool:
        """Whether its few values are numbers that measure, and no codes."""
        return self.values is not None and len(self.values) >= MIN_SCALE and self.greatest - self.least <= DENSE * (len(self.values) - 1)

    def _is_far(self, column: Column) -> NDArray[np.bool_]:
        """What lies further beyond the range than it is wide."""
        wide = self.greatest - self.least
        return np.asarray((column < self.least - wide) | (column > self.greatest + wide))

    def _may_stray(self, column: Column) -> bool:
        return column.size > 0 and not (self.least <= column.min() and column.max() <= self.greatest)  # with a null neither holds

    def strange(self, column: Column) -> dict[float, int]:
        """How often each value comes that the reference never had, beyond its range or no category of it; the most frequent ones."""
        with np.errstate(invalid="ignore"):
            if self.is_scale:
                beyond = np.isfinite(column) & self._is_far(column)
            elif self.values is not None:
                beyond = np.isfinite(column) & ~np.isin(column, self.values)
            elif self._may_stray(column):
                beyond = np.isfinite(column) & ((column < self.least) | (column > self.greatest))
            else:
                return {}
        values, counts = np.unique(column[beyond], return_counts=True)
        first = np.argsort(-counts, kind="stable")[:MAX_STRANGE]
        return dict(zip(values[first].tolist(), counts[first].tolist(), strict=True))

    @cached_property
    def _grid(self) -> tuple[np.floating[Any], np.floating[Any], NDArray[np.uint8], Column] | None:
        """Where the borders lie far enough apart, a table of equal cells says a value's bin but for one comparison, which is several
        times quicker than a search; None where they don't. Cells overlap by one, so that rounding changes nothing."""
        if len(self.borders) < 2:
            return None
        low, high = float(self.borders[0]), float(self.borders[-1])
        size = (high - low) / (CELLS - 4)
        apart = bool((np.diff(self.borders.astype(np.float64)) >= 3 * size).all())
        if not apart or size < 1e-6 * max(abs(low), abs(high)) or not 1e-30 < size < 1e30:
            return None
        starts = low + (np.arange(CELLS) - 3) * size
        floor = self.borders.searchsorted(starts, side="right").astype(np.uint8)
        single = self.borders.dtype.type
        upper = np.append(self.borders, np.inf).astype(single)
        return single(low - 2 * size), single(1 / size), floor, upper


@dataclass
class Sketch:
    """The counts of some rows. counts `(columns, 64)`; products `(columns, columns)`: of ranks about their middle, empty where unwanted.

    sliced_by: the columns whose values cut the rows into slices; slice_sums `(slices, columns)`: each slice's sums of ranks about their
        middle, those of the first such column before those of the second
    repeats: of each column, how often a value equalled the one before, among `pairs` pairs of rows
    strange: of each column, how often values came that the reference never had, the most frequent of them
    """

    bins: Sequence[Bins]
    ranks: Singles
    related: bool
    sliced_by: Sequence[int] = ()
    rows: int = 0
    pairs: int = 0
    counts: Counts = field(init=False)
    repeats: Counts = field(init=False)
    strange: list[Counter[float]] = field(init=False)
    products: Floats = field(init=False)
    slice_sums: Floats = field(init=False)
    _last: Floats | None = None

    def __post_init__(self) -> None:
        columns = len(self.bins)
        self.counts = np.zeros((columns, WIDTH), np.int64)
        self.repeats = np.zeros(columns, np.int64)
        self.strange = [Counter() for _ in range(columns)]
        self.products = np.zeros((columns, columns) if self.related else (0, 0))
        self.slice_sums = np.zeros((sum(self.sizes), columns))

    @property
    def sizes(self) -> list[int]:
        """How many slices each column of `sliced_by` makes."""
        return [len(self.bins[i].borders) + 1 for i in self.sliced_by]

    def add(self, values: NDArray[Any]) -> None:
        """Count rows `(rows, columns)`, which follow those that were counted before."""
        if values.ndim != 2 or values.shape[1] != len(self.bins):
            raise OurBug(what=f"rows of shape {values.shape} for {len(self.bins)} columns", where="Sketch.add", fix="please report this")
        for start in range(0, len(values), CHUNK):
            whole = values[start : start + CHUNK].T
            with np.errstate(over="ignore"):
                single = np.ascontiguousarray(whole, dtype=np.float32)
            self._add([single[i] if own.borders.dtype == np.float32 else own.of(whole[i]) for i, own in enumerate(self.bins)], len(whole.T))

    def _add(self, columns: Sequence[Column], rows: int) -> None:
        ranks = np.empty((len(self.bins), rows), np.float32) if self.related else None
        places = {}
        for i, column in enumerate(columns):
            place = self.bins[i].places(column)
            if i in self.sliced_by:
                places[i] = place
            self.counts[i] += np.bincount(place, minlength=WIDTH)
            self.repeats[i] += np.count_nonzero(column[1:] == column[:-1])
            if strange := self.bins[i].strange(column):
                self.strange[i] = Counter(dict((self.strange[i] + Counter(strange)).most_common(MAX_STRANGE)))
            if ranks is not None:
                self.ranks[i].take(place, out=ranks[i], mode="clip")
        if ranks is not None:
            self.products += ranks @ ranks.T
            if places:
                members = [
                    places[i] == np.arange(size, dtype=np.uint8)[:, None] for i, size in zip(self.sliced_by, self.sizes, strict=True)
                ]
                self.slice_sums += np.concatenate(members).astype(np.float32) @ ranks.T
        if self._last is not None:
            self.repeats += np.array([column[0] for column in columns], np.float64) == self._last
            self.pairs += 1
        self._last = np.array([column[-1] for column in columns], np.float64)
        self.rows += rows
        self.pairs += rows - 1

    def merge(self, other: Sketch) -> None:
        """Count another sketch's rows as well."""
        self.rows += other.rows
        self.pairs += other.pairs
        self.counts += other.counts
        self.repeats += other.repeats
        self.products += other.products
        self.slice_sums += other.slice_sums
        self.strange = [Counter(dict((a + b).most_common(MAX_STRANGE))) for a, b in zip(self.strange, other.strange, strict=True)]
        self._last = other._last

    def means(self) -> Floats:
        """The columns' mean ranks about their middle `(columns,)`, nulls being there."""
        return np.asarray((self.counts * self.ranks).sum(axis=1) / max(self.rows, 1))

    def correlations(self) -> Floats:
        """The correlations of the columns' ranks; 0 where one does not vary."""
        means = self.means()
        covariance = self.products / max(self.rows, 1) - np.outer(means, means)
        size = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        there = size > 3e-3  # single precision tells no smaller spread of ranks from none
        scaled = covariance / np.where(there, size, 1.0)[:, None] / np.where(there, size, 1.0)[None, :]
        return np.where(there[:, None] & there[None, :], scaled, 0.0)

    def slice_rows(self) -> Counts:
        """How many rows each slice has `(slices,)`."""
        rows = [self.counts[i, :size] for i, size in zip(self.sliced_by, self.sizes, strict=True)]
        return np.concatenate(rows) if rows else np.zeros(0, np.int64)

    def slice_means(self) -> Floats:
        """Each slice's mean ranks about their middle `(slices, columns)`; 0 where it has no rows."""
        return np.asarray(self.slice_sums / np.maximum(self.slice_rows(), 1)[:, None])
