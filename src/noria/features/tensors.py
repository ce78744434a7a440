"""Tensors that a user's function gives (images, say), in whatever form it has them, as a feature's column."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import arrow_type
from noria.data.tensors import fits, malformed, numpy_type, of_array, of_parts

if TYPE_CHECKING:
    import pyarrow as pa


def given_as_tensors(field: Field, values: Any) -> pa.Array:
    """One array `(rows, *shape)`; a list of arrays or of nested lists, None where unknown; or Arrow's lists, of a fixed shape also flat.

    Raises `TypeError`, `ValueError` or `OverflowError` for values of another type or shape, or that the type can't hold as they are.
    """
    single = arrow_type(Field(field.name, field.type))
    if isinstance(values, np.ndarray) and values.dtype != object:
        return of_array(field, _as_type(field, values), single)
    listed = _listed(field, values)
    if not isinstance(listed, list):
        return listed
    return of_parts(field, [None if value is None else _tensor(field, value) for value in listed], single)


def _listed(field: Field, values: Any) -> list[Any] | pa.Array:
    """The values of the rows, or a column that is already laid out as the field's are."""
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        if values.type == arrow_type(field) and pa.types.is_struct(values.type):
            if reason := malformed(field, values):
                raise ValueError(reason)
            return values
        values = values.to_pylist()
    return list(values)


def _tensor(field: Field, value: Any) -> NDArray[Any]:
    array = np.asarray(value, object if field.type in ("string", "bytes") else None)
    if array.ndim == 1 and None not in field.shape and array.size == math.prod(size or 0 for size in field.shape):
        array = array.reshape([size or 0 for size in field.shape])
    if not fits(field, array.shape):
        raise ValueError(f"{field.described} has shape {list(array.shape)}")
    return _as_type(field, array)


def _as_type(field: Field, array: NDArray[Any]) -> NDArray[Any]:
    """The same values in the field's type. Raises `TypeError` or `ValueError` where they are of another kind, or do not fit."""
    kinds = "iuf" if field.type in FLOATS else "iu" if field.type in INTEGERS else {"bool": "b", "timestamp": "M"}.get(field.type, "OUS")
    if array.dtype.kind not in kinds:
        raise TypeError(f"values of type {array.dtype} are not {field.written_type}")
    found = array.astype(numpy_type(field), copy=False)
    if field.type in INTEGERS and (found != array).any():
        raise ValueError(f"a value is beyond {field.type}")
    return found
