"""Server-sent events, as the WHATWG's HTML standard has them (section 9.2.6), from bytes that come in pieces of any size.

Two leniencies, for servers that need them: lines may end in any of CR, LF and CRLF, mixed; and the last event counts without the blank
line after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"
LINE_END = re.compile(rb"[\r\n]")


class TooLong(ValueError):
    """An event is longer than is read."""


class Events:
    """The data of each event. most: bytes of one"""

    def __init__(self, most: int) -> None:
        self._most, self._buffer, self._searched = most, bytearray(), 0
        self._data = list[bytes]()
        self._size = 0
        self._first, self._after_cr = True, False

    def add(self, piece: bytes) -> Iterator[bytes]:
        """The events that are whole with these bytes. Raises `TooLong`."""
        self._buffer += piece
        while (line := self._line()) is not None:
            if line:
                self._field(line)
            elif self._data:
                yield self._event()
        if len(self._buffer) > self._most:
            raise TooLong

    def end(self) -> bytes | None:
        """What came of an event that no blank line ended."""
        if self._buffer:
            self._field(self._unmarked(bytes(self._buffer)))
            self._buffer.clear()
        return self._event() if self._data else None

    def _line(self) -> bytes | None:
        if self._after_cr and self._buffer:
            self._after_cr = False
            if self._buffer[0] == 10:  # the LF of a CRLF, of which each may come in a piece of its own
                del self._buffer[:1]
        found = LINE_END.search(self._buffer, self._searched)
        if found is None:
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[: found.start()])
        self._after_cr = self._buffer[found.start()] == 13
        del self._buffer[: found.end()]
        self._searched = 0
        return self._unmarked(line)

    def _unmarked(self, line: bytes) -> bytes:
        first, self._first = self._first, False
        return line.removeprefix(BOM) if first else line

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":  # others (event, id, retry) and comments say nothing that an answer needs
            self._size += len(value)
            if self._size > self._most:
                raise TooLong
            self._data.append(value[1:] if value[:1] == b" " else value)

    def _event(self) -> bytes:
        event = b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        return event
