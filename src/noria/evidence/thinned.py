"""Long series as shorter ones: what a page shows of thousands of windows in a bounded number of bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence


def places(count: int, most: int) -> list[list[int]]:
    """So many places as groups of neighbours, at most `most` of them."""
    size = max(1, -(-count // most))
    return [list(range(first, min(first + size, count))) for first in range(0, count, size)]


def means(values: Sequence[float | None], groups: Sequence[Sequence[int]]) -> list[float | None]:
    """The mean of what is known of each group; None where nothing is."""
    found = list[float | None]()
    for group in groups:
        known = [value for value in (values[i] for i in group) if value is not None]
        found.append(sum(known) / len(known) if known else None)
    return found


def mean_bounds(
    values: Sequence[float | None], bounds: Sequence[Sequence[float] | None], groups: Sequence[Sequence[int]]
) -> list[tuple[float, float] | None]:
    """The interval of the mean of each group, whose values vary by themselves; None where a group has none."""
    found = list[tuple[float, float] | None]()
    for group in groups:
        known = [(value, own) for value, own in ((values[i], bounds[i]) for i in group) if value is not None and own is not None]
        if not known:
            found.append(None)
            continue
        middle, count = sum(value for value, _ in known) / len(known), len(known)
        below, above = (math.sqrt(sum((own[side] - value) ** 2 for value, own in known)) / count for side in (0, 1))
        found.append((middle - below, middle + above))
    return found


def greatest(values: Sequence[float], groups: Sequence[Sequence[int]]) -> list[float]:
    """The greatest of each group."""
    return [max(values[i] for i in group) for group in groups]


def firsts(names: Sequence[str], groups: Sequence[Sequence[int]]) -> list[str]:
    """The first of each group."""
    return [names[group[0]] for group in groups]


def together(groups: Sequence[Sequence[int]], what: str = "mean") -> str:
    """That each point stands for several windows, in a sentence; empty where it stands for one."""
    return f" Each point is the {what} of {len(groups[0])} windows." if groups and len(groups[0]) > 1 else ""
