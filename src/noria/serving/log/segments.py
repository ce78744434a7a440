"""The prediction log: one Arrow row per prediction, in checksummed frames, on disk before the answer leaves.

    segment  = magic, frame of the Arrow schema, frame, frame, …           (payloads are Arrow IPC messages; a mark has none)
    frame    = marker (4) · payload length (4) · CRC-32 of what follows (4) · sequence (8) · durable (8) · payload

`durable` says up to which byte the segment was known to be on disk when the frame was written. So damage can be told apart from
what a power cut leaves: writes that were not synced may be missing or torn in any order, but only beyond the largest `durable`.
There they are dropped and counted, and what is intact behind them is read. Damage before it was on disk once: reading raises
`DamagedLog`, and nothing is cut off. A mark, written after a second's rest and at the end, leaves nothing beyond doubt.

A failed sync is never retried: the log refuses from then on, since what the disk holds is no longer known.
"""

from __future__ import annotations

import struct
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import from_epoch, since_epoch
from noria.core.errors import OutsideWorld
from noria.core.files import AppendFile, Files

if TYPE_CHECKING:
    import pyarrow as pa

SUMS_FILE = "served.json"  # beside a writer's segments: how many rows it answered, and logged
FALLBACK = "fallback"  # the variant of rows in which something stood in for the champion
MAGIC = b"NRLOG003"
MARKER = b"\xf1NRF"
HEAD = struct.Struct("<4sIIQQ")
CHECKED = struct.Struct("<QQ")
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
            fix="restore the segment from a backup; it was left unchanged, and nothing after the damage is read",
        )


class LogFailed(OutsideWorld):
    """The log could not be written; nothing is acknowledged any more."""

    code = "NR-502"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(
            what="the prediction log can't be written",
            where=f"{path}: {reason}",
            fix="free disk space or fix the disk, then restart; predictions are refused until then",
        )


@dataclass(frozen=True)
class Predictions:
    """Predictions with all that explains them; every array is `(rows,)`, `features` is `(rows, features)`.

    received_us: microseconds since 1970-01-01 UTC; variant: `champion`, `challenger` (a shadow's answers are not sent) or `fallback`
    features: each row has its own bundle's inputs, in that bundle's order, and NaN beyond them where another bundle has more
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

    def by(self, variant: str) -> Predictions:
        """The rows that one variant answered."""
        return self.where(np.array([v == variant for v in self.variant], dtype=bool))

    def narrowed(self, width: int) -> Predictions:
        """The same rows with the first so many features: those of a narrower bundle are padded beside those of a wider one."""
        return self if self.features.shape[1] <= width else replace(self, features=self.features[:, :width])

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
        self._sequence = self._durable = self._marked = 0
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
            self._write(encode(rows))
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
                size = self._segment.size()
                self._segment.sync()
                self._durable = size
        except OSError as error:
            self._failed = LogFailed(self._path, str(error))
            raise self._failed from error

    def mark(self) -> None:
        """Say in the segment itself how much of it is on disk, if that is more than it says yet. Raises `LogFailed`."""
        if self._failed:
            raise self._failed
        if self._segment is None or self._durable <= self._marked:
            return
        try:
            self._write(b"")
        except OSError as error:
            self._failed = LogFailed(self._path, str(error))
            raise self._failed from error

    def _write(self, payload: bytes) -> None:
        assert self._segment is not None
        self._sequence += 1
        self._marked = self._durable
        self._segment.write(_frame(self._sequence, self._marked, payload))

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
        """Sync, mark and close. What had failed stays as it is."""
        with suppress(LogFailed):
            self.sync()
            self.mark()
            self.sync()
        self._close()

    def _close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _fits(self, day: str, rows: Predictions) -> bool:
        """Whether rows may go into the segment that is open."""
        assert self._segment is not None
        return day == self._day and rows.features.shape[1] == self._width and self._segment.size() <= SEGMENT_BYTES

    def _open(self, day: str, width: int) -> None:
        if self._segment is not None:
            self.sync()  # what the segment before holds may not have been
            self.mark()
            with self._syncing:
                self._sync()
                self._close()
        taken = self._files.list(self._folder, f"{day}.*.seg")
        number = len(taken)
        if taken and self._day != day and self._may_go_on(taken[-1], width):
            number -= 1
        self._path = self._folder / f"{day}.{number:04d}.seg"
        self._day, self._width, self._durable, self._marked = day, width, 0, 0
        found = _scan(self._path, self._files.read(self._path) if self._files.exists(self._path) else b"")
        with self._syncing:
            self._segment = self._files.append(self._path)
            if found.dropped:
                self.dropped_bytes += found.dropped
                self._segment.truncate(found.end)
            self._sequence = max([self._sequence, *(sequence for sequence, _ in found.frames)])
            if not found.frames:
                self._segment.truncate(0)
                self._segment.write(MAGIC + _frame(0, 0, log_schema(width).serialize().to_pybytes()))
            self._sync()  # before the first frame: a segment whose head is gone is damaged, not torn

    def _may_go_on(self, path: Path, width: int) -> bool:
        """Whether rows may follow in a segment that is there: of the same width, and nothing intact behind what would be cut off."""
        found = _scan(path, self._files.read(path))
        return not found.gaps and (not found.frames or _width(found.frames[0][1]) == width)


def _width(schema: bytes) -> int:
    import pyarrow as pa

    return int(pa.ipc.read_schema(pa.py_buffer(schema)).field("features").type.list_size)


def read_log(folder: Path, start: datetime, end: datetime, files: Files) -> Predictions | None:
    """Every prediction of an endpoint received in [start, end), all writers, in order of time and id; None if there is none.

    A segment is named by the day of its first prediction; a frame holds predictions of at most `SPAN`.
    """
    parts = list(_frames_within(folder, start, end, files))
    return together(parts) if parts else None


def anything_logged(folder: Path, start: datetime, end: datetime, files: Files) -> bool:
    """Whether any prediction of an endpoint was received in [start, end)."""
    return next(_frames_within(folder, start, end, files), None) is not None


def _frames_within(folder: Path, start: datetime, end: datetime, files: Files) -> Iterator[Predictions]:
    first, last = f"{start - SPAN:%Y-%m-%d}", f"{end:%Y-%m-%d}"
    for path in files.list(folder, "*/*.seg"):
        if first <= path.name[:10] <= last:
            yield from read_segment(path, files, since_epoch(start), since_epoch(end))


def read_segment(path: Path, files: Files, low: int = 0, high: int = 2**63 - 1) -> Iterator[Predictions]:
    """The frames of one segment, what a power cut tore left out, their rows received in [low, high). Raises `DamagedLog`."""
    import pyarrow as pa

    frames = _scan(path, files.read(path)).frames
    if not frames:
        return
    schema = pa.ipc.read_schema(pa.py_buffer(frames[0][1]))
    for _, payload in frames[1:]:
        if not payload:
            continue
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


def warm_up(width: int) -> None:
    """Encode one row for nothing: what the first one costs no request should pay.

    Arrow looks once whether there is pandas, by importing it: a quarter of a second and 50 MB, for nothing here. It is told no;
    where its conversions to pandas are asked for, it looks again.
    """
    one = np.zeros(1, np.int64)
    sys.meta_path.insert(0, _NoPandas)
    try:
        encode(Predictions([""], [None], [""], [""], one, one.astype(np.int32), np.zeros((1, width), np.float32), one.astype(np.float64)))
    finally:
        sys.meta_path.remove(_NoPandas)


class _NoPandas:
    """A finder of modules that says there is no pandas."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:  # noqa: ARG004
        if name == "pandas":
            raise ModuleNotFoundError(name)


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


