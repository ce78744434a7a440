"""Runs the drift monitor over a stream, as the loop does: a reference profile, then window after window."""

from __future__ import annotations

from collections.abc import Sequence
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
    past = [stream.window() for _ in range(reference)]
    rng = np.random.default_rng(stream.rng.integers(2**32))
    since = (stream.window() if change is None else change(stream.window(), i, rng) for i in range(windows))
    return run_windows(past, since, level)


def run_windows(past: Sequence[np.ndarray], since, level: float) -> Run:  # type: ignore[no-untyped-def]
    """Judge windows `since` against those before; after an alarm the detector begins anew."""
    names = tuple(f"c{i}" for i in range(past[0].shape[1]))
    known = profile(names, np.concatenate(past), np.repeat(np.arange(len(past)), [len(x) for x in past]))

    def fresh() -> DriftDetector:
        return DriftDetector(known, level, lambda start: len(past) + (start - START).days)

    detector, alarms, first, count = fresh(), list[int](), None, 0
    for i, x in enumerate(since):
        detector.add([Window(START + i * timedelta(days=1), "b", "champion", len(x), known.statistics(x), None)])
        count += 1
        leading = detector.alarms()
        if leading is not None:
            first = first or leading
            alarms.append(i)
            detector = fresh()
    return Run(count, alarms, first)
