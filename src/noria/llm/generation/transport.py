"""One HTTP request at a time to a server of models, over kept connections, with time-outs that hold whatever the server does.

urllib3 does the HTTP. Its read time-out is of each read of a socket, and a server that sends a byte now and then is never late for it:
so the sockets here ask a `Pace` before each read and write. (Looking up a host's name is the system's, and only the system ends it.)
"""

from __future__ import annotations

import io
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection

from noria.core.cancelling import current
from noria.llm.generation.pace import Pace

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

KEPT = 32  # idle connections to one server
READ = 64 * 1024  # bytes at most that are read at once
_now = threading.local()  # the pace of the request that this thread is sending, and the line it is sent over


class _PacedFile(io.RawIOBase):
    """What is read of a socket."""

    def __init__(self, paced: _PacedSocket) -> None:
        self._socket, self._file = paced, paced.bare.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.bare.settimeout(self._socket.pace.wait())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _PacedSocket:
    """A socket that never waits longer than its pace allows."""

    def __init__(self, bare: socket.socket, pace: Pace) -> None:
        self.bare, self.pace = bare, pace

    def makefile(self, *_args: Any, **_named: Any) -> io.BufferedReader:
        return io.BufferedReader(_PacedFile(self), READ)

    def sendall(self, data: Any) -> None:
        self.bare.settimeout(self.pace.wait())
        self.bare.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bare, name)


class _Line:
    """The connection that a request is sent over: how to end it from another thread, which waits for nothing."""

    def __init__(self) -> None:
        self._lock, self._ended = threading.Lock(), False
        self._socket: socket.socket | None = None

    def over(self, bare: socket.socket | None) -> None:
        """It goes over this one from now on; None: over none, since the connection may be another's request's."""
        with self._lock:
            self._socket = bare
        if self._ended:
            self.end()

    def end(self) -> None:
        """Both directions: who reads finds the end, and the server that nobody reads."""
        self._ended = True
        with self._lock, suppress(OSError):  # it may have ended
            if self._socket is not None:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own would forget its state, which its reader is using


class _Paced:
    """What both kinds of connection have of it."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _PacedSocket(self.sock, _now.pace)
        _now.line.over(self.sock.bare)

    def request(self, *args: Any, **named: Any) -> None:
        if self.sock is not None:
            self.sock.pace = _now.pace
            _now.line.over(self.sock.bare)
        super().request(*args, **named)  # type: ignore[misc]


class _PacedHTTP(_Paced, HTTPConnection):
    pass


class _PacedHTTPS(_Paced, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _PacedHTTP


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _PacedHTTPS


class Transport:
    """The connections to one server. `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE` say what they say everywhere."""

    def __init__(self, url: str, connect: float) -> None:
        self._url, self._connect = url, connect
        self._pools: PoolManager | None = None
        self._process = 0
        self._lock = threading.Lock()

    @contextmanager
    def post(self, body: bytes, headers: Mapping[str, str], pace: Pace) -> Iterator[BaseHTTPResponse]:
        """The server's answer, whatever its status; redirects are not followed. Raises urllib3's errors.

        Where nobody waits for it any more, the connection is closed at once, and this raises `Cancelled`.
        """
        line, cancellation = _Line(), current()
        with cancellation.ended_by(line.end):
            try:
                response = self._sent(body, headers, pace, line)
                yield from self._read(response, line)
            except Exception:
                cancellation.check()  # what went wrong is then that it was ended
                raise

    def _sent(self, body: bytes, headers: Mapping[str, str], pace: Pace, line: _Line) -> BaseHTTPResponse:
        _now.pace, _now.line = pace, line
        try:
            waits = Timeout(connect=min(self._connect, pace.wait()), read=None)
            return self._manager().urlopen(
                "POST", self._url, body=body, headers=headers, timeout=waits, retries=False, redirect=False, preload_content=False
            )
        finally:
            del _now.pace, _now.line

    @staticmethod
    def _read(response: BaseHTTPResponse, line: _Line) -> Iterator[BaseHTTPResponse]:
        whole = False
        try:
            yield response
            whole = True
        finally:
            if not whole:
                response.close()  # so that the server stops, and nobody reads the rest of this answer as the next one
            line.over(None)
            response.release_conn()

    def close(self) -> None:
        """Give up the idle connections."""
        with self._lock:
            if self._pools is not None and self._process == os.getpid():
                self._pools.clear()
            self._pools = None

    def _manager(self) -> PoolManager:
        with self._lock:
            if self._pools is None or self._process != os.getpid():  # a process never shares its parent's connections
                self._pools, self._process = _manager_for(self._url), os.getpid()
            return self._pools


def _manager_for(url: str) -> PoolManager:
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    direct = proxy is None or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2])
    pools = PoolManager(num_pools=2, maxsize=KEPT) if direct else ProxyManager(str(proxy), num_pools=2, maxsize=KEPT)
    pools.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pools
