"""Rows: named, typed columns of equally many values, the one value that crosses every room.

In:   requests, features, logged predictions, what a model answered
Out:  columns by name; the rows of some; a block of numbers for models that read one

There are two layouts. *Dense* is one block of floats `(rows, columns)`, for columns that are all single float32 (or all single float64)
values: it costs nothing to make a batch of or to hand to a model, and in it NaN is an unknown value. *Columnar* is an Arrow array for each
column, for everything else; there, null is unknown, and is not NaN.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.errors import OurBug
from noria.core.signature import FLOATS, Field, SignatureMismatch, dense_type, unlike

if TYPE_CHECKING:
    import pyarrow as pa

Block = NDArray[np.floating[Any]]
Fields = tuple[Field, ...]


class Rows:
    """Values of `fields`, row by row. Made by `dense`, `of` or `of_values`; not changed afterwards."""

    __slots__ = ("_block", "_columns", "fields")

    def __init__(self, fields: Fields, block: Block | None, columns: tuple[pa.Array, ...] = ()) -> None:
        self.fields, self._block, self._columns = fields, block, columns

    @staticmethod
    def dense(fields: Fields, block: Block) -> Rows:
        """Rows of a block `(rows, fields)` of the fields' one type."""
        return Rows(fields, block)

    @staticmethod
    def of(fields: Fields, columns: Sequence[pa.Array]) -> Rows:
        """Rows of one Arrow array for each field, as `arrow_type` has it."""
        kind = dense_type(fields)
        if kind is None:
            return Rows(fields, None, tuple(columns))
        stacked = [column.to_numpy(zero_copy_only=False) for column in columns]
        return Rows(fields, np.column_stack(stacked).astype(kind, copy=False))

    @staticmethod
    def of_values(fields: Fields, rows: Sequence[Sequence[Any]]) -> Rows:
        """Rows of Python values in the fields' order, None where unknown; tensors as nested lists. Raises `pa.ArrowException`, `ValueError`
        or `OverflowError` for a value that does not fit its field."""
        kind = dense_type(fields)
        if kind is not None:
            with np.errstate(over="ignore"):
                return Rows(fields, np.array(rows, dtype=kind).reshape(len(rows), len(fields)))
        columns = zip(*rows, strict=True) if rows else [()] * len(fields)
        return Rows(fields, None, tuple(_array(field, values) for field, values in zip(fields, columns, strict=True)))

    @staticmethod
    def of_arrays(fields: Fields, arrays: Sequence[NDArray[Any]]) -> Rows:
        """Rows of one array for each field, `(rows, *shape)`; single values may be `(rows, 1)`. Raises `ValueError` or `TypeError`."""
        return Rows.of(fields, [_of_array(field, np.asarray(array)) for field, array in zip(fields, arrays, strict=True)])

    @staticmethod
    def unknown(fields: Fields, count: int) -> Rows:
        """So many rows of which nothing is known."""
        kind = dense_type(fields)
        if kind is not None:
            return Rows(fields, np.full((count, len(fields)), np.nan, kind))
        return Rows(fields, None, tuple(_nulls(field, count) for field in fields))

    def __len__(self) -> int:
        if self._block is not None:
            return len(self._block)
        return len(self._columns[0]) if self._columns else 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def is_dense(self) -> bool:
        return self._block is not None

    @property
    def block(self) -> Block:
        """The numbers `(rows, columns)`, NaN where unknown: the block itself, or columns of single numbers as float64."""
        if self._block is not None:
            return self._block
        return np.column_stack([self.numbers(field.name) for field in self.fields]) if self.fields else np.empty((0, 0))

    def column(self, name: str) -> pa.Array:
        """One column as Arrow has it; null where unknown."""
        import pyarrow as pa

        place = self._place(name)
        if self._block is not None:
            return pa.array(np.ascontiguousarray(self._block[:, place]), from_pandas=True)
        return self._columns[place]

    def columns(self) -> dict[str, pa.Array]:
        """Every column, by name."""
        return {name: self.column(name) for name in self.names}

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of single numbers, booleans or times (microseconds) `(rows,)`, NaN where unknown."""
        import pyarrow as pa

        place = self._place(name)
        if self._block is not None:
            return self._block[:, place].astype(np.float64)
        field, column = self.fields[place], self._columns[place]
        if field.shape or field.type in ("string", "bytes"):
            raise OurBug(what=f"{field.described} was read as a number", where="Rows.numbers", fix="please report this")
        if field.type == "timestamp":
            column = column.cast(pa.int64())
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)

    def categories(self, name: str) -> NDArray[Any]:
        """A column as what rows are told apart by `(rows,)`: numbers with NaN where unknown; or texts, also of lists, with None."""
        place = self._place(name)
        if self._block is not None:
            return self._block[:, place]
        if not self.fields[place].shape and self.fields[place].type not in ("string", "bytes"):
            return self.numbers(name)
        values = self._columns[place].to_pylist()
        return np.array([value if value is None or isinstance(value, str) else str(value) for value in values], object)

    def select(self, fields: Fields, reader: str = "the reader") -> Rows:
        """The same rows with these columns, by name, in this order. Raises `SignatureMismatch`."""
        if fields == self.fields:
            return self
        missing = unlike(fields, self.fields)
        if missing:
            raise SignatureMismatch(reader=reader, missing=missing, available=self.names)
        places = [self._place(field.name) for field in fields]
        if self._block is not None:
            return Rows(fields, self._block[:, places])
        return Rows.of(fields, [self._columns[place] for place in places])

    def take(self, places: NDArray[np.intp] | Sequence[int]) -> Rows:
        """The rows at these places, in their order."""
        if self._block is not None:
            return Rows(self.fields, self._block[np.asarray(places, np.intp)])
        import pyarrow as pa

        return Rows(self.fields, None, tuple(column.take(pa.array(places, pa.int64())) for column in self._columns))

    def where(self, keep: NDArray[np.bool_]) -> Rows:
        """The rows at which `keep` is true."""
        return self.take(np.flatnonzero(keep))

    def part(self, start: int, stop: int) -> Rows:
        """The rows in [start, stop)."""
        if self._block is not None:
            return Rows(self.fields, self._block[start:stop])
        return Rows(self.fields, None, tuple(column.slice(start, stop - start) for column in self._columns))

    def without(self, names: Container[str]) -> Rows:
        """The same rows with the values of these columns unknown."""
        hidden = [place for place, name in enumerate(self.names) if name in names]
        if not hidden:
            return self
        if self._block is not None:
            block = self._block.copy()
            block[:, hidden] = np.nan
            return Rows(self.fields, block)
        count = len(self)
        columns = [_nulls(field, count) if i in hidden else self._columns[i] for i, field in enumerate(self.fields)]
        return Rows(self.fields, None, tuple(columns))

    def shuffled(self, place: int, order: NDArray[np.intp]) -> Rows:
        """The same rows with the values of one column in another order."""
        if self._block is not None:
            block = self._block.copy()
            block[:, place] = block[order, place]
            return Rows(self.fields, block)
        columns = list(self._columns)
        columns[place] = columns[place].take(order)
        return Rows(self.fields, None, tuple(columns))

    def values(self) -> list[tuple[Any, ...]]:
        """Every row as Python values in the fields' order, None where unknown."""
        columns = [column.to_pylist() for column in self.columns().values()]
        return list(zip(*columns, strict=True)) if columns else [()] * len(self)

    def dicts(self) -> list[dict[str, Any]]:
        """Every row as name → Python value, None where unknown."""
        names = self.names
        return [dict(zip(names, row, strict=True)) for row in self.values()]

    def listed(self) -> list[Any]:
        """Every row as JSON has it: the value of the one column, or name → value of several; None where unknown."""
        if len(self.fields) > 1:
            return self.dicts()
        if self._block is not None:
            found: list[Any] = self._block[:, 0].tolist()
            return found
        return list(self._columns[0].to_pylist())

    def keys(self) -> list[bytes]:
        """Bytes for every row, which are equal where its values are."""
        if self._block is not None:
            return [row.tobytes() for row in self._block]
        return [msgspec.msgpack.encode(row) for row in zip(*[column.to_pylist() for column in self._columns], strict=True)]

    def finite(self) -> bool:
        """Whether no number is infinite or unknown."""
        if self._block is not None:
            return bool(np.isfinite(self._block).all())
        return all(_finite(field, column) for field, column in zip(self.fields, self._columns, strict=True))

    def beyond_range(self) -> bool:
        """Whether a number is infinite, as one is that is too large for its float."""
        if self._block is not None:
            return bool(np.isinf(self._block).any())
        floats = [column for field, column in zip(self.fields, self._columns, strict=True) if field.type in FLOATS]
        return any(bool(np.isinf(_floats(column)).any()) for column in floats)

    def differences(self, other: Rows) -> list[float]:
        """How far the furthest number of each column is from another's of the same fields, and infinity where other values differ. Of
        a column with numbers above 1, as a share of the largest: float32 has so many digits, whatever the unit."""
        return [_difference(field, self.column(field.name), other.column(field.name)) for field in self.fields]

    def unequal(self, other: Rows, tolerance: float = 0.0) -> NDArray[np.bool_]:
        """Where values are not those of other rows of the same fields `(rows, columns)`; two that are unknown are equal.

        tolerance: of columns of doubles, how far they may lie apart relative to the larger one
        """
        if self._block is not None and (not tolerance or self._block.dtype == np.float32):
            mine, theirs = self._block, other.block
            return np.asarray((mine != theirs) & ~(np.isnan(mine) & np.isnan(theirs)))
        found = [_unequal(field, self.column(field.name), other.column(field.name), tolerance) for field in self.fields]
        return np.column_stack(found) if found else np.zeros((len(self), 0), np.bool_)

    def _place(self, name: str) -> int:
        for place, field in enumerate(self.fields):
            if field.name == name:
                return place
        raise SignatureMismatch(reader="the reader", missing=[name], available=self.names)


