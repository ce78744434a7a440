"""Leakage suspects: columns that tell the label too well to be known before it.

What is missing where no outcome is known yet comes with it. And each column alone is made into at most `BINS` groups; what is usual in a
group in the even rows predicts the odd rows. A column that leaves next to nothing to predict is a copy of the label, a part of it, or a
consequence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.start.facts import Facts, numbers_of

if TYPE_CHECKING:
    import pyarrow as pa

BINS = 64
TOO_WELL = 0.95  # of what a constant prediction leaves unexplained
TOGETHER, ELSEWHERE, MIN_UNKNOWN = 0.8, 0.01, 10  # of rows without an outcome, and of others, that lack a value that comes with it
ONLY_WITH = 0.98  # of the rows, of a column that has values only for one outcome
MAX_ROWS = 50_000


def suspects(rows: pa.Table, facts: Mapping[str, Facts], label: str, columns: list[str], *, classes: bool) -> dict[str, str]:
    """The columns that seem to give the label away, with the reason."""
    if rows.num_rows > MAX_ROWS:
        rows = rows.take(np.linspace(0, rows.num_rows - 1, MAX_ROWS).astype(np.int64))
    outcome, known = _outcome(rows.column(label), classes=classes)
    found = {}
    for name in columns:
        groups, missing = _groups(rows.column(name), facts[name])
        if _comes_with(missing, known):
            found[name] = f"it is missing where {label!r} is not known yet: the two are written down together"
            continue
        share = explained(groups[known], outcome[known], classes=classes)
        if missing.any() and not missing.all():
            by_null = explained(missing.astype(np.int64)[known], outcome[known], classes=classes)
            if by_null >= ONLY_WITH:
                found[name] = f"it has a value only where {label!r} has certain outcomes: it is known afterwards"
                continue
        if share >= TOO_WELL:
            found[name] = f"alone it explains {share:.0%} of {label!r}: a copy, a part or a consequence of it"
        elif share > 0.5 and _named_after(name, label):
            found[name] = f"it is named after {label!r} and explains {share:.0%} of it"
    return found


def _comes_with(missing: NDArray[np.bool_], known: NDArray[np.bool_]) -> bool:
    """Whether a column is missing where no outcome is known, and hardly elsewhere."""
    if (~known).sum() < MIN_UNKNOWN:
        return False
    return bool(missing[~known].mean() >= TOGETHER and missing[known].mean() <= ELSEWHERE)


def explained(groups: NDArray[np.int64], outcome: NDArray[np.float64], *, classes: bool) -> float:
    """How much of the outcomes `(rows,)` of every second row the groups `(rows,)` of the others explain: of the errors of a constant, or
    of the variance."""
    fit, test = slice(0, None, 2), slice(1, None, 2)
    if len(outcome) < 20:
        return 0.0
    _, group = np.unique(groups, return_inverse=True)
    size = int(group.max()) + 1
    if classes:
        values, place = np.unique(outcome, return_inverse=True)
        counts = np.zeros((size, len(values)))
        np.add.at(counts, (group[fit], place[fit]), 1)
        usual = int(np.bincount(place[fit]).argmax())
        counts[counts.sum(axis=1) == 0, usual] = 1
        wrong = float((counts.argmax(axis=1)[group[test]] != place[test]).mean())
        base = float((place[test] != usual).mean())
        return 1 - wrong / base if base else 0.0
    total, count = np.zeros(size), np.zeros(size)
    np.add.at(total, group[fit], outcome[fit])
    np.add.at(count, group[fit], 1)
    mean = float(outcome[fit].mean())
    predicted = np.where(count > 0, total / np.maximum(count, 1), mean)[group[test]]
    left, all_of_it = float(((outcome[test] - predicted) ** 2).mean()), float(((outcome[test] - mean) ** 2).mean())
    return 1 - left / all_of_it if all_of_it else 0.0


def _outcome(column: pa.ChunkedArray, *, classes: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The outcomes as numbers, and which are known."""
    if classes:
        codes = _codes(column)
        return codes.astype(np.float64), codes >= 0
    values = numbers_of(column)
    return values, np.isfinite(values)


def _groups(column: pa.ChunkedArray, fact: Facts) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The group of each row by its value, and where there is none."""
    if fact.kind == "text":
        codes = _codes(column)
        return codes + 1, codes < 0
    values = numbers_of(column)
    missing = ~np.isfinite(values)
    there = values[~missing]
    if not len(there):
        return np.zeros(len(values), np.int64), missing
    distinct = np.unique(there)
    edges = distinct if len(distinct) <= BINS else np.unique(np.quantile(there, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(missing, 0, np.searchsorted(edges, np.where(missing, 0, values), side="right") + 1), missing


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number for each value `(rows,)`, -1 where there is none."""
    indices = column.combine_chunks().dictionary_encode().indices
    return np.asarray(indices.fill_null(-1), np.int64)


def _named_after(name: str, label: str) -> bool:
    words = set(re.split(r"[_\W]+", name.lower()))
    return len(label) > 2 and label.lower() in words | {name.lower().replace("_", "")}
