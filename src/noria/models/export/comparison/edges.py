"""Edge rows: rows of any types on which an export may answer otherwise than its original, made from rows that are given.

Each value at the edge of a column's type (unknown, zero, infinite, huge, empty, a category that there is not) stands in each column, amid
values of the rows given. Nothing is drawn by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import Rows, stacked

MAX_ROWS = 3_000
MAX_BACKGROUNDS = 5
HUGE, TINY = 1e30, 1e-30

GIVEN, UNKNOWN, UNSEEN = "training row", "no value", "an unseen category"
INFINITE = ("infinity", "-infinity")
EXTREME = (*INFINITE, "a huge number")  # which an original may refuse, and no request holds or means

OF_FLOATS: tuple[tuple[str, Any], ...] = (
    (UNKNOWN, None),
    ("0.0", 0.0),
    ("-0.0", -0.0),
    ("infinity", np.inf),
    ("-infinity", -np.inf),
    ("a huge number", HUGE),
    ("a huge number", -HUGE),
    ("a tiny number", TINY),
    ("a tiny number", -TINY),
)
OF_TEXTS: tuple[tuple[str, Any], ...] = ((UNKNOWN, None), ("an empty text", ""), (UNSEEN, "no such category"))
OF_TRUTHS: tuple[tuple[str, Any], ...] = ((UNKNOWN, None), ("true", True), ("false", False))


@dataclass(frozen=True)
class Change:
    """A row that is made: the place of the one given, and the values that some of its columns get, by their places."""

    kind: str
    background: int
    values: Mapping[int, Any]


@dataclass(frozen=True)
class Probes:
    """Rows on which two models are compared. kinds: why each is there `(rows,)`; columns: the place of the one that was changed, or -1"""

    rows: Rows
    kinds: Sequence[str]
    columns: Sequence[int]

    @staticmethod
    def of(given: Rows, changes: Sequence[Change]) -> Probes:
        """The rows given, and those that are made of them."""
        rows = stacked([given, changed(given, changes)]) if changes else given
        columns = [next(iter(change.values)) if len(change.values) == 1 else -1 for change in changes]
        return Probes(rows, [GIVEN] * len(given) + [change.kind for change in changes], [-1] * len(given) + columns)


def changed(given: Rows, changes: Sequence[Change]) -> Rows:
    """One row for each change."""
    found = given.take([change.background for change in changes])
    if found.is_dense:
        block = found.block.copy()
        for row, change in enumerate(changes):
            for column, value in change.values.items():
                block[row, column] = np.nan if value is None else value
        return Rows.dense(found.fields, block)
    import pyarrow as pa

    columns = []
    for place, name in enumerate(found.names):
        column = found.column(name)
        here = {row: change.values[place] for row, change in enumerate(changes) if place in change.values}
        if here:
            values = column.to_pylist()
            column = pa.array([here.get(row, value) for row, value in enumerate(values)], column.type)
        columns.append(column)
    return Rows.of(found.fields, columns)


def edge_changes(given: Rows) -> list[Change]:
    """Every edge value in every column that holds single values: in several columns at once where there would be too many rows."""
    by_kind: dict[tuple[str, Any], list[int]] = {}
    for place, field in enumerate(given.fields):
        for kind, value in edges_of(field):
            by_kind.setdefault((kind, repr(value)), []).append(place)
    values = {(kind, repr(value)): value for field in given.fields for kind, value in edges_of(field)}
    most = MAX_ROWS // max(1, len(by_kind))
    backgrounds = backgrounds_of(given)
    found = []
    for key, places in by_kind.items():
        groups = len(places) if key[0] == UNKNOWN else min(len(places), most)  # of what is unknown, each column by itself
        for group in np.array_split(np.asarray(places), groups):
            for background in backgrounds[: max(1, most // groups)]:
                found.append(Change(key[0], background, {int(place): values[key] for place in group}))
    return found


def backgrounds_of(given: Rows) -> list[int]:
    """The places of a few rows, evenly chosen."""
    return list(range(0, len(given), -(-len(given) // MAX_BACKGROUNDS)))


def edges_of(field: Field) -> Iterable[tuple[str, Any]]:
    """The edge values of a column, and what they are in words; None is unknown."""
    if field.shape or field.type in ("bytes", "timestamp"):
        return ()
    if field.type in FLOATS:
        return OF_FLOATS
    if field.type in INTEGERS:
        kind = np.iinfo(field.type)
        return ((UNKNOWN, None), ("0", 0), (f"the least {field.type}", int(kind.min)), (f"the greatest {field.type}", int(kind.max)))
    return OF_TRUTHS if field.type == "bool" else OF_TEXTS
