"""Models whose `stream` is an asynchronous generator: each answer is a task of one event loop, and a thread that waits for its parts.

A task makes one part when it is asked for one, so that a reader that pauses has it wait. Where the answer is cancelled, or not read to its
end, the task is cancelled, and waited for: what the model holds open is closed by its own code.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import cached_property
from queue import SimpleQueue
from typing import Any

from noria.core.cancelling import current
from noria.models.runtimes.one_answer import Row, Stream

AsyncStream = Callable[[Row], AsyncGenerator[Any]]


class _End:
    """There are no more parts. error: why, where that is not because the answer is complete"""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class EventLoop:
    """An event loop in a thread of its own, from its first use to the end of the process."""

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="event loop", daemon=True).start()
        return loop

    def made_ordinary(self, stream: AsyncStream) -> Stream:
        """An ordinary generator of the same parts, to be read in any thread."""
        loop = self._loop

        def parts(row: Row) -> Iterator[Any]:
            answer = _AsyncAnswer(loop, stream, row)
            try:
                with current().ended_by(answer.cancel):
                    while not isinstance(part := answer.next(), _End):
                        yield part
                current().check()
                if part.error is not None:
                    raise part.error
            finally:
                answer.close()

        return parts


class _AsyncAnswer:
    """One answer, read from outside of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: AsyncStream, row: Row) -> None:
        self._loop = loop
        self._parts: SimpleQueue[Any] = SimpleQueue()
        self._ended = False
        self._wanted = asyncio.Semaphore(0)
        loop.call_soon_threadsafe(self._begin, stream(row))

    def _begin(self, parts: AsyncGenerator[Any]) -> None:
        self._task = self._loop.create_task(self._make(parts))
        self._task.add_done_callback(self._done)

    async def _make(self, parts: AsyncGenerator[Any]) -> None:
        try:
            await self._wanted.acquire()
            async for part in parts:
                self._parts.put(part)
                await self._wanted.acquire()
        finally:
            await parts.aclose()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._parts.put(_End(None if task.cancelled() else task.exception()))

    def next(self) -> Any:
        """The next part, once it is made; or that there is none."""
        if self._ended:
            return _End()
        self._loop.call_soon_threadsafe(self._wanted.release)
        found = self._parts.get()
        self._ended = isinstance(found, _End)
        return found

    def cancel(self) -> None:
        """Have it end; `next` then says that it has."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._task.cancel()

    def close(self) -> None:
        """End it, where it has not ended, and wait until it has."""
        if not self._ended:
            self.cancel()
            while not self._ended:
                self._ended = isinstance(self._parts.get(), _End)
