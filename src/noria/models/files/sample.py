"""Sample rows: what `--sample` names. They say the names and types of a model's inputs, and are the reference that its traffic is
compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.errors import NoriaError
from noria.core.signature import FLOATS, INTEGERS, Field
from noria.data.rows import Fields, Rows, stacked
from noria.models.files.refusals import BadSample

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS = 20_000  # evenly taken of larger samples


@dataclass(frozen=True)
class Sample:
    """Rows of a file, read when they are first asked for."""

    path: Path

    @cached_property
    def table(self) -> pa.Table:
        """The rows, as Arrow has them. Raises `BadSample`."""
        return read_rows(self.path)

    @property
    def names(self) -> list[str]:
        return list(self.table.column_names)

    def rows(self, fields: Fields) -> Rows:
        """The rows as these fields have them. Raises `BadSample`."""
        missing = [field.name for field in fields if field.name not in self.names]
        if missing:
            raise BadSample.lacking(self.path, missing, self.names)
        step = max(1, -(-self.table.num_rows // MAX_ROWS))
        some = self.table.take(list(range(0, self.table.num_rows, step))) if step > 1 else self.table
        try:
            return Rows.of(fields, [_column(field, some.column(field.name)) for field in fields])
        except (ValueError, TypeError, OverflowError) as error:  # of which Arrow's are
            raise BadSample(self.path, str(error), f"give rows of {', '.join(field.described for field in fields)}") from error

    def fields(self, names: Sequence[str], kind: str) -> Fields:
        """The fields of these columns. Where all of them are numbers, each is a number of `kind`, as models of tables read them; otherwise
        each is of its own type. Raises `BadSample`."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise BadSample.lacking(self.path, missing, self.names)
        found = tuple(self._field(name) for name in names)
        numbers = all(not field.shape and field.type in (*FLOATS, *INTEGERS) for field in found)
        return tuple(Field(name, kind) for name in names) if numbers else found

    def _field(self, name: str) -> Field:
        import pyarrow as pa
        import pyarrow.types as of

        kind, shape = self.table.schema.field(name).type, list[int | None]()
        if of.is_dictionary(kind):
            kind = kind.value_type
        while of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind):
            shape.append(_size(self.table.column(name)) if not shape else None)
            kind = kind.value_type
        if of.is_null(kind):
            return Field(name, "float64")
        if of.is_decimal(kind) or of.is_float16(kind):
            kind = pa.float64()
        if of.is_date(kind) or of.is_timestamp(kind):
            return Field(name, "timestamp", tuple(shape))
        known = {pa.large_string(): "string", pa.string(): "string", pa.binary(): "bytes", pa.large_binary(): "bytes", pa.bool_(): "bool"}
        written = known.get(kind) or {"float": "float32", "double": "float64"}.get(str(kind), str(kind))
        if written not in (*FLOATS, *INTEGERS, "bool", "string", "bytes"):
            raise BadSample(self.path, f"its column {name!r} has the type {kind}", "give numbers, texts, times, or lists of these")
        return Field(name, written, tuple(shape))


def _size(column: pa.ChunkedArray) -> int | None:
    """How long the lists of a column are; None where they differ."""
    import pyarrow.compute as pc

    lengths = pc.unique(pc.list_value_length(column)).drop_null()
    return int(lengths[0].as_py()) if len(lengths) == 1 else None


def _column(field: Field, column: pa.ChunkedArray) -> pa.Array:
    """A column as a field has it. Raises `pa.ArrowException` or `ValueError`."""
    import pyarrow as pa

    from noria.data.rows import arrow_type

    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if not field.shape and not pa.types.is_decimal(column.type):
        return column.combine_chunks().cast(arrow_type(field), safe=field.type not in (*FLOATS, "timestamp"))
    one = (field,)
    if not field.shape:
        return column.cast(pa.float64(), safe=False).combine_chunks().cast(arrow_type(field), safe=False)
    parts = [Rows.of_values(one, [[value.as_py()] for value in chunk]) for chunk in column.chunks if len(chunk)]
    return stacked(parts).column(field.name)


def read_rows(path: Path) -> pa.Table:
    """The rows of a Parquet, CSV or JSON file. Raises `BadSample`."""
    import pyarrow as pa

    formats = "give a Parquet or CSV file with a column for each input, or JSON: a list of objects, or one object a line"
    if not path.is_file():
        raise BadSample(path, "there is no such file", formats)
    try:
        table = _read(path)
    except (NoriaError, pa.ArrowException, ValueError, OSError) as error:
        raise BadSample(path, getattr(error, "what", str(error)), formats) from error
    if not table.num_rows or not table.num_columns:
        raise BadSample(path, "it has no rows", formats)
    return table


def _read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path, memory_map=True)
    found = _json(path) if path.suffix == ".json" else None
    if found is not None:
        return found
    from noria.data.reading import read_files

    return read_files(str(path), Path()).rows


def _json(path: Path) -> pa.Table | None:
    """A JSON list of objects, also under `rows`, `instances` or pandas' `columns` and `data`; None for one object a line."""
    import pyarrow as pa

    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return None
    return None if (rows := rows_of_json(found)) is None else pa.Table.from_pylist(rows)


def rows_of_json(found: object) -> list[dict[str, object]] | None:
    """Rows as objects, of the forms in which people keep them."""
    if isinstance(found, dict):
        inner = next((found[key] for key in ("rows", "instances", "inputs", "dataframe_split") if key in found), None)
        if inner is not None and not isinstance(inner, str):
            return rows_of_json(inner)
        if {"columns", "data"} <= set(found):
            return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]
        return None
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        return found
    return None
