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
from noria.data.tensors import numpy_type, of_array, of_parts

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
        return Rows(fields, None, tuple(column_of_values(field, values) for field, values in zip(fields, columns, strict=True)))

    @staticmethod
    def of_arrays(fields: Fields, arrays: Sequence[NDArray[Any]]) -> Rows:
        """Rows of one array for each field, `(rows, *shape)`; single values may be `(rows, 1)`. Raises `ValueError` or `TypeError`."""
        return Rows.of(fields, [column_of_array(field, np.asarray(array)) for field, array in zip(fields, arrays, strict=True)])

    @staticmethod
    def of_scores(fields: Fields, numbers: NDArray[np.float64]) -> Rows:
        """Rows of which `scores` gives these numbers, `(rows,)` or `(rows, numbers)`."""
        ends = np.cumsum([width(field) for field in fields])
        whole = numbers.reshape(len(numbers), int(ends[-1]))
        parts = [whole[:, end - width(field) : end] for field, end in zip(fields, ends, strict=True)]
        return Rows.of_arrays(fields, [part.reshape(len(part), *field.shape) for field, part in zip(fields, parts, strict=True)])

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
    def nbytes(self) -> int:
        """The memory that its values take."""
        return int(self._block.nbytes) if self._block is not None else sum(column.nbytes for column in self._columns)

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

    def scores(self, fields: Fields) -> NDArray[np.float64]:
        """All numbers of these columns as one array, as a task reads a model's answers: `(rows,)`, or `(rows, numbers)` where there are
        several, tensors flat, NaN where unknown. Columns and their labels are matched by name, and are unknown where they are not there."""
        if self._block is not None and self.fields == fields:
            found = np.asarray(self._block, np.float64)
        else:
            found = np.column_stack([self.labelled(field) for field in fields])
        return found[:, 0] if found.shape[1] == 1 else found

    def labelled(self, wanted: Field) -> NDArray[np.float64]:
        """The numbers of a column `(rows, numbers)`, in the order of the labels that are wanted."""
        own = next((field for field in self.fields if field.name == wanted.name), None)
        if own is None or (own.shape != wanted.shape and not (own.labels and wanted.labels)):
            return np.full((len(self), width(wanted)), np.nan)
        found = self._flat(own)
        if own.labels == wanted.labels:
            return found
        place = {label: i for i, label in enumerate(own.labels)}
        return np.column_stack([found[:, place[label]] if label in place else np.full(len(self), np.nan) for label in wanted.labels])

    def _flat(self, field: Field) -> NDArray[np.float64]:
        if not field.shape:
            return self.numbers(field.name)[:, None]
        column = self.column(field.name)
        known = np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(-1, width(field))
        if not column.null_count:
            return known
        found = np.full((len(self), width(field)), np.nan)
        found[np.asarray(column.is_valid())] = known
        return found

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

    def replaced(self, name: str, column: pa.Array) -> Rows:
        """The same rows with other values in one column of several types."""
        columns = list(self._columns)
        columns[self._place(name)] = column
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
        """Every row as Python values in the fields' order, tensors as nested lists, None where unknown."""
        columns = [_told(field, self.column(field.name), ()) for field in self.fields]
        return list(zip(*columns, strict=True)) if columns else [()] * len(self)

    def dicts(self) -> list[dict[str, Any]]:
        """Every row as name → Python value, None where unknown."""
        names = self.names
        return [dict(zip(names, row, strict=True)) for row in zip(*self._told(), strict=True)] if names else [{}] * len(self)

    def listed(self) -> list[Any]:
        """Every row as JSON has it: the value of the one column, or name → value of several; None where unknown."""
        if len(self.fields) > 1:
            return self.dicts()
        if self._block is not None:
            found: list[Any] = self._block[:, 0].tolist()
            return found
        return self._told()[0]

    def _told(self) -> list[list[Any]]:
        """Each column as Python values: tensors as nested lists, or, with labels, as label → value."""
        if self._block is not None:
            return [self.column(name).to_pylist() for name in self.names]
        return [_told(field, column, field.labels) for field, column in zip(self.fields, self._columns, strict=True)]

    @staticmethod
    def of_listed(fields: Fields, values: Sequence[Any]) -> Rows:
        """The rows of which `listed` gives these values. Raises as `of_values`, and `KeyError` or `TypeError` for what is not by name."""
        rows = [[value[field.name] for field in fields] if len(fields) > 1 else [value] for value in values]
        named = [[_unlabelled(field, value) for field, value in zip(fields, row, strict=True)] for row in rows]
        return Rows.of_values(fields, named)

    def keys(self) -> list[bytes]:
        """Bytes for every row, which are equal where its values are."""
        if self._block is not None:
            return [row.tobytes() for row in self._block]
        return [msgspec.msgpack.encode(row) for row in zip(*[column.to_pylist() for column in self._columns], strict=True)]

    def finite(self) -> bool:
        """Whether no number is infinite, and none is unknown, but for null (not NaN) in a single nullable value."""
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


