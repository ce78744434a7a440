"""Answers by their features: a row that was scored before is not scored again. For models whose call costs much more than a look-up.

What is remembered belongs to one bundle, so a new champion begins with nothing. Answers from the cache are logged like all others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from noria.data.rows import Rows, stacked

Score = Callable[[Rows], Rows]


@dataclass(frozen=True)
class Known:
    """What is remembered of some rows. keys: of each; found: answers by key; unknown: where the first row of each other key stands"""

    keys: list[bytes]
    found: dict[bytes, Rows]
    unknown: dict[bytes, int]


class AnswerCache:
    """The answers to the rows that were asked last, at most so many. Rows are compared byte by byte."""

    def __init__(self, most_rows: int) -> None:
        self._most = most_rows
        self._answers: OrderedDict[bytes, Rows] = OrderedDict()
        self.hits = 0

    def answer(self, rows: Rows, score: Score) -> Rows:
        """The answers to rows; `score` is asked for what is not known, once for equal rows. What it raises is raised."""
        known = self.known(rows)
        return self.completed(known, score(rows.take(list(known.unknown.values()))) if known.unknown else None)

    def known(self, rows: Rows) -> Known:
        """What is remembered of rows."""
        keys = rows.keys()
        unknown = {key: place for place, key in enumerate(keys) if key not in self._answers}
        return Known(keys, {key: self._answers[key] for key in keys if key not in unknown}, unknown)

    def completed(self, known: Known, answers: Rows | None) -> Rows:
        """The answers to rows of which some were known, with those to the others, in the order of `unknown`; they are remembered."""
        keys, found = known.keys, known.found
        if answers is not None:
            found |= {key: answers.part(place, place + 1) for place, key in enumerate(known.unknown)}
        for key in keys:
            self._answers[key] = found[key]
            self._answers.move_to_end(key)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)
        self.hits += len(keys) - len(known.unknown)
        return stacked([found[key] for key in keys])
