"""Arrow IPC streams as bodies (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format): for many rows at once.

A stream comes from outside: a few of its bytes must not become gigabytes. So it is read only if it is not compressed and its columns are
of types that hold each of their values (no views, runs or dictionaries, no lists of nothing), its batches are validated in full, and rows
are counted before anything is converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import nearest
from noria.core.signature import PREDICTION, Field, dense_type
from noria.data.rows import Fields, Rows, arrow_type
from noria.data.tensors import lacking, malformed
from noria.serving.protocol.request import MAX_ROWS, BadRequest, PredictRequest, check_rows

if TYPE_CHECKING:
    import pyarrow as pa

STREAM = "application/vnd.apache.arrow.stream"
KEYS = "_key"
MAX_COLUMNS = 10_000
RECORD_BATCH = 3  # the header type of a message that holds one


def read_rows(body: bytes | memoryview, fields: Fields) -> PredictRequest:
    """The rows of a stream: a column per input of a model; null is unknown (among floats, NaN too); a column `_key` names the entities.

    Raises `BadRequest`.
    """
    import pyarrow as pa

    _refuse_compressed(body)
    try:
        with pa.ipc.open_stream(body) as reader:
            _check_schema(reader.schema, fields)
            batches, count = [], 0
            for batch in reader:
                count += batch.num_rows
                if count > MAX_ROWS:
                    check_rows(count)
                batch.validate(full=True)
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise _not_arrow(str(error)) from error
    check_rows(table.num_rows)
    kind = dense_type(fields)
    if kind is not None:
        rows = Rows.dense(fields, np.column_stack([_numbers(table.column(field.name), field, kind) for field in fields]))
    else:
        rows = Rows.of(fields, [_typed(table.column(field.name), field) for field in fields])
    keys = table.column(KEYS).to_pylist() if KEYS in table.column_names else None
    return PredictRequest(rows, keys).measured(rows.nbytes, fields)


def write_answer(model: str, bundle: str, predictions: list[Any], ids: list[str], fallback: str | None, *, several: bool = False) -> bytes:
    """Predictions and their ids as a stream; the model, the bundle and a fallback stand in the schema's metadata. An output with labels is
    a struct of them. several: whether predictions have several outputs, by name"""
    import pyarrow as pa

    about = {"model": model, "bundle": bundle, **({"fallback": fallback} if fallback else {})}
    if several:
        told = {name: pa.array([each[name] for each in predictions]) for name in predictions[0]}
    else:
        told = {PREDICTION: pa.array(predictions)}
    table = pa.table({**told, "id": pa.array(ids, pa.string())}, metadata=about)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _check_schema(schema: pa.Schema, fields: Fields) -> None:
    import pyarrow as pa

    features = {field.name: field for field in fields}
    names = schema.names
    if len(names) > MAX_COLUMNS or len(set(names)) != len(names):
        raise BadRequest(what="a column is duplicated, or there are too many columns", where="the stream's schema", fix="send each once")
    for name in names:
        if name not in features and name != KEYS:
            raise BadRequest(
                what=f"there is no feature {name!r}{nearest(name, features)}",
                where="the stream's schema",
                fix="the model's features are " + ", ".join(features),
            )
    for name in features:
        if name not in names:
            raise BadRequest(what=f"feature {name!r} is missing", where="the stream's schema", fix="send every feature; null where unknown")
        kind = schema.field(name).type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
        if dense_type(fields) is not None and not number:
            raise BadRequest(what=f"feature {name!r} is {kind}", where="the stream's schema", fix="send numbers")
        if not (pa.types.is_null(kind) or _holds_values(kind)):
            expected = arrow_type(features[name])
            raise BadRequest(what=f"feature {name!r} is {kind}", where="the stream's schema", fix=f"send {expected}")
    if KEYS in names and not pa.types.is_string(schema.field(KEYS).type):
        raise BadRequest(what=f"column {KEYS!r} is {schema.field(KEYS).type}", where="the stream's schema", fix="send it as text (utf8)")


def _numbers(column: pa.ChunkedArray, field: Field, kind: str) -> NDArray[np.floating[Any]]:
    import pyarrow as pa

    try:
        return np.asarray(column.cast(getattr(pa, kind)(), safe=False).to_numpy(), kind)
    except pa.ArrowException as error:
        raise BadRequest(
            what=f"feature {field.name!r} can't be read as numbers", where=str(error), fix="send float32 or float64"
        ) from error


def _typed(column: pa.ChunkedArray, field: Field) -> pa.Array:
    import pyarrow as pa

    try:
        whole = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
        found = whole.cast(arrow_type(field))
        if reason := malformed(field, found) or lacking(field, found):
            raise ValueError(reason)
    except (pa.ArrowException, ValueError) as error:
        what = f"feature {field.name!r} can't be read as {field.described}"
        raise BadRequest(what=what, where=str(error)[:200], fix=f"send {arrow_type(field)}") from error
    return found


def _holds_values(kind: pa.DataType) -> bool:
    """Whether arrays of a type hold each of their values, so that they are no larger than what came."""
    import pyarrow as pa

    is_ = pa.types
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        return _holds_values(kind.value_type)
    if is_.is_struct(kind):
        return all(_holds_values(kind.field(place).type) for place in range(kind.num_fields))
    texts = (is_.is_string, is_.is_large_string, is_.is_binary, is_.is_large_binary, is_.is_fixed_size_binary)
    return bool(is_.is_primitive(kind)) or any(test(kind) for test in texts)


def _refuse_compressed(body: bytes | memoryview) -> None:
    """Walk over the stream's messages; their headers are FlatBuffers, of which only two fields are read."""
    import pyarrow as pa

    try:
        for message in pa.ipc.MessageReader.open_stream(body):
            if message.type == "record batch" and _compressed(message.metadata.to_pybytes()):
                raise BadRequest(what="the stream is compressed", where="a record batch", fix="write it without compression")
            if message.type == "dictionary":
                raise BadRequest(what="dictionary encoding is not supported", where="the stream", fix="send plain number columns")
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise _not_arrow(str(error)) from error


def _compressed(metadata: bytes) -> bool:
    """Whether the record batch of a message names a compression (field 3 of `RecordBatch`, in format/Message.fbs)."""
    message = _Table(metadata, int.from_bytes(metadata[:4], "little"))
    return message.byte(1) == RECORD_BATCH and message.table(2).place(3) is not None


class _Table:
    """A table of a FlatBuffer (https://flatbuffers.dev/internals): its vtable says where its fields lie."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._vtable = at - self._number(at, 4, signed=True)
        if not 0 <= self._vtable <= len(data) - 4:
            raise IndexError("a table lies outside its message")

    def _number(self, at: int, size: int, *, signed: bool = False) -> int:
        if not 0 <= at <= len(self._data) - size:
            raise IndexError("a field lies outside its message")
        return int.from_bytes(self._data[at : at + size], "little", signed=signed)

    def place(self, field: int) -> int | None:
        """Where a field lies; None where it is left out."""
        entry = 4 + 2 * field
        offset = self._number(self._vtable + entry, 2) if entry < self._number(self._vtable, 2) else 0
        return self._at + offset if offset else None

    def byte(self, field: int) -> int | None:
        at = self.place(field)
        return None if at is None else self._number(at, 1)

    def table(self, field: int) -> _Table:
        at = self.place(field)
        if at is None:
            raise IndexError("a message has no header")
        return _Table(self._data, at + self._number(at, 4))


def _not_arrow(reason: str) -> BadRequest:
    return BadRequest(what="the body is not an Arrow IPC stream", where=reason[:200] or "it is truncated", fix=f"send {STREAM}")
