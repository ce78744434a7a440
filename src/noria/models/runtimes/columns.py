"""What a Python model is given, and what it may answer.

`predict(columns)` gets name → array. What an array is follows from the field alone, never from the values of one batch:

    float32, float64                            numpy, NaN where unknown
    whole numbers, booleans, if not nullable    numpy, of their own type
    timestamp                                   numpy datetime64[us], NaT where unknown
    tensors of a fixed shape, if not nullable   numpy (rows, *shape)
    everything else                             pyarrow, null where unknown

The arrays are read-only and lie in shared memory: they are good until `predict` returns, and what is kept must be copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS, INTEGERS, SCORE, Field, dense_type
from noria.data.rows import Fields, Rows, stacked_tensor

SHOWN = 6  # outputs in a message


class Columns(dict[str, Any]):
    """The columns of a batch, by name."""

    def __init__(self, rows: Rows) -> None:
        super().__init__({field.name: _array(field, rows) for field in rows.fields})
        self.rows = rows

    @property
    def block(self) -> NDArray[Any]:
        """All columns as one array `(rows, columns)`: floats where all are numbers, otherwise objects, None where unknown."""
        if self.rows.is_dense:
            return self.rows.block
        if all(not field.shape and field.type in (*FLOATS, *INTEGERS, "bool") for field in self.rows.fields):
            return self.rows.block
        found = np.empty((len(self.rows), len(self.rows.fields)), object)
        for place, name in enumerate(self.rows.names):
            found[:, place] = self.rows.column(name).to_pylist()
        return found


def _array(field: Field, rows: Rows) -> Any:
    if rows.is_dense:
        return rows.block[:, rows.names.index(field.name)]
    column = rows.column(field.name)
    if not field.shape and (field.type in FLOATS or field.type == "timestamp"):
        found = column.to_numpy(zero_copy_only=False)
        return found.astype("datetime64[us]", copy=False) if field.type == "timestamp" else found
    known = not field.nullable and not column.null_count and None not in field.shape and field.type not in ("string", "bytes")
    return stacked_tensor(field, column) if known else column


def answered(fields: Fields, found: Any, count: int) -> Rows:
    """What a model returned for `count` rows, as rows of its outputs. Raises `ValueError` or `TypeError` where it is not that.

    found: an array, if there is one output (of several columns, the last is the score); or name → array
    """
    arrays = [_of_rows(field, array, count) for field, array in zip(fields, _by_field(fields, found), strict=True)]
    kind = dense_type(fields)
    if kind is None:
        return Rows.of_arrays(fields, arrays)
    return Rows.dense(fields, np.column_stack([_single(field, array) for field, array in zip(fields, arrays, strict=True)]).astype(kind))


def _single(field: Field, array: NDArray[Any]) -> NDArray[Any]:
    flat = array.reshape(len(array)) if array.size == len(array) else array
    if flat.ndim != 1:
        raise ValueError(f"{field.described} has shape {list(array.shape)}")
    return flat


def _by_field(fields: Fields, found: Any) -> list[Any]:
    if isinstance(found, Mapping):
        lacking = [field.name for field in fields if field.name not in found]
        if lacking:
            shown = ", ".join(map(str, list(found)[:SHOWN])) or "nothing"
            raise ValueError(f"it returned {shown}, and not {', '.join(lacking)}")
        return [found[field.name] for field in fields]
    if len(fields) != 1:
        raise TypeError(f"it returned a {type(found).__name__}; a dict of {', '.join(field.name for field in fields)} is expected")
    return [found]


def _of_rows(field: Field, found: Any, count: int) -> NDArray[Any]:
    if found is None:
        raise TypeError(f"it returned None for {field.name}")
    array = np.asarray(found)
    if array.ndim == 0:
        raise TypeError(f"it returned a {type(found).__name__} for {field.name}; an array of {count} is expected")
    if len(array) != count:
        raise ValueError(f"it returned {len(array)} values of {field.name} for {count} rows")
    if field == SCORE and array.ndim == 2 and array.shape[1] in (1, 2):
        array = array[:, -1]
    if field.type in FLOATS and array.dtype.kind not in "fiub":
        raise TypeError(f"it returned values of {field.name} that are not numbers: {array.dtype}")
    return array
