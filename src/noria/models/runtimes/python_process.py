"""A model in a process of its own: `python -m noria.models.runtimes.python_process SOCKET QUESTIONS ANSWERS`, numbers of open files.

It is told what to load, then asked again and again, and ends when nobody is left to ask. What the model prints is no part of this: standard
output and error are pipes that the parent logs.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from noria.core.processes import bound_memory, end_with, go_first
from noria.models.runtimes.columns import Columns, answered
from noria.models.runtimes.formats import answering
from noria.models.runtimes.messages import Answered, Ask, Failed, Imported, ListImports, Load, Order, Ready, Reply
from noria.models.runtimes.python_spec import FILES_FOLDER, SOURCE_FOLDER, distributions
from noria.models.runtimes.shared import Reader, Writer

MAX_REASON = 2_000  # characters
NO_MEMORY = 71  # exit code (EX_OSERR of sysexits.h)
OURS = str(Path(__file__).parent)


class Served:
    """A loaded model, asked through shared memory."""

    def __init__(self, load: Load, questions: int, answers: int) -> None:
        self._questions, self._answers = Reader(questions), Writer(answers)
        self._signature, self._before = load.signature, set(sys.modules)
        self._predict = _loaded(load)

    def reply(self, order: Order) -> Reply:
        """What an order gives; an exception of the model is a reply as well."""
        if isinstance(order, ListImports):
            arrow = any(field.shape or field.type in ("string", "bytes") for field in self._signature.inputs)
            always = {"numpy", "pyarrow"} if arrow else {"numpy"}
            return Imported(distributions({*(set(sys.modules) - self._before), *always}))
        assert isinstance(order, Ask)
        try:
            return Answered(self._answered(order))
        except MemoryError as error:  # what it has taken it keeps: a new process begins without
            return Failed(described(error), ends=True)
        except Exception as error:  # noqa: BLE001 - whatever a model raises is told to who asked
            _print(error)
            return Failed(described(error))

    def _answered(self, order: Ask) -> int:
        rows = self._questions.rows(self._signature.inputs, order.size)
        found = self._predict(Columns(rows))
        return self._answers.put(answered(self._signature.outputs, found, len(rows)))


def _loaded(load: Load) -> Callable[[Columns], Any]:
    """The model's `predict`."""
    if load.source:
        sys.path.insert(0, str(Path(load.folder, SOURCE_FOLDER)))
    module, _, function = load.loader.partition(":")
    loader: Any = importlib.import_module(module)
    for name in function.split("."):
        loader = getattr(loader, name)
    model = answering(loader(Path(load.folder, FILES_FOLDER)))
    predict = getattr(model, "predict", None)
    found: Callable[[Columns], Any] = predict if callable(predict) else model
    return found


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


def _orders(channel: socket.socket) -> Iterator[Order]:
    decoder = msgspec.json.Decoder(Order)
    with channel.makefile("rb") as lines:
        for line in lines:
            yield decoder.decode(line)


def work(channel: socket.socket, questions: int, answers: int) -> None:
    """Load and answer by the orders of the one at the other end of a socket, until it is gone."""

    def say(reply: Reply) -> None:
        channel.sendall(msgspec.json.encode(reply) + b"\n")

    orders = _orders(channel)
    load = next(orders)
    assert isinstance(load, Load)
    end_with(load.parent)
    go_first()
    bound_memory(load.memory_gb)
    try:
        served = Served(load, questions, answers)
    except Exception as error:  # noqa: BLE001 - whatever a loader raises is told to who started this
        _print(error)
        say(Failed(described(error), ends=True))
        return
    gc.collect()
    gc.freeze()  # what was loaded stays
    say(Ready())
    for order in orders:
        reply = served.reply(order)
        say(reply)
        if isinstance(reply, Failed) and reply.ends:
            os._exit(NO_MEMORY)  # without asking the model's threads


if __name__ == "__main__":
    numbers = [int(number) for number in sys.argv[1:4]]
    for number in numbers:
        os.set_inheritable(number, False)  # what the model starts must not hold them: their end is how its end is seen
    sys.argv = sys.argv[:1]
    with suppress(BrokenPipeError, ConnectionResetError):  # nobody waits for an answer any more
        work(socket.socket(fileno=numbers[0]), numbers[1], numbers[2])
