"""Streamed answers inside a model's process: a step of one of them at a time, in turn, and orders between any two steps.

The model's code never runs beside itself: it is one thread that takes steps, a call of `predict` or the making of one part. So a long text
holds up a call, or another text, for one part at most, and a model need not be safe for threads.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from noria.core.signature import Signature
from noria.models.runtimes.messages import Failed, Part, Reply, StreamEnded

Row = dict[str, Any]
Stream = Callable[[Row], Iterable[str]]


@dataclass
class _Open:
    """A stream: its row until its first step, then its parts. credit: so many more may be made"""

    row: Row
    credit: int
    parts: Iterator[str] | None = None
    made: int = 0
    size: int = 0


class TooLong(Exception):
    """An answer has more parts or bytes than it may."""


class Streams:
    """The streams of one model. described: says an exception in one line, and prints it"""

    def __init__(self, stream: Stream, most_parts: int, most_bytes: int, described: Callable[[BaseException], str]) -> None:
        self._stream, self._most_parts, self._most_bytes, self._described = stream, most_parts, most_bytes, described
        self._open: dict[int, _Open] = {}
        self._turns: deque[int] = deque()  # those with credit, in the order of their next steps

    @property
    def runnable(self) -> bool:
        return bool(self._turns)

    def begin(self, number: int, row: Row, credit: int) -> None:
        self._open[number] = _Open(row, credit)
        self._turns.append(number)

    def grant(self, number: int, parts: int) -> None:
        """More parts may come; of a stream that is over, this says nothing."""
        found = self._open.get(number)
        if found is not None:
            if not found.credit:
                self._turns.append(number)
            found.credit += parts

    def cancel(self, number: int) -> StreamEnded | None:
        """Close a stream that nobody reads; None where it is over, which was said."""
        if number not in self._open:
            return None
        if self._open[number].credit:
            self._turns.remove(number)
        return self._ended(number)

    def step(self) -> Reply:
        """Make the next part of the stream whose turn it is."""
        number = self._turns.popleft()
        found = self._open[number]
        try:
            part = self._next(found)
        except StopIteration:
            del self._open[number]
            return StreamEnded(number)
        except MemoryError as error:
            return Failed(self._described(error), ends=True)
        except TooLong as error:
            return self._ended(number, str(error), too_long=True)
        except Exception as error:  # noqa: BLE001 - whatever a model raises is told to who asked
            return self._ended(number, self._described(error))
        found.credit -= 1
        if found.credit:
            self._turns.append(number)
        return Part(number, part)

    def _next(self, found: _Open) -> str:
        if found.parts is None:
            found.parts = iter(self._stream(found.row))
        part = next(found.parts)
        found.made, found.size = found.made + 1, found.size + _size(part)
        self._check(found.made, found.size)
        return part

    def _check(self, made: int, size: int) -> None:
        if made > self._most_parts:
            raise TooLong(f"it has more than {self._most_parts:,} parts (serving.stream_parts)")
        if size > self._most_bytes:
            raise TooLong(f"it has more than {self._most_bytes:,} bytes (serving.stream_bytes)")

    def _ended(self, number: int, reason: str | None = None, *, too_long: bool = False) -> StreamEnded:
        parts = self._open.pop(number).parts
        close = getattr(parts, "close", None)
        if callable(close):
            try:
                close()
            except Exception as error:  # noqa: BLE001 - what it does on closing changes nothing for anyone
                self._described(error)
        return StreamEnded(number, reason, too_long)

    def whole(self, row: Row) -> str:
        """A complete text, made at once. Raises `TooLong`, and what the model raises."""
        found = _Open(row, 0)
        parts: list[str] = []
        while True:
            try:
                parts.append(self._next(found))
            except StopIteration:
                return "".join(parts)


def _size(part: Any) -> int:
    """The bytes of a part. Raises `TypeError` or `ValueError` where it is no text."""
    if not isinstance(part, str):
        raise TypeError(f"it gave a part that is a {type(part).__name__}, where a text is expected")
    return len(part.encode())  # lone surrogates are no text: UnicodeEncodeError is a ValueError


def stream_of(model: Any, signature: Signature) -> Stream | None:
    """The model's method `stream`, where its one output is a text; what else may bear the name means nothing. Raises `TypeError`."""
    found = getattr(model, "stream", None)
    texts = [(field.type, field.shape) for field in signature.outputs] == [("string", ())]
    if not (callable(found) and texts):
        return None
    if inspect.isasyncgenfunction(found) or inspect.iscoroutinefunction(found):
        raise TypeError("its method `stream` is asynchronous; make it an ordinary generator")
    method: Stream = found
    return method


def predict_of(model: Any, *, streams: bool) -> Callable[[Any], Any] | None:
    """What answers a batch at once: the model's `predict`, or the model itself; None where it only streams. Raises `TypeError`."""
    found = getattr(model, "predict", None)
    if not callable(found):
        found = None if streams or not callable(model) else model
    if inspect.isgeneratorfunction(found):
        raise TypeError("its `predict` is a generator; call it `stream`: it is given one row, and makes its answer's parts")
    if found is None and not streams:
        raise TypeError(f"{type(model).__name__} has a method `stream`, but its output is not one text")
    return found
