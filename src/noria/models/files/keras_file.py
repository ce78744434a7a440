"""Keras 3's own files: the inputs and outputs of a model, and whether its file is data alone."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from noria.core.errors import MissingExtra
from noria.core.signature import FLOATS, INTEGERS, PREDICTION, SCORE, Field
from noria.data.rows import Fields
from noria.evaluation.task import Task
from noria.models.export.port import Saved
from noria.models.files.port import ModelFile, ReadOptions
from noria.models.files.refusals import BadSample, BrokenModelFile, CannotServe, CarriesCode, WrongTask
from noria.models.files.tasks import asked_task
from noria.models.runtimes.formats import KERAS_FILE
from noria.models.runtimes.keras_files import NamedKerasModel, code_in, loaded
from noria.models.runtimes.python_spec import KERAS, KERAS_TRUSTED

KIND = "a Keras model"
AGAIN = "save it with `model.save('model.keras')`, and copy the whole file"
HALVES = ("float16", "bfloat16")


def read(path: Path, asked: ReadOptions) -> ModelFile:
    """A model from its file. Raises `CarriesCode`, `BrokenModelFile`, `CannotServe`, `BadSample` or `WrongTask`."""
    data = path.read_bytes()
    code = _code(path, data)
    if code and not asked.trust:
        raise CarriesCode(path, f"it names {', '.join(code[:6])}, and not only layers that are made of their settings")
    try:
        model = loaded(path, trusted=bool(code))
    except ImportError as error:
        raise MissingExtra(library="keras", extra="keras", needed_for=str(path)) from error
    except Exception as error:  # what Keras and its backends raise shares no base
        raise BrokenModelFile(path, KIND, f"{type(error).__name__}: {error}", AGAIN) from error
    inputs, task = _inputs(path, model, asked), _task(model, asked)
    saved = Saved(KIND, KERAS_TRUSTED if code else KERAS, {KERAS_FILE: data}, model)
    return ModelFile(path, KIND, saved, inputs, _outputs(path, model) if task is None else task.outputs, task)


def _code(path: Path, data: bytes) -> list[str]:
    try:
        return code_in(data)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        older = data[:4] == b"\x89HDF"
        reason = "it is HDF5, as Keras 2 wrote" if older else f"it is no archive with a config.json: {error}"
        fix = f"save it with `keras.models.load_model('{path.stem}.h5').save('{path.stem}.keras')`" if older else AGAIN
        raise BrokenModelFile(path, KIND, reason, fix) from error


def _task(model: NamedKerasModel, asked: ReadOptions) -> Task | None:
    """What was asked for: a file does not say it."""
    task = asked_task(asked)
    if task is not None and len(model.outputs) > 1:
        reason = f"the model has {len(model.outputs)} outputs: {', '.join(model.output_names)}"
        raise WrongTask(f"--task {asked.task}", reason, "leave --task out to serve them as they are")
    return task


def _inputs(path: Path, model: NamedKerasModel, asked: ReadOptions) -> Fields:
    if not model.inputs:
        fix = "make it with `keras.Model(inputs, outputs)` or `keras.Sequential`, or serve a Python file with `load(folder)`"
        raise CannotServe(path, "it does not say what it reads", fix)
    for tensor in model.inputs:
        if tensor.shape[0] is not None:
            fix = "give its inputs no `batch_size`"
            raise CannotServe(path, f"its input {tensor.name!r} has a batch of {tensor.shape[0]} rows", fix)
    return _block(model, asked) or tuple(_field(path, tensor.name, tensor, asked) for tensor in model.inputs)


def _block(model: NamedKerasModel, asked: ReadOptions) -> Fields:
    """The inputs as named numbers, where the model reads one block of them and a sample names them; otherwise nothing."""
    one, sample = model.inputs[0], asked.sample
    if len(model.inputs) != 1 or len(one.shape) != 2 or one.dtype not in FLOATS or sample is None or one.name in sample.names:
        return ()
    if one.shape[1] not in (None, len(sample.names)):
        told = f"it has {len(sample.names)} columns, and the model reads {one.shape[1]} numbers"
        raise BadSample(sample.path, told, "give a column for each number that the model reads, in their order, and no others")
    return tuple(Field(name, one.dtype) for name in sample.names)


def _field(path: Path, name: str, tensor: Any, asked: ReadOptions | None = None) -> Field:
    """An input, or, where nothing was asked of it, an output."""
    kind = "float32" if tensor.dtype in HALVES else tensor.dtype
    if kind not in (*FLOATS, *INTEGERS, "bool"):
        raise CannotServe(path, f"{name!r} is of {kind}", "serve it in a Python file with `load(folder)`")
    if asked is not None and asked.sample is not None and name not in asked.sample.names:
        raise BadSample.lacking(asked.sample.path, [name], asked.sample.names)
    shape = tuple(tensor.shape[1:])
    shape = () if shape == (1,) else shape
    return Field(name, kind, shape, nullable=asked is not None and kind in FLOATS and not shape)


def _outputs(path: Path, model: NamedKerasModel) -> Fields:
    if len(model.outputs) > 1:
        return tuple(_field(path, name, tensor) for name, tensor in zip(model.output_names, model.outputs, strict=True))
    one = _field(path, PREDICTION, model.outputs[0])
    return (SCORE,) if one.type in FLOATS and not one.shape else (one,)
