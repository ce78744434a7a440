"""HTTP/2 under the gRPC services, against the `h2` library as a client, frames that break the rules, and frames at random."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from noria.serving.transport.http2 import HEAD, MAX_FRAME, PREFACE, literal
from servers import Standalone, make_bundle

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/inference.GRPCInferenceService/ModelInfer"),
    (":authority", "x"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("http2")
    running = Standalone(folder / "server", make_bundle(folder / "bundles", 10.0).path, grpc_port=0)
    yield running
    running.kill()


def message(rows: int = 1) -> bytes:
    request = service_pb2.ModelInferRequest(model_name="small")
    request.inputs.add(name="features", datatype="FP32", shape=[rows, 2])
    request.raw_input_contents.append(np.ones((rows, 2), np.float32).tobytes())
    data: bytes = request.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


@pytest.fixture
def begin(server: Standalone) -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda running=server, **settings: stack.enter_context(closing(Client(running, **settings)))


def connect(server: Standalone) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.where["grpc_port"]), timeout=10)


class Client:
    """The `h2` library on a socket; it raises when the server breaks the protocol."""

    def __init__(self, server: Standalone, **settings: int) -> None:
        self.sock = connect(server)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.local_settings = h2.settings.Settings(
            client=True, initial_values={getattr(h2.settings.SettingCodes, name.upper()): value for name, value in settings.items()}
        )
        self.h2.initiate_connection()
        self.events: list[Any] = []
        self.flush()

    def close(self) -> None:
        self.sock.close()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def ask(self, body: bytes, *, end: bool = True) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, HEADERS)
        while body:
            size = min(len(body), self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if size == 0:
                self.flush()
                self.read()
                continue
            self.h2.send_data(stream, body[:size])
            body = body[size:]
        if end:
            self.h2.end_stream(stream)
        self.flush()
        return stream

    def read(self) -> list[Any]:
        data = self.sock.recv(65_536)
        events: list[Any] = self.h2.receive_data(data) if data else [None]
        self.events += events
        self.flush()
        return events

    def answer(self, stream: int, *, take: int | None = None) -> bytes:
        """The body of a stream, its windows opened by `take` bytes at a time."""
        body = b""
        while True:
            for event in self.read():
                assert event is not None, "the server closed the connection"
                if isinstance(event, h2.events.DataReceived) and event.stream_id == stream:
                    assert take is None or len(event.data) <= take
                    body += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                    self.flush()
                if isinstance(event, h2.events.TrailersReceived) and event.stream_id == stream:
                    assert dict(event.headers)["grpc-status"] == "0"
                    return body


def test_small_windows_and_frames_are_kept_to(begin: Any) -> None:
    client = begin(initial_window_size=50)
    body = client.answer(client.ask(message(rows=40)), take=50)
    answer = service_pb2.ModelInferResponse.FromString(body[5:])
    assert np.frombuffer(answer.raw_output_contents[0], "<f8").tolist() == [11.0] * 40


def test_a_request_larger_than_the_windows_passes(begin: Any) -> None:
    client = begin()
    answer = service_pb2.ModelInferResponse.FromString(client.answer(client.ask(message(rows=9_999) + b""))[5:])
    assert answer.outputs[0].shape == [9_999]


def test_streams_that_are_given_up_do_not_harm_the_others(begin: Any) -> None:
    client = begin()
    for _ in range(100):
        given_up = client.ask(message(), end=False)
        client.h2.reset_stream(given_up)
    assert client.answer(client.ask(message()))


def test_a_flood_of_resets_ends_the_connection(begin: Any) -> None:
    client = begin()
    for _ in range(400):
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, HEADERS)
        client.h2.reset_stream(stream)
    client.flush()  # all at once: the server hangs up before it has read them all
    with suppress(ConnectionError):  # so that a late acknowledgement may find nobody
        while not any(isinstance(e, h2.events.ConnectionTerminated) for e in client.events):
            client.read()
    assert client.events[-1].error_code == 11


def test_a_ping_is_answered_and_settings_are_acknowledged(begin: Any) -> None:
    client = begin()
    client.h2.ping(b"12345678")
    client.flush()
    while not any(isinstance(e, h2.events.PingAckReceived) for e in client.events):
        client.read()
    assert any(isinstance(e, h2.events.SettingsAcknowledged) for e in client.events)


def test_a_server_that_stops_says_goodbye_and_answers_what_it_has(tmp_path: Any, begin: Any) -> None:
    server = Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path, grpc_port=0)
    client = begin(server)
    assert client.answer(client.ask(message()))
    server.stop()
    while client.read() != [None]:
        pass
    assert any(isinstance(e, h2.events.ConnectionTerminated) and e.error_code == 0 for e in client.events)


# --- frames that break the rules: which answer the RFC asks for -------------------------------------------------------------


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


BLOCK = b"".join(literal(name.encode(), value.encode()) for name, value in HEADERS)
OPEN = frame(1, 4, 1, BLOCK)  # HEADERS with END_HEADERS
SETTINGS = frame(4, 0, 0)
PROTOCOL, FLOW, CLOSED, SIZE, REFUSED, COMPRESSION, CALM = 1, 3, 5, 6, 7, 9, 11

BROKEN = [
    ("not the preface", b"GET / HTTP/1.1\r\n\r\n" + b" " * 24, PROTOCOL),
    ("a frame too large", PREFACE + frame(0, 0, 1, bytes(MAX_FRAME + 1)), SIZE),
    ("data on stream 0", PREFACE + SETTINGS + frame(0, 0, 0, b"x"), PROTOCOL),
    ("data on an idle stream", PREFACE + SETTINGS + frame(0, 0, 5, b"x"), PROTOCOL),
    ("headers on an even stream", PREFACE + SETTINGS + frame(1, 5, 2, BLOCK), PROTOCOL),
    ("headers on stream 0", PREFACE + SETTINGS + frame(1, 5, 0, BLOCK), PROTOCOL),
    ("streams that go back", PREFACE + SETTINGS + frame(1, 5, 5, BLOCK) + frame(1, 5, 3, BLOCK), CLOSED),
    ("headers interrupted", PREFACE + SETTINGS + frame(1, 0, 1, BLOCK) + frame(6, 0, 0, bytes(8)), PROTOCOL),
    ("continuation of another stream", PREFACE + SETTINGS + frame(1, 0, 1, BLOCK) + frame(9, 4, 3, b""), PROTOCOL),
    ("continuation of nothing", PREFACE + SETTINGS + frame(9, 4, 1, BLOCK), PROTOCOL),
    ("continuations without end", PREFACE + SETTINGS + frame(1, 0, 1, BLOCK) + frame(9, 0, 1, b"") * 20, CALM),
    ("headers beyond bounds", PREFACE + SETTINGS + frame(1, 0, 1, BLOCK) + frame(9, 0, 1, bytes(9_000)) * 2, CALM),
    ("a block that is no HPACK", PREFACE + SETTINGS + frame(1, 5, 1, b"\xff\xff\xff\xff\xff"), COMPRESSION),
    ("an index beyond the table", PREFACE + SETTINGS + frame(1, 5, 1, b"\xfe"), COMPRESSION),
    ("padding beyond the payload", PREFACE + SETTINGS + OPEN + frame(0, 8, 1, b"\x09abc"), PROTOCOL),
    ("a stream that depends on itself", PREFACE + SETTINGS + frame(1, 0x25, 1, struct.pack(">IB", 1, 0) + BLOCK), PROTOCOL),
    ("headers in the middle", PREFACE + SETTINGS + OPEN + OPEN, PROTOCOL),
    ("settings of 5 bytes", PREFACE + frame(4, 0, 0, b"12345"), SIZE),
    ("settings on a stream", PREFACE + frame(4, 0, 1), PROTOCOL),
    ("an acknowledgement with settings", PREFACE + frame(4, 1, 0, bytes(6)), SIZE),
    ("a window that is too large", PREFACE + frame(4, 0, 0, struct.pack(">HI", 4, 2**31)), FLOW),
    ("a frame size that is too small", PREFACE + frame(4, 0, 0, struct.pack(">HI", 5, 100)), PROTOCOL),
    ("a push that is neither", PREFACE + frame(4, 0, 0, struct.pack(">HI", 2, 2)), PROTOCOL),
    ("a ping of 7 bytes", PREFACE + SETTINGS + frame(6, 0, 0, b"1234567"), SIZE),
    ("a ping on a stream", PREFACE + SETTINGS + frame(6, 0, 1, bytes(8)), PROTOCOL),
    ("a reset of 3 bytes", PREFACE + SETTINGS + OPEN + frame(3, 0, 1, b"123"), SIZE),
    ("a reset of an idle stream", PREFACE + SETTINGS + frame(3, 0, 7, bytes(4)), PROTOCOL),
    ("a window update of nothing", PREFACE + SETTINGS + frame(8, 0, 0, bytes(4)), PROTOCOL),
    ("a window update of 3 bytes", PREFACE + SETTINGS + frame(8, 0, 0, b"123"), SIZE),
    ("windows beyond the largest", PREFACE + SETTINGS + frame(8, 0, 0, struct.pack(">I", 2**31 - 1)), FLOW),
    ("a push from a client", PREFACE + SETTINGS + frame(5, 4, 1, bytes(4) + BLOCK), PROTOCOL),
    ("a priority of 4 bytes", PREFACE + SETTINGS + frame(2, 0, 1, bytes(4)), SIZE),
    ("a goodbye on a stream", PREFACE + SETTINGS + frame(7, 0, 1, bytes(8)), PROTOCOL),
]


@pytest.mark.parametrize(("sent", "code"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_broken_rule_ends_the_connection_with_its_code(server: Standalone, sent: bytes, code: int) -> None:
    with connect(server) as sock:
        sock.sendall(sent)
        frames = all_frames(sock)
    goodbyes = [payload for kind, _, payload in frames if kind == 7]
    assert [struct.unpack(">II", payload[:8])[1] for payload in goodbyes] == [code]


BROKEN_STREAMS = [
    ("data after the end", OPEN + frame(0, 1, 1, b"\0") + frame(0, 1, 1, b"x"), None),
    ("a window update of nothing", OPEN + frame(8, 0, 1, bytes(4)), PROTOCOL),
    ("a window beyond the largest", OPEN + frame(8, 0, 1, struct.pack(">I", 2**31 - 1)), FLOW),
]


@pytest.mark.parametrize(("sent", "code"), [b[1:] for b in BROKEN_STREAMS], ids=[b[0] for b in BROKEN_STREAMS])
def test_a_broken_rule_of_one_stream_ends_that_stream_alone(server: Standalone, sent: bytes, code: int | None) -> None:
    with connect(server) as sock:
        sock.sendall(PREFACE + SETTINGS + sent + frame(6, 0, 0, b"after it"))
        frames = []
        while not any(kind == 6 for kind, _, _ in frames):
            frames += some_frames(sock.recv(65_536))
    resets = [int.from_bytes(payload, "big") for kind, stream, payload in frames if kind == 3 and stream == 1]
    assert resets == ([] if code is None else [code])
    assert not any(kind == 7 for kind, _, _ in frames)


def test_unknown_frames_and_flags_are_ignored(server: Standalone) -> None:
    with connect(server) as sock:
        sock.sendall(PREFACE + SETTINGS + frame(0xAB, 0xFF, 9, b"anything") + frame(6, 0xFE, 0, b"still ok"))
        data = b""
        while b"still ok" not in data:
            part = sock.recv(65_536)
            assert part
            data += part


def test_frames_at_random_crash_nothing(server: Standalone, begin: Any) -> None:
    """Whole conversations with bytes changed, cut, doubled and invented: the same worker goes on answering."""
    rng = random.Random(5)
    workers = server.workers()
    encoder = hpack.Encoder()
    whole = PREFACE + SETTINGS + frame(1, 4, 1, encoder.encode(HEADERS)) + frame(0, 1, 1, message()) + frame(6, 0, 0, bytes(8))
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            place = rng.randrange(len(PREFACE) if rng.random() < 0.95 else 0, len(data))
            choice = rng.random()
            if choice < 0.5:
                data[place] = rng.randrange(256)
            elif choice < 0.7:
                del data[place : place + rng.randrange(1, 9)]
            elif choice < 0.85:
                data[place:place] = rng.randbytes(rng.randrange(1, 9))
            else:
                data[place:place] = frame(rng.randrange(11), rng.randrange(256), rng.randrange(4), rng.randbytes(rng.randrange(12)))
            if len(data) <= len(PREFACE):
                break
        with connect(server) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
    client = begin()
    assert client.answer(client.ask(message()))
    assert server.workers() == workers


def all_frames(sock: socket.socket) -> list[tuple[int, int, bytes]]:
    """What the server sends until it closes the connection."""
    data = b""
    try:
        while part := sock.recv(65_536):
            data += part
    except ConnectionResetError:
        pass
    return some_frames(data)


def some_frames(data: bytes) -> list[tuple[int, int, bytes]]:
    found, at = [], 0
    while at < len(data):
        high, low, kind, _, stream = HEAD.unpack_from(data, at)
        end = at + HEAD.size + (high << 16 | low)
        found.append((kind, stream, data[at + HEAD.size : end]))
        at = end
    return found
