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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import MissingExtra
from noria.core.signature import FLOATS, INTEGERS, SCORE, Field, dense_type
from noria.data.rows import Fields, Rows, column_of_array, column_of_values, width
from noria.data.tensors import stacked_tensor

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

    def frame(self) -> Any:
        """All columns as a pandas data frame, as `train.to_pandas()` is. Raises `MissingExtra` without pandas."""
        import pyarrow as pa

        try:
            return pa.table(self.rows.columns()).to_pandas(use_threads=False)
        except ModuleNotFoundError as error:
            raise MissingExtra(library="pandas", extra="pandas", needed_for="columns.frame()") from error


def _array(field: Field, rows: Rows) -> Any:
    if rows.is_dense:
        return rows.block[:, rows.names.index(field.name)]
    column = rows.column(field.name)
    if not field.shape and (field.type in FLOATS or field.type == "timestamp"):
        found = column.to_numpy(zero_copy_only=False)
        return found.astype("datetime64[us]", copy=False) if field.type == "timestamp" else found
    known = not field.nullable and not column.null_count and None not in field.shape and field.type not in ("string", "bytes")
    return stacked_tensor(field, column) if known else column


class Chances(NamedTuple):
    """Probabilities `(rows, classes)` of the classes that a model was fitted on, None where it does not say."""

    values: NDArray[Any]
    classes: Any

    def of_labels(self, field: Field) -> NDArray[Any]:
        """Those of an output's labels `(rows, labels)`, 0 for one that the model does not know. Raises `ValueError`.

        Classes that are numbers are the places of labels, as trainers are given them, unless they are the labels; those that are texts are
        labels.
        """
        if self.classes is None or self.values.ndim != 2:
            return self.values
        if [str(each) for each in np.asarray(self.classes).tolist()] == list(field.labels):
            return self.values
        known = [str(each) if isinstance(each, str) else int(each) for each in np.asarray(self.classes).tolist()]
        place = {name: i for i, name in enumerate(field.labels)}
        at = [place.get(each, -1) if isinstance(each, str) else each for each in known]
        if len(at) != self.values.shape[1] or not all(0 <= each < len(field.labels) for each in at):
            raise ValueError(
                f"it was fitted on the classes {', '.join(map(repr, known[:SHOWN]))}; train it on the labels as they are given"
            )
        found = np.zeros((len(self.values), len(field.labels)))
        found[:, at] = self.values
        return found

    def of_one(self) -> NDArray[Any]:
        """That of the greater of two classes `(rows,)`. Raises `ValueError`."""
        if self.values.ndim != 2 or self.values.shape[1] != 2:
            raise ValueError(f"it gives probabilities of shape {self.values.shape}; those of two classes are expected")
        return np.asarray(self.values[:, 1])


def answered(fields: Fields, found: Any, count: int) -> Rows:
    """What a model returned for `count` rows, as rows of its outputs. Raises `ValueError` or `TypeError` where it is not that.

    found: Rows; an array, if there is one output (of several columns, the last is the score), or one of all numbers of several outputs,
    `(rows, numbers)`; or name → array; label → array, where an output has labels
    """
    if isinstance(found, Rows):
        if found.fields != fields or len(found) != count:
            raise ValueError(f"it returned {len(found)} rows of {', '.join(found.names)} for {count} rows")
        return found
    by_field = _by_field(fields, found)
    kind = dense_type(fields)
    if kind is None:
        return Rows.of(fields, [_column(field, each, count) for field, each in zip(fields, by_field, strict=True)])
    arrays = [_of_rows(field, array, count) for field, array in zip(fields, by_field, strict=True)]
    return Rows.dense(fields, np.column_stack([_single(field, array) for field, array in zip(fields, arrays, strict=True)]).astype(kind))


def _column(field: Field, found: Any, count: int) -> Any:
    """An output as Arrow has it. Lists of any length come as such, since they are no array; None is unknown where that may be."""
    if isinstance(found, list | tuple) and len(found) == count and (None in field.shape or (field.nullable and None in found)):
        return column_of_values(field, found)
    return column_of_array(field, np.asarray(_of_rows(field, found, count)))


def _single(field: Field, array: NDArray[Any]) -> NDArray[Any]:
    flat = array.reshape(len(array)) if array.size == len(array) else array
    if flat.ndim != 1:
        raise ValueError(f"{field.described} has shape {list(array.shape)}")
    return flat


def _by_field(fields: Fields, found: Any) -> list[Any]:
    if isinstance(found, Mapping):
        found = {str(name): value for name, value in found.items()}
        if len(fields) == 1 and fields[0].labels and fields[0].name not in found:
            return [_by_label(fields[0], found)]
        lacking = [field.name for field in fields if field.name not in found]
        if lacking:
            shown = ", ".join(map(str, list(found)[:SHOWN])) or "nothing"
            raise ValueError(f"it returned {shown}, and not {', '.join(lacking)}")
        return [_by_label(field, found[field.name]) for field in fields]
    if isinstance(found, list) and len(fields) == 1 and len(found) == len(fields[0].labels) and isinstance(found[0], Chances):
        return [np.column_stack([_of_yes(each) for each in found])]
    if isinstance(found, list) and len(found) == len(fields) > 1 and isinstance(found[0], Chances):
        return list(found)
    if len(fields) != 1:
        ends = np.cumsum([width(field) for field in fields])
        if isinstance(found, np.ndarray) and found.ndim > 1 and found[0].size == ends[-1]:
            parts = np.split(found.reshape(len(found), -1), ends[:-1], axis=1)
            return [part.reshape(len(found), *field.shape) for part, field in zip(parts, fields, strict=True)]
        raise TypeError(f"it returned a {type(found).__name__}; a dict of {', '.join(field.name for field in fields)} is expected")
    return [found]


def _of_yes(found: Chances) -> NDArray[Any]:
    """The probability of 1 of a model that may have been fitted where there was no 1, or nothing else."""
    classes = np.asarray(found.classes).tolist()
    return np.asarray(found.values[:, classes.index(1)]) if 1 in classes else np.zeros(len(found.values))


def _by_label(field: Field, found: Any) -> Any:
    """An output's values side by side, where they came by label. Raises `ValueError` where some are not there."""
    if not isinstance(found, Mapping):
        return found
    given = {str(label): value for label, value in found.items()}
    lacking = [label for label in field.labels if label not in given]
    if lacking or not field.labels:
        raise ValueError(f"it returned {', '.join(list(given)[:SHOWN]) or 'nothing'} of {field.name}, and not {', '.join(lacking)}")
    return np.column_stack([np.asarray(given[label]) for label in field.labels])


def _of_rows(field: Field, found: Any, count: int) -> NDArray[Any]:
    if isinstance(found, Chances):
        found = found.of_labels(field) if field.labels else found.of_one()
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
