"""The runtime of Python models: any framework, in a process of its own, asked with a deadline and started again when it fails.

In this process there is nothing of the model: what it raises, prints, leaks or never ends is an error of the requests that it was asked,
and of nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from noria.core.clock import Stopwatch
from noria.core.errors import NoriaError
from noria.core.ids import short
from noria.core.signature import Signature
from noria.data.rows import Rows, stacked
from noria.models.runtimes.child import Child, Ended, NotStarted
from noria.models.runtimes.messages import Cancel, Failed, Grant, Imported, ListImports, Part, Reply, StreamEnded, Taken
from noria.models.runtimes.port import ModelFailed, PartsReader, RuntimeOptions
from noria.models.runtimes.python_spec import NotTrusted, OtherVersions, PythonSpec, differing, read_spec
from noria.models.runtimes.python_streams import PythonStream, PythonStreams, WholeTexts

MAX_ROWS = 8_192  # of one call, of a caller that waits: what a deadline means does not depend on how many it asks
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 30.0
STEADY_SECONDS = 60.0  # after which a process that ends is one that was well

Then = Callable[[Rows | ModelFailed], None]

logger = logging.getLogger("noria.model")


class ModelRestarting(ModelFailed):
    """A model's process failed a moment ago, and the next one is not ready yet."""

    code = "NR-331"
    http_status = 503
    retry_after = 1
    alive = False

    def __init__(self, reason: str) -> None:
        super(ModelFailed, self).__init__(what="the model is being restarted", where=reason or "it was lost", fix="try again in a moment")


