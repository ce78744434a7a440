"""Profiles: what the values of a period looked like, small enough to keep for ever and to compare windows with.

Each column is cut into frozen bins at the reference's quantiles; a column with few values has one for each. A window is then summarised,
in one pass, by ten statistics per column: the mean rank of its values under the reference, three figures of their shape, how far the
correlations of its ranks with the other columns' lie from the reference's, how far its ranks lie from what the other columns' let expect,
how differently its mean has moved in the slices into which a column of few categories cuts the rows, and its shares of nulls, of values
equal to the one before, and of values that can't belong to it: a category that the reference never had, a number further beyond its range
than the range is wide (a summer is warmer than the winter before it; a unit that has changed is another matter), or one value beyond it
again and again. Distances (PSI, KS, Wasserstein) grow with small samples; these don't.

What the others let expect is a regression of each column's ranks on the others', frozen with the reference. Its residual sees relations
that broke (answers that belong to other rows), the correlations those that are new.

The shape of numbers: their spread and the shares of the tails. Of categories: the shares of three halves of them, chosen so that any two
of the eight most frequent categories differ in one (the digits of their places by frequency): what moves from one to another shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.profiles.sketch import ABOVE, BELOW, MAX_VALUES, NULL, WIDTH, Bins, Sketch
from noria.profiles.summary import NumberSummary, edges_of, summarise_numbers

Floats = NDArray[np.float64]

STATISTICS = ("mean_rank", "spread", "low_tail", "high_tail", "relation", "null_share", "repeats", "outside", "residual", "slices")
TAIL = 0.05  # the share of the reference that each tail holds
MAX_RELATED = 100  # columns beyond which their relations are not kept
# A value beyond the range is an error code if it is nearly all that lies there, and so large a part of the rows.
MIN_CODE, ALONE, SHARE_OF_CODE = 5, 0.8, 0.15
MAX_SLICES = 16  # that a column may make of the rows; of more values, the most frequent
MIN_EXPLAINED, RIDGE = 0.5, 0.01  # of a column's variance, below which the others let nothing be expected of it
MIN_RELATED = 30  # rows, below which a window's relations say nothing
MIN_EXPECTED = 2  # rows that a share is of: what is rarer comes by ones, and one is then no evidence
ROWS_OF_EACH_VALUE = 20  # on average, below which values are not taken for categories
COARSE, MAX_SINGLE = 0.01, 3e38  # of a spread: steps of single precision that are no coarser tell all that matters; its greatest number
MARKS = ("precise", "in_windows")  # that a column may have


@dataclass(frozen=True)
class ColumnReference:
    """The frozen reference of one column: its summary; values, where they are few enough to be categories.

    precise: single precision would merge its values
    in_windows: whether its extremes were one value of a whole window, such as a day's lowest temperature: a new one is then no error code
    """

    name: str
    summary: NumberSummary
    values: Floats | None = None
    precise: bool = False
    in_windows: bool = False

    @cached_property
    def bins(self) -> Bins:
        s = self.summary
        least, greatest = (-np.inf, np.inf) if s.least is None or s.greatest is None else (s.least, s.greatest)
        kind = np.float64 if self.precise else np.float32
        return Bins(s.edges.astype(kind), least, greatest, None if self.values is None else self.values.astype(kind))

    @cached_property
    def ranks(self) -> Floats:
        """The mid-rank of each place among a column's counts, `(64,)` from 0 to 1; a half for nulls and for unseen categories."""
        counts = self.summary.counts
        below = np.concatenate([[0], np.cumsum(counts)[:-1]])
        found = np.full(WIDTH, 0.5)
        if counts.sum():
            found[: len(counts)] = (below + counts / 2) / counts.sum()
        found[BELOW], found[ABOVE] = (0.5, 0.5) if self.values is not None else (0.0, 1.0)
        return found

    @cached_property
    def middle(self) -> tuple[float, float]:
        """The mean and the standard deviation of the reference's ranks about a half, nulls being there."""
        counts, ranks = self.summary.counts, self.ranks[: len(self.summary.counts)] - 0.5
        n = max(int(counts.sum()) + self.summary.nulls, 1)
        mean = float(counts @ ranks) / n
        return mean, max(float(counts @ ranks**2) / n - mean**2, 0.0) ** 0.5

    @cached_property
    def shape(self) -> Floats:
        """What each place among the counts adds to the four figures of shape, `(64, 4)`."""
        ranks = self.ranks
        if self.values is None:
            return np.column_stack([ranks, np.abs(ranks - 0.5), ranks < TAIL, ranks > 1 - TAIL]).astype(np.float64)
        found = np.zeros((WIDTH, 4))
        found[:, 0] = ranks
        for place, bin_ in enumerate(np.argsort(-self.summary.counts, kind="stable")):
            found[bin_, 1:] = [place >> digit & 1 for digit in range(3)]
        return found


