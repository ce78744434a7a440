"""Columns of lists and tensors: NumPy arrays into the layout that Arrow has for a field, and back, with no Python object for a number.

Of a fixed shape: a fixed-size list, flat in row-major order. Of any length: a list. Of free dimensions: a struct of the shape and the
flat values. What is numbers is not copied on the way to a model where all rows have one shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.signature import FLOATS, Field

if TYPE_CHECKING:
    import pyarrow as pa

Sizes = tuple[int, ...]


def numpy_type(field: Field) -> Any:
    """What NumPy calls the type of a field's single values."""
    return object if field.type in ("string", "bytes") else "datetime64[us]" if field.type == "timestamp" else field.type


def fits(field: Field, sizes: Sequence[int]) -> bool:
    """Whether a value of these sizes is one of a field."""
    return len(sizes) == len(field.shape) and all(want in (None, got) for want, got in zip(field.shape, sizes, strict=True))


def cut(flat: pa.Array, field: Field, rows: int, sizes: Sequence[int]) -> pa.Array:
    """The values of so many rows, all of the same sizes, as a column of lists or tensors. Raises `ValueError`."""
    import pyarrow as pa

    size = math.prod(sizes)
    if None not in field.shape:
        return pa.FixedSizeListArray.from_arrays(flat, size)
    lists = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * size).cast(pa.int32()), flat)
    return lists if len(field.shape) == 1 else _shaped(lists, np.tile(np.array(sizes, np.int64), (rows, 1)))


def of_array(field: Field, array: NDArray[Any], single: pa.DataType) -> pa.Array:
    """A column of one array `(rows, *shape)`. single: the Arrow type of one value. Raises `ValueError` for another shape."""
    if not fits(field, array.shape[1:]):
        raise ValueError(f"{field.described} has shape {list(array.shape)}")
    return cut(_flat(array, single), field, len(array), array.shape[1:])


def of_parts(field: Field, parts: Sequence[NDArray[Any] | None], single: pa.DataType) -> pa.Array:
    """A column of an array for each row, None where unknown. Raises `ValueError` for one of another shape."""
    import pyarrow as pa

    for part in parts:
        if part is not None and not fits(field, part.shape):
            raise ValueError(f"{field.described} has shape {list(part.shape)}")
    unknown = np.array([part is None for part in parts], np.bool_)
    mask = pa.array(unknown) if unknown.any() else None
    if None not in field.shape:
        nothing = np.zeros([size or 0 for size in field.shape], numpy_type(field))
        flat = _joined([nothing if part is None else part for part in parts], field, single)
        return pa.FixedSizeListArray.from_arrays(flat, math.prod(nothing.shape), mask=mask)
    known = [np.empty((0,) * len(field.shape), numpy_type(field)) if part is None else part for part in parts]
    ends = np.concatenate([[0], np.cumsum([part.size for part in known], dtype=np.int64)])
    offsets, flat = pa.array(ends).cast(pa.int32()), _joined(known, field, single)
    if len(field.shape) == 1:
        return pa.ListArray.from_arrays(offsets, flat, mask=mask)
    shapes = np.array([part.shape for part in known], np.int64).reshape(len(parts), len(field.shape))
    return _shaped(pa.ListArray.from_arrays(offsets, flat), shapes, mask)


def stacked_tensor(field: Field, column: pa.Array) -> NDArray[Any]:
    """A column as one array `(rows, *shape)`. Raises `ValueError` where rows differ in a free dimension, or where one is unknown."""
    if column.null_count:
        raise ValueError(f"{field.described} is unknown in a row")
    if not field.shape:
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(numpy_type(field), copy=False)
    shapes = sizes_of(field, column)
    if len(shapes) and (shapes != shapes[0]).any():
        raise ValueError(f"{field.described} has rows of different shapes")
    values = column.field("values") if len(field.shape) > 1 and None in field.shape else column
    flat = values.flatten()
    if flat.null_count and field.type not in FLOATS:
        raise ValueError(f"{field.described} holds a value that is unknown")
    sizes = shapes[0].tolist() if len(shapes) else [size or 0 for size in field.shape]
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(column), *sizes)


def sizes_of(field: Field, column: pa.Array) -> NDArray[np.int64]:
    """The shape of each row's list or tensor `(rows, dimensions)`; of an unknown one, zeros or what it happens to be."""
    import pyarrow.compute as pc

    if None not in field.shape:
        return np.tile(np.array(field.shape, np.int64), (len(column), 1))
    if len(field.shape) == 1:
        return np.asarray(pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False), np.int64)[:, None]
    shapes = column.field("shape")
    found = np.zeros((len(column), len(field.shape)), np.int64)
    there = np.asarray(shapes.is_valid())
    found[there] = np.asarray(shapes.flatten().to_numpy(zero_copy_only=False), np.int64).reshape(-1, len(field.shape))
    return found


def lacking(field: Field, column: pa.Array) -> str:
    """Why a column whose values must all be known has one that is not: a null or, among floats, NaN; empty where it has none."""
    if field.nullable:
        return ""
    if column.null_count:
        return "a row is null, and its value must be known"
    if field.type not in FLOATS:
        return ""
    values = column.field("values") if len(field.shape) > 1 and None in field.shape else column
    flat = values.flatten() if field.shape else values
    unknown = flat.null_count or np.isnan(flat.to_numpy(zero_copy_only=False)).any()
    return "a number is NaN, and must be known" if unknown else ""


def malformed(field: Field, column: pa.Array) -> str:
    """Why a column in the layout of a field, as others made it, does not hold values of its shape; empty where it does."""
    import pyarrow.compute as pc

    if len(field.shape) < 2:
        return ""
    if None not in field.shape:
        flat = column.flatten()
        return "a value in a tensor is null" if flat.null_count and field.type not in FLOATS else ""
    shapes, values = column.field("shape"), column.field("values")
    there = column.is_valid()
    if shapes.filter(there).null_count or values.filter(there).null_count or shapes.flatten().null_count:
        return "a tensor lacks its shape or its values"
    if values.flatten().null_count and field.type not in FLOATS:
        return "a value in a tensor is null"
    sizes = sizes_of(field, column)[np.asarray(there)]
    lengths = np.asarray(pc.list_value_length(values).filter(there).to_numpy(zero_copy_only=False), np.float64)
    if any(size is not None and (sizes[:, place] != size).any() for place, size in enumerate(field.shape)) or (sizes < 1).any():
        return f"a tensor is of another shape than {field.written_type}"
    # as floats, sizes whose product is beyond 64 bits are no number that a length could be
    return "a tensor has more or fewer values than its shape says" if (sizes.astype(np.float64).prod(axis=1) != lengths).any() else ""


def _shaped(lists: pa.Array, shapes: NDArray[np.int64], mask: pa.Array | None = None) -> pa.Array:
    import pyarrow as pa

    sizes = pa.FixedSizeListArray.from_arrays(pa.array(shapes.reshape(-1)).cast(pa.int32()), shapes.shape[1])
    return pa.StructArray.from_arrays([sizes, lists], ["shape", "values"], mask=mask)


def _joined(parts: Sequence[NDArray[Any]], field: Field, single: pa.DataType) -> pa.Array:
    flat = [part.reshape(-1) for part in parts]
    return _flat(flat[0] if len(flat) == 1 else np.concatenate(flat) if flat else np.empty(0, numpy_type(field)), single)


def _flat(array: NDArray[Any], single: pa.DataType) -> pa.Array:
    import pyarrow as pa

    flat = np.ascontiguousarray(array).reshape(-1)
    return pa.array(flat.tolist() if flat.dtype.kind in "OUS" else flat, single)
