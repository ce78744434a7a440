"""The line in which requests wait to be scored: who is let in, who goes first, and how many go together.

How much may wait follows from what batches have cost: half of the budget is for the batch that is being scored, half for what
waits. A request of low priority is let in while half of that is free; one of high priority goes first, and in even when the line
is full. What is too late to be of use, or whose client is gone, is not scored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from noria.core.errors import NoriaError, OutsideWorld, nearest
from noria.serving.protocol.request import BadRequest, PredictRequest

FIRST_CAPACITY = 256  # batches that may wait while the pace is not yet known, which it is from the second batch on
STALL = 8.0  # times what was expected
SETTLING = 8  # batches


class Priority(IntEnum):
    """How much a request matters when not all can be answered."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


SHARES = {Priority.LOW: 0.5, Priority.NORMAL: 1.0, Priority.HIGH: 1.25}


def priority_of(text: str) -> Priority:
    """The priority that a request names, `low`, `normal` or `high`; normal if it names none. Raises `BadRequest`."""
    if not text:
        return Priority.NORMAL
    try:
        return Priority[text.upper()]
    except KeyError:
        known = [p.name.lower() for p in Priority]
        what = f"there is no priority {text!r}{nearest(text, known)}"
        raise BadRequest(what=what, where="x-noria-priority", fix="priorities: " + ", ".join(known)) from None


@dataclass(frozen=True)
class RequestOptions:
    """How a request wants to be treated. timeout_seconds: when its answer is no longer of use; parent: its caller's trace."""

    priority: Priority = Priority.NORMAL
    timeout_seconds: float | None = None
    parent: str = ""


ORDINARY = RequestOptions()


class Overloaded(OutsideWorld):
    """More requests wait than can be answered in time."""

    code = "NR-520"
    retry_after = 1

    def __init__(self, waiting: int, seconds: float) -> None:
        super().__init__(
            what="the server is overloaded",
            where=f"{waiting} rows are queued, about {1e3 * seconds:.0f} ms of work",
            fix="try again in a moment, or run more workers (serving.workers)",
        )


class TooLate(OutsideWorld):
    """A request's deadline passed before its answer was there."""

    code = "NR-525"
    http_status = 504

    def __init__(self) -> None:
        super().__init__(what="the deadline has passed", where="the request's timeout", fix="allow more time, or run more workers")


class CostModel:
    """What a batch costs, from what batches did cost: seconds = fixed + each × rows, both fitted with a fading memory.

    A row is only said to cost what the sizes seen so far give evidence for (the slope less two of its standard errors): a machine that
    stood still for a moment while single rows were scored must not make thousands of rows look slow.
    """

    FADE = 0.98

    def __init__(self) -> None:
        self._weight = self._x = self._xx = self._y = self._xy = self._yy = 0.0

    def saw(self, rows: int, seconds: float) -> None:
        fade = self.FADE
        self._weight = fade * self._weight + 1
        self._x = fade * self._x + rows
        self._xx = fade * self._xx + rows * rows
        self._y = fade * self._y + seconds
        self._xy = fade * self._xy + rows * seconds
        self._yy = fade * self._yy + seconds * seconds

    def fit(self) -> tuple[float, float]:
        """Fixed seconds of a batch, and seconds of each row, by least squares; zeros before anything was seen."""
        n = self._weight
        if not n:
            return 0.0, 0.0
        spread = self._xx - self._x * self._x / n
        each = 0.0
        if spread > 1e-9 * self._xx and n > 2:
            slope = (self._xy - self._x * self._y / n) / spread
            left = max(self._yy - self._y * self._y / n - slope * slope * spread, 0.0)
            each = min(max(slope - 2 * math.sqrt(left / (n - 2) / spread), 0.0), self._y / self._x)
        return (self._y - each * self._x) / n, each

    def rows_within(self, seconds: float, most: int) -> int:
        """How many rows one batch may have to take no longer than `seconds`, at least 1 and at most `most`."""
        fixed, each = self.fit()
        return most if each == 0 else int(min(max((seconds - fixed) / each, 1), most))


