"""Streams of images into a model, and the memory of whoever takes them: python -m benchmarks.models.images

The server (with the process of its model, where that is Python) has one core and the client the other. Every image is another one, every
prediction is in the log before its answer, the image with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, Proof
from benchmarks.models.image_model import SIDE, make_bundle
from benchmarks.serving.prove import CLIENT_CORE, ours

SECONDS = 5.0
CONNECTIONS = 8
GOAL_MB = 20.0
MB = 2**20
LARGEST_SIDE = 1182  # 4 MB, as large as a body may be
CROWD = 256


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        yield from sustained(folder)
        yield from memory(folder)


def sustained(folder: Path) -> Proof:
    """How many MB of images a second are answered, over two protocols and by two runtimes."""
    errors = 0
    for runtime in ("onnx", "python"):
        bundle = make_bundle(folder / "bundles", runtime)
        for protocol in ("rest", "grpc"):
            with ours(folder, bundle.path, "trust=yes", "durability=disk", "grpc_port=0") as where:
                found = load(where, protocol, CONNECTIONS, SECONDS, SIDE)
            errors += sum(found["errors"].values())
            yield f"# {runtime} over {protocol}: {told(found)}"
            yield Figure(f"images_{runtime}_{protocol}", found["mb"], "MB/s", ">=", GOAL_MB)
    yield Figure("images_errors", errors, "", "=", 0)


def memory(folder: Path) -> Proof:
    """What a crowd, each of whom sends the largest image again and again, makes a worker's memory grow by; those there is no room for are
    refused."""
    bundle = make_bundle(folder / "bundles", "onnx")
    for protocol in ("rest", "grpc"):
        with ours(folder, bundle.path, "durability=process", "grpc_port=0", "max_waiting_bytes=134217728") as where:
            before = max(resident(worker, "VmRSS") for worker in workers(where["pid"]))
            found = load(where, protocol, CROWD, SECONDS, LARGEST_SIDE)
            grown = max(resident(worker, "VmHWM") for worker in workers(where["pid"])) - before
        yield f"# {CROWD} clients over {protocol}, images of 4 MB: {told(found)}"
        # what may wait, six copies of a batch, and for each connection what it may have read and not yet handed on
        yield Figure(f"images_memory_{protocol}", grown / MB, "MB", "<", 128 + 6 * 16 + CROWD / 4)


def load(where: dict[str, Any], protocol: str, connections: int, seconds: float, side: int) -> dict[str, Any]:
    port = where["port"] if protocol == "rest" else where["grpc_port"]
    command = ["taskset", "-c", str(CLIENT_CORE), sys.executable, "-m", "benchmarks.models.images_client", "127.0.0.1", str(port)]
    done = subprocess.run(
        [*command, protocol, str(connections), str(seconds), str(side)], capture_output=True, text=True, check=True, timeout=seconds + 120
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def told(found: dict[str, Any]) -> str:
    errors = ", ".join(f"{count:,} × {why}" for why, count in found["errors"].items()) or "none refused"
    return f"{found['rate']:,.0f} images/s, {found['mb']:.0f} MB/s, p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms; {errors}"


def workers(pid: int) -> list[int]:
    """The worker processes of a server."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def resident(pid: int, what: str) -> int:
    """Bytes of memory that a process has (`VmRSS`), or had at most (`VmHWM`)."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    for line in prove():
        print(line, flush=True)
