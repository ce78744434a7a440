"""Tensors of the Open Inference Protocol as columns: their data, from JSON or from bytes, checked against their shape.

What a shape declares is believed by nobody: ranks are compared before sizes are multiplied, and the number of values that came before
anything is made of them. So a shape costs what its data does. Bytes are not copied on their way into a column.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.clock import moment
from noria.core.errors import UserMistake, nearest
from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import arrow_type
from noria.data.tensors import cut, fits, lacking
from noria.serving.protocol.datatypes import BYTES, NUMBERS, datatype
from noria.serving.protocol.request import BadRequest, check_rows

if TYPE_CHECKING:
    import pyarrow as pa

MAX_TOLD = 8  # sizes of a shape, in messages


class Tensor(msgspec.Struct):
    """An input: its values in `data`, or in `raw` as little-endian bytes."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None
    raw: memoryview | None = None


def column_of(tensor: Tensor, field: Field) -> pa.Array:
    """A tensor `[rows, *shape]` as a column of a field. Raises `BadRequest` where it is of another type or shape."""
    import pyarrow as pa

    check_shape(tensor)
    expected = datatype(field)
    if tensor.datatype != BYTES:
        check_datatype(tensor)
    if (tensor.datatype == BYTES) != (expected == BYTES):
        raise BadRequest(what=f"input {tensor.name!r} has datatype {tensor.datatype!r}", where="inputs", fix=f"send {expected}")
    sizes = tensor.shape[1:]
    if field.shape and not fits(field, sizes):
        raise bad_shape(tensor, f"[n, {', '.join('any' if size is None else str(size) for size in field.shape)}]")
    if len(field.shape) > 1 and 0 in sizes:
        raise bad_shape(tensor, "sizes of 1 or more: a tensor without values is none")
    flat = flat_data(tensor) if tensor.raw is None else _texts(tensor) if expected == BYTES else raw_numbers(tensor)
    try:
        if field.type == "timestamp":
            flat = [_time(value) for value in flat]
        single = _single(flat, field)
        if len(field.shape) > 1 and single.null_count and field.type not in FLOATS:
            raise ValueError("a value in a tensor is null")
        found = single if not field.shape else cut(single, field, tensor.shape[0], tensor.shape[1:])
        if reason := lacking(field, found):
            raise ValueError(reason)
    except (pa.ArrowException, OverflowError, ValueError, TypeError, UserMistake) as error:
        raise BadRequest(
            what=f"input {tensor.name!r} can't be read as {field.described}",
            where=str(error)[:200],
            fix="send BYTES such as 2024-05-01T12:00:00Z" if field.type == "timestamp" else f"send {expected}",
        ) from error
    return found


def _single(flat: Any, field: Field) -> pa.Array:
    """Values as a column of single ones. Raises `pa.ArrowException`, `OverflowError` or `TypeError` for one that its type can't hold."""
    import pyarrow as pa

    kind = arrow_type(Field(field.name, field.type))
    if field.type in INTEGERS and isinstance(flat, list) and any([isinstance(value, float) for value in flat]):  # noqa: C419
        return pa.array(flat).cast(kind)  # which, unlike making an array, cuts nothing off
    return pa.array(flat, kind)


def _time(value: str | bytes | None) -> datetime | None:
    """A time with its zone, as RFC 3339 writes it; None where it is unknown. Raises `UserMistake`, `ValueError` or `TypeError`."""
    if value is None:
        return None
    if not isinstance(value, str | bytes):
        raise TypeError(f"{value!r} is no text")
    return moment(value.decode() if isinstance(value, bytes) else value)


def check_shape(tensor: Tensor) -> None:
    """Raise `BadRequest` for a shape that no rows have."""
    if min(tensor.shape, default=0) < 0:
        raise bad_shape(tensor, "sizes of 0 or more")
    check_rows(tensor.shape[0] if tensor.shape else 0)


def bad_shape(tensor: Tensor, expected: str) -> BadRequest:
    return BadRequest(what=f"input {tensor.name!r} has shape {_told(tensor)}", where="inputs", fix=f"send shape {expected}")


def _told(tensor: Tensor) -> str:
    """A shape, as much of it as people read."""
    return str(tensor.shape) if len(tensor.shape) <= MAX_TOLD else f"[{', '.join(map(str, tensor.shape[:MAX_TOLD]))}, …]"


def flat_data(tensor: Tensor) -> list[Any]:
    """The values that a tensor has in JSON, as many as its shape says. Raises `BadRequest`."""
    if tensor.data is None:
        raise BadRequest(
            what=f"input {tensor.name!r} has no data", where="inputs", fix="send `data` for each row; [null] where a value is unknown"
        )
    flat = _flat(tensor)
    if len(flat) != math.prod(tensor.shape):
        raise BadRequest(
            what=f"input {tensor.name!r} has {len(flat)} values for shape {_told(tensor)}",
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
            what=f"input {tensor.name!r} has {len(tensor.raw)} bytes for shape {_told(tensor)} of {tensor.datatype}",
            where="inputs",
            fix="make the data match the shape and datatype",
        )
    return np.frombuffer(tensor.raw, kind)


def _texts(tensor: Tensor) -> list[bytes]:
    """The texts that a tensor has as bytes, each with its length before it. Raises `BadRequest`."""
    assert tensor.raw is not None
    found, at, raw = [], 0, bytes(tensor.raw)
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        found.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(raw) or len(found) != math.prod(tensor.shape):
        raise BadRequest(
            what=f"input {tensor.name!r} has {len(found)} texts for shape {_told(tensor)}",
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


def _flat(tensor: Tensor) -> list[Any]:
    """The data of a tensor as one list: it is one, or lists nested as its shape says (single values may each be in one of their own).

    Raises `BadRequest` where lists are ragged. What is nested deeper stays a list, which is no value.
    """
    data = tensor.data if isinstance(tensor.data, list) else [tensor.data]
    for size in tensor.shape[1:] or (1,):
        if not data or not isinstance(data[0], list):
            return data
        if any([not isinstance(part, list) or len(part) != size for part in data]):  # noqa: C419 - a list is quicker here
            raise BadRequest(
                what=f"input {tensor.name!r} has lists that are not of shape {_told(tensor)}",
                where="inputs",
                fix="nest the lists as the shape says, each as long as its size, or send one flat list",
            )
        data = [value for part in data for value in part]
    return data
