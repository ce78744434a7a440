"""What chat completions, search and feedback cost beside plain requests to the same endpoint: python -m benchmarks.llm.serving

The model answers at once, with all outputs of the task `generation` and eight chunks among them: what is measured is what serving adds.
Server and model share one core, the client has the other.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.figure import Figure, Proof
from benchmarks.serving.model import LINEAGE
from benchmarks.serving.prove import ours
from noria.core.files import LocalFiles
from noria.core.signature import Signature
from noria.evaluation.generation import INPUTS, Generation
from noria.models.bundle import CARD_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.runtimes.python_spec import PYTHON_FILE, SOURCE_FOLDER, PythonSpec, this_python

SIGNATURE = Signature(INPUTS, Generation().outputs)
MODEL = """
CHUNKS = [f"chunk {number}" for number in range(8)]


class Model:
    def stream(self, row):
        for number in range(int(row["question"])):
            yield "word "
        yield {
            "cited": CHUNKS[:1], "found": CHUNKS, "found_texts": ["text " * 100] * 8, "found_places": CHUNKS, "found_scores": [0.5] * 8,
            "confidence": 0.5, "finish": "answered", "prompt_tokens": 7, "completion_tokens": 3, "cost": None, "decisions": None,
            "similarity": 0.5,
        }


def load(folder):
    return Model()
"""
REQUESTS, PARTS = 300, 4_000
BEFORE = 5_000  # answers that lie in the log in which feedback is looked for


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundle = make_bundle(folder / "bundles")
        with ours(folder, bundle.path, "trust=yes", "model_seconds=30") as where:
            client = Client(where["port"])
            row = {**dict.fromkeys(SIGNATURE.names), "question": "3"}
            chat = {"model": "bench", "messages": [{"role": "user", "content": "3"}]}
            asked: dict[str, Callable[[], Any]] = {
                "plain": lambda: client.ask("/predict/bench", {"rows": [row]}),
                "chat": lambda: client.ask("/v1/chat/completions", chat),
                "search": lambda: client.ask("/search", {"question": "0"}),
            }
            p50 = interleaved(asked)
            for name, seconds in p50.items():
                yield f"# {name}: p50 {1e3 * seconds:.2f} ms"
            yield Figure("chat_beside_plain", p50["chat"] / p50["plain"], "of a plain request's p50, whole answers", "<=", 1.15)
            rates = {form: client.rate(form) for form in ("plain", "chat")}
            yield f"# parts a second: {rates['plain']:,.0f} plain, {rates['chat']:,.0f} as chunks"
            yield Figure("chat_chunks_a_second", rates["chat"], "chunks/s on the core of server and model", ">=", 5_000)
            for _ in range(BEFORE):
                client.ask("/search", {"question": "0"})
            newest = client.ask("/v1/chat/completions", chat)["id"]
            took = [timed(lambda: client.ask("/v1/feedback", {"prediction_id": newest, "helpful": True})) for _ in range(50)]
            size = sum(path.stat().st_size for path in folder.rglob("*.seg"))
            yield f"# feedback on an answer in a log of {size / 1e6:.1f} MB"
            yield Figure("feedback_p50", 1e3 * float(np.median(took)), "ms, found and on disk", "<=", 500.0)


def make_bundle(root: Path) -> Bundle:
    chunks = [f"chunk {number}" for number in range(8)]
    answer = ["word ", chunks[:1], chunks, ["text " * 100] * 8, chunks, [0.5] * 8, 0.5, "answered", 7, 3, None, None]
    contents = {
        PYTHON_FILE: msgspec.json.encode(PythonSpec("mine:load", this_python(), {})),
        f"{SOURCE_FOLDER}/mine.py": MODEL.encode(),
        SAMPLE_FILE: msgspec.json.encode({"inputs": [["1", None, None, None, None, None]], "outputs": [answer]}),
        PROFILE_FILE: b"{}",
        CARD_FILE: b"",
    }
    about = {"feature_set": "texts", "definition_hash": "", "run": "run", "lineage": LINEAGE, "metrics": {}, "environment": {}, "files": {}}
    task = {"name": Generation.name}
    root.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(name="app", runtime="python", signature=SIGNATURE, task=task, trust=True, **about)  # type: ignore[arg-type]
    return write_bundle(root, manifest, contents, LocalFiles())


class Client:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, path: str, body: Any) -> Any:
        self._connection.request("POST", path, json.dumps(body).encode())
        response = self._connection.getresponse()
        data = response.read()
        assert response.status == 200, data[:500]
        return json.loads(data)

    def rate(self, form: str) -> float:
        """Parts a second of a model that makes them at once; the median of three."""
        plain = {"rows": [{**dict.fromkeys(SIGNATURE.names), "question": str(PARTS)}], "stream": True}
        chat = {"model": "bench", "messages": [{"role": "user", "content": str(PARTS)}], "stream": True}
        path, body = ("/predict/bench", plain) if form == "plain" else ("/v1/chat/completions", chat)
        found = []
        for _ in range(3):
            start = time.perf_counter()
            self._connection.request("POST", path, json.dumps(body).encode())
            data = self._connection.getresponse().read()
            found.append(PARTS / (time.perf_counter() - start))
            assert data.count(b'"word "') == PARTS
        return sorted(found)[1]


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(asked: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The median seconds of each kind of request; one of each in turn, so that the machine's moods are shared."""
    took: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(REQUESTS):
        for name, work in asked.items():
            took[name].append(timed(work))
    return {name: float(np.median(seconds)) for name, seconds in took.items()}


if __name__ == "__main__":
    for line in prove():
        print(line, flush=True)
