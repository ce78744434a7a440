"""A real server on loopback that speaks OpenAI's chat completions, well or badly as a script says: one behaviour a request, the last again.

with chat_server(status(429, wait=0.1), fine("Hello.")) as server:
    OpenAICompatible("m", server.base_url).generate([Message("user", "hi")])
    assert len(server.requests) == 2
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}}
Behaviour = Callable[["Exchange"], None]


@dataclass
class Server:
    """base_url: with /v1; requests: the bodies that came, in order; headers: theirs, by names in small letters; connections: so many

    over: set when it stops, for behaviours that wait for ever; noticed: set when one saw that its client went away
    """

    base_url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    noticed: threading.Event = field(default_factory=threading.Event)


class Exchange(BaseHTTPRequestHandler):
    """One connection. Behaviours use `body`, `json`, `begin`, `chunk`, `event`, `end` and `cut`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    told: Server
    script: list[Behaviour]
    lock: threading.Lock
    body: dict[str, Any]

    def log_message(self, *_args: object) -> None:
        pass

    def setup(self) -> None:
        with self.lock:
            self.told.connections += 1
        super().setup()

    def do_GET(self) -> None:
        self.json(200, {"object": "list", "data": [{"id": "m", "object": "model"}]} if self.path == "/v1/models" else {})

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            self.told.requests.append(self.body)
            self.told.headers.append({name.lower(): value for name, value in self.headers.items()})
            behave = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if urlsplit(self.path).path != "/v1/chat/completions":  # with its host in front, where this is somebody's proxy
            self.json(404, {"error": {"message": f"no route {self.path}"}})
            return
        try:
            behave(self)
        except OSError:
            self.told.noticed.set()
            self.close_connection = True

    def raw(self, status: int, data: bytes, kind: str = "application/json", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def json(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        self.raw(status, json.dumps(value).encode(), headers=headers)

    def begin(self, kind: str = "text/event-stream") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def chunk(self, data: bytes) -> None:
        """One chunk, which is one packet."""
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    def event(self, value: object) -> None:
        self.chunk(f"data: {json.dumps(value)}\n\n".encode())

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def cut(self) -> None:
        """Break the connection off: a reset, as when a process is killed."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.wfile.close = lambda: None  # type: ignore[method-assign] # nothing is flushed any more
        self.rfile.close()
        self.connection.close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_args: object) -> None:
        pass  # clients that go away, and behaviours that break off


@contextmanager
def chat_server(*script: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """The server, while within. tls: it speaks HTTPS with this, as localhost"""
    told = Server()
    handler = type("_Exchange", (Exchange,), {"told": told, "script": list(script), "lock": threading.Lock()})
    with _Quiet(("127.0.0.1", 0), handler) as server:
        told.base_url = f"http://127.0.0.1:{server.server_port}/v1"
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            told.base_url = f"https://localhost:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            told.over.set()
            server.shutdown()
            thread.join()


def whole(text: str | None, finish: str = "stop", usage: object = USAGE, **message: Any) -> dict[str, Any]:
    """A whole answer, as it is sent."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish, "logprobs": None}
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-2026", "choices": [choice]}
    return answer if usage is None else {**answer, "usage": usage}


def part(delta: Mapping[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A part of an answer; None: one without choices."""
    choices = [] if delta is None else [{"index": 0, "delta": dict(delta), "finish_reason": finish, "logprobs": None}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-2026", "choices": choices, **more}


def events(words: Sequence[str], finish: str = "stop", usage: object = USAGE) -> list[dict[str, Any]]:
    """The events of an answer, as vLLM sends them."""
    told = [part({"role": "assistant", "content": ""}), *(part({"content": word}) for word in words), part({}, finish)]
    return told if usage is None else [*told, part(None, usage=usage)]


def fine(*words: str, finish: str = "stop", usage: object = USAGE) -> Behaviour:
    """The answer, in parts where parts are asked."""

    def behave(exchange: Exchange) -> None:
        if not exchange.body.get("stream"):
            exchange.json(200, whole("".join(words), finish, usage))
            return
        exchange.begin()
        for event in events(words, finish, usage):
            exchange.event(event)
        exchange.chunk(b"data: [DONE]\n\n")
        exchange.end()

    return behave


def status(
    number: int, message: str = "no", wait: str | float | None = None, headers: Mapping[str, str] | None = None, **more: Any
) -> Behaviour:
    """An error in place of an answer. wait: what Retry-After says"""
    said = {**(headers or {}), **({} if wait is None else {"Retry-After": str(wait)})}
    return lambda exchange: exchange.json(number, {"error": {"message": message, "type": "t", **more}}, said)


def bytes_in_chunks(*chunks: bytes, kind: str = "text/event-stream", end: bool = True) -> Behaviour:
    """These bytes, each in a chunk of its own; without `end`, the connection is reset after them."""

    def behave(exchange: Exchange) -> None:
        exchange.begin(kind)
        for data in chunks:
            exchange.chunk(data)
        exchange.end() if end else exchange.cut()

    return behave


def raw(data: bytes, kind: str = "application/json", number: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """These bytes as a whole body."""
    return lambda exchange: exchange.raw(number, data, kind, headers)


def hangs(exchange: Exchange) -> None:
    """Never answers."""
    exchange.told.over.wait()


def hangs_after(*words: str) -> Behaviour:
    """Sends some parts, and then nothing."""

    def behave(exchange: Exchange) -> None:
        exchange.begin()
        for word in words:
            exchange.event(part({"content": word}))
        exchange.told.over.wait()

    return behave


def keeps_alive(exchange: Exchange) -> None:
    """Sends comments and never a part."""
    exchange.begin()
    while not exchange.told.over.wait(0.02):
        exchange.chunk(b": waiting\n\n")


def trickles(exchange: Exchange) -> None:
    """Sends its head a byte at a time, and never to its end."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not exchange.told.over.wait(0.02):
        exchange.wfile.write(b"a")
        exchange.wfile.flush()


def dies(exchange: Exchange) -> None:
    """Breaks off without a word."""
    exchange.cut()


def dies_after(*words: str) -> Behaviour:
    """Sends some parts, and breaks off."""

    def behave(exchange: Exchange) -> None:
        exchange.begin()
        for word in words:
            exchange.event(part({"content": word}))
        exchange.cut()

    return behave


def endless(exchange: Exchange) -> None:
    """Sends parts until its client goes away."""
    exchange.begin()
    while not exchange.told.over.is_set():
        exchange.event(part({"content": "on and on " * 100}))