@dataclass(frozen=True)
class Regression:
    """What the ranks of the other columns let expect of each one's, frozen.

    weights: `(columns, columns)`, of the columns' standardised ranks in each one's residual; zeros where little can be expected
    middles, sizes: means and standard deviations of the reference's ranks `(columns,)`
    """

    weights: Floats
    middles: Floats
    sizes: Floats

    @staticmethod
    def of(relations: Floats, middles: Floats, sizes: Floats) -> Regression:
        """From the correlations of the reference's ranks. The inverse of a correlation matrix holds all regressions at once."""
        known = relations.copy()
        np.fill_diagonal(known, 1.0 + RIDGE)
        inverse = np.linalg.inv(known)
        weights = inverse / np.diag(inverse)
        np.fill_diagonal(known, 1.0)
        explained = 1 - np.einsum("ic,ij,jc->c", weights, known, weights)
        return Regression(np.where((explained >= MIN_EXPLAINED) & (sizes > 0), weights, 0.0), middles, np.where(sizes > 0, sizes, 1.0))

    def left_over(self, sketch: Sketch) -> Floats:
        """The mean square of each column's residuals, of its variance in the reference `(columns,)`."""
        means = sketch.means()
        moments = (
            sketch.products / max(sketch.rows, 1)
            - np.outer(means, self.middles)
            - np.outer(self.middles, means)
            + np.outer(self.middles, self.middles)
        )
        scaled = moments / np.outer(self.sizes, self.sizes)
        return np.asarray(np.maximum(np.einsum("ic,ij,jc->c", self.weights, scaled, self.weights), 0.0))


