"""The prediction log: one Arrow row per prediction, in checksummed frames, on disk before the answer leaves.

    segment  = magic, frame of the Arrow schema, frame, frame, …           (payloads are Arrow IPC messages)
    frame    = marker (4) · payload length (4) · CRC-32 of sequence and payload (4) · sequence (8) · payload

A torn tail (a crash in the middle of a write) is dropped and counted when the segment is opened again. Damage before the
tail is never cut off: reading raises `DamagedLog`. A failed sync is never retried: the log refuses from then on, since
what the disk holds is no longer known.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import from_epoch, since_epoch
from noria.core.errors import OutsideWorld
from noria.core.files import AppendFile, Files

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = b"NRLOG002"
MARKER = b"\xf1NRF"
HEAD = struct.Struct("<4sIIQ")
SEGMENT_BYTES = 64 * 1024 * 1024
SPAN = timedelta(days=1)
DAY_US = 86_400_000_000


class DamagedLog(OutsideWorld):
    """A segment has damage that is not a torn tail."""

    code = "NR-501"

    def __init__(self, path: Path, offset: int) -> None:
        self.path, self.offset = path, offset
        super().__init__(
            what="the prediction log is damaged",
            where=f"{path} at byte {offset}; intact frames follow",
            mend="restore the segment from a backup; it was left as it is and is not read past the damage",
        )


class LogFailed(OutsideWorld):
    """The log could not be written; nothing is acknowledged any more."""

    code = "NR-502"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(
            what="the prediction log can't be written",
            where=f"{path}: {reason}",
            mend="make room or mend the disk, then restart; predictions are refused until then",
        )


@dataclass(frozen=True)
class Predictions:
    """Predictions with all that explains them; every array is `(rows,)`, `features` is `(rows, features)`.

    received_us: microseconds since 1970-01-01 UTC; variant: `champion` or `challenger` (a shadow's answers are not sent)
    """

    ids: list[str]
    keys: list[str | None]
    variant: list[str]
    bundle: list[str]
    received_us: NDArray[np.int64]
    latency_us: NDArray[np.int32]
    features: NDArray[np.float32]
    prediction: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, bundle: str) -> Predictions:
        """Those of one bundle."""
        return self.where(np.array([b == bundle for b in self.bundle], dtype=bool))

    def where(self, keep: NDArray[np.bool_]) -> Predictions:
        place = np.flatnonzero(keep)
        return Predictions(
            [self.ids[i] for i in place],
            [self.keys[i] for i in place],
            [self.variant[i] for i in place],
            [self.bundle[i] for i in place],
            self.received_us[place],
            self.latency_us[place],
            self.features[place],
            self.prediction[place],
        )


def log_schema(features: int) -> pa.Schema:
    """The schema of a segment for a model of so many features."""
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("key", pa.string()),
            ("variant", pa.run_end_encoded(pa.int32(), pa.string())),
            ("bundle", pa.run_end_encoded(pa.int32(), pa.string())),
            ("received_us", pa.int64()),
            ("latency_us", pa.int32()),
            ("features", pa.list_(pa.float32(), features)),
            ("prediction", pa.float64()),
        ]
    )


class PredictionLog:
    """One writer's log of one endpoint: a folder of segments, named by the day of their first prediction (UTC)."""

    def __init__(self, folder: Path, writer: str, files: Files) -> None:
        self._folder, self._files = folder / writer, files
        self._segment: AppendFile | None = None
        self._path, self._day, self._width = self._folder, "", -1
        self._sequence = 0
        self._failed: LogFailed | None = None
        self._syncing = threading.Lock()  # one thread appends, another may sync; a segment is not closed under it
        self.dropped_bytes = 0
        files.make_folder(self._folder)

    def append(self, rows: Predictions) -> None:
        """Write rows as one frame. They are durable after `sync`. Raises `LogFailed`."""
        if self._failed:
            raise self._failed
        day = _day(int(rows.received_us[0]) // DAY_US)
        try:
            if self._segment is None or not self._fits(day, rows):
                self._open(day, rows.features.shape[1])
            assert self._segment is not None
            self._sequence += 1
            self._segment.write(_frame(self._sequence, encode(rows)))
        except OSError as error:
            self._failed = LogFailed(self._path, str(error))
            raise self._failed from error

    def sync(self) -> None:
        """Make everything appended so far survive a power cut. Raises `LogFailed`, then for ever."""
        with self._syncing:
            self._sync()

    def _sync(self) -> None:
        if self._failed:
            raise self._failed
        try:
            if self._segment is not None:
                self._segment.sync()
        except OSError as error:
            self._failed = LogFailed(self._path, str(error))
            raise self._failed from error

    @property
    def folder(self) -> Path:
        """Where this writer's segments lie."""
        return self._folder

    def last_received(self) -> datetime | None:
        """When the newest logged prediction was received; None if there is none."""
        for path in reversed(self._files.list(self._folder, "*.seg")):
            newest = [int(rows.received_us.max()) for rows in read_segment(path, self._files)]
            if newest:
                return from_epoch(max(newest))
        return None

    def close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _fits(self, day: str, rows: Predictions) -> bool:
        """Whether rows may go into the segment that is open."""
        assert self._segment is not None
        return day == self._day and rows.features.shape[1] == self._width and self._segment.size() <= SEGMENT_BYTES

    def _open(self, day: str, width: int) -> None:
        with self._syncing:
            self._sync()  # what the segment before holds may not have been
            self.close()
        taken = self._files.list(self._folder, f"{day}.*.seg")
        fresh = not taken or self._day == day or self._width_of(taken[-1]) != width
        number = len(taken) if fresh else len(taken) - 1
        self._path = self._folder / f"{day}.{number:04d}.seg"
        self._day, self._width = day, width
        data = self._files.read(self._path) if self._files.exists(self._path) else b""
        frames, intact = _scan(self._path, data)
        self._segment = self._files.append(self._path)
        if intact < len(data):
            self.dropped_bytes += len(data) - intact
            self._segment.truncate(intact)
        if not frames:
            self._segment.truncate(0)
            self._segment.write(MAGIC + _frame(0, log_schema(width).serialize().to_pybytes()))
        self._sequence = max([self._sequence, *(sequence for sequence, _ in frames)])

    def _width_of(self, path: Path) -> int:
        import pyarrow as pa

        frames, _ = _scan(path, self._files.read(path))
        if not frames:
            return -1
        return int(pa.ipc.read_schema(pa.py_buffer(frames[0][1])).field("features").type.list_size)


def read_log(folder: Path, start: datetime, end: datetime, files: Files) -> Predictions | None:
    """Every prediction of an endpoint received in [start, end), all writers, in order of time and id; None if there is none.

    A segment is named by the day of its first prediction; a frame holds predictions of at most `SPAN`.
    """
    first, last = f"{start - SPAN:%Y-%m-%d}", f"{end:%Y-%m-%d}"
    parts = [
        rows
        for path in files.list(folder, "*/*.seg")
        if first <= path.name[:10] <= last
        for rows in read_segment(path, files, since_epoch(start), since_epoch(end))
    ]
    return _concatenate(parts) if parts else None


def read_segment(path: Path, files: Files, low: int = 0, high: int = 2**63 - 1) -> Iterator[Predictions]:
    """The frames of one segment, a torn tail left out, their rows received in [low, high). Raises `DamagedLog`."""
    import pyarrow as pa

    frames, _ = _scan(path, files.read(path))
    if not frames:
        return
    schema = pa.ipc.read_schema(pa.py_buffer(frames[0][1]))
    for _, payload in frames[1:]:
        rows = decode(payload, schema)
        keep = (rows.received_us >= low) & (rows.received_us < high)
        if keep.any():
            yield rows if keep.all() else rows.where(keep)


def encode(rows: Predictions) -> bytes:
    """Rows as the payload of one frame: a record batch without its schema, which the segment's first frame holds."""
    import pyarrow as pa

    columns = [
        pa.array(rows.ids, pa.string()),
        pa.array(rows.keys, pa.string()),
        _runs(rows.variant),
        _runs(rows.bundle),
        pa.array(rows.received_us, pa.int64()),
        pa.array(rows.latency_us, pa.int32()),
        pa.FixedSizeListArray.from_arrays(pa.array(rows.features.reshape(-1)), rows.features.shape[1]),
        pa.array(rows.prediction, pa.float64()),
    ]
    payload: bytes = pa.RecordBatch.from_arrays(columns, schema=_schema(rows.features.shape[1])).serialize().to_pybytes()
    return payload


def decode(payload: bytes, schema: pa.Schema) -> Predictions:
    """Rows of one frame, as read from disk."""
    import pyarrow as pa

    batch = pa.ipc.read_record_batch(pa.py_buffer(payload), schema)
    width = schema.field("features").type.list_size
    return Predictions(
        batch.column("id").to_pylist(),
        batch.column("key").to_pylist(),
        _unrolled(batch.column("variant")),
        _unrolled(batch.column("bundle")),
        batch.column("received_us").to_numpy(),
        batch.column("latency_us").to_numpy(),
        batch.column("features").flatten().to_numpy().reshape(-1, width),
        batch.column("prediction").to_numpy(),
    )


@lru_cache(maxsize=4)
def _day(number: int) -> str:
    return f"{from_epoch(number * DAY_US):%Y-%m-%d}"


@cache
def _schema(features: int) -> pa.Schema:
    return log_schema(features)


def _runs(values: Sequence[str]) -> pa.Array:
    """Run-end encoding: a frame is mostly of one variant and one bundle."""
    import pyarrow as pa

    if values[0] == values[-1] and values.count(values[0]) == len(values):
        ends, texts = [len(values)], [values[0]]
    else:
        starts = [i for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
        ends, texts = [*starts[1:], len(values)], [values[i] for i in starts]
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), pa.array(texts, pa.string()))


def _unrolled(column: pa.Array) -> list[str]:
    texts, start = list[str](), 0
    for end, text in zip(column.run_ends.to_pylist(), column.values.to_pylist(), strict=True):
        texts += [text] * (end - start)
        start = end
    return texts


def _frame(sequence: int, payload: bytes) -> bytes:
    return HEAD.pack(MARKER, len(payload), _checksum(sequence, payload), sequence) + payload


def _checksum(sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(sequence.to_bytes(8, "little")))


def _scan(path: Path, data: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """The intact frames of a segment and where they end. Raises `DamagedLog` when intact frames follow damage."""
    frames: list[tuple[int, bytes]] = []
    at = len(MAGIC)
    if data[:at] != MAGIC:
        if _next_intact(data, 0) is not None:
            raise DamagedLog(path, 0)
        return [], 0
    while at < len(data):
        frame = _frame_at(data, at)
        if frame is None:
            if _next_intact(data, at + 1) is not None:
                raise DamagedLog(path, at)
            break
        frames.append(frame)
        at += HEAD.size + len(frame[1])
    return frames, at


def _frame_at(data: bytes, at: int) -> tuple[int, bytes] | None:
    if at + HEAD.size > len(data):
        return None
    marker, length, checksum, sequence = HEAD.unpack_from(data, at)
    payload = data[at + HEAD.size : at + HEAD.size + length]
    if marker != MARKER or len(payload) != length or _checksum(sequence, payload) != checksum:
        return None
    return sequence, payload


def _next_intact(data: bytes, start: int) -> int | None:
    at = data.find(MARKER, start)
    while at >= 0:
        if _frame_at(data, at) is not None:
            return at
        at = data.find(MARKER, at + 1)
    return None


def _concatenate(parts: list[Predictions]) -> Predictions:
    order = np.lexsort(
        (
            np.array([i for p in parts for i in p.ids]),
            np.concatenate([p.received_us for p in parts]),
        )
    )
    ids = [i for p in parts for i in p.ids]
    keys = [k for p in parts for k in p.keys]
    variant = [v for p in parts for v in p.variant]
    bundle = [b for p in parts for b in p.bundle]
    return Predictions(
        [ids[i] for i in order],
        [keys[i] for i in order],
        [variant[i] for i in order],
        [bundle[i] for i in order],
        np.concatenate([p.received_us for p in parts])[order],
        np.concatenate([p.latency_us for p in parts])[order],
        np.concatenate([p.features for p in parts])[order],
        np.concatenate([p.prediction for p in parts])[order],
    )
