"""The lives of movements: when what drifts begins to be told, what is told with it, and when it is over.

Every column has a life of its own, so that an old movement hides no new one. Pure: from paths of evidence to spans of windows; what has
been said of a movement as windows came stays said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.monitoring.findings import OVER, episodes

Floats = NDArray[np.float64]

TOGETHER = 7  # windows after a movement has begun, within which another column of its source belongs to it


@dataclass
class Life:
    """Columns of one source, by number, the leading one first. told: the columns whose parts count for no other movement while it lasts"""

    source: str
    start: int
    end: int
    columns: list[int]
    told: set[int]
    after: int = 0

    def lasts(self, window: int) -> bool:
        return self.start <= window < self.end


class Lives:
    """parts: each column's weighted evidence `(windows, columns)`; sources: of the columns; began: when a column's drift began, as seen at
    a window: `(window, column)`."""

    def __init__(self, parts: Floats, sources: Sequence[str], threshold: float, began: Callable[[int, int], int]) -> None:
        self._parts, self._sources, self._threshold, self._began = parts, list(sources), threshold, began
        self._lives: list[Life] = []

    def all(self) -> list[Life]:
        """All movements, in the order in which they began."""
        spells: dict[int, list[tuple[int, int]]] = {}
        for column in np.flatnonzero((self._parts >= self._threshold).any(axis=0)).tolist() if len(self._parts) else ():
            for start, end in episodes(self._parts[:, column], self._threshold):
                spells.setdefault(start, []).append((column, end))
        for window in np.flatnonzero(self._parts.sum(axis=1) >= self._threshold).tolist():
            for column, end in sorted(spells.get(window, ()), key=lambda own: -self._parts[window, own[0]]):
                self._reached(window, column, end)
            self._together(window)
        return self._lives

    def _reached(self, window: int, column: int, end: int) -> None:
        """A column suffices by itself from this window on."""
        known = next((life for life in self._of(column) if self._belongs(life, window, column)), None)
        if known is None:
            self._begin(window, end, column, {column})
            return
        known.end = max(known.end, end)
        known.told.add(column)
        if column not in known.columns:
            known.columns.append(column)

    def _of(self, column: int) -> Iterator[Life]:
        return (life for life in reversed(self._lives) if life.source == self._sources[column])

    def _belongs(self, life: Life, window: int, column: int) -> bool:
        """Whether what a column does from a window on is told with a movement: it has grown, or began no later than that one was told."""
        if column in life.columns and life.end >= window:
            return True
        return life.lasts(window) and (window <= life.start + TOGETHER or self._began(window, column) <= life.start)

    def _together(self, window: int) -> None:
        """What no movement tells yet may suffice together: of one source, or of all."""
        part = self._parts[window].copy()
        for life in self._lives:
            if life.lasts(window):
                part[list(life.told)] = 0.0
        for source in dict.fromkeys(self._sources) if part.sum() >= self._threshold else ():
            own = [i for i, s in enumerate(self._sources) if s == source and part[i] > 0]
            if part[own].sum() >= self._threshold:
                self._begin_together(window, own)
                part[own] = 0.0
        if part.sum() >= self._threshold:
            source = self._sources[int(part.argmax())]
            self._begin_together(window, [i for i, s in enumerate(self._sources) if s == source and part[i] > 0])

    def _begin_together(self, window: int, columns: list[int]) -> None:
        """A movement of columns together, led by the one with most of the evidence, until that of all of them has ebbed."""
        path = self._parts[:, columns].sum(axis=1)
        over = np.flatnonzero(path[window + 1 :] < OVER * min(path[window], self._threshold))
        end = window + 1 + int(over[0]) if len(over) else len(path)
        self._begin(window, end, columns[int(self._parts[window, columns].argmax())], set(columns))

    def _begin(self, window: int, end: int, column: int, told: set[int]) -> None:
        after = max((life.end for life in self._of(column) if life.columns[0] == column and life.end <= window), default=0)
        self._lives.append(Life(self._sources[column], window, end, [column], told, after))
