"""When a window's outcomes are due: by a stated label delay, by the delays of outcomes with known times, or by how many usually come."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import from_epoch, in_words, since_epoch
from noria.monitoring.label_delay import COMPLETE
from noria.monitoring.predictions.outcomes import Outcomes
from noria.monitoring.windowed_table import LAST, WindowedTable
from noria.profiles.projection import seconds_of

SECOND = 1_000_000  # microseconds
NEARLY_ALL = 0.999  # of the times of outcomes, so that a wrong one far ahead does not make all others late
CERTAIN = 3.0  # standard deviations by which fewer outcomes than usual are no chance


@dataclass(frozen=True)
class Maturity:
    """due: whether each window is old enough to be judged `(windows,)`; known: its outcomes; usual: the share of predictions that get one

    delay: how long after a prediction its outcome is certain to be known; None where that is neither stated nor seen
    as_of: the moment up to which outcomes count
    """

    due: NDArray[np.bool_]
    known: NDArray[np.int64]
    rows: NDArray[np.int64]
    usual: float
    delay: timedelta | None
    as_of: datetime

    @property
    def waiting(self) -> int:
        """The windows with predictions whose outcomes are not due yet."""
        return int((~self.due & (self.rows > 0)).sum())

    @property
    def words(self) -> str:
        """How it is known which windows are due."""
        if self.delay is None:
            return "windows wait while they have fewer outcomes than usual"
        return f"windows wait for outcomes until they are {in_words(self.delay)} old"

    @property
    def late_since(self) -> int | None:
        """The first of the newest due windows that all lack more than half of the outcomes that usually come; None if there is none.
        Without a known delay, nothing is late."""
        if self.delay is None or not self.usual:
            return None
        lacking = self.known < self.usual / 2 * self.rows
        first = None
        for place in np.flatnonzero(self.due & (self.rows > 0))[::-1].tolist():
            if not lacking[place]:
                break
            first = place
        return first


def as_of(cut: WindowedTable, outcomes: Outcomes) -> datetime:
    """The moment up to which outcomes count: as far as the table is said to be complete, or the newest time in it."""
    if cut.until is not None:
        return cut.until
    known = outcomes.known_at[outcomes.known & ~np.isnan(outcomes.known_at)]
    newest = since_epoch(cut.newest)
    if len(known):
        newest = max(newest, int(min(float(np.quantile(known, NEARLY_ALL)) * SECOND, LAST)))
    return from_epoch(newest)


def mature(cut: WindowedTable, outcomes: Outcomes, answered: NDArray[np.bool_], matures: timedelta | None, reference: int) -> Maturity:
    """Which windows may be judged. outcomes: those that are known by now; matures: the stated label delay"""
    at = as_of(cut, outcomes)
    borders = cut.borders
    known = _counts(outcomes.known & answered, borders)
    rows = _counts(answered, borders)
    first = rows[:reference] > 0
    usual = float(np.median(known[:reference][first] / rows[:reference][first])) if first.any() else 0.0
    delay = matures if matures is not None else _seen(cut, outcomes, int(borders[reference]))
    if delay is not None:
        ends = [*cut.starts[1:], cut.newest if cut.counted else cut.starts[-1] + timedelta(microseconds=0)]
        due = np.array([end + delay <= at for end in ends], bool)
        if not cut.counted:
            assert isinstance(cut.span, timedelta)
            due[-1] = cut.starts[-1] + cut.span + delay <= at
    else:
        due = _as_many_as_usual(known, rows, usual)
    return Maturity(due, known, rows, usual, delay, at)


def _counts(which: NDArray[np.bool_], borders: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many rows of each window `(windows,)`."""
    before = np.concatenate([[0], np.cumsum(which)])
    return np.asarray(before[borders[1:]] - before[borders[:-1]], np.int64)


def _seen(cut: WindowedTable, outcomes: Outcomes, rows: int) -> timedelta | None:
    """The delay within which nearly all outcomes of the reference became known; None where their times are not said."""
    timed = outcomes.known[:rows] & ~np.isnan(outcomes.known_at[:rows])
    if not timed.any():
        return None
    delays = outcomes.known_at[:rows][timed] - seconds_of(cut.table.column(cut.time))[:rows][timed]
    return timedelta(seconds=math.ceil(max(float(np.quantile(delays, COMPLETE)), 0.0)))


def _as_many_as_usual(known: NDArray[np.int64], rows: NDArray[np.int64], usual: float) -> NDArray[np.bool_]:
    """All windows but the newest ones with fewer outcomes than chance would leave."""
    due = np.ones(len(rows), bool)
    if not known.any():
        return ~due
    spare = CERTAIN * np.sqrt(rows * usual * (1 - usual))
    enough = known >= np.maximum(COMPLETE * usual * rows - spare, 1)
    there = np.flatnonzero(enough)
    due[(there[-1] + 1 if len(there) else 0) :] = False
    return due
