"""Streamed answers inside a model's process: a step of one of them at a time, in turn, and orders between any two steps.

The model's code never runs beside itself: it is one thread that takes steps, a call of `predict` or the making of one part. So a long text
holds up a call, or another text, for one part at most, and a model need not be safe for threads.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from noria.core.signature import Field, Signature
from noria.data.rows import Fields, Rows, column_of_values
from noria.models.runtimes.messages import Failed, Part, Reply, StreamEnded
from noria.models.runtimes.shared import packed

SHOWN = 60  # characters of a value in a message

Row = dict[str, Any]
Stream = Callable[[Row], Iterable[str | Mapping[str, Any]]]


@dataclass
class _Open:
    """A stream: its row until its first step, then its parts. credit: so many more may be made

    texts: what was made so far; rest: the other outputs of a model that has several, which come last
    """

    row: Row
    credit: int
    parts: Iterator[str | Mapping[str, Any]] | None = None
    made: int = 0
    size: int = 0
    texts: list[str] = field(default_factory=list)
    rest: Mapping[str, Any] | None = None


class TooLong(Exception):
    """An answer has more parts or bytes than it may."""


class Streams:
    """The streams of one model. outputs: the first is the text; described: says an exception in one line, and prints it"""

    def __init__(
        self, stream: Stream, outputs: Fields, most_parts: int, most_bytes: int, described: Callable[[BaseException], str]
    ) -> None:
        self._stream, self._outputs, self._described = stream, outputs, described
        self._most_parts, self._most_bytes = most_parts, most_bytes
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
            row = packed(self._complete(found)) if part is None and len(self._outputs) > 1 else None
        except MemoryError as error:
            return Failed(self._described(error), ends=True)
        except TooLong as error:
            return self._ended(number, str(error), too_long=True)
        except Exception as error:  # noqa: BLE001 - whatever a model raises is told to who asked
            return self._ended(number, self._described(error))
        if part is None:
            del self._open[number]
            return StreamEnded(number, row=row)
        found.credit -= 1
        if found.credit:
            self._turns.append(number)
        return Part(number, part)

    def _next(self, found: _Open) -> str | None:
        """The next part; None where there are no more. What comes last of a model of several outputs is kept."""
        if found.parts is None:
            found.parts = iter(self._stream(found.row))
        several = len(self._outputs) > 1
        for part in found.parts:
            if found.rest is not None:
                raise TypeError("it gave more after its other outputs, which come last")
            found.made += 1
            if several and isinstance(part, Mapping):
                found.rest = part
                continue
            found.size += _size(part)
            self._check(found.made, found.size)
            if several:
                found.texts.append(str(part))
            return str(part)
        return None

    def _complete(self, found: _Open) -> Rows:
        """The whole answer as a row. Raises `TypeError` or `ValueError` where the other outputs are not there, or not what they should be,
        and `TooLong`."""
        text, *others = self._outputs
        if found.rest is None:
            raise TypeError(f"it ended without its other outputs: after its parts, it has to give a dict of {_names(others)}")
        given = {text.name: "".join(found.texts), **{str(name): value for name, value in found.rest.items()}}
        lacking = [each for each in others if each.name not in given]
        if lacking:
            raise ValueError(f"its other outputs lack {_names(lacking)}: they are {', '.join(map(str, found.rest)) or 'empty'}")
        row = whole_row(self._outputs, given)
        self._check(found.made, row.nbytes)
        return row

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

    def whole(self, row: Row) -> Rows:
        """A complete answer, made at once. Raises `TooLong`, and what the model raises."""
        found = _Open(row, 0)
        parts: list[str] = []
        while (part := self._next(found)) is not None:
            parts.append(part)
        return self._complete(found) if len(self._outputs) > 1 else Rows.of_values(self._outputs, [("".join(parts),)])


def whole_row(outputs: Fields, given: Mapping[str, Any]) -> Rows:
    """One row of outputs by name. Raises `ValueError` or `TypeError` for a value that is not one of its output."""
    columns = [_column(each, given[each.name]) for each in outputs]
    row = Rows.of(outputs, columns)
    if not row.finite():
        raise ValueError("a number of its other outputs is not finite (NaN or infinity)")
    return row


def _column(output: Field, value: Any) -> Any:
    """A column of one value. Raises `ValueError`, of which Arrow's errors are, or `TypeError`."""
    if value is None and not output.nullable:
        raise ValueError(f"{output.described} is None, and has to be known")
    if isinstance(value, str) and (output.shape or output.type not in ("string", "timestamp")):
        raise TypeError(f"{output.described} is the text {value[:SHOWN]!r}")
    try:
        return column_of_values(output, [value])
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{output.described} is {type(value).__name__} {str(value)[:SHOWN]!r}: {error}") from error


def _names(fields: Iterable[Field]) -> str:
    return ", ".join(each.name for each in fields)


def _size(part: Any) -> int:
    """The bytes of a part. Raises `TypeError` or `ValueError` where it is no text."""
    if not isinstance(part, str):
        raise TypeError(f"it gave a part that is a {type(part).__name__}, where a text is expected")
    return len(part.encode())  # lone surrogates are no text: UnicodeEncodeError is a ValueError


def streams_text(outputs: Fields) -> bool:
    """Whether answers of these outputs may be made in parts: the first is a single text."""
    return (outputs[0].type, outputs[0].shape) == ("string", ())


def stream_of(model: Any, signature: Signature) -> Stream | None:
    """The model's method `stream`, where its first output is a text; what else may bear the name means nothing. Raises `TypeError`."""
    found = getattr(model, "stream", None)
    if not (callable(found) and streams_text(signature.outputs)):
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
        raise TypeError(f"{type(model).__name__} has a method `stream`, but its first output is not a text")
    return found
