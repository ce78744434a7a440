"""HTTP/1.1 on an asyncio protocol: bytes in, requests out; answers in, bytes out, in the order of the requests.

`httptools` (Node's parser) is taken because a parser of outside input is nothing to write oneself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import httptools

from noria.core.errors import NoriaError, OurBug
from noria.serving.protocols import BadRequest, error_answer

REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
MOST_HEADER_BYTES = 32_768
LINGER_SECONDS = 2.0
MOST_WAITING = 256  # pipelined requests of one connection that may wait for answers


@dataclass
class Request:
    """One parsed request."""

    method: str = ""
    target: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.split(b"?", 1)[0].decode("latin-1")


class Reply:
    """A place for one answer. Answers leave in the order of their requests, whenever each is given."""

    __slots__ = ("_connection", "data", "keep_alive")

    def __init__(self, connection: Connection, keep_alive: bool) -> None:
        self._connection, self.keep_alive = connection, keep_alive
        self.data: bytes | None = None

    def send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        connection = "" if self.keep_alive else "connection: close\r\n"
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: {content_type}\r\n{connection}content-length: {len(body)}\r\n\r\n"
        self.data = head.encode("latin-1") + body
        self._connection.flush()

    def fail(self, error: NoriaError) -> None:
        self.send(error.http_status if error.http_status in REASONS else 500, error_answer(error))


Handle = Callable[[Request, Reply], None]


class TooLarge(BadRequest):
    """A request larger than the server takes."""

    code = "NR-511"
    http_status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(what="the request is too large", where=f"the limit is {limit:,} bytes", mend="send fewer rows at a time")


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, handle: Handle, open_connections: set[Connection], most_body_bytes: int) -> None:
        self._handle, self._open, self._most_body = handle, open_connections, most_body_bytes
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Reply] = deque()
        self._request, self._body, self._size, self._header_bytes = Request(), list[bytes](), 0, 0
        self._refused = False
        self._half_closed = False
        self._paused = False

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(BadRequest(what="upgrades are not spoken here", where="the request", mend="send plain HTTP/1.1"))
        except httptools.HttpParserError as error:
            if not self._refused:
                self._refuse(BadRequest(what="this is not HTTP/1.1", where=str(error), mend="send a valid request"))

    def eof_received(self) -> bool:
        """The client will send no more; what it asked for is still answered. Returns whether the connection stays open."""
        self._half_closed = True
        return bool(self._waiting)

    def pause_writing(self) -> None:
        self._paused = True
        if self._transport:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        if self._transport:
            self._transport.resume_reading()

    # --- httptools ---

    def on_message_begin(self) -> None:
        self._request, self._body, self._size, self._header_bytes = Request(), [], 0, 0

    def on_url(self, url: bytes) -> None:
        self._count_header(len(url))
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value))
        self._request.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._request.headers.get(b"expect", b"").lower() == b"100-continue" and self._transport and not self._waiting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._most_body:
            self._refuse(TooLarge(self._most_body))
            raise TooLarge(self._most_body)
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._request.method = self._parser.get_method().decode("latin-1")
        self._request.body = b"".join(self._body)
        reply = Reply(self, self._parser.should_keep_alive())
        self._waiting.append(reply)
        if len(self._waiting) > MOST_WAITING and self._transport:
            self._transport.pause_reading()
        try:
            self._handle(self._request, reply)
        except NoriaError as error:
            reply.fail(error)

    # --- answers ---

    def flush(self) -> None:
        """Write every answer whose turn has come."""
        while self._waiting and self._waiting[0].data is not None:
            reply = self._waiting.popleft()
            assert reply.data is not None
            if self._transport is not None:
                self._transport.write(reply.data)
                if not reply.keep_alive and not self._refused:
                    self._close()
        if not self._waiting and self._refused:
            self._linger()
        elif not self._waiting and self._half_closed:
            self._close()
        if self._transport is not None and not self._paused and len(self._waiting) <= MOST_WAITING:
            self._transport.resume_reading()

    def drain(self) -> bool:
        """Close if nothing waits for an answer; returns whether it is closed."""
        if not self._waiting:
            self._close()
        return self._transport is None

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _linger(self) -> None:
        """Close without a reset: a client that is still sending would lose the answer if its bytes stayed unread."""
        if self._transport is not None and not self._half_closed:
            self._transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close)
        else:
            self._close()

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(TooLarge(MOST_HEADER_BYTES))
            raise TooLarge(MOST_HEADER_BYTES)

    def _refuse(self, error: NoriaError) -> None:
        """Answer with an error and close: after what can't be parsed, where the next request begins is not known."""
        self._refused = True
        reply = Reply(self, keep_alive=False)
        self._waiting.append(reply)
        reply.fail(error)


def bug(error: Exception) -> OurBug:
    """Whatever went wrong inside while answering, without its details."""
    return OurBug(
        what="the server failed on this request",
        where=type(error).__name__,
        mend="please report it; the server's log has the details",
    )
