"""MLflow models: folders with a file `MLmodel`, which names the formats that the model was saved in, and its signature.

Formats that are data come first: ONNX, LightGBM, XGBoost, skops. Pickles and python_functions are code, and need trust.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noria.core.errors import NoriaError
from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import Fields, Rows
from noria.models.export.port import Saved
from noria.models.files import boosters, onnx_file, pickled, skops_file
from noria.models.files.answering import outputs_of
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BadSample, BrokenModelFile, CarriesCode, NotSaid
from noria.models.files.sample import rows_of_json
from noria.models.files.tasks import asked_task
from noria.models.runtimes.columns import Columns
from noria.models.runtimes.python_spec import MLFLOW
from noria.models.runtimes.saved import MLFLOW_FOLDER, Pyfunc

KIND = "an MLflow model"
DESCRIPTION = "MLmodel"
NAMES = {"float": "float32", "double": "float64", "integer": "int32", "long": "int64", "boolean": "bool", "datetime": "timestamp"}
KNOWN = {"binary": "bytes", "string": "string", "str": "string", "object": "string"}
INSIDE = ("input_example.json", "serving_input_example.json", "serving_input_payload.json")


def read(folder: Path, asked: ReadOptions) -> ModelFile:
    """An MLflow model by the safest of its formats. Raises `BrokenModelFile`, `CarriesCode`, `NotSaid` and what its format raises."""
    described = _described(folder)
    flavors = described["flavors"]
    inputs = _fields(described, "inputs")
    for flavor, own in flavors.items():
        found = _of_flavor(folder, flavor, own or {}, asked, inputs)
        if found is not None:
            rows = _example(folder, found.inputs)
            return ModelFile(folder, f"{KIND} ({found.kind})", found.fitted, found.inputs, found.outputs, found.task, found.order, rows)
    if "python_function" not in flavors:
        told = f"it was saved as {', '.join(flavors) or 'nothing'}"
        raise BrokenModelFile(folder, KIND, f"{told}, of which none can be served", "save it as a python_function, or as ONNX")
    return _python_function(folder, described, asked, inputs)


def _of_flavor(folder: Path, flavor: str, own: Mapping[str, Any], asked: ReadOptions, inputs: Fields) -> ModelFile | None:
    """The model by one of its formats; None where it is none that is read by itself."""
    if flavor == "onnx":
        path = _file(folder, own.get("data", "model.onnx"))
        names = [field.name for field in inputs] if all(not field.shape for field in inputs) else []
        return onnx_file.of_bytes(path, onnx_file.whole(path), asked, names)
    if flavor == "lightgbm" and str(own.get("data", "model.lgb")).endswith((".lgb", ".txt")):
        return boosters.read_lightgbm(_file(folder, own.get("data", "model.lgb")), asked)
    if flavor == "xgboost" and str(own.get("data", "")).endswith((".xgb", ".json", ".ubj")):
        return boosters.read_xgboost(_file(folder, own["data"]), asked)
    if flavor == "sklearn":
        path = _file(folder, own.get("pickled_model", "model.pkl"))
        if path.suffix == ".skops":
            return skops_file.read(path, asked)
        return pickled.read(path, asked, _numbers(inputs))
    return None


def _numbers(inputs: Fields) -> Fields:
    """Inputs as estimators read them: where all are numbers, each as a double."""
    if inputs and all(not field.shape and field.type in (*FLOATS, *INTEGERS) for field in inputs):
        return tuple(Field(field.name, "float64") for field in inputs)
    return inputs


def _python_function(folder: Path, described: dict[str, Any], asked: ReadOptions, inputs: Fields) -> ModelFile:
    if not asked.trust:
        raise CarriesCode(folder, "a python_function is Python code, which can do anything")
    if not inputs:
        if asked.sample is None:
            fix = "add --sample with a file of rows, or log it with a signature: `log_model(…, signature=infer_signature(inputs, outputs))`"
            raise NotSaid(folder, "which inputs it reads", "it was logged without a signature", fix)
        inputs = asked.sample.fields(asked.sample.names, "float64")
    if asked.sample is not None and (missing := [field.name for field in inputs if field.name not in asked.sample.names]):
        raise BadSample.lacking(asked.sample.path, missing, asked.sample.names)
    files = {f"{MLFLOW_FOLDER}/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    saved, rows, task = Saved(f"{KIND} (python_function)", MLFLOW, files), _example(folder, inputs), asked_task(asked)
    if task is not None:
        return ModelFile(folder, saved.kind, saved, inputs, task.outputs, task, rows=rows)
    outputs = _fields(described, "outputs") or _seen(folder, inputs, asked, rows)
    return ModelFile(folder, saved.kind, saved, inputs, tuple(_known(field) for field in outputs), rows=rows)


def _known(field: Field) -> Field:
    return Field(field.name, field.type, field.shape, nullable=False)


def _seen(folder: Path, inputs: Fields, asked: ReadOptions, rows: Rows | None) -> Fields:
    """The fields of what it was seen to answer."""
    from noria.models.files.guesses import guessed_rows

    some = asked.sample.rows(inputs) if asked.sample is not None else rows if rows is not None else next(guessed_rows(inputs))
    try:
        import mlflow.pyfunc

        answer = Pyfunc(mlflow.pyfunc.load_model(str(folder))).predict(Columns(some.part(0, 8)))
    except Exception as error:  # whatever code it carries raises
        why = f"{type(error).__name__}: {error}"
        raise NotSaid(folder, "what it answers, and asking it failed", why, "add --sample, or log it with a signature") from error
    return outputs_of(answer, len(some.part(0, 8)), folder)


def _described(folder: Path) -> dict[str, Any]:
    import yaml

    path = folder / DESCRIPTION
    try:
        found = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise BrokenModelFile(path, "YAML", str(error), "log the model again, or copy the whole folder") from error
    if not isinstance(found, dict) or not isinstance(found.get("flavors"), dict):
        raise BrokenModelFile(path, KIND, "it names no flavors", "log the model again, or copy the whole folder")
    return found


def _file(folder: Path, name: str) -> Path:
    """A file that `MLmodel` names, which must lie in the folder. Raises `BrokenModelFile`."""
    path = (folder / name).resolve()
    if path.is_dir():
        path = next(iter(sorted(each for each in path.iterdir() if each.suffix in (".onnx", ".pkl", ".skops"))), path)
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise BrokenModelFile(folder, KIND, f"its file {name} is missing", "copy the whole folder")
    return path


def _fields(described: dict[str, Any], side: str) -> Fields:
    """The columns or tensors of one side of the signature; nothing where there is none, or one that has no types here."""
    written = (described.get("signature") or {}).get(side)
    if not written:
        return ()
    try:
        columns = json.loads(written) if isinstance(written, str) else written
        return tuple(_field(column, place, len(columns), side) for place, column in enumerate(columns))
    except (ValueError, KeyError, TypeError, NoriaError):
        return ()  # of objects and maps, which a sample has to say more of


def _field(column: dict[str, Any], place: int, count: int, side: str) -> Field:
    usual = "prediction" if side == "outputs" and count == 1 else f"{'output' if side == 'outputs' else 'input'}_{place}"
    name, kind, shape = str(column.get("name") or usual), str(column["type"]), list[int]()
    if kind == "tensor":
        kind, (_, *shape) = str(column["tensor-spec"]["dtype"]), column["tensor-spec"]["shape"]
    elif kind == "array":
        kind, shape = str(column["items"]["type"]), [-1]
    sizes = tuple(None if size < 0 else int(size) for size in shape)
    return Field(name, NAMES.get(kind) or KNOWN.get(kind) or kind, () if sizes == (1,) else sizes)


def _example(folder: Path, inputs: Fields) -> Rows | None:
    """The rows that were logged with the model as its example, if they are rows of its inputs."""
    for name in INSIDE:
        path = folder / name
        if not path.is_file():
            continue
        try:
            rows = rows_of_json(json.loads(path.read_bytes()))
            if rows and all(field.name in rows[0] for field in inputs):
                return Rows.of_values(inputs, [[row[field.name] for field in inputs] for row in rows])
        except (ValueError, TypeError, KeyError, OverflowError):
            continue
    return None
