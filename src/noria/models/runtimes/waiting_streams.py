"""Streamed answers of a model that waits for a network: made side by side, each by a thread of its own, while orders are read.

Who asks bounds how many there are. A thread takes a step (the making of one part) where its stream has credit, so that a reader that
pauses has it wait. Parts of one stream come in order, since one thread says them; a stream that is cancelled is over once what it waited
for has ended (`noria.core.cancelling`), which its thread says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from noria.core.cancelling import Cancellation, Cancelled, within
from noria.models.runtimes.messages import Failed, Part, Reply, StreamEnded
from noria.models.runtimes.one_answer import Making, OneAnswer, Row
from noria.models.runtimes.refused import failed_stream
from noria.models.runtimes.shared import packed


@dataclass
class _Open:
    """credit: a permit for each part that may be made"""

    number: int
    answer: OneAnswer
    credit: threading.Semaphore
    cancellation: Cancellation = field(default_factory=Cancellation)


class WaitingStreams:
    """The streams of one model. say: to who asks, from any thread; described: says an exception in one line, and prints it"""

    runnable = False  # the thread that reads orders takes no steps

    def __init__(self, making: Making, described: Callable[[BaseException], str], say: Callable[[Reply], None]) -> None:
        self._making, self._described, self._say = making, described, say
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}

    def begin(self, number: int, row: Row, credit: int) -> None:
        found = _Open(number, OneAnswer(self._making, row), threading.Semaphore(credit))
        with self._lock:
            self._open[number] = found
        thread = threading.Thread(target=self._make, args=(found,), name=f"stream {number}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads, or no memory for one
            del self._open[number]
            self._say(failed_stream(number, error, self._described))

    def grant(self, number: int, parts: int) -> None:
        """More parts may come; of a stream that is over, this says nothing."""
        if (found := self._find(number)) is not None:
            found.credit.release(parts)

    def cancel(self, number: int) -> None:
        """Have a stream that nobody reads end; of one that is over, this says nothing."""
        if (found := self._find(number)) is not None:
            found.cancellation.cancel()
            found.credit.release()  # it may be waiting for that

    def step(self) -> Reply:
        raise AssertionError("each stream has a thread that takes its steps")

    def _find(self, number: int) -> _Open | None:
        with self._lock:
            return self._open.get(number)

    def _make(self, found: _Open) -> None:
        """In a thread: make the parts, and say how it ended."""
        with within(found.cancellation):
            last = self._made(found)
            try:
                with suppress(Cancelled):
                    found.answer.close()
            except Exception as error:  # noqa: BLE001 - what it does on closing changes nothing for anyone
                self._described(error)
        with self._lock:
            del self._open[found.number]
        with suppress(OSError):  # nobody is left to be told
            self._say(last)

    def _made(self, found: _Open) -> Reply:
        number, answer, cancellation = found.number, found.answer, found.cancellation
        try:
            while True:
                found.credit.acquire()
                cancellation.check()
                part = answer.next()
                if part is None:
                    return StreamEnded(number, row=packed(answer.complete()) if self._making.several else None)
                cancellation.check()
                self._say(Part(number, part))
        except Cancelled:
            return StreamEnded(number)
        except MemoryError as error:
            return Failed(self._described(error), ends=True)
        except Exception as error:  # noqa: BLE001 - whatever a model raises is told to who asked
            if cancellation.cancelled:  # what it waited for was ended from outside
                return StreamEnded(number)
            return failed_stream(number, error, self._described)
