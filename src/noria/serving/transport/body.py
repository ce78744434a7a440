"""How a request's body is framed (RFC 9112, sections 6 and 7): takes bytes as they come, and says what lies beyond the body."""

from __future__ import annotations

import re
from typing import Protocol

from noria.serving.protocol.request import BadRequest
from noria.serving.transport.budget import UNCOUNTED, ByteBudget
from noria.serving.transport.head import FIELD, BadHead, Head, HeadTooLarge

MAX_CHUNK_LINE = 1_024
MAX_AROUND_CHUNKS = 16_384  # extensions and trailers of one body

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15}+)((?:[ \t]*+;[\t\x20-\x7e\x80-\xff]*+)?)")


class TooLarge(BadRequest):
    """A request larger than the server takes."""

    code = "NR-511"
    http_status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(
            what="the request is too large",
            where=f"the limit is {limit:,} bytes",
            fix="send fewer rows at a time, or raise serving.max_body_bytes",
        )


class Body(Protocol):
    """A body that is on its way."""

    def feed(self, data: bytes) -> bytes | None:
        """Take what belongs to the body. Returns what lies beyond its end, None where that has not come. Raises what is wrong."""

    def whole(self) -> Content: ...


Content = bytes | memoryview  # a large body is a view of memory that is counted


class Sized:
    """A body whose length was said before."""

    def __init__(self, length: int) -> None:
        self._left = length
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes | None:
        if len(data) < self._left:
            self._left -= len(data)
            self._parts.append(data)
            return None
        self._parts.append(data[: self._left])
        return data[self._left :]

    def whole(self) -> Content:
        return b"".join(self._parts)


class Large:
    """A body whose length was said before, in one buffer from the beginning: it is not joined, and its memory is counted."""

    def __init__(self, length: int, budget: ByteBudget) -> None:
        """Raises `TooManyBytes`."""
        self._buffer, self._at = budget.buffer(length), 0

    def feed(self, data: Content) -> bytes | None:
        view = memoryview(data)
        at, left = self._at, len(self._buffer) - self._at
        if len(view) < left:
            self._at = at + len(view)
            self._buffer[at : self._at] = view
            return None
        self._buffer[at:] = view[:left]
        self._at = len(self._buffer)
        return bytes(view[left:])

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self._at == len(self._buffer)

    def whole(self) -> Content:
        return self._buffer


class Chunked:
    """A body in chunks (section 7.1). Extensions and trailers are read over, and have a bound."""

    def __init__(self, limit: int, budget: ByteBudget) -> None:
        self._limit, self._budget, self._size, self._around = limit, budget, 0, 0
        self._room = budget.buffer(0)  # as much of the budget as is held by what has come
        self._parts: list[bytes] = []
        self._held = b""  # a line that has not come whole
        self._left = 0  # bytes of a chunk that are still to come
        self._line = self._chunk  # what reads the next line

    def feed(self, data: bytes) -> bytes | None:
        data, at, self._held = self._held + data, 0, b""
        while True:
            if self._left:
                part = data[at : at + self._left]
                self._parts.append(part)
                self._left -= len(part)
                at += len(part)
            end = data.find(b"\r\n", at)
            if self._left or end < 0:
                self._hold(data[at:])
                return None
            if self._line(data[at:end]):
                return data[end + 2 :]
            at = end + 2

    def whole(self) -> Content:
        body = b"".join(self._parts)
        if len(body) <= UNCOUNTED:
            return body
        self._room[: len(body)] = body
        return self._room[: len(body)]

    def _chunk(self, line: bytes) -> bool:
        """The line before a chunk. Returns, as all that read lines, whether the body has ended."""
        if len(line) > MAX_CHUNK_LINE:
            raise HeadTooLarge("chunk extensions are", MAX_CHUNK_LINE)
        found = _CHUNK.fullmatch(line)
        if found is None:
            raise BadHead("a chunk does not begin with its size", "section 7.1")
        self._count_around(len(found[2]))
        self._left = int(found[1], 16)
        self._size += self._left
        if self._size > self._limit:
            raise TooLarge(self._limit)
        if self._size > max(len(self._room), UNCOUNTED):  # how long it becomes nobody said: room is taken for as much again
            self._room = memoryview(b"")
            self._room = self._budget.buffer(min(2 * self._size, self._limit))
        self._line = self._after_chunk if self._left else self._trailer
        return False

    def _after_chunk(self, line: bytes) -> bool:
        if line:
            raise BadHead("a chunk is longer than its size", "section 7.1")
        self._line = self._chunk
        return False

    def _trailer(self, line: bytes) -> bool:
        if not line:
            return True
        if not FIELD.fullmatch(line):
            raise BadHead("a trailer is not `name: value`", "section 7.1.2")
        self._count_around(len(line) + 2)
        return False

    def _count_around(self, size: int) -> None:
        self._around += size
        if self._around > MAX_AROUND_CHUNKS:
            raise HeadTooLarge("chunk extensions or trailers are", MAX_AROUND_CHUNKS)

    def _hold(self, rest: bytes) -> None:
        """Keep the beginning of a line, unless it can't become one."""
        if b"\n" in rest or b"\r" in rest[:-1] or (self._line == self._after_chunk and rest not in (b"", b"\r")):
            raise BadHead("a line of a chunked body is malformed", "section 7.1")
        if len(rest) > (MAX_AROUND_CHUNKS if self._line == self._trailer else MAX_CHUNK_LINE):
            raise HeadTooLarge("chunk extensions or trailers are", MAX_AROUND_CHUNKS)
        self._held = rest


def body_of(head: Head, limit: int, budget: ByteBudget) -> Body:
    """What reads the body that a head announces. Raises `TooLarge` or `TooManyBytes`, before any of it is read."""
    if head.length is None:
        return Chunked(limit, budget)
    if head.length > limit:
        raise TooLarge(limit)
    return Sized(head.length) if head.length <= UNCOUNTED else Large(head.length, budget)
