"""A trainer's own ONNX model is taken where it is what is served: rows in, one probability for each out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import (
    make_graph,
    make_map_type_proto,
    make_model,
    make_node,
    make_opsetid,
    make_sequence_type_proto,
    make_tensor_type_proto,
    make_tensor_value_info,
    make_value_info,
)

from noria.models.export import CannotExport, to_onnx
from noria.models.runtimes.onnx import OnnxModel
from noria.models.runtimes.port import UnloadableModel

ROWS = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
LINEAR, SIGMOID = make_node("MatMul", ["features", "weights"], ["sums"]), make_node("Sigmoid", ["sums"], ["scores"])
LABEL = make_node("Cast", ["scores"], ["label"], to=TensorProto.INT64)


def softmax(output: str = "scores") -> Any:
    return make_node("Softmax", ["sums"], [output], axis=1)


def tensor(name: str, kind: int = TensorProto.FLOAT, shape: Sequence[int | None] | None = (None, 3)) -> Any:
    return make_tensor_value_info(name, kind, shape)


def proto(*nodes: Any, inputs: Any = None, outputs: Any = None, classes: int = 1, weights: np.ndarray | None = None) -> onnx.ModelProto:
    """A model of `nodes` over a 3-column input `features`, with random `weights` of `(3, classes)`."""
    if weights is None:
        weights = np.random.default_rng(1).normal(size=(3, classes)).astype(np.float32)
    graph = make_graph(
        nodes,
        "model",
        inputs or [tensor("features")],
        [tensor("scores", shape=None)] if outputs is None else outputs,
        [numpy_helper.from_array(weights, "weights")],
    )
    return make_model(graph, opset_imports=[make_opsetid("", 15), make_opsetid("ai.onnx.ml", 2)], ir_version=8)


def test_one_score_a_row_and_two_complementary_ones_are_taken_with_or_without_labels_before() -> None:
    logistic = 1 / (1 + np.exp(-(ROWS @ np.random.default_rng(1).normal(size=(3, 1)).astype(np.float32))[:, 0]))
    for model in (
        proto(LINEAR, SIGMOID),
        proto(LINEAR, SIGMOID, inputs=[tensor("features", shape=None)]),
        proto(LINEAR, SIGMOID, inputs=[tensor("features"), tensor("weights", shape=(3, 1))]),  # a constant with a default
        proto(LINEAR, SIGMOID, LABEL, outputs=[tensor("label", TensorProto.INT64, None), tensor("scores", shape=None)]),
    ):
        assert np.allclose(OnnxModel(to_onnx(model, features=3, check=ROWS)).predict(ROWS), logistic, atol=1e-6)
    two = OnnxModel(to_onnx(proto(LINEAR, softmax(), classes=2), features=3, check=ROWS))
    assert np.allclose(two.predict(ROWS), two.answers(ROWS)[:, 1])


MAPS = make_value_info(
    "scores", make_sequence_type_proto(make_map_type_proto(TensorProto.INT64, make_tensor_type_proto(TensorProto.FLOAT, [])))
)
MEAN = make_node("ReduceMean", ["features"], ["mean"], axes=[0], keepdims=1)
CENTRED = make_node("Sub", ["features", "mean"], ["centred"])
REFUSED: dict[str, tuple[onnx.ModelProto, str]] = {
    "two inputs": (
        proto(make_node("Add", ["features", "more"], ["scores"]), inputs=[tensor("features"), tensor("more")]),
        "it has 2 inputs .features, more.",
    ),
    "another width": (proto(LINEAR, SIGMOID, inputs=[tensor("features", shape=(None, 4))]), "has the shape .any, 4."),
    "one row at a time": (proto(LINEAR, SIGMOID, inputs=[tensor("features", shape=(1, 3))]), "has the shape .1, 3."),
    "float64": (proto(LINEAR, SIGMOID, inputs=[tensor("features", TensorProto.DOUBLE)]), "is not a tensor of float32"),
    "two outputs": (
        proto(LINEAR, SIGMOID, outputs=[tensor("sums", shape=None), tensor("scores", shape=None)]),
        "it has 2 outputs of scores",
    ),
    "labels last": (
        proto(LINEAR, SIGMOID, LABEL, outputs=[tensor("scores", shape=None), tensor("label", TensorProto.INT64, None)]),
        "its last output, 'label', contains no scores",
    ),
    "no output": (proto(LINEAR, SIGMOID, outputs=[]), "it has no output"),
    "maps": (
        proto(
            LINEAR,
            softmax("each"),
            make_node("ZipMap", ["each"], ["scores"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
            outputs=[MAPS],
            classes=2,
        ),
        "zipmap=False",
    ),
    "three classes": (proto(LINEAR, softmax(), classes=3), "it returns 3 scores per row"),
    "no class": (proto(LINEAR, SIGMOID, classes=0), "it returns 0 scores per row"),
    "two outcomes": (proto(LINEAR, SIGMOID, classes=2), "don't add up to 1"),
    "a sum": (proto(make_node("MatMul", ["features", "weights"], ["scores"])), "not within 0 and 1"),
    "no number": (proto(LINEAR, make_node("Log", ["sums"], ["scores"])), "NaN or infinity for"),
    "a number for all rows": (proto(make_node("ReduceMean", ["features"], ["scores"], keepdims=0)), "it returns no result for 50 rows"),
    "rows in company": (
        proto(MEAN, CENTRED, make_node("MatMul", ["centred", "weights"], ["sums"]), SIGMOID),
        "its score of a row depends on the other rows of the batch",
    ),
    "nothing": (onnx.ModelProto(), "it has 0 inputs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_answers_otherwise_is_refused_and_the_message_says_how(case: str) -> None:
    model, message = REFUSED[case]
    with pytest.raises(CannotExport, match=message):
        to_onnx(model, features=3, check=ROWS)


def test_a_model_that_can_not_take_unknown_features_is_refused_if_the_training_rows_have_some() -> None:
    unknown = ROWS.copy()
    unknown[:7, 1] = np.nan
    with pytest.raises(CannotExport, match="it returns NaN or infinity for 7 of 50 rows, 0 of them with all features known"):
        to_onnx(proto(LINEAR, SIGMOID), features=3, check=unknown)


def test_a_model_that_onnx_runtime_refuses_is_told_as_that() -> None:
    with pytest.raises(UnloadableModel, match="Nonsense"):
        to_onnx(proto(make_node("Nonsense", ["features"], ["scores"])), features=3, check=ROWS)
