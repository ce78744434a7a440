"""One streamed answer inside a model's process: its parts, its bounds, and the whole row that it ends as."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from noria.core.signature import Field
from noria.data.rows import Fields, Rows, column_of_values

SHOWN = 60  # characters of a value in a message

Row = dict[str, Any]
Stream = Callable[[Row], Iterable[str | Mapping[str, Any]]]


class TooLong(Exception):
    """An answer has more parts or bytes than it may."""


@dataclass(frozen=True)
class Making:
    """How a model's answers are made. outputs: the first is the text; most_parts, most_bytes: of one answer"""

    stream: Stream
    outputs: Fields
    most_parts: int
    most_bytes: int

    @property
    def several(self) -> bool:
        """Whether there are outputs beside the text."""
        return len(self.outputs) > 1

    def whole(self, row: Row) -> Rows:
        """A complete answer, made at once. Raises `TooLong`, and what the model raises."""
        answer = OneAnswer(self, row)
        parts: list[str] = []
        while (part := answer.next()) is not None:
            parts.append(part)
        return answer.complete() if self.several else Rows.of_values(self.outputs, [("".join(parts),)])

    def check(self, made: int, size: int) -> None:
        """Raises `TooLong`."""
        if made > self.most_parts:
            raise TooLong(f"it has more than {self.most_parts:,} parts (serving.stream_parts)")
        if size > self.most_bytes:
            raise TooLong(f"it has more than {self.most_bytes:,} bytes (serving.stream_bytes)")


class OneAnswer:
    """A row until its first part, then the parts: the texts that were made, and the other outputs of a model that has several."""

    def __init__(self, making: Making, row: Row) -> None:
        self._making, self._row, self._several = making, row, making.several
        self._parts: Iterator[str | Mapping[str, Any]] | None = None
        self._made = self._size = 0
        self._texts = list[str]()
        self._rest: Mapping[str, Any] | None = None

    def next(self) -> str | None:
        """The next part; None where there are no more. What comes last of a model of several outputs is kept."""
        if self._parts is None:
            self._parts = iter(self._making.stream(self._row))
        for part in self._parts:
            if self._rest is not None:
                raise TypeError("it gave more after its other outputs, which come last")
            self._made += 1
            if self._several and isinstance(part, Mapping):
                self._rest = part
                continue
            self._size += _size(part)
            self._making.check(self._made, self._size)
            if self._several:
                self._texts.append(str(part))
            return str(part)
        return None

    def complete(self) -> Rows:
        """The whole answer as a row. Raises `TypeError` or `ValueError` where the other outputs are not there, or not what they should be,
        and `TooLong`."""
        text, *others = self._making.outputs
        if self._rest is None:
            raise TypeError(f"it ended without its other outputs: after its parts, it has to give a dict of {_names(others)}")
        given = {text.name: "".join(self._texts), **{str(name): value for name, value in self._rest.items()}}
        lacking = [each for each in others if each.name not in given]
        if lacking:
            raise ValueError(f"its other outputs lack {_names(lacking)}: they are {', '.join(map(str, self._rest)) or 'empty'}")
        row = whole_row(self._making.outputs, given)
        self._making.check(self._made, row.nbytes)
        return row

    def close(self) -> None:
        """Nothing more is asked of it. Raises what the model does on closing."""
        close = getattr(self._parts, "close", None)
        if callable(close):
            close()


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
