"""A load generator that is not fooled: requests leave when they are due, whether or not the ones before were answered, and latency
counts from when a request was due. (A client that waits for answers stops asking just when the server is slow, and so never sees
its tail: coordinated omission, as Gil Tene called it.)

Bounded in rate and time; it asks servers on this machine only, unless it is told otherwise.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools
import numpy as np

from noria.core.errors import OutsideWorld, UserMistake

MAX_RATE = 500_000.0
MAX_SECONDS = 3_600.0
TICK_SECONDS = 0.001
LAST_ANSWERS_SECONDS = 5.0
QUANTILES = (0.5, 0.9, 0.99, 0.999)


class BadLoad(UserMistake):
    """A load that is not sent: out of bounds, or to another machine without being told so."""

    code = "NR-540"


class NobodyThere(OutsideWorld):
    """No server answers where the load should go."""

    code = "NR-541"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(what=f"nothing answers at {url}", where=reason, fix="start it with `noria serve`, or give another --url")


@dataclass(frozen=True)
class Loaded:
    """What a load found. Latencies in milliseconds from when requests were due.

    unanswered: asked and not answered within seconds after the end; late_ms: by how much the generator itself was late at its 99th
    percentile: where that is not small, it measured itself
    """

    asked: int
    seconds: float
    statuses: dict[str, int]
    unanswered: int
    latency_ms: dict[str, float]
    late_ms: float

    @property
    def answered(self) -> int:
        return sum(self.statuses.values())

    def to_dict(self) -> dict[str, Any]:
        rate = self.answered / self.seconds if self.seconds else 0.0
        return {**vars(self), "answered": self.answered, "rate": rate}


def send_load(
    url: str,
    bodies: Sequence[bytes],
    *,
    rate: float,
    seconds: float,
    connections: int = 64,
    secret: str | None = None,
    beyond_loopback: bool = False,
) -> Loaded:
    """Ask `url` for `seconds` at `rate` requests a second, with the bodies in turn. Raises `BadLoad` or `NobodyThere`."""
    where = urlsplit(url)
    if where.scheme != "http" or not where.hostname:
        raise BadLoad(what=f"{url!r} is not a URL that can be load-tested", where="--url", fix="use http://HOST:PORT/PATH")
    if not (0 < rate <= MAX_RATE and 0 < seconds <= MAX_SECONDS and 0 < connections <= 10_000 and bodies):
        bounds = f"use up to {MAX_RATE:,.0f} requests per second, {MAX_SECONDS:,.0f} seconds and 10,000 connections"
        raise BadLoad(what="the load exceeds the limits", where=f"{rate:g}/s for {seconds:g} s on {connections} connections", fix=bounds)
    if not beyond_loopback and not _on_this_machine(where.hostname):
        raise BadLoad(what=f"{where.hostname!r} is another machine", where="--url", fix="add --beyond-loopback if you may load-test it")
    head = f"POST {where.path or '/'} HTTP/1.1\r\nhost: {where.netloc}\r\ncontent-type: application/json\r\n"
    head += f"authorization: Bearer {secret}\r\n" if secret else ""
    requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    load = _Load(requests, rate, seconds, connections)
    work = load.run(where.hostname, where.port or 80)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    found: Loaded = uvloop.run(work)
    return found


def _on_this_machine(host: str) -> bool:
    with suppress(OSError, ValueError):
        return all(ipaddress.ip_address(found[4][0]).is_loopback for found in socket.getaddrinfo(host, None))
    return False


class _Load:
    """The state of one load: what is due, who is free, what came back."""

    def __init__(self, requests: list[bytes], rate: float, seconds: float, connections: int) -> None:
        self.requests, self._rate, self._seconds, self._most = requests, rate, seconds, connections
        self._due: deque[float] = deque()
        self.free: list[_Asking] = []
        self._open: list[_Asking] = []
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self._late: list[float] = []
        self.asked = self._next = 0

    async def run(self, host: str, port: int) -> Loaded:
        loop = asyncio.get_running_loop()
        try:
            for _ in range(self._most):
                _, asking = await loop.create_connection(lambda: _Asking(self, loop), host, port)
                self._open.append(asking)
        except OSError as error:
            raise NobodyThere(f"{host}:{port}", str(error)) from error
        self.free = list(self._open)
        start = loop.time()
        total = max(int(self._rate * self._seconds), 1)
        while self.asked + len(self._due) < total and any(asking.open for asking in self._open):
            now = loop.time()
            behind = min(int((now - start) * self._rate) + 1, total) - self.asked - len(self._due)
            first = self.asked + len(self._due)
            for place in range(first, first + behind):
                self._due.append(start + place / self._rate)
            if behind > 0:
                self._late.append(max(now - self._due[-behind] - TICK_SECONDS, 0.0))
            self.ask()
            await asyncio.sleep(TICK_SECONDS)
        took = loop.time() - start
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_SECONDS):
                while self._due or any(asking.busy and asking.open for asking in self._open):
                    await asyncio.sleep(0.005)
        for asking in self._open:
            asking.close()
        return self._found(took)

    def ask(self) -> None:
        """Send what is due on the connections that are free."""
        while self._due and self.free:
            asking = self.free.pop()
            if asking.open:
                asking.ask(self._due.popleft(), self.requests[self._next % len(self.requests)])
                self._next += 1
                self.asked += 1

    def _found(self, took: float) -> Loaded:
        asked = self.asked + len(self._due)
        latency = dict.fromkeys([f"p{100 * q:g}" for q in QUANTILES] + ["max"], 0.0)
        if self.latencies:
            values = [*np.quantile(self.latencies, QUANTILES), max(self.latencies)]
            latency = dict(zip(latency, (round(1e3 * float(v), 3) for v in values), strict=True))
        late = round(1e3 * float(np.quantile(self._late, 0.99)), 3) if self._late else 0.0
        return Loaded(asked, round(took, 3), dict(self.statuses), asked - sum(self.statuses.values()), latency, late)


class _Asking(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, load: _Load, loop: asyncio.AbstractEventLoop) -> None:
        self._load, self._loop = load, loop
        self._parser = httptools.HttpResponseParser(self)
        self._since = 0.0
        self.busy, self.open = False, False

    def connection_made(self, transport: Any) -> None:
        self._transport, self.open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.open = False

    def ask(self, due: float, request: bytes) -> None:
        self._since, self.busy = due, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._load.statuses["not HTTP"] += 1
            self.close()

    def on_message_complete(self) -> None:
        self._load.latencies.append(self._loop.time() - self._since)
        self._load.statuses[str(self._parser.get_status_code())] += 1
        self.busy = False
        self._load.free.append(self)
        self._load.ask()

    def close(self) -> None:
        self.open = False
        self._transport.close()
