"""gRPC as its own clients see it: Triton's, and grpcio's generic stubs with health and reflection."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf import descriptor_pb2
from tritonclient.grpc import service_pb2

from noria.serving.protocol.messages import HEALTH_SERVICE, INFERENCE_SERVICE, health, inference, reflection
from servers import Standalone, make_bundle


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    folder = tmp_path_factory.mktemp("grpc")
    running = Standalone(folder / "server", make_bundle(folder / "bundles", 10.0).path, grpc_port=0, max_body_bytes=3_000_000)
    yield running
    running.kill()


@pytest.fixture
def address(server: Standalone) -> str:
    return f"127.0.0.1:{server.where['grpc_port']}"


@pytest.fixture
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as found:
        yield found


def matrix(rows: Any) -> triton.InferInput:
    values = np.array(rows, np.float32)
    tensor = triton.InferInput("features", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    return tensor


def test_triton(client: triton.InferenceServerClient, server: Standalone) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("small")
    assert client.get_server_metadata().name == "noria"
    metadata = client.get_model_metadata("small")
    assert [i.name for i in metadata.inputs] == ["a", "b"]
    assert list(metadata.versions) == [server.where["endpoints"]["small"]]
    result = client.infer("small", [matrix([[1.5, 0], [2.5, 0]])], request_id="q1")
    assert result.as_numpy("prediction").tolist() == [11.5, 12.5]
    assert result.get_response().id == "q1"
    ids = [text.decode() for text in result.as_numpy("prediction_id")]
    assert set(ids) <= set(server.logged())
    only = client.infer("small", [matrix([[1.0, 0]])], outputs=[triton.InferRequestedOutput("prediction")])
    assert only.as_numpy("prediction").tolist() == [11.0]
    assert only.as_numpy("prediction_id") is None


def test_typed_contents_are_answered_in_kind_and_keys_are_logged(address: str) -> None:
    request = service_pb2.ModelInferRequest(model_name="small")
    for name, datatype, field, value in (("a", "FP64", "fp64_contents", 2.0), ("b", "INT32", "int_contents", 7)):
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[1])
        getattr(tensor.contents, field).append(value)
    request.parameters["keys"].string_param = '["o1"]'
    answer = call(address, INFERENCE_SERVICE, "ModelInfer", request, service_pb2.ModelInferResponse)
    assert list(answer.outputs[0].contents.fp64_contents) == [12.0]
    assert len(answer.outputs[1].contents.bytes_contents) == 1


def encoded(message: Any) -> bytes:
    data: bytes = message if isinstance(message, bytes) else message.SerializeToString()
    return data


def call(address: str, service: str, method: str, request: Any, answer: Any, *, timeout: float = 10, **options: Any) -> Any:
    with grpc.insecure_channel(address) as channel:
        made = channel.unary_unary(f"/{service}/{method}", request_serializer=encoded, response_deserializer=answer.FromString)
        return made(request, timeout=timeout, **options)


def infer(**changes: Any) -> Any:
    request = service_pb2.ModelInferRequest(model_name="small")
    tensor = request.inputs.add(name="features", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(np.zeros(2, np.float32).tobytes())
    for name, value in changes.items():
        if name in ("shape",):
            del tensor.shape[:]
            tensor.shape.extend(value)
        elif name in ("datatype", "name"):
            setattr(tensor, name, value)
        elif name == "raw":
            del request.raw_input_contents[:]
            request.raw_input_contents.extend(value)
        elif name == "keys":
            request.parameters["keys"].string_param = value
        elif name == "output":
            request.outputs.add(name=value)
        else:
            setattr(request, name, value)
    return request


BAD = [
    ("no such model", infer(model_name="smal"), grpc.StatusCode.NOT_FOUND, "no endpoint 'smal'"),
    ("no such version", infer(model_version="7"), grpc.StatusCode.NOT_FOUND, "version '7'"),
    ("too few bytes", infer(raw=[b"1234"]), grpc.StatusCode.INVALID_ARGUMENT, "4 bytes"),
    ("raw contents of another number", infer(raw=[b"", b""]), grpc.StatusCode.INVALID_ARGUMENT, "2 raw contents for 1"),
    ("no such datatype", infer(datatype="FP23"), grpc.StatusCode.INVALID_ARGUMENT, "FP23"),
    ("no such input", infer(name="x", shape=[2]), grpc.StatusCode.INVALID_ARGUMENT, "no feature 'x'"),
    ("negative shape", infer(shape=[-1, 2]), grpc.StatusCode.INVALID_ARGUMENT, "shape"),
    ("huge shape", infer(shape=[10_000, 2**40]), grpc.StatusCode.INVALID_ARGUMENT, "shape"),
    ("keys that are no JSON", infer(keys="o1"), grpc.StatusCode.INVALID_ARGUMENT, "keys"),
    ("no such output", infer(output="p"), grpc.StatusCode.INVALID_ARGUMENT, "no output 'p'"),
    ("not protobuf", b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, "can't be parsed"),
    ("infinite", infer(raw=[np.array([np.inf, 0], np.float32).tobytes()]), grpc.StatusCode.INVALID_ARGUMENT, "too large"),
    ("a model that fails", infer(raw=[np.array([np.nan, 0], np.float32).tobytes()]), grpc.StatusCode.INTERNAL, "returned no result"),
    ("too large", bytes(3_500_000), grpc.StatusCode.RESOURCE_EXHAUSTED, "too large"),
]


@pytest.mark.parametrize(("request_", "status", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_call_is_told_what_is_wrong(address: str, request_: Any, status: grpc.StatusCode, words: str) -> None:
    with pytest.raises(grpc.RpcError) as told:
        call(address, INFERENCE_SERVICE, "ModelInfer", request_, service_pb2.ModelInferResponse)
    assert told.value.code() == status
    assert words in told.value.details()


def test_what_is_not_there_is_unimplemented(address: str) -> None:
    for service, method in ((INFERENCE_SERVICE, "RepositoryIndex"), ("no.Such", "Thing")):
        with pytest.raises(grpc.RpcError) as told:
            call(address, service, method, infer(), service_pb2.ModelInferResponse)
        assert told.value.code() == grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as told:
        call(address, INFERENCE_SERVICE, "ModelInfer", infer(), service_pb2.ModelInferResponse, compression=grpc.Compression.Gzip)
    assert told.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_many_calls_at_once_on_one_connection(address: str) -> None:
    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(16) as pool:
        made = channel.unary_unary(
            f"/{INFERENCE_SERVICE}/ModelInfer",
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )

        def one(value: int) -> bool:
            answer = made(infer(raw=[np.array([value, 0], np.float32).tobytes()], id=str(value)), timeout=10)
            return bool(answer.id == str(value) and np.frombuffer(answer.raw_output_contents[0], "<f8")[0] == value + 10.0)

        assert all(pool.map(one, range(2_000)))


def test_a_large_call_and_its_answer_pass_the_windows(client: triton.InferenceServerClient) -> None:
    rows = np.zeros((10_000, 2), np.float32)
    rows[:, 0] = np.arange(10_000)
    assert client.infer("small", [matrix(rows)]).as_numpy("prediction").tolist() == (np.arange(10_000) + 10.0).tolist()


def test_health_and_reflection(address: str) -> None:
    ask, answer = health["HealthCheckRequest"], health["HealthCheckResponse"]
    for service in ("", INFERENCE_SERVICE, HEALTH_SERVICE):
        assert call(address, HEALTH_SERVICE, "Check", ask(service=service), answer).status == 1
    with pytest.raises(grpc.RpcError) as told:
        call(address, HEALTH_SERVICE, "Check", ask(service="x"), answer)
    assert told.value.code() == grpc.StatusCode.NOT_FOUND
    for service, messages in reflection.items():
        request, reply = messages["ServerReflectionRequest"], messages["ServerReflectionResponse"]
        with grpc.insecure_channel(address) as channel:
            stream = channel.stream_stream(
                f"/{service}/ServerReflectionInfo",
                request_serializer=encoded,
                response_deserializer=reply.FromString,
            )
            asked = [request(list_services=""), request(file_containing_symbol=INFERENCE_SERVICE), request(file_by_filename="x")]
            listed, file, missing = stream(iter(asked), timeout=10)
        assert INFERENCE_SERVICE in [s.name for s in listed.list_services_response.service]
        found = descriptor_pb2.FileDescriptorProto.FromString(file.file_descriptor_response.file_descriptor_proto[0])
        assert [s.name for s in found.service] == ["GRPCInferenceService"]
        assert missing.error_response.error_code == 5


def test_the_messages_are_those_that_triton_knows() -> None:
    """Field by field: number, type, label and oneof of every message, against the definitions that Triton's client ships."""
    theirs = {m.name: m for m in service_pb2.DESCRIPTOR.message_types_by_name.values()}
    mine = inference["ModelInferRequest"].DESCRIPTOR.file
    for message in mine.message_types_by_name.values():
        fields = {f.name: (f.number, f.type, f.is_repeated) for f in message.fields}
        known = {f.name: (f.number, f.type, f.is_repeated) for f in theirs[message.name].fields}
        assert fields.items() <= known.items(), message.name


