"""Models of `.keras` files: what such a file names, before anything of it is made, and loaders of those that are data and of others.

The format names the classes and functions that Keras is to make, and files have run code through names that Keras itself took for harmless
(CVE-2025-1550, CVE-2025-8747, CVE-2025-9906). So its `safe_mode` is not all that is asked: a file is data if it names layers of Keras, what
these are made of, and nothing else. A layer that holds a function or reads other files is none of these.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.models.runtimes.arrays import array_of, filled
from noria.models.runtimes.columns import Columns
from noria.models.runtimes.formats import KERAS_FILE

CONFIG = "config.json"
MODULES = (
    "keras",
    "keras.constraints",
    "keras.initializers",
    "keras.layers",
    "keras.models",
    "keras.regularizers",
    "keras.src.models.functional",
    "keras.src.models.sequential",
)
VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__")  # which have no module
# layers that hold a function, wrap a model of another framework, or read a vocabulary from any path
REFUSED = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "StringLookup", "IntegerLookup", "TextVectorization")
NOT_READ = ("compile_config",)  # how it was trained, which is not loaded
BACKENDS = ("jax", "torch")


def code_in(data: bytes) -> list[str]:
    """What a `.keras` file names that is more than data, in its words; nothing where it is data alone.

    Raises `zipfile.BadZipFile`, `KeyError` or `ValueError` for what is no such file.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        config = json.loads(archive.read(CONFIG))
    return sorted(set(_code(config)))


def _code(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for each in part:
            yield from _code(each)
    if not isinstance(part, dict):
        return
    if "class_name" in part and not _is_data(part):
        yield ".".join(str(word) for word in (part.get("module"), part["class_name"]) if word)
    for key, each in part.items():
        if key not in NOT_READ:
            yield from _code(each)


def _is_data(part: dict[str, Any]) -> bool:
    """Whether what a part names is a class of Keras that is made of its settings alone."""
    name, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
    if module is None:
        return name in VALUES
    own = module in MODULES and isinstance(name, str) and name[:1].isupper() and name.isidentifier() and name not in REFUSED
    return own and registered in (None, name)


def keras_checked(folder: Path) -> Any:
    """A Keras model from a file that is data alone. Raises `ValueError` for another."""
    found = code_in((folder / KERAS_FILE).read_bytes())
    if found:
        raise ValueError(f"the Keras file names {', '.join(found)}, which can run code")
    return loaded(folder / KERAS_FILE, trusted=False)


def keras_trusted(folder: Path) -> Any:
    """A Keras model with whatever code is in its file: only of bundles that are trusted."""
    return loaded(folder / KERAS_FILE, trusted=True)


def import_keras() -> Any:
    """Keras, on a backend that is installed. Raises `ImportError` where it has none, or is not there itself."""
    if "KERAS_BACKEND" not in os.environ and find_spec("tensorflow") is None:  # which Keras takes where nobody chose
        os.environ["KERAS_BACKEND"] = next((name for name in BACKENDS if find_spec(name) is not None), BACKENDS[0])
    import keras

    return keras


def loaded(path: Path, *, trusted: bool) -> NamedKerasModel:
    """A Keras model from its file. Raises what Keras raises; `ImportError` as `import_keras`."""
    return NamedKerasModel(import_keras().models.load_model(path, compile=False, safe_mode=not trusted))


class NamedKerasModel:
    """A Keras model that is given each of its inputs by its name, or, if it has one that no column is named as, all columns as a block. Of
    several outputs it gives each by its name."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.inputs = list(getattr(model, "inputs", None) or ())
        self.outputs = list(getattr(model, "outputs", None) or ())

    @property
    def output_names(self) -> list[str]:
        names = list(getattr(self.model, "output_names", None) or ())
        return names if len(names) == len(self.outputs) else [tensor.name for tensor in self.outputs]

    def predict(self, columns: Columns) -> Any:
        import keras

        count = len(columns.rows)
        rows = 1 << (count - 1).bit_length() if keras.backend.backend() == "jax" else count
        given = {tensor.name: filled(self._given(columns, tensor), rows) for tensor in self.inputs}
        found = self.model(given if len(given) > 1 else next(iter(given.values())), training=False)
        arrays = [np.asarray(keras.ops.convert_to_numpy(array))[:count] for array in keras.tree.flatten(found)]
        return arrays[0] if len(arrays) == 1 else dict(zip(self.output_names, arrays, strict=True))

    @staticmethod
    def _given(columns: Columns, tensor: Any) -> NDArray[Any]:
        fields = {field.name: field for field in columns.rows.fields}
        if tensor.name not in fields:
            return np.array(columns.block)
        array = array_of(columns.rows, fields[tensor.name])
        return array.reshape(-1, 1) if tuple(tensor.shape[1:]) == (1,) else array
