"""Shares with their intervals, and how long something takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if of == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def told(hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    return f"{hits / of if of else 0:.3f} [{low:.3f}, {high:.3f}] ({hits}/{of})"


def precision(hits: int, false: int) -> str:
    return told(hits, hits + false)


def microseconds(of: Callable[[str], object], texts: Sequence[str]) -> tuple[float, float]:
    """The median and the 99th percentile of the processor time that a call takes, after one that warms it up: others may run beside it."""
    of(texts[0])
    taken = list[float]()
    for text in texts:
        start = time.thread_time()
        of(text)
        taken.append((time.thread_time() - start) * 1e6)
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 99))


def reached(scores: Iterable[float], threshold: float) -> int:
    return sum(score >= threshold for score in scores)
