"""Streamed answers of a model's process, seen from the one that asks: whose turn it is, who waits, and how far ahead parts are made.

So many streams are open at once, the rest wait in their order. A stream is granted some parts ahead of its reader, and more as they come:
a reader that pauses has the model pause, after at most so many parts.

Streams of a model that waits for a network have a deadline each, from part to part: one that is late fails alone, and is cancelled. Where
it does not end even then, its place is given to another, until as many are lost as may be open.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from weakref import WeakMethod

from noria.core.signature import Signature
from noria.data.rows import Rows, stacked
from noria.models.runtimes.messages import Cancel, Grant, Part, StreamEnded
from noria.models.runtimes.port import AnswerLate, AnswerStream, AnswerTooLong, ModelBusy, ModelFailed, PartsReader, RuntimeOptions
from noria.models.runtimes.refused import ModelRefused
from noria.models.runtimes.shared import unpacked

AHEAD = 32  # parts of a stream that may be on their way
QUEUED = 8  # streams that may wait, for each that may be open

Give = Callable[[Grant | Cancel], None]


class PythonStream:
    """One streamed answer, from its place in the queue to its end. owed: parts that were granted and have not come"""

    def __init__(self, streams: PythonStreams, number: int, row: Rows, reader: PartsReader) -> None:
        self.number, self.row, self.owed, self.closing = number, row, 0, False
        self._streams, self._reader = streams, reader
        self._live, self._paused, self._texts = True, False, list[str]()
        self.timer: asyncio.TimerHandle | None = None
        self.late: asyncio.TimerHandle | None = None
        self.heard_at = 0.0  # when it last said something, or began to owe something

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._grant_more()

    def cancel(self) -> None:
        if self._live:
            self._live = False
            self._streams.drop(self)

    def first_parts(self) -> int:
        """It begins: how many parts may come before it is granted more."""
        self.owed = AHEAD
        return AHEAD

    def took(self, text: str) -> None:
        """A part came."""
        self.owed -= 1
        if not self._live:
            return
        self._texts.append(text)
        if text:
            self._reader.part(text)
        self._grant_more()

    def _grant_more(self) -> None:
        if self._live and not self._paused and self.owed <= AHEAD // 2:
            self._streams.grant(self, AHEAD - self.owed)

    def over(self, ended: StreamEnded, signature: Signature) -> None:
        """The model has ended it."""
        if not self._live:  # which was why
            self.stop_timers()
            return
        if ended.reason is None:
            self.end(self._complete(ended, signature))
        elif ended.refusal is not None:
            self.end(ModelRefused(ended.refusal))
        else:
            self.end((AnswerTooLong if ended.too_long else ModelFailed)(ended.reason))

    def _complete(self, ended: StreamEnded, signature: Signature) -> Rows | ModelFailed:
        if ended.row is None:
            return Rows.of_values(signature.outputs, [("".join(self._texts),)])
        try:
            return unpacked(signature.outputs, ended.row)
        except (ValueError, KeyError) as error:
            return ModelFailed(f"its answer can't be read: {error}")

    def end(self, found: Rows | ModelFailed) -> None:
        """Tell the reader, unless it has gone or was told."""
        self.stop_timers()
        if self._live:
            self._live = False
            self._reader.ended(found)

    def stop_timers(self) -> None:
        for timer in (self.timer, self.late):
            if timer is not None:
                timer.cancel()


class PythonStreams:
    """The streams of one process. waits: whether they are made side by side

    give: says an order to it, where it is there; freed: told when a place is free, and how many streams do not end. Both are methods of who
        holds this, who is not held in turn
    """

    def __init__(self, signature: Signature, options: RuntimeOptions, give: Give, freed: Callable[[int], None], *, waits: bool) -> None:
        self._signature, self._options, self._give, self._freed = signature, options, WeakMethod(give), WeakMethod(freed)
        self.waits, self.most = waits, options.waiting_streams if waits else options.streams
        self._waiting: deque[PythonStream] = deque()
        self._open: dict[int, PythonStream] = {}
        self._stuck = set[int]()  # cancelled ones that do not end, and have lost their places
        self._number = 0

    @property
    def queued(self) -> int:
        """Streams that wait for their turn."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether the process owes a part, or an end, at once: what waits for a network has a deadline of its own."""
        return not self.waits and any(stream.owed or stream.closing for stream in self._open.values())

    def add(self, row: Rows, reader: PartsReader) -> PythonStream:
        """A stream that waits for its turn; where too many wait, one that fails at once."""
        if len(self._open) + len(self._waiting) >= (1 + QUEUED) * self.most:
            return self.refuse(row, reader, ModelBusy(len(self._open), len(self._waiting)))
        self._number += 1
        stream = PythonStream(self, self._number, row, reader)
        self._waiting.append(stream)
        return stream

    def refuse(self, row: Rows, reader: PartsReader, error: ModelFailed) -> PythonStream:
        """A stream that fails at once; its reader hears of it later, as always."""
        stream = PythonStream(self, 0, row, reader)
        asyncio.get_running_loop().call_soon(stream.end, error)
        return stream

    def next(self) -> PythonStream | None:
        """The one that may begin now, if any may: it is then open."""
        if not self._waiting or len(self._open) >= self.most:
            return None
        stream = self._waiting.popleft()
        self._open[stream.number] = stream
        loop, seconds = asyncio.get_running_loop(), self._options.stream_seconds
        stream.timer = loop.call_later(seconds, self._too_slow, stream)
        if self.waits:
            stream.heard_at = loop.time()
            stream.late = loop.call_later(self._options.deadline_seconds, self._look, stream)
        return stream

    def heard(self, reply: Part | StreamEnded) -> None:
        """What the process said of a stream."""
        if reply.stream in self._stuck:
            if isinstance(reply, StreamEnded):
                self._stuck.discard(reply.stream)
            return
        stream = self._open[reply.stream]
        if self.waits:
            stream.heard_at = asyncio.get_running_loop().time()
        if isinstance(reply, Part):
            stream.took(reply.text)
        else:
            del self._open[reply.stream]
            stream.over(reply, self._signature)

    def grant(self, stream: PythonStream, parts: int) -> None:
        if stream.number in self._open and not stream.closing:
            if self.waits and not stream.owed:
                stream.heard_at = asyncio.get_running_loop().time()
            self._say(Grant(stream.number, parts))
            stream.owed += parts

    def drop(self, stream: PythonStream) -> None:
        """Nobody reads it: it leaves the queue, or is closed. Its place is free once the process says so."""
        stream.stop_timers()
        if stream.number in self._open:
            if not stream.closing:
                self._say(Cancel(stream.number))
                stream.closing = True
                if self.waits:
                    stream.late = asyncio.get_running_loop().call_later(self._options.deadline_seconds, self._give_up, stream)
        elif stream in self._waiting:
            self._waiting.remove(stream)

    def _say(self, order: Grant | Cancel) -> None:
        give = self._give()
        if give is not None:
            give(order)

    def _too_slow(self, stream: PythonStream) -> None:
        stream.end(AnswerTooLong(f"it took longer than {self._options.stream_seconds:g} s in all (serving.stream_seconds)"))
        self.drop(stream)

    def _look(self, stream: PythonStream) -> None:
        """The stream of a model that waits may be late by now."""
        loop, seconds = asyncio.get_running_loop(), self._options.deadline_seconds
        since = stream.heard_at if stream.owed else loop.time()
        if loop.time() >= since + seconds:
            stream.end(AnswerLate(seconds))
            self.drop(stream)
        else:
            stream.late = loop.call_at(since + seconds, self._look, stream)

    def _give_up(self, stream: PythonStream) -> None:
        """A stream was cancelled, and has not ended since."""
        if self._open.pop(stream.number, None) is not None:
            self._stuck.add(stream.number)
            if (freed := self._freed()) is not None:
                freed(len(self._stuck))

    def lose(self, opened: ModelFailed, waiting: ModelFailed) -> None:
        """The process is gone, and with it all that was open."""
        self._stuck.clear()
        for stream in self._open.values():
            stream.stop_timers()
        streams, self._open, queued, self._waiting = self._open, {}, self._waiting, deque()
        for stream in streams.values():
            stream.end(opened)
        for stream in queued:
            stream.end(waiting)


