"""A Llama of a GGUF file as an ONNX graph, by the operators that ONNX Runtime has for language models.

Weights of 4 bits stay so. GGUF's are `code · scale + least`, and the operator's `(code − 8) · scale`, so the rest of each block of 32,
`least + 8 · scale`, is multiplied with the sum of what the block is multiplied with: exact, for a 32nd of the work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.llm.generation.local.gguf import Gguf, dequantised, four_bits, not_a_model

MICROSOFT = "com.microsoft"
BLOCK = 32
LONGEST = 32_768  # positions that a graph is made for, at most


@dataclass(frozen=True)
class Shape:
    """What a Llama is like."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    context: int
    vocabulary: int
    epsilon: float
    base: float

    @staticmethod
    def of(file: Gguf) -> Shape:
        """Raises `BadRequest` where it is another kind of model."""
        if file.setting("general.architecture") != "llama":
            raise not_a_model(file.path, f"its architecture is {file.setting('general.architecture')}")
        told = {
            name: file.setting(f"llama.{name}") for name in ("block_count", "embedding_length", "attention.head_count", "context_length")
        }
        heads, width = told["attention.head_count"], told["embedding_length"]
        return Shape(
            layers=told["block_count"],
            width=width,
            heads=heads,
            kv_heads=file.settings.get("llama.attention.head_count_kv", heads),
            head=file.settings.get("llama.rope.dimension_count", width // heads),
            context=min(told["context_length"], LONGEST),
            vocabulary=file.tensor("token_embd.weight").shape[0],
            epsilon=file.setting("llama.attention.layer_norm_rms_epsilon"),
            base=file.settings.get("llama.rope.freq_base", 10_000.0),
        )


@dataclass
class _Writer:
    """The parts of a graph, as they are added. A name is given once."""

    file: Gguf
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    sums: dict[str, str] = field(default_factory=dict)

    def weight(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, *more: str, domain: str = "", **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name, *more], domain=domain, **attributes))
        return name

    def norm(self, states: str, added: str | None, weight: str, name: str, epsilon: float) -> tuple[str, str]:
        """The normed sum of two, and the sum."""
        scale = self.weight(weight, dequantised(self.file.tensor(weight)).reshape(-1))
        if added is None:
            return self.node("SimplifiedLayerNormalization", [states, scale], name, epsilon=epsilon, axis=-1), states
        both = f"{name}.sum"
        self.node("SkipSimplifiedLayerNormalization", [states, added, scale], name, "", "", both, domain=MICROSOFT, epsilon=epsilon)
        return name, both

    def linear(self, states: str, tensors: list[str], name: str) -> str:
        """What several matrices make of the same states, side by side."""
        found = [self.file.tensor(tensor) for tensor in tensors]
        if any(tensor.kind not in ("Q4_0", "Q4_1") for tensor in found):
            whole = np.concatenate([dequantised(tensor) for tensor in found])
            return self.node("MatMul", [states, self.weight(f"{name}.weight", whole.T)], name)
        parts = [four_bits(tensor) for tensor in found]
        scales, least, codes = (np.concatenate(each) for each in zip(*parts, strict=True))
        rows, blocks = scales.shape
        packed = self.weight(f"{name}.codes", codes[..., 0::2] | (codes[..., 1::2] << 4))
        inputs = [states, packed, self.weight(f"{name}.scales", scales.reshape(-1))]
        attributes: dict[str, Any] = {"K": blocks * BLOCK, "N": rows, "bits": 4, "block_size": BLOCK, "accuracy_level": 1}
        quantised = self.node("MatMulNBits", inputs, f"{name}.codes·", domain=MICROSOFT, **attributes)
        rest = least + 8 * scales
        if not rest.any():
            return quantised
        by_block = self.node("MatMul", [self._block_sums(states, blocks), self.weight(f"{name}.rest", rest.T)], f"{name}.rest·")
        return self.node("Add", [quantised, by_block], name)

    def _block_sums(self, states: str, blocks: int) -> str:
        if states not in self.sums:
            shape = self.weight(f"{states}.blocks", np.array([1, -1, blocks, BLOCK], np.int64))
            by_block = self.node("Reshape", [states, shape], f"{states}.by_block")
            axis = self.weight(f"{states}.axis", np.array([-1], np.int64))
            self.sums[states] = self.node("ReduceSum", [by_block, axis], f"{states}.sums", keepdims=0)
        return self.sums[states]


