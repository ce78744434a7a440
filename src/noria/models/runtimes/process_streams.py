"""Streamed answers inside a model's process: a step of one of them at a time, in turn, and orders between any two steps.

The model's code never runs beside itself: it is one thread that takes steps, a call of `predict` or the making of one part. So a long text
holds up a call, or another text, for one part at most, and a model need not be safe for threads. (Models that wait for a network:
`noria.models.runtimes.waiting_streams`.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from noria.models.runtimes.messages import Failed, Part, Reply, StreamEnded
from noria.models.runtimes.one_answer import Making, OneAnswer, Row
from noria.models.runtimes.refused import failed_stream
from noria.models.runtimes.shared import packed


@dataclass
class _Open:
    """A stream. credit: so many more parts may be made"""

    answer: OneAnswer
    credit: int


class Streams:
    """The streams of one model. described: says an exception in one line, and prints it"""

    def __init__(self, making: Making, described: Callable[[BaseException], str]) -> None:
        self._making, self._described = making, described
        self._open: dict[int, _Open] = {}
        self._turns: deque[int] = deque()  # those with credit, in the order of their next steps

    @property
    def runnable(self) -> bool:
        return bool(self._turns)

    def begin(self, number: int, row: Row, credit: int) -> None:
        self._open[number] = _Open(OneAnswer(self._making, row), credit)
        self._turns.append(number)

    def grant(self, number: int, parts: int) -> None:
        """More parts may come; of a stream that is over, this says nothing."""
        found = self._open.get(number)
        if found is not None:
            if not found.credit:
                self._turns.append(number)
            found.credit += parts

    def cancel(self, number: int) -> StreamEnded | None:
        """Close a stream that nobody reads; None where it is over, which was said."""
        if number not in self._open:
            return None
        if self._open[number].credit:
            self._turns.remove(number)
        self._close(number)
        return StreamEnded(number)

    def step(self) -> Reply:
        """Make the next part of the stream whose turn it is."""
        number = self._turns.popleft()
        found = self._open[number]
        try:
            part = found.answer.next()
            row = packed(found.answer.complete()) if part is None and self._making.several else None
        except MemoryError as error:
            return Failed(self._described(error), ends=True)
        except Exception as error:  # noqa: BLE001 - whatever a model raises is told to who asked
            self._close(number)
            return failed_stream(number, error, self._described)
        if part is None:
            del self._open[number]
            return StreamEnded(number, row=row)
        found.credit -= 1
        if found.credit:
            self._turns.append(number)
        return Part(number, part)

    def _close(self, number: int) -> None:
        try:
            self._open.pop(number).answer.close()
        except Exception as error:  # noqa: BLE001 - what it does on closing changes nothing for anyone
            self._described(error)
