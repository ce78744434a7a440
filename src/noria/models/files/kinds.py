"""Which format a path is of, and who reads it."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from noria.core.errors import nearest
from noria.models.bundle import MANIFEST
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import NotAModel

Read = Callable[[Path, ReadOptions], ModelFile]

MLFLOW_PREFIX = "mlflow:"
SUFFIXES = {
    ".onnx": "onnx_file:read",
    ".skops": "skops_file:read",
    ".txt": "boosters:read_lightgbm",
    ".lgb": "boosters:read_lightgbm",
    ".json": "boosters:read_xgboost",
    ".ubj": "boosters:read_xgboost",
    ".xgb": "boosters:read_xgboost",
    ".cbm": "catboost_file:read",
    ".keras": "keras_file:read",
    ".pkl": "pickled:read",
    ".pickle": "pickled:read",
    ".joblib": "pickled:read",
    ".py": "python_file:read",
}
ELSEWHERE = {
    ".pt": "export it to ONNX with `torch.onnx.export`, or write a Python file with `load(folder)`",
    ".pth": "export it to ONNX with `torch.onnx.export`, or write a Python file with `load(folder)`",
    ".pt2": "export it to ONNX with `torch.onnx.export`, or write a Python file with `load(folder)`",
    ".h5": "save the model of Keras as `model.keras`: `keras.models.load_model(path).save('model.keras')`",
    ".pb": "export it to ONNX with tf2onnx, or write a Python file with `load(folder)`",
    ".pmml": "save the model as ONNX, or as a skops file",
    ".gguf": "serve it with llama.cpp or vLLM",
    ".safetensors": "give the folder that it lies in, with config.json and the tokenizer",
}
FOLDERS = (("MLmodel", "mlflow_folder:read"), ("config.json", "hugging_face:read"))
WHAT = (
    "give an .onnx, .skops, .txt (LightGBM), .json or .ubj (XGBoost), .cbm (CatBoost), .keras, .pkl or .py file, "
    "or a folder of MLflow or Hugging Face"
)


def is_model_path(given: str) -> bool:
    """Whether a word names a model file and not an endpoint: it is a path that exists, has a model's suffix, or begins with `mlflow:`."""
    suffix = Path(given).suffix.lower()
    return given.startswith(MLFLOW_PREFIX) or suffix in SUFFIXES or suffix in ELSEWHERE or "/" in given or Path(given).exists()


@contextmanager
def located(given: str) -> Iterator[Path]:
    """Where a model lies, for as long as it is read: what `mlflow:` names is fetched where it is not a folder. Raises `NotAModel`."""
    uri = given.removeprefix(MLFLOW_PREFIX)
    if uri == given or Path(uri).exists():
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="noria-mlflow-") as scratch:
        yield _fetched(given, uri, Path(scratch))


def _fetched(given: str, uri: str, scratch: Path) -> Path:
    """A folder named as its model, with what MLflow has under an address."""
    parts = [part for part in uri.partition(":/")[2].split("/") if part]
    folder = scratch / ((parts[0] if uri.startswith("models:") else parts[-1]).partition("@")[0] if parts else "model")
    folder.mkdir()
    try:
        from mlflow.artifacts import download_artifacts

        return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except Exception as error:  # what stores of artifacts raise shares no base
        fix = "name a folder, `mlflow:models:/NAME/VERSION` or `mlflow:runs:/RUN/model`, and set MLFLOW_TRACKING_URI"
        raise NotAModel(given, f"{type(error).__name__}: {error}"[:300], fix) from error


def is_bundle(path: Path) -> bool:
    """Whether a path is a folder of a bundle, which is served as it is."""
    return (path / MANIFEST).is_file()


def read_model(path: Path, asked: ReadOptions) -> ModelFile:
    """The model of a file or folder. Raises `NotAModel`, and what its format raises."""
    if not path.exists():
        there = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NotAModel(path, f"there is no such file{nearest(path.name, there)}", WHAT)
    if path.is_dir():
        return _folder(path)(path, asked)
    if not path.is_file():
        raise NotAModel(path, "it is neither a file nor a folder", WHAT)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        reason = f"files that end in {suffix} are not read" if suffix else "its name has no ending that says what it is"
        raise NotAModel(path, reason, ELSEWHERE.get(suffix, WHAT))
    return _reader(SUFFIXES[suffix])(path, asked)


def _folder(path: Path) -> Read:
    for name, reader in FOLDERS:
        if (path / name).is_file():
            return _reader(reader)
    if any(path.glob("*.py")):
        return _reader("python_file:read_folder")
    inside = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
    if len(inside) == 1:
        return lambda _, asked: read_model(inside[0], asked)
    found = ", ".join(each.name for each in sorted(path.iterdir())[:6]) or "nothing"
    raise NotAModel(path, f"it has neither MLmodel, config.json nor a Python file; it holds {found}", WHAT)


def _reader(name: str) -> Read:
    module, _, function = name.partition(":")
    found: Read = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    return found
