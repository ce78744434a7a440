"""A graph whose large matrices have eight bits a weight, and are multiplied in whole numbers.

Each column of weights has a scale of its own, and so has each row that is multiplied with it (Yao et al. 2022, "ZeroQuant", token-wise
quantization): so a text's vector depends on no other text of its batch, which it does with `onnxruntime.quantization.quantize_dynamic`,
whose one scale is that of the whole batch, and which loses more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra

CONTRIB = "com.microsoft"
ZERO, LARGEST = 128, 127.0
CONSTANTS = {
    "q8.zero": np.array(ZERO, np.uint8),
    "q8.one": np.array(1, np.float32),
    "q8.step": np.array(1 / LARGEST, np.float32),
    "q8.tiny": np.array(1e-12, np.float32),
}
MIN_ROWS = 32  # of a matrix, below which whole numbers save nothing


def eight_bits(model: bytes) -> bytes:
    """The same ONNX model with its constant matrices in eight bits. Raises `MissingExtra`."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(library="onnx", extra="llm", needed_for="models in eight bits") from error
    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    constants = {each.name: each for each in graph.initializer}
    nodes, rows, weights = list[Any](), dict[str, list[str]](), dict[str, list[str]]()
    for node in graph.node:
        weight = constants.get(node.input[1]) if node.op_type == "MatMul" and node.domain == "" else None
        if weight is None or len(weight.dims) != 2 or weight.data_type != onnx.TensorProto.FLOAT or weight.dims[0] < MIN_ROWS:
            nodes.append(node)
            continue
        if node.input[0] not in rows:
            rows[node.input[0]], made = _rows(node.input[0])
            nodes += made
        if weight.name not in weights:
            whole, scales = quantized(onnx.numpy_helper.to_array(weight))
            weights[weight.name] = [f"{weight.name}.q8", f"{weight.name}.q8_scales"]
            graph.initializer.extend(map(onnx.numpy_helper.from_array, (whole, scales), weights[weight.name]))
        nodes += _multiplied(rows[node.input[0]], weights[weight.name], node.output[0])
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in CONSTANTS.items())
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    if CONTRIB not in {each.domain for each in loaded.opset_import}:
        loaded.opset_import.append(onnx.helper.make_opsetid(CONTRIB, 1))
    written: bytes = loaded.SerializeToString()
    return written


def quantized(weight: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix `(inputs, outputs)` as whole numbers from -127 to 127, and the scale of each column `(outputs,)`."""
    scales = np.abs(weight).max(axis=0).astype(np.float32) / LARGEST
    whole = np.rint(weight / np.where(scales == 0, 1, scales))
    return whole.astype(np.int8), scales


def _rows(name: str) -> tuple[list[str], list[Any]]:
    """What a row's numbers become: whole ones around 128, and its scale; with the nodes that make them."""
    from onnx.helper import make_node

    own = f"{name}.q8"
    nodes = [
        make_node("Abs", [name], [f"{own}.abs"]),
        make_node("ReduceMax", [f"{own}.abs"], [f"{own}.max"], axes=[-1], keepdims=1),
        make_node("Mul", [f"{own}.max", "q8.step"], [f"{own}.raw"]),
        make_node("Max", [f"{own}.raw", "q8.tiny"], [f"{own}.scale"]),
        make_node("Div", [name, f"{own}.scale"], [f"{own}.scaled"]),
        make_node("QuantizeLinear", [f"{own}.scaled", "q8.one", "q8.zero"], [own]),
    ]
    return [own, f"{own}.scale"], nodes


def _multiplied(row: list[str], weight: list[str], output: str) -> list[Any]:
    from onnx.helper import make_node

    whole = make_node(
        "MatMulIntegerToFloat", [row[0], weight[0], "q8.one", weight[1], "q8.zero"], [f"{output}.q8"], domain=CONTRIB, name=f"{output}.q8"
    )
    return [whole, make_node("Mul", [f"{output}.q8", row[1]], [output], name=f"{output}.scaled")]
