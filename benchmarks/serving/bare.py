"""The limit that a server in Python could reach: a bare asyncio protocol, micro-batches, the model, JSON, and nothing else.

No validation, routing, ids, metrics, log, limits, or errors. python -m benchmarks.serving.bare MODEL FEATURES PORT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httptools
import msgspec
import numpy as np
import onnxruntime
import uvloop


class Bare(asyncio.Protocol):
    """One connection; the waiting requests of all of them are scored together once a turn of the loop."""

    def __init__(self, server: BareServer) -> None:
        self.server, self.parser = server, httptools.HttpRequestParser(self)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body = body

    def on_message_complete(self) -> None:
        self.server.ask(self.transport, self.body)


class BareServer:
    def __init__(self, model: bytes, features: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input, self.output = self.session.get_inputs()[0].name, self.session.get_outputs()[-1].name
        row = msgspec.defstruct("Row", [(f"f{i}", float | None) for i in range(features)])
        self.decode = msgspec.json.Decoder(msgspec.defstruct("Body", [("rows", list.__class_getitem__(row))])).decode
        self.waiting: list[tuple[Any, bytes]] = []

    def ask(self, transport: Any, body: bytes) -> None:
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.score)
        self.waiting.append((transport, body))

    def score(self) -> None:
        waiting, self.waiting = self.waiting, []
        rows = np.array([msgspec.structs.astuple(self.decode(body).rows[0]) for _, body in waiting], np.float32)
        (scores,) = self.session.run([self.output], {self.input: rows})
        for (transport, _), score in zip(waiting, scores[:, -1].tolist(), strict=True):
            body = msgspec.json.encode({"predictions": [score]})
            transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def serve(model: bytes, features: int, port: int) -> None:
    server = BareServer(model, features)
    running = await asyncio.get_running_loop().create_server(lambda: Bare(server), "127.0.0.1", port)
    print(running.sockets[0].getsockname()[1], flush=True)
    await running.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), int(sys.argv[3])))
