"""The prediction log: one Arrow row per prediction, in checksummed frames, on disk before the answer leaves.

    segment  = magic, frame, frame, …                     (payloads are those of `records`: schemas, large values, rows; a mark has none)
    frame    = marker (4) · payload length (4) · CRC-32 of what follows (4) · sequence (8) · durable (8) · payload

`durable` says up to which byte the segment was known to be on disk when the frame was written. So damage can be told apart from
what a power cut leaves: writes that were not synced may be missing or torn in any order, but only beyond the largest `durable`.
There they are dropped and counted, and what is intact behind them is read. Damage before it was on disk once: reading raises
`DamagedLog`, and nothing is cut off. A mark, written after a second's rest and at the end, leaves nothing beyond doubt.

A failed sync is never retried: the log refuses from then on, since what the disk holds is no longer known.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from noria.core.clock import from_epoch, since_epoch
from noria.core.errors import OutsideWorld
from noria.core.files import AppendFile, Files
from noria.core.ids import digest
from noria.serving.log.predictions import Predictions, together
from noria.serving.log.records import Schemas, decode, decode_format3, encode, value_head, value_of

SUMS_FILE = "served.json"  # beside a writer's segments: how many rows it answered, and logged
MAGIC, OLD_MAGIC = b"NRLOG004", b"NRLOG003"
MARKER = b"\xf1NRF"
HEAD = struct.Struct("<4sIIQQ")
CHECKED = struct.Struct("<QQ")
SEGMENT_BYTES = 64 * 1024 * 1024
SPAN = timedelta(days=1)
SEGMENTS = "*/*.seg"  # of all writers, in the folder of an endpoint's log
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


class LostValue(OutsideWorld):
    """A value that lies beside a segment is gone, or is not what was written."""

    code = "NR-503"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(
            what="a large value of the prediction log is lost",
            where=f"{path}: {reason}",
            fix="restore the segment, and the folder beside it where there is one, from a backup; nothing of it is read until then",
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


class PredictionLog:
    """One writer's log of one endpoint: a folder of segments, named by the day of their first prediction (UTC)."""

    def __init__(self, folder: Path, writer: str, files: Files) -> None:
        self._folder, self._files = folder / writer, files
        self._segment: AppendFile | None = None
        self._path, self._day, self._schemas = self._folder, "", Schemas()
        self._values, self._repeated = set[str](), 0  # large values that the segment has; bytes of those that rows had once more
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
            if self._segment is None or not self._fits(day):
                self._open(day)
            self._give_schemas(rows)
            self._write(encode(rows, self._schemas, _Own(self)))
        except OSError as error:
            self._failed = LogFailed(self._path, str(error))
            raise self._failed from error

    def _give_schemas(self, rows: Predictions) -> None:
        """Write the schemas of rows that the segment does not have yet: on disk before them, so that no power cut takes a schema and
        leaves its rows."""
        new = [values for values in rows.values.values() if self._schemas.number(values) is None]
        for values in new:
            self._write(self._schemas.add(values))
        if new:
            self.sync()

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

    def write_value(self, sha256: str, content: memoryview) -> None:
        """Write a large value before the rows that have it, unless the segment has it. Raises OSError."""
        if sha256 in self._values:
            self._repeated += len(content)
            return
        self._write(value_head(sha256, len(content)), content)
        self._values.add(sha256)

    def _write(self, *payload: bytes | memoryview) -> None:
        assert self._segment is not None
        self._sequence += 1
        self._marked = self._durable
        self._segment.write(_frame(self._sequence, self._marked, *payload))

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

    def _fits(self, day: str) -> bool:
        """Whether rows may go into the segment that is open."""
        assert self._segment is not None
        return day == self._day and self._segment.size() + self._repeated <= SEGMENT_BYTES  # who reads it has each row's value

    def _open(self, day: str) -> None:
        if self._segment is not None:
            self.sync()  # what the segment before holds may not have been
            self.mark()
            with self._syncing:
                self._sync()
                self._close()
        taken = self._files.list(self._folder, f"{day}.*.seg")
        number = len(taken)
        if taken and self._day != day and self._may_go_on(taken[-1]):
            number -= 1
        self._path = self._folder / f"{day}.{number:04d}.seg"
        self._day, self._schemas, self._durable, self._marked = day, Schemas(), 0, 0
        self._values, self._repeated = set(), 0
        found = _scan(self._path, self._files.read(self._path) if self._files.exists(self._path) else b"")
        with self._syncing:
            self._segment = self._files.append(self._path)
            if found.dropped:
                self.dropped_bytes += found.dropped
                self._segment.truncate(found.end)
            self._sequence = max([self._sequence, *(sequence for sequence, _ in found.frames)])
            for payload in (payload for _, payload in found.frames if payload):
                if not self._schemas.read(payload) and (value := value_of(payload)) is not None:
                    self._values.add(value[0])
            if not found.end:
                self._segment.truncate(0)
                self._segment.write(MAGIC)
            self._sync()  # before the first frame: a segment whose head is gone is damaged, not torn

    def _may_go_on(self, path: Path) -> bool:
        """Whether rows may follow in a segment that is there: of this format, and nothing intact behind what would be cut off."""
        data = self._files.read(path)
        return not data.startswith(OLD_MAGIC) and not _scan(path, data).gaps


