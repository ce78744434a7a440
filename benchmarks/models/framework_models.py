"""Models of CatBoost, Keras and JAX through Noria's export, run where these are: prints how each is served and answers, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pyarrow as pa
from catboost import CatBoostClassifier, CatBoostRegressor

from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Rows
from noria.evaluation import Binary, Multiclass, Regression
from noria.evaluation.task import Task
from noria.features.training_set import Dataset
from noria.models.export import CannotExport, Wanted, export
from noria.models.runtimes.port import RuntimeOptions
from noria.training.estimators import sklearn

RNG = np.random.default_rng(0)
COUNT = 600
X = RNG.normal(size=(COUNT, 3)).astype(np.float32)
NUMBERS = Rows.dense(tuple(Field(name) for name in "abc"), X)
KNOWN = Rows.dense(NUMBERS.fields, np.nan_to_num(X))
CITY = np.array(["Ams", "Köln", "Wien"], object)[np.arange(COUNT) % 3]
TYPED = Rows.of((Field("price"), Field("city", "string")), [pa.array(X[:, 0]), pa.array(CITY, pa.string())])
Y = X[:, 0] + 0.5 * (CITY == "Wien") + RNG.normal(0, 0.3, COUNT)
CLASS = np.digitize(Y, [-0.5, 0.5])
MORE = {"iterations": 20, "verbose": False, "thread_count": 1, "allow_writing_files": False}
CLASSES = Multiclass(("low", "middle", "high"))


def catboost() -> Any:
    for loss in ("RMSE", "MAE", "Quantile:alpha=0.7", "Poisson", "Tweedie:variance_power=1.5", "MAPE", "Huber:delta=1.0"):
        target = np.abs(Y) if loss.startswith(("Poisson", "Tweedie")) else Y
        model = CatBoostRegressor(loss_function=loss, **MORE).fit(X, target)
        yield f"CatBoost {loss}", model, Regression(), NUMBERS, model.predict(X), False
    for loss in ("Logloss", "CrossEntropy"):
        model = CatBoostClassifier(loss_function=loss, **MORE).fit(X, Y > 0)
        yield f"CatBoost {loss}", model, Binary(), NUMBERS, model.predict_proba(X)[:, 1], False
    for loss in ("MultiClass", "MultiClassOneVsAll"):
        model = CatBoostClassifier(loss_function=loss, **MORE).fit(X, CLASS)
        if loss == "MultiClass":
            yield f"CatBoost {loss}", model, CLASSES, NUMBERS, model.predict_proba(X), False
    frame = Dataset(TYPED, Y).to_pandas()
    model = CatBoostClassifier(cat_features=["city"], **MORE).fit(frame, Y > 0)
    yield "CatBoost of categories", model, Binary(), TYPED, model.predict_proba(frame)[:, 1], False
    fitted = sklearn(CatBoostRegressor(**MORE))(Dataset(NUMBERS, Y), seed=1, task=Regression())
    yield "nr.sklearn(CatBoostRegressor())", fitted, Regression(), NUMBERS, fitted.predict(X), False


def of_keras() -> Any:
    for name, units, end, loss, target, task in (
        ("a number", 1, None, "mae", Y, Regression()),
        ("a probability", 1, "sigmoid", "binary_crossentropy", Y > 0, Binary()),
        ("classes", 3, "softmax", "sparse_categorical_crossentropy", CLASS, CLASSES),
    ):
        model = keras.Sequential(
            [keras.layers.Input((3,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(units, activation=end)]
        )
        model.compile(optimizer="adam", loss=loss)
        model.fit(X, target, epochs=2, verbose=0)
        found = np.asarray(model.predict(X, verbose=0))
        yield f"Keras, {name}", model, task, KNOWN, found if units > 1 else found[:, 0], True


def of_jax() -> Any:
    weights = jnp.asarray(RNG.normal(size=3), jnp.float32)
    line: Callable[[Any], Any] = jax.jit(lambda x: jax.nn.sigmoid(x @ weights))
    yield "a JAX function", line, Binary(), KNOWN, np.asarray(line(X)), True


def served(fitted: Any, task: Task, rows: Rows, own: np.ndarray, *, trust: bool) -> dict[str, Any]:
    signature = Signature(rows.fields, task.outputs or (SCORE,))
    try:
        exported = export(fitted, Wanted(signature, rows, task.bounds, trust=trust, exclusive=task.exclusive))
        with exported.opened(signature, RuntimeOptions(trust=trust)) as model:
            found = model.answer(rows).scores(task.outputs).reshape(np.shape(own))
    except CannotExport as error:
        return {"refused": str(error)}
    apart = float(np.max(np.abs(found - own) / np.maximum(1, np.abs(own))))
    return {"runtime": exported.runtime, "trust": exported.trust, "apart": apart, "note": exported.note}


if __name__ == "__main__":
    for kind in (catboost, of_keras, of_jax):
        for name, fitted, task, rows, own, trust in kind():
            print(json.dumps({"name": name, **served(fitted, task, rows, own, trust=trust)}), flush=True)
