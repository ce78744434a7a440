"""A closed-loop client of images: so many connections, each sends the next one as soon as it is answered. Prints its figures as JSON.

python -m benchmarks.models.images_client HOST PORT rest|grpc CONNECTIONS SECONDS SIDE

Every request is another image, so that nothing is known of it from before; every answer is compared with its first number.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from itertools import count
from typing import Any

import uvloop

from benchmarks.models.image_model import pictures
from benchmarks.serving.grpc_client import BLOCK, frame
from noria.serving.protocol.messages import inference
from noria.serving.transport.http2 import HEAD, PREFACE

IMAGES = 64
MAX_FRAME = 16_384


class Load:
    """Images, and how their answers came."""

    def __init__(self, protocol: str, side: int) -> None:
        self.images = pictures(IMAGES, side)
        self.shape, self.size = [1, side, side, 3], self.images[0].nbytes
        self.latencies: list[float] = []
        self.errors: dict[str, int] = {}
        self._numbers, self._stamps = count(), [bytearray(image.tobytes()) for image in self.images]
        self.head = self._rest_head() if protocol == "rest" else self._grpc_head()

    def next_image(self) -> bytearray:
        """An image that there has not been: its last numbers say which it is."""
        number = next(self._numbers)
        image = self._stamps[number % IMAGES]
        image[-8:] = number.to_bytes(8, "little")
        return image

    def failed(self, why: str) -> None:
        self.errors[why] = self.errors.get(why, 0) + 1

    def _rest_head(self) -> bytes:
        about = {"name": "image", "datatype": "UINT8", "shape": self.shape, "parameters": {"binary_data_size": self.size}}
        told = json.dumps({"inputs": [about]}).encode()
        head = (
            "POST /v2/models/bench/infer HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\ninference-header-content-length: {}\r\n\r\n"
        )
        return head.format(len(told) + self.size, len(told)).encode() + told

    def _grpc_head(self) -> bytes:
        request = inference["ModelInferRequest"](model_name="bench")
        request.inputs.add(name="image", datatype="UINT8", shape=self.shape)
        message = request.SerializeToString() + b"\x3a" + _varint(self.size)
        return b"\0" + (len(message) + self.size).to_bytes(4, "big") + message


class OverRest(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self.load, self.buffer = load, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        image = self.load.next_image()
        self.expected, self.since = image[0], time.perf_counter()
        self.transport.write(self.load.head + image)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        at = self.buffer.index(b"content-length: ") + 16
        length = int(self.buffer[at : self.buffer.index(b"\r\n", at)])
        if len(self.buffer) < end + length:
            return
        if self.buffer.startswith(b"HTTP/1.1 200"):
            if b'"data":[%d.0]' % self.expected not in self.buffer:
                self.load.failed("another answer")
            self.load.latencies.append(time.perf_counter() - self.since)
        else:
            self.load.failed(json.loads(self.buffer[end:])["code"])
        closes, self.buffer = b"connection: close" in self.buffer, b""
        if not closes:
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        asyncio.get_running_loop().create_task(self.again())

    async def again(self) -> None:
        await asyncio.sleep(0.1)
        transport = self.transport
        await asyncio.get_running_loop().create_connection(lambda: OverRest(self.load), *transport.get_extra_info("peername")[:2])


class OverGrpc(asyncio.Protocol):
    """One call at a time; what its windows do not allow yet waits."""

    def __init__(self, load: Load) -> None:
        self.load, self.stream, self.buffer = load, -1, b""
        self.window = self.connection_window = 65_535
        self.first_window, self.left = 65_535, memoryview(b"")

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(PREFACE + frame(4, 0, 0, b"") + frame(8, 0, 0, struct.pack(">I", 2**30)))

    def ask(self) -> None:
        self.stream += 2
        image = self.load.next_image()
        self.expected, self.since, self.window, self.status = image[0], time.perf_counter(), self.first_window, b""
        self.transport.write(frame(1, 4, self.stream, BLOCK))
        self.left = memoryview(self.load.head + image)
        self.send()

    def send(self) -> None:
        parts = []
        while self.left and (size := min(len(self.left), self.window, self.connection_window, MAX_FRAME)) > 0:
            part, self.left = self.left[:size], self.left[size:]
            self.window -= size
            self.connection_window -= size
            parts += [HEAD.pack(size >> 16, size & 0xFFFF, 0, 0 if self.left else 1, self.stream), part]
        if parts:
            self.transport.write(b"".join(parts))

    def data_received(self, data: bytes) -> None:
        data, at = self.buffer + data, 0
        while len(data) - at >= 9:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            end = at + 9 + (high << 16 | low)
            if end > len(data):
                break
            self.take(kind, flags, stream, data[at + 9 : end])
            at = end
        self.buffer = data[at:]

    def take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == 4 and not flags & 1:
            for name, value in struct.iter_unpack(">HI", payload):
                self.first_window = value if name == 4 else self.first_window
            self.transport.write(frame(4, 1, 0, b""))
            self.ask()
        elif kind == 8:
            more = int.from_bytes(payload, "big")
            if stream == 0:
                self.connection_window += more
            elif stream == self.stream:
                self.window += more
            self.send()
        elif kind == 0:
            self.status = payload
        elif kind == 7 or (kind == 3 and payload != bytes(4)):  # without an error, a reset says that no more of a refused call is wanted
            self.load.failed(f"frame {kind}")
        elif kind == 1 and flags & 1 and stream == self.stream:
            self.answered(payload)

    def answered(self, trailers: bytes) -> None:
        self.left = memoryview(b"")
        if not self.status:
            at = trailers.find(b"grpc-status") + 12
            self.load.failed(f"status {trailers[at : at + 2].decode('latin-1').strip()}")
        else:
            if struct.pack("<d", self.expected) not in self.status:
                self.load.failed("another answer")
            self.load.latencies.append(time.perf_counter() - self.since)
        self.ask()


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number >= 128:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


async def run(host: str, port: int, protocol: str, connections: int, seconds: float, side: int) -> dict[str, Any]:
    load, kind = Load(protocol, side), OverRest if protocol == "rest" else OverGrpc
    for _ in range(connections):
        await asyncio.get_running_loop().create_connection(lambda: kind(load), host, port)
    await asyncio.sleep(1)  # not measured
    load.latencies.clear()
    load.errors.clear()
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    found, took = sorted(load.latencies), time.perf_counter() - start
    if not found:
        return {"rate": 0.0, "mb": 0.0, "p50_ms": 0.0, "p99_ms": 0.0, "errors": load.errors}
    return {
        "rate": len(found) / took,
        "mb": len(found) * load.size / took / 1e6,
        "p50_ms": 1e3 * found[len(found) // 2],
        "p99_ms": 1e3 * found[int(len(found) * 0.99)],
        "errors": load.errors,
    }


if __name__ == "__main__":
    host, port, protocol, connections, seconds, side = sys.argv[1:]
    print(json.dumps(uvloop.run(run(host, int(port), protocol, int(connections), float(seconds), int(side)))))