def graph_of(file: Gguf) -> bytes:
    """An ONNX model: tokens, and keys and values so far, to the next token's logits `(1, vocabulary)`. Raises `BadRequest`, `MissingExtra`.

    Keys and values are `(1, heads, length, head)` float32, the same buffer in and out.
    """
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise MissingExtra(library="onnx", extra="llm-local", needed_for="models that write in this process") from error
    shape, writer = Shape.of(file), _Writer(file)
    values = helper.make_tensor_value_info
    inputs = [
        values("tokens", TensorProto.INT64, [1, "count"]),
        values("last", TensorProto.INT32, [1]),
        values("length", TensorProto.INT32, []),
    ]
    outputs = [values("logits", TensorProto.FLOAT, [1, shape.vocabulary])]
    of_cache = [1, shape.kv_heads, "room", shape.head]
    for layer in range(shape.layers):
        for name in "kv":
            inputs.append(values(f"past.{layer}.{name}", TensorProto.FLOAT, of_cache))
            outputs.append(values(f"present.{layer}.{name}", TensorProto.FLOAT, of_cache))
    _nodes(writer, shape)
    graph = helper.make_graph(writer.nodes, "llama", inputs, outputs, writer.weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def _nodes(writer: _Writer, shape: Shape) -> None:
    embedding = writer.weight("embedding", dequantised(writer.file.tensor("token_embd.weight")))
    angles = np.arange(shape.context)[:, None] / shape.base ** (np.arange(0, shape.head, 2) / shape.head)
    writer.weight("cos", np.cos(angles).astype(np.float32))
    writer.weight("sin", np.sin(angles).astype(np.float32))
    states, added = writer.node("Gather", [embedding, "tokens"], "states"), None
    for layer in range(shape.layers):
        states, added = _layer(writer, shape, layer, states, added)
    normed, _ = writer.norm(states, added, "output_norm.weight", "normed", shape.epsilon)
    last = writer.node("Gather", [normed, writer.weight("end", np.array(-1, np.int64))], "last_state", axis=1)
    if "output.weight" in writer.file.tensors:
        embedding = writer.weight("output", dequantised(writer.file.tensor("output.weight")))
    writer.node("Gemm", [last, embedding], "logits", transB=1)


def _layer(writer: _Writer, shape: Shape, layer: int, states: str, added: str | None) -> tuple[str, str]:
    """The states after the attention, and what its feed-forward part adds to them."""
    at = f"blk.{layer}."
    normed, states = writer.norm(states, added, f"{at}attn_norm.weight", f"{at}normed", shape.epsilon)
    qkv = writer.linear(normed, [f"{at}attn_{name}.weight" for name in "qkv"], f"{at}qkv")
    kept = [f"past.{layer}.k", f"past.{layer}.v"]
    attended = writer.node(
        "GroupQueryAttention",
        [qkv, "", "", *kept, "last", "length", "cos", "sin"],
        f"{at}attended",
        f"present.{layer}.k",
        f"present.{layer}.v",
        domain=MICROSOFT,
        num_heads=shape.heads,
        kv_num_heads=shape.kv_heads,
        do_rotary=1,
        rotary_interleaved=1,  # as GGUF orders a Llama's queries and keys
    )
    added = writer.linear(attended, [f"{at}attn_output.weight"], f"{at}output")
    normed, states = writer.norm(states, added, f"{at}ffn_norm.weight", f"{at}ffn_normed", shape.epsilon)
    both = writer.linear(normed, [f"{at}ffn_gate.weight", f"{at}ffn_up.weight"], f"{at}gate_up")
    writer.node("Split", [both], f"{at}gate", f"{at}up", axis=-1)
    gated = writer.node("Mul", [f"{at}gate", writer.node("Sigmoid", [f"{at}gate"], f"{at}sigmoid")], f"{at}silu")
    inner = writer.node("Mul", [gated, f"{at}up"], f"{at}inner")
    return states, writer.linear(inner, [f"{at}ffn_down.weight"], f"{at}down")
