"""Loaders of our own: what was fitted, read back as something that answers columns.

Formats of frameworks are data. What was pickled is code, and only a trusted bundle's is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.models.runtimes.arrays import Jitted, KerasModel, Module, is_jitted, is_keras, is_module
from noria.models.runtimes.columns import Chances, Columns

LIGHTGBM_FILE, XGBOOST_FILE, CATBOOST_FILE, KERAS_FILE, PICKLE_FILE = "model.txt", "model.json", "model.cbm", "model.keras", "model.pickle"
PROBABLE = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll")  # CatBoost's losses whose models answer with probabilities
OF_LABELS = ("MultiLogloss", "MultiCrossEntropy")  # and with one of each label
POSITIVE = ("Poisson", "Tweedie")  # and with what stands in an exponent


def lightgbm_text(folder: Path) -> Any:
    """A LightGBM booster, from its model text."""
    import lightgbm

    return Booster(lightgbm.Booster(model_file=str(folder / LIGHTGBM_FILE)))


class Booster:
    """A LightGBM booster that reads columns as one block."""

    def __init__(self, booster: Any) -> None:
        self._booster = booster

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        return np.asarray(self._booster.predict(columns.block, num_threads=1))


def xgboost_json(folder: Path) -> Any:
    """An XGBoost booster, from its JSON."""
    import xgboost

    return XgboostBooster(xgboost.Booster(params={"nthread": 1}, model_file=str(folder / XGBOOST_FILE)))


class XgboostBooster:
    """An XGBoost booster that reads columns as one block."""

    def __init__(self, booster: Any) -> None:
        self._booster = booster

    def predict(self, columns: Columns) -> NDArray[np.float64]:
        import xgboost

        return np.asarray(self._booster.predict(xgboost.DMatrix(np.asarray(columns.block, np.float32)), validate_features=False))


def catboost_cbm(folder: Path) -> Any:
    """A CatBoost model, from its own format."""
    import catboost

    return CatboostModel(catboost.CatBoost().load_model(str(folder / CATBOOST_FILE)))


class CatboostModel:
    """A CatBoost model. It reads one block where all columns are numbers, otherwise a data frame whose texts are categories."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._loss = str(model.get_all_params()["loss_function"]).split(":")[0]

    def predict(self, columns: Columns) -> Any:
        kind = "Probability" if self._loss in (*PROBABLE, *OF_LABELS) else "Exponent" if self._loss in POSITIVE else "RawFormulaVal"
        found = np.asarray(self._model.predict(self._table(columns), prediction_type=kind, thread_count=1))
        return Chances(found, self._model.classes_) if self._loss in PROBABLE else found

    def _table(self, columns: Columns) -> Any:
        texts = [field.name for field in columns.rows.fields if field.type == "string"]
        if not texts:
            return columns.block
        unknown = [name for name in texts if columns.rows.column(name).null_count]
        if unknown:
            raise ValueError(f"CatBoost has no unknown category, and {', '.join(unknown)} is null; fill it in a request transform")
        names, frame = list(self._model.feature_names_), columns.frame()
        return frame[names] if set(names) <= set(frame) else frame.set_axis(names, axis=1)


def keras_file(folder: Path) -> Any:
    """A Keras model, from its own format, which can name code. One with a Lambda layer is refused by Keras."""
    import keras

    return KerasModel(keras.models.load_model(folder / KERAS_FILE, compile=False, safe_mode=True))


def pickled(folder: Path) -> Any:
    """What was pickled when it was sealed. Reading it runs what it says."""
    import pickle  # noqa: TID251 - only the Python runtime reads it, in a process of its own, and of bundles that are trusted

    with (folder / PICKLE_FILE).open("rb") as file:
        return answering(pickle.load(file))  # noqa: S301 - see above


def answering(fitted: Any) -> Any:
    """A fitted object as one that answers columns: estimators are given their table, others the columns as they are; of a dict each model
    answers by its name. Raises `TypeError`."""
    if isinstance(fitted, Mapping):
        return Several({str(name): answering(model) for name, model in fitted.items()})
    if type(fitted).__module__.split(".")[0] == "catboost":
        return CatboostModel(fitted)
    if type(fitted).__name__ == "Booster" and type(fitted).__module__.split(".")[0] in BOOSTERS:
        return BOOSTERS[type(fitted).__module__.split(".")[0]](fitted)
    if is_estimator(fitted):
        return Estimator(fitted)
    if is_keras(fitted):
        return KerasModel(fitted)
    if is_module(fitted):
        return Module(fitted)
    if is_jitted(fitted):
        return Jitted(fitted.__wrapped__)
    if callable(getattr(fitted, "predict", None)) or callable(getattr(fitted, "stream", None)) or callable(fitted):
        return fitted
    raise TypeError(f"{type(fitted).__name__} has no method `predict` or `stream` and can't be called")


class Several:
    """Models by output or label, each asked for its own."""

    def __init__(self, models: Mapping[str, Any]) -> None:
        self._models = models

    def predict(self, columns: Columns) -> dict[str, Any]:
        return {name: getattr(model, "predict", model)(columns) for name, model in self._models.items()}


BOOSTERS = {"lightgbm": Booster, "xgboost": XgboostBooster}


def is_estimator(fitted: Any) -> bool:
    """Whether it has the methods of scikit-learn's estimators, whoever wrote it."""
    predicts = callable(getattr(fitted, "predict_proba", None)) or callable(getattr(fitted, "predict", None))
    return predicts and callable(getattr(fitted, "fit", None)) and callable(getattr(fitted, "get_params", None))


class Estimator:
    """An estimator of scikit-learn's kind. It reads a data frame if it was fitted on one, texts if it begins with a vectorizer, and an
    array otherwise.

    It answers with the probability of the greater of its two classes, or with those of all that it knows; or, where it knows no
    probabilities, with what it predicts.
    """

    def __init__(self, fitted: Any) -> None:
        self._fitted = fitted
        self._probable = callable(getattr(fitted, "predict_proba", None))

    def predict(self, columns: Columns) -> Any:
        table = self._table(columns)
        if not self._probable:
            return self._fitted.predict(table)
        found, classes = self._fitted.predict_proba(table), getattr(self._fitted, "classes_", None)
        if isinstance(found, list):  # of several outputs, each with its own classes
            return [Chances(np.asarray(each), own) for each, own in zip(found, classes or [None] * len(found), strict=True)]
        return Chances(np.asarray(found), classes)

    def _takes_table(self, columns: Columns) -> bool:
        """Whether it reads columns, and not a list of texts: then it knows how many."""
        texts = [field for field in columns.rows.fields if field.type == "string" and not field.shape]
        return len(columns) > 1 or not texts or hasattr(self._fitted, "n_features_in_")

    def _table(self, columns: Columns) -> Any:
        names = getattr(self._fitted, "feature_names_in_", None)
        if names is None:
            return columns.block if self._takes_table(columns) else [text or "" for text in next(iter(columns.values())).to_pylist()]
        lacking = [name for name in names if name not in columns]
        if lacking:
            raise ValueError(f"it was fitted on columns that the model does not read: {', '.join(map(str, lacking))}")
        return columns.frame()[list(names)]
