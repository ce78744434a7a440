"""Answers by their features: a row that was scored before is not scored again. For models whose call costs much more than a look-up.

What is remembered belongs to one bundle, so a new champion begins with nothing. Answers from the cache are logged like all others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Score = Callable[[NDArray[np.float32]], NDArray[np.float64]]


class AnswerCache:
    """The answers to the rows that were asked last, at most so many. Rows are compared byte by byte."""

    def __init__(self, most_rows: int) -> None:
        self._most = most_rows
        self._answers: OrderedDict[bytes, float] = OrderedDict()
        self.hits = 0

    def answer(self, features: NDArray[np.float32], score: Score) -> NDArray[np.float64]:
        """`(rows, features)` → `(rows,)`; `score` is asked for what is not known, once for equal rows. What it raises is raised."""
        keys = [row.tobytes() for row in features]
        unknown = {key: place for place, key in enumerate(keys) if key not in self._answers}
        found = {key: self._answers[key] for key in keys if key not in unknown}
        if unknown:
            found |= zip(unknown, score(features[list(unknown.values())]).tolist(), strict=True)
        for key in keys:
            self._answers[key] = found[key]
            self._answers.move_to_end(key)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)
        self.hits += len(keys) - len(unknown)
        return np.array([found[key] for key in keys])