def test_a_deadline_that_passes_ends_the_call_and_a_watch_sees_health_change(tmp_path: Any) -> None:
    server = Standalone(tmp_path / "server", make_bundle(tmp_path / "bundles").path, grpc_port=0)
    address = f"127.0.0.1:{server.where['grpc_port']}"
    try:
        with grpc.insecure_channel(address) as channel:
            watch = channel.unary_stream(
                f"/{HEALTH_SERVICE}/Watch",
                request_serializer=encoded,
                response_deserializer=health["HealthCheckResponse"].FromString,
            )(health["HealthCheckRequest"](), timeout=20)
            assert next(watch).status == 1
            (worker,) = server.workers()
            os.kill(worker, signal.SIGSTOP)
            with pytest.raises(grpc.RpcError) as told:
                call(address, INFERENCE_SERVICE, "ModelInfer", infer(), service_pb2.ModelInferResponse, timeout=0.3)
            assert told.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            os.kill(worker, signal.SIGCONT)
            (folder,) = (server.folder / "log").glob("w*")
            (folder / ".probe").unlink()
            (folder / ".probe").mkdir()
            (folder / ".probe" / "x").touch()
            assert next(watch).status == 2
            start = time.monotonic()
            server.stop()
            with pytest.raises(StopIteration):
                next(watch)
            assert time.monotonic() - start < 8
    finally:
        server.kill()
