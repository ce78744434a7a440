"""A place for one answer of a connection, and the bytes that an answer's head is."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import format_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol

from noria.core.clock import Clock
from noria.core.errors import NoriaError
from noria.models.bundle import Bundle
from noria.serving.protocol.answers import error_answer, plain_answer
from noria.serving.protocol.v1.errors import openai_error

REASONS = {status.value: status.phrase for status in HTTPStatus}
JSON = "application/json"
OPENAI = b"/v1/"  # what paths begin with whose errors are in OpenAI's form
HELD_BYTES = 64 * 1024  # of an answer in parts that may wait for those before it


class AnswerHeads:
    """The heads of answers, with the date that each must carry (RFC 9110, section 6.6.1): made once a second for each kind of answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._date = clock, ""
        self.head = lru_cache(maxsize=4_096)(self._head)
        self.tick()

    def tick(self) -> None:
        """Look at the clock: called several times a second."""
        date = f"date: {format_datetime(self._clock.now(), usegmt=True)}\r\n"
        if date != self._date:
            self._date = date
            self.head.cache_clear()

    def _head(self, status: int, content_type: str, headers: str, length: int) -> bytes:
        first = f"HTTP/1.1 {status} {REASONS[status]}\r\n{self._date}content-type: {content_type}\r\n"
        return f"{first}{headers}content-length: {length}\r\n\r\n".encode("latin-1")

    def streamed(self, content_type: str, headers: str) -> bytes:
        """The head of an answer whose length is not known."""
        first = f"HTTP/1.1 200 OK\r\n{self._date}content-type: {content_type}\r\ncache-control: no-store\r\n"
        return f"{first}{headers}\r\n".encode("latin-1")


class Answering(Protocol):
    """The connection that a reply belongs to."""

    heads: AnswerHeads

    @property
    def closed(self) -> bool: ...
    @property
    def paused(self) -> bool:
        """Whether the client does not read what it is sent."""

    def flush(self) -> None: ...
    def failed(self, error: NoriaError) -> None: ...
    def begin_stream(self, reply: Reply, content_type: str) -> Streamed: ...


class Reply:
    """A place for one answer. Answers leave in the order of their requests, whenever each is given.

    A client of predictions as plain JSON. What most replies don't have is the class's, so that making one costs little.
    """

    data: bytes | None = None
    ended = True  # what `data` holds is all there is
    old = False  # it goes to HTTP/1.0
    observed: Callable[[int, bytes], None] | None = None  # told the status and the body
    on_gone: Callable[[], None] | None = None  # told when the client leaves before it is answered
    on_room: Callable[[], None] | None = None  # told, of an answer in parts, when more can be sent
    openai = False  # errors are in OpenAI's form

    def __init__(self, connection: Answering, keep_alive: bool) -> None:
        self._connection, self.keep_alive = connection, keep_alive

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        """Predictions, as plain JSON."""
        self.send(200, plain_answer(bundle, predictions, ids, fallback))

    def send(self, status: int, body: bytes, content_type: str = JSON, headers: str = "") -> None:
        """`headers` are further header lines, each with its line end."""
        if not self.keep_alive:
            headers += "connection: close\r\n"
        connection = self._connection
        self.data = connection.heads.head(status, content_type, headers, len(body)) + body
        if self.observed is not None:
            self.observed(status, body)
        connection.flush()

    def failed(self, error: NoriaError) -> None:
        """Count an error that its client is told of."""
        self._connection.failed(error)

    def fail(self, error: NoriaError) -> None:
        self.failed(error)
        status = error.http_status if error.http_status in REASONS else 500
        headers = "".join(f"{name}: {value}\r\n" for name, value in error.http_headers)
        if error.retry_after is not None:
            headers += f"retry-after: {error.retry_after}\r\n"
        self.send(status, openai_error(error) if self.openai else error_answer(error), JSON, headers)

    def gone(self) -> bool:
        """Whether the client has left."""
        return self._connection.closed

    def stream(self, content_type: str) -> Streamed:
        """Begin an answer of which each part leaves as it comes; this reply is then to be used no more."""
        return self._connection.begin_stream(self, content_type)


class HeadOnly(Reply):
    """The answer to HEAD: what GET's head would be, and no body (RFC 9110, section 9.3.2)."""

    def send(self, status: int, body: bytes, content_type: str = JSON, headers: str = "") -> None:
        closing = "" if self.keep_alive else "connection: close\r\n"
        self.data = self._connection.heads.head(status, content_type, headers + closing, len(body))
        self._connection.flush()


class Streamed(Reply):
    """An answer in parts (chunked; to HTTP/1.0, ended by closing)."""

    def __init__(self, connection: Answering, reply: Reply, content_type: str) -> None:
        super().__init__(connection, reply.keep_alive)
        self.ended, self._chunked, self.observed = False, not reply.old, reply.observed
        self._whole = list[bytes]()  # its parts, where it is observed
        framing = "transfer-encoding: chunked\r\n" if self._chunked else ""
        closing = "" if reply.keep_alive else "connection: close\r\n"
        self.data = connection.heads.streamed(content_type, framing + closing)

    @property
    def full(self) -> bool:
        """Whether the client is behind, so that what is sent now waits here; `on_room` is then told when it no longer does."""
        return self._connection.paused or len(self.data or b"") > HELD_BYTES

    def part(self, data: bytes) -> None:
        """Send some more."""
        if self.observed is not None:
            self._whole.append(data)
        self.data = (self.data or b"") + (b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self._connection.flush()

    def knock(self) -> None:
        """Send what says nothing, to see whether the client is there: a comment between two events."""
        if not self.ended and not self.full:
            self.part(b":\n\n")

    def end(self) -> None:
        """Nothing more comes."""
        self.on_gone = self.on_room = None
        if self.observed is not None:
            self.observed(200, b"".join(self._whole))
        self.data, self.ended = (self.data or b"") + (b"0\r\n\r\n" if self._chunked else b""), True
        self._connection.flush()
