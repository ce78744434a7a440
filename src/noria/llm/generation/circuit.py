"""A circuit breaker: who failed several times in a row is left alone for a while, and then tried once (Nygard, "Release It!", 2007)."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from noria.core.clock import Clock


class Circuit:
    """failures: in a row, after which it opens; pause: how long it then stays open"""

    def __init__(self, failures: int, pause: timedelta, clock: Clock) -> None:
        self._most, self._pause, self._clock = failures, pause, clock
        self._failed, self._trying = 0, False
        self._until: datetime | None = None
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether one may ask now. After the pause one may, and the others wait for what comes of it: `succeeded`, `failed` or `left`."""
        with self._lock:
            if self._until is None:
                return True
            if self._trying or self._clock.now() < self._until:
                return False
            self._trying = True
            return True

    def wait(self) -> float:
        """Seconds until it is tried again."""
        with self._lock:
            return 0.0 if self._until is None else max((self._until - self._clock.now()).total_seconds(), 0.0)

    def succeeded(self) -> None:
        with self._lock:
            self._failed, self._until, self._trying = 0, None, False

    def failed(self) -> None:
        with self._lock:
            self._failed += 1
            if self._trying or self._failed >= self._most:
                self._until = self._clock.now() + self._pause
            self._trying = False

    def left(self) -> None:
        """What was asked says nothing of who was asked."""
        with self._lock:
            self._trying = False
