"""Faults to inject: a file port whose n-th call fails."""

from __future__ import annotations

from pathlib import Path

from noria.core.files import AppendFile, LocalFiles


class Count:
    """Calls so far; the n-th raises."""

    def __init__(self, nth: int) -> None:
        self.left = nth
        self.failed = False

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.failed = True
            raise OSError(28, "No space left on device")


class FailingAppend:
    def __init__(self, inner: AppendFile, count: Count) -> None:
        self._inner, self._count = inner, count

    def write(self, data: bytes) -> None:
        try:
            self._count()
        except OSError:
            self._inner.write(data[: len(data) // 2])  # a full disk takes half
            raise
        self._inner.write(data)

    def sync(self) -> None:
        self._count()
        self._inner.sync()

    def size(self) -> int:
        return self._inner.size()

    def truncate(self, size: int) -> None:
        self._count()
        self._inner.truncate(size)

    def close(self) -> None:
        self._inner.close()


class FailingFiles(LocalFiles):
    """The local disk, of which the n-th write, sync or rename fails."""

    def __init__(self, nth: int) -> None:
        self._count = Count(nth)

    @property
    def failed(self) -> bool:
        return self._count.failed

    def append(self, path: Path) -> AppendFile:
        self._count()
        return FailingAppend(super().append(path), self._count)

    def write(self, path: Path, data: bytes) -> None:
        self._count()
        super().write(path, data)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)
