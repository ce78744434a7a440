"""Loaders of our own: what was fitted, read back as something that answers columns.

Formats of frameworks are data. What was pickled is code, and only a trusted bundle's is read.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.models.runtimes.columns import Columns

LIGHTGBM_FILE, XGBOOST_FILE, PICKLE_FILE = "model.txt", "model.json", "model.pickle"


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


def pickled(folder: Path) -> Any:
    """What was pickled when it was sealed. Reading it runs what it says."""
    import pickle  # noqa: TID251 - only the Python runtime reads it, in a process of its own, and of bundles that are trusted

    with (folder / PICKLE_FILE).open("rb") as file:
        return answering(pickle.load(file))  # noqa: S301 - see above


def answering(fitted: Any) -> Any:
    """A fitted object as one that answers columns: estimators are given their table, others the columns as they are. Raises `TypeError`."""
    if is_estimator(fitted):
        return Estimator(fitted)
    if callable(getattr(fitted, "predict", None)) or callable(fitted):
        return fitted
    raise TypeError(f"{type(fitted).__name__} has no method `predict` and can't be called")


def is_estimator(fitted: Any) -> bool:
    """Whether it has the methods of scikit-learn's estimators, whoever wrote it."""
    predicts = callable(getattr(fitted, "predict_proba", None)) or callable(getattr(fitted, "predict", None))
    return predicts and callable(getattr(fitted, "fit", None)) and callable(getattr(fitted, "get_params", None))


class Estimator:
    """An estimator of scikit-learn's kind. It reads a data frame if it was fitted on one, and an array otherwise.

    It answers with the probability of the greater of its two classes, or, where it knows no probabilities, with what it predicts.
    """

    def __init__(self, fitted: Any) -> None:
        self._fitted = fitted
        self._probable = callable(getattr(fitted, "predict_proba", None))

    def predict(self, columns: Columns) -> Any:
        table = self._table(columns)
        if not self._probable:
            return self._fitted.predict(table)
        found = np.asarray(self._fitted.predict_proba(table))
        if found.ndim != 2 or found.shape[1] != 2:
            raise ValueError(f"it gives probabilities of shape {found.shape}; those of two classes are expected")
        return found[:, 1]

    def _table(self, columns: Columns) -> Any:
        names = getattr(self._fitted, "feature_names_in_", None)
        if names is None:
            return columns.block
        lacking = [name for name in names if name not in columns]
        if lacking:
            raise ValueError(f"it was fitted on columns that the model does not read: {', '.join(map(str, lacking))}")
        if importlib.util.find_spec("pandas") is None:
            raise ValueError("it was fitted on a data frame, and pandas is not installed")
        import pandas as pd

        return pd.DataFrame({name: np.asarray(columns[name]) for name in names})
