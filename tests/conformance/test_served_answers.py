"""Tasks × runtimes × protocols: whatever a model answers with and whatever runs it, every protocol gives the same answer, which is logged.

One server has an endpoint for each task and runtime. Models are made for a task's outputs alone: scores are a function of two features, so
that what a protocol gives can be held against what the model says of the same rows here.
"""

from __future__ import annotations

import http.client
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2

import noria as nr
from documented import check_document
from noria.core.files import LocalFiles
from noria.core.signature import Field, Signature
from noria.data.rows import Rows, width
from noria.evaluation.task import Task
from noria.models.bundle import MODEL_FILE, Bundle
from noria.models.export import Exported
from noria.models.runtimes import open_runtime
from noria.models.runtimes.port import RuntimeOptions
from noria.serving.log.segments import read_log
from noria.serving.protocol.arrow import STREAM
from python_bundles import python_bundle, seal_exported
from servers import FEATURES, Standalone

TASKS: dict[str, Task] = {
    "binary": nr.Binary(),
    "regression": nr.Regression(unit="min"),
    "multiclass": nr.Multiclass(("kept", "exchanged", "lost")),
    "multiclass of numbers": nr.Multiclass((3, 5)),
    "multilabel": nr.Multilabel(("torn", "late", "wrong size")),
    "several numbers": nr.MultiOutput({"minutes": nr.Regression(), "days": nr.Regression()}),
    "quantiles": nr.Regression(quantiles=(0.1, 0.5, 0.9)),
    "ranking": nr.Ranking(group="query"),
    "forecast": nr.Forecast(horizons=("1h", "24h")),
    "forecast of quantiles": nr.Forecast(horizons=("1h", "24h"), quantiles=(0.1, 0.9)),
    "several kinds": nr.MultiOutput({"minutes": nr.Regression(), "lost": nr.Binary(), "fate": nr.Multiclass(("kept", "lost"))}),
}
ROWS = np.array([[1.0, 2.0], [-3.5, 0.25], [0.0, -1.0]], np.float32)
FOREVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
TRUST = RuntimeOptions(trust=True, locked=False)

# one array for each output of the signature, from weights and kinds that lie beside it
PYTHON = """
import json
import numpy as np


class Model:
    def __init__(self, folder):
        self.outputs = json.loads((folder / "outputs.json").read_text())

    def predict(self, columns):
        found = {}
        for name, kind, weights in self.outputs:
            linear = columns.block.astype(np.float64) @ np.array(weights)
            if kind == "chances":
                linear = np.exp(linear) / np.exp(linear).sum(axis=1, keepdims=True)
            if kind == "chance":
                linear = 1 / (1 + np.exp(-linear))
            found[name] = linear if kind == "chances" or linear.shape[1] > 1 else linear[:, 0]
        return found


def load(folder):
    return Model(folder)
"""


@dataclass(frozen=True)
class Served:
    name: str
    bundle: Bundle
    expected: Rows


def weights_of(field: Field, place: int) -> list[list[float]]:
    return np.random.default_rng(place).normal(0, 1, (len(FEATURES), width(field))).round(3).tolist()


def kinds_of(task: Task) -> list[str]:
    """Of each output, what its numbers are."""
    tasks = list(task.outputs_of.values()) if isinstance(task, nr.MultiOutput) else [task] * len(task.outputs)
    return ["chances" if each.exclusive else "chance" if each.bounds == (0.0, 1.0) else "number" for each in tasks]


def onnx_bundle(root: Path, signature: Signature, kinds: list[str]) -> Bundle:
    nodes, constants, outputs = [], [], []
    for place, (field, kind) in enumerate(zip(signature.outputs, kinds, strict=True)):
        flat = np.ravel(weights_of(field, place)).tolist()
        constants.append(helper.make_tensor(f"w{place}", TensorProto.FLOAT, [len(FEATURES), width(field)], flat))
        nodes.append(helper.make_node("MatMul", ["features", f"w{place}"], [f"linear{place}"]))
        operator = {"chances": "Softmax", "chance": "Sigmoid", "number": "Identity"}[kind]
        nodes.append(helper.make_node(operator, [f"linear{place}"], [field.name]))
        outputs.append(helper.make_tensor_value_info(field.name, TensorProto.FLOAT, [None, width(field)]))
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FEATURES)])]
    model = helper.make_model(
        helper.make_graph(nodes, "m", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 15)], ir_version=8
    )
    exported = Exported("onnx", {MODEL_FILE: model.SerializeToString()})
    return seal_exported(root, exported, signature, sample_of(signature, exported))


