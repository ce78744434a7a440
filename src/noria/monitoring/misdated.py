"""Misdated rows: a few whose times lie far from all others, such as 1970-01-01, 9999-12-31, or a clock that runs years ahead.

One of them would stretch a table over thousands of empty windows. They are left out of a judgement, and named with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import YEAR, microseconds

Microseconds = NDArray[np.int64]

FAR_WINDOWS = 30  # a shorter gap is a pause
FEW, FEW_SHARE = 3, 0.01  # rows, and the share of them, that may be left out
LARGE = 0.2  # of all rows, from which times that lie apart are as good as others


@dataclass(frozen=True)
class Misdated:
    """Rows with times far before, or far after, the others. first_row: the number of the first as it came, from 1"""

    rows: int
    oldest: int
    newest: int
    first_row: int

    @property
    def summary(self) -> str:
        oldest, newest = written(self.oldest), written(self.newest)
        times = f"at {oldest}" if oldest == newest else f"from {oldest} to {newest}"
        them, first = ("row is dated", "in") if self.rows == 1 else ("rows are dated", "first in")
        return f"{self.rows:,} {them} far from the rest, {times} UTC, {first} row {self.first_row:,}"


def written(us: int) -> str:
    """A time to the minute, also one that lies outside the years of Python's."""
    return str(np.datetime64(int(us), "us").astype("datetime64[m]")).replace("T", " ")


def body(us: Microseconds, width: int | None) -> slice:
    """Where the times lie that are not far from most, of sorted times `(rows,)`; width: of a window, None where windows are cut by count.

    A gap is long that has 30 windows, and is longer than a year or than twice the time of the middle half of the rows. Where what
    lies beyond long gaps is a fifth of the rows or more, the times are as they should be.
    """
    middle_half = int(us[len(us) * 3 // 4]) - int(us[len(us) // 4])
    far = max(FAR_WINDOWS * (width or 0), min(2 * middle_half, microseconds(YEAR)))
    if not far:
        return slice(0, len(us))
    gaps = np.diff(us.view(np.uint64))  # that of the farthest times has more than 63 bits
    borders = np.array([0, *(np.flatnonzero(gaps > far) + 1), len(us)])
    sizes = np.diff(borders)
    large = np.flatnonzero(sizes >= min(LARGE * len(us), sizes.max()))
    found = slice(int(borders[large[0]]), int(borders[large[-1] + 1]))
    return slice(0, len(us)) if _outside(found, us) >= LARGE * len(us) else found


def are_few(found: slice, us: Microseconds) -> bool:
    """Whether so few rows lie outside that they can be left out."""
    return _outside(found, us) <= max(FEW, FEW_SHARE * len(us))


def outside(found: slice, us: Microseconds, numbers: NDArray[np.int64]) -> tuple[Misdated, ...]:
    """The rows before and after; numbers: of the rows, as they came."""
    sides = (slice(0, found.start), slice(found.stop, len(us)))
    return tuple(
        Misdated(s.stop - s.start, int(us[s.start]), int(us[s.stop - 1]), int(numbers[s].min())) for s in sides if s.stop > s.start
    )


def _outside(found: slice, us: Microseconds) -> int:
    return int(len(us) - (found.stop - found.start))
