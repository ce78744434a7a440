"""HTTP/1.1 on an asyncio protocol: bytes in, requests out; answers in, bytes out, in the order of the requests.

`head` says what a request's head must be, `body` how a body is framed, `reply` what an answer looks like. A client that keeps its
connection sends the same head again and again: a head that was once read is known by its bytes from then on, with what it was
resolved to, and only a whole request that fits in what was received goes that way. Everything else is read by the grammar.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from noria.core.errors import NoriaError, OurBug
from noria.serving.protocol.request import BadRequest
from noria.serving.transport.body import Body, Content, Large, body_of
from noria.serving.transport.budget import UNCOUNTED, ByteBudget
from noria.serving.transport.head import Head, find_end, read_head, without_empty_lines
from noria.serving.transport.reply import OPENAI, AnswerHeads, HeadOnly, Reply, Streamed

logger = logging.getLogger("noria.serving")

LINGER_SECONDS = 2.0
KNOCK_SECONDS = 1.0
MAX_WAITING = 256  # pipelined requests of one connection that may wait for answers
KNOWN_HEAD_BYTES = 2_048
MAX_KNOWN_HEADS = 4_096
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"

Answer = Callable[[Content, Reply], None]
Resolve = Callable[[Head], Answer]


class KnownHeads:
    """Heads that were read before, by their bytes: how long a body they announce, and what answers it."""

    def __init__(self) -> None:
        self._heads: dict[bytes, tuple[int, Answer]] = {}
        self.get = self._heads.get

    def remember(self, head: bytes, length: int, answer: Answer) -> None:
        if len(head) > KNOWN_HEAD_BYTES:
            return
        if len(self._heads) >= MAX_KNOWN_HEADS:
            self._heads.clear()
        self._heads[head] = length, answer

    def forget(self) -> None:
        """What heads resolve to has changed."""
        self._heads.clear()


class TooSlow(BadRequest):
    """A request that did not arrive in time."""

    code = "NR-518"
    http_status = 408

    def __init__(self, limit: float) -> None:
        super().__init__(what="the request took too long to arrive", where=f"the limit is {limit:g} s", fix="send it faster")


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(
        self,
        resolve: Resolve,
        known: KnownHeads,
        open_connections: set[Any],
        most_body_bytes: int,
        failed: Callable[[NoriaError], None],
        heads: AnswerHeads,
        budget: ByteBudget,
    ) -> None:
        self._budget = budget
        self._resolve, self._known, self._open, self._most_body = resolve, known, open_connections, most_body_bytes
        self.failed, self.heads = failed, heads
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Reply] = deque()
        self._in_message = False  # between a message's first byte and its last
        self._held = b""  # a message's head, or as much of it as has come
        self._head: tuple[Head, Body] | None = None  # a head that was read, while its body comes
        self._deaf = False  # the last request was read, or one that can't be: what follows is dropped (RFC 9112, section 9.6)
        self._owes_go_on = False  # a client waits to be told to send its body
        self._half_closed = False
        self.paused = False  # the client does not read what it is sent
        self._choked = False  # the client sends faster than it is answered
        self._draining = False
        self._closing: asyncio.TimerHandle | None = None
        self._taken, self._resumed, self._seen, self._since = 0, 0, (-1, False, 0), 0.0

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._open.discard(self)
        self._deaf = True
        if self._closing is not None:
            self._closing.cancel()
        for reply in list(self._waiting):
            if reply.on_gone is not None:
                reply.on_gone()

    def data_received(self, data: bytes) -> None:
        while data and not self._deaf:
            if not self._in_message:
                end = data.find(b"\r\n\r\n") + 4
                known = self._known.get(data[:end])
                if known is not None:
                    body_end = end + known[0]
                    if len(data) >= body_end:
                        self._take(known[1], data[end:body_end], Reply(self, not self._draining))
                        data = data[body_end:]
                        continue
            data = self._read(data)

    def eof_received(self) -> bool:
        """The client will send no more; what it asked for is still answered. Returns whether the connection stays open."""
        self._half_closed = True
        if self._waiting:
            asyncio.get_running_loop().call_later(KNOCK_SECONDS, self._knock)
        return bool(self._waiting)

    def _knock(self) -> None:
        """A client that has sent all looks like one that has left, until something is sent to it: then the system of one that has left
        says so, and the connection is lost. An answer that takes long may be in vain."""
        if self._transport is None or not self._waiting:
            return
        reply = self._waiting[0]
        if isinstance(reply, Streamed):
            reply.knock()
        elif not reply.old:
            self._transport.write(GO_ON)  # an interim answer, which every client passes over (RFC 9110, section 15.2)
        asyncio.get_running_loop().call_later(KNOCK_SECONDS, self._knock)

    def pause_writing(self) -> None:
        self.paused = True
        if self._transport:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        self._resumed += 1
        if self._transport and not self._choked:
            self._transport.resume_reading()
        self._tell_of_room()

    def _tell_of_room(self) -> None:
        """Have an answer in parts go on, whose turn it is."""
        if self._waiting and not self.paused and (on_room := self._waiting[0].on_room) is not None:
            on_room()

    # --- requests ---

    def _read(self, data: bytes) -> bytes:
        """Read the request at the beginning of `data` as far as it is here; returns what comes after it."""
        try:
            left = self._read_body(data) if self._head is not None else self._read_head(data)
        except NoriaError as error:
            self._refuse(error)
            return b""
        return left or b""

    def _read_head(self, data: bytes) -> bytes | None:
        seen = len(self._held)
        self._held = held = without_empty_lines(self._held + data)
        self._in_message = bool(held)
        end = find_end(held, seen) if self._in_message else 0
        if not end:
            return None
        self._held = held[:end]
        head = read_head(self._held)
        body = body_of(head, self._most_body, self._budget)
        self._head = head, body
        if isinstance(body, Large):  # what follows is copied once, to where it stays
            if len(held) > end:
                left = body.feed(memoryview(held)[end:])
                return None if left is None else self._body_read(left)
            rest = b""
        else:
            rest = held[end:]
        if head.expects and not rest:
            self._go_on(head)
        return self._read_body(rest)

    def _read_body(self, data: bytes) -> bytes | None:
        assert self._head is not None
        left = self._head[1].feed(data)
        return None if left is None else self._body_read(left)

    def _body_read(self, left: bytes) -> bytes:
        """Take the request whose body has come, with `left` beyond it."""
        assert self._head is not None
        head, body = self._head
        raw, self._held = self._held, b""
        self._head, self._in_message, self._owes_go_on = None, False, False
        self._take_read(head, raw, body.whole())
        return left

    def _go_on(self, head: Head) -> None:
        """Have the client send its body, in its turn (RFC 9110, section 10.1.1). Raises what would refuse the request anyway."""
        self._answer_to(head)
        self._owes_go_on = True
        self.flush()

    def _answer_to(self, head: Head) -> Answer:
        """What answers a request. Raises why nothing does."""
        try:
            return self._resolve(head)
        except NoriaError:
            raise
        except Exception as error:
            logger.exception("error while routing a request")
            raise bug(error) from error

    def _take_read(self, head: Head, raw: bytes, body: Content) -> None:
        reply = (HeadOnly if head.method == "HEAD" else Reply)(self, head.keep_alive and not self._draining)
        if head.old:
            reply.old = True
        if head.target.startswith(OPENAI):
            reply.openai = True
        try:
            answer = self._answer_to(head)
        except NoriaError as error:
            answer = partial(_failing, error)
        else:
            if head.keep_alive and head.length and head.length <= UNCOUNTED and not head.expects:
                self._known.remember(raw, head.length, answer)
        self._take(answer, body, reply)

    def _take(self, answer: Answer, body: Content, reply: Reply) -> None:
        self._waiting.append(reply)
        self._taken += 1
        if not reply.keep_alive:
            self._deaf = True
        if len(self._waiting) > MAX_WAITING and self._transport:
            self._choked = True
            self._transport.pause_reading()
        try:
            answer(body, reply)
        except NoriaError as error:
            reply.fail(error)
        except Exception as error:  # a fault of ours answers 500; it never takes the connection's other requests with it
            logger.exception("error while answering a request")
            reply.fail(bug(error))

    def _refuse(self, error: NoriaError) -> None:
        """Answer with an error and close: after what can't be read, where the next request begins is not known."""
        self._deaf = True
        reply = (HeadOnly if self._held.startswith(b"HEAD ") else Reply)(self, keep_alive=False)
        reply.openai = self._held.partition(b" ")[2].startswith(OPENAI)
        self._waiting.append(reply)
        reply.fail(error)

    # --- answers ---

    @property
    def closed(self) -> bool:
        return self._transport is None

    def begin_stream(self, reply: Reply, content_type: str) -> Streamed:
        """Put an answer in parts into a reply's place."""
        streamed = Streamed(self, reply, content_type)
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
                self._tell_of_room()
                break
            waiting.popleft()
            if not reply.keep_alive:
                self._linger()
                return
        if self._half_closed:
            if not waiting:
                self._close()
        elif self._choked and len(waiting) <= MAX_WAITING:
            self._choked = False
            if self._transport is not None and not self.paused:
                self._transport.resume_reading()
        elif self._owes_go_on and not waiting and self._transport is not None:
            self._owes_go_on = False
            self._transport.write(GO_ON)

    def drain(self, *, idle: bool = True) -> bool:
        """Answer what comes, and close with that answer; an `idle` connection closes at once. Returns whether it is closed."""
        self._draining = True
        if (idle or self._closing is not None) and not self._waiting:
            self._close()
        return self._transport is None

    def sweep(self, now: float, request_seconds: float, idle_seconds: float) -> None:
        """Called now and then: close what has stood still for too long, whether in the middle of a request, idle, or unread."""
        state = (self._taken, self._in_message, self._resumed)
        if state != self._seen or (self._waiting and not self.paused):
            self._seen, self._since = state, now
        still = now - self._since
        if self.paused and still > request_seconds and self._transport is not None:
            self._transport.abort()
        elif self._in_message and still > request_seconds and not self._deaf:
            self._refuse(TooSlow(request_seconds))
        elif not self._in_message and still > idle_seconds:
            self.drain()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _linger(self) -> None:
        """Close without a reset: a client that is still sending would lose the answer if its bytes stayed unread (section 9.6)."""
        if self._transport is None or self._half_closed or self._draining:
            self._close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        elif not self._in_message:  # TLS can't close one half: who has sent all has nothing to lose
            self._close()
            return
        self._closing = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close)


def _failing(error: NoriaError, body: Content, reply: Reply) -> None:  # noqa: ARG001
    reply.fail(error)


def bug(error: Exception) -> OurBug:
    """Whatever went wrong inside while answering, without its details."""
    return OurBug(
        what="the server failed on this request",
        where=type(error).__name__,
        fix="please report it; the server's log has the details",
    )
