"""Profiles: what the values of a period looked like, small enough to keep for ever and to compare windows with.

Each column is cut into frozen bins at the reference's quantiles. A window is then summarised, in one pass, by eight signed statistics
per column: the mean and the spread of its values' ranks under the reference, the shares of its tails, how far the correlations of its
ranks with the other columns' lie from the reference's, and its shares of nulls, of values equal to the one before, and of values beyond
all that the reference had. Distances (PSI, KS, Wasserstein) grow with small samples; these don't.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.data.summary import NumberSummary, edges_of, summarise_numbers

Floats = NDArray[np.float64]

STATISTICS = ("mean_rank", "spread", "low_tail", "high_tail", "relation", "null_share", "repeats", "outside")
TAIL = 0.05  # the share of the reference that each tail holds
MOST_RELATED = 100  # columns beyond which their relations are not kept


@dataclass(frozen=True)
class ColumnReference:
    """The frozen reference of one column: its summary, from which follows for every bin its mid-rank (0 to 1)."""

    name: str
    summary: NumberSummary

    @cached_property
    def ranks(self) -> Floats:
        """The mid-rank of each bin, `(bins,)`; a half where the reference had no value."""
        counts = self.summary.counts
        below = np.concatenate([[0], np.cumsum(counts)[:-1]])
        return (below + counts / 2) / counts.sum() if counts.sum() else np.full(len(counts), 0.5)

    def places(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """The bin of each value."""
        return np.searchsorted(self.summary.edges, values, side="right")


@dataclass(frozen=True)
class Profile:
    """Reference of every column, and what their statistics were in each past window of the reference period.

    windows: `(windows, columns, 8)`, in the order of `STATISTICS`; rows: of each window `(windows,)`
    relations: the correlations of the columns' ranks `(columns, columns)`; empty where there are too many columns
    """

    columns: tuple[ColumnReference, ...]
    windows: Floats
    rows: NDArray[np.int64]
    relations: Floats

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def statistics(self, values: NDArray[Any]) -> Floats:
        """The statistics of one window, `(columns, 8)`, from its values `(rows, columns)` in the profile's order; NaN where undefined."""
        found = np.full((len(self.columns), len(STATISTICS)), np.nan)
        if len(values) == 0:
            return found
        ranks, there = self._ranks(values)
        known, count = np.where(there, ranks, 0.5), np.maximum(there.sum(axis=0), 1)
        tails = (known < TAIL, known > 1 - TAIL)
        found[:, 0] = 0.5 + (known - 0.5).sum(axis=0) / count
        found[:, 1] = np.abs(known - 0.5).sum(axis=0) / count
        found[:, 2], found[:, 3] = (tail.sum(axis=0) / count for tail in tails)
        if self.relations.size:
            found[:, 4] = self._apart(_correlations(ranks), len(values))
        found[:, 5] = 1 - there.sum(axis=0) / len(values)
        found[:, 6] = (values[1:] == values[:-1]).sum(axis=0) / max(len(values) - 1, 1)
        found[:, 7] = (there & ((values < self._least) | (values > self._greatest))).sum(axis=0) / count
        found[~there.any(axis=0)] = [np.nan, np.nan, np.nan, np.nan, np.nan, 1.0, np.nan, np.nan]
        return found

    @cached_property
    def _least(self) -> Floats:
        return np.array([-np.inf if c.summary.least is None else c.summary.least for c in self.columns])

    @cached_property
    def _greatest(self) -> Floats:
        return np.array([np.inf if c.summary.greatest is None else c.summary.greatest for c in self.columns])

    def within(self, rows: NDArray[np.int64], means: Floats) -> Floats:
        """The variances within windows of so many rows, `(windows, columns, 8)`, where the statistics lie at `means` `(columns, 8)`."""
        share = np.clip(np.nan_to_num(means), 1e-4, 1 - 1e-4)
        each = share * (1 - share)
        each[:, 0], each[:, 1], each[:, 4] = 1 / 12, 1 / 48, 0.0
        found: Floats = each / np.maximum(rows, 1)[:, None, None]
        found[:, :, 4] = 2 / max(len(means) - 1, 1) / np.maximum(rows, 1)[:, None] ** 2
        return found

    def _ranks(self, values: NDArray[Any]) -> tuple[Floats, NDArray[np.bool_]]:
        """The mid-ranks of values under the reference, a half where there is none; and which are there."""
        there = np.isfinite(values)
        ranks = np.column_stack([c.ranks[c.places(values[:, i])] for i, c in enumerate(self.columns)])
        return np.where(there, ranks, 0.5), there

    def _apart(self, correlations: Floats, rows: int) -> Floats:
        """The mean square by which a column's correlations differ from the reference's, less what chance makes of it."""
        others = max(len(self.columns) - 1, 1)
        chance = (1 - self.relations**2) ** 2 / max(rows, 1)
        square = (correlations - self.relations) ** 2 - chance
        np.fill_diagonal(square, 0.0)
        return np.asarray(square.sum(axis=0) / others)

    def to_json(self) -> bytes:
        """Canonical JSON; the same profile always gives the same bytes."""
        columns = [{"name": c.name, **_plain(c.summary)} for c in self.columns]
        windows = [[[None if np.isnan(v) else float(v) for v in row] for row in window] for window in self.windows]
        rest = {"rows": self.rows.tolist(), "relations": self.relations.round(6).tolist()}
        return json.dumps({"columns": columns, "windows": windows, **rest}, sort_keys=True).encode()

    @staticmethod
    def from_json(data: bytes) -> Profile:
        raw = json.loads(data)
        columns = tuple(ColumnReference(c["name"], _summary(c)) for c in raw["columns"])
        windows = np.array(raw["windows"], dtype=np.float64).reshape(-1, len(columns), len(STATISTICS))
        return Profile(columns, windows, np.array(raw["rows"], np.int64), np.array(raw["relations"], np.float64))


def profile(names: tuple[str, ...], values: NDArray[Any], window_of: NDArray[np.int64]) -> Profile:
    """The profile of values `(rows, columns)`, where row i lies in the window numbered `window_of[i]`."""
    columns = tuple(
        ColumnReference(name, summarise_numbers(column := values[:, i].astype(np.float64), edges_of(column)))
        for i, name in enumerate(names)
    )
    whole = Profile(columns, np.empty((0, len(columns), len(STATISTICS))), np.empty(0, np.int64), np.empty((0, 0)))
    if 1 < len(columns) <= MOST_RELATED and len(values):
        whole = replace(whole, relations=_correlations(whole._ranks(values)[0]).round(6))
    numbers, rows = np.unique(window_of, return_counts=True)
    windows = [whole.statistics(values[window_of == w]) for w in numbers]
    return replace(whole, windows=np.array(windows).reshape(-1, len(columns), len(STATISTICS)), rows=rows)


def _correlations(ranks: Floats) -> Floats:
    """The correlations of columns `(rows, columns)`; 0 where one does not vary."""
    centred = ranks - ranks.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    scaled = centred / np.where(size > 0, size, 1.0)
    return np.asarray(scaled.T @ scaled)


def _plain(summary: NumberSummary) -> dict[str, Any]:
    return {**vars(summary), "edges": summary.edges.tolist(), "counts": summary.counts.tolist()}


def _summary(plain: dict[str, Any]) -> NumberSummary:
    rest = {name: plain[name] for name in ("nulls", "mean", "m2", "least", "greatest")}
    return NumberSummary(np.array(plain["edges"], np.float64), np.array(plain["counts"], np.int64), **rest)
