"""Serving: near the limit that a bare protocol reaches with the same model, beside other servers; gRPC beside grpcio; batches.

The server has one core and the client the other. What is compared is measured in turns, so that a machine whose speed
changes changes both, and the median of the ratios counts.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figure import Figure, Proof
from benchmarks.peers import peer_python
from benchmarks.serving import lookup
from benchmarks.serving.model import FEATURES, make_bundle, make_slow_bundle, make_spinning_bundle, write_bodies, write_tensors

HERE = Path(__file__).parent
SERVER_CORE, CLIENT_CORE = 0, 1
SECONDS = 4.0
ROUNDS = 3
FASTAPI = ("fastapi==0.120.*", "uvicorn[standard]", "onnxruntime", "numpy")
MLSERVER = ("mlserver", "uvloop<0.22", "onnxruntime", "numpy")  # whose pool does not start with a newer uvloop
PEERS = {
    "fastapi": FASTAPI,
    "fastapi-inline": FASTAPI,
    "litserve": ("litserve", "onnxruntime", "numpy"),
    "bentoml": ("bentoml", "onnxruntime", "numpy"),
    "mlserver": MLSERVER,
    "mlserver-inline": MLSERVER,
    "ray": ("ray[serve]", "onnxruntime", "numpy"),
}

Load = dict[str, float]


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundle = make_bundle(folder / "bundles").path
        bodies = write_bodies(folder / "bodies.txt")
        yield from against_bare(folder, bundle, bodies)
        yield from looked_up(folder, bodies)
        yield from start(folder, bundle)
        yield from grpc_against_grpcio(folder, bundle)
        yield from batches(folder)
        yield from against_peers(folder, bundle, bodies)
        yield from read_by_mlserver(folder, bundle)


# --- servers and load -------------------------------------------------------------------------------------------------------


@contextmanager
def running(command: Sequence[str], *, cores: str = str(SERVER_CORE)) -> Iterator[dict[str, Any]]:
    """A server in processes of its own, which says on its first line where it listens; ended with all it has started."""
    process = subprocess.Popen(["taskset", "-c", cores, *command], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        yield {"port": where, "pid": process.pid} if isinstance(where, int) else {**where, "pid": process.pid}
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ours(folder: Path, bundle: Path, *settings: str, cores: str = str(SERVER_CORE)) -> Any:
    own = tempfile.mkdtemp(dir=folder)
    return running([sys.executable, "-m", "benchmarks.serving.ours", str(bundle), own, *settings], cores=cores)


def bare(bundle: Path) -> Any:
    return running([sys.executable, "-m", "benchmarks.serving.bare", str(bundle / "model" / "model.onnx"), str(FEATURES), "0"])


def load(port: int, path: str, bodies: Path, connections: int, seconds: float = SECONDS, cores: str = str(CLIENT_CORE)) -> Load:
    command = ["taskset", "-c", cores, sys.executable, "-m", "benchmarks.serving.client", "127.0.0.1", str(port), path, str(bodies)]
    done = subprocess.run([*command, str(connections), str(seconds)], capture_output=True, text=True, check=True, timeout=seconds + 60)
    found: Load = json.loads(done.stdout)
    return found


def told(name: str, found: Load) -> str:
    return (
        f"# {name}: {found['rate']:,.0f} requests/s, p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms, {found['errors']} errors"
    )


# --- near the limit ---------------------------------------------------------------------------------------------------------


def against_bare(folder: Path, bundle: Path, bodies: Path) -> Proof:
    kinds: dict[str, Callable[[], Any]] = {
        "bare": lambda: bare(bundle),
        "process": lambda: ours(folder, bundle, "durability=process"),
        "disk": lambda: ours(folder, bundle, "durability=disk"),
    }
    found: dict[tuple[str, int], list[Load]] = {}
    for _ in range(ROUNDS):
        for kind, server in kinds.items():
            with server() as where:
                for connections in (64, 256):
                    path = "/" if kind == "bare" else "/predict/bench"
                    found.setdefault((kind, connections), []).append(load(where["port"], path, bodies, connections))
    for (kind, connections), loads in found.items():
        yield told(f"{kind}, {connections} connections", sorted(loads, key=lambda x: x["rate"])[len(loads) // 2])
    for kind, connections, goal, slowest in (("process", 64, 0.60, 10), ("disk", 256, 0.45, None), ("disk", 64, 0.28, 15)):
        pairs = zip(found[kind, connections], found["bare", connections], strict=True)
        yield Figure(f"{kind}_{connections}_of_bare", median(mine["rate"] / limit["rate"] for mine, limit in pairs), "", ">=", goal)
        if slowest is not None:
            yield Figure(f"{kind}_{connections}_p99", median(x["p99_ms"] for x in found[kind, connections]), "ms", "<", slowest)
    yield Figure("errors", sum(x["errors"] + x["lost"] for loads in found.values() for x in loads), "", "=", 0)


def looked_up(folder: Path, bodies: Path) -> Proof:
    """Features of two entities from the online store, beside the bare limit with the features sent by the caller."""
    bundle = make_bundle(folder / "bundles", definition_hash=lookup.FEATURE_SET.definition_hash()).path
    store, entities = lookup.make_store(folder / "store"), lookup.write_entities(folder / "entities.txt")
    worker = f"worker=benchmarks.serving.lookup {store}"
    ratios = []
    for _ in range(ROUNDS):
        with bare(bundle) as where:
            limit = load(where["port"], "/", bodies, 64)
        with ours(folder, bundle, worker, "durability=process", "most_feature_age_seconds=1e12") as where:
            mine = load(where["port"], "/predict/bench/entities", entities, 64)
        ratios.append(mine["rate"] / limit["rate"])
        yield told("features looked up, process, 64 connections", mine)
    yield Figure("looked_up_of_bare", median(ratios), "", ">=", 0.30)


def start(folder: Path, bundle: Path) -> Proof:
    """From the process's start to its first answer, and what a worker holds."""
    took, held = [], []
    for _ in range(5):
        since = time.perf_counter()
        with ours(folder, bundle) as where:
            with socket.create_connection(("127.0.0.1", where["port"])) as sock:
                sock.sendall(b"GET /v2/health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
                assert sock.recv(1000).startswith(b"HTTP/1.1 200")
            took.append(time.perf_counter() - since)
            children = Path(f"/proc/{where['pid']}/task/{where['pid']}/children").read_text().split()
            held.append(max(_resident(pid) for pid in children))
    yield Figure("ready_after", median(took), "s", "<=", 1.5)
    yield Figure("worker_memory", max(held), "MB", "<=", 150)


def _resident(pid: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1e3


# --- gRPC -------------------------------------------------------------------------------------------------------------------


def grpc_against_grpcio(folder: Path, bundle: Path) -> Proof:
    """grpcio's server keeps no log; Noria's keeps one, in either class."""
    model = str(bundle / "model" / "model.onnx")
    ratios: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        rivals: dict[str, list[float]] = {"raw": [], "typed": []}
        for kind in ("aio", "threads"):
            with running([sys.executable, "-m", "benchmarks.serving.grpcio_server", kind, model, "0"]) as where:
                for contents, rates in rivals.items():
                    rates.append(_calls(where["port"], contents)["rate"])
        for durability in ("process", "disk"):
            with ours(folder, bundle, "grpc_port=0", f"durability={durability}") as where:
                for contents, rates in rivals.items():
                    mine = _calls(where["grpc_port"], contents)
                    yield (
                        f"# gRPC, {contents} contents, {durability}, 64 connections: {mine['rate']:,.0f} calls/s, "
                        f"p99 {mine['p99_ms']:.1f} ms, {mine['errors']} errors; grpcio aio {rates[0]:,.0f}, threads {rates[1]:,.0f}"
                    )
                    ratios.setdefault((contents, durability), []).append(mine["rate"] / max(rates))
    for contents in ("raw", "typed"):
        yield f"# gRPC, {contents} contents, disk: {median(ratios[contents, 'disk']):.2f} times grpcio's better server"
        yield Figure(f"grpc_{contents}_against_grpcio", median(ratios[contents, "process"]), "times as many calls", ">=", 3)


def _calls(port: int, contents: str) -> Load:
    command = [sys.executable, "-m", "benchmarks.serving.grpc_client", "127.0.0.1", str(port), "64", str(SECONDS), contents]
    done = subprocess.run(["taskset", "-c", str(CLIENT_CORE), *command], capture_output=True, text=True, check=True, timeout=60)
    found: Load = json.loads(done.stdout)
    return found


# --- batches ----------------------------------------------------------------------------------------------------------------


def batches(folder: Path) -> Proof:
    """A model whose single call costs about a millisecond: together and one by one; and on two workers."""
    bundle, milliseconds = make_slow_bundle(folder / "bundles")
    bodies = write_bodies(folder / "bodies.txt")
    yield f"# the slow model: {milliseconds:.2f} ms for one row"
    together, alone = [], []
    one_together, one_alone = [], []
    for _ in range(ROUNDS):
        for most, many, one in ((128, together, one_together), (1, alone, one_alone)):
            with ours(folder, bundle.path, f"max_batch={most}", "budget_ms=2000", "durability=process") as where:
                many.append(load(where["port"], "/predict/bench", bodies, 64))
                one.append(load(where["port"], "/predict/bench", bodies, 1))
    yield told("batched, 64 connections", together[0])
    yield told("unbatched, 64 connections", alone[0])
    yield Figure("batching_throughput", median(a["rate"] / b["rate"] for a, b in zip(together, alone, strict=True)), "times", ">=", 3)
    yield Figure(
        "batching_p99", median(a["p99_ms"] / b["p99_ms"] for a, b in zip(together, alone, strict=True)), "times unbatched", "<=", 1
    )
    cost = median(a["p50_ms"] / b["p50_ms"] for a, b in zip(one_together, one_alone, strict=True))
    yield Figure("batching_cost_at_one_connection", cost, "times unbatched", "<", 1.05)
    spinning, rates = make_spinning_bundle(folder / "bundles"), []
    for workers in (1, 2):  # the client shares the cores
        with ours(folder, spinning.path, f"workers={workers}", "max_batch=1", "budget_ms=2000", cores="0,1") as where:
            rates.append(load(where["port"], "/predict/bench", bodies, 64, cores="0,1")["rate"])
    yield f"# a millisecond of arithmetic a row: {rates[0]:,.0f} requests/s on one worker, {rates[1]:,.0f} on two"
    yield Figure("two_workers", rates[1] / rates[0], "times one worker (two cores, shared with the client)", ">=", 1.5)


def _ratio(mine: Sequence[Load], others: Sequence[Load], figure: str) -> float:
    return median(a[figure] / b[figure] for a, b in zip(mine, others, strict=True))


# --- other servers ----------------------------------------------------------------------------------------------------------


def against_peers(folder: Path, bundle: Path, bodies: Path) -> Proof:
    """What is compared is measured in turns. FastAPI and MLServer come twice: as they come, which is judged, and tuned by hand."""
    found: dict[str, list[Load]] = {}
    for _ in range(ROUNDS):
        with ours(folder, bundle, "durability=process") as where:
            found.setdefault("noria", []).append(load(where["port"], "/predict/bench", bodies, 64))
        for name, requirements in PEERS.items():
            python = peer_python(name.removesuffix("-inline"), requirements)
            loaded = None if python is None else _peer(python, name, bundle, bodies)
            if loaded is not None and loaded["rate"]:
                found.setdefault(name, []).append(loaded)
    for name, loads in found.items():
        yield told(name, sorted(loads, key=lambda x: x["rate"])[len(loads) // 2])
    ratios = {name: _ratio(found["noria"], loads, "rate") for name, loads in found.items() if len(loads) == ROUNDS and name != "noria"}
    for name in PEERS.keys() - ratios.keys():
        yield f"# {name} can't be installed here, or did not answer: not compared"
    for name in ("fastapi-inline", "mlserver-inline"):
        if name in ratios:
            yield f"# {name}, tuned by hand to answer in its event loop: {ratios.pop(name):.1f} times as many requests"
    if "fastapi" in ratios:
        yield Figure("against_fastapi", ratios.pop("fastapi"), "times as many requests", ">=", 12)
    if ratios:
        best = min(ratios, key=lambda name: ratios[name])
        yield Figure("against_the_best_of_the_others", ratios[best], f"times as many requests as {best}", ">=", 25)


def read_by_mlserver(folder: Path, bundle: Path) -> Proof:
    """The protocol's answers, read by types that no one here wrote."""
    python = peer_python("mlserver", MLSERVER)
    if python is None:
        yield "# mlserver can't be installed here: its types have not read our answers"
        return
    with ours(folder, bundle) as where:
        command = [str(python), str(HERE / "mlserver_types.py"), f"http://127.0.0.1:{where['port']}", "bench", str(FEATURES)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    yield Figure("read_by_mlservers_types", json.loads(done.stdout)["read"], "kinds of answers", "=", 4)


def _peer(python: Path, name: str, bundle: Path, bodies: Path) -> Load | None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), str(HERE / "peers.py"), name, str(bundle / "model" / "model.onnx"), str(FEATURES), str(port)]
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    path, asked = (
        ("/v2/models/bench/infer", write_tensors(bodies.with_name("tensors.txt"))) if name.startswith("mlserver") else ("/predict", bodies)
    )
    try:
        for _ in range(240):
            with suppress(OSError, subprocess.SubprocessError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                time.sleep(2)
                return load(port, path, asked, 64)
            if process.poll() is not None:
                return None
            time.sleep(0.25)
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
