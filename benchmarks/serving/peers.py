"""Other servers with the same model. Each runs in an environment of its own: python peers.py KIND MODEL FEATURES PORT

They are set up as their own guides say: the model in ONNX Runtime on one thread, JSON in, JSON out. "-inline" are FastAPI and MLServer
tuned by hand for a model as quick as this one: it answers in the server's own event loop, where a slower one would hold up everybody.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

KIND, MODEL, FEATURES, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


class Model:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(Path(MODEL).read_bytes(), options, providers=["CPUExecutionProvider"])
        self.input, self.output = self.session.get_inputs()[0].name, self.session.get_outputs()[-1].name

    def predict(self, rows: np.ndarray) -> list[float]:
        (scores,) = self.session.run([self.output], {self.input: rows})
        return scores[:, -1].tolist()

    def row(self, row: dict[str, Any]) -> float:
        return self.predict(np.array([[row[f"f{i}"] for i in range(FEATURES)]], np.float32))[0]


def fastapi(*, inline: bool = False) -> None:
    """A call that does not await belongs into a thread of FastAPI's pool, says its documentation."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import create_model

    app, model = FastAPI(), Model()
    row = create_model("Row", **{f"f{i}": (float | None, ...) for i in range(FEATURES)})
    body = create_model("Body", rows=(list[row], ...))

    def predict(asked: body) -> dict[str, list[float]]:  # type: ignore[valid-type]
        rows = [[getattr(r, f"f{i}") for i in range(FEATURES)] for r in asked.rows]
        return {"predictions": model.predict(np.array(rows, np.float32))}

    async def predict_here(asked: body) -> dict[str, list[float]]:  # type: ignore[valid-type]
        return predict(asked)

    handler = predict_here if inline else predict
    handler.__annotations__["asked"] = body
    app.post("/predict")(handler)
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", loop="uvloop", http="httptools")


if KIND == "litserve":  # its processes are spawned, and find the class in this module
    import litserve as ls

    class Api(ls.LitAPI):
        def setup(self, device: str) -> None:  # noqa: ARG002
            self.model = Model()

        def decode_request(self, request):  # an annotation would make it a query parameter
            return request["rows"][0]

        def predict(self, rows: Any) -> Any:
            return [self.model.row(row) for row in rows]

        def encode_response(self, output: Any) -> Any:
            return {"predictions": [output]}


def litserve() -> None:
    server = ls.LitServer(Api(max_batch_size=64, batch_timeout=0.002), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=PORT, log_level="warning", generate_client_file=False)


def ray() -> None:
    import time

    from ray import serve
    from starlette.requests import Request

    @serve.deployment(num_replicas=1, max_ongoing_requests=256)
    class Api:
        def __init__(self) -> None:
            self.model = Model()

        async def __call__(self, request: Request) -> Any:
            return {"predictions": [self.model.row((await request.json())["rows"][0])]}

    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Api.bind(), route_prefix="/predict")
    while True:
        time.sleep(1)


def bentoml() -> None:
    import os
    import subprocess

    service = Path(MODEL).parent / "bento_service.py"
    service.write_text(
        "import bentoml, sys, typing\n"
        f"sys.argv = ['peers.py', 'none', {MODEL!r}, '{FEATURES}', '0']\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from peers import Model\n"
        "@bentoml.service(workers=1)\n"
        "class Api:\n"
        "    def __init__(self): self.model = Model()\n"
        "    @bentoml.api\n"
        "    def predict(self, rows: list[dict]) -> dict: return {'predictions': [self.model.row(rows[0])]}\n"
    )
    command = [str(Path(sys.executable).with_name("bentoml")), "serve", "bento_service:Api", "--port", str(PORT), "--host", "127.0.0.1"]
    os.chdir(service.parent)
    sys.exit(subprocess.run(command, env={**os.environ, "BENTOML_DO_NOT_TRACK": "1"}, check=False).returncode)


if KIND.startswith("mlserver"):  # its pool's processes are spawned, and find the class in this module
    from mlserver import MLModel, MLServer, ModelSettings, Settings
    from mlserver.codecs import NumpyCodec
    from mlserver.types import InferenceRequest, InferenceResponse

    class Runtime(MLModel):
        async def load(self) -> bool:
            self.own = Model()
            return True

        async def predict(self, payload: InferenceRequest) -> InferenceResponse:
            rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
            answer = NumpyCodec.encode_output("prediction", np.array(self.own.predict(rows)))
            return InferenceResponse(model_name=self.name, outputs=[answer])


def mlserver(*, workers: int) -> None:
    """`workers`: of its pool for inference; 1 is its default, 0 answers in the server's own process."""
    import asyncio

    settings = Settings(http_port=PORT, host="127.0.0.1", grpc_port=PORT + 1, metrics_port=PORT + 2, parallel_workers=workers, debug=False)

    async def serve() -> None:  # its pool wants a running loop
        await MLServer(settings).start([ModelSettings(name="bench", implementation=Runtime)])

    asyncio.run(serve())


if __name__ == "__main__":
    {
        "fastapi": fastapi,
        "fastapi-inline": lambda: fastapi(inline=True),
        "litserve": litserve,
        "ray": ray,
        "bentoml": bentoml,
        "mlserver": lambda: mlserver(workers=1),
        "mlserver-inline": lambda: mlserver(workers=0),
    }[KIND]()
