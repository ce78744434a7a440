"""Images through serving: a convolutional network and Python that looks at pixels, over every protocol, as ONNX Runtime itself says."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray

from documented import check_document
from image_bundles import BOTH, FIXED, FREE, SMALL, answers, brightness_bundle, network, network_bundle, pictures
from noria.core.files import LocalFiles
from noria.core.signature import Field
from noria.serving.log.segments import read_log
from servers import Standalone

FOREVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
STREAM = "application/vnd.apache.arrow.stream"
DATATYPES = {"uint8": "UINT8", "float32": "FP32"}
MB = 2**20

Images = NDArray[Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("images")
    others = {
        "fixed": network_bundle(folder / "bundles", FIXED).path,
        "both": network_bundle(folder / "bundles", BOTH).path,
        "python": brightness_bundle(folder / "bundles").path,
        "squares": brightness_bundle(folder / "bundles", Field("image", "uint8", (8, 8, 3), nullable=False)).path,
    }
    free = network_bundle(folder / "bundles", FREE)
    running = Standalone(folder / "server", free.path, order={"others": others, "trust": True}, grpc_port=0, max_body_bytes=8 * MB)
    yield running
    running.kill()


# --- four ways to ask -------------------------------------------------------------------------------------------------------


def by_rows(server: Standalone, endpoint: str, inputs: dict[str, Images]) -> list[float]:
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*(array.tolist() for array in inputs.values()), strict=True)]
    status, found = server.http("POST", f"/predict/{endpoint}", json.dumps({"rows": rows}).encode())
    assert status == 200, found
    return list(found["predictions"])


def by_json(server: Standalone, endpoint: str, inputs: dict[str, Images]) -> list[float]:
    tensors = [{**about(name, array), "data": array.tolist()} for name, array in inputs.items()]
    status, found = server.http("POST", f"/v2/models/{endpoint}/infer", json.dumps({"inputs": tensors}).encode())
    assert status == 200, found
    return list(found["outputs"][0]["data"])


def by_bytes(server: Standalone, endpoint: str, inputs: dict[str, Images]) -> list[float]:
    status, found = server.http("POST", f"/v2/models/{endpoint}/infer", *binary(inputs))
    assert status == 200, found
    return list(found["outputs"][0]["data"])


def by_grpc(server: Standalone, endpoint: str, inputs: dict[str, Images]) -> list[float]:
    tensors = []
    for name, array in inputs.items():
        tensors.append(triton.InferInput(name, list(array.shape), DATATYPES[str(array.dtype)]))
        tensors[-1].set_data_from_numpy(array)
    with triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}") as client:
        return list(client.infer(endpoint, tensors).as_numpy("prediction").tolist())


def about(name: str, array: Images) -> dict[str, Any]:
    return {"name": name, "datatype": DATATYPES[str(array.dtype)], "shape": list(array.shape)}


def binary(inputs: dict[str, Images]) -> tuple[bytes, dict[str, str]]:
    tensors = [{**about(name, array), "parameters": {"binary_data_size": array.nbytes}} for name, array in inputs.items()]
    head = json.dumps({"inputs": tensors}).encode()
    return head + b"".join(array.tobytes() for array in inputs.values()), {"inference-header-content-length": str(len(head))}


WAYS = [by_rows, by_json, by_bytes, by_grpc]


# --- answers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", WAYS)
@pytest.mark.parametrize(("count", "height", "width"), [(1, 24, 32), (3, 32, 24), (1, 160, 120), (4, 1, 1)])
def test_a_network_answers_as_onnx_runtime_does(server: Standalone, ask: Any, count: int, height: int, width: int) -> None:
    images = pictures(count, height, width, seed=height)
    expected = answers(network(FREE), image=images)
    assert ask(server, "small", {"image": images}) == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) == count, "they are told apart"


@pytest.mark.parametrize("ask", WAYS)
def test_channels_may_come_first_and_numbers_be_floats(server: Standalone, ask: Any) -> None:
    images = np.random.default_rng(3).normal(size=(2, 3, 16, 12)).astype(np.float32)
    assert ask(server, "fixed", {"image": images}) == pytest.approx(answers(network(FIXED), image=images), abs=1e-5)


@pytest.mark.parametrize("ask", WAYS)
def test_an_image_and_a_number(server: Standalone, ask: Any) -> None:
    images, prices = pictures(3), np.array([0.5, -1.0, 2.0], np.float32)
    expected = answers(network(BOTH), image=images, price=prices[:, None])
    assert ask(server, "both", {"image": images, "price": prices}) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("ask", WAYS)
@pytest.mark.parametrize(("endpoint", "height", "width"), [("python", 20, 30), ("python", 300, 200), ("squares", 8, 8)])
def test_python_looks_at_pixels(server: Standalone, ask: Any, endpoint: str, height: int, width: int) -> None:
    images = pictures(2, height, width)
    expected = images.reshape(2, -1).mean(axis=1) / 255
    assert ask(server, endpoint, {"image": images}) == pytest.approx(expected, abs=1e-9)


def test_every_example_of_images_is_answered(server: Standalone) -> None:
    assert {path for _, path, _ in check_document(server.where["port"])} >= {f"/predict/{name}" for name in ("fixed", "both", "squares")}


def test_an_arrow_stream_has_a_shape_beside_the_values(server: Standalone) -> None:
    images = pictures(2, 5, 7)
    shapes = pa.FixedSizeListArray.from_arrays(pa.array([5, 7, 3] * 2, pa.int32()), 3)
    lists = pa.ListArray.from_arrays(pa.array([0, 105, 210], pa.int32()), pa.array(images.reshape(-1)))
    table = pa.table({"image": pa.StructArray.from_arrays([shapes, lists], ["shape", "values"])})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with closing(http.client.HTTPConnection("127.0.0.1", server.where["port"], timeout=10)) as connection:
        connection.request("POST", "/predict/small", bytes(sink.getvalue()), {"content-type": STREAM})
        with pa.ipc.open_stream(connection.getresponse().read()) as reader:
            found = reader.read_all().column("prediction").to_pylist()
    assert found == pytest.approx(answers(network(FREE), image=images), abs=1e-5)


def test_rows_of_one_request_may_be_of_different_sizes(server: Standalone) -> None:
    images = [pictures(1, height, width, seed=width)[0] for height, width in ((9, 4), (4, 9), (9, 4), (30, 1))]
    body = json.dumps({"rows": [{"image": image.tolist()} for image in images]}).encode()
    for endpoint, expected in (
        ("small", [answers(network(FREE), image=image[None])[0] for image in images]),
        ("python", [image.mean() / 255 for image in images]),
    ):
        status, found = server.http("POST", f"/predict/{endpoint}", body)
        assert status == 200, found
        assert found["predictions"] == pytest.approx(expected, abs=1e-5)


def test_requests_of_different_sizes_share_batches(server: Standalone) -> None:
    sizes = [(8 + i % 5, 8 + i % 3) for i in range(96)]
    images = [pictures(1, *size, seed=i) for i, size in enumerate(sizes)]
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda image: by_bytes(server, "small", {"image": image})[0], images))
    assert found == pytest.approx([answers(network(FREE), image=image)[0] for image in images], abs=1e-5)


def test_a_body_in_pieces_is_the_same_body(server: Standalone) -> None:
    """Whatever the pieces that it comes in, with a length or in chunks, and however much of the next request comes with its end."""
    images = pictures(2, 100, 200)
    body, headers = binary({"image": images})
    [length] = headers.values()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:99_000], body[99_000:])) + b"0\r\n\r\n"
    for framing, content in ((f"content-length: {len(body)}", body), ("transfer-encoding: chunked", chunks)):
        head = f"POST /v2/models/small/infer HTTP/1.1\r\nhost: localhost\r\ninference-header-content-length: {length}\r\n{framing}\r\n\r\n"
        data = 3 * (head.encode() + content)
        with closing(socket.create_connection(("127.0.0.1", server.where["port"]))) as connection:
            for at in range(0, len(data), 33_333):
                connection.sendall(data[at : at + 33_333])
            found = b""
            while found.count(b"HTTP/1.1 200") < 3 or not found.endswith(b"}]}"):
                found += connection.recv(65_536)
        each = [json.loads(text)["data"] for text in re.findall(rb'\{"name":"prediction",[^}]*\}', found)]
        assert each == [pytest.approx(answers(network(FREE), image=images), abs=1e-5)] * 3


# --- limits -----------------------------------------------------------------------------------------------------------------


def test_a_large_body_is_refused_before_it_is_sent(server: Standalone) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.where["port"]))) as connection:
        connection.sendall(f"POST /v2/models/small/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {8 * MB + 1}\r\n\r\n".encode())
        found = connection.recv(65_536)
    assert found.startswith(b"HTTP/1.1 413 ")
    assert all(text in found for text in (b"NR-511", b"serving.max_body_bytes"))


def test_a_large_message_is_refused_by_its_prefix(server: Standalone) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}") as client:
        tensor = triton.InferInput("image", [1, 2000, 2000, 3], "UINT8")
        tensor.set_data_from_numpy(np.zeros((1, 2000, 2000, 3), np.uint8))
        with pytest.raises(triton.InferenceServerException, match="too large") as error:
            client.infer("small", [tensor])
    assert error.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_memory_stays_in_its_bounds_whoever_sends_the_largest_image(tmp_path: Path, protocol: str) -> None:
    """256 clients with a gigabyte of images: what has room is answered, what has none is told so, and the worker's memory says the same."""
    bundle, room, side = brightness_bundle(tmp_path / "bundles"), 64 * MB, 1180  # in a process of its own: what it takes is not counted
    bounds = {"max_body_bytes": 8 * MB, "max_waiting_bytes": room, "max_batch_bytes": 16 * MB, "workers": 1, "budget_ms": 60_000}
    server = Standalone(tmp_path / "server", bundle.path, order={"trust": True}, grpc_port=0, durability="process", **bounds)
    try:
        images = pictures(1, side, side)
        body, headers = binary({"image": images})
        by_bytes(server, "small", {"image": images})
        before = memory_of(server, "VmRSS")

        def one(_: int) -> str:
            if protocol == "rest":
                for _ in range(2):
                    try:
                        status, found = server.http("POST", "/v2/models/small/infer", body, headers)
                        return f"{status} {found['code'] if status != 200 else ''}"
                    except OSError:
                        continue
                return "closed while it was sent"
            try:
                return f"200 {len(by_grpc(server, 'small', {'image': images}))}"
            except triton.InferenceServerException as error:
                return str(error.status())

        with ThreadPoolExecutor(128) as pool:
            found = list(pool.map(one, range(256)))
        assert sum(each.startswith("200") for each in found) >= 16, set(found)
        assert set(found) <= {"200 ", "200 1", "503 NR-550", "503 NR-520", "StatusCode.UNAVAILABLE", "closed while it was sent"}
        took = memory_of(server, "VmHWM") - before
        assert took < room + 6 * 16 * MB, f"{took / MB:.0f} MB"
        by_bytes(server, "small", {"image": images})
        deadline = time.monotonic() + 5
        while server.http("GET", "/status")[1]["body_bytes"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.http("GET", "/status")[1]["body_bytes"] == 0, "all of it was given back"
    finally:
        server.kill()


def memory_of(server: Standalone, what: str) -> int:
    [worker] = server.workers()
    [line] = [line for line in Path(f"/proc/{worker}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024


# --- the log ----------------------------------------------------------------------------------------------------------------


def test_what_was_seen_is_in_the_log_pixel_by_pixel(tmp_path: Path) -> None:
    bundle = network_bundle(tmp_path / "bundles", FREE)
    server = Standalone(tmp_path / "server", bundle.path, max_body_bytes=8 * MB)
    small, large = pictures(2, 6, 5), pictures(3, 600, 500, seed=2)
    try:
        for images in (small, large, large):
            by_bytes(server, "small", {"image": images})
        server.stop()
    finally:
        server.process.kill()
    logged = read_log(tmp_path / "server" / "log", *FOREVER, LocalFiles())
    assert logged is not None
    found = logged.values[bundle.id].inputs.column("image")
    seen = [np.array(one["values"], np.uint8).reshape(one["shape"]) for one in found.to_pylist()]
    assert sorted(image.tobytes() for image in seen) == sorted(image.tobytes() for image in [*small, *large, *large])
    assert logged.values[bundle.id].outputs.column("prediction").to_pylist()[:2] == pytest.approx(answers(network(FREE), image=small))
    size = sum(path.stat().st_size for path in (tmp_path / "server" / "log").rglob("*"))
    assert size < 1.1 * large.nbytes, "what was sent twice is kept once"
    assert SMALL.shape == (3, 16, 12)
