"""A worker that stands still for ever when it first writes a prediction: its event loop waits for a disk that does not answer.

`python standing_worker.py SOCKET`
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from noria.core.files import AppendFile, LocalAppendFile, LocalFiles
from noria.serving.process.worker import run_worker

HEAD_BYTES = 8  # of a segment, written when it is opened


class Standing(LocalAppendFile):
    def write(self, data: bytes) -> None:
        if len(data) > HEAD_BYTES:
            time.sleep(3600)
        super().write(data)


class StandingFiles(LocalFiles):
    def append(self, path: Path) -> AppendFile:
        return Standing(path)


if __name__ == "__main__":
    run_worker(int(sys.argv[1]), files=StandingFiles())
