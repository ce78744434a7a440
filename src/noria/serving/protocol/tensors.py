"""Tensors of the Open Inference Protocol as columns: their data, from JSON or from bytes, checked against their shape."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.clock import moment
from noria.core.errors import UserMistake, nearest
from noria.core.signature import Field
from noria.data.rows import arrow_type
from noria.serving.protocol.datatypes import BYTES, NUMBERS, datatype
from noria.serving.protocol.request import BadRequest, check_rows

if TYPE_CHECKING:
    import pyarrow as pa


class Tensor(msgspec.Struct):
    """An input: its values in `data`, or in `raw` as little-endian bytes."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None
    raw: bytes | None = None


def column_of(tensor: Tensor, field: Field) -> pa.Array:
    """A tensor `[rows, *shape]` as a column of a field. Raises `BadRequest` where it is of another type or shape."""
    import pyarrow as pa

    check_shape(tensor)
    expected = datatype(field)
    if tensor.datatype != BYTES:
        check_datatype(tensor)
    if (tensor.datatype == BYTES) != (expected == BYTES):
        raise BadRequest(what=f"input {tensor.name!r} has datatype {tensor.datatype!r}", where="inputs", fix=f"send {expected}")
    sizes = list(tensor.shape[1:])
    if field.shape and (
        len(sizes) != len(field.shape) or any(want not in (None, got) for want, got in zip(field.shape, sizes, strict=True))
    ):
        raise bad_shape(tensor, f"[n, {', '.join('any' if size is None else str(size) for size in field.shape)}]")
    flat = flat_data(tensor) if tensor.raw is None else _texts(tensor) if expected == BYTES else raw_numbers(tensor)
    try:
        if field.type == "timestamp":
            flat = [_time(value) for value in flat]
        single = pa.array(flat, arrow_type(Field(field.name, field.type)))
        return single if not field.shape else _cut(single, field, tensor)
    except (pa.ArrowException, OverflowError, ValueError, TypeError, UserMistake) as error:
        raise BadRequest(
            what=f"input {tensor.name!r} can't be read as {field.described}",
            where=str(error)[:200],
            fix="send BYTES such as 2024-05-01T12:00:00Z" if field.type == "timestamp" else f"send {expected}",
        ) from error


def _time(value: str | bytes | None) -> datetime | None:
    """A time with its zone, as RFC 3339 writes it; None where it is unknown. Raises `UserMistake`, `ValueError` or `TypeError`."""
    if value is None:
        return None
    if not isinstance(value, str | bytes):
        raise TypeError(f"{value!r} is no text")
    return moment(value.decode() if isinstance(value, bytes) else value)


def _cut(flat: pa.Array, field: Field, tensor: Tensor) -> pa.Array:
    """The values of all rows as tensors of one row each."""
    import pyarrow as pa

    rows, size = tensor.shape[0], math.prod(tensor.shape[1:])
    kind = arrow_type(field)
    if None not in field.shape:
        return pa.FixedSizeListArray.from_arrays(flat, size)
    lists = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * size), flat)
    if len(field.shape) == 1:
        return lists
    shapes = pa.array([tensor.shape[1:]] * rows, kind.field("shape").type)
    return pa.StructArray.from_arrays([shapes, lists], ["shape", "values"])


def check_shape(tensor: Tensor) -> None:
    """Raise `BadRequest` for a shape that no rows have."""
    check_rows(tensor.shape[0] if tensor.shape else 0)
    if min(tensor.shape) < 0:
        raise bad_shape(tensor, "sizes of 0 or more")


def bad_shape(tensor: Tensor, expected: str) -> BadRequest:
    return BadRequest(what=f"input {tensor.name!r} has shape {tensor.shape}", where="inputs", fix=f"send shape {expected}")


def flat_data(tensor: Tensor) -> list[Any]:
    """The values that a tensor has in JSON, as many as its shape says. Raises `BadRequest`."""
    if tensor.data is None:
        raise BadRequest(
            what=f"input {tensor.name!r} has no data", where="inputs", fix="send `data` for each row; [null] where a value is unknown"
        )
    flat = _flat(tensor.data, len(tensor.shape))
    if len(flat) != math.prod(tensor.shape):
        raise BadRequest(
            what=f"input {tensor.name!r} has {len(flat)} values for shape {tensor.shape}",
            where="inputs",
            fix="make the number of values match the shape",
        )
    return flat


def raw_numbers(tensor: Tensor) -> NDArray[Any]:
    """The numbers that a tensor has as bytes, flat. Raises `BadRequest`."""
    assert tensor.raw is not None
    kind = np.dtype(NUMBERS[tensor.datatype])
    if len(tensor.raw) != math.prod(tensor.shape) * kind.itemsize:
        raise BadRequest(
            what=f"input {tensor.name!r} has {len(tensor.raw)} bytes for shape {tensor.shape} of {tensor.datatype}",
            where="inputs",
            fix="make the data match the shape and datatype",
        )
    return np.frombuffer(tensor.raw, kind)


def _texts(tensor: Tensor) -> list[bytes]:
    """The texts that a tensor has as bytes, each with its length before it. Raises `BadRequest`."""
    assert tensor.raw is not None
    found, at, raw = [], 0, tensor.raw
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        found.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(raw) or len(found) != math.prod(tensor.shape):
        raise BadRequest(
            what=f"input {tensor.name!r} has {len(found)} texts for shape {tensor.shape}",
            where="inputs",
            fix="send each text with its length in 4 bytes before it",
        )
    return found


def check_datatype(tensor: Tensor) -> None:
    """Raise `BadRequest` unless a tensor's datatype is one of numbers."""
    if tensor.datatype not in NUMBERS:
        raise BadRequest(
            what=f"input {tensor.name!r} has datatype {tensor.datatype!r}{nearest(tensor.datatype, NUMBERS)}",
            where="inputs",
            fix="send FP32 or FP64",
        )


def _flat(data: Any, depth: int) -> list[Any]:
    """Nested lists of at most this depth (at least two) as one."""
    if not isinstance(data, list):
        return [data]
    if data and isinstance(data[0], list) and depth > 0:
        return [value for part in data for value in _flat(part, depth - 1)]
    return data
