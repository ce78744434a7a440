"""A model of texts, whole numbers and tensors in, of a label and probabilities out: through every protocol, into the log and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper

from documented import check_document
from noria.core.files import LocalFiles
from noria.core.signature import Field, Signature
from noria.serving.log.segments import read_log
from noria.serving.protocol.client import client_code
from servers import Standalone, seal

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
FOREVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
SIGNATURE = Signature(
    (Field("n", "int64"), Field("city", "string"), Field("image", "float32", (2, 2)), Field("x", "float64")),
    (Field("label", "string", nullable=False), Field("p", "float64", (2,), nullable=False)),
)
ROW = {"n": 2**40, "city": "Köln", "image": [[1.0, 2.0], [3.0, 4.0]], "x": 0.5}
ANSWER = {"label": "Köln", "p": [2.0**40 + 0.5, 10.0]}


def typed_model() -> bytes:
    """label is the city; p is n + x, and the sum of the image."""
    kinds = {"n": (TensorProto.INT64, [None]), "city": (TensorProto.STRING, [None]), "x": (TensorProto.DOUBLE, [None])}
    inputs = [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()]
    inputs.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 2, 2]))
    nodes = [
        helper.make_node("Identity", ["city"], ["label"]),
        helper.make_node("Cast", ["n"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["wide", "x"], ["sum"]),
        helper.make_node("ReduceSum", ["image", "sides"], ["pixels"], keepdims=0),
        helper.make_node("Cast", ["pixels"], ["light"], to=TensorProto.DOUBLE),
        helper.make_node("Unsqueeze", ["sum", "last"], ["first"]),
        helper.make_node("Unsqueeze", ["light", "last"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["p"], axis=1),
    ]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
        helper.make_tensor_value_info("p", TensorProto.DOUBLE, [None, 2]),
    ]
    constants = [helper.make_tensor("sides", TensorProto.INT64, [2], [1, 2]), helper.make_tensor("last", TensorProto.INT64, [1], [1])]
    model = helper.make_model(
        helper.make_graph(nodes, "typed", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 15)], ir_version=8
    )
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("typed")
    sample = [list(ROW.values())], [list(ANSWER.values())]
    champion = seal(folder / "bundles", typed_model(), SIGNATURE, sample)
    fewer = Signature(SIGNATURE.inputs[::-1], SIGNATURE.outputs)
    shadow = seal(folder / "bundles", typed_model(), fewer, ([list(ROW.values())[::-1]], sample[1]), "other")
    running = Standalone(folder / "server", champion.path, shadow.path, grpc_port=0)
    yield running
    running.kill()


def test_plain_json(server: Standalone) -> None:
    status, found = server.http("POST", "/predict/small", json.dumps({"rows": [ROW, {**ROW, "city": "Ulm", "x": 0.25}]}).encode())
    assert status == 200, found
    assert found["predictions"] == [ANSWER, {"label": "Ulm", "p": [2.0**40 + 0.25, 10.0]}]


def test_an_unknown_float_is_nan_to_the_model_and_an_answer_of_nan_is_none(server: Standalone) -> None:
    status, found = server.http("POST", "/predict/small", json.dumps({"rows": [{**ROW, "x": None}]}).encode())
    assert (status, found["code"]) == (500, "NR-304")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 0.5}, "must be int or null"),
        ({"n": "1"}, "must be int or null"),
        ({"city": 5}, "must be str or null"),
        ({"image": [[1.0, 2.0]]}, "does not fit"),
        ({"image": [[1.0], [2.0, 3.0]]}, "does not fit"),
        ({"n": 2**70}, "fit|int"),
        ({"more": 1}, "no feature 'more'"),
    ],
)
def test_a_value_of_another_type_is_refused_and_its_neighbours_are_answered(server: Standalone, change: dict[str, Any], words: str) -> None:
    status, found = server.http("POST", "/predict/small", json.dumps({"rows": [{**ROW, **change}]}).encode())
    assert status == 400, found
    assert any(word in json.dumps(found) for word in words.split("|")), found
    assert server.http("POST", "/predict/small", json.dumps({"rows": [ROW]}).encode())[0] == 200


def test_a_null_that_onnx_has_no_value_for_is_told_and_never_scored_as_something_else(server: Standalone) -> None:
    status, found = server.http("POST", "/predict/small", json.dumps({"rows": [{**ROW, "city": None}]}).encode())
    assert status == 500
    assert "city: string is null" in found["where"]


def test_the_open_inference_protocol_in_json(server: Standalone) -> None:
    kinds = {"n": "INT64", "city": "BYTES", "x": "FP64"}
    inputs = [{"name": name, "datatype": kind, "shape": [2], "data": [ROW[name]] * 2} for name, kind in kinds.items()]
    inputs.append({"name": "image", "datatype": "FP32", "shape": [2, 2, 2], "data": [ROW["image"]] * 2})
    status, found = server.http("POST", "/v2/models/small/infer", json.dumps({"inputs": inputs}).encode())
    assert status == 200, found
    told = {output["name"]: output for output in found["outputs"]}
    assert (told["label"]["datatype"], told["label"]["data"]) == ("BYTES", ["Köln", "Köln"])
    assert (told["p"]["shape"], told["p"]["data"]) == ([2, 2], [ANSWER["p"]] * 2)
    wrong = [*inputs[:3], {**inputs[3], "shape": [2, 4]}]
    status, found = server.http("POST", "/v2/models/small/infer", json.dumps({"inputs": wrong}).encode())
    assert (status, found["fix"]) == (400, "send shape [n, 2, 2]")


def test_an_arrow_stream(server: Standalone) -> None:
    import http.client

    image = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(1.0, 5.0), pa.float32()), 4)
    table = pa.table({"city": ["Köln"], "n": pa.array([2**40]), "image": image, "x": [0.5]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    connection = http.client.HTTPConnection(server.where["host"], server.where["port"], timeout=10)
    body = bytes(sink.getvalue())
    connection.request("POST", "/predict/small", body, {"content-type": "application/vnd.apache.arrow.stream"})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    assert response.status == 200, data
    with pa.ipc.open_stream(data) as reader:
        [row] = reader.read_all().to_pylist()
    assert (row["label"], row["p"]) == (ANSWER["label"], ANSWER["p"])


def test_grpc_with_bytes_and_tensors(server: Standalone) -> None:
    arrays = {
        "n": np.array([ROW["n"]], np.int64),
        "city": np.array(["Köln".encode()], object),
        "image": np.array([ROW["image"]], np.float32),
        "x": np.array([0.5]),
    }
    inputs = []
    for (name, array), kind in zip(arrays.items(), ("INT64", "BYTES", "FP32", "FP64"), strict=True):
        inputs.append(triton.InferInput(name, list(array.shape), kind))
        inputs[-1].set_data_from_numpy(array)
    with triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}") as client:
        metadata = client.get_model_metadata("small")
        assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs][1:3] == [
            ("city", "BYTES", [-1]),
            ("image", "FP32", [-1, 2, 2]),
        ]
        result = client.infer("small", inputs)
    assert result.as_numpy("label").tolist() == ["Köln".encode()]
    assert result.as_numpy("p").tolist() == [ANSWER["p"]]


def test_every_example_of_types_and_several_outputs_is_answered(server: Standalone) -> None:
    check_document(server.where["port"])


def test_the_document_describes_the_types(server: Standalone) -> None:
    _, document = server.http("GET", "/openapi.json")
    row = document["paths"]["/predict/small"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["rows"]["items"]
    assert row["properties"]["city"]["type"] == ["string", "null"]
    assert row["properties"]["image"]["anyOf"][0]["minItems"] == 2


def test_a_generated_client_asks_and_answers_in_the_models_types(server: Standalone) -> None:
    found: dict[str, Any] = {"__name__": "client"}
    exec(client_code("small", "b" * 64, SIGNATURE, f"http://{server.where['host']}:{server.where['port']}"), found)
    [prediction] = found["SmallClient"]().predict([ROW])
    assert prediction.value == ANSWER
    code = client_code("two words", "b" * 64, SIGNATURE, "http://there")
    assert "'image': Optional[list[list[float]]]" in code
    assert "'n': Optional[int]" in code
    assert '"/predict/two%20words"' in code
    compile(code, "client.py", "exec")


def test_what_was_answered_is_in_the_log_in_its_own_types_the_shadow_beside_it(server: Standalone) -> None:
    _, found = server.http("POST", "/predict/small", json.dumps({"rows": [ROW], "keys": ["k"]}).encode())
    server.stop()
    logged = read_log(server.folder / "log", *FOREVER, LocalFiles())
    assert logged is not None
    champions = logged.by("champion")
    [one] = [i for i, name in enumerate(champions.ids) if name == found["ids"][0]]
    bundle = champions.bundle[one]
    inputs, outputs = champions.values[bundle]
    assert inputs.dicts()[one] == ROW
    assert outputs.dicts()[one] == ANSWER
    shadows = logged.by("challenger")
    assert len(shadows) == len(champions)
    [values] = shadows.values.values()
    assert values.inputs.names == SIGNATURE.names[::-1]
    assert values.outputs.dicts()[one] == ANSWER
