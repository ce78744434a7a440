"""A model in a process of its own: `python -m noria.models.runtimes.python_process SOCKET QUESTIONS ANSWERS`, numbers of open files.

It is told what to load, then asked again and again, and ends when nobody is left to ask. Answers in parts are made in between. What the
model prints is no part of this: standard output and error are pipes that the parent logs.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from noria.core.processes import bound_memory, end_with, go_first
from noria.data.rows import Rows, stacked
from noria.models.runtimes.columns import Columns, answered
from noria.models.runtimes.declared import predict_of, stream_of, waits
from noria.models.runtimes.formats import answering
from noria.models.runtimes.messages import (
    Answered,
    Ask,
    Begin,
    Cancel,
    Failed,
    Grant,
    Imported,
    ListImports,
    Load,
    Order,
    Ready,
    Reply,
    Taken,
)
from noria.models.runtimes.one_answer import Making, Row, TooLong
from noria.models.runtimes.process_streams import Streams
from noria.models.runtimes.python_spec import FILES_FOLDER, SOURCE_FOLDER, distributions
from noria.models.runtimes.refused import refusal_of
from noria.models.runtimes.shared import Reader, Writer
from noria.models.runtimes.waiting_streams import WaitingStreams

MAX_REASON = 2_000  # characters
WHOLE_AT_ONCE = 8  # answers of a call that are made side by side by a model that waits, and only makes parts
NO_MEMORY = 71  # exit code (EX_OSERR of sysexits.h)
CHUNK = 1 << 16
OURS = str(Path(__file__).parent)


class Served:
    """A loaded model, asked through shared memory. say: to who asks, from any thread"""

    def __init__(self, load: Load, questions: int, answers: int, say: Callable[[Reply], None]) -> None:
        self._questions, self._answers, self._say = Reader(questions), Writer(answers), say
        self._signature, self._before = load.signature, set(sys.modules)
        model = _loaded(load)
        stream = stream_of(model, load.signature)
        self._predict = predict_of(model, streams=stream is not None)
        self._making = Making(stream or _nothing, load.signature.outputs, load.stream_parts, load.stream_bytes)
        self._waits = waits(model, stream)
        self.streams = WaitingStreams(self._making, _told, say) if self._waits else Streams(self._making, _told)
        # answers that wait are asked for one by one, so that none waits for the batch of another
        self.ready = Ready(self._predict is not None and not self._waits, stream is not None, self._waits)

    def reply(self, order: Order) -> Reply | None:
        """What an order gives; an exception of the model is a reply as well."""
        if isinstance(order, Ask):
            try:
                return Answered(self._answered(order))
            except MemoryError as error:  # what it has taken it keeps: a new process begins without
                return Failed(described(error), ends=True)
            except Exception as error:  # noqa: BLE001 - whatever a model raises is told to who asked
                refusal = refusal_of(error)
                return Failed(_told(error) if refusal is None else refusal.what, refusal=refusal)
        if isinstance(order, Begin):
            [row] = self._questions.rows(self._signature.inputs, order.size).dicts()
            self._say(Taken(order.stream))  # first: from now on it may say anything of that stream
            self.streams.begin(order.stream, row, order.credit)
            return None
        if isinstance(order, Grant):
            self.streams.grant(order.stream, order.parts)
            return None
        if isinstance(order, Cancel):
            return self.streams.cancel(order.stream)
        assert isinstance(order, ListImports)
        arrow = any(field.shape or field.type in ("string", "bytes") for field in self._signature.inputs)
        always = {"numpy", "pyarrow"} if arrow else {"numpy"}
        return Imported(distributions({*(set(sys.modules) - self._before), *always}))

    def _answered(self, order: Ask) -> int:
        rows = self._questions.rows(self._signature.inputs, order.size)
        if self._predict is None:
            return self._answers.put(stacked(list(self._wholes(rows.dicts()))))
        return self._answers.put(answered(self._signature.outputs, self._predict(Columns(rows)), len(rows)))

    def _wholes(self, rows: list[Row]) -> Iterable[Rows]:
        if not self._waits or len(rows) == 1:
            return map(self._making.whole, rows)
        with ThreadPoolExecutor(WHOLE_AT_ONCE) as threads:
            return list(threads.map(self._making.whole, rows))


def _nothing(_row: Any) -> Any:
    raise TypeError("the model has no method `stream`")


def _loaded(load: Load) -> Any:
    """What the bundle's loader returns, as something that answers columns."""
    if load.source:
        sys.path.insert(0, str(Path(load.folder, SOURCE_FOLDER)))
    module, _, function = load.loader.partition(":")
    loader: Any = importlib.import_module(module)
    for name in function.split("."):
        loader = getattr(loader, name)
    return answering(loader(Path(load.folder, FILES_FOLDER)))


def described(error: BaseException) -> str:
    """An exception in one line, with its place in the model's code."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith((OURS, "<"))]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' if text else ''}{text[0] if text else ''}"[:MAX_REASON] + place


def _print(error: BaseException) -> None:
    """The traceback of the model's own code, into the log, where people look for the whole of it."""
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename.startswith((OURS, "<")):
        place = place.tb_next
    if place is not None:
        traceback.print_exception(type(error), error, place)


def _told(error: BaseException) -> str:
    """An exception in one line; the whole of it is printed."""
    if not isinstance(error, TooLong):
        _print(error)
    return described(error)


class Orders:
    """What the one at the other end of a socket says, a line each."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel, self._rest = channel, b""
        self._decoder: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)

    def next(self, *, wait: bool = True) -> Order | None:
        """The next order; None where none has come, and it is not waited for. Raises `EOFError` when nobody is left."""
        while b"\n" not in self._rest:
            try:
                data = self._channel.recv(CHUNK, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            if not data:
                raise EOFError
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return self._decoder.decode(line)


def work(channel: socket.socket, questions: int, answers: int) -> None:
    """Load and answer by the orders of the one at the other end of a socket, until it is gone."""

    lock = threading.Lock()

    def say(reply: Reply) -> None:
        line = msgspec.json.encode(reply) + b"\n"
        with lock:
            channel.sendall(line)

    orders = Orders(channel)
    load = orders.next()
    assert isinstance(load, Load)
    end_with(load.parent)
    go_first()
    bound_memory(load.memory_gb)
    try:
        served = Served(load, questions, answers, say)
    except Exception as error:  # noqa: BLE001 - whatever a loader raises is told to who started this
        say(Failed(_told(error), ends=True))
        return
    gc.collect()
    gc.freeze()  # what was loaded stays
    say(served.ready)
    while True:
        order = orders.next(wait=not served.streams.runnable)
        reply = served.streams.step() if order is None else served.reply(order)
        if reply is not None:
            say(reply)
        if isinstance(reply, Failed) and reply.ends:
            os._exit(NO_MEMORY)  # without asking the model's threads


if __name__ == "__main__":
    numbers = [int(number) for number in sys.argv[1:4]]
    for number in numbers:
        os.set_inheritable(number, False)  # what the model starts must not hold them: their end is how its end is seen
    sys.argv = sys.argv[:1]
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # nobody waits for an answer any more
        work(socket.socket(fileno=numbers[0]), numbers[1], numbers[2])
