"""grpcio's own servers with the same model: python -m benchmarks.serving.grpcio_server aio|threads MODEL PORT"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.serving.model import FEATURES

KIND, MODEL, PORT = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3
session = onnxruntime.InferenceSession(Path(MODEL).read_bytes(), options, providers=["CPUExecutionProvider"])
INPUT, OUTPUT = session.get_inputs()[0].name, session.get_outputs()[-1].name


def infer(request: Any) -> Any:
    if request.raw_input_contents:
        rows = np.frombuffer(request.raw_input_contents[0], "<f4").reshape(-1, FEATURES)
    else:
        rows = np.array(request.inputs[0].contents.fp32_contents, np.float32).reshape(-1, FEATURES)
    (scores,) = session.run([OUTPUT], {INPUT: rows})
    answer = service_pb2.ModelInferResponse(model_name=request.model_name)
    answer.outputs.add(name="prediction", datatype="FP32", shape=[len(rows)])
    answer.raw_output_contents.append(scores[:, -1].tobytes())
    return answer


class Asynchronous(service_pb2_grpc.GRPCInferenceServiceServicer):
    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return infer(request)


class Threaded(service_pb2_grpc.GRPCInferenceServiceServicer):
    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return infer(request)


async def serve_asynchronously() -> None:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Asynchronous(), server)
    port = server.add_insecure_port(f"127.0.0.1:{PORT}")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def serve_with_threads() -> None:
    server = grpc.server(ThreadPoolExecutor(8))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Threaded(), server)
    port = server.add_insecure_port(f"127.0.0.1:{PORT}")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if KIND == "aio":
    asyncio.run(serve_asynchronously())
else:
    serve_with_threads()
