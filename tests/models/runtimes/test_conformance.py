"""What every runtime owes, whatever runs the model: the same questions, the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from noria.core.signature import Field, Signature
from noria.data.rows import Rows
from noria.models.bundle import Bundle, Manifest, open_bundle, write_bundle
from noria.models.runtimes import UnknownRuntime, open_runtime
from noria.models.runtimes.port import ModelFailed, Runtime, RuntimeOptions
from python_bundles import NUMBERS, python_bundle, scores
from servers import lineage_of, make_bundle, seal

TYPED = Signature(
    (
        Field("n", "int64", nullable=False),
        Field("city", "string"),
        Field("image", "float32", (2, 2), nullable=False),
        Field("x", "float64"),
    ),
    (Field("label", "string", nullable=False), Field("p", "float64", (2,), nullable=False)),
)
ROWS = [(2**40, "Köln", [[1.0, 2.0], [3.0, 4.0]], 0.5), (-1, "Ulm", [[0.0, 0.0], [0.0, 0.25]], 0.25)]
ANSWERS = [("Köln", [2.0**40 + 0.5, 10.0]), ("Ulm", [-0.75, 0.25])]

PLUS = """
def load(folder):
    return lambda columns: columns["a"].astype(float) + 10
"""
TYPED_SOURCE = """
import numpy as np


class Model:
    def predict(self, columns):
        assert [type(columns[name]).__name__ for name in ("n", "city", "image", "x")] == ["ndarray", "StringArray", "ndarray", "ndarray"]
        if columns["city"].null_count:
            raise ValueError("city: string is null")
        p = np.column_stack([columns["n"] + columns["x"], columns["image"].sum(axis=(1, 2))])
        return {"label": np.asarray(columns["city"]), "p": p}


def load(folder):
    return Model()
"""


def typed_onnx() -> bytes:
    """label is the city; p is n + x, and the sum of the image."""
    kinds = {"n": (TensorProto.INT64, [None]), "city": (TensorProto.STRING, [None]), "x": (TensorProto.DOUBLE, [None])}
    inputs = [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()]
    inputs.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 2, 2]))
    nodes = [
        helper.make_node("Identity", ["city"], ["label"]),
        helper.make_node("Cast", ["n"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["wide", "x"], ["sum"]),
        helper.make_node("ReduceSum", ["image", "sides"], ["pixels"], keepdims=0),
        helper.make_node("Cast", ["pixels"], ["light"], to=TensorProto.DOUBLE),
        helper.make_node("Unsqueeze", ["sum", "last"], ["first"]),
        helper.make_node("Unsqueeze", ["light", "last"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["p"], axis=1),
    ]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
        helper.make_tensor_value_info("p", TensorProto.DOUBLE, [None, 2]),
    ]
    constants = [helper.make_tensor("sides", TensorProto.INT64, [2], [1, 2]), helper.make_tensor("last", TensorProto.INT64, [1], [1])]
    graph = helper.make_graph(nodes, "typed", inputs, outputs, constants)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString())


@pytest.fixture(scope="module", params=["onnx", "python"])
def bundles(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """A model of numbers and a typed one, for one runtime."""
    root = tmp_path_factory.mktemp(request.param)
    sample = [list(row) for row in ROWS], [list(answer) for answer in ANSWERS]
    if request.param == "onnx":
        return make_bundle(root, 10.0), seal(root, typed_onnx(), TYPED, sample)
    numbers = python_bundle(root, PLUS, sample=([[1.0, 2.0]], [[11.0]]))
    return numbers, python_bundle(root, TYPED_SOURCE, signature=TYPED, sample=sample)


@pytest.fixture(scope="module")
def numbers(bundles: tuple[Bundle, Bundle]) -> Iterator[Runtime]:
    model = open_runtime(bundles[0], RuntimeOptions(trust=True))
    yield model
    model.close()


@pytest.fixture(scope="module")
def typed(bundles: tuple[Bundle, Bundle]) -> Iterator[Runtime]:
    model = open_runtime(bundles[1], RuntimeOptions(trust=True))
    yield model
    model.close()


@pytest.mark.parametrize("count", [1, 2, 1000, 200_000])
def test_a_block_of_numbers(numbers: Runtime, count: int) -> None:
    block = np.random.default_rng(count).normal(size=(count, 2)).astype(np.float32)
    found = numbers.answer(Rows.dense(NUMBERS.inputs, block))
    assert found.fields == NUMBERS.outputs
    assert np.allclose(found.block[:, 0], block[:, 0] + 10, atol=1e-6)
    assert found.block.dtype == np.float64


def test_answers_are_kept_when_others_are_asked(numbers: Runtime) -> None:
    first = numbers.answer(Rows.dense(NUMBERS.inputs, np.full((3, 2), 1, np.float32)))
    numbers.answer(Rows.dense(NUMBERS.inputs, np.full((3, 2), 2, np.float32)))
    assert first.block[:, 0].tolist() == [11, 11, 11]


def test_an_unknown_number_is_nan(numbers: Runtime) -> None:
    found = numbers.answer(Rows.of_values(NUMBERS.inputs, [(None, 1.0), (1.0, None)]))
    assert np.isnan(found.block[0, 0])
    assert found.block[1, 0] == 11


def test_no_rows_have_no_answers(numbers: Runtime, typed: Runtime) -> None:
    assert len(numbers.answer(Rows.unknown(NUMBERS.inputs, 0))) == 0
    assert len(typed.answer(Rows.unknown(TYPED.inputs, 0))) == 0


def test_scores_of_a_block(numbers: Runtime) -> None:
    assert scores(numbers, np.array([[1, 0], [2, 0]], np.float32)).tolist() == [11, 12]


def test_texts_whole_numbers_and_tensors(typed: Runtime) -> None:
    found = typed.answer(Rows.of_values(TYPED.inputs, ROWS))
    assert found.values() == ANSWERS
    assert typed.signature == TYPED


def test_a_part_of_rows_is_answered_as_that_part(typed: Runtime) -> None:
    rows = Rows.of_values(TYPED.inputs, ROWS * 3)
    assert typed.answer(rows.part(3, 5)).values() == [ANSWERS[1], ANSWERS[0]]


def test_a_row_that_it_can_not_answer_is_its_failure_and_the_next_is_answered(typed: Runtime) -> None:
    with pytest.raises(ModelFailed, match="city: string is null"):
        typed.answer(Rows.of_values(TYPED.inputs, [(1, None, ROWS[0][2], 0.5)]))
    assert typed.answer(Rows.of_values(TYPED.inputs, ROWS)).values() == ANSWERS


def test_a_bundle_of_another_runtime_is_refused_by_its_name(tmp_path: Path) -> None:
    from noria.core.files import LocalFiles

    facts = {"task": {}, "feature_set": "", "definition_hash": "", "run": "", "metrics": {}, "environment": {}, "files": {}}
    for name in ("pyhton", "port", "../x"):
        manifest = Manifest(name="small", runtime=name, signature=NUMBERS, lineage=lineage_of(), **facts)
        bundle = open_bundle(write_bundle(tmp_path, manifest, {}, LocalFiles()).path, LocalFiles())
        with pytest.raises(UnknownRuntime, match="known: onnx, python"):
            open_runtime(bundle)
