"""The memory that the bodies of requests may take in one process, however many connections send them at once.

A large body lies in one buffer, taken from the budget before its first byte is read, and columns are views of it: so what is counted
is given back when the last of them is gone, and not when somebody remembers to. Small bodies are not counted: a connection has a few.
"""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np

from noria.core.errors import OutsideWorld

UNCOUNTED = 64 * 1024  # bytes: so many a connection may have beside what is counted


class TooManyBytes(OutsideWorld):
    """The requests that are under way take all the memory that they may."""

    code = "NR-550"
    retry_after = 1

    def __init__(self, asked: int, held: int, most: int) -> None:
        self.asked, self.held, self.most = asked, held, most
        super().__init__(
            what="the server is overloaded",
            where=f"requests of {held:,} bytes are under way, of {most:,} that may be; this one has {asked:,} more",
            fix="try again in a moment, run more workers, or raise serving.max_waiting_bytes",
        )


class ByteBudget:
    """Counts the bytes of large bodies that are alive. Used from one event loop; bodies may end in any thread."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._returned: deque[int] = deque()  # by whichever thread let go of a body last

    @property
    def held(self) -> int:
        """The bytes that are alive."""
        while self._returned:
            self._taken -= self._returned.popleft()
        return self._taken

    def require_room(self, size: int) -> None:
        """Raises `TooManyBytes` where there is no room for a body; where nothing else is, there is room for any."""
        if size > UNCOUNTED and (held := self.held) and held + size > self._most:
            raise TooManyBytes(size, held, self._most)

    def buffer(self, size: int) -> memoryview:
        """Memory for a body, counted until nothing refers to it any more. Raises `TooManyBytes`."""
        self.require_room(size)
        array = np.empty(size, np.uint8)
        if size > UNCOUNTED:
            self._taken += size
            weakref.finalize(array, self._returned.append, size).atexit = False
        return array.data
