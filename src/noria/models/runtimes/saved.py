"""Loaders of models as others saved them: skops files, MLflow folders, objects of a Python file."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.errors import MissingExtra
from noria.models.runtimes.columns import Columns

SKOPS_FILE, ENTRY_FILE, MLFLOW_FOLDER = "model.skops", "noria-entry.json", "mlflow"
NUMPY = {"float": "float32", "double": "float64", "integer": "int32", "long": "int64", "boolean": "bool"}  # by MLflow's names


def skops_file(folder: Path) -> Any:
    """An estimator from a skops file, of types that skops knows to be safe."""
    return _skops(folder, trusted=False)


def skops_trusted(folder: Path) -> Any:
    """The same, of any types: only of bundles that are trusted."""
    return _skops(folder, trusted=True)


def _skops(folder: Path, *, trusted: bool) -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtra(library="skops", extra="skops", needed_for="a model from a skops file") from error
    data = (folder / SKOPS_FILE).read_bytes()
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data) if trusted else [])


def python_object(folder: Path) -> Any:
    """What a Python file defines: the result of its `load`, or an object of its class. Only of bundles that are trusted."""
    entry = json.loads((folder / ENTRY_FILE).read_bytes())
    return made(getattr(importlib.import_module(entry["module"]), entry["name"]), folder)


def made(maker: Callable[..., Any], folder: Path) -> Any:
    """What a function or class gives; it is called with the folder of the files where it takes an argument."""
    needed = [
        each
        for each in inspect.signature(maker).parameters.values()
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    return maker(folder) if needed else maker()


def mlflow_folder(folder: Path) -> Any:
    """An MLflow model as `mlflow.pyfunc` runs it. Only of bundles that are trusted."""
    try:
        import mlflow.pyfunc
    except ImportError as error:
        raise MissingExtra(library="mlflow", extra="pandas", needed_for="a python_function of MLflow") from error
    return Pyfunc(mlflow.pyfunc.load_model(str(folder / MLFLOW_FOLDER)))


class Pyfunc:
    """A python_function. It is given a data frame, or arrays where its signature has tensors."""

    def __init__(self, model: Any) -> None:
        self._model, self._schema = model, model.metadata.get_input_schema()

    def predict(self, columns: Columns) -> Any:
        return plain_answer(self._model.predict(self._given(columns)))

    def _given(self, columns: Columns) -> Any:
        schema = self._schema
        if schema is not None and schema.is_tensor_spec():
            arrays = {each.name: _tensor(columns[each.name or next(iter(columns))]).astype(each.type) for each in schema.inputs}
            return arrays[None] if list(arrays) == [None] else arrays
        frame = columns.frame()
        for each in [] if schema is None else schema.inputs:
            kind = NUMPY.get(getattr(each.type, "name", ""))
            if kind is not None and each.name in frame and not frame[each.name].isna().any():
                frame[each.name] = frame[each.name].astype(kind)
        return frame


def _tensor(column: Any) -> Any:
    return column if isinstance(column, np.ndarray) else np.array(column.to_pylist())


def plain_answer(found: Any) -> Any:
    """What a model returned as arrays: data frames by column, series and lists as one."""
    if hasattr(found, "columns") and hasattr(found, "to_dict"):
        arrays = {str(name): np.asarray(found[name]) for name in found.columns}
        return next(iter(arrays.values())) if len(arrays) == 1 else arrays
    if isinstance(found, dict):
        return {str(name): np.asarray(value) for name, value in found.items()}
    return np.asarray(found)
