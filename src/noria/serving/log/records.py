"""How predictions are written: each bundle's rows as one Arrow record batch, in the types of its signature.

    payload  = entry, entry, …                    (the rows of one bundle each; a payload is there as a whole, or not at all)
    entry    = schema's number (4) · 0 (4) · length (8) · Arrow IPC record batch
    schema   = its number (4) · 1 (4) · length (8) · Arrow IPC schema, with the signature in its metadata
    value    = 0 (4) · 2 (4) · length (8) · SHA-256 (32) · Arrow IPC stream of one value

Columns that make a dense block (all float32, say) are written as one, a fixed-size list of numbers; others by name. A value of more than
`MAX_INLINE` bytes is a payload of its own, before the first row of the segment that has it and once for all that do; they name it by the
SHA-256 of its content. (Once, such values were files of that name in a folder beside the segment; these are still read.)

Format 3 of a segment had one schema, without signature: a block of float32 as wide as the widest bundle, and one float64 prediction.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.ids import digest
from noria.core.signature import SCORE, Field, Signature, dense_type
from noria.data.rows import Fields, Rows, arrow_type
from noria.serving.log.predictions import Predictions, Values, by_place

if TYPE_CHECKING:
    import pyarrow as pa

ENTRY = struct.Struct("<IIQ")
ROWS, SCHEMA, VALUE = 0, 1, 2
HASH_BYTES = 32
MAX_INLINE = 64 * 1024
SIGNATURE = b"noria.signature"
CONTENT = "@"  # after the name of a column: the SHA-256 of those of its values that are payloads of their own
INPUTS, OUTPUTS = "inputs", "outputs"


class Contents(Protocol):
    """Where large values lie, by the SHA-256 of their content. Its methods may raise OSError."""

    def write(self, sha256: str, content: memoryview) -> None: ...
    def read(self, sha256: str) -> bytes | memoryview: ...


@dataclass
class Schemas:
    """The schemas of one segment, by number, and the numbers that signatures have in it."""

    known: dict[int, tuple[pa.Schema, Signature]] = field(default_factory=dict)
    _numbers: dict[Signature, int] = field(default_factory=dict)
    _seen: dict[tuple[int, int], tuple[int, Signature]] = field(default_factory=dict)  # by the identity of the fields: hashing them costs

    def number(self, values: Values) -> int | None:
        """The number of a bundle's schema; None where the segment does not have it yet."""
        inputs, outputs = values.inputs.fields, values.outputs.fields
        seen = self._seen.get((id(inputs), id(outputs)))
        if seen is not None and seen[1].inputs is inputs:
            return seen[0]
        signature = Signature(inputs, outputs)
        number = self._numbers.get(signature)
        if number is not None:
            self._seen[id(inputs), id(outputs)] = number, signature
        return number

    def add(self, values: Values) -> bytes:
        """The payload that gives the schema of a bundle's rows its number."""
        signature = Signature(values.inputs.fields, values.outputs.fields)
        schema = schema_of(signature)
        number = max(self.known, default=0) + 1
        self.known[number], self._numbers[signature] = (schema, signature), number
        return _entry(number, SCHEMA, schema.serialize().to_pybytes())

    def read(self, payload: bytes) -> bool:
        """Learn the schema that a payload gives; whether it gives one."""
        import pyarrow as pa

        number, kind, length = ENTRY.unpack_from(payload)
        if kind != SCHEMA:
            return False
        schema = pa.ipc.read_schema(pa.py_buffer(payload[ENTRY.size : ENTRY.size + length]))
        signature = msgspec.json.decode(schema.metadata[SIGNATURE], type=Signature)
        self.known[number], self._numbers[signature] = (schema, signature), number
        return True


def schema_of(signature: Signature) -> pa.Schema:
    """The columns of a bundle's rows in a segment."""
    import pyarrow as pa

    runs = pa.run_end_encoded(pa.int32(), pa.string())
    fixed = [
        ("id", pa.string()),
        ("key", pa.string()),
        ("variant", runs),
        ("bundle", runs),
        ("received_us", pa.int64()),
        ("latency_us", pa.int32()),
    ]
    own = [*_columns_of(INPUTS, signature.inputs), *_columns_of(OUTPUTS, signature.outputs)]
    return pa.schema([*fixed, *own], metadata={SIGNATURE: msgspec.json.encode(signature)})