class RequestQueue:
    """What waits, in rows. `now` tells seconds as deadlines are in.

    most_rows: of one batch; budget_seconds: what waiting and scoring may take; batches are kept to a quarter of it
    """

    SETTLE = 64  # batches between two looks at the pace

    def __init__(self, now: Callable[[], float], *, most_rows: int, budget_seconds: float) -> None:
        self._now, self._most_rows, self.budget = now, most_rows, budget_seconds
        self._batch_rows, self.capacity = most_rows, FIRST_CAPACITY * most_rows
        self._pace, self._batches, self._stalled = CostModel(), 0, False
        self._waiting: list[PredictRequest] = []
        self._first = 0  # so many of those that wait have a high priority
        self._timed = 0
        self.rows = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def full(self, priority: Priority) -> bool:
        """Whether nothing more of this priority is let in."""
        return self.rows >= (self.capacity if priority is Priority.NORMAL else self.capacity * SHARES[priority])

    def put(self, asked: PredictRequest, priority: Priority) -> None:
        """Let a request in. Raises `Overloaded` where there is no room for it; an empty line has room for any."""
        allowed = self.capacity if priority is Priority.NORMAL else self.capacity * SHARES[priority]
        if self.rows and self.rows + asked.count > allowed:
            raise Overloaded(self.rows, self.budget)
        if priority is Priority.HIGH:
            self._waiting.insert(self._first, asked)
            self._first += 1
        else:
            self._waiting.append(asked)
        self.rows += asked.count
        if asked.deadline is not None:
            self._timed += 1

    def next_batch(self) -> tuple[list[PredictRequest], list[tuple[PredictRequest, NoriaError | None]]]:
        """The first requests that wait, of at most so many rows together (a larger request goes alone); and those that are dropped:
        too late, or (None) their clients gone."""
        dropped = self._drop() if self._timed or self.rows > self._batch_rows else []
        waiting = self._waiting
        if self.rows <= self._batch_rows:
            self._waiting, self.rows, self._first, self._timed = [], 0, 0, 0
            return waiting, dropped
        rows = place = 0
        for asked in waiting:
            if place and rows + asked.count > self._batch_rows:
                break
            rows, place = rows + asked.count, place + 1
            self._timed -= asked.deadline is not None
        self._waiting, self.rows, self._first = waiting[place:], self.rows - rows, max(self._first - place, 0)
        return waiting[:place], dropped

    def _drop(self) -> list[tuple[PredictRequest, NoriaError | None]]:
        now = self._now()
        dropped: list[tuple[PredictRequest, NoriaError | None]] = []
        kept: list[PredictRequest] = []
        first = self._first
        for place, asked in enumerate(self._waiting):
            if asked.deadline is not None and now > asked.deadline:
                dropped.append((asked, TooLate()))
            elif asked.client.gone():
                dropped.append((asked, None))
            else:
                kept.append(asked)
                continue
            self.rows -= asked.count
            self._timed -= asked.deadline is not None
            self._first -= place < first
        self._waiting = kept
        return dropped

    def saw(self, rows: int, seconds: float) -> None:
        """Learn what a batch cost, and from that how large they may be and how much may wait."""
        self._batches += 1
        if self._batches == 1:
            return  # what is done for the first time costs more, and would have the next ones refused
        fixed, each = self._pace.fit()
        if self._batches <= SETTLING and seconds * STALL < fixed + each * rows:
            self._pace = CostModel()  # it was the ones before that were slow by accident: nothing is quick by accident
        stalled = seconds > STALL * (fixed + each * rows) > 0
        if stalled and not self._stalled:
            self._stalled = True  # one slow batch is an accident, two in a row are the pace
            return
        self._stalled = stalled
        self._pace.saw(rows, seconds)
        if self._batches % self.SETTLE == 0 or self._batches in (2, 4, 8, 16, 32):
            fixed, each = self._pace.fit()
            self._batch_rows = self._pace.rows_within(self.budget / 4, self._most_rows)
            whole = fixed + each * self._batch_rows
            first = FIRST_CAPACITY * self._most_rows
            self.capacity = max(int(self.budget / 2 / whole * self._batch_rows), self._batch_rows) if whole else first
