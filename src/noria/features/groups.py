"""Groups: the rows of a spine that belong together, such as the candidates of one query, as their keys say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from noria.features.keys import key_parts

Numbers = NDArray[np.int64]
V = TypeVar("V", np.datetime64, np.int64)


def group_numbers(keys: Sequence[str | None], columns: Sequence[str], group: str) -> Numbers:
    """The number of the group that each row belongs to `(rows,)`, from 0, in the order of their first rows.

    keys: of the spine's facts, as `noria.features.keys` writes them; columns: the spine's keys; group: the one of them that says the group
    A key that comes again belongs to a list that was asked once more: the second time, it is of a second group, and so on. A row without a
    key, or with a text that is no key of the spine, is a group of its own.
    """
    place, again = columns.index(group), _times_before(keys)
    numbers: dict[tuple[str | int, int], int] = {}
    found = np.empty(len(keys), np.int64)
    for row, key in enumerate(keys):
        parts = [] if key is None else key_parts(key, len(columns))
        of = (parts[place], again[row]) if len(parts) == len(columns) else (row, 0)
        found[row] = numbers.setdefault(of, len(numbers))
    return found


def _times_before(keys: Sequence[str | None]) -> Sequence[int]:
    """How often each row's key stands before it."""
    if len(set(keys)) == len(keys):
        return [0] * len(keys)
    seen: dict[str | None, int] = {}
    found = []
    for key in keys:
        found.append(seen.get(key, 0))
        seen[key] = found[-1] + 1
    return found


def whole_groups(keep: NDArray[np.bool_], groups: Numbers) -> NDArray[np.bool_]:
    """The rows whose group is kept in all of its rows `(rows,)`."""
    _, place = np.unique(groups, return_inverse=True)
    return np.asarray((np.bincount(place, weights=~keep) == 0)[place]) if len(groups) else keep


def first_of_group(values: NDArray[V], groups: Numbers) -> NDArray[V]:
    """The least of its group's values, for each row `(rows,)`."""
    _, place = np.unique(groups, return_inverse=True)
    order = np.lexsort((values, place))
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    return np.asarray(values[order[starts]][place])


def group_sizes(groups: Numbers) -> Numbers:
    """How many rows each group has `(groups,)`, of rows that lie group by group, in their order."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.diff(starts, append=len(groups))