def sample_of(signature: Signature, exported: Exported) -> tuple[Any, Any]:
    with exported.opened(signature, TRUST) as model:
        return ROWS.tolist(), [list(row) for row in model.answer(Rows.dense(signature.inputs, ROWS)).values()]


def made(root: Path, task: Task, runtime: str) -> Bundle:
    signature = Signature(tuple(Field(name) for name in FEATURES), task.outputs)
    kinds = kinds_of(task)
    if runtime == "onnx":
        return onnx_bundle(root, signature, kinds)
    told = [[field.name, kind, weights_of(field, i)] for i, (field, kind) in enumerate(zip(signature.outputs, kinds, strict=True))]
    files = {"outputs.json": json.dumps(told).encode()}
    unproven = python_bundle(root / "unproven", PYTHON, signature=signature, files=files)
    model = open_runtime(unproven, TRUST)
    answers = [list(row) for row in model.answer(Rows.dense(signature.inputs, ROWS)).values()]
    model.close()
    return python_bundle(root, PYTHON, signature=signature, files=files, sample=(ROWS.tolist(), answers))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Standalone, dict[str, Served]]]:
    folder, served = tmp_path_factory.mktemp("answers"), {}
    for runtime in ("onnx", "python"):
        for name, task in TASKS.items():
            bundle = made(folder / "bundles", task, runtime)
            model = open_runtime(bundle, TRUST)
            endpoint = f"{name.replace(' ', '-')}-{runtime}"
            served[f"{name}, {runtime}"] = Served(endpoint, bundle, model.answer(Rows.dense(bundle.signature.inputs, ROWS)))
            model.close()
    first, *others = served.values()
    running = Standalone(
        folder / "server",
        first.bundle.path,
        order={"endpoint": first.name, "trust": True, "others": {each.name: each.bundle.path for each in others}},
        grpc_port=0,
    )
    yield running, served
    running.kill()


# --- protocols: the answers to ROWS, as rows of the outputs, and the predictions' ids -------------------------------------

Answered = tuple[Rows, list[str]]


def plain(server: Standalone, served: Served) -> Answered:
    body = json.dumps({"rows": [dict(zip(FEATURES, row, strict=True)) for row in ROWS.tolist()]}).encode()
    status, found = server.http("POST", f"/predict/{served.name}", body)
    assert status == 200, found
    return Rows.of_listed(served.bundle.signature.outputs, found["predictions"]), found["ids"]


def v2(server: Standalone, served: Served) -> Answered:
    tensors = [{"name": n, "datatype": "FP32", "shape": [3], "data": ROWS[:, i].tolist()} for i, n in enumerate(FEATURES)]
    status, found = server.http("POST", f"/v2/models/{served.name}/infer", json.dumps({"inputs": tensors}).encode())
    assert status == 200, found
    told = {each["name"]: each for each in found["outputs"]}
    return _of_tensors(served, {n: np.array(t["data"]).reshape(t["shape"]) for n, t in told.items()})


def v2_binary(server: Standalone, served: Served) -> Answered:
    data = ROWS.tobytes()
    tensor = {"name": "features", "datatype": "FP32", "shape": [3, 2], "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    body, answered = _posted(server, f"/v2/models/{served.name}/infer", head + data, headers)
    length = int(answered["inference-header-content-length"])
    found, rest, told = json.loads(body[:length]), body[length:], {}
    for each in found["outputs"]:
        size = each["parameters"]["binary_data_size"]
        part, rest = rest[:size], rest[size:]
        told[each["name"]] = _texts(part) if each["datatype"] == "BYTES" else np.frombuffer(part, "<f8").reshape(each["shape"])
    assert not rest
    return _of_tensors(served, told)


def arrow(server: Standalone, served: Served) -> Answered:
    sink = pa.BufferOutputStream()
    table = pa.table({name: ROWS[:, i] for i, name in enumerate(FEATURES)})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    found, _ = _posted(server, f"/predict/{served.name}", sink.getvalue().to_pybytes(), {"content-type": STREAM, "accept": STREAM})
    answered = pa.ipc.open_stream(found).read_all()
    listed = answered.drop_columns(["id"]).to_pylist()
    outputs = served.bundle.signature.outputs
    values = listed if len(outputs) > 1 else [each[outputs[0].name] for each in listed]
    return Rows.of_listed(outputs, values), answered.column("id").to_pylist()


def grpc_raw(server: Standalone, served: Served) -> Answered:
    with triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}") as client:
        asked = triton.InferInput("features", list(ROWS.shape), "FP32")
        asked.set_data_from_numpy(ROWS)
        found = client.infer(served.name, [asked])
        names = [each.name for each in found.get_response().outputs]
        return _of_tensors(served, {name: found.as_numpy(name) for name in names})


