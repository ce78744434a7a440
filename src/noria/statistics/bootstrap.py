"""The circular block bootstrap (Politis & Romano 1992): histories as they might have been, with the past's own dependence in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def resampled(numbers: Integers, wanted: Integers, period: int, block: int, rng: np.random.Generator) -> Integers:
    """Places in the past `(len(wanted),)` that stand in for the windows numbered `wanted`, block by block.

    Each block begins at a place of the same phase of the season as the window it stands for (numbers modulo `period`), so that a Monday
    is drawn from Mondays; blocks run on past the end of the past to its beginning.
    """
    phase = numbers % period
    found = np.empty(len(wanted), np.int64)
    for first in range(0, len(wanted), block):
        same = np.flatnonzero(phase == wanted[first] % period)
        start = int(rng.choice(same if len(same) else np.arange(len(numbers))))
        span = min(block, len(wanted) - first)
        found[first : first + span] = (start + np.arange(span)) % len(numbers)
    return found