def _frame(sequence: int, durable: int, payload: bytes) -> bytes:
    return HEAD.pack(MARKER, len(payload), _checksum(sequence, durable, payload), sequence, durable) + payload


def _checksum(sequence: int, durable: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(CHECKED.pack(sequence, durable)))


@dataclass
class _Found:
    """What a segment holds: (sequence, payload) of its intact frames, where the last one ends, what lies between or behind them."""

    frames: list[tuple[int, bytes]] = field(default_factory=list)
    end: int = 0
    dropped: int = 0
    gaps: bool = False


def _scan(path: Path, data: bytes) -> _Found:
    """The intact frames of a segment. Raises `DamagedLog` when what is damaged was on disk once."""
    found = _Found(dropped=len(data))
    if data[: len(MAGIC)] != MAGIC:
        if _next_intact(data, 0) is not None:
            raise DamagedLog(path, 0)
        return found
    at = found.end = len(MAGIC)
    found.dropped, damage, known = 0, -1, 0
    while at < len(data):
        frame = _frame_at(data, at)
        if frame is None:
            following = _next_intact(data, at + 1)
            damage = at if damage < 0 else damage
            found.dropped += (len(data) if following is None else following) - at
            if following is None:
                break
            found.gaps, at = True, following
            continue
        sequence, durable, payload = frame
        known = max(known, durable)
        found.frames.append((sequence, payload))
        at = found.end = at + HEAD.size + len(payload)
    if 0 <= damage < known:
        raise DamagedLog(path, damage)
    return found


def _frame_at(data: bytes, at: int) -> tuple[int, int, bytes] | None:
    """Sequence, durable and payload of an intact frame that begins here."""
    if at + HEAD.size > len(data):
        return None
    marker, length, checksum, sequence, durable = HEAD.unpack_from(data, at)
    payload = data[at + HEAD.size : at + HEAD.size + length]
    if marker != MARKER or len(payload) != length or _checksum(sequence, durable, payload) != checksum:
        return None
    return sequence, durable, payload


def _next_intact(data: bytes, start: int) -> int | None:
    at = data.find(MARKER, start)
    while at >= 0:
        if _frame_at(data, at) is not None:
            return at
        at = data.find(MARKER, at + 1)
    return None


def _padded(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Features of bundles with fewer and more inputs, one below the other: NaN beyond a narrower one's."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=np.nan) for part in parts])


def together(parts: list[Predictions]) -> Predictions:
    """Predictions of several writers or bundles as one, in order of time and id."""
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
        _padded([p.features for p in parts])[order],
        np.concatenate([p.prediction for p in parts])[order],
    )