@dataclass(frozen=True)
class _Own:
    """The large values of the segment that a log writes."""

    log: PredictionLog

    def write(self, sha256: str, content: memoryview) -> None:
        self.log.write_value(sha256, content)

    def read(self, sha256: str) -> bytes:
        raise FileNotFoundError(sha256)


@dataclass
class Beside:
    """The large values of a segment that is read: those that were in it so far, and those in a folder beside it, as they once were."""

    segment: Path
    files: Files
    within: dict[str, memoryview] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.segment.with_suffix(".values")

    def write(self, sha256: str, content: memoryview) -> None:
        self.within[sha256] = content

    def read(self, sha256: str) -> bytes | memoryview:
        """Raises `LostValue`."""
        if sha256 in self.within:
            return self.within[sha256]
        path = self.folder / sha256
        try:
            content = self.files.read(path)
        except OSError as error:
            raise LostValue(path, str(error)) from error
        if digest(content) != sha256:
            raise LostValue(path, "its content has changed")
        return content

    def remove(self) -> None:
        for path in self.files.list(self.folder):
            self.files.remove(path)


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
    for path in files.list(folder, SEGMENTS):
        if first <= path.name[:10] <= last:
            yield from read_segment(path, files, since_epoch(start), since_epoch(end))


def read_segment(path: Path, files: Files, low: int = 0, high: int = 2**63 - 1) -> Iterator[Predictions]:
    """The frames of one segment, what a power cut tore left out, their rows received in [low, high). Raises `DamagedLog`."""
    data = files.read(path)
    found = _scan(path, data)
    frames = [payload for _, payload in found.frames if payload]
    for rows in _of_format3(frames) if data.startswith(OLD_MAGIC) else _of_frames(frames, Beside(path, files), torn=found.gaps):
        keep = (rows.received_us >= low) & (rows.received_us < high)
        if keep.any():
            yield rows.where(keep)


def find_in_segment(path: Path, prediction_id: str, files: Files) -> Predictions | None:
    """The frame of a segment that has a prediction; None where none has. Ids stand in a frame as they are, so that few are decoded.

    Raises `DamagedLog` and `LostValue`.
    """
    data, wanted = files.read(path), prediction_id.encode()
    if wanted not in data or data.startswith(OLD_MAGIC):
        return None
    frames = [payload for _, payload in _scan(path, data).frames if payload]
    schemas, contents = Schemas(), Beside(path, files)
    for payload in frames:
        if schemas.read(payload):
            continue
        if (value := value_of(payload)) is not None:
            contents.write(*value)
        elif wanted in payload:
            for rows in decode(payload, schemas, contents):
                if prediction_id in rows.ids:
                    return rows
    return None


def _of_frames(payloads: Iterable[bytes], contents: Beside, *, torn: bool) -> Iterator[Predictions]:
    """torn: whether a power cut took frames before others: rows whose large value was among them were on no disk yet, and are dropped"""
    schemas = Schemas()
    for payload in payloads:
        if schemas.read(payload):
            continue
        value = value_of(payload)
        if value is not None:
            contents.write(*value)
            continue
        try:
            rows = list(decode(payload, schemas, contents))
        except LostValue:
            if not torn or contents.files.exists(contents.folder):
                raise
            continue
        yield from rows


def _of_format3(payloads: Sequence[bytes]) -> Iterator[Predictions]:
    """Of a segment whose first frame is the schema of all others."""
    import pyarrow as pa

    if payloads:
        schema = pa.ipc.read_schema(pa.py_buffer(payloads[0]))
        yield from (decode_format3(payload, schema) for payload in payloads[1:])


@lru_cache(maxsize=4)
def _day(number: int) -> str:
    return f"{from_epoch(number * DAY_US):%Y-%m-%d}"


def _frame(sequence: int, durable: int, *payload: bytes | memoryview) -> bytes:
    checksum = _checksum(sequence, durable, *payload)
    return b"".join([HEAD.pack(MARKER, sum(map(len, payload)), checksum, sequence, durable), *payload])


def _checksum(sequence: int, durable: int, *payload: bytes | memoryview) -> int:
    found = zlib.crc32(CHECKED.pack(sequence, durable))
    for part in payload:
        found = zlib.crc32(part, found)
    return found


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
    if data[: len(MAGIC)] not in (MAGIC, OLD_MAGIC):
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