@dataclass(frozen=True)
class Profile:
    """Reference of every column, and what their statistics were in each past window of the reference period.

    windows: `(windows, columns, 10)`, in the order of `STATISTICS`; rows: of each window `(windows,)`
    numbers: of the windows, one after the other in time with gaps where there were none `(windows,)`: they tell the season
    relations: the correlations of the columns' ranks `(columns, columns)`; empty where there are too many columns
    attribution: how much of the model's answer hangs on each column `(columns,)`, summing to 1; empty where it is not known
    slice_means: the mean ranks, about their middle, of each slice of the rows `(slices, columns)`, as a sketch has them
    """

    columns: tuple[ColumnReference, ...]
    windows: Floats
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]
    relations: Floats
    attribution: Floats = field(default_factory=lambda: np.empty(0))
    slice_means: Floats = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    @cached_property
    def _places(self) -> tuple[list[Bins], NDArray[np.float32], Floats]:
        ranks = np.array([c.ranks for c in self.columns]).reshape(-1, WIDTH)
        shape = np.array([c.shape for c in self.columns]).reshape(-1, WIDTH, 4)
        return [c.bins for c in self.columns], (ranks - 0.5).astype(np.float32), shape

    @property
    def usual_ranks(self) -> Floats:
        """Each column's mean rank over the windows of the reference `(columns,)`; zero where it has none."""
        ranks = self.windows[:, :, 0]
        return np.asarray(np.nan_to_num(ranks).sum(axis=0) / np.maximum((~np.isnan(ranks)).sum(axis=0), 1))

    @cached_property
    def _regression(self) -> Regression:
        middles, sizes = np.array([c.middle for c in self.columns]).reshape(-1, 2).T
        return Regression.of(self.relations, middles, sizes)

    def sketch(self) -> Sketch:
        """An empty sketch of a window."""
        bins, ranks, _ = self._places
        return Sketch(bins, ranks, related=bool(self.relations.size), sliced_by=self.sliced_by)

    @property
    def sliced_by(self) -> tuple[int, ...]:
        """The columns whose categories cut the rows into slices."""
        if not self.relations.size:
            return ()
        return tuple(i for i, c in enumerate(self.columns) if c.values is not None and 1 < len(c.values) <= MAX_SLICES)

    def statistics(self, values: NDArray[Any]) -> Floats:
        """The statistics of one window, `(columns, 10)`, from its values `(rows, columns)` in the profile's order; NaN where undefined."""
        sketch = self.sketch()
        sketch.add(values)
        return self.statistics_of(sketch)

    def statistics_of(self, sketch: Sketch) -> Floats:
        """The statistics of the rows that a sketch has counted, `(columns, 10)`."""
        found = np.full((len(self.columns), len(STATISTICS)), np.nan)
        if sketch.rows == 0:
            return found
        counts = sketch.counts
        nulls = counts[:, NULL]
        there = sketch.rows - nulls
        known = np.maximum(there, 1)
        shape = self._places[2]
        found[:, :4] = (np.einsum("cw,cwk->ck", counts, shape) - nulls[:, None] * shape[:, NULL]) / known[:, None]
        if self.relations.size and sketch.rows >= MIN_RELATED:
            found[:, 4] = self._apart(sketch.correlations(), sketch.rows)
            found[:, 8] = self._regression.left_over(sketch)
            found[:, 9] = self._sliced(sketch)
        elif not self.relations.size:
            found[:, [4, 8, 9]] = 0.0
        found[:, 5] = nulls / sketch.rows
        found[:, 6] = sketch.repeats / max(sketch.pairs, 1)
        found[:, 7] = (counts[:, BELOW] + counts[:, ABOVE]) / known
        codes = (0 if c.in_windows else _error_code(strange) for c, strange in zip(self.columns, sketch.strange, strict=True))
        code = np.array(list(codes)) / known
        found[:, 7] = np.maximum(found[:, 7], np.where(code >= SHARE_OF_CODE, code, 0.0))
        found[there == 0] = [np.nan, np.nan, np.nan, np.nan, np.nan, 1.0, np.nan, np.nan, np.nan, np.nan]
        return found

    def within(self, rows: NDArray[np.int64], means: Floats, nulls: Floats | float = 0.0) -> Floats:
        """The variances within windows of so many rows, `(windows, columns, 10)`, where the statistics lie at `means` `(columns, 10)`.

        nulls: their shares `(windows, columns)`: what values are like is known from those that are there
        """
        known, columns = np.nan_to_num(means), len(self.columns)
        there = np.maximum(np.broadcast_to(rows[:, None] * (1 - np.nan_to_num(nulls)), (len(rows), columns)), 1.0)
        of = np.repeat(there[:, :, None], len(STATISTICS), axis=2)
        of[:, :, STATISTICS.index("null_share")] = of[:, :, STATISTICS.index("repeats")] = np.maximum(rows, 1)[:, None]
        least = np.minimum(MIN_EXPECTED / of, 0.5)
        share = np.clip(known[None], least, 1 - least)
        each = share * (1 - share)
        numbers = np.array([c.values is None for c in self.columns])
        each[:, :, 0], each[:, :, 4] = 1 / 12, 0.0
        each[:, :, 8] = 2 * known[:, 8] ** 2  # as of a mean square of normal residuals
        each[:, numbers, 1] = 1 / 48
        found: Floats = each / of
        most: int = max([len(self.columns[i].bins.borders) for i in self.sliced_by], default=0)
        found[:, :, 9] = 2 * most * (1 / 12 / there) ** 2
        found[:, :, 4] = 2 / max(len(means) - 1, 1) / there**2
        return found

    def _apart(self, correlations: Floats, rows: int) -> Floats:
        """The mean square by which a column's correlations differ from the reference's, less what chance makes of it."""
        others = max(len(self.columns) - 1, 1)
        chance = (1 - self.relations**2) ** 2 / max(rows, 1)
        square = (correlations - self.relations) ** 2 - chance
        np.fill_diagonal(square, 0.0)
        return np.asarray(square.sum(axis=0) / others)

    def _sliced(self, sketch: Sketch) -> Floats:
        """The variance between slices of how far their means have moved, less what chance makes of it, `(columns,)`; of all ways to cut
        the rows, the one in which it is largest. What moves all slices alike, weather or a season, is not seen here."""
        found = np.zeros(len(self.columns))
        for i, rows, moved in self._cuts(sketch):
            share = rows / max(int(rows.sum()), 1)
            apart = share @ (moved - share @ moved) ** 2
            chance = (int(np.count_nonzero(rows)) - 1) / 12 / max(sketch.rows, 1)
            apart[i] = chance
            found = np.maximum(found, apart - chance)
        return found

    def _cuts(self, sketch: Sketch) -> Iterator[tuple[int, NDArray[np.int64], Floats]]:
        """Of every way to cut the rows: the column that does it, the slices' rows `(slices,)` and how far their means have moved
        `(slices, columns)`."""
        at, rows, moved = 0, sketch.slice_rows(), sketch.slice_means() - self.slice_means
        for i, size in zip(self.sliced_by, sketch.sizes, strict=True):
            yield i, rows[at : at + size], moved[at : at + size]
            at += size

    def slice_that_moved(self, values: NDArray[Any], column: str) -> tuple[str, float] | None:
        """The slice of rows `(rows, columns)` in which a column has moved furthest from the rest of them: the feature that cuts it out, and
        its value there; None where nothing makes slices."""
        sketch, at, found = self.sketch(), self.names.index(column), (0.0, -1, 0)
        sketch.add(values)
        for i, rows, moved in self._cuts(sketch):
            share = rows / max(int(rows.sum()), 1)
            apart = share * (moved[:, at] - share @ moved[:, at]) ** 2
            if i != at and apart.sum() > found[0]:
                rest = (moved[:, at] - share @ moved[:, at]) / np.maximum(1 - share, 1e-9)  # from the mean of all others
                found = (float(apart.sum()), i, int(np.argmax(share * rest**2)))
        _, by, place = found
        known = self.columns[by].values
        return None if by < 0 or known is None else (self.columns[by].name, float(known[place]))

    def first_bad(self, values: NDArray[Any], column: str, statistic: str) -> int | None:
        """The first of rows `(rows, columns)` in which a column shows by itself what a statistic says; None where only all of them do."""
        place = self.names.index(column)
        own = self.columns[place].bins.of(values[:, place])
        bad = {
            "null_share": ~np.isfinite(own),
            "outside": np.isin(own, list(self.columns[place].bins.strange(own))),
            "repeats": np.append(False, own[1:] == own[:-1]),
        }.get(statistic)
        return int(bad.argmax()) if bad is not None and bad.any() else None

    def to_json(self) -> bytes:
        """Canonical JSON; the same profile always gives the same bytes."""
        columns = [_plain(c) for c in self.columns]
        windows = [[[None if np.isnan(v) else float(v) for v in row] for row in window] for window in self.windows]
        rest = {
            "rows": self.rows.tolist(),
            "numbers": self.numbers.tolist(),
            "relations": self.relations.round(6).tolist(),
            "attribution": self.attribution.tolist(),
            "slice_means": self.slice_means.tolist(),
        }
        return json.dumps({"columns": columns, "windows": windows, **rest}, sort_keys=True).encode()

    @staticmethod
    def from_json(data: bytes) -> Profile:
        raw = json.loads(data)
        columns = tuple(
            ColumnReference(
                c["name"],
                _summary(c),
                None if c.get("values") is None else np.array(c["values"], np.float64),
                **{name: c[name] for name in MARKS if name in c},
            )
            for c in raw["columns"]
        )
        windows = np.array(raw["windows"], dtype=np.float64).reshape(-1, len(columns), len(STATISTICS))
        rows, numbers = (np.array(raw[name], np.int64) for name in ("rows", "numbers"))
        relations, attribution = (np.array(raw[name], np.float64) for name in ("relations", "attribution"))
        slice_means = np.array(raw["slice_means"], np.float64).reshape(-1, len(columns))
        return Profile(columns, windows, rows, numbers, relations, attribution, slice_means)


