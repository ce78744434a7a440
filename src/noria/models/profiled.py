"""Rows of a bundle as the columns of its profile: its inputs, projected where they are not numbers, then its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.files import Files
from noria.core.signature import Field
from noria.data.rows import Rows
from noria.models.bundle import PROJECTION_FILE, Bundle
from noria.profiles.inputs import InputProjections

CONFIDENCE = "confidence"  # how great the greatest of a row's scores is


def projections_of(bundle: Bundle, files: Files) -> InputProjections | None:
    """How a bundle's inputs become the columns of its profile; None where they are these as they are. Raises `ValueError` or `KeyError`."""
    if PROJECTION_FILE not in bundle.manifest.files:
        return None
    return InputProjections.from_json(files.read(bundle.file(PROJECTION_FILE)))


def profiled_columns(
    projections: InputProjections | None, names: Sequence[str], inputs: Rows, outputs: Rows, received_us: NDArray[np.int64]
) -> NDArray[Any]:
    """`(rows, columns)`, NaN where unknown. names: of the columns, those of the answers as `Task.monitored` has them; received_us: since
    1970-01-01 UTC `(rows,)`"""
    numbers = inputs.block if projections is None else projections.of(inputs, received_us / 1e6)
    return np.column_stack([numbers, answer_columns(outputs, names[numbers.shape[1] :])])


def answer_columns(outputs: Rows, names: Sequence[str]) -> NDArray[Any]:
    """Answers as the columns that they are watched by `(rows, columns)`: see `Task.monitored`."""
    if outputs.is_dense and tuple(names) == outputs.names:
        return outputs.block
    fields = {field.name: field for field in outputs.fields}
    return np.column_stack([_answer_column(outputs, fields, name) for name in names])


def _answer_column(outputs: Rows, fields: Mapping[str, Field], name: str) -> NDArray[Any]:
    output, _, part = (name, "", "") if name in fields else name.partition(".")
    field = fields[output]
    numbers = outputs.labelled(field)
    if part in field.labels:
        return numbers[:, field.labels.index(part)]
    if part == CONFIDENCE:
        return np.asarray(numbers.max(axis=1))
    return np.asarray(numbers.argmax(axis=1) if field.labels else numbers[:, 0])
