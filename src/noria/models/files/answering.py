"""Asking a model for the first time: which rows it answers, and what its answers are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS, INTEGERS, PREDICTION, Field
from noria.data.rows import Fields, Rows, stacked
from noria.data.tensors import sizes_of
from noria.models.export.port import Wanted
from noria.models.files.port import ModelFile
from noria.models.files.refusals import CannotServe, NotSaid, WrongTask
from noria.models.runtimes.port import ModelFailed, Runtime

ALONE = 3  # rows that are asked alone as well
SAME = 1e-5  # by which answers to a row alone and in a batch may differ, relative to their size
ROUNDED = 1e-3  # by which a probability may miss its bounds
KINDS = {"f": "float64", "i": "int64", "u": "int64", "b": "bool", "U": "string", "S": "bytes", "O": "string"}


def first_answered(model: Runtime, candidates: Iterable[Rows], found: ModelFile) -> Rows:
    """The first rows of some that a model answers with finite numbers. Raises `NotSaid` where it answers none."""
    why = "it has no inputs"
    for rows in candidates:
        try:
            answers = model.answer(rows)
        except ModelFailed as error:
            why = error.where
        else:
            if answers.finite():
                return rows
            why = "it answers made-up rows with NaN or infinity"
    fix = "add --sample with a file of rows that it can answer (Parquet, CSV or JSON)"
    raise NotSaid(found.path, "which rows it can answer, and made-up ones fail", why, fix)


def require_answers(model: Runtime, wanted: Wanted, found: ModelFile) -> Rows:
    """A graph's answers to its sample: each row's by itself, finite, and what the task asks for. Raises `CannotServe` or `WrongTask`."""
    rows = wanted.rows
    try:
        answers = model.answer(rows)
        places = list(range(0, len(rows), -(-len(rows) // ALONE)))
        alone = stacked([model.answer(rows.part(place, place + 1)) for place in places])
    except ModelFailed as error:
        raise CannotServe(found.path, error.where, "give a sample of rows that the model answers, or export the model again") from error
    if len(answers) != len(rows):
        fix = "export it with a first dimension of free size in every input and output, one row each"
        raise CannotServe(found.path, f"it returns {len(answers)} answers for {len(rows)} rows", fix)
    if not answers.finite():
        raise CannotServe(found.path, f"it returns NaN or infinity among {len(rows)} rows", "make it return finite numbers")
    if max(alone.differences(answers.take(places)), default=0.0) > SAME:
        reason = "its answer to a row depends on the other rows of the batch, and requests are batched"
        raise CannotServe(found.path, reason, "export it for inference, not for training")
    if found.task is not None:
        scores = answers.scores(wanted.signature.outputs).reshape(len(answers), wanted.scores)
        wrong = wanted.wrong(scores, ROUNDED)
        if wrong:
            fix = "choose another --task, or --task none to serve the outputs as they are"
            raise WrongTask(f"--task {found.task.name}", wrong, fix)
    return answers


def settled(answers: Rows, inputs: Fields) -> Fields:
    """The fields of answers: sizes that a graph leaves open have a number, where no input has a free size and all answers are alike."""
    if any(None in field.shape for field in inputs):
        return answers.fields
    return tuple(_settled(field, answers) if None in field.shape else field for field in answers.fields)


def _settled(field: Field, answers: Rows) -> Field:
    shapes = np.unique(sizes_of(field, answers.column(field.name)), axis=0)
    if len(shapes) != 1:
        return field
    shape = tuple(int(size) for size in shapes[0])
    return Field(field.name, field.type, () if shape == (1,) else shape, field.nullable, field.labels)


def outputs_of(answer: Any, rows: int, path: Any) -> Fields:
    """The fields of what a Python model returned for so many rows. Raises `CannotServe`."""
    arrays = {str(k): v for k, v in answer.items()} if isinstance(answer, Mapping) else {PREDICTION: answer}
    return tuple(_field(name, np.asarray(array), rows, path) for name, array in arrays.items())


def _field(name: str, array: NDArray[Any], rows: int, path: Any) -> Field:
    if array.ndim == 0 or len(array) != rows:
        fix = "make `predict` return an array with a value for each row, or a dict of such arrays"
        raise CannotServe(path, f"it returned {array.shape[0] if array.ndim else 'one'} value(s) of {name!r} for {rows} rows", fix)
    kind = str(array.dtype) if str(array.dtype) in (*FLOATS, *INTEGERS) else KINDS.get(array.dtype.kind)
    if kind is None:
        raise CannotServe(path, f"it returned {array.dtype} for {name!r}", "make it return numbers, texts or booleans")
    shape = array.shape[1:]
    return Field(name, kind, () if shape == (1,) else shape, nullable=False)
