"""How long an answer may take: as a whole, until its first part, and from each part to the next."""

from __future__ import annotations

from noria.core.clock import Stopwatch


class Late(TimeoutError):
    """A time-out. limit: which; seconds: how long it is"""

    def __init__(self, limit: str, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        super().__init__(f"{limit} took longer than {seconds:g} s")


class Pace:
    """The time that is left for one answer, over all attempts. What only keeps a connection alive is no part and wins no time."""

    def __init__(self, total: float, first: float | None = None, between: float | None = None) -> None:
        self._total, self._first, self._between = total, first, between
        self._watch = Stopwatch()
        self._limit, self._allowed = "the first part", first
        self._since = 0.0
        self.late: Late | None = None

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._watch.seconds

    @property
    def left(self) -> float:
        """Seconds until the whole answer is late."""
        return self._total - self._watch.seconds

    def attempt(self) -> None:
        """Another attempt begins: its first part has as long again."""
        self._limit, self._allowed, self._since = "the first part", self._first, self._watch.seconds

    def part(self) -> None:
        """A part came. From now on the next one is waited for: the time that whoever reads the parts takes is theirs."""
        self._limit, self._allowed, self._since = "the next part", self._between, self._watch.seconds

    def linger(self, seconds: float) -> None:
        """The answer is complete: what still comes is waited for so long."""
        self._limit, self._allowed, self._since = "the end of the transfer", seconds, self._watch.seconds

    def wait(self) -> float:
        """Seconds that may be waited now. Raises `Late`."""
        now = self._watch.seconds
        left, limit, seconds = self._total - now, "the whole answer", self._total
        if self._allowed is not None and self._allowed - (now - self._since) < left:
            left, limit, seconds = self._allowed - (now - self._since), self._limit, self._allowed
        self.late = Late(limit, seconds)
        if left <= 0:
            raise self.late
        return left
