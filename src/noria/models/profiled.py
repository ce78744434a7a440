"""Rows of a bundle as the columns of its profile: its inputs, projected where they are not numbers, then its prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.files import Files
from noria.data.rows import Rows
from noria.models.bundle import PROJECTION_FILE, Bundle
from noria.profiles.inputs import InputProjections


def projections_of(bundle: Bundle, files: Files) -> InputProjections | None:
    """How a bundle's inputs become the columns of its profile; None where they are these as they are. Raises `ValueError` or `KeyError`."""
    if PROJECTION_FILE not in bundle.manifest.files:
        return None
    return InputProjections.from_json(files.read(bundle.file(PROJECTION_FILE)))


def profiled_columns(
    projections: InputProjections | None, inputs: Rows, prediction: NDArray[Any], received_us: NDArray[np.int64]
) -> NDArray[Any]:
    """`(rows, columns)`, NaN where unknown. prediction: `(rows,)` or `(rows, outputs)`; received_us: since 1970-01-01 UTC `(rows,)`"""
    numbers = inputs.block if projections is None else projections.of(inputs, received_us / 1e6)
    return np.column_stack([numbers, prediction])
