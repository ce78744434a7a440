"""Series of counts in which nothing is wrong, and what may go wrong with them: false alarms a year, and what is told at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, Proof, most_a_year
from benchmarks.monitoring.streams import HOLIDAYS
from noria.core.calendar import DAILY, Calendar
from noria.monitoring.volume import VolumeDetector
from noria.statistics.e_detector import threshold_for

STREAMS = int(os.environ.get("STREAMS", "100"))
YEARS = int(os.environ.get("STREAM_YEARS", "200"))
START = datetime(2024, 1, 1, tzinfo=UTC)
YEAR, KNOWN, BUDGET, WITHIN = 365, 60, 0.5, 3
WEEK = np.array([1.0, 1.1, 1.2, 1.1, 1.3, 0.5, 0.4])

Floats = NDArray[np.float64]
Usual = Callable[[Floats, Floats, np.random.Generator], Floats]
"""How many rows are to be expected, from the day `(windows,)`, a week's rows `(windows,)` and chance."""


def _noise(by: float) -> Usual:
    return lambda day, week, rng: week * rng.lognormal(sigma=by, size=len(day))


def _autocorrelated(day: Floats, week: Floats, rng: np.random.Generator) -> Floats:
    level, fresh = np.zeros(len(day)), 0.11 * rng.normal(size=len(day))
    for i in range(1, len(day)):
        level[i] = 0.7 * level[i - 1] + fresh[i]
    return np.asarray(week * np.exp(level))


def _steady(how: Callable[[Floats], Floats]) -> Usual:
    return lambda day, week, rng: week * how(day) * rng.lognormal(sigma=0.08, size=len(day))


QUIET: dict[str, Usual] = {
    "noise of 3 %": _noise(0.03),
    "noise of 8 %": _noise(0.08),
    "noise of 20 %": _noise(0.2),
    "noise of 40 %": _noise(0.4),
    "heavy tails (t3), 10 %": lambda day, week, rng: week * np.exp(0.1 * rng.standard_t(3, len(day)) / np.sqrt(3)),
    "heavy tails (t3), 20 %": lambda day, week, rng: week * np.exp(0.2 * rng.standard_t(3, len(day)) / np.sqrt(3)),
    "autocorrelated 0.7": _autocorrelated,
    "a random walk": lambda day, week, rng: week * np.exp(np.cumsum(0.03 * rng.normal(size=len(day)))),
    "ten times as many after a year": _steady(lambda day: 10 ** (day / YEAR)),
    "half as many after a year": _steady(lambda day: 0.5 ** (day / YEAR)),
    "summer and winter": _steady(lambda day: np.exp(0.5 * np.sin(2 * np.pi * day / YEAR))),
    "rest at weekends": _steady(lambda day: np.where(day % 7 < 5, 1.0, 0.0)),
    "holidays of six tenths": _steady(lambda day: np.where(np.isin(day % YEAR, HOLIDAYS), 0.6, 1.0)),
    "twenty a day": lambda day, week, rng: week / 40,  # noqa: ARG005
    "three a day": lambda day, week, rng: np.full(len(day), 3.0),  # noqa: ARG005
    "always the same": lambda day, week, rng: np.full(len(day), np.nan),  # noqa: ARG005
}
CHANGED = ("noise of 8 %", "autocorrelated 0.7", "ten times as many after a year", "summer and winter", "rest at weekends")


def volumes(pool: ProcessPoolExecutor) -> Proof:
    """Figures of daily series, and of hourly ones."""
    yield f"# volumes: {KNOWN} days known, a budget of {BUDGET} a year, {YEARS} stream-years each"
    worst = 0.0
    for kind in QUIET:
        alarms = sum(pool.map(_false_alarms, [kind] * YEARS, range(YEARS), chunksize=5))
        worst = max(worst, most_a_year(alarms, YEARS) / BUDGET)
        yield f"# {kind}: {alarms / YEARS:.2f} a year"
    yield Figure("false_alarms_of_budget: volumes of days", worst, "times the budget, upper 95 % bound, worst kind", "<=", 1)
    hourly = sum(pool.map(_hourly_alarms, range(STREAMS), chunksize=5))
    yield Figure(
        "false_alarms_of_budget: volumes of hours", most_a_year(hourly, STREAMS / 4) / BUDGET, "times the budget, upper 95 % bound", "<=", 1
    )
    for times, goal in ((0.0, 0.99), (0.2, 0.99), (6.0, 0.99), (0.5, None), (2.0, None)):
        for kind in CHANGED:
            days = list(pool.map(_told_after, [kind] * STREAMS, [times] * STREAMS, range(STREAMS), chunksize=5))
            first, soon = (sum(day is not None and day < within for day in days) / STREAMS for within in (1, WITHIN))
            if goal is not None:
                yield Figure(f"told: {times:g} times the rows, {kind}", first, "of series, in the first window", ">=", goal)
            else:
                yield f"# {times:g} times the rows, {kind}: told in the first window in {first:.0%}, within {WITHIN} in {soon:.0%}"


def _counts(kind: str, seed: int, windows: int) -> NDArray[np.int64]:
    rng, day = np.random.default_rng([41, list(QUIET).index(kind), seed]), np.arange(float(windows))
    expected = QUIET[kind](day, 800 * WEEK[day.astype(int) % 7], rng)
    return np.where(np.isnan(expected), 1000, rng.poisson(np.nan_to_num(expected)))


def _told(counts: NDArray[np.int64], calendar: Calendar, tick: timedelta) -> list[int]:
    """The windows that stand out."""
    detector = VolumeDetector("rows", threshold_for(alarms_per_year=BUDGET, windows_per_year=calendar.year or YEAR), calendar)
    detector.add((START + i * tick, count) for i, count in enumerate(counts.tolist()))
    return [(unusual.start - START) // tick for unusual in detector.reading().unusual]


def _false_alarms(kind: str, seed: int) -> int:
    """Of a year, each run of windows once."""
    told = {i for i in _told(_counts(kind, seed, KNOWN + YEAR), DAILY, timedelta(days=1)) if i >= KNOWN}
    return sum(i - 1 not in told for i in told)


def _hourly_alarms(seed: int) -> int:
    """Of a quarter of a year, after five weeks: ten times as many rows at noon as at midnight, and half as many at weekends."""
    rng, tick, known = np.random.default_rng([43, seed]), timedelta(hours=1), 35 * 24
    hour = np.arange(known + 91 * 24)
    usual = 400 * 10 ** -np.cos(2 * np.pi * (hour % 24) / 24) * np.where(hour // 24 % 7 < 5, 1.0, 0.5)
    counts = rng.poisson(usual * rng.lognormal(sigma=0.08, size=len(hour)))
    told = {i for i in _told(counts, Calendar(tick), tick) if i >= known}
    return sum(i - 1 not in told for i in told)


def _told_after(kind: str, times: float, seed: int) -> int | None:
    """So many windows after a Wednesday three hundred days on; None if it is not told within a week."""
    at = 302
    counts = _counts(kind, seed, at + 7)
    counts[at:] = (counts[at:] * times).astype(int)
    return next((i - at for i in _told(counts, DAILY, timedelta(days=1)) if i >= at), None)
