"""A closed-loop client: so many connections, each asking again as soon as it is answered. Prints its figures as JSON.

python -m benchmarks.serving.client HOST PORT PATH BODIES CONNECTIONS SECONDS
(BODIES: a file with a request's body on each line)
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop

CHUNKED = 1 << 60  # an answer of unknown length, up to its last chunk


class Asking(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self.load = load
        self.left = -1  # bytes of the answer still to come; -1 when its head is

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.since = time.perf_counter()
        self.transport.write(next(self.load.requests))

    def data_received(self, data: bytes) -> None:
        if self.left < 0:
            if not data.startswith(b"HTTP/1.1 200"):
                self.load.errors += 1
            self.left = self.rest(data)
        elif self.left != CHUNKED:
            self.left -= len(data)
        if self.left == 0 or (self.left == CHUNKED and data.endswith(b"0\r\n\r\n")):
            self.left = -1
            self.load.latencies.append(time.perf_counter() - self.since)
            self.ask()

    @staticmethod
    def rest(data: bytes) -> int:
        """Bytes still to come of an answer whose first part this is."""
        at = data.find(b"content-length: ") + 16
        if at < 16:
            return CHUNKED
        return int(data[at : data.index(b"\r\n", at)]) - (len(data) - data.index(b"\r\n\r\n") - 4)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.load.lost += 1


class Load:
    def __init__(self, path: str, bodies: list[bytes]) -> None:
        head = "POST {} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
        self.requests = cycle([head.format(path, len(body)).encode() + body for body in bodies])
        self.latencies: list[float] = []
        self.errors = self.lost = 0


async def run(host: str, port: int, load: Load, connections: int, seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Asking(load), host, port)
    await asyncio.sleep(1)  # not measured: caches fill, batches settle
    load.latencies.clear()
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    found, took, lost = sorted(load.latencies), time.perf_counter() - start, load.lost
    if not found:
        return {"rate": 0.0, "errors": load.errors, "lost": lost}
    return {
        "rate": len(found) / took,
        "p50_ms": 1e3 * found[len(found) // 2],
        "p99_ms": 1e3 * found[int(len(found) * 0.99)],
        "errors": load.errors,
        "lost": lost,
    }


if __name__ == "__main__":
    host, port, path, bodies, connections, seconds = sys.argv[1:]
    load = Load(path, Path(bodies).read_bytes().splitlines())
    print(json.dumps(uvloop.run(run(host, int(port), load, int(connections), float(seconds)))))