def _columns_of(group: str, fields: Fields) -> Iterator[tuple[str, pa.DataType]]:
    import pyarrow as pa

    kind = dense_type(fields)
    if kind is not None:
        yield group, pa.list_(getattr(pa, kind)(), len(fields))
        return
    for each in fields:
        yield f"{group}.{each.name}", arrow_type(each)
        if _may_be_large(each):
            yield f"{group}.{each.name}{CONTENT}", pa.string()


def _may_be_large(each: Field) -> bool:
    return bool(each.shape) or each.type in ("string", "bytes")


def encode(rows: Predictions, schemas: Schemas, contents: Contents) -> bytes:
    """Rows as the payload of one frame; every bundle's schema has its number. Raises OSError for a large value that can't be kept."""
    if len(rows.values) == 1:
        return _encoded(rows, next(iter(rows.values.values())), schemas, contents)
    return b"".join([_encoded(rows.of(bundle), values, schemas, contents) for bundle, values in rows.values.items()])


def _encoded(rows: Predictions, values: Values, schemas: Schemas, contents: Contents) -> bytes:
    import pyarrow as pa

    number = schemas.number(values)
    assert number is not None, "a segment is given a schema before its rows"
    columns = [
        pa.array(rows.ids, pa.string()),
        pa.array(rows.keys, pa.string()),
        _runs(rows.variant),
        _runs(rows.bundle),
        pa.array(rows.received_us, pa.int64()),
        pa.array(rows.latency_us, pa.int32()),
        *_written(values.inputs, contents),
        *_written(values.outputs, contents),
    ]
    batch = pa.RecordBatch.from_arrays(columns, schema=schemas.known[number][0])
    return _entry(number, ROWS, batch.serialize().to_pybytes())


def _entry(number: int, kind: int, content: bytes) -> bytes:
    return ENTRY.pack(number, kind, len(content)) + content


def value_head(sha256: str, size: int) -> bytes:
    """What stands before the content of a value that is a payload of its own."""
    return ENTRY.pack(0, VALUE, HASH_BYTES + size) + bytes.fromhex(sha256)


def is_rows(data: bytes, at: int) -> bool:
    """Whether a payload that begins here holds rows."""
    return at + ENTRY.size <= len(data) and ENTRY.unpack_from(data, at)[1] == ROWS


def value_of(payload: bytes) -> tuple[str, memoryview] | None:
    """The SHA-256 and the content of a value that is a payload of its own; None for any other payload."""
    _, kind, _ = ENTRY.unpack_from(payload)
    if kind != VALUE:
        return None
    begins = ENTRY.size + HASH_BYTES
    return payload[ENTRY.size : begins].hex(), memoryview(payload)[begins:]


def _written(rows: Rows, contents: Contents) -> Iterator[pa.Array]:
    import pyarrow as pa

    if rows.is_dense:
        block = rows.block
        yield pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), block.shape[1])
        return
    for each, column in zip(rows.fields, rows.columns().values(), strict=True):
        if not _may_be_large(each):
            yield column
        elif column.nbytes <= MAX_INLINE:
            yield column
            yield pa.nulls(len(column), pa.string())
        else:
            yield from _apart(column, contents)


def _apart(column: pa.Array, contents: Contents) -> Iterator[pa.Array]:
    """A column without its large values, and where these lie."""
    import pyarrow as pa

    parts, places = [], list[str | None]()
    for row in range(len(column)):
        one, place = column.slice(row, 1), None
        if one.null_count == 0 and one.nbytes > MAX_INLINE:
            content = _content(one)
            place = digest(content)
            contents.write(place, content)
        parts.append(one if place is None else pa.nulls(1, column.type))
        places.append(place)
    yield pa.concat_arrays(parts)
    yield pa.array(places, pa.string())


def _content(one: pa.Array) -> memoryview:
    import pyarrow as pa

    batch = pa.record_batch([pa.concat_arrays([one])], ["value"])  # a copy: of what equal values are slices must not change their bytes
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def decode(payload: bytes, schemas: Schemas, contents: Contents) -> Iterator[Predictions]:
    """The rows of one frame, as read from disk, each bundle's apart. Raises OSError for a large value that is gone."""
    import pyarrow as pa

    at, whole = 0, pa.py_buffer(payload)
    while at < len(payload):
        number, _, length = ENTRY.unpack_from(payload, at)
        schema, signature = schemas.known[number]
        batch = pa.ipc.read_record_batch(whole.slice(at + ENTRY.size, length), schema)
        inputs, outputs = (_read(group, batch, fields, contents) for group, fields in _groups(signature))
        yield _predictions(batch, inputs, outputs)
        at += ENTRY.size + length


