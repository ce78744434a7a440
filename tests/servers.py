"""Small bundles, and real servers on them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import TensorProto, helper

from noria.core.files import LocalFiles
from noria.core.signature import Signature
from noria.models.bundle import CARD_FILE, MODEL_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.lineage import LabelOf, Lineage
from noria.models.runtimes.onnx import OnnxModel
from noria.serving.log.segments import read_segment

HERE = Path(__file__).parent
FEATURES = ("a", "b")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def onnx_model(plus: float = 0.0, *, nodes: list[Any] | None = None, width: int = len(FEATURES)) -> bytes:
    """A model that answers its first feature, plus a constant (or what `nodes` make of input `features` as output `scores`)."""
    constants = [helper.make_tensor("first", TensorProto.INT64, [1], [0]), helper.make_tensor("plus", TensorProto.FLOAT, [1], [plus])]
    nodes = nodes or [
        helper.make_node("Gather", ["features", "first"], ["column"], axis=1),
        helper.make_node("Add", ["column", "plus"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, None])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return bytes(model.SerializeToString())


def make_bundle(
    root: Path,
    plus: float = 0.0,
    *,
    model: bytes | None = None,
    predictions: list[float] | None = None,
    profile: bytes = b"{}",
    rows: Sequence[Sequence[float]] = ((1.0, 2.0), (-3.5, 0.25)),
    features: Sequence[str] = FEATURES,
    lineage: Lineage | None = None,
    task: dict[str, Any] | None = None,
) -> Bundle:
    """A sealed bundle of `onnx_model(plus)`, whose sample is answered rightly unless told otherwise."""
    model = onnx_model(plus) if model is None else model
    if predictions is None:
        predictions = OnnxModel(model).predict(np.array(rows, np.float32)).tolist()
    return seal(root, model, Signature.of_numbers(features), (rows, [[p] for p in predictions]), str(plus), profile, lineage, task)


def lineage_of(**changes: Any) -> Lineage:
    """A lineage of nothing in particular."""
    usual = {"tables": (), "label": LabelOf("t", "c"), "start": LONG_AGO, "as_of": LONG_AGO, "training_set": "", "rows": {}}
    return Lineage(**{**usual, "trainer_code": "", "parameters": {}, **changes})


def seal(
    root: Path,
    model: bytes,
    signature: Signature,
    sample: tuple[Any, Any],
    run: str = "run",
    profile: bytes = b"{}",
    lineage: Lineage | None = None,
    task: dict[str, Any] | None = None,
    more: Mapping[str, bytes] | None = None,
) -> Bundle:
    """A bundle of any model. sample: what it is asked, and its answers; more: files of it beside the usual ones"""
    inputs, outputs = sample
    contents = {
        MODEL_FILE: model,
        SAMPLE_FILE: msgspec.json.encode({"inputs": inputs, "outputs": outputs}),
        PROFILE_FILE: profile,
        CARD_FILE: b"",
        **(more or {}),
    }
    manifest = Manifest(
        name="small",
        runtime="onnx",
        signature=signature,
        task=task or {},
        feature_set="small",
        definition_hash="",
        run=run,
        lineage=lineage or lineage_of(),
        metrics={},
        environment={},
        files={},
    )
    root.mkdir(parents=True, exist_ok=True)
    return write_bundle(root, manifest, contents, LocalFiles())


class Standalone:
    """A real server in processes of its own."""

    def __init__(
        self,
        folder: Path,
        champion: Path,
        shadow: Path | None = None,
        order: dict[str, Any] | None = None,
        environ: dict[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """`order`: more of the order to serve; `environ`: variables of the server's environment."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.aim(champion, shadow, **(order or {}))
        command = [sys.executable, str(HERE / "standalone.py"), str(folder / "targets.json"), *(f"{k}={v}" for k, v in settings.items())]
        environment = {**os.environ, **(environ or {})}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        self.where = json.loads(line)
        self.admin_port = int(self.where["admin_url"].rsplit(":", 1)[1])

    def aim(self, champion: Path, shadow: Path | None = None, **order: Any) -> None:
        """Say what should be served; `others` are bundles for more endpoints, by name."""
        others: dict[str, Path] = order.pop("others", {})
        trust = {"trust": order["trust"]} if "trust" in order else {}
        target = {
            "type": "serve",
            "endpoint": "small",
            "champion": str(champion),
            "shadow": shadow and str(shadow),
            "log": str(self.folder / "log"),
            **order,
        }
        more = [
            {"type": "serve", "endpoint": name, "champion": str(path), "shadow": None, "log": str(self.folder / f"log-{name}"), **trust}
            for name, path in others.items()
        ]
        partial = self.folder / "targets.partial"
        partial.write_text(json.dumps([target, *more]))
        partial.rename(self.folder / "targets.json")

    def ask(self, rows: Any = ((1.0, 2.0),), keys: list[str] | None = None) -> tuple[int, Any]:
        body: dict[str, Any] = {"rows": [dict(zip(FEATURES, row, strict=True)) for row in rows]}
        if keys is not None:
            body["keys"] = keys
        return self.http("POST", "/predict/small", json.dumps(body).encode())

    def http(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return asked(self.where["port"], method, path, body, headers)

    def admin(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return asked(self.admin_port, "GET", path, headers=headers)

    def workers(self) -> list[int]:
        """Process ids."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(word) for word in found.stdout.split()]

    def logged(self) -> dict[str, tuple[str, str, float]]:
        """Prediction id → variant, bundle and prediction, as read back from the log."""
        found = {}
        for path in sorted((self.folder / "log").glob("*/*.seg")):
            for rows in read_segment(path, LocalFiles()):
                found |= dict(zip(rows.ids, zip(rows.variant, rows.bundle, rows.prediction.tolist(), strict=True), strict=True))
        return found

    def stop(self) -> list[dict[str, Any]]:
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, err
        balances: list[dict[str, Any]] = json.loads(out)
        return balances

    def kill(self) -> None:
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        sys.stderr.write(self.process.communicate()[1])  # shown where a test fails


def asked(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        data = response.read()
    finally:
        connection.close()
    return response.status, json.loads(data) if response.headers.get_content_type() == "application/json" else data.decode()


def soon(what: Callable[[], Any], seconds: float = 5.0) -> float:
    """Wait until it is true; returns how long that took."""
    start = time.monotonic()
    while not what():
        took = time.monotonic() - start
        assert took < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - start
