"""Arrow IPC streams as bodies (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format): for many rows at once.

A stream comes from outside: it is read only if it is not compressed (a few bytes could claim gigabytes), its batches are
validated in full, and rows are counted before anything is converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import nearest
from noria.serving.protocol.signature import MAX_ROWS, BadRequest, PredictRequest, check_rows

if TYPE_CHECKING:
    import pyarrow as pa

STREAM = "application/vnd.apache.arrow.stream"
KEYS = "_key"
MAX_COLUMNS = 10_000
RECORD_BATCH = 3  # the header type of a message that holds one


def read_rows(body: bytes, features: Sequence[str]) -> PredictRequest:
    """The rows of a stream: a column per feature, of numbers; null or NaN is unknown; a column `_key` names the entities.

    Raises `BadRequest`.
    """
    import pyarrow as pa

    _refuse_compressed(body)
    try:
        with pa.ipc.open_stream(body) as reader:
            _check_schema(reader.schema, features)
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > MAX_ROWS:
                    check_rows(rows)
                batch.validate(full=True)
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise _not_arrow(str(error)) from error
    check_rows(table.num_rows)
    columns = [_numbers(table.column(name), name) for name in features]
    keys = table.column(KEYS).to_pylist() if KEYS in table.column_names else None
    return PredictRequest(np.column_stack(columns), keys)


def write_answer(model: str, bundle: str, predictions: list[float], ids: list[str], fallback: str | None) -> bytes:
    """Predictions and their ids as a stream; the model, the bundle and a fallback stand in the schema's metadata."""
    import pyarrow as pa

    about = {"model": model, "bundle": bundle, **({"fallback": fallback} if fallback else {})}
    table = pa.table({"prediction": pa.array(predictions, pa.float64()), "id": pa.array(ids, pa.string())}, metadata=about)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _check_schema(schema: pa.Schema, features: Sequence[str]) -> None:
    import pyarrow as pa

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
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
            raise BadRequest(what=f"feature {name!r} is {kind}", where="the stream's schema", fix="send numbers")
    if KEYS in names and not pa.types.is_string(schema.field(KEYS).type):
        raise BadRequest(what=f"column {KEYS!r} is {schema.field(KEYS).type}", where="the stream's schema", fix="send it as text (utf8)")


def _numbers(column: pa.ChunkedArray, name: str) -> NDArray[np.float32]:
    import pyarrow as pa

    try:
        return np.asarray(column.cast(pa.float32(), safe=False).to_numpy(), np.float32)
    except pa.ArrowException as error:
        raise BadRequest(what=f"feature {name!r} can't be read as numbers", where=str(error), fix="send float32 or float64") from error


def _refuse_compressed(body: bytes) -> None:
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