class PythonRuntime:
    """A bundle's model, in a process of its own.

    There are two ways to ask. `answer` waits, for those who have nothing else to do. `ask` and `stream` don't, from an event loop: calls
    then go one after the other, parts of streams are made between them. The process takes one step at a time, a call or a part, and each
    has the deadline: a process that is silent for longer while it owes something, or ends, is replaced, after a pause that grows while it
    keeps failing, and what is asked meanwhile fails at once. Who has begun to `ask` no longer gets an `answer`.
    """

    def __init__(self, folder: Path, spec: PythonSpec, signature: Signature, options: RuntimeOptions) -> None:
        """Raises `NotStarted`."""
        self._folder, self._spec, self._signature, self._options = folder, spec, signature, options
        self._name = short(folder.name)
        first = self._started()
        self._child: Child | None = first
        self.predicts, self.streams, self.waits = first.predicts, first.streams, first.waits
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[tuple[Rows, Then]] = deque()
        self._then: Then | None = None
        self._asked: Rows | None = None
        self._open = PythonStreams(signature, options, self._give, self._place_free, waits=first.waits)
        self._beginning = False  # a stream's row lies in the region of questions, and was not taken yet
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_since = 0.0  # when the process, which owes something, last said something
        self._since, self._pause, self._trouble = Stopwatch(), FIRST_PAUSE_SECONDS, ""
        self._closed = threading.Event()
        self._example: Rows | None = None  # the first rows that it answered, which a new process is warmed up with
        self.restarts = 0

    @property
    def signature(self) -> Signature:
        return self._signature

    @property
    def alive(self) -> bool:
        """Whether there is a process to ask."""
        return self._child is not None

    @property
    def pid(self) -> int | None:
        """Of the model's process; None while there is none."""
        return None if self._child is None else self._child.pid

    def _started(self) -> Child:
        return Child(self._folder, self._spec, self._signature, self._options)

    # --- asking, and waiting for it ---

    def answer(self, rows: Rows) -> Rows:
        """The answers to rows. Raises `ModelFailed`; the next call then has a new process, where this one was lost."""
        assert self._loop is None, "it is asked from an event loop"
        if not len(rows):
            return Rows.unknown(self._signature.outputs, 0)
        with self._lock:
            parts = [self._answer(rows.part(at, at + MAX_ROWS)) for at in range(0, len(rows), MAX_ROWS)]
        self._example = self._example or rows.part(0, MAX_ROWS)
        return stacked(parts)

    def _answer(self, rows: Rows) -> Rows:
        if self._child is None:
            try:
                self._child = self._warm(self._started())
            except NotStarted as error:
                raise ModelFailed(f"{error.what}: {error.where}") from error
        child, seconds = self._child, self._options.deadline_seconds
        if self._example is None:  # the first call of all still loads what is loaded late
            seconds = self._first_seconds
        try:
            child.ask(rows)
            reply = child.heard(seconds)
        except TimeoutError:
            self._child = None
            child.end()
            raise ModelFailed(_too_late(seconds)) from None
        except Ended:
            self._child = None
            raise ModelFailed(child.end()) from None
        assert reply is not None
        if isinstance(reply, Failed) and reply.ends:
            self._child = None
            child.end()
        return child.rows(reply)

    @property
    def _first_seconds(self) -> float:
        """What a first call may take; that of a model that only streams, whole texts."""
        options = self._options
        return max(options.deadline_seconds, options.start_seconds, 0.0 if self.predicts else options.stream_seconds)

    def imports(self) -> dict[str, str]:
        """The distributions that the model has imported by now, with their versions. Raises `ModelFailed`."""
        with self._lock:
            assert self._child is not None
            try:
                self._child.say(ListImports())
                reply = self._child.heard(self._options.start_seconds)
            except (TimeoutError, Ended) as error:
                raise ModelFailed("its process is gone") from error
        assert isinstance(reply, Imported)
        return reply.requirements

    # --- asking, and going on ---

    def ask(self, rows: Rows, then: Then) -> None:
        """Have rows answered after all that was asked before; `then` is called on this event loop."""
        loop = self._attached()
        if self._child is None:
            loop.call_soon(then, ModelRestarting(self._trouble))
        elif not len(rows):
            loop.call_soon(then, Rows.unknown(self._signature.outputs, 0))
        elif not self.predicts:
            WholeTexts(self.stream, rows, then).begin(self._open.most)
        else:
            self._waiting.append((rows, then))
            self._go_on()

    def stream(self, row: Rows, reader: PartsReader) -> PythonStream:
        """Have one row answered in parts, which a reader is given on this event loop, as soon as fewer streams are open than may be."""
        self._attached()
        if self._child is None:
            return self._open.refuse(row, reader, ModelRestarting(self._trouble))
        stream = self._open.add(row, reader)
        self._go_on()
        return stream

    def _attached(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._attach()
        return self._loop

    def _attach(self) -> None:
        if self._child is not None and self._loop is not None:
            self._loop.add_reader(self._child.fileno(), self._readable)

    def _go_on(self) -> None:
        """Hand the process what is next, once it has read what was handed to it before."""
        while self._child is not None and self._then is None and not self._beginning:
            if (stream := self._open.next()) is not None:
                self._begin(self._child, stream)
            elif self._waiting:
                self._ask_next(self._child)
            else:
                return

    def _begin(self, child: Child, stream: PythonStream) -> None:
        self._watch()
        self._beginning = True
        try:
            child.begin(stream.number, stream.row, stream.first_parts())
        except Ended:
            self._lose("")
        except OSError as error:
            self._beginning = False
            self._open.heard(StreamEnded(stream.number, f"the row can't be handed over: {error}"))

    def _ask_next(self, child: Child) -> None:
        self._watch()
        rows, self._then = self._waiting.popleft()
        self._asked = rows
        try:
            child.ask(rows)
        except Ended:
            self._lose("")
        except OSError as error:
            self._settle(ModelFailed(f"the rows can't be handed over: {error}"))

    def _give(self, order: Grant | Cancel) -> None:
        if self._child is None:
            return
        self._watch()
        try:
            self._child.say(order)
        except Ended:
            self._lose("")

    def _place_free(self, stuck: int) -> None:
        """A stream was cancelled and does not end: another may begin in its place, unless as many don't as may be open."""
        if stuck >= self._open.most:
            self._lose(f"{stuck} answers do not end though they were cancelled")
        else:
            self._go_on()

    @property
    def queued_streams(self) -> int:
        """Answers in parts that wait for their turn."""
        return self._open.queued

    @property
    def _busy(self) -> bool:
        """Whether the process owes something."""
        return self._then is not None or self._beginning or self._open.busy

    def _watch(self) -> None:
        """Called before the process is given work: from now on it must not be silent for too long."""
        assert self._loop is not None
        if not self._busy:
            self._quiet_since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._quiet_since + self._options.deadline_seconds, self._look)

    def _look(self) -> None:
        assert self._loop is not None
        self._timer = None
        if not self._busy:
            return
        seconds = self._options.deadline_seconds
        if self._loop.time() >= self._quiet_since + seconds:
            self._lose(_too_late(seconds))
        else:
            self._timer = self._loop.call_at(self._quiet_since + seconds, self._look)

    def _readable(self) -> None:
        child, first = self._child, True
        try:
            while child is not None and child is self._child and (first or child.has_more):
                reply, first = child.heard(None), False
                if reply is not None:
                    self._replied(child, reply)
        except Ended:
            self._lose("")

    def _replied(self, child: Child, reply: Reply) -> None:
        assert self._loop is not None
        if isinstance(reply, Part | StreamEnded):
            if not self.waits:  # otherwise threads say that, and nothing of the one that takes orders
                self._quiet_since = self._loop.time()
            self._open.heard(reply)
            if isinstance(reply, StreamEnded):
                self._go_on()
            return
        self._quiet_since = self._loop.time()
        if isinstance(reply, Taken):
            self._beginning = False
            self._go_on()
        elif isinstance(reply, Failed) and reply.ends:
            self._lose(reply.reason)
        else:
            self._answered(child, reply)

    def _answered(self, child: Child, reply: Reply) -> None:
        try:
            found: Rows | ModelFailed = child.rows(reply)
            self._example = self._example or self._asked
        except ModelFailed as error:
            found = error
        self._settle(found)

    def _settle(self, found: Rows | ModelFailed) -> None:
        """Give the one who waits what was found, and go on."""
        then, self._then = self._then, None
        if then is not None:
            then(found)
        self._go_on()

    def _lose(self, reason: str) -> None:
        """Give the process up: the call that it was asked fails with the reason, or with how it ended; those behind fail at once."""
        child, self._child = self._child, None
        if child is None or self._loop is None:
            return
        self._loop.remove_reader(child.fileno())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if reason:
            child.kill()
        threading.Thread(target=self._replace, args=(child, reason), name="restart", daemon=True).start()

    def _replace(self, child: Child, reason: str) -> None:
        """In a thread: see how the process ended, and start others until one is ready."""
        how = child.end()
        words = child.last_words
        logger.error("model %s: %s%s; restarting it", self._name, reason or how, f" (it last printed: {words})" if words else "")
        pause = self._pause = FIRST_PAUSE_SECONDS if self._since.seconds > STEADY_SECONDS else self._pause
        self._call(self._lost, reason or how)
        while not self._closed.wait(pause):
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            try:
                found = self._warm(self._started())
            except NoriaError as error:
                logger.error("model %s: %s; trying again in %.1f s", self._name, error.where, pause)
                continue
            if not self._call(self._install, found, pause):
                found.end()
            return

    def _warm(self, child: Child) -> Child:
        """Have a new process answer once, so that the first request does not wait for what is loaded late. Raises `ModelFailed`."""
        if self._example is not None:
            try:
                child.ask(self._example)
                reply = child.heard(self._first_seconds)
            except (TimeoutError, Ended) as error:
                raise ModelFailed(f"it did not answer its first rows: {child.end()}") from error
            if isinstance(reply, Failed) and reply.ends:
                child.end()
                raise ModelFailed(reply.reason)
        return child

    def _call(self, work: Callable[..., None], *arguments: Any) -> bool:
        """Have work done on the event loop; whether there is one."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(work, *arguments)
        except RuntimeError:  # it has ended meanwhile
            return False
        return True

    def _lost(self, how: str) -> None:
        self._trouble, self._beginning = how, False
        self._open.lose(ModelFailed(how, alive=False), ModelRestarting(how))
        self._settle(ModelFailed(how, alive=False))
        while self._waiting:
            _, then = self._waiting.popleft()
            then(ModelRestarting(how))

    def _install(self, child: Child, pause: float) -> None:
        if self._closed.is_set():
            child.kill()
            return
        self._child, self._since, self._pause = child, Stopwatch(), pause
        self.restarts += 1
        self._attach()

    def close(self) -> None:
        """End the process. What was asked and not answered fails."""
        self._closed.set()
        child, self._child = self._child, None
        if child is None:
            return
        if self._loop is None:
            child.end()
            return
        self._loop.remove_reader(child.fileno())
        child.kill()
        threading.Thread(target=child.end, name="end", daemon=True).start()
        self._lost("it was closed")


def _too_late(seconds: float) -> str:
    return f"it took longer than {seconds:g} s, and its process was stopped"


def open_model(folder: Path, signature: Signature, options: RuntimeOptions) -> PythonRuntime:
    """The model of a bundle's folder. Raises `NotTrusted`, `OtherVersions` or `NotStarted`."""
    try:
        spec = read_spec(folder)
    except (OSError, msgspec.DecodeError) as error:
        raise NotStarted(folder.name, f"what it says of its loader can't be read: {error}") from error
    if spec.runs_its_own_code and not options.trust:
        raise NotTrusted(folder.name)
    if options.locked and (found := differing(spec)):
        raise OtherVersions(folder.name, found)
    return PythonRuntime(folder, spec, signature, options)
