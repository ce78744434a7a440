"""The file port recorded, and the states that a power cut may leave behind.

What was not synced when the power went may be there, be missing, or be torn, each write on its own and in any order (a later
one may survive an earlier one); what was synced is there. A new file's name is durable as soon as `append` returns.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from noria.core.files import AppendFile, LocalFiles


@dataclass
class Recorded:
    """What happened to files, in order: (path, "write", bytes) · (path, "sync") · (path, "truncate", size) · marks."""

    events: list[tuple[Path, str, bytes | int | None]] = field(default_factory=list)
    ignore_sync: bool = False

    def add(self, path: Path, kind: str, value: bytes | int | None = None) -> None:
        self.events.append((path, kind, value))


class RecordedAppend:
    def __init__(self, inner: AppendFile, path: Path, record: Recorded) -> None:
        self._inner, self._path, self._record = inner, path, record

    def write(self, data: bytes) -> None:
        self._record.add(self._path, "write", data)
        self._inner.write(data)

    def sync(self) -> None:
        if not self._record.ignore_sync:  # the sabotage: a sync that does nothing
            self._record.add(self._path, "sync")
        self._inner.sync()

    def size(self) -> int:
        return self._inner.size()

    def truncate(self, size: int) -> None:
        self._record.add(self._path, "truncate", size)
        self._inner.truncate(size)

    def close(self) -> None:
        self._inner.close()


class RecordedFiles(LocalFiles):
    """The local disk, recorded where it appends."""

    def __init__(self, record: Recorded) -> None:
        self.record = record

    def append(self, path: Path) -> AppendFile:
        self.record.add(path, "make")
        return RecordedAppend(super().append(path), path, self.record)


def after_power_cut(record: Recorded, until: int, rng: random.Random) -> dict[Path, bytes]:
    """The files as they may be found when the power goes after the first `until` events."""
    durable: dict[Path, bytearray] = {}
    loose: dict[Path, list[tuple[int, bytes]]] = {}
    length: dict[Path, int] = {}
    for path, kind, value in record.events[:until]:
        if kind == "make":
            durable.setdefault(path, bytearray())
            loose.setdefault(path, [])
            length.setdefault(path, len(durable[path]))
        elif kind == "write":
            assert isinstance(value, bytes)
            loose[path].append((length[path], value))
            length[path] += len(value)
        elif kind == "truncate":
            assert isinstance(value, int)
            loose[path] = [(at, data[: max(value - at, 0)]) for at, data in loose[path] if at < value]
            del durable[path][value:]
            length[path] = value
        elif kind == "sync":
            for at, data in loose[path]:
                _put(durable[path], at, data)
            loose[path] = []
    for path, writes in loose.items():
        for at, data in rng.sample(writes, len(writes)):
            fate = rng.random()
            if fate < 0.4:
                _put(durable[path], at, data)
            elif fate < 0.7:
                _put(durable[path], at, data[: rng.randrange(len(data) + 1)])
    return {path: bytes(data) for path, data in durable.items()}


def _put(content: bytearray, at: int, data: bytes) -> None:
    if at > len(content):
        content.extend(bytes(at - len(content)))  # a hole reads as zeros
    content[at : at + len(data)] = data
