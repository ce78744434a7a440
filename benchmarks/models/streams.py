"""What a part of a streamed answer costs between the model's `yield` and its client: python -m benchmarks.models.streams

Server and model have one core, the clients the other. Parts hold the time at which they were made, on the clock that both processes share.
"""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.figure import Figure, Proof
from benchmarks.serving.model import LINEAGE
from benchmarks.serving.prove import ours
from noria.core.files import LocalFiles
from noria.core.signature import Field, Signature
from noria.models.bundle import CARD_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.runtimes.python_spec import PYTHON_FILE, SOURCE_FOLDER, PythonSpec, this_python

TEXTS = Signature((Field("prompt", "string", nullable=False),), (Field("text", "string", nullable=False),))
MODEL = """
import time


class Clock:
    def stream(self, row):
        count, pause = row["prompt"].split(" ")
        for _ in range(int(count)):
            time.sleep(float(pause)) if float(pause) else None
            yield "%d " % time.monotonic_ns() if float(pause) else "word "


def load(folder):
    return Clock()
"""
PARTS, PAUSE, FAST = 500, 0.01, 10_000
GOAL_MS, GOAL_RATE = 1.0, 10_000.0


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundle = make_bundle(folder / "bundles")
        with ours(folder, bundle.path, "trust=yes", "model_seconds=30") as where:
            port = where["port"]
            read(port, PARTS // 10, PAUSE, lambda _: None)
            for streams in (1, 4):
                late = delays(port, streams)
                p50, p99 = np.quantile(late, [0.5, 0.99])
                yield f"# {streams} streams of a part each {1e3 * PAUSE:g} ms: a part is {p50:.3f} ms old at its client, p99 {p99:.3f} ms"
                if streams == 1:
                    yield Figure("streamed_part_p50", float(p50), "ms from the model's yield to the client", "<", GOAL_MS)
            rates = [rate(port) for _ in range(3)]
            yield Figure("streamed_parts_a_second", sorted(rates)[1], "parts/s of a model that takes no time, on one core", ">=", GOAL_RATE)


def make_bundle(root: Path) -> Bundle:
    contents = {
        PYTHON_FILE: msgspec.json.encode(PythonSpec("clock:load", this_python(), {})),
        f"{SOURCE_FOLDER}/clock.py": MODEL.encode(),
        SAMPLE_FILE: msgspec.json.encode({"inputs": [["2 0"]], "outputs": [["word word "]]}),
        PROFILE_FILE: b"{}",
        CARD_FILE: b"",
    }
    about = {"feature_set": "texts", "definition_hash": "", "run": "run", "lineage": LINEAGE, "metrics": {}, "environment": {}, "files": {}}
    root.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(name="clock", runtime="python", signature=TEXTS, task={}, trust=True, **about)  # type: ignore[arg-type]
    return write_bundle(root, manifest, contents, LocalFiles())


def read(port: int, count: int, pause: float, part: Callable[[bytes], None]) -> None:
    """Ask for so many parts, and call `part` with each event as it comes."""
    body = json.dumps({"rows": [{"prompt": f"{count} {pause}"}], "stream": True}).encode()
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(b"POST /predict/bench HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        rest = b""
        while not rest.endswith(b"0\r\n\r\n"):
            *events, rest = (rest + sock.recv(1 << 16)).split(b"\n\n") if b"0\r\n\r\n" not in rest else [rest]
            for event in events:
                part(event)


def delays(port: int, streams: int) -> list[float]:
    """How old parts were at their clients, in milliseconds."""
    found: list[float] = []

    def part(event: bytes) -> None:
        now = time.monotonic_ns()
        if b"event: part" in event:
            found.append((now - int(event.rpartition(b'"text":"')[2].split(b" ")[0])) / 1e6)

    with ThreadPoolExecutor(streams) as pool:
        for done in [pool.submit(read, port, PARTS, PAUSE, part) for _ in range(streams)]:
            done.result()
    assert len(found) == streams * PARTS
    return found


def rate(port: int) -> float:
    """Parts a second of a model that makes them at once."""
    start, count = time.perf_counter(), [0]

    def part(event: bytes) -> None:
        count[0] += b"event: part" in event

    read(port, FAST, 0, part)
    assert count[0] == FAST
    return FAST / (time.perf_counter() - start)


if __name__ == "__main__":
    for line in prove():
        print(line, flush=True)
    sys.exit(0)
