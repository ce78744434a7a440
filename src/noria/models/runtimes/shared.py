"""Memory that two processes share: rows go through it as Arrow IPC, written once and read where they lie.

A region is a file without a name, so that it is gone when the last of its processes is, however that ended. Of a batch of 20 MB there is
one copy, the one into it: its reader's columns are views of it. Answers are copied once more, out of it, since the next take their place.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile

import numpy as np

from noria.core.signature import dense_type
from noria.data.rows import Fields, Rows

FIRST_SIZE = 1 << 16
MESSAGES = 1 << 12  # bytes that Arrow's messages take beside a batch and its schema


def new_region() -> int:
    """A file descriptor of a region. Where the system can, it never shrinks: a reader's view stays one, whatever its writer does."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    region = os.memfd_create("noria", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    fcntl.fcntl(region, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return region


class Writer:
    """Puts rows into a region."""

    def __init__(self, region: int) -> None:
        self._region = region
        self._view: mmap.mmap | None = None

    def put(self, rows: Rows) -> int:
        """Write rows in place of what was there; returns how many bytes they take. Raises `OSError` where memory has no room."""
        import pyarrow as pa

        if rows.is_dense:
            tensor = pa.Tensor.from_numpy(np.ascontiguousarray(rows.block))
            size = pa.ipc.get_tensor_size(tensor)
            pa.ipc.write_tensor(tensor, self._sink(size))
            return int(size)
        batch = pa.RecordBatch.from_arrays(list(rows.columns().values()), names=list(rows.names))
        size = pa.ipc.get_record_batch_size(batch) + batch.schema.serialize().size + MESSAGES
        with pa.ipc.new_stream(self._sink(size), batch.schema) as writer:
            writer.write_batch(batch)
        return int(size)

    def _sink(self, size: int) -> object:
        import pyarrow as pa

        if self._view is None or len(self._view) < size:
            length = max(FIRST_SIZE, 1 << (size - 1).bit_length())
            os.ftruncate(self._region, length)
            self._view = mmap.mmap(self._region, length)
        return pa.FixedSizeBufferWriter(pa.py_buffer(memoryview(self._view)[:size]))


class Reader:
    """Reads rows from a region."""

    def __init__(self, region: int) -> None:
        self._region = region
        self._view: mmap.mmap | None = None

    def rows(self, fields: Fields, size: int) -> Rows:
        """The rows where they lie: views, which can't be written to and are good until the next rows are put there."""
        return _read(fields, self._part(size))

    def copied(self, fields: Fields, size: int) -> Rows:
        """The rows, as one's own. Raises `ValueError` (of which Arrow's errors are) where there are none of these fields."""
        return _read(fields, memoryview(bytes(self._part(size))))

    def _part(self, size: int) -> memoryview:
        if self._view is None or len(self._view) < size:
            self._view = mmap.mmap(self._region, os.fstat(self._region).st_size, prot=mmap.PROT_READ)
        return memoryview(self._view)[:size]


def packed(rows: Rows) -> bytes:
    """Rows in columns as bytes, for a message."""
    import pyarrow as pa

    batch = pa.RecordBatch.from_arrays(list(rows.columns().values()), names=list(rows.names))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def unpacked(fields: Fields, data: bytes) -> Rows:
    """The rows that `packed` made bytes of. Raises `ValueError` (of which Arrow's errors are) where they are none of these fields."""
    return _read(fields, memoryview(data))


def _read(fields: Fields, part: memoryview) -> Rows:
    import pyarrow as pa

    source = pa.BufferReader(pa.py_buffer(part))
    if dense_type(fields) is not None:
        return Rows.dense(fields, pa.ipc.read_tensor(source).to_numpy())
    with pa.ipc.open_stream(source) as reader:
        batch = reader.read_next_batch()
    return Rows.of(fields, [batch.column(field.name) for field in fields])
