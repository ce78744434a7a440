"""Runs the drift monitor over a stream, as the loop does: a reference profile, then window after window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.monitoring.streams import Change, Stream
from noria.core.calendar import DAILY, DAY, Calendar
from noria.monitoring.drift import DriftDetector, read_drift
from noria.monitoring.drift_reading import DriftReading
from noria.monitoring.windows import Window
from noria.profiles.profile import Profile, profile


@dataclass(frozen=True)
class Run:
    """What came of one stream: the windows at which there was an alarm, and the column that led the first."""

    windows: int
    alarms: list[int]
    first: str | None


def run(stream: Stream, reference: int, windows: int, threshold: float, change: Change | None = None) -> Run:
    """`reference` windows to learn from, then `windows` more, changed if there is a change."""
    return run_at(stream, reference, windows, [threshold], change)[0]


def run_at(
    stream: Stream, reference: int, windows: int, thresholds: Sequence[float], change: Change | None = None, rolling: int | None = None
) -> list[Run]:
    """The same stream at several levels. rolling: windows of a rolling baseline, if it is one"""
    return _judge(*_drawn(stream, reference, windows, change), thresholds, rolling, Calendar(DAY / stream.a_day))


def read_run(
    stream: Stream, reference: int, windows: int, threshold: float, change: Change | None = None, rolling: int | None = None
) -> DriftReading:
    """What the detector says at the end of a stream, having never begun anew."""
    past, since = _drawn(stream, reference, windows, change)
    known = _profile(past)
    return read_drift(known, (_window(known, DAILY, i, x) for i, x in enumerate(since)), threshold, rolling=rolling)


def _drawn(stream: Stream, reference: int, windows: int, change: Change | None) -> tuple[list[np.ndarray], Iterator[np.ndarray]]:
    past = [stream.window() for _ in range(reference)]
    rng = np.random.default_rng(stream.rng.integers(2**32))
    return past, (stream.window() if change is None else change(stream.window(), i, rng) for i in range(windows))


def run_windows(past: Sequence[np.ndarray], since: Iterable[np.ndarray], threshold: float) -> Run:
    """Judge windows `since` against those before."""
    return _judge(past, since, [threshold])[0]


def _profile(past: Sequence[np.ndarray]) -> Profile:
    names = tuple(f"c{i}" for i in range(past[0].shape[1]))
    return profile(names, np.concatenate(past), np.repeat(np.arange(len(past)), [len(x) for x in past]))


def _detector(known: Profile, threshold: float, rolling: int | None, calendar: Calendar) -> DriftDetector:
    return DriftDetector(known, threshold, calendar, rolling=rolling)


def _window(known: Profile, calendar: Calendar, i: int, x: np.ndarray) -> Window:
    return Window(calendar.start(len(known.windows) + i), "b", "champion", len(x), known.statistics(x), None)


def _judge(
    past: Sequence[np.ndarray],
    since: Iterable[np.ndarray],
    thresholds: Sequence[float],
    rolling: int | None = None,
    calendar: Calendar = DAILY,
) -> list[Run]:
    """Every window is counted once; after an alarm, the detector of that level begins anew."""
    known = _profile(past)
    detectors = [_detector(known, threshold, rolling, calendar) for threshold in thresholds]
    alarms: list[list[int]] = [[] for _ in thresholds]
    first: list[str | None] = [None] * len(thresholds)
    count = 0
    for i, x in enumerate(since):
        window = _window(known, calendar, i, x)
        count += 1
        for place, threshold in enumerate(thresholds):
            detectors[place].add([window])
            leading = detectors[place].alarms()
            if leading is not None:
                first[place] = first[place] or leading
                alarms[place].append(i)
                detectors[place] = _detector(known, threshold, rolling, calendar)
    return [Run(count, found, leading) for found, leading in zip(alarms, first, strict=True)]
