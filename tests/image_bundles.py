"""Bundles whose models read images: a small convolutional network in ONNX, and Python that looks at pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from noria.core.signature import SCORE, Field, Signature
from noria.models.bundle import Bundle
from python_bundles import python_bundle
from servers import seal

IMAGE = Field("image", "uint8", (None, None, 3), nullable=False)
SMALL = Field("image", "float32", (3, 16, 12))
PRICE = Field("price", "float32")
FREE = Signature((IMAGE,), (SCORE,))
FIXED = Signature((SMALL,), (SCORE,))
BOTH = Signature((IMAGE, PRICE), (SCORE,))


def pictures(count: int, height: int = 24, width: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    """Images of noise `(count, height, width, 3)`."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def network(signature: Signature, channels: int = 4) -> bytes:
    """Conv, Relu, GlobalAveragePool, Gemm and Sigmoid over the first input (`uint8` has its channels last); plus the second."""
    image = signature.inputs[0]
    rng = np.random.default_rng(1)
    weights = {
        "kernel": rng.normal(size=(channels, 3, 3, 3)).astype(np.float32) / 4,
        "bias": rng.normal(size=channels).astype(np.float32) / 4,
        "head": rng.normal(size=(channels, 1)).astype(np.float32),
        "middle": np.zeros(1, np.float32),
        "scale": np.array(255.0, np.float32),
    }
    size = [None if each is None else each for each in image.shape]
    inputs, nodes, name = [], [], image.name
    if image.type == "uint8":
        inputs.append(helper.make_tensor_value_info(image.name, TensorProto.UINT8, [None, *size]))
        nodes += [
            helper.make_node("Cast", [image.name], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["wide", "scale"], ["light"]),
            helper.make_node("Transpose", ["light"], ["first"], perm=[0, 3, 1, 2]),
        ]
        name = "first"
    else:
        inputs.append(helper.make_tensor_value_info(image.name, TensorProto.FLOAT, [None, *size]))
    nodes += [
        helper.make_node("Conv", [name, "kernel", "bias"], ["folded"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["folded"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head", "middle"], ["logit"]),
    ]
    last = "logit"
    if len(signature.inputs) > 1:
        other = signature.inputs[1].name
        inputs.append(helper.make_tensor_value_info(other, TensorProto.FLOAT, [None, 1]))
        nodes.append(helper.make_node("Add", ["logit", other], ["more"]))
        last = "more"
    nodes.append(helper.make_node("Sigmoid", [last], ["scores"]))
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "network", inputs, outputs, constants)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString())


def answers(model: bytes, **inputs: NDArray[Any]) -> NDArray[np.float64]:
    """What ONNX Runtime itself says `(rows,)`."""
    session: Any = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0][:, 0], np.float64)


def network_bundle(root: Path, signature: Signature, profile: bytes = b"{}", more: Mapping[str, bytes] | None = None) -> Bundle:
    """The network, sealed with two images of its own as its sample, and a profile with what more it rests on."""
    model = network(signature)
    given = pictures(2, 6, 5)
    if signature.inputs[0] == SMALL:
        fixed = np.random.default_rng(0).normal(size=(2, *(size or 0 for size in SMALL.shape))).astype(np.float32)
        inputs: dict[str, NDArray[Any]] = {"image": fixed}
    else:
        inputs = {"image": given}
    if len(signature.inputs) > 1:
        inputs["price"] = np.array([[0.5], [-0.25]], np.float32)
    listed = [each.reshape(len(each)).tolist() if each.shape[1:] == (1,) else each.tolist() for each in inputs.values()]
    rows = [list(row) for row in zip(*listed, strict=True)]
    sample = rows, [[each] for each in answers(model, **inputs).tolist()]
    return seal(root, model, signature, sample, profile=profile, more=more)


# Answers how bright an image is, from 0 to 1: images of one size come as one array, others as Arrow has them.
BRIGHTNESS = """
import numpy as np


def load(folder):
    def predict(columns):
        images = columns["image"]
        if isinstance(images, np.ndarray):
            return images.reshape(len(images), -1).mean(axis=1) / 255
        return np.array([np.asarray(one["values"].values).mean() for one in images]) / 255
    return predict
"""


def brightness_bundle(root: Path, field: Field = IMAGE) -> Bundle:
    """A Python model that answers how bright an image is."""
    sample = np.full((1, *(size or 4 for size in field.shape)), 51, np.uint8)
    return python_bundle(root, BRIGHTNESS, signature=Signature((field,), (SCORE,)), sample=([[each] for each in sample.tolist()], [[0.2]]))