def profile(names: tuple[str, ...], values: NDArray[Any], window_of: NDArray[np.int64], attribution: Floats | None = None) -> Profile:
    """The profile of values `(rows, columns)`, where row i lies in the window numbered `window_of[i]`."""
    columns = tuple(_reference(name, values[:, i], window_of) for i, name in enumerate(names))
    related = 1 < len(columns) <= MAX_RELATED and len(values) > 0
    relations = np.zeros((len(columns),) * 2) if related else np.empty((0, 0))
    nothing = np.empty((0, len(columns), len(STATISTICS)))
    numbers, rows = np.unique(window_of, return_counts=True)
    none = np.empty(0, np.int64)
    whole = Profile(columns, nothing, none, none, relations, np.empty(0) if attribution is None else attribution)
    sketches = []
    everything = whole.sketch()
    for number in numbers:
        sketch = whole.sketch()
        sketch.add(values[window_of == number])
        sketches.append(sketch)
        everything.merge(sketch)
    if related:
        whole = replace(whole, relations=everything.correlations().round(6), slice_means=everything.slice_means().round(6))
    windows = np.array([whole.statistics_of(sketch) for sketch in sketches]).reshape(-1, len(columns), len(STATISTICS))
    _tell_novelty(columns, sketches, windows)
    return replace(whole, windows=windows, rows=rows, numbers=numbers)


