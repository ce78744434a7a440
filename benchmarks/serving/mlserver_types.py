"""What Noria's server answers, read by MLServer's own types of the Open Inference Protocol; runs in MLServer's environment.

python mlserver_types.py URL MODEL FEATURES     prints {"read"}: how many kinds of answers its types accepted
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from typing import Any

from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import (
    InferenceErrorResponse,
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RequestInput,
)

URL, MODEL, FEATURES = sys.argv[1], sys.argv[2], int(sys.argv[3])


def asked(path: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(URL + path, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


def main() -> None:
    rows = [[0.5] * FEATURES, [None] * FEATURES]
    tensor = RequestInput(name="features", shape=[2, FEATURES], datatype="FP32", data=[value for row in rows for value in row])
    request = InferenceRequest(id="r1", inputs=[tensor])
    answer = InferenceResponse.model_validate(asked(f"/v2/models/{MODEL}/infer", request.model_dump_json(exclude_none=True).encode()))
    outputs = {output.name: output for output in answer.outputs}
    assert answer.id == "r1"
    assert answer.model_name
    assert NumpyCodec.decode_output(outputs["prediction"]).shape[0] == 2
    assert len(StringCodec.decode_output(outputs["prediction_id"])) == 2
    model = MetadataModelResponse.model_validate(asked(f"/v2/models/{MODEL}"))
    assert [tensor.name for tensor in model.inputs or []] == [f"f{i}" for i in range(FEATURES)]
    assert MetadataServerResponse.model_validate(asked("/v2")).name == "noria"
    assert InferenceErrorResponse.model_validate(asked(f"/v2/models/{MODEL}/infer", b"{}")).error
    print(json.dumps({"read": 4}))


main()
