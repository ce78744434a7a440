"""Runs the drift monitor over a stream, as the loop does: a reference profile, then window after window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.monitoring.streams import Change, Stream
from noria.data.profile import Profile, profile
from noria.monitoring.drift import read_drift
from noria.monitoring.windows import Window

START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Run:
    """What came of one stream: the windows at which there was an alarm, and the column that led the first."""

    windows: int
    alarms: list[int]
    first: str | None


def run(stream: Stream, reference: int, windows: int, level: float, change: Change | None = None) -> Run:
    """`reference` windows to learn from, then `windows` more, changed if there is a change; after an alarm it begins anew."""
    past = [stream.window() for _ in range(reference)]
    names = tuple(f"c{i}" for i in range(stream.columns))
    counts = [len(x) for x in past]
    known: Profile = profile(names, np.concatenate(past), np.repeat(np.arange(reference), counts))
    seen, rng = [], np.random.default_rng(stream.rng.integers(2**32))
    for i in range(windows):
        x = stream.window()
        x = x if change is None else change(x, i, rng)
        seen.append(Window(START + i * timedelta(days=1), "b", "champion", len(x), known.statistics(x), None))
    alarms, at, first = list[int](), 0, None
    while at < windows:
        reading = read_drift(known, seen[at:], level, lambda start: reference + (start - START).days)
        if reading.alarmed_at is None:
            break
        first = first or reading.leading(reading.alarmed_at)[0][0]
        at += reading.alarmed_at + 1
        alarms.append(at - 1)
    return Run(windows, alarms, first)