def _error_code(strange: Mapping[float, int]) -> int:
    """How often the one strange value came that stands for an error; 0 where there are several, as on an unusually warm day."""
    most = max(strange.values(), default=0)
    return most if most >= max(MIN_CODE, ALONE * sum(strange.values())) else 0


def _tell_novelty(columns: tuple[ColumnReference, ...], sketches: list[Sketch], windows: Floats) -> None:
    """How new values come to a category column by themselves: each window's rows with values that no other window has. Without this
    the reference would seem to have known everything beforehand."""
    for i, column in enumerate(columns):
        if column.values is not None and not column.bins.is_scale and len(sketches) > 1:
            counts = np.array([sketch.counts[i, :BELOW] for sketch in sketches])
            once = (counts > 0).sum(axis=0) == 1
            windows[:, i, STATISTICS.index("outside")] = counts[:, once].sum(axis=1) / np.maximum(counts.sum(axis=1), 1)


def _reference(name: str, column: NDArray[Any], window_of: NDArray[np.int64]) -> ColumnReference:
    """The reference of a column, with the values for bins where they are few whole numbers that come often: codes of categories."""
    precise = _needs_double(column)
    kind = np.float64 if precise else np.float32
    with np.errstate(over="ignore"):
        column = column.astype(kind).astype(np.float64)
    there = column[np.isfinite(column)]
    values = np.unique(there) if len(np.unique(there[:: max(1, len(there) // 1000)])) <= MAX_VALUES else there
    whole = bool((values == np.floor(values)).all())
    if whole and 0 < len(values) <= MAX_VALUES and len(there) >= ROWS_OF_EACH_VALUE * len(values):
        return ColumnReference(name, summarise_numbers(column, values[1:]), values, precise)
    edges = np.unique(edges_of(column).astype(kind).astype(np.float64))
    return ColumnReference(name, summarise_numbers(column, edges), None, precise, _extremes_are_of_windows(column, window_of))


def _needs_double(column: NDArray[Any]) -> bool:
    """Whether single precision is too coarse for how far values `(rows,)` lie apart: 3e8 and a spread of 0.5, for one."""
    there = column[np.isfinite(column)]
    if column.dtype != np.float64 or not len(there):
        return False
    low, high = np.quantile(there, [0.25, 0.75])
    far = max(abs(float(there.min())), abs(float(there.max())))
    return far < MAX_SINGLE and float(np.spacing(np.float32(far))) > COARSE * float(high - low if high > low else there.std())


def _extremes_are_of_windows(column: Floats, window_of: NDArray[np.int64]) -> bool:
    """Whether the reference's own greatest or least values came as an error code does: as one value of many rows, in one window."""
    order = np.argsort(window_of, kind="stable")
    parts = [part[np.isfinite(part)] for part in np.split(column[order], np.flatnonzero(np.diff(window_of[order])) + 1)]
    return any(_extreme_is_of_a_window([part * sign for part in parts if len(part)]) for sign in (1.0, -1.0))


def _extreme_is_of_a_window(parts: list[Floats]) -> bool:
    most = np.array([part.max() for part in parts])
    if len(most) < 2:
        return False
    first, second = np.argsort(-most, kind="stable")[:2]
    own = parts[first]
    values, counts = np.unique(own[own > most[second]], return_counts=True)
    return bool(len(values)) and _error_code(dict(zip(values.tolist(), counts.tolist(), strict=True))) >= SHARE_OF_CODE * len(own)


def _plain(column: ColumnReference) -> dict[str, Any]:
    summary, values = column.summary, None if column.values is None else column.values.tolist()
    marks = {name: True for name in MARKS if getattr(column, name)}
    return {
        "name": column.name,
        "values": values,
        **vars(summary),
        "edges": summary.edges.tolist(),
        "counts": summary.counts.tolist(),
        **marks,
    }


def _summary(plain: dict[str, Any]) -> NumberSummary:
    rest = {name: plain[name] for name in ("nulls", "mean", "m2", "least", "greatest")}
    return NumberSummary(np.array(plain["edges"], np.float64), np.array(plain["counts"], np.int64), **rest)
