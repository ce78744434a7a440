"""Profiles: what the values of a period looked like, small enough to keep for ever and to compare windows with.

Each column is cut into frozen bins at the reference's quantiles. A window is then summarised, in one pass, by three
signed statistics per column: the mean and the spread of its values' ranks under the reference, and its share of nulls.
Signed statistics do not grow with small samples as distances (PSI, KS, Wasserstein) do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.data.summary import NumberSummary, edges_of, summarise_numbers

Floats = NDArray[np.float64]

STATISTICS = ("mean_rank", "spread", "null_share")


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

    def statistics(self, window: NumberSummary) -> tuple[float, float, float]:
        """(mean rank, mean distance of ranks from their middle, null share) of a window by these bins; NaN where undefined."""
        if window.rows == 0:
            return (np.nan, np.nan, np.nan)
        if window.there == 0:
            return (np.nan, np.nan, 1.0)
        share = window.counts / window.there
        return float(share @ self.ranks), float(share @ np.abs(self.ranks - 0.5)), window.nulls / window.rows


@dataclass(frozen=True)
class Profile:
    """Reference of every column, and what their statistics were in each past window of the reference period.

    windows: `(windows, columns, 3)`, in the order of `STATISTICS`
    """

    columns: tuple[ColumnReference, ...]
    windows: Floats

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    def statistics(self, values: NDArray[Any]) -> Floats:
        """The statistics of one window, `(columns, 3)`, from its values `(rows, columns)` in the profile's order."""
        return np.array([c.statistics(summarise_numbers(values[:, i], c.summary.edges)) for i, c in enumerate(self.columns)])

    def to_json(self) -> bytes:
        """Canonical JSON; the same profile always gives the same bytes."""
        columns = [{"name": c.name, **_plain(c.summary)} for c in self.columns]
        windows = [[[None if np.isnan(v) else float(v) for v in row] for row in window] for window in self.windows]
        return json.dumps({"columns": columns, "windows": windows}, sort_keys=True).encode()

    @staticmethod
    def from_json(data: bytes) -> Profile:
        raw = json.loads(data)
        columns = tuple(ColumnReference(c["name"], _summary(c)) for c in raw["columns"])
        windows = np.array(raw["windows"], dtype=np.float64).reshape(-1, len(columns), len(STATISTICS))
        return Profile(columns, windows)


def profile(names: tuple[str, ...], values: NDArray[Any], window_of: NDArray[np.int64]) -> Profile:
    """The profile of values `(rows, columns)`, where row i lies in the window numbered `window_of[i]`."""
    columns = tuple(
        ColumnReference(name, summarise_numbers(column := values[:, i].astype(np.float64), edges_of(column)))
        for i, name in enumerate(names)
    )
    empty = Profile(columns, np.empty((0, len(columns), len(STATISTICS))))
    windows = [empty.statistics(values[window_of == w]) for w in np.unique(window_of)]
    return Profile(columns, np.array(windows).reshape(-1, len(columns), len(STATISTICS)))


def _plain(summary: NumberSummary) -> dict[str, Any]:
    return {**vars(summary), "edges": summary.edges.tolist(), "counts": summary.counts.tolist()}


def _summary(plain: dict[str, Any]) -> NumberSummary:
    rest = {name: plain[name] for name in ("nulls", "mean", "m2", "least", "greatest")}
    return NumberSummary(np.array(plain["edges"], np.float64), np.array(plain["counts"], np.int64), **rest)