def grpc_typed(server: Standalone, served: Served) -> Answered:
    request = service_pb2.ModelInferRequest(model_name=served.name)
    for i, name in enumerate(FEATURES):
        tensor = request.inputs.add(name=name, datatype="FP32", shape=[3])
        tensor.contents.fp32_contents.extend(ROWS[:, i].tolist())
    with grpc.insecure_channel(f"127.0.0.1:{server.where['grpc_port']}") as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )
        found = call(request, timeout=10)
    told = {}
    for each in found.outputs:
        data = each.contents.bytes_contents if each.datatype == "BYTES" else each.contents.fp64_contents
        told[each.name] = np.array(list(data)).reshape(list(each.shape))
    return _of_tensors(served, told)


def events(server: Standalone, served: Served) -> Answered:
    body = json.dumps({"rows": [dict(zip(FEATURES, row, strict=True)) for row in ROWS.tolist()]}).encode()
    status, found = server.http("POST", f"/predict/{served.name}/stream", body)
    assert status == 200, found
    text = found if isinstance(found, str) else found.decode()
    parts = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]
    answers = [part for part in parts if "predictions" in part]
    values = [value for part in answers for value in part["predictions"]]
    return Rows.of_listed(served.bundle.signature.outputs, values), [each for part in answers for each in part["ids"]]


def _posted(server: Standalone, path: str, body: bytes, headers: dict[str, str]) -> tuple[bytes, Any]:
    """The bytes of an answer, and its headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.where["port"], timeout=10)
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    assert response.status == 200, data
    return data, response.headers


def _of_tensors(served: Served, told: dict[str, NDArray[Any]]) -> Answered:
    ids = [each.decode() if isinstance(each, bytes) else each for each in told.pop("prediction_id").ravel().tolist()]
    fields = served.bundle.signature.outputs
    assert set(told) == {field.name for field in fields}
    shapes = {field.name: (len(ROWS), *field.shape) for field in fields}
    assert {name: array.shape for name, array in told.items()} == shapes
    return Rows.of_arrays(fields, [told[field.name] for field in fields]), ids


def _texts(data: bytes) -> NDArray[Any]:
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return np.array(found, object)


PROTOCOLS: dict[str, Callable[[Standalone, Served], Answered]] = {
    "plain JSON": plain,
    "v2 JSON": v2,
    "v2 binary": v2_binary,
    "Arrow": arrow,
    "gRPC, raw contents": grpc_raw,
    "gRPC, typed contents": grpc_typed,
    "server-sent events": events,
}


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("runtime", ["onnx", "python"])
@pytest.mark.parametrize("task", list(TASKS))
def test_an_answer_is_the_same_by_every_protocol_and_in_the_log(
    server: tuple[Standalone, dict[str, Served]], task: str, runtime: str, protocol: str
) -> None:
    running, every = server
    served = every[f"{task}, {runtime}"]
    outputs = served.bundle.signature.outputs
    answers, ids = PROTOCOLS[protocol](running, served)
    assert np.allclose(answers.scores(outputs), served.expected.scores(outputs), rtol=1e-12, atol=1e-12)
    first = next(iter(every.values()))
    folder = running.folder / ("log" if served is first else f"log-{served.name}")
    logged = read_log(folder, *FOREVER, LocalFiles())
    assert logged is not None
    places = [logged.ids.index(each) for each in ids]
    assert np.array_equal(logged.outputs(served.bundle.signature).scores(outputs)[places], answers.scores(outputs))
    assert np.array_equal(logged.inputs(served.bundle.signature).block[places], ROWS)


def test_every_example_of_every_task_is_answered(server: tuple[Standalone, dict[str, Served]]) -> None:
    asked = check_document(server[0].where["port"])
    assert {f"/predict/{each.name}" for each in server[1].values()} <= {path for _, path, _ in asked}
