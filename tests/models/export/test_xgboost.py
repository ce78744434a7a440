"""XGBoost models become ONNX where they answer alike; otherwise XGBoost's own format says what they are, and needs no trust."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from noria.core.signature import Field, Signature
from noria.data.rows import Rows
from noria.models.export import Exported, Wanted, export
from noria.models.runtimes.port import RuntimeOptions

xgboost = pytest.importorskip("xgboost")
SIGNATURE = Signature.of_numbers(["a", "b", "c"])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 3)).astype(np.float32)
X[RNG.random(X.shape) < 0.05] = np.nan
KNOWN = np.nan_to_num(X)
YES = (KNOWN[:, 0] + KNOWN[:, 1] > 0).astype(float)
NUMBER = 100 * np.abs(KNOWN[:, 0]) + 1
CLASSES = np.digitize(KNOWN[:, 0], (-0.5, 0.5)).astype(float)
OF_CLASSES = Signature(SIGNATURE.inputs, (Field("prediction", "float64", (3,), nullable=False, labels=("x", "y", "z")),))


def wanted(signature: Signature = SIGNATURE, bounds: Any = (0.0, 1.0), **more: Any) -> Wanted:
    return Wanted(signature, Rows.dense(signature.inputs, X), bounds, **more)


def answers(exported: Exported, signature: Signature = SIGNATURE) -> np.ndarray:
    with exported.opened(signature, RuntimeOptions()) as model:
        found = model.answer(Rows.dense(signature.inputs, X)).scores(signature.outputs)
    return found.reshape(len(X), -1)


def trained(objective: str, labels: Any, **more: Any) -> Any:
    parameters = {"objective": objective, "nthread": 1, "verbosity": 0, "seed": 0, **more}
    return xgboost.train(parameters, xgboost.DMatrix(X, labels), 20)


@pytest.mark.parametrize("objective", ["reg:squarederror", "reg:absoluteerror", "reg:gamma", "reg:tweedie", "count:poisson"])
def test_a_booster_of_numbers_is_onnx(objective: str) -> None:
    booster = trained(objective, NUMBER)
    exported = export(booster, wanted(bounds=(float("-inf"), float("inf"))))
    assert (exported.runtime, exported.trust, exported.note) == ("onnx", False, "")
    assert np.allclose(answers(exported)[:, 0], booster.predict(xgboost.DMatrix(X)), rtol=1e-5, atol=1e-5 * NUMBER.max())


def test_a_classifier_that_stopped_early_answers_by_its_best_trees() -> None:
    noise = np.random.default_rng(1).permutation(YES)
    model = xgboost.XGBClassifier(n_estimators=200, early_stopping_rounds=3, n_jobs=1, learning_rate=0.5)
    model.fit(X[:300], YES[:300], eval_set=[(X[300:], noise[300:])], verbose=False)
    assert model.best_iteration < model.get_booster().num_boosted_rounds() - 1
    exported = export(model, wanted())
    assert exported.runtime == "onnx"
    assert np.allclose(answers(exported)[:, 0], model.predict_proba(X)[:, 1], atol=1e-5)


def test_a_regressor_and_classes_are_onnx() -> None:
    regressor = xgboost.XGBRegressor(n_estimators=10, n_jobs=1, base_score=7.5).fit(X, NUMBER)
    exported = export(regressor, wanted(bounds=(float("-inf"), float("inf"))))
    assert exported.runtime == "onnx"
    assert np.allclose(answers(exported)[:, 0], regressor.predict(X), rtol=1e-5, atol=1e-5 * NUMBER.max())
    several = xgboost.XGBClassifier(n_estimators=10, n_jobs=1).fit(X, CLASSES)
    exported = export(several, wanted(OF_CLASSES, exclusive=True))
    assert exported.runtime == "onnx"
    assert np.allclose(answers(exported, OF_CLASSES), several.predict_proba(X), atol=1e-5)


def test_what_onnx_says_otherwise_runs_from_xgboosts_own_format_without_trust() -> None:
    booster = trained("reg:logistic", YES)  # its converter leaves the logistic function out
    exported = export(booster, wanted())
    assert (exported.runtime, exported.trust) == ("python", False)
    assert "as ONNX it answers" in exported.note
    assert np.allclose(answers(exported)[:, 0], booster.predict(xgboost.DMatrix(X)), rtol=1e-6)


def test_without_onnxmltools_it_runs_from_its_own_format_and_the_note_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxmltools", None)
    exported = export(trained("binary:logistic", YES), wanted())
    assert exported.runtime == "python"
    assert 'with `pip install "noria[xgboost]"`' in exported.note