def _groups(signature: Signature) -> Iterator[tuple[str, Fields]]:
    yield INPUTS, signature.inputs
    yield OUTPUTS, signature.outputs


def _read(group: str, batch: pa.RecordBatch, fields: Fields, contents: Contents) -> Rows:
    if dense_type(fields) is not None:
        return Rows.dense(fields, batch.column(group).flatten().to_numpy().reshape(-1, len(fields)))
    return Rows.of(fields, [_column(batch, f"{group}.{each.name}", contents) for each in fields])


def _column(batch: pa.RecordBatch, name: str, contents: Contents) -> pa.Array:
    """A column, with its large values."""
    import pyarrow as pa

    column = batch.column(name)
    if name + CONTENT not in batch.schema.names or batch.column(name + CONTENT).null_count == len(batch):
        return column
    places = batch.column(name + CONTENT).to_pylist()
    return pa.concat_arrays([column.slice(i, 1) if place is None else _value(contents.read(place)) for i, place in enumerate(places)])


def _value(content: bytes | memoryview) -> pa.Array:
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
        return reader.read_next_batch().column(0)


def decode_format3(payload: bytes, schema: pa.Schema) -> Predictions:
    """The rows of one frame of a segment of format 3."""
    import pyarrow as pa

    batch = pa.ipc.read_record_batch(pa.py_buffer(payload), schema)
    width = schema.field("features").type.list_size
    inputs = Rows.dense(by_place(width), batch.column("features").flatten().to_numpy().reshape(-1, width))
    return _predictions(batch, inputs, Rows.dense((SCORE,), batch.column("prediction").to_numpy().reshape(-1, 1)))


def _predictions(batch: pa.RecordBatch, inputs: Rows, outputs: Rows) -> Predictions:
    """The rows of a batch: of one bundle, as they are written now, or of several, as they once were."""
    bundle = _unrolled(batch.column("bundle"))
    names, whole = dict.fromkeys(bundle), Values(inputs, outputs)
    values = {name: whole if len(names) == 1 else whole.take(_places(bundle, name)) for name in names}
    return Predictions(
        batch.column("id").to_pylist(),
        batch.column("key").to_pylist(),
        _unrolled(batch.column("variant")),
        bundle,
        batch.column("received_us").to_numpy(),
        batch.column("latency_us").to_numpy(),
        values,
    )


def _places(bundle: Sequence[str], name: str) -> NDArray[np.intp]:
    return np.flatnonzero([each == name for each in bundle])


def warm_up(signature: Signature) -> None:
    """Encode one row for nothing: what the first one costs no request should pay.

    Arrow looks once whether there is pandas, by importing it: a quarter of a second and 50 MB, for nothing here. It is told no;
    where its conversions to pandas are asked for, it looks again.
    """
    one, schemas = np.zeros(1, np.int64), Schemas()
    values = Values(Rows.unknown(signature.inputs, 1), Rows.unknown(signature.outputs, 1))
    sys.meta_path.insert(0, _NoPandas)
    try:
        schemas.add(values)
        encode(Predictions([""], [None], [""], [""], one, one.astype(np.int32), {"": values}), schemas, _Nowhere())
    finally:
        sys.meta_path.remove(_NoPandas)


class _Nowhere:
    """Where no large value is ever kept."""

    def write(self, sha256: str, content: memoryview) -> None: ...
    def read(self, sha256: str) -> bytes:
        raise FileNotFoundError(sha256)


class _NoPandas:
    """A finder of modules that says there is no pandas."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:  # noqa: ARG004
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _runs(values: Sequence[str]) -> pa.Array:
    """Run-end encoding: a frame is mostly of one variant and one bundle."""
    import pyarrow as pa

    if values[0] == values[-1] and values.count(values[0]) == len(values):
        return _one_run(len(values), values[0])
    starts = [i for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
    ends, texts = [*starts[1:], len(values)], [values[i] for i in starts]
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), pa.array(texts, pa.string()))


@lru_cache(maxsize=1024)
def _one_run(length: int, text: str) -> pa.Array:
    import pyarrow as pa

    return pa.RunEndEncodedArray.from_arrays(pa.array([length], pa.int32()), pa.array([text], pa.string()))


def _unrolled(column: pa.Array) -> list[str]:
    texts, start = list[str](), 0
    for end, text in zip(column.run_ends.to_pylist(), column.values.to_pylist(), strict=True):
        texts += [text] * (end - start)
        start = end
    return texts
