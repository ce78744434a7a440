"""Attribution: how much of a model's answer hangs on each feature.

Permutation importance (Breiman 2001; Fisher, Rudin & Dominici 2019) of the answer itself, not of a loss: how far predictions move, on
average, when one column is shuffled among the rows. It needs no labels, and any model that scores rows has it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from noria.data.rows import Rows

MAX_ROWS = 2_000


def attribute(predict: Callable[[Rows], NDArray[np.float64]], features: Rows, seed: int) -> NDArray[np.float64]:
    """The share of each feature `(features,)`, summing to 1; even where the answer never moves.

    predict: gives scores `(rows,)` or `(rows, scores)`; of several, each counts in units of how much it varies
    """
    rng = np.random.default_rng(seed)
    rows = features.take(np.arange(0, len(features), max(1, len(features) // MAX_ROWS))[:MAX_ROWS])
    before = predict(rows)
    spread = 1.0 if before.ndim == 1 else np.where(before.std(axis=0) > 0, before.std(axis=0), 1.0)
    moved = np.zeros(len(rows.fields))
    for column in range(len(moved)):
        order = rng.permutation(len(rows))
        moved[column] = (np.abs(predict(rows.shuffled(column, order)) - before) / spread).mean()
    total = moved.sum()
    return moved / total if total > 0 else np.full(len(moved), 1 / max(len(moved), 1))
