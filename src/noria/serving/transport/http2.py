"""HTTP/2 on an asyncio protocol (RFC 9113), as much of it as gRPC needs: frames, streams, flow control, header compression.

No library does this at the speed of the rest of the data plane (ADR 0011). Compression is the `hpack` library's; a block of
headers that changes nothing in its table is known by its bytes the next time, which with gRPC clients is nearly every block.

What a peer may do wrong ends its stream or, where the connection's state is in doubt, the connection, with the code that the
RFC names. What it may do too much of (streams, resets, header bytes, message bytes, unread answers) is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Protocol, cast

import hpack

logger = logging.getLogger("noria.serving")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = struct.Struct(">BHBBI")  # length (24 bits), type, flags, stream
HEAD_BYTES = 9
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, WITH_PRIORITY = 0x4, 0x8, 0x20

MAX_STREAMS = 1024
MAX_FRAME = 16_384
COPIED = 4_096  # bytes of a frame; what is larger is a view of what was received
MAX_HEADER_BYTES = 16_384
STREAM_WINDOW = 1 << 20
CONNECTION_WINDOW = 1 << 24
LARGEST_WINDOW = 2**31 - 1
MAX_RESETS = 256  # streams that a peer may give up beyond those that were answered
MAX_KNOWN_BLOCKS = 256

Header = tuple[bytes, bytes]


class Code(IntEnum):
    """Error codes (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB


class ConnectionFault(Exception):
    """The peer broke the protocol in a way that ends the connection. Never leaves this module."""

    def __init__(self, code: Code, why: str) -> None:
        self.code, self.why = code, why
        super().__init__(why)


class Receiver(Protocol):
    """What takes a stream's content. Its methods must not raise."""

    def received(self, data: bytes | memoryview, *, end: bool) -> None:
        """More of the request's body, which may be a view of what was received; `end` with the last of it."""

    def cancelled(self) -> None:
        """The peer gave the stream up, or is gone: answers to it go nowhere."""

    def room(self) -> None:
        """What was to be sent has left, after the stream was `full`."""


class Stream:
    """One request and its answer."""

    __slots__ = ("_connection", "_queue", "_waits", "answered", "ended", "id", "inbound", "receiver", "window")

    def __init__(self, connection: Http2Connection, number: int, window: int) -> None:
        self._connection, self.id, self.window = connection, number, window
        self.inbound = STREAM_WINDOW
        self.receiver: Receiver | None = None
        self.ended = False  # the peer has sent all
        self.answered = False
        self._queue: deque[tuple[bytes, bytes | None]] = deque()
        self._waits = False

    def begin(self, block: bytes) -> None:
        """Send the answer's headers: a block that needs no table."""
        self._connection.send(_headers(self.id, block, end=False))

    def finish(self, block: bytes) -> None:
        """Send a last block of headers (trailers, or all there is) after what was sent before."""
        self._end(b"", block)

    def send(self, data: bytes) -> None:
        """Send a part of the body, as soon as the peer's windows allow."""
        self._put(data, None)

    def answer(self, head: bytes, data: bytes, tail: bytes) -> None:
        """Headers, the whole body and trailers, in one write where the peer's windows allow."""
        connection = self._connection
        size = len(data)
        if size > self.window or size > connection.window or size > connection.most_frame or self._queue:
            self.begin(head)
            self._end(data, tail)
            return
        self.window -= size
        connection.window -= size
        number = self.id
        connection.send(
            b"".join(
                (
                    HEAD.pack(0, len(head), HEADERS, END_HEADERS, number),
                    head,
                    HEAD.pack(size >> 16, size & 0xFFFF, DATA, 0, number),
                    data,
                    HEAD.pack(0, len(tail), HEADERS, END_HEADERS | END_STREAM, number),
                    tail,
                )
            )
        )
        connection.done(self)

    def _end(self, data: bytes, tail: bytes) -> None:
        self._put(data, tail)

    def _put(self, data: bytes, tail: bytes | None) -> None:
        self._queue.append((data, tail))
        self.flush()

    @property
    def full(self) -> bool:
        """Whether what is sent now waits: for the peer's windows, or for its reading."""
        self._waits = bool(self._queue) or self._connection.paused
        return self._waits

    def tell_of_room(self) -> None:
        """Say that there is room, to who was told that there is none."""
        if self._waits and not self._queue and not self._connection.paused and self.receiver is not None:
            self._waits = False
            self.receiver.room()

    def flush(self) -> None:
        """Send what the windows allow of what waits."""
        connection = self._connection
        while self._queue:
            data, tail = self._queue[0]
            while data:
                size = min(len(data), self.window, connection.window, connection.most_frame)
                if size <= 0:
                    self._queue[0] = (data, tail)
                    connection.wait(self)
                    return
                connection.send(HEAD.pack(size >> 16, size & 0xFFFF, DATA, 0, self.id) + data[:size])
                self.window -= size
                connection.window -= size
                data = data[size:]
            self._queue.popleft()
            if tail is not None:
                connection.send(_headers(self.id, tail, end=True))
                connection.done(self)
                return
        if self._waits:
            self.tell_of_room()


Factory = Callable[[Stream], Receiver]
Resolve = Callable[[Sequence[Header]], Factory]


class Http2Connection(asyncio.Protocol):
    """One client's connection. `resolve` says what makes the receivers of streams with such headers; it must not raise."""

    def __init__(self, resolve: Resolve, open_connections: set[Any]) -> None:
        self._resolve, self._all = resolve, open_connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._preface = False
        self._decoder = hpack.Decoder(max_header_list_size=MAX_HEADER_BYTES)
        self._known: dict[bytes, Factory] = {}
        self._block: tuple[int, int, list[bytes]] | None = None  # stream, flags and parts of headers that go on
        self._streams: dict[int, Stream] = {}
        self._waiting: dict[int, Stream] = {}
        self._last = 0
        self._inbound = CONNECTION_WINDOW
        self._peer_window = 65_535
        self.window, self.most_frame = 65_535, MAX_FRAME
        self._resets = self._served = 0
        self._out: list[bytes] = []
        self._draining = False
        self.paused = False  # the peer does not read
        self._flushed = 0
        self._seen, self._since = (-1, -1, -1), 0.0

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._all.add(self)
        settings = ((0x3, MAX_STREAMS), (0x4, STREAM_WINDOW), (0x6, MAX_HEADER_BYTES))
        self.send(_frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in settings)))
        self.send(_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", CONNECTION_WINDOW - 65_535)))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._all.discard(self)
        for stream in self._streams.values():
            if stream.receiver is not None:
                stream.receiver.cancelled()
        self._streams.clear()

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        try:
            if not self._preface:
                data, self._buffer = self._buffer + data, b""
                at = self._take_preface(data)
            else:
                at = self._complete(data) if self._buffer else 0
            if at < len(data):
                self._buffer = data[self._take_frames(data, at) :]
        except ConnectionFault as fault:
            self._end(fault.code, fault.why)

    def eof_received(self) -> bool:
        return bool(self._streams)

    def pause_writing(self) -> None:
        self.paused = True
        if self._transport is not None:
            self._transport.pause_reading()  # who does not read its answers gets no more of them made

    def resume_writing(self) -> None:
        self.paused = False
        if self._transport is not None:
            self._transport.resume_reading()
        for stream in list(self._streams.values()):
            stream.tell_of_room()

    # --- frames in ---

    def _take_preface(self, data: bytes) -> int:
        if self._preface:
            return 0
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "this is not HTTP/2")
        if len(data) < len(PREFACE):
            return 0
        self._preface = True
        return len(PREFACE)

    def _complete(self, data: bytes) -> int:
        """Take the frame that has begun, with no more of `data` than it needs; returns where the rest begins."""
        at = 0
        while self._buffer and at < len(data):
            held = self._buffer
            size = HEAD_BYTES + (int.from_bytes(held[:3], "big") if len(held) >= HEAD_BYTES else 0)
            part = data[at : at + size - len(held)]
            at += len(part)
            held += part
            self._buffer = held[self._take_frames(held, 0) :]
        return at

    def _take_frames(self, data: bytes, at: int) -> int:
        """Take every whole frame; returns where the rest begins."""
        if not self._preface:
            return at
        size = len(data)
        while size - at >= HEAD_BYTES:
            high, low, kind, flags, number = HEAD.unpack_from(data, at)
            length = high << 16 | low
            if length > MAX_FRAME:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame is too large: {length} bytes")
            end = at + HEAD_BYTES + length
            if end > size:
                break
            payload = data[at + HEAD_BYTES : end] if length <= COPIED else memoryview(data)[at + HEAD_BYTES : end]
            self._take(kind, flags, number & LARGEST_WINDOW, payload if kind == DATA else bytes(payload))
            at = end
            if self._transport is None:
                return size
        return at

    def _take(self, kind: int, flags: int, number: int, payload: Any) -> None:
        if self._block is not None and (kind != CONTINUATION or number != self._block[0]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block was interrupted")
        if kind == DATA:
            self._data(flags, number, payload)
        elif kind == HEADERS:
            self._headers(flags, number, payload)
        elif kind == WINDOW_UPDATE:
            self._window_update(number, payload)
        elif kind == SETTINGS:
            self._settings(flags, number, payload)
        elif kind == PING:
            _require(number == 0, "PING on a stream")
            _require(len(payload) == 8, "PING of the wrong size", Code.FRAME_SIZE_ERROR)
            if not flags & ACK:
                self.send(_frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self._reset(number, payload)
        elif kind == CONTINUATION:
            self._continuation(flags, payload)
        elif kind == PRIORITY:
            _require(number != 0, "PRIORITY without a stream")
            _require(len(payload) == 5, "PRIORITY of the wrong size", Code.FRAME_SIZE_ERROR)
        elif kind == GOAWAY:
            _require(number == 0, "GOAWAY on a stream")
            self._draining = True
            self._close_when_done()
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        _require(number % 2 == 1, "HEADERS on a stream with an even number")
        payload = _unpadded(flags, payload)
        if flags & WITH_PRIORITY:
            _require(len(payload) >= 5, "HEADERS too short", Code.FRAME_SIZE_ERROR)
            _require(int.from_bytes(payload[:4], "big") & LARGEST_WINDOW != number, "a stream that depends on itself")
            payload = payload[5:]
        if flags & END_HEADERS:
            self._whole_block(number, flags, payload)
        else:
            self._block = (number, flags, [payload])

    def _continuation(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        number, first, parts = self._block
        parts.append(payload)
        if sum(map(len, parts)) > MAX_HEADER_BYTES or len(parts) > 16:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many headers")
        if flags & END_HEADERS:
            self._block = None
            self._whole_block(number, first, b"".join(parts))

    def _whole_block(self, number: int, flags: int, block: bytes) -> None:
        factory = self._decoded(block)
        stream = self._streams.get(number)
        if stream is not None:  # trailers: gRPC's requests have none that mean anything
            _require(bool(flags & END_STREAM), "HEADERS in the middle of a stream")
            self._ended(stream, b"")
            return
        if number <= self._last:
            raise ConnectionFault(Code.STREAM_CLOSED, "HEADERS on a closed stream")
        self._last = number
        if self._draining or len(self._streams) >= MAX_STREAMS:
            self.send(_frame(RST_STREAM, 0, number, struct.pack(">I", Code.REFUSED_STREAM)))
            return
        stream = self._streams[number] = Stream(self, number, self._peer_window)
        stream.receiver = factory(stream)
        if flags & END_STREAM:
            self._ended(stream, b"")

    def _decoded(self, block: bytes) -> Factory:
        known = self._known.get(block)
        if known is not None:
            return known
        table = self._decoder.header_table
        before = (table.maxsize, list(table.dynamic_entries))
        try:
            headers = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except (hpack.HPACKError, UnicodeDecodeError, IndexError) as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, f"headers can't be decoded: {error}") from error
        factory = self._resolve(headers)
        if (table.maxsize, list(table.dynamic_entries)) != before:
            self._known.clear()  # blocks mean something else from here on
        elif len(self._known) < MAX_KNOWN_BLOCKS:
            self._known[block] = factory
        return factory

    def _data(self, flags: int, number: int, payload: bytes | memoryview) -> None:
        size = len(payload)
        self._inbound -= size
        _require(self._inbound >= 0, "more data than the connection's window", Code.FLOW_CONTROL_ERROR)
        if self._inbound < CONNECTION_WINDOW // 2:
            self.send(_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", CONNECTION_WINDOW - self._inbound)))
            self._inbound = CONNECTION_WINDOW
        stream = self._streams.get(number)
        if stream is None:
            _require(number != 0 and number <= self._last, "DATA on an idle stream")
            return  # what was on its way when the stream ended
        if stream.ended:
            self._abort(stream, Code.STREAM_CLOSED)
            return
        stream.inbound -= size
        if stream.inbound < 0:
            self._abort(stream, Code.FLOW_CONTROL_ERROR)
            return
        payload = _unpadded(flags, payload)
        if flags & END_STREAM:
            self._ended(stream, payload)
            return
        if stream.inbound < STREAM_WINDOW // 2:
            self.send(_frame(WINDOW_UPDATE, 0, number, struct.pack(">I", STREAM_WINDOW - stream.inbound)))
            stream.inbound = STREAM_WINDOW
        if stream.receiver is not None:
            stream.receiver.received(payload, end=False)

    def _ended(self, stream: Stream, payload: bytes | memoryview) -> None:
        if stream.ended:
            self._abort(stream, Code.STREAM_CLOSED)
            return
        stream.ended = True
        if stream.receiver is not None:
            stream.receiver.received(payload, end=True)

    def _reset(self, number: int, payload: bytes) -> None:
        _require(len(payload) == 4, "RST_STREAM of the wrong size", Code.FRAME_SIZE_ERROR)
        _require(0 < number <= self._last, "RST_STREAM on an idle stream")
        stream = self._streams.pop(number, None)
        self._waiting.pop(number, None)
        self._resets += 1
        if self._resets > self._served + MAX_RESETS:  # CVE-2023-44487
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many streams were reset")
        if stream is not None and stream.receiver is not None:
            stream.receiver.cancelled()
        self._close_when_done()

    def _window_update(self, number: int, payload: bytes) -> None:
        _require(len(payload) == 4, "WINDOW_UPDATE of the wrong size", Code.FRAME_SIZE_ERROR)
        more = int.from_bytes(payload, "big") & LARGEST_WINDOW
        if number == 0:
            _require(more > 0, "WINDOW_UPDATE of 0")
            self.window += more
            _require(self.window <= LARGEST_WINDOW, "window too large", Code.FLOW_CONTROL_ERROR)
            for stream in list(self._waiting.values()):
                self._flush(stream)
            return
        _require(number <= self._last, "WINDOW_UPDATE on an idle stream")
        found = self._streams.get(number)
        if found is None:
            return
        found.window += more
        if more == 0 or found.window > LARGEST_WINDOW:
            self._abort(found, Code.FLOW_CONTROL_ERROR if more else Code.PROTOCOL_ERROR)
        elif number in self._waiting:
            self._flush(found)

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        _require(number == 0, "SETTINGS on a stream")
        if flags & ACK:
            _require(not payload, "SETTINGS acknowledgment with a payload", Code.FRAME_SIZE_ERROR)
            return
        _require(len(payload) % 6 == 0, "SETTINGS of the wrong size", Code.FRAME_SIZE_ERROR)
        for name, value in struct.iter_unpack(">HI", payload):
            if name == 0x2:
                _require(value in (0, 1), "SETTINGS_ENABLE_PUSH is neither 0 nor 1")
            elif name == 0x4:
                _require(value <= LARGEST_WINDOW, "window too large", Code.FLOW_CONTROL_ERROR)
                self._move_windows(value)
            elif name == 0x5:
                _require(MAX_FRAME <= value < 2**24, "SETTINGS_MAX_FRAME_SIZE out of range")
                self.most_frame = value
        self.send(_frame(SETTINGS, ACK, 0, b""))

    def _move_windows(self, value: int) -> None:
        """A new first size of windows moves those that are open, too; they may become negative."""
        for stream in list(self._streams.values()):
            stream.window += value - self._peer_window
            _require(stream.window <= LARGEST_WINDOW, "window too large", Code.FLOW_CONTROL_ERROR)
        self._peer_window = value
        for stream in list(self._waiting.values()):
            self._flush(stream)

    # --- frames out ---

    def send(self, data: bytes) -> None:
        """Write soon: what one turn of the loop has to say leaves in one write."""
        if not self._out:
            self._loop.call_soon(self._write)
        self._out.append(data)

    def wait(self, stream: Stream) -> None:
        """A stream's answer waits for the peer's windows."""
        self._waiting[stream.id] = stream

    def done(self, stream: Stream) -> None:
        """A stream's answer is whole."""
        self._served += 1
        stream.answered = True
        if not stream.ended:  # the answer came first: nothing more of the request is wanted
            self.send(_frame(RST_STREAM, 0, stream.id, struct.pack(">I", Code.NO_ERROR)))
        self._streams.pop(stream.id, None)
        self._waiting.pop(stream.id, None)
        if self._draining:
            self._close_when_done()

    def drain(self, *, idle: bool = True) -> bool:  # noqa: ARG002 - a goodbye tells the client which calls were taken
        """Take no more streams, and close when those there are have been answered; returns whether it is closed."""
        if not self._draining and self._transport is not None:
            self._draining = True
            self.send(_frame(GOAWAY, 0, 0, struct.pack(">II", self._last, Code.NO_ERROR)))
        self._close_when_done()
        return self._transport is None

    def sweep(self, now: float, request_seconds: float, idle_seconds: float) -> None:
        """Called now and then: close what has stood still for too long."""
        state = (self._last, self._served, self._flushed)
        if state != self._seen:
            self._seen, self._since = state, now
        still = now - self._since
        if still > request_seconds and (not self._preface or self._block is not None or self._waiting):
            self._end(Code.ENHANCE_YOUR_CALM, "too slow")
        elif still > idle_seconds and not self._streams:
            self.drain()

    def _flush(self, stream: Stream) -> None:
        self._flushed += 1  # the peer reads, if slowly
        self._waiting.pop(stream.id, None)
        stream.flush()

    def _write(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None:
            self._transport.write(b"".join(out))

    def _abort(self, stream: Stream, code: Code) -> None:
        """End one stream; the connection goes on."""
        self.send(_frame(RST_STREAM, 0, stream.id, struct.pack(">I", code)))
        self._streams.pop(stream.id, None)
        self._waiting.pop(stream.id, None)
        if stream.receiver is not None:
            stream.receiver.cancelled()

    def _end(self, code: Code, why: str) -> None:
        """End the connection, and say why."""
        if self._transport is None:
            return
        self._out.append(_frame(GOAWAY, 0, 0, struct.pack(">II", self._last, code) + why.encode()))
        self._write()
        self._transport.close()
        self._transport = None

    def _close_when_done(self) -> None:
        if self._draining and not self._streams and self._transport is not None:
            self._write()
            self._transport.close()
            self._transport = None


def _require(holds: bool, fault: str, code: Code = Code.PROTOCOL_ERROR) -> None:
    if not holds:
        raise ConnectionFault(code, fault)


def _unpadded(flags: int, payload: Any) -> Any:
    if not flags & PADDED:
        return payload
    _require(len(payload) > 0 and payload[0] < len(payload), "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, number) + payload


def _headers(number: int, block: bytes, *, end: bool) -> bytes:
    return _frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), number, block)


def literal(name: bytes, value: bytes) -> bytes:
    """A header that goes into no table (RFC 7541, section 6.2.2), its texts not Huffman-coded."""
    return b"\x00" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, length = len(text) - 127, bytearray(b"\x7f")
    while rest >= 128:
        length.append(rest & 127 | 128)
        rest >>= 7
    length.append(rest)
    return bytes(length) + text
