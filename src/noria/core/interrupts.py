"""Being told to stop: Ctrl-C and SIGTERM raise in the main thread, so that every `finally` runs, and are remembered.

Remembered, because libraries turn a KeyboardInterrupt into errors of their own (DuckDB: `RuntimeError: Query interrupted`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM came: by itself it would end the process where it stands, or, as a container's first process, do nothing at all."""


@dataclass
class Heard:
    """Which signal came, if one did."""

    number: int | None = None


@contextmanager
def listening() -> Iterator[Heard]:
    """Raise KeyboardInterrupt where Ctrl-C comes within, and `Terminated` where SIGTERM does. A second one ends the process at once.

    Only for the main thread. Children that are forked within keep the system's defaults: they end without a word.
    """
    heard, ours = Heard(), os.getpid()

    def hear(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != ours:
            os.kill(os.getpid(), number)
            return
        heard.number = number
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    listened = [number for number, handler in before.items() if handler is not signal.SIG_IGN]  # shells have jobs behind ignore Ctrl-C
    for number in listened:
        signal.signal(number, hear)
    try:
        yield heard
    finally:
        for number in listened:
            signal.signal(number, before[number] or signal.SIG_DFL)
