"""The line in which requests wait to be scored: who is let in, who goes first, and how many go together.

How much may wait follows from what batches have cost: half of the budget is for the batch that is being scored, half for what
waits. A request of low priority is let in while half of that is free; one of high priority goes first, and in even when the line
is full. What is too late to be of use, or whose client is gone, is not scored.

Cost is counted in rows where all rows cost the same. Where they have no fixed size (images, long texts), what is large weighs more than
its rows, and the pace is that of weights. The bytes of large values have bounds of their own: of what waits, and of a batch.
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
    """How a request wants to be treated. timeout_seconds: when its answer is no longer of use; parent: its caller's trace

    labels, tenant: those of its key, which say what it may read, and on whose behalf it asks
    """

    priority: Priority = Priority.NORMAL
    timeout_seconds: float | None = None
    parent: str = ""
    labels: tuple[str, ...] = ()
    tenant: str = ""


ORDINARY = RequestOptions()


class Overloaded(OutsideWorld):
    """More requests wait than can be answered in time."""

    code = "NR-520"
    retry_after = 1

    def __init__(self, waiting: int, seconds: float, size: int = 0) -> None:
        super().__init__(
            what="the server is overloaded",
            where=f"{waiting} rows are queued, " + (f"{size:,} bytes" if size else f"about {1e3 * seconds:.0f} ms of work"),
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
    """What waits. `now` tells seconds as deadlines are in.

    most_rows, most_batch_bytes: of one batch; budget_seconds: what waiting and scoring may take; batches are kept to a quarter of it
    most_bytes: of large values that may wait

    rows: that wait; load: what they weigh, as many as they are where all cost the same; bytes: of their large values
    """

    SETTLE = 64  # batches between two looks at the pace

    def __init__(
        self,
        now: Callable[[], float],
        *,
        most_rows: int,
        budget_seconds: float,
        most_bytes: float = math.inf,
        most_batch_bytes: float = math.inf,
    ) -> None:
        self._now, self._most_rows, self.budget = now, most_rows, budget_seconds
        self._most_bytes, self._batch_bytes = most_bytes, most_batch_bytes
        self._batch_load: float = math.inf
        self.capacity = FIRST_CAPACITY * most_rows
        self._pace, self._batches, self._stalled = CostModel(), 0, False
        self._rows_seen = self._load_seen = 0.0  # of batches, with the same fading memory
        self._largest = 0  # load of a batch
        self._waiting: list[PredictRequest] = []
        self._first = 0  # so many of those that wait have a high priority
        self._timed = 0
        self.rows = self.load = self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def full(self, priority: Priority) -> bool:
        """Whether nothing more of this priority is let in."""
        share = SHARES[priority]
        return self.load >= self.capacity * share or self.bytes >= self._most_bytes * share

    def put(self, asked: PredictRequest, priority: Priority) -> None:
        """Let a request in. Raises `Overloaded` where there is no room for it; an empty line has room for any."""
        allowed = self.capacity if priority is Priority.NORMAL else self.capacity * SHARES[priority]
        load = asked.count + asked.weight
        if self.rows and self.load + load > allowed:
            raise Overloaded(self.rows, self.budget)
        if asked.size:
            if self.bytes and self.bytes + asked.size > self._most_bytes * SHARES[priority]:
                raise Overloaded(self.rows, self.budget, self.bytes)
            self.bytes += asked.size
        if priority is Priority.HIGH:
            self._waiting.insert(self._first, asked)
            self._first += 1
        else:
            self._waiting.append(asked)
        self.rows += asked.count
        self.load += load
        if asked.deadline is not None:
            self._timed += 1

    def next_batch(self) -> tuple[list[PredictRequest], list[tuple[PredictRequest, NoriaError | None]]]:
        """The first requests that wait, of no more rows, load and bytes than a batch may have (a larger request goes alone); and those that
        are dropped: too late, or (None) their clients gone."""
        most = self._batch_load
        if self.bytes and self._batches < SETTLING:
            most = min(
                most, 2 * max(self._largest, self._waiting[0].count + self._waiting[0].weight)
            )  # what large rows cost is not known yet
        whole = self.rows <= self._most_rows and self.load <= most and self.bytes <= self._batch_bytes
        dropped = self._drop() if self._timed or not whole else []
        waiting = self._waiting
        if whole or (self.rows <= self._most_rows and self.load <= most and self.bytes <= self._batch_bytes):
            self._waiting, self._first, self._timed = [], 0, 0
            self.rows = self.load = self.bytes = 0
            return waiting, dropped
        rows = load = size = place = 0
        for asked in waiting:
            weighs = asked.count + asked.weight
            if place and (rows + asked.count > self._most_rows or load + weighs > most or size + asked.size > self._batch_bytes):
                break
            rows, load, size, place = rows + asked.count, load + weighs, size + asked.size, place + 1
            self._timed -= asked.deadline is not None
        self._waiting, self._first = waiting[place:], max(self._first - place, 0)
        self.rows, self.load, self.bytes = self.rows - rows, self.load - load, self.bytes - size
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
            self.load -= asked.count + asked.weight
            self.bytes -= asked.size
            self._timed -= asked.deadline is not None
            self._first -= place < first
        self._waiting = kept
        return dropped

    def saw(self, rows: int, seconds: float, weight: int = 0) -> None:
        """Learn what a batch cost, and from that how large they may be and how much may wait. weight: what it weighed beside its rows"""
        self._batches += 1
        load = rows + weight
        self._largest = max(self._largest, load)
        if self._batches == 1:
            return  # what is done for the first time costs more, and would have the next ones refused
        fixed, each = self._pace.fit()
        if self._batches <= SETTLING and seconds * STALL < fixed + each * load:
            self._pace = CostModel()  # it was the ones before that were slow by accident: nothing is quick by accident
        stalled = seconds > STALL * (fixed + each * load) > 0
        if stalled and not self._stalled:
            self._stalled = True  # one slow batch is an accident, two in a row are the pace
            return
        self._stalled = stalled
        self._pace.saw(load, seconds)
        fade = CostModel.FADE
        self._rows_seen, self._load_seen = fade * self._rows_seen + rows, fade * self._load_seen + load
        if self._batches % self.SETTLE == 0 or self._batches in (2, 4, 8, 16, 32):
            self._look()

    def _look(self) -> None:
        """Size batches and the line by the pace."""
        fixed, each = self._pace.fit()
        most = round(self._most_rows * self._load_seen / self._rows_seen)  # load of as many rows as a batch may have
        self._batch_load = load = self._pace.rows_within(self.budget / 4, most)
        whole = fixed + each * load
        self.capacity = max(int(self.budget / 2 / whole * load), load) if whole else FIRST_CAPACITY * self._most_rows
