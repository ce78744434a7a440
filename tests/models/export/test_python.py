"""What ONNX can't say runs in Python, in its framework's format or by a pickle that was allowed, or is refused with both ways out."""

from __future__ import annotations

import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import noria as nr
from noria.core.progress import Progress
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.models.export import CannotExport, Exported, Wanted, export
from noria.models.python_model import BadPythonModel
from noria.models.runtimes.port import RuntimeOptions
from noria.models.runtimes.python_spec import PICKLED, PYTHON_FILE, PythonSpec
from python_bundles import scores

HERE = Path(__file__).parent
SIGNATURE = Signature.of_numbers(["a", "b", "c"])
ROWS = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
LABELS = (ROWS[:, 0] + ROWS[:, 1] * ROWS[:, 2] > 0).astype(float)


def wanted(*, trust: bool = False) -> Wanted:
    return Wanted(SIGNATURE, Rows.dense(SIGNATURE.inputs, ROWS), (0.0, 1.0), trust)


def squared(values: Any) -> Any:
    return np.column_stack([values, values**2])


def pipeline() -> Any:
    """Has a function of this module in it, which no converter knows."""
    return make_pipeline(FunctionTransformer(squared), LogisticRegression()).fit(ROWS, LABELS)


def spec_of(exported: Exported) -> PythonSpec:
    return msgspec.json.decode(exported.files[PYTHON_FILE], type=PythonSpec)


def answers(exported: Exported, *, trust: bool = False) -> np.ndarray:
    with exported.opened(SIGNATURE, RuntimeOptions(trust=trust)) as model:
        return scores(model, ROWS)


def test_an_estimator_with_a_function_of_the_project_is_pickled_where_it_is_trusted_and_says_so() -> None:
    told: list[Progress] = []
    model = pipeline()
    exported = export(model, wanted(trust=True), told.append)
    assert (exported.runtime, exported.trust, spec_of(exported).loader) == ("python", True, PICKLED)
    why = "its converter refuses it: RuntimeError: FunctionTransformer is not supported unless the transform function is None (= identity)."
    assert [news.message for news in told] == [
        f"sklearn.pipeline.Pipeline runs in the Python runtime, loaded from its pickle, since as ONNX it can't be served: {why}"
    ]
    assert exported.note == told[0].message
    assert np.array_equal(answers(exported, trust=True), model.predict_proba(ROWS)[:, 1])


def test_the_versions_of_what_it_imports_are_locked_and_no_others() -> None:
    found = spec_of(export(pipeline(), wanted(trust=True)))
    assert {name: found.requirements[name] for name in ("scikit-learn", "numpy", "scipy")} == {
        name: version(name) for name in ("scikit-learn", "numpy", "scipy")
    }
    assert not {"lightgbm", "onnxruntime", "noria", "duckdb"} & set(found.requirements)
    assert found.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"numpy=={version('numpy')}\n" in found.requirements_text()


def test_without_trust_the_refusal_names_both_ways_out() -> None:
    with pytest.raises(CannotExport) as caught:
        export(pipeline(), wanted())
    assert caught.value.code == "NR-303"
    assert "sklearn.pipeline.Pipeline can't be exported to ONNX" in caught.value.what
    assert "trust=True" in caught.value.fix
    assert "onnx.ModelProto" in caught.value.fix
    assert "nothing was registered" in caught.value.fix


def test_what_nothing_can_run_is_refused_as_ever() -> None:
    with pytest.raises(CannotExport, match=r"this builtins\.dict can't be exported to ONNX"):
        export({"a": 1}, wanted(trust=True))


def test_linear_trees_run_from_lightgbms_text_and_need_no_trust() -> None:
    import lightgbm

    parameters = {"objective": "binary", "linear_tree": True, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(ROWS, LABELS), 10)
    exported = export(booster, wanted())
    assert (exported.runtime, exported.trust) == ("python", False)
    assert "linear_tree" in exported.note
    assert np.array_equal(answers(exported), booster.predict(ROWS, num_threads=1))


def test_numbers_of_any_size_are_answered_where_numbers_are_expected() -> None:
    import lightgbm

    amounts = 1e6 * LABELS + 1e5 * ROWS[:, 0]
    numbers = Wanted(SIGNATURE, Rows.dense(SIGNATURE.inputs, ROWS), trust=True)
    lines = make_pipeline(FunctionTransformer(squared), LinearRegression()).fit(ROWS, amounts)
    assert np.array_equal(answers(export(lines, numbers), trust=True), lines.predict(ROWS))
    parameters = {"objective": "regression", "linear_tree": True, "verbose": -1, "num_threads": 1}
    linear = lightgbm.train(parameters, lightgbm.Dataset(ROWS, amounts), 5)
    assert np.array_equal(answers(export(linear, numbers)), linear.predict(ROWS, num_threads=1))
    with pytest.raises(CannotExport, match="and an answer lies between 0 and 1"):
        export(lines, wanted(trust=True))


def test_what_converts_is_onnx_whether_it_is_trusted_or_not() -> None:
    import lightgbm

    booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(ROWS, LABELS), 5)
    for trust in (False, True):
        exported = export(booster, wanted(trust=trust))
        assert (exported.runtime, exported.trust, exported.note) == ("onnx", False, "")