class WholeTexts:
    """Rows answered by a model that only streams: each text joined, as many at once as it may make."""

    def __init__(self, stream: Callable[[Rows, PartsReader], AnswerStream], rows: Rows, then: Callable[[Rows | ModelFailed], None]) -> None:
        self._stream, self._rows, self._then = stream, rows, then
        self._found: dict[int, Rows] = {}
        self._open: dict[int, AnswerStream] = {}
        self._begun = 0

    def begin(self, at_once: int) -> None:
        for _ in range(min(at_once, len(self._rows))):
            self._more()

    def _more(self) -> None:
        place, self._begun = self._begun, self._begun + 1
        self._open[place] = self._stream(self._rows.part(place, place + 1), _Whole(self, place))

    def ended(self, place: int, found: Rows | ModelFailed) -> None:
        del self._open[place]
        if not isinstance(found, Rows):
            for stream in self._open.values():
                stream.cancel()
            self._then(found)
            return
        self._found[place] = found
        if self._begun < len(self._rows):
            self._more()
        elif len(self._found) == len(self._rows):
            self._then(stacked([self._found[place] for place in range(len(self._rows))]))


class _Whole:
    """Reads the text of one of several rows."""

    def __init__(self, texts: WholeTexts, place: int) -> None:
        self._texts, self._place = texts, place

    def part(self, text: str) -> None:
        """It is in the complete answer."""

    def ended(self, found: Rows | ModelFailed) -> None:
        self._texts.ended(self._place, found)
