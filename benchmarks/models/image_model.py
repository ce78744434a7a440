"""Models that read images of 224 × 224 × 3 bytes, for little: what is measured is the way of the bytes, not the arithmetic of a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.serving.model import LINEAGE
from noria.core.files import LocalFiles
from noria.core.signature import SCORE, Field, Signature
from noria.models.bundle import CARD_FILE, MODEL_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.runtimes.python_spec import PYTHON_FILE, SOURCE_FOLDER, PythonSpec, this_python

SIDE = 224
IMAGE = Field("image", "uint8", (None, None, 3), nullable=False)
SIGNATURE = Signature((IMAGE,), (SCORE,))
PYTHON = """
import numpy as np


def load(folder):
    return lambda columns: np.array([one["values"].values[0].as_py() for one in columns["image"]], float)
"""


def pictures(count: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Images of noise, all different `(count, side, side, 3)`."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def first_pixel() -> bytes:
    """A network that answers an image's first number: it has read the whole input, and computes next to nothing."""
    from onnx import TensorProto, helper

    ends = {"start": [0, 0, 0], "end": [1, 1, 1], "axes": [1, 2, 3]}
    nodes = [
        helper.make_node("Slice", ["image", *ends], ["corner"]),
        helper.make_node("Cast", ["corner"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["number"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [None, None, None, 3])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])]
    constants = [helper.make_tensor(name, TensorProto.INT64, [3], values) for name, values in ends.items()]
    graph = helper.make_graph(nodes, "corner", inputs, outputs, constants)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString())


def make_bundle(root: Path, runtime: str) -> Bundle:
    """A bundle that answers an image's first number, run by `onnx` or by `python`."""
    sample: dict[str, Any] = {"inputs": [[[[[7, 2, 3]]]], [[[[9, 8, 7]]]]], "outputs": [[7.0], [9.0]]}
    files = {MODEL_FILE: first_pixel()}
    if runtime == "python":
        spec = msgspec.json.encode(PythonSpec("corner:load", this_python(), {}))
        files = {PYTHON_FILE: spec, f"{SOURCE_FOLDER}/corner.py": PYTHON.encode()}
    contents = {**files, SAMPLE_FILE: json.dumps(sample).encode(), PROFILE_FILE: b"{}", CARD_FILE: b"# bench\n"}
    facts: dict[str, Any] = {"task": {}, "feature_set": "bench", "definition_hash": "", "run": runtime, "metrics": {}, "environment": {}}
    manifest = Manifest(name="bench", runtime=runtime, signature=SIGNATURE, lineage=LINEAGE, files={}, trust=runtime == "python", **facts)
    root.mkdir(parents=True, exist_ok=True)
    return write_bundle(root, manifest, contents, LocalFiles())


if __name__ == "__main__":
    print(make_bundle(Path(sys.argv[1]), sys.argv[2]).path)
