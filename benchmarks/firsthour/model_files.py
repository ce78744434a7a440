"""Twelve model files, served without a project: how long until each is ready, and how far its answers are from its framework's."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, Proof
from benchmarks.peers import peer_python

ROOT = Path(__file__).parents[2]
ENVIRONMENT = (
    "torch==2.13.0",
    f"{ROOT}[lightgbm,xgboost,skops,pandas,catboost,keras]",
    "transformers",
    "mlflow",
)
ONNX_SECONDS, PYTHON_SECONDS = 3.0, 10.0
DIFFERENCE = 1e-5
MANY = 60.0


def prove(*makers: str) -> Proof:
    """Time to ready at the first start, which converts, and at the second; and the largest relative difference.

    makers: those of the files to be served; all, if none is named
    """
    python = peer_python("model-files", ENVIRONMENT)
    if python is None:
        yield "model files: not measured, since their frameworks can't be installed here"
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "TOKENIZERS_PARALLELISM": "false"}
        subprocess.run(
            [str(python), "-m", "benchmarks.firsthour.makers", str(folder), *makers], check=True, env=environ, capture_output=True
        )
        yield f"model files: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        for ask in json.loads((folder / "asks.json").read_text()):
            yield from _figures(python, folder, ask, environ)


def _figures(python: Path, folder: Path, ask: dict[str, Any], environ: dict[str, str]) -> Iterator[Figure | str]:
    began = _processor_seconds()
    first, found = served(python, folder, ask, environ)
    between = _processor_seconds()
    again, _ = served(python, folder, ask, environ)
    spent = between - began, _processor_seconds() - between
    yield f"{ask['name']}: {spent[0]:.1f} s of processor time at the first start, {spent[1]:.1f} s at the second, a request included"
    goal = PYTHON_SECONDS if ask["python"] else ONNX_SECONDS
    yield Figure(f"{ask['name']}: first ready", round(first, 2), "s", "<=", goal)
    yield Figure(f"{ask['name']}: ready again", round(again, 2), "s", "<=", goal)
    yield Figure(f"{ask['name']}: from its framework's answers", furthest(found, ask["expected"]), "of an answer", "<=", DIFFERENCE)


def _processor_seconds() -> float:
    """What the processes that were started here and have ended took: unlike the clock, it does not depend on what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def served(python: Path, folder: Path, ask: dict[str, Any], environ: dict[str, str]) -> tuple[float, list[Any]]:
    """Seconds from the command to a server that is ready, and its predictions for the rows."""
    command = [str(python), "-m", "noria", "serve", ask["argument"], *ask["options"], "--port", "0", "--json"]
    began = time.perf_counter()
    server = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line.startswith('{"host'):
            raise RuntimeError(f"{ask['name']} was not served: {line}{server.stdout.read()}")
        told = json.loads(line)
        seconds = time.perf_counter() - began
        ((name, _),) = told["endpoints"].items()
        body = json.dumps({"rows": ask["rows"]}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{told['url']}/predict/{name}", body), timeout=MANY) as response:
            return seconds, json.load(response)["predictions"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=MANY)


def furthest(found: list[Any], expected: list[list[float]]) -> float:
    """The largest difference of a number from the one that is expected, relative to the largest that is expected at its place: an answer
    near 0 has no digits of its own."""
    largest = [max(abs(number) for number in column) for column in zip(*expected, strict=True)]
    apart = 0.0
    for answer, wanted in zip(found, expected, strict=True):
        for number, right, scale in zip(_numbers(answer), wanted, largest, strict=True):
            apart = max(apart, abs(number - right) / scale if scale else float(number != right))
    return apart


def _numbers(answer: Any) -> list[float]:
    """The numbers of an answer, in the order of its JSON."""
    if isinstance(answer, dict):
        return [number for each in answer.values() for number in _numbers(each)]
    if isinstance(answer, list):
        return [number for each in answer for number in _numbers(each)]
    return [float(answer)]
