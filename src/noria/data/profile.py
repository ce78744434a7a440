"""Profiles: what the values of a period looked like, small enough to keep for ever and to compare windows with.

Each column is cut into frozen bins at the reference's quantiles. A window is then summarised, in one pass, by three
signed statistics per column: the mean and the spread of its values' ranks under the reference, and its share of nulls.
Signed statistics do not grow with small samples as distances (PSI, KS, Wasserstein) do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 20
EDGE_ROWS = 20_000
STATISTICS = ("mean_rank", "spread", "null_share")


@dataclass(frozen=True)
class ColumnReference:
    """The frozen reference of one column: bin edges, and for every bin its mid-rank (0 to 1) and its count."""

    name: str
    edges: Floats
    ranks: Floats
    counts: NDArray[np.int64]
    nulls: int
    least: float | None
    greatest: float | None

    def statistics(self, values: NDArray[Any]) -> tuple[float, float, float]:
        """(mean rank, mean distance of ranks from their middle, null share) of values `(rows,)`; NaN where undefined."""
        there = values[~np.isnan(values)]
        if len(values) == 0:
            return (np.nan, np.nan, np.nan)
        if len(there) == 0:
            return (np.nan, np.nan, 1.0)
        ranks = self.ranks[np.searchsorted(self.edges, there, side="right")]
        return float(ranks.mean()), float(np.abs(ranks - 0.5).mean()), 1.0 - len(there) / len(values)


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
        return np.array([c.statistics(values[:, i]) for i, c in enumerate(self.columns)])

    def to_json(self) -> bytes:
        """Canonical JSON; the same profile always gives the same bytes."""
        columns = [
            {
                "name": c.name,
                "edges": c.edges.tolist(),
                "ranks": c.ranks.tolist(),
                "counts": c.counts.tolist(),
                "nulls": c.nulls,
                "least": c.least,
                "greatest": c.greatest,
            }
            for c in self.columns
        ]
        windows = [[[None if np.isnan(v) else float(v) for v in row] for row in window] for window in self.windows]
        return json.dumps({"columns": columns, "windows": windows}, sort_keys=True).encode()

    @staticmethod
    def from_json(data: bytes) -> Profile:
        raw = json.loads(data)
        columns = tuple(
            ColumnReference(
                c["name"],
                np.array(c["edges"], np.float64),
                np.array(c["ranks"], np.float64),
                np.array(c["counts"], np.int64),
                c["nulls"],
                c["least"],
                c["greatest"],
            )
            for c in raw["columns"]
        )
        windows = np.array(raw["windows"], dtype=np.float64).reshape(-1, len(columns), len(STATISTICS))
        return Profile(columns, windows)


def profile(names: tuple[str, ...], values: NDArray[Any], window_of: NDArray[np.int64]) -> Profile:
    """The profile of values `(rows, columns)`, where row i lies in the window numbered `window_of[i]`."""
    columns = tuple(_reference(name, values[:, i]) for i, name in enumerate(names))
    empty = Profile(columns, np.empty((0, len(columns), len(STATISTICS))))
    windows = [empty.statistics(values[window_of == w]) for w in np.unique(window_of)]
    return Profile(columns, np.array(windows).reshape(-1, len(columns), len(STATISTICS)))


def _reference(name: str, values: NDArray[Any]) -> ColumnReference:
    there = values[~np.isnan(values)].astype(np.float64)
    nulls = len(values) - len(there)
    if len(there) == 0:
        return ColumnReference(name, np.empty(0), np.array([0.5]), np.zeros(1, np.int64), nulls, None, None)
    sample = there[:: max(1, len(there) // EDGE_ROWS)]  # edges may be approximate, what is counted in them may not
    edges = np.unique(np.quantile(sample, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, there, side="right"), minlength=len(edges) + 1)
    below = np.concatenate([[0], np.cumsum(counts)[:-1]])
    ranks = (below + counts / 2) / len(there)
    return ColumnReference(name, edges, ranks, counts, nulls, float(there.min()), float(there.max()))
