"""BERT encoders as ONNX, written from the weights of a folder: no torch is needed, and the graph is made of ONNX Runtime's fused operators.

Devlin, Chang, Lee & Toutanova 2019; the layers and the names of their weights are those of Hugging Face's `BertModel`, which MiniLM, BGE,
E5, GTE and most small sentence-transformers are. Weights are read from safetensors, whose format has no code in it
(https://github.com/huggingface/safetensors: eight bytes of length, a JSON header, numbers).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.llm.embedding.port import NotAnEmbedder

WEIGHTS, CONFIG = "model.safetensors", "config.json"
OPSET, IR_VERSION, CONTRIB = 17, 8, "com.microsoft"
TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
Array = NDArray[Any]


def is_bert(folder: Path) -> bool:
    """Whether a folder has weights that `bert_graph` can write as ONNX."""
    if not ((folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()):
        return False
    config = json.loads((folder / CONFIG).read_bytes())
    plain = config.get("position_embedding_type", "absolute") == "absolute" and config.get("hidden_act") == "gelu"
    return bool(config.get("model_type") == "bert" and plain)


def bert_graph(folder: Path) -> bytes:
    """The ONNX model of a folder: token ids, mask and types `(texts, tokens)` int64 → states `(texts, tokens, dimension)` float32.

    Raises `NotAnEmbedder` where weights are missing, and `MissingExtra`.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(library="onnx", extra="llm", needed_for="embedding models that are not ONNX yet") from error
    config, weights = json.loads((folder / CONFIG).read_bytes()), read_safetensors(folder / WEIGHTS)
    graph = _Graph(folder, weights, float(config.get("layer_norm_eps", 1e-12)))
    states = graph.embeddings()
    for layer in range(int(config["num_hidden_layers"])):
        states = graph.layer(states, f"encoder.layer.{layer}", int(config["num_attention_heads"]))
    helper, kind = onnx.helper, onnx.TensorProto
    inputs = [helper.make_tensor_value_info(name, kind.INT64, ["texts", "tokens"]) for name in INPUTS]
    output = helper.make_tensor_value_info(states, kind.FLOAT, ["texts", "tokens", int(config["hidden_size"])])
    made = helper.make_graph(graph.nodes, "bert", inputs, [output], graph.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    written: bytes = helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()
    return written


def read_safetensors(path: Path) -> dict[str, Array]:
    """The arrays of a file as float32, by their names; whole numbers are left out. Raises `NotAnEmbedder`."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    try:
        header: Mapping[str, Any] = json.loads(data[8 : 8 + size])
        found = dict[str, Array]()
        for name, about in header.items():
            if name == "__metadata__" or about["dtype"] not in TYPES:
                continue
            at, end = about["data_offsets"]
            raw = np.frombuffer(data[8 + size + at : 8 + size + end], TYPES[about["dtype"]])
            if about["dtype"] == "BF16":
                raw = (raw.astype("<u4") << 16).view("<f4")
            found[name.removeprefix("bert.")] = raw.astype(np.float32).reshape(about["shape"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotAnEmbedder(path.parent, f"{path.name} is no safetensors file: {error}") from error
    return found


class _Graph:
    """The nodes and constants of a graph that grows."""

    def __init__(self, folder: Path, weights: Mapping[str, Array], epsilon: float) -> None:
        self._folder, self._weights, self._epsilon = folder, weights, epsilon
        self.nodes, self.constants = list[Any](), list[Any]()

    def embeddings(self) -> str:
        """The sum of what a token, its place and its type are, normalized; and the mask as attention takes it."""
        words = self._add("Gather", [self._weight("embeddings.word_embeddings.weight"), "input_ids"], axis=0)
        shape = self._add("Shape", ["input_ids"], start=1, end=2)
        zero, one = self._constant("zero", np.array([0], np.int64)), self._constant("one", np.array([1], np.int64))
        places = self._add("Slice", [self._weight("embeddings.position_embeddings.weight"), zero, shape, zero, one])
        kinds = self._add("Gather", [self._weight("embeddings.token_type_embeddings.weight"), "token_type_ids"], axis=0)
        self._add("Cast", ["attention_mask"], output="mask", to=6)  # int32
        whole = self._add("Add", [self._add("Add", [words, kinds]), places])
        name = "embeddings.LayerNorm"
        return self._add("LayerNormalization", [whole, *self._norm(name)], axis=-1, epsilon=self._epsilon)

    def layer(self, states: str, name: str, heads: int) -> str:
        own, parts = f"{name}.attention.self", ("query", "key", "value")
        joined = np.concatenate([self._array(f"{own}.{part}.weight").T for part in parts], axis=1)
        bias = self._constant(f"{own}.bias", np.concatenate([self._array(f"{own}.{part}.bias") for part in parts]))
        asked = self._add("MatMul", [states, self._constant(f"{own}.weight", joined)])
        thirds = self._split(asked, joined.shape[1] // 3)
        attended = self._add("MultiHeadAttention", [*thirds, bias, "mask"], domain=CONTRIB, num_heads=heads)
        states = self._added(states, attended, f"{name}.attention.output")
        inner = self._add("MatMul", [states, self._matrix(f"{name}.intermediate.dense.weight")])
        inner = self._add("BiasGelu", [inner, self._weight(f"{name}.intermediate.dense.bias")], domain=CONTRIB)
        return self._added(states, inner, f"{name}.output")

    def _added(self, states: str, inner: str, name: str) -> str:
        """What a part of a layer says, added to what came into it, and normalized."""
        projected = self._add("MatMul", [inner, self._matrix(f"{name}.dense.weight")])
        given = [projected, states, *self._norm(f"{name}.LayerNorm"), self._weight(f"{name}.dense.bias")]
        return self._add("SkipLayerNormalization", given, domain=CONTRIB, epsilon=self._epsilon)

    def _split(self, joined: str, size: int) -> list[str]:
        import onnx

        sizes = self._constant(f"{joined}.sizes", np.array([size] * 3, np.int64))
        outputs = [f"{joined}.{place}" for place in range(3)]
        self.nodes.append(onnx.helper.make_node("Split", [joined, sizes], outputs, name=f"{joined}.split", axis=-1))
        return outputs

    def _norm(self, name: str) -> list[str]:
        return [self._weight(f"{name}.weight"), self._weight(f"{name}.bias")]

    def _add(self, operator: str, inputs: list[str], *, output: str = "", domain: str = "", **attributes: Any) -> str:
        import onnx

        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def _weight(self, name: str) -> str:
        return self._constant(name, self._array(name))

    def _matrix(self, name: str) -> str:
        """A linear layer's weight as MatMul takes it: inputs × outputs."""
        return self._constant(name, self._array(name).T)

    def _constant(self, name: str, value: Array) -> str:
        import onnx

        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _array(self, name: str) -> Array:
        older = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        found = self._weights.get(name, self._weights.get(older))
        if found is None:
            raise NotAnEmbedder(self._folder, f"{WEIGHTS} has no {name!r}")
        return found
