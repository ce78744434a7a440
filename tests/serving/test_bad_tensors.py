"""What is no tensor of the model's: refused over every protocol with what, where and how to fix it; nothing logged, nobody disturbed."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from noria.core.signature import SCORE, Field, Signature
from noria.serving.protocol.messages import inference
from servers import Standalone, make_bundle, seal

STREAM = "application/vnd.apache.arrow.stream"
LIMIT = 1_000_000
INPUTS = (
    Field("image", "uint8", (None, None, 3)),
    Field("grid", "float32", (2, 3), nullable=False),
    Field("city", "string"),
    Field("n", "int64"),
)
SIGNATURE = Signature(INPUTS, (SCORE,))
KINDS = {"image": "UINT8", "grid": "FP32", "city": "BYTES", "n": "INT64"}
ROW = {"image": [[[3, 3, 3], [6, 6, 6]]], "grid": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "city": "Köln", "n": 7}
ANSWER = 4.5 + 21 + 7
HUGE = [1_000_000, 1_000_000, 3]


def model() -> bytes:
    """The mean of the image, plus the sum of the grid, plus n."""
    kinds = {
        "image": (TensorProto.UINT8, [None, None, None, 3]),
        "grid": (TensorProto.FLOAT, [None, 2, 3]),
        "city": (TensorProto.STRING, [None]),
        "n": (TensorProto.INT64, [None]),
    }
    nodes = [
        helper.make_node("Identity", ["city"], ["town"]),
        helper.make_node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["wide"], ["light"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceSum", ["grid", "sides"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["n"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Sum", ["light", "sum", "number"], ["scores"]),
    ]
    outputs = [
        helper.make_tensor_value_info("town", TensorProto.STRING, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None]),
    ]
    inputs = [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()]
    graph = helper.make_graph(nodes, "typed", inputs, outputs, [helper.make_tensor("sides", TensorProto.INT64, [2], [1, 2])])
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("bad")
    typed = seal(folder / "bundles", model(), SIGNATURE, ([list(ROW.values())], [[ANSWER]]))
    order = {"others": {"other": make_bundle(folder / "bundles", 10.0).path}}
    running = Standalone(folder / "server", typed.path, order=order, grpc_port=0, workers=1, max_body_bytes=LIMIT)
    yield running
    running.kill()


# --- requests, right but for what a case changes ----------------------------------------------------------------------------


def texts(*values: bytes) -> bytes:
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)


RAW = {
    "image": np.array([ROW["image"]], np.uint8).tobytes(),
    "grid": np.array([ROW["grid"]], np.float32).tobytes(),
    "city": texts("Köln".encode()),
    "n": np.array([7], np.int64).tobytes(),
}
SHAPES: dict[str, list[int]] = {"image": [1, 1, 2, 3], "grid": [1, 2, 3], "city": [1], "n": [1]}


@dataclass(frozen=True)
class Case:
    """One input that is wrong: its `shape`, `datatype`, `data` in JSON, or `raw` bytes; and a word of what is said of it."""

    name: str
    input: str
    says: str
    shape: list[int] | None = None
    datatype: str | None = None
    data: Any = None
    raw: bytes | None = None
    size: Any = None  # what binary_data_size says
    protocols: tuple[str, ...] = field(default=("json", "binary", "grpc"))

    def shape_of(self, name: str) -> list[int]:
        return self.shape if name == self.input and self.shape is not None else SHAPES[name]

    def kind_of(self, name: str) -> str:
        return self.datatype if name == self.input and self.datatype is not None else KINDS[name]

    def raw_of(self, name: str) -> bytes:
        return self.raw if name == self.input and self.raw is not None else RAW[name]


RIGHT = Case("nothing", "", "")
CASES = [
    Case("of a lower rank", "image", "has shape", shape=[1, 2, 3]),
    Case("of a higher rank", "image", "has shape", shape=[1, 1, 1, 2, 3]),
    Case("without a shape", "image", "there are no rows", shape=[]),
    Case("of another size", "grid", "has shape", shape=[1, 3, 2]),
    Case("of another size in its last dimension", "image", "has shape", shape=[1, 1, 3, 2]),
    Case("of another datatype", "image", "can't be read as image: uint8", datatype="FP32", data=[[[[0.5] * 3] * 2]], raw=b"\0\0\0?" * 6),
    Case("a text for numbers", "image", "has datatype 'BYTES'", datatype="BYTES", data=["a"] * 6, raw=texts(*[b"a"] * 6)),
    Case(
        "numbers that its type would cut off", "n", "can't be read as n: int64", datatype="FP64", data=[7.5], raw=np.array([7.5]).tobytes()
    ),
    Case("numbers for a text", "city", "has datatype 'FP32'", datatype="FP32", data=[1.0], raw=b"\0\0\0\0"),
    Case("of a datatype that there is not", "image", "datatype 'UINT9'", datatype="UINT9"),
    Case("ragged", "grid", "lists that are not of shape", data=[[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0]]], protocols=("json",)),
    Case("half nested", "grid", "lists that are not of shape", data=[[[1.0, 2.0, 3.0], 4.0, 5.0]], protocols=("json",)),
    Case("nested too deep", "n", "can't be read as n: int64", data=[[[7]]], protocols=("json",)),
    Case("of too few values", "grid", "for shape [1, 2, 3]", data=[1.0] * 5, raw=bytes(20)),
    Case("of too many values", "grid", "for shape [1, 2, 3]", data=[1.0] * 7, raw=bytes(28)),
    Case("of a broken number of bytes", "grid", "for shape [1, 2, 3]", raw=bytes(23), protocols=("binary", "grpc")),
    Case("a text that is not UTF-8", "city", "can't be read as city: string", raw=texts(b"\xff\xfe"), protocols=("binary", "grpc")),
    Case("a text longer than its bytes", "city", "texts for shape", raw=b"\xff\xff\xff\xff", protocols=("binary", "grpc")),
    Case("fewer texts than rows", "city", "texts for shape", raw=b"", protocols=("binary", "grpc")),
    Case("infinite", "grid", "too large", raw=np.full(6, np.inf, np.float32).tobytes(), protocols=("binary", "grpc")),
    Case("unknown where it must be known", "grid", "must be known", data=[None] * 6, raw=np.full(6, np.nan, np.float32).tobytes()),
    Case("a number beyond its type", "image", "can't be read as image", data=[300] * 6, protocols=("json",)),
    Case("a number beyond its float", "grid", "too large", data=[1e300] * 6, protocols=("json",)),
    Case("null where there is no null", "image", "can't be read as image", data=[None] * 6, protocols=("json",)),
    Case("empty", "image", "has shape", shape=[1, 0, 2, 3], data=[], raw=b""),
    Case("of no rows", "image", "there are no rows", shape=[0, 1, 2, 3], data=[], raw=b""),
    Case("of more rows than its neighbours", "n", "different numbers of rows", shape=[2], data=[7, 8], raw=bytes(16)),
    Case("of a huge shape and little data", "image", "are not of shape|bytes for shape", shape=[1, *HUGE]),
    Case("of a huge number of rows", "n", "too many", shape=[10**12]),
    Case("of sizes whose product is no number of 64 bits", "image", "are not of shape|bytes for shape", shape=[1, 2**33, 2**31, 3]),
    Case(
        "of sizes whose product is what came, modulo 2**64", "image", "are not of shape|bytes for shape", shape=[1, 2**63 - 1, 2**63 - 3, 3]
    ),
    Case(
        "of a size that is no number of 64 bits",
        "image",
        "are not of shape|bytes for shape",
        shape=[1, 2**80, 1, 3],
        protocols=("json", "binary"),
    ),
    Case("of a negative size", "image", "has shape", shape=[1, -1, 2, 3]),
    Case("of two negative sizes", "image", "has shape", shape=[1, -1, -2, 3]),
    Case("of negative rows", "n", "has shape", shape=[-1]),
    Case("of very many dimensions", "image", "has shape", shape=[1] + [2**60] * 20_000),
    Case("of a shape that is no numbers", "image", "protocol", shape=["1", 1, 2, 3], protocols=("json", "binary")),  # type: ignore[list-item]
    Case("whose size lies below", "image", "belong to no input", size=3, protocols=("binary",)),
    Case("whose size lies above", "image", "declares 8 bytes", size=7, protocols=("binary",)),
    Case("whose size is huge", "image", "declares", size=10**18, protocols=("binary",)),
    Case("whose size is negative", "image", "declares -1", size=-1, protocols=("binary",)),
    Case("whose size is no number", "image", "declares", size="6", protocols=("binary",)),
    Case("whose size is true", "image", "declares True", size=True, protocols=("binary",)),
    Case("as large as a film", "image", "too large", shape=[1, 5000, 7000, 3], raw=bytes(2 * LIMIT), protocols=("binary", "grpc")),
]
EACH = [pytest.param(case, protocol, id=f"{case.name}, {protocol}") for case in CASES for protocol in case.protocols]


def as_json(case: Case) -> tuple[bytes, dict[str, str]]:
    inputs = []
    for name in KINDS:
        data = case.data if name == case.input and case.data is not None else [ROW[name]]
        inputs.append({"name": name, "datatype": case.kind_of(name), "shape": case.shape_of(name), "data": data})
    return json.dumps({"inputs": inputs}).encode(), {}


def as_binary(case: Case) -> tuple[bytes, dict[str, str]]:
    inputs = []
    for name in KINDS:
        size = case.size if name == case.input and case.size is not None else len(case.raw_of(name))
        about = {"name": name, "datatype": case.kind_of(name), "shape": case.shape_of(name)}
        inputs.append({**about, "parameters": {"binary_data_size": size}})
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(map(case.raw_of, KINDS)), {"inference-header-content-length": str(len(head))}


def over_rest(server: Standalone, body: bytes, headers: dict[str, str], path: str = "/v2/models/small/infer") -> tuple[int, Any]:
    return server.http("POST", path, body, headers)


def answer_of(server: Standalone, body: bytes, headers: dict[str, str], path: str) -> tuple[int, bytes]:
    """The status and the bytes of an answer that may be no text."""
    connection = http.client.HTTPConnection("127.0.0.1", server.where["port"], timeout=10)
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


def over_grpc(server: Standalone, case: Case) -> tuple[str, str]:
    """The status and its words; `OK` with the prediction."""
    request = inference["ModelInferRequest"](model_name="small")
    for name in KINDS:
        request.inputs.add(name=name, datatype=case.kind_of(name), shape=case.shape_of(name))
        request.raw_input_contents.append(case.raw_of(name))
    with grpc.insecure_channel(f"127.0.0.1:{server.where['grpc_port']}") as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            data = call(request.SerializeToString(), timeout=10)
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", str(np.frombuffer(inference["ModelInferResponse"].FromString(data).raw_output_contents[0], np.float64)[0])


def arrow_body(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def arrow_image(shape: list[int], values: list[int]) -> pa.Array:
    sizes = pa.FixedSizeListArray.from_arrays(pa.array(shape, pa.int32()), 3)
    lists = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), pa.array(values, pa.uint8()))
    return pa.StructArray.from_arrays([sizes, lists], ["shape", "values"])


def arrow_table(**changes: pa.Array) -> pa.Table:
    columns = {
        "image": arrow_image([1, 2, 3], [3, 3, 3, 6, 6, 6]),
        "grid": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(1.0, 7.0), pa.float32()), 6),
        "city": pa.array(["Köln"]),
        "n": pa.array([7], pa.int64()),
    }
    return pa.table({**columns, **changes})


# --- what all of them leave as it was ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Before:
    """A server before it is sent something bad."""

    server: Standalone
    logged: int
    bytes_held: int
    peak: int

    @staticmethod
    def of(server: Standalone) -> Before:
        [endpoint] = [each for each in server.http("GET", "/status")[1]["endpoints"] if each["endpoint"] == "small"]
        return Before(server, endpoint["counts"]["logged"], server.http("GET", "/status")[1]["body_bytes"], peak_of(server))

    def require_nothing_changed(self) -> None:
        after = Before.of(self.server)
        assert after.logged == self.logged, "nothing of it is in the log"
        assert after.bytes_held == self.bytes_held, "nothing of it is held"
        assert after.peak - self.peak < 64 * 2**20, f"it took {after.peak - self.peak:,} bytes of memory"
        status, found = self.server.http("POST", "/predict/other", b'{"rows": [{"a": 1.5, "b": 0}]}')
        assert (status, found["predictions"]) == (200, [11.5])


def peak_of(server: Standalone) -> int:
    """The most memory that the worker ever took, in bytes."""
    [worker] = server.workers()
    [line] = [line for line in Path(f"/proc/{worker}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def require_told(error: Any, says: str) -> None:
    assert error["code"].startswith("NR-"), error
    assert all(error[part] for part in ("what", "where", "fix")), error
    assert any(word in json.dumps(error, ensure_ascii=False) for word in says.split("|")), error
    assert len(json.dumps(error)) < 2_000, "an answer does not repeat what it was sent"


# --- the tests --------------------------------------------------------------------------------------------------------------


def test_what_is_right_is_answered_over_every_protocol(server: Standalone) -> None:
    for body, headers in (as_json(RIGHT), as_binary(RIGHT)):
        status, found = over_rest(server, body, headers)
        assert (status, found["outputs"][0]["data"]) == (200, [ANSWER]), found
    assert over_grpc(server, RIGHT) == ("OK", str(ANSWER))
    status, found = over_rest(server, json.dumps({"rows": [ROW]}).encode(), {}, "/predict/small")
    assert (status, found["predictions"]) == (200, [ANSWER])
    assert answer_of(server, arrow_body(arrow_table()), {"content-type": STREAM}, "/predict/small")[0] == 200


@pytest.mark.parametrize(("case", "protocol"), EACH)
def test_a_tensor_that_is_none(server: Standalone, case: Case, protocol: str) -> None:
    before, since = Before.of(server), time.monotonic()
    if protocol == "grpc":
        status, words = over_grpc(server, case)
        expected = "RESOURCE_EXHAUSTED" if case.name.startswith("as large") else "INVALID_ARGUMENT"
        assert (status, any(word in words for word in case.says.split("|"))) == (expected, True), (status, words)
    else:
        body, headers = as_json(case) if protocol == "json" else as_binary(case)
        status, found = over_rest(server, body, headers)
        assert status == (413 if case.name.startswith("as large") else 400), found
        require_told(found, case.says)
    assert time.monotonic() - since < 2.0, "it costs what its data does"
    before.require_nothing_changed()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": [[[1, 2, 3], [1, 2]]]}, "image"),
        ({"image": [[[1, 2]]]}, "image"),
        ({"image": [[1, 2, 3]]}, "must be array"),
        ({"image": []}, "image"),
        ({"image": [[[1, 2, 300]]]}, "image|out of bounds"),
        ({"image": [[[1, 2, 0.5]]]}, "must be int"),
        ({"image": [[[1, 2, None]]]}, "int"),
        ({"image": "AAAA"}, "array"),
        ({"grid": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}, "grid"),
        ({"grid": [[1.0, 2.0, None], [3.0, 4.0, 5.0]]}, "must be a number"),
        ({"grid": None}, "must be array"),
        ({"grid": [[1.0, 2.0, 1e300], [3.0, 4.0, 5.0]]}, "too large"),
        ({"n": 2**63}, "n: int64|int"),
        ({"city": ["Köln"]}, "must be str"),
    ],
)
def test_a_row_of_plain_json_that_does_not_fit(server: Standalone, change: dict[str, Any], says: str) -> None:
    before = Before.of(server)
    status, found = over_rest(server, json.dumps({"rows": [{**ROW, **change}]}).encode(), {}, "/predict/small")
    assert status == 400, found
    require_told(found, says)
    before.require_nothing_changed()


@pytest.mark.parametrize("path", ["/predict/small", "/v2/models/small/infer"])
def test_json_that_is_not_utf8(server: Standalone, path: str) -> None:
    body = as_json(RIGHT)[0] if path.startswith("/v2") else json.dumps({"rows": [ROW]}, ensure_ascii=False).encode()
    broken = body.replace(b"K\\u00f6ln", b"K\xf6ln").replace("Köln".encode(), b"K\xf6ln")
    assert b"\xf6" in broken
    before = Before.of(server)
    status, found = over_rest(server, broken, {}, path)
    assert status == 400, found
    require_told(found, "UTF-8|utf-8")
    before.require_nothing_changed()


LISTS = pa.ListArray.from_arrays(pa.array([0, 10**9], pa.int32()), pa.nulls(10**9))
VIEWS = pa.ListViewArray.from_arrays(pa.array([0] * 1, pa.int32()), pa.array([6], pa.int32()), pa.array(np.arange(6), pa.uint8()))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": arrow_image([1, 2, 3], [1] * 5)}, "more or fewer values"),
        ({"image": arrow_image([1, 3, 2], [1] * 6)}, "another shape"),
        ({"image": arrow_image([-1, -2, 3], [1] * 6)}, "another shape"),
        ({"image": arrow_image([0, 2, 3], [])}, "another shape"),
        ({"image": arrow_image([2**31 - 1, 2**31 - 1, 3], [1] * 6)}, "more or fewer values"),
        ({"image": pa.array([[1] * 6], pa.list_(pa.uint8()))}, "image"),
        ({"image": pa.array([7])}, "image"),
        ({"image": LISTS}, "list<item: null>"),
        ({"image": VIEWS}, "list_view"),
        ({"grid": pa.array([[1.0] * 5], pa.list_(pa.float32(), 5))}, "grid"),
        ({"grid": pa.array([[1.0] * 7], pa.list_(pa.float32()))}, "grid"),
        ({"grid": pa.array([[float("inf")] * 6], pa.list_(pa.float32(), 6))}, "too large"),
        ({"grid": pa.array([[float("nan")] * 6], pa.list_(pa.float32(), 6))}, "must be known"),
        ({"grid": pa.nulls(1, pa.list_(pa.float32(), 6))}, "must be known"),
        ({"city": pa.array([b"\xff"], pa.binary())}, "city"),
        ({"city": pa.array(["Köln"], pa.string_view())}, "string_view"),
        ({"n": pa.array([0.5])}, "n: int64"),
        ({"n": pa.array([2**64 - 1], pa.uint64())}, "n: int64"),
    ],
)
def test_a_column_of_arrow_that_does_not_fit(server: Standalone, changes: dict[str, pa.Array], says: str) -> None:
    before = Before.of(server)
    status, found = over_rest(server, arrow_body(arrow_table(**changes)), {"content-type": STREAM}, "/predict/small")
    assert status == 400, found
    require_told(found, says)
    before.require_nothing_changed()


def test_an_arrow_stream_whose_buffers_lie_about_their_length(server: Standalone) -> None:
    before, body = Before.of(server), arrow_body(arrow_table())
    for at in range(0, len(body), 97):
        broken = body[:at] + b"\x7f" + body[at + 1 :]
        status, found = answer_of(server, broken, {"content-type": STREAM}, "/predict/small")
        assert status in (200, 400) or b"NR-304" in found, "where it became a null, it is the model that can't answer"
    now = Before.of(server)
    assert now.peak - before.peak < 64 * 2**20


def test_a_neighbour_in_the_same_batch_is_answered(server: Standalone) -> None:
    from concurrent.futures import ThreadPoolExecutor

    bad = as_binary(Case("infinite", "grid", "", raw=np.full(6, np.inf, np.float32).tobytes()))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: over_rest(server, *(bad if i % 2 else as_binary(RIGHT)))[0], range(64)))
    assert found == [200, 400] * 32