def width(field: Field) -> int:
    """How many numbers a value of a fixed shape has."""
    return math.prod(size or 0 for size in field.shape)


def _told(field: Field, column: pa.Array, labels: Sequence[str]) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if len(field.shape) < 2 and not labels:
        return values
    if None in field.shape:
        return [None if value is None else _nested(value["shape"], labels, value["values"]) for value in values]
    return [None if value is None else _nested(field.shape, labels, value) for value in values]


def _nested(shape: Sequence[Any], labels: Sequence[str], flat: list[Any]) -> Any:
    """A tensor's values in row-major order as nested lists, the innermost by their labels where they have some."""
    if len(shape) == 1:
        return dict(zip(labels, flat, strict=True)) if labels else flat
    step = math.prod(shape[1:])
    return [_nested(shape[1:], labels, flat[step * i : step * (i + 1)]) for i in range(shape[0])]


def _unlabelled(field: Field, value: Any) -> Any:
    if isinstance(value, Mapping):
        return [value[label] for label in field.labels]
    return [_unlabelled(field, part) for part in value] if field.labels and value is not None else value


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


def column_of_array(field: Field, array: NDArray[Any]) -> pa.Array:
    """A column of one array `(rows, *shape)`; NaN stays NaN, None is unknown. Raises `ValueError` or `TypeError`."""
    import pyarrow as pa

    if not field.shape:
        flat = array.reshape(len(array)) if array.size == len(array) else array
        if flat.ndim != 1:
            raise ValueError(f"{field.described} has shape {list(array.shape)}")
        return pa.array(flat).cast(arrow_type(field)) if flat.dtype != object else pa.array(flat.tolist(), arrow_type(field))
    return of_array(field, array, _single(field))


def _floats(column: pa.Array) -> NDArray[np.floating[Any]]:
    """Every number in a column of single floats, lists or tensors, flat, without a copy where none is null; NaN where unknown."""
    import pyarrow as pa

    while not pa.types.is_floating(column.type):
        column = column.field("values") if pa.types.is_struct(column.type) else column.flatten()
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _finite(field: Field, column: pa.Array) -> bool:
    """Whether its numbers are; a single one may be unknown, where the field says so."""
    if field.type in FLOATS and field.nullable and not field.shape:
        column = column.drop_null()
    return field.type not in FLOATS or (not column.null_count and bool(np.isfinite(_floats(column)).all()))


def _difference(field: Field, one: pa.Array, other: pa.Array) -> float:
    if field.type not in FLOATS:
        return 0.0 if one.equals(other) else math.inf
    if one.null_count or other.null_count:
        if not one.is_null().equals(other.is_null()):
            return math.inf
        one, other = one.drop_null(), other.drop_null()
    mine, theirs = (_floats(column).astype(np.float64, copy=False) for column in (one, other))
    if mine.shape != theirs.shape:
        return math.inf
    return float(np.max(np.abs(mine - theirs), initial=0.0) / max(1.0, np.max(np.abs(theirs), initial=0.0)))


def _unequal(field: Field, one: pa.Array, other: pa.Array, tolerance: float) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    if field.shape:
        return np.array([not one.slice(row, 1).equals(other.slice(row, 1)) for row in range(len(one))], np.bool_)
    mine, theirs = (np.asarray(column.is_null()) for column in (one, other))
    same = np.asarray(pc.equal(one, other).fill_null(False))
    if tolerance and field.type == "float64":
        a, b = (column.to_numpy(zero_copy_only=False) for column in (one, other))
        same |= np.abs(a - b) <= tolerance * np.maximum(np.abs(a), np.abs(b))
    return np.asarray(~(same | (mine & theirs)))


def column_of_values(field: Field, values: Sequence[Any]) -> pa.Array:
    """A column of Python values; tensors come as nested lists or arrays."""
    import pyarrow as pa

    if len(field.shape) > 1:
        kind = numpy_type(field)
        return of_parts(field, [None if value is None else np.asarray(value, kind) for value in values], _single(field))
    if field.shape and field.shape[0] is not None:
        values = [None if value is None else _of_size(field, list(value)) for value in values]
    return pa.array(values, arrow_type(field))


def _single(field: Field) -> pa.DataType:
    return arrow_type(Field(field.name, field.type))


def _of_size(field: Field, value: list[Any]) -> list[Any]:
    if len(value) != field.shape[0]:
        raise ValueError(f"{field.described} has {len(value)} values")
    return value


def _nulls(field: Field, count: int) -> pa.Array:
    import pyarrow as pa

    return pa.nulls(count, arrow_type(field))
