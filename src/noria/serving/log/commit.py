"""Group commit: answers wait until the log rows they rest on are on disk; one sync serves all that wait for it.

While one sync runs in its thread, the event loop goes on scoring; what it appends meanwhile shares the following sync. So
durability costs latency, not throughput. With the class `process`, nothing waits.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable

from noria.serving.log.segments import LogFailed, PredictionLog

logger = logging.getLogger("noria.serving")

Done = Callable[[LogFailed | None], None]


class GroupCommit:
    """Syncs logs in a thread of its own. Used from one event loop."""

    def __init__(self, *, durable: bool) -> None:
        self._durable = durable
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[PredictionLog, Done]] = []
        self._syncing = False
        self._work: queue.SimpleQueue[list[tuple[PredictionLog, Done]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._sync, name="prediction-log", daemon=True)
        self._thread.start()

    def after(self, log: PredictionLog, done: Done) -> None:
        """Call `done`, on the event loop, once everything appended to `log` so far is as safe as was chosen, or has failed."""
        if not self._durable:
            done(None)
            return
        self._waiting.append((log, done))
        if not self._syncing:
            self._start()

    @property
    def idle(self) -> bool:
        return not self._syncing and not self._waiting

    def close(self) -> None:
        """End the thread. Only when `idle`."""
        self._work.put(None)
        self._thread.join()

    def _start(self) -> None:
        self._syncing = True
        waiting, self._waiting = self._waiting, []
        self._work.put(waiting)

    def _sync(self) -> None:
        while (waiting := self._work.get()) is not None:
            failed: dict[PredictionLog, LogFailed | None] = {}
            for log in dict.fromkeys(log for log, _ in waiting):
                try:
                    log.sync()
                    failed[log] = None
                except LogFailed as error:
                    logger.error("%s", error)
                    failed[log] = error
            self._loop.call_soon_threadsafe(self._finish, waiting, failed)

    def _finish(self, waiting: list[tuple[PredictionLog, Done]], failed: dict[PredictionLog, LogFailed | None]) -> None:
        self._syncing = False
        if self._waiting:
            self._start()
        for log, done in waiting:
            done(failed[log])
