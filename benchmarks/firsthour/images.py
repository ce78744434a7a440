"""The image of a model, without a container engine: its build context installed into a fresh environment, its entry command run as each
platform runs it, and asked as each platform asks."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure, Proof

ROOT = Path(__file__).parents[2]
SECONDS = 30.0
MEGABYTES = 450  # of installed packages, three quarters of them pyarrow, numpy and ONNX Runtime
ROW = {"a": 1.0, "b": 2.0}


def prove() -> Proof:
    """Contracts that are kept: of SageMaker, Vertex AI, Azure ML and KServe; and how large what is installed is."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        context = written(folder)
        yield Figure("image: sources of its Dockerfile that are missing", len(missing_sources(context)), "files", "=", 0)
        environment = folder / "venv"
        if not installed(environment, context):
            yield "image: not run, since its requirements can't be installed here"
            return
        size = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
        yield Figure("image: installed packages", round(size), "MB", "<=", MEGABYTES)
        kept = list(contracts(environment, context, folder))
        yield Figure("image: platforms whose contract it keeps", sum(right for _, right in kept), f"of {len(kept)}", "=", len(kept))
        yield from (f"image: the contract of {name} is broken" for name, right in kept if not right)


def written(folder: Path) -> Path:
    """The build context of a small ONNX model."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("ReduceSum", ["features"], ["prediction"], keepdims=0, axes=[1])]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", 2])]
    outputs = [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["rows"])]
    model = helper.make_model(helper.make_graph(nodes, "sum", inputs, outputs), opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    (folder / "sum.onnx").write_bytes(model.SerializeToString())
    (folder / "rows.csv").write_text("a,b\n" + "".join(f"{place},{place * 0.5}\n" for place in range(50)))
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [
        sys.executable,
        "-m",
        "noria",
        "build",
        "team/sum:1",
        "sum.onnx",
        "--task",
        "regression",
        "--sample",
        "rows.csv",
        "-o",
        "image",
    ]
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
    return folder / "image"


def missing_sources(context: Path) -> list[str]:
    """What its Dockerfile copies from the context that is not there."""
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", (context / "Dockerfile").read_text(), re.MULTILINE)
    return [source for source in copied if not (context / source).exists()]


def installed(environment: Path, context: Path) -> bool:
    """Install what the Dockerfile's first stage installs, by the same commands."""
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--no-cache-dir", "--no-deps"]
    wheel = next((context / "wheels").glob("*.whl"))
    for what in (["-r", str(context / "requirements.txt")], [str(wheel)]):
        if subprocess.run([*pip, *what], capture_output=True, check=False, timeout=900).returncode != 0:
            return False
    subprocess.run([str(environment / "bin" / "pip"), "uninstall", "--quiet", "-y", "pip", "setuptools"], capture_output=True, check=False)
    return True


def contracts(environment: Path, context: Path, folder: Path) -> Iterator[tuple[str, bool]]:
    """Each platform's name, and whether the container answers as it asks."""
    one, tensor = {"instances": [ROW]}, {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}
    vertex = {"AIP_MODE": "PREDICTION", "AIP_HEALTH_ROUTE": "/alive", "AIP_PREDICT_ROUTE": "/answer"}
    asked = (
        ("SageMaker", {}, "/ping", "/invocations", one),
        ("Vertex AI", vertex, "/alive", "/answer", one),
        ("Azure ML", {"AZUREML_MODEL_DIR": "/none"}, "/", "/score", one),
        ("KServe", {}, "/v2/health/ready", "/v2/models/sum/infer", tensor),
    )
    for name, environ, health, predict, body in asked:
        port = _free_port()
        variables = {**environ, ("AIP_HTTP_PORT" if name == "Vertex AI" else "NORIA_SERVING_PORT"): str(port)}
        state = folder / f"state-{port}"
        yield name, _answers(environment, context, state, variables, port, health, predict, body)


def _answers(
    environment: Path, context: Path, state: Path, variables: dict[str, str], port: int, health: str, predict: str, body: object
) -> bool:
    state.mkdir()
    own = {key: value.replace("/opt/noria/model", str(context / "model")) for key, value in _environment(context).items()}
    own |= {"NORIA_PROJECT": str(state), "PATH": f"{environment / 'bin'}:/usr/bin:/bin", "HOME": str(state), **variables}
    entry = json.loads(re.findall(r"^ENTRYPOINT (.+)$", (context / "Dockerfile").read_text(), re.MULTILINE)[0])
    server = subprocess.Popen([str(environment / "bin" / entry[0]), "serve"], cwd=state, env=own, stdout=subprocess.DEVNULL)
    try:
        if not _ready(port, health):
            return False
        status, found = _ask(port, "POST", predict, json.dumps(body))
        right = found["outputs"][0]["data"] if "outputs" in found else found.get("predictions")
        return status == 200 and right == [3.0]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(SECONDS)
        shutil.rmtree(state, ignore_errors=True)


def _environment(context: Path) -> dict[str, str]:
    """The variables that the Dockerfile sets."""
    text = (context / "Dockerfile").read_text().split("\nENV ")[1].split("\nUSER ")[0].replace("\\\n", " ")
    return {key: value.strip('"') for key, value in (pair.split("=", 1) for pair in text.split())}


def _ready(port: int, path: str) -> bool:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            if _ask(port, "GET", path)[0] == 200:
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def _ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method, path, body, {"content-type": "application/json"} if body else {})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text.startswith(b"{") else {}
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
