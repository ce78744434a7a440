"""Slices of a table of predictions: the values of some of its columns, in which performance is judged by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.monitoring.predictions.values import NotPredictions, is_number, numbers, require_columns, texts
from noria.monitoring.windowed_table import WindowedTable
from noria.profiles.profile import MAX_SLICES

MANY = 100  # different numbers, above which a column of numbers is an amount and no category


@dataclass(frozen=True)
class Cut:
    """What a column makes of the rows. names: of its slices, such as `carrier=AA`; of_row: the place of each row's slice among them
    `(rows,)`, −1 where it is in none"""

    names: tuple[str, ...]
    of_row: NDArray[np.int32]


def cut_by(cut: WindowedTable, columns: Sequence[str], reference: int, where: str) -> tuple[Cut, ...]:
    """The slices by each of the columns: its most frequent values among the first `reference` rows. Raises `NotPredictions`."""
    require_columns(cut.table, list(columns), "the slices", where)
    return tuple(_of_column(cut, name, reference, where) for name in dict.fromkeys(columns))


def _of_column(cut: WindowedTable, name: str, reference: int, where: str) -> Cut:
    column = cut.table.column(name)
    if is_number(column.type) and len(np.unique(numbers(column))) > MANY:
        raise NotPredictions(
            what=f"column {name!r} has more than {MANY} different numbers, which make no slices",
            where=f"{where}, the slices",
            fix="add a column with ranges of it, such as 'low', 'middle' and 'high', and name that one",
        )
    encoded = texts(column).combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    codes = np.asarray(encoded.indices.fill_null(-1), np.int32)
    counts = np.bincount(codes[:reference][codes[:reference] >= 0], minlength=len(values))
    chosen = [place for place in np.argsort(-counts, kind="stable")[:MAX_SLICES].tolist() if counts[place]]
    place_of = np.full(len(values) + 1, -1, np.int32)  # the last is of rows without a value
    place_of[chosen] = np.arange(len(chosen), dtype=np.int32)
    return Cut(tuple(f"{name}={values[place]}" for place in chosen), place_of[codes])
