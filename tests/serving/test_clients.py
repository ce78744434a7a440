"""The server as clients see it that no one here wrote: Triton's, curl, h11."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h11
import numpy as np
import pytest
import tritonclient.http as triton

from servers import Standalone, make_bundle


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("clients")
    running = Standalone(folder / "server", make_bundle(folder / "bundles", 10.0).path)
    yield running
    running.kill()


@pytest.fixture
def client(server: Standalone) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.where['port']}") as found:
        yield found


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("binary_out", [True, False], ids=["binary out", "json out"])
def test_triton_http(client: triton.InferenceServerClient, binary: bool, binary_out: bool) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("small")
    assert client.get_server_metadata()["name"] == "noria"
    assert [i["name"] for i in client.get_model_metadata("small")["inputs"]] == ["a", "b"]
    rows = np.array([[1.5, 2.0], [np.nan if binary else 0.0, 0.0], [-4.25, 1.0]], np.float32)
    inputs = []
    for place, name in enumerate(("a", "b")):
        inputs.append(triton.InferInput(name, [3], "FP32"))
        inputs[-1].set_data_from_numpy(rows[:, place].copy(), binary_data=binary)
    outputs = [
        triton.InferRequestedOutput("prediction_id", binary_data=binary_out),
        triton.InferRequestedOutput("prediction", binary_data=binary_out),
    ]
    if binary:
        with pytest.raises(triton.InferenceServerException, match="returned no result"):  # this model answers NaN with NaN
            client.infer("small", inputs, outputs=outputs)
        inputs[0].set_data_from_numpy(np.array([1.5, 0.0, -4.25], np.float32))
    result = client.infer("small", inputs, outputs=outputs, request_id="r7")
    assert result.as_numpy("prediction").tolist() == [11.5, 10.0, 5.75]
    assert len(set(result.as_numpy("prediction_id").tolist())) == 3
    assert result.get_response()["id"] == "r7"


def test_triton_http_with_one_matrix_of_doubles(client: triton.InferenceServerClient) -> None:
    matrix = triton.InferInput("features", [2, 2], "FP64")
    matrix.set_data_from_numpy(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert client.infer("small", [matrix]).as_numpy("prediction").tolist() == [11.0, 13.0]


def test_triton_is_told_what_is_wrong(client: triton.InferenceServerClient) -> None:
    only = triton.InferInput("a", [1], "FP32")
    only.set_data_from_numpy(np.zeros(1, np.float32))
    with pytest.raises(triton.InferenceServerException, match="'b' is missing"):
        client.infer("small", [only])
    with pytest.raises(triton.InferenceServerException, match="no endpoint 'smal'"):
        client.infer("smal", [only])


BAD_BINARY = [
    ("a size beyond the body", {"binary_data_size": 400}, 8, "declares 400 bytes"),
    ("a size that is no number", {"binary_data_size": "8"}, 8, "declares '8' bytes"),
    ("too few bytes", {"binary_data_size": 4}, 4, "4 bytes for shape [1, 2]"),
    ("bytes of no tensor", {}, 8, "8 bytes belong to no input"),
    ("a negative size", {"binary_data_size": -8}, 8, "declares -8 bytes"),
]


@pytest.mark.parametrize(("parameters", "count", "words"), [b[1:] for b in BAD_BINARY], ids=[b[0] for b in BAD_BINARY])
def test_bad_binary_tensors(server: Standalone, parameters: dict[str, int], count: int, words: str) -> None:
    tensor = {"name": "features", "shape": [1, 2], "datatype": "FP32", "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    status, answer = server.http("POST", "/v2/models/small/infer", head + bytes(count), headers)
    assert status == 400
    assert words in answer["what"]


def test_a_length_of_the_json_that_is_no_number(server: Standalone) -> None:
    assert server.http("POST", "/v2/models/small/infer", b"{}", {"Inference-Header-Content-Length": "x"})[0] == 400


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_curl(server: Standalone, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"rows": [{"a": 1.0, "b": None}] * 5_000}))  # large enough that curl sends Expect: 100-continue
    command = ["curl", "--silent", "--fail", "--data-binary", f"@{body}", f"{server.where['url']}/predict/small"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert answer["predictions"] == [11.0] * 5_000
    chunked = [*command[:3], "--header", "Transfer-Encoding: chunked", *command[3:]]
    assert len(json.loads(subprocess.run(chunked, capture_output=True, check=True).stdout)["ids"]) == 5_000


def test_h11_reads_every_answer(server: Standalone) -> None:
    """Pipelined, cut into single bytes, with and without keep-alive: a strict parser accepts what comes back."""
    body = b'{"rows": [{"a": 1, "b": 2}]}'
    for cut in (10_000, 7, 1):
        client = h11.Connection(h11.CLIENT)
        headers = [("host", "127.0.0.1"), ("content-length", str(len(body)))]
        with socket.create_connection(("127.0.0.1", server.where["port"]), timeout=10) as sock:
            for turn in range(3):
                request = h11.Request(
                    method="POST", target="/predict/small", headers=[*headers, *([("connection", "close")] if turn == 2 else [])]
                )
                data = b"".join([client.send(request) or b"", client.send(h11.Data(body)) or b"", client.send(h11.EndOfMessage()) or b""])
                for at in range(0, len(data), cut):
                    sock.sendall(data[at : at + cut])
                events = []
                while not events or not isinstance(events[-1], h11.EndOfMessage):
                    event = client.next_event()
                    if event is h11.NEED_DATA:
                        client.receive_data(sock.recv(65_536))
                    else:
                        events.append(event)
                assert isinstance(events[0], h11.Response)
                assert events[0].status_code == 200
                assert json.loads(b"".join(bytes(e.data) for e in events if isinstance(e, h11.Data)))["predictions"] == [11.0]
                if turn < 2:
                    client.start_next_cycle()
            assert sock.recv(1) == b""
