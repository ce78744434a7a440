"""The file port: every byte Noria writes to a file itself goes through here, so that tests can make any write fail.

(Delta tables and SQLite write through their own libraries.)
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import IO, Protocol


class AppendFile(Protocol):
    """A file that only grows."""

    def write(self, data: bytes) -> None: ...
    def sync(self) -> None: ...
    def size(self) -> int: ...
    def truncate(self, size: int) -> None: ...
    def close(self) -> None: ...


class Files(Protocol):
    """What Noria asks of a file system. Every method may raise OSError."""

    def read(self, path: Path) -> bytes: ...
    def write(self, path: Path, data: bytes) -> None:
        """Replace a file as a whole: after a crash there is the old content or the new, never half."""

    def append(self, path: Path) -> AppendFile: ...
    def rename(self, source: Path, target: Path) -> None:
        """Give a file or a folder its final name, durably."""

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""

    def list(self, folder: Path, pattern: str = "*") -> list[Path]: ...
    def exists(self, path: Path) -> bool: ...
    def make_folder(self, path: Path) -> None: ...


class LocalAppendFile:
    """An append-only file on a local disk; `sync` is `fdatasync`."""

    def __init__(self, path: Path) -> None:
        new = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if new:
            sync_folder(path.parent)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def close(self) -> None:
        os.close(self._fd)


class LocalFiles:
    """The local disk."""

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def write(self, path: Path, data: bytes) -> None:
        partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.partial")  # two writers never share one
        try:
            with partial.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            self.rename(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)  # what a full disk cut short
            raise

    def append(self, path: Path) -> AppendFile:
        return LocalAppendFile(path)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)
        sync_folder(target.parent)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def list(self, folder: Path, pattern: str = "*") -> list[Path]:
        return sorted(folder.glob(pattern))

    def exists(self, path: Path) -> bool:
        return path.exists()

    def make_folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)


def locked(file: IO[str], patience_seconds: float) -> bool:
    """Whether this process got the lock of an open file in so long. It holds it until the file is closed, or the process ends."""
    until = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)


def hold(path: Path, patience_seconds: float = 0.0) -> tuple[IO[str] | None, str]:
    """The lock of a file, with this process's id in it; or, where another process keeps it for so long, None and the id of that one."""
    lock = path.open("a+")
    if not locked(lock, patience_seconds):
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        return None, holder
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock, str(os.getpid())


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable (a renamed or new file is lost in a power cut without this)."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
