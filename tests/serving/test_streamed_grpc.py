"""Answers in parts over gRPC, as Triton's own client asks for them and gets them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from servers import Standalone, soon
from texts import counts, logged, text_server, works


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    running = text_server(tmp_path_factory.mktemp("texts"))
    yield running
    running.kill()


def test_parts_over_grpc(server: Standalone) -> None:
    results = grpc_streamed(server, ["slowly 0.05 a b c"])
    parts = [result.as_numpy("text")[0].decode() for result, _ in results[:-1]]
    assert parts == ["a ", "b ", "c "]
    last = results[-1][0]
    assert last.get_response().parameters["triton_final_response"].bool_param
    assert last.as_numpy("text") is None
    assert logged(server)[last.as_numpy("prediction_id")[0].decode()][2] == "a b c "


def test_several_requests_of_one_grpc_stream_alternate_and_an_error_is_one_of_theirs(server: Standalone) -> None:
    results = grpc_streamed(server, ["slowly 0.05 a b c d", "fails x", "slowly 0.05 e f g h"])
    errors = [error for _, error in results if error is not None]
    assert ["no more words" in str(error) for error in errors] == [True]
    found = [result for result, error in results if error is None]
    by_id: dict[str, str] = {}
    order = []
    for result in found:
        text = result.as_numpy("text")
        if text is not None:
            identifier = result.get_response().id
            by_id[identifier] = by_id.get(identifier, "") + text[0].decode()
            order.append(identifier)
    assert by_id == {"0": "a b c d ", "1": "x ", "2": "e f g h "}
    assert order.index("2") < len(order) - 1 - order[::-1].index("0")


def test_a_model_that_does_not_stream_answers_once_on_a_grpc_stream(server: Standalone) -> None:
    values = np.array([[1.0, 2.0]], np.float32)
    tensor = triton.InferInput("features", [1, 2], "FP32")
    tensor.set_data_from_numpy(values)
    got: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}") as client:
        client.start_stream(lambda result, error: got.put((result, error)))
        client.async_stream_infer("fine", [tensor])
        result, error = got.get(timeout=10)
        client.async_stream_infer("nowhere", [tensor])
        _, missing = got.get(timeout=10)
        client.async_stream_infer("fine", [tensor])
        again, _ = got.get(timeout=10)
        client.stop_stream()
    assert error is None
    assert result.as_numpy("prediction").tolist() == again.as_numpy("prediction").tolist() == [11.0]
    assert result.get_response().parameters["triton_final_response"].bool_param
    assert "there is no endpoint 'nowhere'" in str(missing)


def test_a_grpc_client_that_leaves_has_the_model_stop(server: Standalone, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    got: queue.Queue[Any] = queue.Queue()
    client = triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}")
    client.start_stream(lambda result, error: got.put((result, error)))
    client.async_stream_infer("small", [prompt_tensor(f"witnessed {witness}")])
    got.get(timeout=10)
    client.stop_stream(cancel_requests=True)
    client.close()
    soon(lambda: witness.exists() and witness.read_text() == "closed")
    soon(lambda: counts(server)["open_streams"] == 0)


def test_a_slow_grpc_client_has_the_model_wait_and_gets_all_in_the_end(server: Standalone, tmp_path: Path) -> None:
    made, goes_on = tmp_path / "made", threading.Event()
    got: queue.Queue[Any] = queue.Queue()

    def take(result: Any, error: Any) -> None:
        goes_on.wait(20)
        got.put((result, error))

    with triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}") as client:
        client.start_stream(take)
        client.async_stream_infer("small", [prompt_tensor(f"big {made} 700")])
        soon(lambda: made.exists() and made.stat().st_size > 1)
        time.sleep(0.5)
        waiting = made.stat().st_size
        time.sleep(0.5)
        assert made.stat().st_size == waiting < 690
        assert works(server)
        goes_on.set()
        found = [got.get(timeout=10) for _ in range(701)]
        client.stop_stream()
    assert all(error is None for _, error in found)
    assert sum(result.as_numpy("text") is not None for result, _ in found) == 700


def test_one_whole_text_over_grpc(server: Standalone) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}") as client:
        assert client.infer("small", [prompt_tensor("say a b")]).as_numpy("text").tolist() == [b"a b "]


def prompt_tensor(prompt: str) -> Any:
    tensor = triton.InferInput("prompt", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([prompt.encode()], np.object_))
    return tensor


def grpc_streamed(server: Standalone, prompts: list[str]) -> list[tuple[Any, Any]]:
    """All that comes for some prompts on one stream, until each has its last message."""
    got: queue.Queue[Any] = queue.Queue()
    found, left = [], len(prompts)
    with triton.InferenceServerClient(f"127.0.0.1:{server.where['grpc_port']}") as client:
        client.start_stream(lambda result, error: got.put((result, error)))
        for number, prompt in enumerate(prompts):
            client.async_stream_infer("small", [prompt_tensor(prompt)], request_id=str(number))
        while left:
            result, error = got.get(timeout=10)
            found.append((result, error))
            left -= error is not None or "triton_final_response" in result.get_response().parameters
        client.stop_stream()
    return found
