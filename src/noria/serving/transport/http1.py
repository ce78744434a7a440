"""HTTP/1.1 on an asyncio protocol: bytes in, requests out; answers in, bytes out, in the order of the requests.

`httptools` (Node's parser) is taken because a parser of outside input is nothing to write oneself. A client that keeps its
connection sends the same head again and again: a head that httptools has once read is known by its bytes from then on, with
what it was resolved to, and only a whole request that fits in what was received goes that way. Everything else is parsed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, cast

import httptools

from noria.core.errors import NoriaError, OurBug
from noria.models.bundle import Bundle
from noria.serving.protocol.signature import BadRequest, error_answer, plain_answer

logger = logging.getLogger("noria.serving")

REASONS = {status.value: status.phrase for status in HTTPStatus}
JSON = "application/json"
MOST_HEADER_BYTES = 32_768
LINGER_SECONDS = 2.0
MOST_WAITING = 256  # pipelined requests of one connection that may wait for answers
KNOWN_HEAD_BYTES = 2_048
MOST_KNOWN_HEADS = 4_096


class Head:
    """A request without its body. Header names are lower case."""

    __slots__ = ("headers", "keep_alive", "method", "target")

    def __init__(self) -> None:
        self.method, self.target, self.keep_alive = "", b"", True
        self.headers: dict[bytes, bytes] = {}

    @property
    def path(self) -> str:
        return self.target.split(b"?", 1)[0].decode("latin-1")

    def header(self, name: bytes) -> str:
        """A header's value; empty if it was not sent."""
        return self.headers.get(name, b"").decode("latin-1")


class Reply:
    """A place for one answer. Answers leave in the order of their requests, whenever each is given.

    A client of predictions as plain JSON. What most replies don't have is the class's, so that making one costs little.
    """

    data: bytes | None = None
    ended = True  # what `data` holds is all there is
    observed: Callable[[int, bytes], None] | None = None  # told the status and the body

    def __init__(self, connection: Connection, keep_alive: bool) -> None:
        self._connection, self.keep_alive = connection, keep_alive

    def answered(self, bundle: Bundle, predictions: list[float], ids: list[str], fallback: str | None) -> None:
        """Predictions, as plain JSON."""
        self.send(200, plain_answer(bundle, predictions, ids, fallback))

    def send(self, status: int, body: bytes, content_type: str = JSON, headers: str = "") -> None:
        """`headers` are further header lines, each with its line end."""
        if not self.keep_alive:
            headers += "connection: close\r\n"
        self.data = _head(status, content_type, headers, len(body)) + body
        if self.observed is not None:
            self.observed(status, body)
        self._connection.flush()

    def fail(self, error: NoriaError) -> None:
        self._connection.failed(error)
        status = error.http_status if error.http_status in REASONS else 500
        retry = f"retry-after: {error.retry_after}\r\n" if error.retry_after is not None else ""
        self.send(status, error_answer(error), JSON, retry)

    def gone(self) -> bool:
        """Whether the client has left."""
        return self._connection.closed

    def stream(self, content_type: str) -> Streamed:
        """Begin an answer of which each part leaves as it comes; this reply is then to be used no more."""
        return self._connection.begin_stream(self, content_type)


