"""A graph that `onnxruntime.quantization.quantize_dynamic` wrote, with its numbers multiplied in full again.

Such a graph takes one scale for all numbers of a batch: a text's answer depends on the other texts of its batch, and outliers, which BERT
has (Bondarenko, Nagel & Blankevoort 2021, "Understanding and Overcoming the Challenges of Efficient Transformer Quantization"), leave the
others few steps. Its weights stay those of eight bits; what was lost by that is lost.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra

DYNAMIC, INTEGER = "DynamicQuantizeLinear", "MatMulInteger"


def is_quantized(model: bytes) -> bool:
    """Whether a graph quantizes what it multiplies by itself. It is read by its bytes, so that no library is needed where it does not."""
    return DYNAMIC.encode() in model and INTEGER.encode() in model


def unquantized(model: bytes) -> bytes:
    """The same model with MatMul for each dynamic quantization, multiplication of whole numbers, and scaling. Raises `MissingExtra`."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(library="onnx", extra="llm", needed_for="graphs that were quantized") from error
    loaded = onnx.load_from_string(model)
    graph = _Graph(loaded.graph)
    replaced, weights, gone = dict[int, Any](), dict[str, Any](), set[int]()
    for place, node in enumerate(loaded.graph.node):
        found = graph.multiplied(node) if node.op_type == INTEGER else None
        if found is None:
            continue
        given, weight, output, steps = found
        name = f"{node.input[1]}.float"
        weights[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(weight), name)
        gone |= steps
        replaced[place] = onnx.helper.make_node("MatMul", [given, name], [output], name=node.name)
    nodes = [replaced.get(place, node) for place, node in enumerate(loaded.graph.node) if place in replaced or place not in gone]
    nodes = _used(nodes, {each.name for each in loaded.graph.output})
    needed = {name for node in nodes for name in node.input}
    kept = [each for each in loaded.graph.initializer if each.name in needed] + [each for name, each in weights.items() if name in needed]
    made = onnx.helper.make_graph(nodes, loaded.graph.name, list(loaded.graph.input), list(loaded.graph.output), kept)
    written: bytes = onnx.helper.make_model(made, opset_imports=loaded.opset_import, ir_version=loaded.ir_version).SerializeToString()
    return written


class _Graph:
    """Who makes and who takes each value of a graph, and its constants."""

    def __init__(self, graph: Any) -> None:
        self._made, self._taken = dict[str, tuple[int, Any]](), defaultdict[str, list[tuple[int, Any]]](list)
        self._constants = {each.name: each for each in graph.initializer}
        for place, node in enumerate(graph.node):
            for name in node.output:
                self._made[name] = (place, node)
            for name in node.input:
                self._taken[name].append((place, node))
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t

    def multiplied(self, node: Any) -> tuple[str, NDArray[np.float32], str, set[int]] | None:
        """What a multiplication of whole numbers takes, its weight, what it becomes, and the places of the nodes between; None where it
        is not of the form that the quantizer writes: Mul(Cast(MatMulInteger(x, w)), Mul(scale of x, scale of w))."""
        _, quantizes = self._made.get(node.input[0], (0, None))
        cast = self._only_taken_by(node.output[0], "Cast")
        scaled = self._only_taken_by(cast[1].output[0], "Mul") if cast is not None else None
        if quantizes is None or quantizes.op_type != DYNAMIC or cast is None or scaled is None:
            return None
        of_both = next(name for name in scaled[1].input if name != cast[1].output[0])
        scales = self._made.get(of_both, (0, None))
        if scales[1] is None or scales[1].op_type != "Mul" or quantizes.output[1] not in scales[1].input:
            return None
        of_weight = next(name for name in scales[1].input if name != quantizes.output[1])
        weight, scale = self._array(node.input[1]), self._array(of_weight)
        zero = self._array(node.input[3]) if len(node.input) > 3 and node.input[3] else np.zeros((), np.float32)
        if weight is None or scale is None or zero is None:
            return None
        return quantizes.input[0], (weight - zero) * scale, scaled[1].output[0], {cast[0], scaled[0]}

    def _only_taken_by(self, name: str, kind: str) -> tuple[int, Any] | None:
        takes = self._taken[name]
        return takes[0] if len(takes) == 1 and takes[0][1].op_type == kind else None

    def _array(self, name: str) -> NDArray[np.float32] | None:
        import onnx

        found = self._constants.get(name)
        return None if found is None else onnx.numpy_helper.to_array(found).astype(np.float32)


def _used(nodes: list[Any], outputs: set[str]) -> list[Any]:
    """The nodes whose values are taken, in their order."""
    needed, kept = set(outputs), list[Any]()
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    return kept[::-1]
