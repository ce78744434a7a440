"""Graphs that converters made, put between the inputs and outputs that a bundle's signature has.

A converted graph reads one block, or a column for each input of its own; its last output has the answers `(rows, scores)`. Around it go
the choice and the types of columns, unknown answers where an original refuses an unknown value, and outputs by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import Signature, dense_type
from noria.models.export.graphs.canonical import canonical_bytes
from noria.models.runtimes.onnx import NULL_TEXT_KEY

OPSET, OPSET_ML, IR = 15, 3, 8
ML = "ai.onnx.ml"
BLOCK = "features"
NULL_TEXT = "\ue000null"  # what stands for a text that is unknown; of a private plane, so that no text is it


@dataclass
class Core:
    """A converted graph. columns: those of the signature that it reads, in its order; single: whether each is an input of its own, of that
    name; kind: of its numbers, `float32` or `float64`; refusing: the columns without whose value there is no answer"""

    model: Any
    columns: Sequence[str]
    kind: str
    single: bool = False
    refusing: Sequence[str] = ()
    null_text: bool = False
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    count: int = 0

    def served(self, signature: Signature) -> bytes:
        """The bytes of the whole graph."""
        from onnx import compose, helper

        inner = compose.add_prefix(self.model, "model/")
        self.nodes, self.constants, self.count = [], [], 0
        inputs = self._inputs(signature)
        entries = self._entries(signature)
        renamed = dict(zip([each.name for each in inner.graph.input], entries, strict=True))
        for node in inner.graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
        before, self.nodes = self.nodes, []
        outputs = self._outputs(signature, self._guarded(inner.graph.output[-1].name, signature))
        graph = helper.make_graph(
            [*before, *inner.graph.node, *self.nodes], "model", inputs, outputs, [*inner.graph.initializer, *self.constants]
        )
        versions = {each.domain: each.version for each in inner.opset_import}
        if any(node.domain == ML for node in self.nodes):
            versions.setdefault(ML, OPSET_ML)
        opsets = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=max(IR, self.model.ir_version), producer_name="noria")
        if self.null_text:
            helper.set_model_props(model, {NULL_TEXT_KEY: NULL_TEXT})
        return canonical_bytes(model)

    def _inputs(self, signature: Signature) -> list[Any]:
        from onnx import helper

        dense = dense_type(signature.inputs)
        if dense is not None:
            return [helper.make_tensor_value_info(BLOCK, _type(dense), [None, len(signature.inputs)])]
        return [helper.make_tensor_value_info(each.name, _type(fed(each.type)), [None, 1]) for each in signature.inputs]

    def _entries(self, signature: Signature) -> list[str]:
        """What the inputs of the converted graph are called here."""
        if not self.single:
            return [self._cast(self._block(signature, self.columns), self.kind)]
        types = {each.name: each.type for each in signature.inputs}
        own = {each.name for each in self.model.graph.input}
        columns = [name for name in self.columns if name in own]  # a converter drops those that nothing reads
        return [
            self._column(signature, name) if types[name] == "string" else self._cast(self._column(signature, name), self.kind)
            for name in columns
        ]

    def _block(self, signature: Signature, names: Sequence[str]) -> str:
        """Some columns of numbers beside each other."""
        if dense_type(signature.inputs) is None:
            return self._node("Concat", *[self._cast(name, "float64") for name in names], axis=1)
        places = [signature.names.index(name) for name in names]
        if places == list(range(len(signature.names))):
            return BLOCK
        return self._node("Gather", BLOCK, self._constant(places), axis=1)

    def _column(self, signature: Signature, name: str) -> str:
        return name if dense_type(signature.inputs) is None else self._block(signature, [name])

    def _guarded(self, scores: str, signature: Signature) -> str:
        """Scores that are NaN where a value is that an original refuses: what is neither infinite nor unknown, less itself, is 0."""
        scores = self._cast(scores, "float64")
        types = {each.name: each.type for each in signature.inputs}
        texts = [name for name in self.refusing if types[name] == "string"]
        numbers = [name for name in self.refusing if name not in texts]
        if numbers:
            block = self._block(signature, numbers)
            ones = self._constant(np.ones((len(numbers), 1), dense_type(signature.inputs) or "float64"))
            nothing = self._node("MatMul", self._node("Sub", block, block), ones)  # a sum that means the same in every set of operators
            scores = self._node("Add", scores, self._cast(nothing, "float64"))
        for name in texts:
            scores = self._node("Where", self._unknown_text(name), self._constant(np.array([[np.nan]])), scores)
        return scores

    def _unknown_text(self, name: str) -> str:
        """Whether a text is the one that stands for an unknown one `(rows, 1)`; texts are compared by operators of every version."""
        first = next((each.version for each in self.model.opset_import if each.domain == ML), OPSET_ML) < 2
        keys: dict[str, Any] = {"classes_strings": [NULL_TEXT]} if first else {"keys_strings": [NULL_TEXT], "values_int64s": [0]}
        place = self._node("LabelEncoder", name, domain=ML, default_int64=-1, **keys)
        return self._node("Equal", place, self._constant(np.array([[0]])))

    def _outputs(self, signature: Signature, scores: str) -> list[Any]:
        from onnx import helper

        fields = signature.outputs
        if len(fields) == 1:
            self.nodes[-1].output[0] = "scores"
            return [helper.make_tensor_value_info("scores", _type("float64"), [None, None])]
        for place, each in enumerate(fields):
            self.nodes.append(helper.make_node("Gather", [scores, self._constant([place])], [each.name], axis=1))
        return [helper.make_tensor_value_info(each.name, _type("float64"), [None, 1]) for each in fields]

    def _cast(self, name: str, kind: str) -> str:
        return self._node("Cast", name, to=_type(kind))

    def _constant(self, values: list[int] | NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(values), f"constant_{len(self.constants)}"))
        return str(self.constants[-1].name)

    def _node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        self.count += 1
        output = f"around_{self.count}_{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def fed(kind: str) -> str:
    """The type as which a graph reads a column: texts as they are, whole numbers and booleans as doubles, which have a NaN."""
    return kind if kind in ("string", "float32") else "float64"


def _type(kind: str) -> int:
    from onnx import TensorProto

    return int({"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "string": TensorProto.STRING}[kind])
