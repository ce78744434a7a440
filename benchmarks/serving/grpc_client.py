"""A closed-loop client of unary gRPC calls, on frames made beforehand: so many connections with one call each at a time.

python -m benchmarks.serving.grpc_client HOST PORT CONNECTIONS SECONDS raw|typed
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from typing import Any

import numpy as np
import uvloop
from tritonclient.grpc import service_pb2

from benchmarks.serving.model import FEATURES
from noria.serving.transport.http2 import HEAD, PREFACE, literal

BLOCK = b"".join(
    literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/inference.GRPCInferenceService/ModelInfer"),
        (b":authority", b"127.0.0.1"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def message(kind: str) -> bytes:
    row = np.random.default_rng(3).normal(size=FEATURES).astype(np.float32)
    request = service_pb2.ModelInferRequest(model_name="bench")
    tensor = request.inputs.add(name="features", datatype="FP32", shape=[1, FEATURES])
    if kind == "raw":
        request.raw_input_contents.append(row.tobytes())
    else:
        tensor.contents.fp32_contents.extend(row.tolist())
    data: bytes = request.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


class Calling(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self.load, self.stream, self.buffer = load, -1, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(PREFACE + frame(4, 0, 0, b"") + frame(8, 0, 0, struct.pack(">I", 2**30)))
        self.call()

    def call(self) -> None:
        self.stream += 2
        self.since = time.perf_counter()
        self.transport.write(frame(1, 4, self.stream, BLOCK) + frame(0, 1, self.stream, self.load.body))

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data
        at = 0
        while len(data) - at >= 9:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            end = at + 9 + (high << 16 | low)
            if end > len(data):
                break
            if kind == 4 and not flags & 1:
                self.transport.write(frame(4, 1, 0, b""))
            elif kind == 6 and not flags & 1:
                self.transport.write(frame(6, 1, 0, data[at + 9 : end]))
            elif kind == 0:
                self.load.bodies += 1
            elif kind in (3, 7):
                self.load.errors += 1
            elif kind == 1 and flags & 1 and stream == self.stream:
                self.load.latencies.append(time.perf_counter() - self.since)
                self.call()
            at = end
        self.buffer = data[at:]


class Load:
    def __init__(self, body: bytes) -> None:
        self.body, self.latencies, self.bodies, self.errors = body, list[float](), 0, 0


async def run(host: str, port: int, connections: int, seconds: float, kind: str) -> dict[str, float]:
    load = Load(message(kind))
    for _ in range(connections):
        await asyncio.get_running_loop().create_connection(lambda: Calling(load), host, port)
    await asyncio.sleep(1)
    load.latencies.clear()
    load.bodies = 0
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    found, took = sorted(load.latencies), time.perf_counter() - start
    unanswered = max(len(found) - load.bodies - connections, 0)  # calls that ended without a body
    return {"rate": len(found) / took, "p99_ms": 1e3 * found[int(len(found) * 0.99)], "errors": load.errors + unanswered}


if __name__ == "__main__":
    host, port, connections, seconds, kind = sys.argv[1:]
    print(json.dumps(uvloop.run(run(host, int(port), int(connections), float(seconds), kind))))
