"""Models of frameworks that compute with arrays: PyTorch modules, Keras models, functions compiled by JAX.

They read one array of all columns where these are numbers of one type, and otherwise an array for each, in the order of the signature; they
answer with the last of what they return.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS, Field
from noria.data.rows import Rows
from noria.data.tensors import stacked_tensor
from noria.models.runtimes.columns import Columns


def arrays_of(columns: Columns) -> dict[str, NDArray[Any]]:
    """Copies of the columns, since models may change what they are given: one block by the name "", or an array for each column. Raises
    `ValueError` where a value is unknown that arrays have no unknown for."""
    rows = columns.rows
    if rows.is_dense:
        return {"": np.array(rows.block)}
    return {field.name: array_of(rows, field) for field in rows.fields}


def array_of(rows: Rows, field: Field) -> NDArray[Any]:
    """A copy of one column `(rows, *shape)`. Raises `ValueError` as `arrays_of` does."""
    if field.type in FLOATS and not field.shape:
        return np.array(rows.numbers(field.name).astype(field.type))
    return np.array(stacked_tensor(field, rows.column(field.name)))


def filled(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """The array with its last row again and again, up to so many: JAX compiles anew for each number of rows."""
    return array if len(array) == rows else np.concatenate([array, np.repeat(array[-1:], rows - len(array), axis=0)])


def is_module(fitted: Any) -> bool:
    """Whether it is a module of PyTorch: whoever has one has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(fitted, torch.nn.Module) and not is_keras(fitted)


def is_keras(fitted: Any) -> bool:
    """Whether it is a model of Keras 3, whatever computes it."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(fitted, keras.Model)


def is_jitted(fitted: Any) -> bool:
    """Whether it is a function that `jax.jit` made."""
    return "jax" in sys.modules and callable(getattr(fitted, "lower", None)) and callable(getattr(fitted, "__wrapped__", None))


class Module:
    """A PyTorch module."""

    def __init__(self, module: Any) -> None:
        self._module = module.eval()

    def predict(self, columns: Columns) -> NDArray[Any]:
        import torch

        with torch.inference_mode():
            found = self._module(*self.tensors(columns).values())
        return np.asarray(_last(found).numpy())

    @staticmethod
    def tensors(columns: Columns) -> dict[str, Any]:
        """The tensors that it reads. Raises `ValueError` where one is unknown."""
        import torch

        return {name: torch.from_numpy(array) for name, array in arrays_of(columns).items()}


class KerasModel:
    """A Keras model."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def predict(self, columns: Columns) -> NDArray[Any]:
        import keras

        arrays = list(arrays_of(columns).values())
        found = self._model(arrays[0] if len(arrays) == 1 else arrays, training=False)
        return np.asarray(keras.ops.convert_to_numpy(_last(found)))


class Jitted:
    """A function of arrays that JAX compiles, once for each power of two of rows and not for each number of them."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self._compiled: Any = None

    def predict(self, columns: Columns) -> NDArray[Any]:
        import jax

        if self._compiled is None:
            self._compiled = jax.jit(self.function)
        count = len(columns.rows)
        rows = 1 << (count - 1).bit_length()
        arrays = [filled(array, rows) for array in arrays_of(columns).values()]
        return np.asarray(_last(self._compiled(*arrays)))[:count]

    def __getstate__(self) -> dict[str, Any]:
        return {"function": self.function, "_compiled": None}


def _last(found: Any) -> Any:
    return found[-1] if isinstance(found, tuple | list) else found
