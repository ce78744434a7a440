"""Several models as one ONNX graph, and a graph whose answer is taken apart: the answers stay what they are."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import noria as nr
from noria.core.signature import Field, Signature
from noria.data.rows import Rows
from noria.evaluation.task import Task
from noria.models.export import CannotExport, Exported, Wanted, export, to_onnx
from noria.models.export.graphs.several import merged
from noria.models.runtimes.onnx import OnnxModel
from noria.models.runtimes.port import RuntimeOptions

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 3)).astype(np.float32)
Y = X[:, 0] * 5 + RNG.normal(0, 1 + np.abs(X[:, 1]))
INPUTS = tuple(Field(name) for name in ("a", "b", "c"))
QUANTILES, AHEAD = nr.Regression(quantiles=(0.1, 0.5, 0.9)), nr.Forecast(horizons=("1h", "24h"))
BOTH, DAY = nr.Forecast(horizons=("1h", "24h"), quantiles=(0.1, 0.9)), nr.Forecast(horizons=("24h",))


def wanted(task: Task, *, trust: bool = False) -> Wanted:
    return Wanted(Signature(INPUTS, task.outputs), Rows.dense(INPUTS, X), task.bounds, trust)


def answers(exported: Exported, task: Task, rows: np.ndarray = X) -> np.ndarray:
    with exported.opened(Signature(INPUTS, task.outputs), RuntimeOptions(trust=True)) as model:
        return model.answer(Rows.dense(INPUTS, rows)).scores(task.outputs)


def booster(level: float, shift: float = 0.0) -> lightgbm.Booster:
    parameters = {"objective": "quantile", "alpha": level, "num_leaves": 7, "verbose": -1, "num_threads": 1, "deterministic": True}
    return lightgbm.train(parameters, lightgbm.Dataset(X, Y + shift), num_boost_round=20)


def proto(weights: np.ndarray, *, outputs: int = 1, opset: int = 15, name: str = "scores", shape: tuple[int, ...] = ()) -> onnx.ModelProto:
    """A linear model; shape: of an answer, where it is not flat."""
    nodes = [make_node("MatMul", ["features", "weights"], ["sums" if shape else name])]
    constants = [numpy_helper.from_array(np.asarray(weights, np.float32), "weights")]
    if shape:
        nodes.append(make_node("Reshape", ["sums", "shape"], [name]))
        constants.append(numpy_helper.from_array(np.array([0, *shape]), "shape"))
    given = [make_tensor_value_info("features", TensorProto.FLOAT, [None, 3])]
    told = [make_tensor_value_info(name, TensorProto.FLOAT, [None, *(shape or (outputs,))])]
    graph = make_graph(nodes, "linear", given, told, constants)
    return make_model(graph, opset_imports=[make_opsetid("", opset)], ir_version=8)


def test_a_dict_of_quantile_boosters_is_one_graph_that_answers_as_they_do() -> None:
    models = {level: booster(level) for level in (0.9, 0.1, 0.5)}  # in an order of their own
    exported = export(models, wanted(QUANTILES))
    assert (exported.runtime, list(exported.files), exported.note) == ("onnx", ["model/model.onnx"], "")
    found = answers(exported, QUANTILES)
    told = np.column_stack([models[level].predict(X) for level in QUANTILES.quantiles])
    np.testing.assert_allclose(found, told, atol=1e-4)
    np.testing.assert_array_equal(answers(exported, QUANTILES, X[:1])[0], found[0])
    assert answers(exported, QUANTILES, X[:0]).shape == (0, 3)


def test_horizons_and_their_quantiles_are_outputs_of_their_own() -> None:
    models = {"1h": booster(0.5), "24h": booster(0.5, 9.0)}
    found = answers(export(models, wanted(AHEAD)), AHEAD)
    np.testing.assert_allclose(found, np.column_stack([m.predict(X) for m in models.values()]), atol=1e-4)
    nested = {"24h": {0.9: booster(0.9, 9.0), 0.1: booster(0.1, 9.0)}, "1h": {"0.1": booster(0.1), "0.9": booster(0.9)}}
    exported = export(nested, wanted(BOTH))
    in_order = [nested["1h"]["0.1"], nested["1h"]["0.9"], nested["24h"][0.1], nested["24h"][0.9]]
    np.testing.assert_allclose(answers(exported, BOTH), np.column_stack([m.predict(X) for m in in_order]), atol=1e-4)
    session = onnx.load_from_string(exported.files["model/model.onnx"])
    assert [output.name for output in session.graph.output] == ["1h", "24h"]


def test_one_horizon_is_a_model_or_a_dict_of_one() -> None:
    model = booster(0.5)
    for fitted in (model, {"24h": model}):
        np.testing.assert_allclose(answers(export(fitted, wanted(DAY)), DAY), model.predict(X), atol=1e-4)


@pytest.mark.parametrize("shape", [(), (2, 2)])
def test_a_graph_with_all_numbers_as_one_answer_is_taken_apart(shape: tuple[int, ...]) -> None:
    weights = np.arange(12.0).reshape(3, 4)
    for name in ("scores", "1h"):  # which is an output's name as well
        exported = export(proto(weights, outputs=4, shape=shape, name=name), wanted(BOTH))
        np.testing.assert_allclose(answers(exported, BOTH), X @ weights, rtol=1e-4, atol=1e-4)
    three = export(proto(weights[:, :3], outputs=3), wanted(QUANTILES))
    np.testing.assert_allclose(answers(three, QUANTILES), X @ weights[:, :3], rtol=1e-4, atol=1e-4)
    named = export(proto(weights[:, :3], outputs=3, name="prediction"), wanted(QUANTILES))
    np.testing.assert_allclose(answers(named, QUANTILES), X @ weights[:, :3], rtol=1e-4, atol=1e-4)


def test_graphs_of_different_versions_of_onnx_and_boosters_are_joined() -> None:
    weights = np.array([[1.0], [2.0], [3.0]])
    models = {"1h": proto(weights, opset=13), "24h": booster(0.5)}
    found = answers(export(models, wanted(AHEAD)), AHEAD)
    np.testing.assert_allclose(found[:, 0], (X @ weights)[:, 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[:, 1], models["24h"].predict(X), atol=1e-4)


def test_probabilities_of_two_classes_count_by_the_last() -> None:
    """As exports of classifiers have them: for whoever joins models of yes and no."""
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y > 0)
    data = to_onnx(model, features=3, check=X)
    both = OnnxModel(merged({"one": data, "two": data})).answers(X)
    np.testing.assert_allclose(both, np.repeat(model.predict_proba(X)[:, 1:], 2, axis=1), atol=1e-5)


def test_the_bytes_are_the_same_in_every_process() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/models/export'); from test_several import *; "
        "import hashlib; print(hashlib.sha256(export({0.1: booster(.1), 0.5: booster(.5), 0.9: booster(.9)}, wanted(QUANTILES))"
        ".files['model/model.onnx']).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout != ""


@pytest.mark.parametrize(
    ("fitted", "task", "why"),
    [
        (
            lambda: {0.1: booster(0.1), 0.5: booster(0.5)},
            QUANTILES,
            r"models for 0.1, 0.5, and the answers of prediction are 0.1, 0.5, 0.9",
        ),
        (lambda: {"1h": booster(0.5), "2h": booster(0.5)}, AHEAD, "models for 1h, 2h, and the answers are 1h, 24h"),
        (lambda: booster(0.5), QUANTILES, "prediction is of several numbers: 0.1, 0.5, 0.9"),
        (lambda: booster(0.5), AHEAD, "the model answers with 1h, 24h"),
        (lambda: {"1h": booster(0.5), "24h": {"0.1": 1, "0.9": 2}}, BOTH, "1h is of several numbers: 0.1, 0.9"),
        (lambda: proto(np.ones((3, 2)), outputs=2), QUANTILES, "returns no result"),
        (lambda: proto(np.ones((3, 1))), QUANTILES, "returns no result"),
        (lambda: proto(np.full((3, 3), np.inf), outputs=3), QUANTILES, "NaN or infinity"),
    ],
)
def test_what_does_not_answer_with_all_of_them_is_refused(fitted: Any, task: Task, why: str) -> None:
    with pytest.raises(CannotExport, match=why):
        export(fitted(), wanted(task))


def test_a_part_that_can_not_be_exported_is_named() -> None:
    models = {"1h": booster(0.5), "24h": lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X[:, :2], Y > 0), 2)}
    with pytest.raises(CannotExport, match=r"lightgbm.Booster of 24h can't be exported.*trained on 2 features"):
        export(models, wanted(AHEAD))


def test_a_dict_of_models_of_several_frameworks_is_one_graph() -> None:
    levels = {level: HistGradientBoostingRegressor(loss="quantile", quantile=level, max_iter=20).fit(X, Y) for level in (0.1, 0.5, 0.9)}
    exported = export(levels, wanted(QUANTILES))
    assert (exported.runtime, exported.trust) == ("onnx", False)
    np.testing.assert_allclose(answers(exported, QUANTILES), np.column_stack([m.predict(X) for m in levels.values()]), rtol=1e-5, atol=1e-5)
    mixed = {"1h": booster(0.5), "24h": LinearRegression().fit(X, Y)}
    exported = export(mixed, wanted(AHEAD))
    assert exported.runtime == "onnx"
    np.testing.assert_allclose(answers(exported, AHEAD), np.column_stack([m.predict(X) for m in mixed.values()]), rtol=1e-5, atol=1e-4)


CITIES = np.array(["Ams", "Köln", "Wien"])[np.arange(600) % 3]
TYPED = (Field("price", "float64"), Field("city", "string"), Field("n", "int64"))
FRAME = pd.DataFrame({"price": X[:, 0].astype(float), "city": CITIES, "n": np.arange(600) % 7})


def test_pipelines_on_columns_of_several_types_are_one_graph_with_an_input_for_each() -> None:
    parts = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]), ("passthrough", ["price", "n"])
    )
    target = 3 * X[:, 0] + (CITIES == "Wien")
    models = {"1h": make_pipeline(parts, LinearRegression()).fit(FRAME, target)}
    models["24h"] = make_pipeline(clone(parts), HistGradientBoostingRegressor(max_iter=10)).fit(FRAME, target)
    rows = Rows.of(TYPED, [pa.array(FRAME[field.name]) for field in TYPED])
    exported = export(models, Wanted(Signature(TYPED, AHEAD.outputs), rows, AHEAD.bounds))
    assert exported.runtime == "onnx"
    with exported.opened(Signature(TYPED, AHEAD.outputs), RuntimeOptions()) as model:
        found = model.answer(rows).scores(AHEAD.outputs)
    np.testing.assert_allclose(found, np.column_stack([m.predict(FRAME) for m in models.values()]), rtol=1e-5, atol=1e-5)
    assert [given.name for given in onnx.load_from_string(exported.files["model/model.onnx"]).graph.input] == ["price", "city", "n"]


def test_a_dict_of_what_only_python_runs_answers_in_the_python_runtime() -> None:
    models = {"1h": booster(0.5), "24h": TransformedTargetRegressor(LinearRegression(), func=np.cbrt, inverse_func=cubed).fit(X, Y)}
    with pytest.raises(CannotExport, match="trust"):
        export(models, wanted(AHEAD))
    exported = export(models, wanted(AHEAD, trust=True))
    assert exported.runtime == "python"
    np.testing.assert_allclose(answers(exported, AHEAD), np.column_stack([m.predict(X) for m in models.values()]))


def cubed(values: Any) -> Any:
    return values**3


class ByHorizon:
    """A model of a project's own, which gives all numbers at once, or by name."""

    def __init__(self, form: str) -> None:
        self.form = form

    def predict(self, columns: Any) -> Any:
        whole = np.column_stack([columns["a"] * n for n in range(4)])
        forms = {
            "flat": whole,
            "deep": whole.reshape(-1, 2, 2),
            "named": {"1h": whole[:, :2], "24h": {0.9: whole[:, 3], 0.1: whole[:, 2]}},
            "short": whole[:, :3],
            "lacking": {"1h": whole[:, :2], "24h": {0.9: whole[:, 3]}},
        }
        return forms[self.form]


@pytest.mark.parametrize("form", ["flat", "deep", "named"])
def test_a_python_model_may_answer_with_all_numbers_or_by_name(form: str) -> None:
    found = answers(export(ByHorizon(form), wanted(BOTH, trust=True)), BOTH)
    np.testing.assert_allclose(found, X[:, :1] * np.arange(4))


@pytest.mark.parametrize(("form", "why"), [("short", "a dict of 1h, 24h is expected"), ("lacking", "it returned 0.9 of 24h, and not 0.1")])
def test_a_python_model_that_answers_otherwise_is_refused(form: str, why: str) -> None:
    with pytest.raises(CannotExport, match=why):
        export(ByHorizon(form), wanted(BOTH, trust=True))


def test_without_rows_to_compare_on_it_is_still_checked() -> None:
    given = replace(wanted(QUANTILES), rows=Rows.dense(INPUTS, X[:0]))
    assert export({level: booster(level) for level in QUANTILES.quantiles}, given).runtime == "onnx"