def stacked(parts: Sequence[Rows]) -> Rows:
    """Rows of the same fields, one below the other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if first.is_dense:
        return Rows(first.fields, np.concatenate([part.block for part in parts]))
    import pyarrow as pa

    columns = [pa.concat_arrays([part.column(name) for part in parts]) for name in first.names]
    return Rows(first.fields, None, tuple(columns))


def arrow_type(field: Field) -> pa.DataType:
    """How a column of this field is held and stored: single values, lists, or tensors flat in row-major order.

    A tensor of free dimensions is a struct of its shape and its values.
    """
    import pyarrow as pa

    single = {"timestamp": pa.timestamp("us", tz="UTC"), "bytes": pa.binary(), "bool": pa.bool_(), "string": pa.string()}
    kind = single.get(field.type) or getattr(pa, field.type)()
    if not field.shape:
        return kind
    if None not in field.shape:
        return pa.list_(kind, math.prod(size for size in field.shape if size is not None))
    if len(field.shape) == 1:
        return pa.list_(kind)
    return pa.struct([("shape", pa.list_(pa.int32(), len(field.shape))), ("values", pa.list_(kind))])


def stacked_tensor(field: Field, column: pa.Array) -> NDArray[Any]:
    """A column as one array `(rows, *shape)`. Raises `ValueError` where rows differ in a free dimension, or where one is unknown."""
    if column.null_count:
        raise ValueError(f"{field.described} is unknown in a row")
    if None in field.shape:
        parts = [_free(field, value) for value in column.to_pylist()]
        return np.stack(parts) if parts else np.empty((0, *(size or 0 for size in field.shape)), _numpy(field))
    if not field.shape:
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(_numpy(field), copy=False)
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(len(column), *field.shape)


def _free(field: Field, value: Any) -> NDArray[Any]:
    if len(field.shape) == 1:
        return np.array(value, _numpy(field))
    return np.array(value["values"], _numpy(field)).reshape(value["shape"])


def _numpy(field: Field) -> Any:
    return object if field.type in ("string", "bytes") else "datetime64[us]" if field.type == "timestamp" else field.type


def _of_array(field: Field, array: NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    if not field.shape:
        flat = array.reshape(len(array)) if array.size == len(array) else array
        if flat.ndim != 1:
            raise ValueError(f"{field.described} has shape {list(array.shape)}")
        return pa.array(flat).cast(arrow_type(field)) if flat.dtype != object else pa.array(flat.tolist(), arrow_type(field))
    return _array(field, list(array))


def _floats(column: pa.Array) -> NDArray[np.float64]:
    """Every number in a column of single floats, lists or tensors, flat; NaN where unknown."""
    import pyarrow as pa

    while not pa.types.is_floating(column.type):
        column = column.field("values") if pa.types.is_struct(column.type) else column.flatten()
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _finite(field: Field, column: pa.Array) -> bool:
    return field.type not in FLOATS or (not column.null_count and bool(np.isfinite(_floats(column)).all()))


def _difference(field: Field, one: pa.Array, other: pa.Array) -> float:
    if field.type not in FLOATS:
        return 0.0 if one.equals(other) else math.inf
    mine, theirs = _floats(one), _floats(other)
    if mine.shape != theirs.shape:
        return math.inf
    return float(np.max(np.abs(mine - theirs), initial=0.0) / max(1.0, np.max(np.abs(theirs), initial=0.0)))


def _unequal(field: Field, one: pa.Array, other: pa.Array, tolerance: float) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    if field.shape:
        return np.array([mine != theirs for mine, theirs in zip(one.to_pylist(), other.to_pylist(), strict=True)], np.bool_)
    mine, theirs = (np.asarray(column.is_null()) for column in (one, other))
    same = np.asarray(pc.equal(one, other).fill_null(False))
    if tolerance and field.type == "float64":
        a, b = (column.to_numpy(zero_copy_only=False) for column in (one, other))
        same |= np.abs(a - b) <= tolerance * np.maximum(np.abs(a), np.abs(b))
    return np.asarray(~(same | (mine & theirs)))


def _array(field: Field, values: Sequence[Any]) -> pa.Array:
    """A column of Python values; tensors come as nested lists or arrays."""
    import pyarrow as pa

    if len(field.shape) > 1:
        values = [None if value is None else _laid_out(field, np.asarray(value, _numpy(field))) for value in values]
    elif field.shape and field.shape[0] is not None:
        values = [None if value is None else _of_size(field, list(value)) for value in values]
    return pa.array(values, arrow_type(field))


def _laid_out(field: Field, value: NDArray[Any]) -> list[Any] | Mapping[str, Any]:
    fits = value.ndim == len(field.shape) and all(size in (None, had) for size, had in zip(field.shape, value.shape, strict=True))
    if not fits:
        raise ValueError(f"{field.described} has shape {list(value.shape)}")
    flat = value.reshape(-1).tolist()
    return {"shape": list(value.shape), "values": flat} if None in field.shape else flat


def _of_size(field: Field, value: list[Any]) -> list[Any]:
    if len(value) != field.shape[0]:
        raise ValueError(f"{field.described} has {len(value)} values")
    return value


def _nulls(field: Field, count: int) -> pa.Array:
    import pyarrow as pa

    return pa.nulls(count, arrow_type(field))
