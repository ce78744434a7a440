"""Cancelling what a thread waits for: nobody needs the answer any more, so the connection it comes over is closed, and the thread goes on.

A thread that may be cancelled works `within` a `Cancellation`. What waits in it names a way to end the wait (`ended_by`), or looks
(`check`). `Cancelled` is no `Exception`, so that nothing which deals with failures, by trying again or by asking another, takes it for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cancelled(BaseException):
    """Nobody waits for this any more."""


class Cancellation:
    """Whether somebody still waits for what a thread does, and what to end where nobody does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ends: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        return self._over.is_set()

    def cancel(self) -> None:
        """Called from another thread: what is waited for now ends, and what would be waited for next does not begin."""
        with self._lock:
            if self._over.is_set():
                return
            self._over.set()
            for end in self._ends:
                end()

    def check(self) -> None:
        """Raises `Cancelled` where nobody waits any more."""
        if self._over.is_set():
            raise Cancelled

    @contextmanager
    def ended_by(self, end: Callable[[], None]) -> Iterator[None]:
        """While within, `end` is what ends the wait; it is called from another thread. Raises `Cancelled` where it is too late to begin."""
        with self._lock:
            self.check()
            self._ends.append(end)
        try:
            yield
        finally:
            with self._lock:
                self._ends.remove(end)

    def sleep(self, seconds: float) -> None:
        """Wait so long. Raises `Cancelled`."""
        if self._over.wait(seconds):
            raise Cancelled


_NEVER = Cancellation()
_now = threading.local()


def current() -> Cancellation:
    """That of this thread; one that nobody cancels where it has none."""
    found: Cancellation = getattr(_now, "cancellation", _NEVER)
    return found


@contextmanager
def within(cancellation: Cancellation) -> Iterator[None]:
    """What this thread does while within can be cancelled."""
    before = current()
    _now.cancellation = cancellation
    try:
        yield
    finally:
        _now.cancellation = before