def test_a_booster_that_answers_no_probability_is_refused_by_every_way() -> None:
    import lightgbm

    booster = lightgbm.train({"objective": "regression", "verbose": -1}, lightgbm.Dataset(ROWS, LABELS), 5)
    with pytest.raises(CannotExport, match="its objective is regression"):
        export(booster, wanted(trust=True))


def test_xgboosts_rankers_run_where_a_ranking_is_wanted() -> None:
    xgboost = pytest.importorskip("xgboost")
    ranked = Wanted(SIGNATURE, Rows.dense(SIGNATURE.inputs, ROWS), order=True)
    groups = np.arange(len(ROWS)) // 8
    for objective in ("rank:ndcg", "rank:map", "rank:pairwise"):
        model = xgboost.XGBRanker(objective=objective, n_estimators=10, n_jobs=1).fit(ROWS, LABELS, qid=groups)
        exported = export(model, ranked)
        assert not exported.trust
        assert np.allclose(answers(exported), model.predict(ROWS), atol=1e-5)
        with pytest.raises(CannotExport, match="trust"):  # a regression knows no such format of it, and would pickle it
            export(model, Wanted(SIGNATURE, Rows.dense(SIGNATURE.inputs, ROWS)))


def test_scikit_learns_regressors_rank_as_they_are() -> None:
    model = RandomForestRegressor(n_estimators=5, random_state=0).fit(ROWS, LABELS)
    exported = export(model, Wanted(SIGNATURE, Rows.dense(SIGNATURE.inputs, ROWS), order=True))
    assert np.allclose(answers(exported), model.predict(ROWS), atol=1e-5)


class Half:
    """Answers what it is told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, columns: Any) -> Any:
        return self.answer(columns["a"])


BAD = {
    "out of bounds": (lambda a: a * 0 + 2.5, "answers to 400 of 400 rows are 2.5 to 2.5, and an answer lies between 0 and 1"),
    "NaN": (lambda a: a * np.nan, "it returns NaN or infinity"),
    "too few": (lambda a: a[1:], "it returned 399 values of prediction for 400 rows"),
    "text": (lambda a: ["yes"] * len(a), "that are not numbers"),
    "of its batch": (lambda a: (a > a.mean()) * 1.0, "depends on the other rows of the batch"),
    "raises": (lambda a: 1 / 0 + a, "ZeroDivisionError"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_model_whose_answers_can_not_be_served_is_refused(kind: str) -> None:
    answer, words = BAD[kind]
    with pytest.raises(CannotExport, match=words):
        export(Half(answer), wanted(trust=True))


def test_a_classifier_of_three_classes_is_refused() -> None:
    labels = np.arange(len(ROWS)) % 3
    with pytest.raises(CannotExport, match="those of two classes are expected"):
        export(RandomForestClassifier(n_estimators=3, random_state=0).fit(ROWS, labels), wanted(trust=True))


def test_what_cannot_be_pickled_is_refused() -> None:
    model = Half(lambda a: a * 0)
    model.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(CannotExport, match=r"it can't be pickled: .*nr\.PythonModel"):
        export(model, wanted(trust=True))


@pytest.fixture
def own_loader(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(HERE))
    import own_loader

    yield own_loader
    for name in ("own_loader", "own_weights"):
        sys.modules.pop(name, None)


def test_a_loader_of_the_project_goes_with_its_modules_and_files_and_nothing_is_pickled(own_loader: Any, tmp_path: Path) -> None:
    (tmp_path / "weights.json").write_text('{"a": 0.0, "b": 0.0}')
    exported = export(nr.PythonModel(own_loader.load, {"weights.json": tmp_path / "weights.json"}), wanted(trust=True))
    assert spec_of(exported).loader == "own_loader:load"
    assert exported.trust
    assert {path for path in exported.files if "/source/" in path} == {"model/source/own_loader.py", "model/source/own_weights.py"}
    assert not any("pickle" in path for path in exported.files)
    assert answers(exported, trust=True).tolist() == [0.0] * len(ROWS)


def test_a_loader_runs_code_of_the_bundle_and_so_needs_trust(own_loader: Any) -> None:
    with pytest.raises(CannotExport, match="it has a loader of its own, and this model is declared without `trust`"):
        export(nr.PythonModel(own_loader.load, {"weights.json": b"{}"}), wanted())


def test_a_loader_that_raises_is_told_with_its_words(own_loader: Any) -> None:
    with pytest.raises(CannotExport, match="OSError: no weights in files"):
        export(nr.PythonModel(own_loader.broken), wanted(trust=True))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: nr.PythonModel(lambda folder: folder), "no lambda"),
        (lambda: nr.PythonModel(len), "give a function of a module"),
        (lambda: nr.PythonModel(squared, {"../x": b""}), "outside of the bundle"),
        (lambda: nr.PythonModel(squared, {"x": Path("/nowhere/x")}), "can't be read"),
    ],
)
def test_a_python_model_that_cannot_be_sealed_says_why(model: Any, words: str) -> None:
    with pytest.raises(BadPythonModel, match=words):
        export(model(), wanted(trust=True))
