"""A model file behind a real server without a project: its protocols, its log, its figures, and its second start."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper

import noria as nr
from noria.cli.exits import ended
from noria.cli.main import command
from noria.core.clock import since_epoch
from noria.core.files import LocalFiles
from noria.models.bundle import open_bundle
from noria.serving.image.pins import pinned, requirements_text
from noria.serving.log.as_table import log_as_table
from noria.serving.log.predictions import Predictions
from noria.serving.log.segments import PredictionLog
from servers import asked, soon


class Folder:
    """A folder of a model file `sums.onnx`, which answers with a + b, and a sample of its rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        nodes = [helper.make_node("MatMul", ["features", "ones"], ["prediction"])]
        sizes = (("features", 2), ("prediction", 1))
        side = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, wide])] for name, wide in sizes]
        made = helper.make_graph(nodes, "sums", *side, [helper.make_tensor("ones", TensorProto.FLOAT, [2, 1], [1.0, 1.0])])
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
        (folder / "sums.onnx").write_bytes(model.SerializeToString())
        (folder / "rows.csv").write_text("a,b\n" + "".join(f"{place},{place / 4}\n" for place in range(100)))

    def noria(self, *arguments: str, code: int = 0) -> Any:
        """What a command says, run in this process: importing what it needs takes longer than it does."""
        where = [] if "--workspace" in arguments or arguments[0] == "monitor" else ["--project", str(self.folder)]
        written = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
            assert ended(command, [*arguments, *where]) == code, written.getvalue()
        return json.loads(written.getvalue()) if "--json" in arguments else written.getvalue()

    def serve(self, *arguments: str) -> None:
        words = [sys.executable, "-m", "noria", "serve", *arguments, "--port", "0", "--grpc-port", "0", "--json"]
        self.server = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None
        self.where = json.loads(self.server.stdout.readline())

    def ask(self, method: str, path: str, body: Any = None, *, admin: bool = False) -> tuple[int, Any]:
        port = int(self.where["admin_url"].rpartition(":")[2]) if admin else self.where["port"]
        return asked(port, method, path, None if body is None else json.dumps(body).encode())

    def stop(self) -> None:
        self.server.send_signal(signal.SIGTERM)
        self.server.communicate(timeout=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    found = Folder(tmp_path_factory.mktemp("files"))
    found.serve("sums.onnx", "--task", "regression", "--sample", "rows.csv")
    yield found
    if found.server.poll() is None:
        found.stop()


def test_it_is_served_as_a_projects_endpoint_is(folder: Folder) -> None:
    status, found = folder.ask("POST", "/predict/sums", {"rows": [{"a": 1.5, "b": 2.0}] * 30})
    assert (status, found["predictions"]) == (200, [3.5] * 30)
    tensor = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    assert folder.ask("POST", "/v2/models/sums/infer", tensor)[1]["outputs"][0]["data"] == [3.0]
    assert folder.ask("POST", "/predict/sums", {"rows": [{"a": 1.5}]})[0] == 400
    assert "sums" in json.dumps(folder.ask("GET", "/openapi.json")[1])
    explained = folder.noria("explain", found["ids"][0], "--json")
    assert explained["prediction"]["value"] == 3.5
    assert explained["file"]["name"] == "sums.onnx"
    assert [(each["name"], each["value"]) for each in explained["features"]] == [("a", 1.5), ("b", 2.0)]
    assert "sums.onnx, an ONNX graph" in folder.noria("explain", found["ids"][0])
    assert folder.noria("replay-request", found["ids"][0], "--json")["same"]
    assert "/predict/sums" in folder.noria("client")


def test_its_inputs_are_compared_with_the_sample(folder: Folder) -> None:
    assert folder.ask("POST", "/predict/sums", {"rows": [{"a": 5_000.0, "b": 2.0}] * 200})[0] == 200
    assert folder.ask("POST", "/predict/sums", {"rows": [{"a": None, "b": 2.0}]})[0] == 500  # a sum with an unknown number is unknown
    found = folder.noria("status", "--json")
    (endpoint,) = found["endpoints"]
    assert endpoint["inputs"]["a"]["outside_share"] > 0.5
    assert found["health"] == {"health": "unhealthy", "cause": endpoint["health"]["cause"]}
    assert "a: " in endpoint["health"]["cause"]
    assert "are outside of what the sample has" in folder.noria("status")
    shifted: Any = None

    def told() -> bool:
        nonlocal shifted
        shifted = re.search(r'noria_feature_outside\{.*feature="a".*\} (\S+)', str(folder.ask("GET", "/metrics", admin=True)[1]))
        return shifted is not None and float(shifted[1]) > 0

    soon(told, 20)


def test_the_second_start_converts_nothing_and_logs_beside_the_first(folder: Folder) -> None:
    bundles = folder.folder / ".noria" / "objects" / "bundles"
    before = {path: path.stat().st_mtime_ns for path in bundles.rglob("*")}
    bundle, _ = folder.where["endpoints"]["sums"], folder.stop()
    folder.serve("sums.onnx", "--task", "regression", "--sample", "rows.csv")
    assert folder.where["endpoints"]["sums"] == bundle
    assert {path: path.stat().st_mtime_ns for path in bundles.rglob("*")} == before
    _, found = folder.ask("POST", "/predict/sums", {"rows": [{"a": 1.0, "b": 1.0}]})
    folder.stop()
    assert folder.noria("explain", found["ids"][0], "--json")["prediction"]["value"] == 2.0
    assert "no server is running" in folder.noria("top", code=3)
    assert folder.noria("status", "--json")["next"] == "noria serve sums"
    (folder.folder / "sums.onnx").rename(folder.folder / "moved.onnx")
    folder.serve("sums")  # what it became is here, also where the file is not
    assert folder.where["endpoints"]["sums"] == bundle
    folder.stop()
    (folder.folder / "moved.onnx").rename(folder.folder / "sums.onnx")


def test_trust_is_not_kept_and_options_belong_to_model_files(folder: Folder) -> None:
    source = "inputs = {'a': 'float32'}\n\nclass Model:\n    def predict(self, columns):\n        return columns['a']\n"
    (folder.folder / "own.py").write_text(source)
    assert folder.noria("serve", "own.py", "--json", code=2)["error"]["code"] == "NR-573"
    folder.noria("build", "own:1", "own.py", "--trust")
    assert "NR-573" in folder.noria("serve", "own.py", code=2)
    assert "NR-573" in folder.noria("serve", "own", code=2)
    assert "NR-578" in folder.noria("serve", "sums", "--task", "binary", code=2)
    record = folder.folder / ".noria" / "model-files.json"
    before = record.read_bytes()
    record.write_bytes(before[:20])
    assert "NR-571" in folder.noria("status", code=2)
    record.write_bytes(before)
    (folder.folder / "project").mkdir()
    (folder.folder / "project" / "noria.toml").write_text('[project]\nname = "p"\nmodule = "p"\n')
    assert "NR-577" in folder.noria("serve", "sums.onnx", "--workspace", "project", code=2)


# --- images --------------------------------------------------------------------------------------------------------------


def test_its_log_says_what_was_answered(tmp_path: Path) -> None:
    found = Folder(tmp_path)
    found.serve("sums.onnx", "--task", "regression")
    try:
        ids = found.ask("POST", "/predict/sums", {"rows": [{"features": [place, 1]} for place in range(50)]})[1]["ids"]
        assert "monitor predictions .noria/log/sums --time at --prediction prediction" in found.noria("status")
    finally:
        found.stop()
    table = log_as_table(tmp_path / ".noria" / "log" / "sums", LocalFiles())
    assert table.column_names == ["at", "id", "model", "features_0", "features_1", "prediction"]
    assert sorted(table["id"].to_pylist()) == sorted(ids)
    assert sorted(table["prediction"].to_pylist()) == [place + 1.0 for place in range(50)]


def test_a_log_is_judged_as_the_predictions_of_any_model_are(tmp_path: Path) -> None:
    rng, folder, start = np.random.default_rng(0), tmp_path / "log", datetime(2026, 3, 1, tzinfo=UTC)
    log = PredictionLog(folder, "one", LocalFiles())
    for day in range(30):
        at = np.full(50, since_epoch(start + timedelta(days=day)), np.int64) + np.arange(50) * 1_000_000_000
        values = rng.normal(size=(50, 2)).astype(np.float32) + np.array([0, 2 * (day >= 24)], np.float32)
        variant = ["champion"] * 49 + ["challenger"]  # which nobody was sent
        ids = [f"{day}-{place}" for place in range(50)]
        answers = values.sum(axis=1).astype(np.float64)
        log.append(
            Predictions.of_block(ids, [None] * 50, variant, ["b" * 64] * 50, at, np.ones(50, np.int32), values, answers, ("a", "at"))
        )
    log.sync()
    (tmp_path / "outcomes.csv").write_text("id,sum\n" + "".join(f"{day}-{place},{place % 7}\n" for day in range(30) for place in range(49)))
    outcomes = pd.read_csv(tmp_path / "outcomes.csv")
    judged = nr.judge_predictions(folder, time="at", prediction="prediction", outcomes=outcomes, on="id", outcome="sum")
    (model,) = judged.to_dict()["models"]
    assert (model["rows"], model["outcomes"]["known"]) == (30 * 49, 30 * 49)
    drift = [f for f in judged.wrong_now if f.kind == "drift"]
    assert drift[0].evidence["columns"][0] in ("at (input)", "prediction")
    assert drift[0].since == start + timedelta(days=24)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build context of an image of `sums.onnx`."""
    found = Folder(tmp_path_factory.mktemp("image"))
    told = found.noria("build", "team/sums:1", "sums.onnx", "--task", "regression", "--out", "context", "--json")
    assert told["build"] == "docker build -t team/sums:1 context"
    assert "NR-579" in found.noria("build", "Bad Name", "sums.onnx", code=2)
    assert "NR-579" in found.noria("build", "team/sums:1", "sums.onnx", "--out", ".", code=2)
    found.noria("build", "team/sums:2", "sums.onnx", "--task", "regression", "--out", "context")  # over one of its own
    return found.folder / "context"


INSTRUCTIONS = {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def instructions(context: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, lines that go on joined."""
    text = (context / "Dockerfile").read_text().replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_context_holds_all_that_its_dockerfile_takes(context: Path) -> None:
    found = instructions(context)
    assert {word for word, _ in found} <= INSTRUCTIONS
    sources = [rest.split()[0] for word, rest in found if word == "COPY" and not rest.startswith("--from")]
    assert sources
    assert all((context / source).exists() for source in sources)
    assert len([word for word, _ in found if word == "FROM"]) == 2
    assert ("USER", "10001") in found
    for word, rest in found:
        if word in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(rest), list)  # no shell in between, which would keep signals to itself
    lines = (context / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==\S+", line) for line in lines)
    assert not {"duckdb", "deltalake", "mlflow-skinny", "sqlalchemy"} & {line.partition("==")[0] for line in lines}
    (bundle,) = (context / "model").iterdir()
    opened = open_bundle(bundle, LocalFiles())
    assert requirements_text(pinned(opened)).splitlines() == lines


def test_its_entry_command_serves_by_a_platforms_contract(context: Path, tmp_path: Path) -> None:
    """From the context alone: Noria is the wheel's, and the bundle the one that was copied."""
    (wheel,) = (context / "wheels").iterdir()
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    environ = dict(instructions(context))["ENV"].split()
    told = {
        name: value.strip('"').replace("/opt/noria/model", str(context / "model")) for name, value in (e.split("=", 1) for e in environ)
    }
    port, vertex = free_port(), {"AIP_MODE": "PREDICTION", "AIP_HEALTH_ROUTE": "/alive", "AIP_PREDICT_ROUTE": "/answer"}
    own = {**os.environ, **told, **vertex, "PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "site")}
    own |= {"NORIA_PROJECT": str(tmp_path), "AIP_HTTP_PORT": str(port), "NORIA_JSON": "1"}
    entry = json.loads(dict(instructions(context))["ENTRYPOINT"]) + json.loads(dict(instructions(context))["CMD"])
    assert entry == ["noria", "serve"]  # SageMaker appends `serve` to the entry point itself
    server = subprocess.Popen([sys.executable, "-m", *entry], cwd=tmp_path, env=own, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())["port"] == port
        assert asked(port, "GET", "/alive")[0] == 200
        instances = json.dumps({"instances": [{"features": [1.0, 2.0]}]}).encode()
        assert asked(port, "POST", "/answer", instances)[1]["predictions"] == [3.0]
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=20)


def free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
