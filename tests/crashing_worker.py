"""A worker that kills itself around its n-th write or sync: before it, in its middle (half is written), or after it.

`python crashing_worker.py SEED SOCKET`; n and the place are drawn from the seed and the process's number.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

from noria.core.files import AppendFile, LocalFiles
from noria.serving.process.worker import run_worker


class Crash:
    def __init__(self, rng: random.Random) -> None:
        self.left, self.place = rng.randrange(1, 400), rng.choice(("before", "middle", "after"))

    def __call__(self) -> str | None:
        self.left -= 1
        return self.place if self.left == 0 else None


class CrashingAppend:
    def __init__(self, inner: AppendFile, crash: Crash) -> None:
        self._inner, self._crash = inner, crash

    def write(self, data: bytes) -> None:
        place = self._crash()
        if place == "before":
            die()
        if place == "middle":
            self._inner.write(data[: len(data) // 2])
            die()
        self._inner.write(data)
        if place == "after":
            die()

    def sync(self) -> None:
        place = self._crash()
        if place is not None and place != "after":
            die()
        self._inner.sync()
        if place == "after":
            die()

    def size(self) -> int:
        return self._inner.size()

    def truncate(self, size: int) -> None:
        self._inner.truncate(size)

    def close(self) -> None:
        self._inner.close()


class CrashingFiles(LocalFiles):
    def __init__(self, crash: Crash) -> None:
        self._crash = crash

    def append(self, path: Path) -> AppendFile:
        return CrashingAppend(super().append(path), self._crash)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run_worker(int(sys.argv[2]), files=CrashingFiles(Crash(random.Random(f"{sys.argv[1]} {os.getpid()}"))))
