"""scikit-learn estimators and pipelines become ONNX where they answer alike, on steps and without values too; others stay with Python."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from noria.core.progress import Progress
from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Rows
from noria.models.export import CannotExport, Exported, Wanted, export
from noria.models.export.sklearn import estimators
from noria.models.runtimes.columns import Columns
from noria.models.runtimes.port import RuntimeOptions

SIGNATURE = Signature.of_numbers(["a", "b", "c"])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 3)).astype(np.float32)
YES = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(float)
NUMBER = 100.0 * X[:, 0] + X[:, 1] ** 2
CLASSES = np.digitize(X[:, 0], (-0.5, 0.5)).astype(float)
LABELS = np.column_stack([YES, CLASSES > 1]).astype(float)
NUMBERS = np.column_stack([NUMBER, X[:, 1] / 100])


def outputs(*fields: Field) -> Signature:
    return Signature(SIGNATURE.inputs, fields)


def shares(*labels: str) -> Field:
    return Field("prediction", "float64", (len(labels),), nullable=False, labels=labels)


def wanted(signature: Signature = SIGNATURE, rows: Any = X, bounds: Any = (0.0, 1.0), **more: Any) -> Wanted:
    return Wanted(signature, rows if isinstance(rows, Rows) else Rows.dense(signature.inputs, rows), bounds, **more)


def answers(exported: Exported, signature: Signature, rows: Rows) -> np.ndarray:
    with exported.opened(signature, RuntimeOptions()) as model:
        found = model.answer(rows).scores(signature.outputs)
    return found.reshape(len(rows), -1)


PROBABLE: dict[str, Any] = {
    "logistic": LogisticRegression(),
    "naive Bayes": GaussianNB(),
    "tree": DecisionTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(10, random_state=0),
    "extra trees": ExtraTreesClassifier(10, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=10, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "calibrated": CalibratedClassifierCV(LinearSVC(), cv=3),
    "scaled, boosted": make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=10, random_state=0)),
    "imputed, squared": make_pipeline(SimpleImputer(), PolynomialFeatures(), LogisticRegression()),
}


@pytest.mark.parametrize("name", PROBABLE)
def test_a_classifier_of_numbers_is_onnx_without_trust(name: str) -> None:
    model, told = PROBABLE[name].fit(X, YES), []
    exported = export(model, wanted(), told.append)
    assert (exported.runtime, exported.trust, exported.note, told) == ("onnx", False, "", [])
    fresh = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    found = answers(exported, SIGNATURE, Rows.dense(SIGNATURE.inputs, fresh))
    assert np.allclose(found[:, 0], model.predict_proba(fresh)[:, 1], atol=1e-5)


@pytest.mark.parametrize(
    ("model", "labels", "signature", "more"),
    [
        (Ridge(), NUMBER, SIGNATURE, {}),
        (RandomForestRegressor(10, random_state=0), NUMBER, SIGNATURE, {}),
        (HistGradientBoostingRegressor(max_iter=10, random_state=0), NUMBER, SIGNATURE, {}),
        (LogisticRegression(), CLASSES, outputs(shares("x", "y", "z")), {"bounds": (0.0, 1.0), "exclusive": True}),
        (HistGradientBoostingClassifier(max_iter=5), CLASSES, outputs(shares("x", "y", "z")), {"bounds": (0.0, 1.0), "exclusive": True}),
        (OneVsRestClassifier(LogisticRegression()), LABELS, outputs(shares("x", "y")), {"bounds": (0.0, 1.0)}),
        (RandomForestRegressor(5, random_state=0), NUMBERS, outputs(Field("u", "float64"), Field("v", "float64")), {}),
        (MultiOutputRegressor(Ridge()), NUMBERS, outputs(Field("u", "float64"), Field("v", "float64")), {}),
    ],
)
def test_numbers_classes_labels_and_several_outputs(model: Any, labels: Any, signature: Signature, more: Any) -> None:
    model.fit(X, labels)
    exported = export(model, Wanted(signature, Rows.dense(signature.inputs, X), **more))
    assert exported.runtime == "onnx"
    original = model.predict_proba(X) if more else model.predict(X)
    found = answers(exported, signature, Rows.dense(signature.inputs, X))
    assert np.allclose(found, original.reshape(found.shape), rtol=1e-5, atol=1e-7 if not more else 1e-5)


def beside_thresholds(model: Any) -> np.ndarray:
    """Rows with the float32 on each side of thresholds of a histogram boosting, amid rows of the training."""
    splits = [(int(tree.nodes[0]["feature_idx"]), float(tree.nodes[0]["num_threshold"])) for [tree] in model._predictors]
    rows = np.repeat(X[: len(splits)], 2, axis=0)
    for row, (feature, threshold) in enumerate(splits):
        near = np.float32(threshold)
        rows[2 * row, feature] = near
        rows[2 * row + 1, feature] = np.nextafter(near, np.float32(-np.inf if near > threshold else np.inf))
    return rows


def test_values_beside_a_threshold_go_where_the_original_sends_them_as_a_plain_conversion_does_not() -> None:
    import onnxruntime
    from skl2onnx import to_onnx

    model = HistGradientBoostingClassifier(max_iter=100, max_depth=1, random_state=0)  # of depth 1, each row reaches its split
    model.fit(X + RNG.normal(size=X.shape) / 1e9, YES)  # thresholds are of float64, as where features were computed before
    rows = beside_thresholds(model)
    expected = model.predict_proba(rows)[:, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString()
    naive = onnxruntime.InferenceSession(plain, providers=["CPUExecutionProvider"]).run(None, {"X": rows})[-1][:, 1]
    assert (np.abs(naive - expected) > 1e-5).any()  # otherwise this would prove nothing
    found = answers(export(model, wanted()), SIGNATURE, Rows.dense(SIGNATURE.inputs, rows))
    assert np.allclose(found[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("seen", [True, False])
def test_forests_send_what_is_unknown_where_they_sent_it(kind: Callable[..., Any], seen: bool) -> None:
    rows = X.copy()
    rows[::7, 1] = np.nan
    model = kind(10, random_state=0).fit(rows if seen else X, YES)
    found = answers(export(model, wanted(rows=rows if seen else X)), SIGNATURE, Rows.dense(SIGNATURE.inputs, rows))
    assert np.allclose(found[:, 0], model.predict_proba(rows)[:, 1], atol=1e-5)


@pytest.mark.parametrize("model", [LogisticRegression(), GradientBoostingClassifier(n_estimators=5)])
def test_what_the_original_refuses_the_export_does_not_answer(model: Any) -> None:
    exported = export(model.fit(X, YES), wanted())
    rows = X[:4].copy()
    rows[[0, 2], [0, 1]] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict_proba(rows)
    found = answers(exported, SIGNATURE, Rows.dense(SIGNATURE.inputs, rows))[:, 0]
    assert np.isnan(found).tolist() == [True, False, True, False]
    assert np.allclose(found[[1, 3]], model.predict_proba(rows[[1, 3]])[:, 1], atol=1e-5)


MIXED = Signature((Field("city", "string"), Field("nights", "int64"), Field("price", "float64"), Field("express", "bool")), (SCORE,))
TYPES = (pa.string(), pa.int64(), pa.float64(), pa.bool_())


def stays(count: int = 500, *, nulls: bool) -> Rows:
    rng = np.random.default_rng(2)
    columns = (
        rng.choice(["Köln", "Ulm", "Wien", ""], count).tolist(),
        rng.integers(1, 15, count).tolist(),
        rng.uniform(20, 400, count).round(2).tolist(),
        (rng.random(count) < 0.5).tolist(),
    )
    some = [[None if nulls and rng.random() < 0.1 else value for value in column] for column in columns]
    return Rows.of(MIXED.inputs, [pa.array(column, kind) for column, kind in zip(some, TYPES, strict=True)])


def cities(**more: Any) -> Any:
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False, **more), ["city"]


def numbers() -> Any:
    return make_pipeline(SimpleImputer(), StandardScaler()), ["nights", "price"]


PIPELINES: dict[str, Callable[[], Any]] = {
    "logistic": lambda: make_pipeline(make_column_transformer(cities(), numbers()), LogisticRegression(max_iter=1000)),
    "boosted": lambda: make_pipeline(
        make_column_transformer(cities(), ("passthrough", ["nights", "price", "express"])), HistGradientBoostingClassifier(max_iter=10)
    ),
    "forest": lambda: make_pipeline(make_column_transformer(cities(), numbers()), RandomForestClassifier(10, random_state=0)),
    "most frequent": lambda: make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="most_frequent"), cities()[0]), ["city"]), (SimpleImputer(), ["nights", "price"])
        ),
        LogisticRegression(max_iter=1000),
    ),
}


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_of_texts_numbers_and_truths_fitted_on_a_frame_is_onnx(name: str, nulls: bool) -> None:
    rows = stays(nulls=nulls)
    frame = Columns(rows).frame()
    model = PIPELINES[name]().fit(frame, (np.nan_to_num(rows.numbers("nights") * rows.numbers("price")) > 900) * 1)
    exported = export(model, wanted(MIXED, rows))
    assert (exported.runtime, exported.trust) == ("onnx", False)
    asked = Rows.of_values(
        MIXED.inputs, [("Wien", 3, 99.95, True), ("Atlantis", 3, 99.95, True), (None, None, None, None), ("", 14, 1e6, False)]
    )
    expected = model.predict_proba(Columns(asked).frame())[:, 1]
    assert np.allclose(answers(exported, MIXED, asked)[:, 0], expected, atol=1e-5)


def test_a_category_that_the_original_refuses_is_refused_and_not_taken_for_none() -> None:
    rows = stays(nulls=False)
    steps = make_column_transformer((OneHotEncoder(sparse_output=False), ["city"]), numbers())
    model = make_pipeline(steps, LogisticRegression(max_iter=1000)).fit(Columns(rows).frame(), rows.numbers("nights") > 7)
    exported = export(model, wanted(MIXED, rows))
    from noria.models.runtimes.port import ModelFailed

    for city in ("Atlantis", None):
        with pytest.raises(ModelFailed):
            answers(exported, MIXED, Rows.of_values(MIXED.inputs, [(city, 3, 99.95, True)]))


def test_what_answers_otherwise_goes_to_python_and_says_on_which_rows() -> None:
    told: list[Progress] = []
    model = KNeighborsClassifier(50).fit(X, YES)
    exported = export(model, wanted(trust=True), told.append)
    assert (exported.runtime, exported.trust) == ("python", True)
    assert "since as ONNX it can't be served: as ONNX it answers" in exported.note
    assert " differently: " in exported.note
    assert told[0].message == exported.note


def test_without_trust_the_refusal_says_why_it_is_not_onnx() -> None:
    with pytest.raises(CannotExport, match=r"declared without `trust`; as ONNX it can't be served: as ONNX it answers .* differently"):
        export(KNeighborsClassifier(50).fit(X, YES), wanted())


def test_an_unknown_ordinal_that_onnx_says_otherwise_is_noticed() -> None:
    rows = stays(nulls=True)
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2), ["city"]
    trees = HistGradientBoostingClassifier(max_iter=10)
    model = make_pipeline(make_column_transformer(ordinal, ("passthrough", ["nights", "price"])), trees)
    model.fit(Columns(rows).frame(), [city in ("Ulm", None) for city in rows.column("city").to_pylist()])
    with pytest.raises(CannotExport, match="as ONNX it answers"):
        export(model, wanted(MIXED, rows))


def test_refusals_of_the_task_are_the_models_own() -> None:
    with pytest.raises(CannotExport, match="and an answer lies between 0 and 1"):
        export(LinearRegression().fit(X, NUMBER), wanted(trust=True))
    three = outputs(shares("x", "y", "z"))
    with pytest.raises(CannotExport, match=r"it knows the classes 0\.0, 2\.0, and the task 3"):
        export(LogisticRegression().fit(X[CLASSES != 1], CLASSES[CLASSES != 1]), wanted(three, exclusive=True))
    with pytest.raises(CannotExport, match="it answers with classes, and knows no probabilities"):
        export(LinearSVC().fit(X, YES), wanted())


def test_a_huge_forest_is_left_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "MAX_NODES", 100)
    with pytest.raises(CannotExport, match=r"its trees have [\d,]+ nodes, and more than 100 take long to convert"):
        export(RandomForestClassifier(10, random_state=0).fit(X, YES), wanted())


def test_without_skl2onnx_python_runs_it_and_the_note_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    exported = export(LogisticRegression().fit(X, YES), wanted(trust=True))
    assert exported.runtime == "python"
    assert 'skl2onnx is not installed, and with `pip install "noria[sklearn]"`' in exported.note


SCRIPT = """
import hashlib, numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.models.export import Wanted, export
x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
model = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(x, x[:, 0] > 0)
signature = Signature.of_numbers(["a", "b", "c"])
[data] = export(model, Wanted(signature, Rows.dense(signature.inputs, x), (0.0, 1.0))).files.values()
print(hashlib.sha256(data).hexdigest())
"""


def test_the_same_training_has_the_same_bytes_in_every_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == len(hashlib.sha256().hexdigest())
