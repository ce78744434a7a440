"""Our Python runtime beside FastAPI around the same scikit-learn pipeline, at 64 connections: python -m benchmarks.models.python_runtime

The server, with the process of its model, has one core and the client the other; they are measured in turns, and the median of the ratios
counts. Ours writes every prediction into its log (`durability=process`), FastAPI keeps none.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.figure import Figure, Proof
from benchmarks.models.pipeline import make_bundle, write_bodies
from benchmarks.peers import peer_python
from benchmarks.serving.prove import SERVER_CORE, Load, load, ours, told

HERE = Path(__file__).parent
ROUNDS = 3
SAME = ("scikit-learn", "pandas", "numpy", "scipy", "cloudpickle")
REQUIREMENTS = ("fastapi", "uvicorn[standard]", *(f"{name}=={version(name)}" for name in SAME))
GOAL = 3.0


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundle, pickled = make_bundle(folder / "bundles")
        bodies = write_bodies(folder / "bodies.txt")
        python = peer_python("fastapi-sklearn", REQUIREMENTS)
        found: dict[str, list[Load]] = {}
        for _ in range(ROUNDS):
            with ours(folder, bundle.path, "trust=yes", "durability=process", "budget_ms=2000") as where:
                found.setdefault("noria", []).append(load(where["port"], "/predict/bench", bodies, 64))
                found.setdefault("noria, one connection", []).append(load(where["port"], "/predict/bench", bodies, 1))
            for name in ("fastapi", "fastapi-inline") if python else ():
                found.setdefault(name, []).append(_peer(python, name, pickled, bodies))
        for name, loads in found.items():
            yield told(name, sorted(loads, key=lambda x: x["rate"])[len(loads) // 2])
        if python is None:
            yield "# fastapi can't be installed here: not compared"
            return
        for name in ("fastapi", "fastapi-inline"):
            ratio = median(mine["rate"] / theirs["rate"] for mine, theirs in zip(found["noria"], found[name], strict=True))
            yield Figure(f"python_runtime_against_{name}", ratio, "times as many requests", ">=", GOAL)
        yield Figure("errors", sum(x["errors"] + x["lost"] for loads in found.values() for x in loads), "", "=", 0)


def _peer(python: Path | None, name: str, pickled: Path, bodies: Path) -> Load:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), str(HERE / "fastapi_pipeline.py"), str(pickled), str(port), *name.split("-")[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(["taskset", "-c", str(SERVER_CORE), *command], start_new_session=True, env=environment)
    try:
        for _ in range(240):
            assert process.poll() is None, f"{name} did not start"
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                time.sleep(1)
                return load(port, "/predict", bodies, 64)
            time.sleep(0.25)
        raise TimeoutError(name)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    for line in prove():
        print(line, flush=True)
    sys.exit(0)
