"""Runs the drift monitor over a stream, as the loop does: a reference profile, then window after window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.monitoring.streams import Change, Stream
from noria.data.profile import profile
from noria.monitoring.drift import DriftDetector
from noria.monitoring.windows import Window

START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Run:
    """What came of one stream: the windows at which there was an alarm, and the column that led the first."""

    windows: int
    alarms: list[int]
    first: str | None


def run(stream: Stream, reference: int, windows: int, level: float, change: Change | None = None) -> Run:
    """`reference` windows to learn from, then `windows` more, changed if there is a change."""
    return run_at(stream, reference, windows, [level], change)[0]


def run_at(stream: Stream, reference: int, windows: int, levels: Sequence[float], change: Change | None = None) -> list[Run]:
    """The same stream at several levels."""
    past = [stream.window() for _ in range(reference)]
    rng = np.random.default_rng(stream.rng.integers(2**32))
    since = (stream.window() if change is None else change(stream.window(), i, rng) for i in range(windows))
    return _judge(past, since, levels)


def run_windows(past: Sequence[np.ndarray], since: Iterable[np.ndarray], level: float) -> Run:
    """Judge windows `since` against those before."""
    return _judge(past, since, [level])[0]


def _judge(past: Sequence[np.ndarray], since: Iterable[np.ndarray], levels: Sequence[float]) -> list[Run]:
    """Every window is counted once; after an alarm, the detector of that level begins anew."""
    names = tuple(f"c{i}" for i in range(past[0].shape[1]))
    known = profile(names, np.concatenate(past), np.repeat(np.arange(len(past)), [len(x) for x in past]))

    def fresh(level: float) -> DriftDetector:
        return DriftDetector(known, level, lambda start: len(past) + (start - START).days)

    detectors = [fresh(level) for level in levels]
    alarms: list[list[int]] = [[] for _ in levels]
    first: list[str | None] = [None] * len(levels)
    count = 0
    for i, x in enumerate(since):
        window = Window(START + i * timedelta(days=1), "b", "champion", len(x), known.statistics(x), None)
        count += 1
        for place, level in enumerate(levels):
            detectors[place].add([window])
            leading = detectors[place].alarms()
            if leading is not None:
                first[place] = first[place] or leading
                alarms[place].append(i)
                detectors[place] = fresh(level)
    return [Run(count, found, leading) for found, leading in zip(alarms, first, strict=True)]