class Streamed(Reply):
    """An answer in parts (chunked; to HTTP/1.0, ended by closing)."""

    def __init__(self, connection: Connection, keep_alive: bool, content_type: str, *, chunked: bool) -> None:
        super().__init__(connection, keep_alive and chunked)
        self._chunked, self.ended = chunked, False
        framing = "transfer-encoding: chunked" if chunked else "connection: close"
        closing = "connection: close\r\n" if chunked and not keep_alive else ""
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncache-control: no-store\r\n{framing}\r\n{closing}\r\n"
        self.data = head.encode("latin-1")

    def part(self, data: bytes) -> None:
        """Send some more."""
        self.data = (self.data or b"") + (b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self._connection.flush()

    def end(self) -> None:
        """Nothing more comes."""
        self.data, self.ended = (self.data or b"") + (b"0\r\n\r\n" if self._chunked else b""), True
        self._connection.flush()


@lru_cache(maxsize=4_096)
def _head(status: int, content_type: str, headers: str, length: int) -> bytes:
    text = f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: {content_type}\r\n{headers}content-length: {length}\r\n\r\n"
    return text.encode("latin-1")


Answer = Callable[[bytes, Reply], None]
Resolve = Callable[[Head], Answer]


class KnownHeads:
    """Heads that were parsed before, by their bytes: how long a body they announce, and what answers it."""

    def __init__(self) -> None:
        self._heads: dict[bytes, tuple[int, Answer]] = {}
        self.get = self._heads.get

    def remember(self, head: bytes, length: int, answer: Answer) -> None:
        if len(head) > KNOWN_HEAD_BYTES:
            return
        if len(self._heads) >= MOST_KNOWN_HEADS:
            self._heads.clear()
        self._heads[head] = length, answer

    def forget(self) -> None:
        """What heads resolve to has changed."""
        self._heads.clear()


class TooLarge(BadRequest):
    """A request larger than the server takes."""

    code = "NR-511"
    http_status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(what="the request is too large", where=f"the limit is {limit:,} bytes", mend="send fewer rows at a time")


class TooSlow(BadRequest):
    """A request that did not arrive in time."""

    code = "NR-518"
    http_status = 408

    def __init__(self, limit: float) -> None:
        super().__init__(what="the request took too long to arrive", where=f"the limit is {limit:g} s", mend="send it in one go")


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(
        self, resolve: Resolve, known: KnownHeads, open_connections: set[Any], most_body_bytes: int, failed: Callable[[NoriaError], None]
    ) -> None:
        self._resolve, self._known, self._open, self._most_body = resolve, known, open_connections, most_body_bytes
        self.failed = failed
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Reply] = deque()
        self._head, self._body, self._size, self._header_bytes = Head(), list[bytes](), 0, 0
        self._in_message = False  # httptools is between a message's first byte and its last
        self._raw = b""  # the bytes received with a message's first byte
        self._refused = False
        self._half_closed = False
        self._paused = False  # the client does not read what it is sent
        self._choked = False  # the client sends faster than it is answered
        self._draining = False
        self._closing: asyncio.TimerHandle | None = None
        self._taken, self._seen, self._since = 0, (-1, False), 0.0

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._open.discard(self)
        self._refused = True
        self._parser = None  # it holds this object as this holds it
        if self._closing is not None:
            self._closing.cancel()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        while data and not self._in_message:
            end = data.find(b"\r\n\r\n") + 4
            known = self._known.get(data[:end])
            if known is None or len(data) < end + known[0]:
                break
            body_end = end + known[0]
            self._take(known[1], data[end:body_end], True)
            data = data[body_end:]
        if data:
            self._feed(data)

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
        if self._transport and not self._choked:
            self._transport.resume_reading()

    # --- httptools ---

    def _feed(self, data: bytes) -> None:
        self._raw = b"" if self._in_message else data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(BadRequest(what="upgrades are not spoken here", where="the request", mend="send plain HTTP/1.1"))
        except httptools.HttpParserError as error:
            if not self._refused:
                self._refuse(BadRequest(what="this is not HTTP/1.1", where=str(error), mend="send a valid request"))

    def on_message_begin(self) -> None:
        self._in_message = True
        self._head, self._body, self._size, self._header_bytes = Head(), [], 0, 0

    def on_url(self, url: bytes) -> None:
        self._count_header(len(url))
        self._head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value))
        self._head.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._head.headers.get(b"expect", b"").lower() == b"100-continue" and self._transport and not self._waiting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._most_body:
            self._refuse(TooLarge(self._most_body))
            raise TooLarge(self._most_body)
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        raw, self._raw = self._raw, b""  # only the first message of what was received begins where that begins
        if self._refused:
            return
        head, body = self._head, b"".join(self._body)
        head.method = self._parser.get_method().decode("latin-1")
        head.keep_alive = self._parser.should_keep_alive()
        try:
            answer = self._resolve(head)
        except NoriaError as error:
            reply = Reply(self, head.keep_alive)
            self._waiting.append(reply)
            reply.fail(error)
            return
        if head.keep_alive and body and raw:
            self._remember(head, raw, body, answer)
        self._take(answer, body, head.keep_alive)

    def _remember(self, head: Head, raw: bytes, body: bytes, answer: Answer) -> None:
        """Know this head again, if it stood whole before its body, whose length it gives, and asks for nothing else."""
        end = raw.find(b"\r\n\r\n") + 4
        plain = b"transfer-encoding" not in head.headers and b"expect" not in head.headers
        if plain and head.headers.get(b"content-length") == str(len(body)).encode() and raw[end : end + len(body)] == body:
            self._known.remember(raw[:end], len(body), answer)

    # --- answers ---

    def _take(self, answer: Answer, body: bytes, keep_alive: bool) -> None:
        reply = Reply(self, keep_alive and not self._draining)
        self._waiting.append(reply)
        self._taken += 1
        if len(self._waiting) > MOST_WAITING and self._transport:
            self._choked = True
            self._transport.pause_reading()
        try:
            answer(body, reply)
        except NoriaError as error:
            reply.fail(error)
        except Exception as error:  # a fault of ours answers 500; it never takes the connection's other requests with it
            logger.exception("while answering a request")
            reply.fail(bug(error))

    @property
    def closed(self) -> bool:
        return self._transport is None

    def begin_stream(self, reply: Reply, content_type: str) -> Streamed:
        """Put an answer in parts into a reply's place."""
        chunked = self._parser is None or self._parser.get_http_version() != "1.0"
        streamed = Streamed(self, reply.keep_alive, content_type, chunked=chunked)
        self._waiting[self._waiting.index(reply)] = streamed
        self.flush()
        return streamed

    def flush(self) -> None:
        """Write every answer whose turn has come."""
        waiting = self._waiting
        while waiting:
            reply = waiting[0]
            data = reply.data
            if data is None:
                break
            reply.data = None
            if self._transport is not None:
                self._transport.write(data)
            if not reply.ended:
                break
            waiting.popleft()
            if not reply.keep_alive and not self._refused:
                self._close()
        if self._refused:
            if not waiting:
                self._linger()
        elif self._half_closed:
            if not waiting:
                self._close()
        elif self._choked and len(waiting) <= MOST_WAITING:
            self._choked = False
            if self._transport is not None and not self._paused:
                self._transport.resume_reading()

    def drain(self, *, idle: bool = True) -> bool:
        """Answer what comes, and close with that answer; an `idle` connection closes at once. Returns whether it is closed."""
        self._draining = True
        if idle and not self._waiting:
            self._close()
        return self._transport is None

    def sweep(self, now: float, request_seconds: float, idle_seconds: float) -> None:
        """Called now and then: close what has stood still for too long, whether in the middle of a request, idle, or unread."""
        state = (self._taken, self._in_message)
        if state != self._seen or (self._waiting and not self._paused):
            self._seen, self._since = state, now
        still = now - self._since
        if self._paused and still > request_seconds and self._transport is not None:
            self._transport.abort()
        elif self._in_message and still > request_seconds and not self._refused:
            self._refuse(TooSlow(request_seconds))
        elif not self._in_message and still > idle_seconds:
            self.drain()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _linger(self) -> None:
        """Close without a reset: a client that is still sending would lose the answer if its bytes stayed unread."""
        if self._transport is not None and not self._half_closed:
            self._transport.write_eof()
            self._closing = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close)
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
