"""What a model prints goes to a logger, not among answers."""

from __future__ import annotations

import logging
import os
import threading

from noria.core.clock import Stopwatch

LINES_A_SECOND = 20  # that are logged of one model; what it prints beyond is counted
MAX_LINE = 2_000  # bytes
CHUNK = 1 << 16

logger = logging.getLogger("noria.model")
logger.setLevel(logging.INFO)  # what is printed is no warning, and is wanted all the same


class Printed:
    """Reads what a process prints until it ends, in a thread, and logs it line by line under a name."""

    def __init__(self, stream: int, name: str) -> None:
        self._stream, self._name = stream, name
        self._watch, self._logged, self._left_out = Stopwatch(), 0, 0
        self.last = ""
        self._thread = threading.Thread(target=self._read, name="printed", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until all that an ended process printed is read."""
        self._thread.join(seconds)

    def _read(self) -> None:
        rest = b""
        try:
            while data := os.read(self._stream, CHUNK):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(line)
                if len(rest) > MAX_LINE:
                    self._take(rest)
                    rest = b""
            self._take(rest)
        finally:
            os.close(self._stream)

    def _take(self, line: bytes) -> None:
        text = line[:MAX_LINE].decode("utf-8", "replace").strip()
        if not text:
            return
        self.last = text
        if self._watch.seconds >= 1.0:
            if self._left_out:
                logger.info("%s: … and %d more lines", self._name, self._left_out)
            self._watch, self._logged, self._left_out = Stopwatch(), 0, 0
        self._logged += 1
        if self._logged > LINES_A_SECOND:
            self._left_out += 1
        else:
            logger.info("%s: %s", self._name, text)
