"""Every combination through the whole path: trained, sealed, served over REST and gRPC, logged, explained, replayed.

A replay has to find both that prices say something else, and that they have changed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figure import Figure, Proof
from benchmarks.models.matrix.combinations import ANSWERS, combinations
from benchmarks.models.matrix.kinds import Combination
from benchmarks.models.matrix.project import write_data, write_module
from benchmarks.peers import peer_python

ROOT = Path(__file__).parents[3]
ALIKE = 1e-5  # relative
PEERS = {
    "torch": ("torch==2.13.0", "--constraint", f"{ROOT / 'constraints.txt'}", "--editable", f"{ROOT}[demo,sklearn,torch,pandas]"),
}


def matrix(wanted: Sequence[str] = ()) -> Proof:
    """wanted: parts of titles; without any, all"""
    with tempfile.TemporaryDirectory() as scratch:
        for series in (False, True):
            write_data(Path(scratch) / f"series {series}", series=series)
        passed = refused = 0
        for combination in combinations():
            if wanted and not any(part in combination.title for part in wanted):
                continue
            folder = Path(scratch) / "one"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(Path(scratch) / f"series {combination.kind.series}", folder)
            python = _python(combination)
            if python is None:
                yield f"# {combination.title}: {combination.peer} can't be installed here"
                continue
            wrong = _judged(combination, Noria(python, folder))
            yield f"# {combination.title}: {'; '.join(wrong) or combination.code or 'all the way'}"
            passed += not wrong and not combination.code
            refused += not wrong and bool(combination.code)
            if wrong:
                yield Figure(f"wrong with {combination.title}", len(wrong), "", "=", 0)
        if not wanted:
            yield Figure("combinations_all_the_way_or_refused_by_code", passed + refused, f"{passed} and {refused}", ">=", 40)


def _python(combination: Combination) -> Path | None:
    """The interpreter that a combination runs in."""
    return peer_python(f"noria-{combination.peer}", PEERS[combination.peer]) if combination.peer else Path(sys.executable)


@dataclass(frozen=True)
class Noria:
    """Noria's commands in a project, run by an interpreter."""

    python: Path
    folder: Path

    def __call__(self, *words: str) -> tuple[int, dict[str, Any]]:
        command = [str(self.python), "-m", "noria", *words, "--json"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=600)
        return done.returncode, json.loads(done.stdout or "{}")

    @contextmanager
    def served(self) -> Iterator[dict[str, Any]]:
        """Where the endpoint answers."""
        command = [str(self.python), "-m", "noria", "serve", "--port", "0", "--grpc-port", "0", "--json"]
        with subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            try:
                yield json.loads(process.stdout.readline())
            finally:
                process.terminate()
                process.communicate(timeout=60)


def _judged(combination: Combination, noria: Noria) -> list[str]:
    """What is wrong with a combination; nothing if all is as it must be."""
    write_module(combination, noria.folder, ANSWERS[combination.answer])
    noria("ingest")
    code, told = noria("train")
    if combination.code:
        found = told["error"]["code"] if code else "nothing"
        return [] if found == combination.code else [f"refused with {found}, not {combination.code}"]
    if code:
        return [f"{told['error']['code']}: {told['error']['what']}; {told['error']['where']}"]
    return [*_served(noria), *_replayed(noria)]


def _served(noria: Noria) -> list[str]:
    """Answers over REST and gRPC beside the framework's own, and what the log says of them."""
    told = json.loads((noria.folder / "expected.json").read_text())
    rows, own, wrong = told["rows"], np.array(told["answers"]).ravel(), []
    with noria.served() as where:
        rest = _asked(where, rows)
        binary = _asked_by_grpc(where, rows)
    for protocol, answers in (("REST", np.array(list(_flat(rest["predictions"])))), ("gRPC", binary)):
        apart = float(np.max(np.abs(answers - own) / np.maximum(1, np.abs(own))))
        if not apart <= ALIKE:
            wrong.append(f"{protocol} differs by {apart:.2g}")
    _, explained = noria("explain", rest["ids"][3])
    sent = {f["name"]: f["value"] for f in explained.get("features", [])}
    if not all(_equal(sent.get(name), value) for name, value in rows[3].items()):
        wrong.append(f"explain tells {sent} of {rows[3]}")
    return wrong


def _flat(answers: Any) -> Iterator[float]:
    """The numbers of answers, in the order of their labels."""
    if isinstance(answers, float | int):
        yield answers
        return
    for each in answers.values() if isinstance(answers, dict) else answers:
        yield from _flat(each)


def _equal(logged: Any, sent: Any) -> bool:
    if isinstance(sent, float) and isinstance(logged, float | int):
        return bool(abs(logged - sent) <= 1e-6 * max(1.0, abs(sent)))
    if isinstance(sent, str) and isinstance(logged, str) and "T" in sent:
        return datetime.fromisoformat(logged) == datetime.fromisoformat(sent)
    return bool(logged == sent)


def _replayed(noria: Noria) -> list[str]:
    """A replay finds that what a price says has turned round, and that prices have changed."""
    code, told = noria("replay")
    if code:
        return [f"replay: {told['error']['what']}"]
    kinds = {f["kind"] for f in told["findings"]}
    return [f"no finding of {kind} among {sorted(kinds)}" for kind in ("performance", "drift") if kind not in kinds]


def _asked(where: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    url = f"http://{where['host']}:{where['port']}/predict/bench"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps({"rows": rows}).encode()), timeout=60) as response:
        told: dict[str, Any] = json.loads(response.read())
    return told


def _asked_by_grpc(where: dict[str, Any], rows: list[dict[str, Any]]) -> np.ndarray:
    """Row by row, as lists of any length can't stand in one tensor."""
    import tritonclient.grpc as triton

    dtypes = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "UINT8": np.uint8, "BOOL": np.bool_, "BYTES": object}
    found = []
    with triton.InferenceServerClient(f"127.0.0.1:{where['grpc_port']}") as client:
        about = client.get_model_metadata("bench")
        declared, outputs = {each.name: each.datatype for each in about.inputs}, [each.name for each in about.outputs][:-1]  # the last: ids
        for row in rows:
            inputs = []
            for name, kind in declared.items():
                array = _tensor(row[name], dtypes[kind])
                inputs.append(triton.InferInput(name, list(array.shape), kind))
                inputs[-1].set_data_from_numpy(array)
            answer = client.infer("bench", inputs)
            found += [answer.as_numpy(name).ravel() for name in outputs]
    return np.concatenate(found)


def _tensor(value: Any, kind: Any) -> np.ndarray:
    """One row's value as a tensor of one row."""
    if kind is object:
        return np.array([[text.encode() for text in value]] if isinstance(value, list) else [value.encode()], object)
    return np.array([value], kind)
