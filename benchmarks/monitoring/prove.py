"""Drift monitoring on streams with known truth: false alarms a year where nothing is wrong, and how soon what is wrong is found.

`STREAM_YEARS` of each quiet kind; by the number of alarms the upper 95 % Poisson bound is printed and judged. "Always alarm" and "never
alarm" stand in the table, since by many a score the one beats a good detector and by many another the other does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks.figure import Figure, Proof, most_a_year
from benchmarks.monitoring.coverage import coverage
from benchmarks.monitoring.detector import Run, read_run, run, run_at
from benchmarks.monitoring.exported import exported
from benchmarks.monitoring.outcomes import outcomes
from benchmarks.monitoring.peers import peers
from benchmarks.monitoring.ranked import ranked
from benchmarks.monitoring.real import real
from benchmarks.monitoring.silent import silent
from benchmarks.monitoring.speed import speed
from benchmarks.monitoring.streams import BY_SIZE, COLUMNS, FAULTS, QUIET, Change, Stream
from benchmarks.monitoring.unprepared import unprepared
from benchmarks.monitoring.volumes import volumes
from benchmarks.monitoring.words import words
from noria.monitoring.findings import episodes
from noria.statistics.e_detector import threshold_for

YEAR = 365
REFERENCE = 60
BUDGETS = (1.0, 2.0, 12.0)
ROLLING_BUDGET = 2.0
SOON, LATER = 3, 30  # windows, by which changes of several sizes are looked for
HOURLY_PATIENCE = 4  # times as many windows, when they are hours and not days
SUDDEN = (
    "half a standard deviation",
    "two, in a tenth of the rows",
    "spread times 1.4",
    "a new correlation",
    "a category mix changed by 15 %",
)
STREAM_YEARS = int(os.environ.get("STREAM_YEARS", "200"))
STREAMS = int(os.environ.get("STREAMS", "100"))


def prove() -> Proof:
    yield from speed()
    with ProcessPoolExecutor(2) as pool:
        yield from quiet(pool, REFERENCE)
        yield from quiet(pool, 20, kinds=("independent", "autocorrelated 0.7", "weekly season"))
        yield from by_hour(pool)
        yield from rolling(pool)
        yield from wide(pool)
        yield from faults(pool, REFERENCE)
        yield from faults(pool, 20, SUDDEN)
        yield from by_size(pool)
        yield from outcomes(pool)
        yield from ranked(pool)
        yield from words(pool)
        yield from volumes(pool)
    yield from coverage()
    yield from real()
    yield from unprepared()
    yield from silent()
    yield from exported()
    yield from peers()


def quiet(pool: ProcessPoolExecutor, reference: int, kinds: Sequence[str] = QUIET) -> Proof:
    """False alarms a year at each budget."""
    yield f"# {reference} reference windows; false alarms a year (upper 95 % bound) at budgets of 1, 2 and 12; always alarm 365, never 0"
    worst = 0.0
    for kind in kinds:
        years = pool.map(_quiet, [kind] * STREAM_YEARS, range(STREAM_YEARS), [reference] * STREAM_YEARS, chunksize=4)
        told, of_budget = _against_budgets(list(years))
        worst = max(worst, of_budget)
        yield f"# {kind}: {told}"
    yield Figure(f"false_alarms_of_budget_{reference}_windows", worst, "times the budget, upper bound, worst kind and budget", "<=", 1)


def _against_budgets(years: Sequence[list[Run]]) -> tuple[str, float]:
    """The alarms a year at each budget with their upper bounds, in words, and the worst bound in budgets."""
    told, worst = [], 0.0
    for place, budget in enumerate(BUDGETS):
        alarms = sum(len(runs[place].alarms) for runs in years)
        bound = most_a_year(alarms, len(years))
        worst = max(worst, bound / budget)
        told.append(f"{alarms / len(years):.2f} ({bound:.2f})")
    return ", ".join(told), worst


def rolling(pool: ProcessPoolExecutor) -> Proof:
    """A rolling baseline keeps the budget as well, tells a change that stays once, and counts it as usual afterwards."""
    worst = 0.0
    for kind in ("independent", "autocorrelated 0.7", "weekly season"):
        alarms = sum(pool.map(_rolling, [kind] * STREAM_YEARS, range(STREAM_YEARS), chunksize=4))
        bound = most_a_year(alarms, STREAM_YEARS)
        worst = max(worst, bound / ROLLING_BUDGET)
        yield f"# rolling baseline of {REFERENCE} windows, {kind}: {alarms} alarms in {STREAM_YEARS} years"
    yield Figure("false_alarms_of_budget_rolling_baseline", worst, "times the budget, upper bound, worst kind", "<=", 1)
    told = list(pool.map(_stays, range(STREAMS)))
    yield Figure("rolling, a change that stays: told", sum(t.in_time for t in told) / STREAMS, "within 3 windows", ">=", 0.98)
    over = sum(t.over for t in told) / STREAMS
    yield Figure("rolling, a change that stays: over", over, f"within {2 * REFERENCE} windows, once and for all", ">=", 0.95)


def by_hour(pool: ProcessPoolExecutor) -> Proof:
    """Windows of parts of a day, whose levels swing with the hour and the week, less so at weekends."""
    told, worst = _against_budgets(list(pool.map(_quarters, range(STREAM_YEARS), chunksize=4)))
    yield f"# windows of six hours, hourly and weekly season, 60 reference windows: {told}"
    yield Figure("false_alarms_of_budget_windows_of_six_hours", worst, "times the budget, upper bound, worst budget", "<=", 1)
    for name in SUDDEN:
        fault = next(f for f in FAULTS if f.name == name)
        runs = list(pool.map(_hourly, [name] * STREAMS, range(STREAMS), chunksize=4))
        delays = [r.alarms[0] + 1 for r in runs if r.alarms]
        within = fault.within * HOURLY_PATIENCE
        middle = f"{median(delays):g}" if delays else "never"
        yield f"# hourly, {name}: found in {len(delays)} of {STREAMS}, after {middle} windows (median)"
        found = sum(delay <= within for delay in delays) / STREAMS
        if name == "a new correlation":  # the swing of the day is itself a correlation of all columns, and hides some of it
            yield f"# hourly, {name}: {found:.0%} within {within} windows; not judged"
        else:
            yield Figure(f"found, hourly: {name}", found, f"within {within} windows, half a day", ">=", fault.share)


def wide(pool: ProcessPoolExecutor) -> Proof:
    """Many columns keep the same budget."""
    for columns, years in ((70, max(STREAM_YEARS // 5, 2)), (500, max(STREAM_YEARS // 25, 2))):
        given = [(seed, columns) for seed in range(years)]
        alarms = sum(len(r.alarms) for r in pool.map(_wide, *zip(*given, strict=True)))
        bound = most_a_year(alarms, years)
        yield f"# {columns} columns, budget 2 a year: {alarms} alarms in {years} years"
        yield Figure(f"false_alarms_of_budget_{columns}_columns", bound / 2, "times the budget, upper bound", "<=", 1)


def faults(pool: ProcessPoolExecutor, reference: int, names: Sequence[str] | None = None) -> Proof:
    """How many of a hundred streams are alarmed on in time, and whether the right column leads."""
    yield f"# {reference} reference windows; recall within so many windows beside always alarm (1) and never alarm (0)"
    for fault in FAULTS:
        if names is not None and fault.name not in names:
            continue
        numbers = range(STREAMS)
        runs = list(pool.map(_faulty, [fault.name] * STREAMS, numbers, [reference] * STREAMS, chunksize=4))
        delays = [r.alarms[0] + 1 for r in runs if r.alarms]
        named = sum(r.first is not None and r.first in ("c0", "c1", "c2", f"c{COLUMNS - 1}") for r in runs)
        within = fault.within if reference == REFERENCE else 2 * fault.within
        found = sum(delay <= within for delay in delays)
        middle = f"{median(delays):g}" if delays else "never"
        yield f"# {fault.name}: found in {len(delays)} of {STREAMS}, after {middle} windows (median); led by a column at fault in {named}"
        name = f"found: {fault.name}" + ("" if reference == REFERENCE else f", {reference} windows")
        yield Figure(name, found / STREAMS, f"within {within} windows (always alarm 1, never 0)", ">=", fault.share)


def by_size(pool: ProcessPoolExecutor) -> Proof:
    """How many of the changes of each size are found; none is judged: the small ones are no effect."""
    yield f"# {REFERENCE} reference windows, budget 2 a year; found within {SOON} windows, and within {LATER}, by size"
    for kind, (_, sizes) in BY_SIZE.items():
        for size in sizes:
            first = list(pool.map(_first_of_size, [kind] * STREAMS, [size] * STREAMS, range(STREAMS), chunksize=4))
            soon, later = (sum(at < within for at in first) / STREAMS for within in (SOON, LATER))
            yield f"# {kind.format(size)}: {soon:.0%}, {later:.0%} (always alarm 100 %, 100 %; never 0 %, 0 %)"


def _quiet(kind: str, seed: int, reference: int) -> list[Run]:
    thresholds = [threshold_for(alarms_per_year=budget, windows_per_year=YEAR) for budget in BUDGETS]
    return run_at(Stream(kind, np.random.default_rng([7, seed]), columns=COLUMNS), reference, YEAR, thresholds)


def _quarters(seed: int) -> list[Run]:
    thresholds = [threshold_for(alarms_per_year=budget, windows_per_year=4 * YEAR) for budget in BUDGETS]
    stream = Stream("hourly and weekly season", np.random.default_rng([7, seed]), columns=COLUMNS, a_day=4)
    return run_at(stream, REFERENCE, 4 * YEAR, thresholds)


def _hourly(name: str, seed: int) -> Run:
    fault = next(f for f in FAULTS if f.name == name)
    threshold = threshold_for(alarms_per_year=2.0, windows_per_year=24 * YEAR)
    stream = Stream("hourly and weekly season", np.random.default_rng([11, seed]), a_day=24)
    return run(stream, 4 * 7 * 24, HOURLY_PATIENCE * fault.within + 5, threshold, fault.change)


def _rolling(kind: str, seed: int) -> int:
    threshold = threshold_for(alarms_per_year=ROLLING_BUDGET, windows_per_year=YEAR)
    stream = Stream(kind, np.random.default_rng([17, seed]), columns=COLUMNS)
    return len(run_at(stream, REFERENCE, YEAR, [threshold], rolling=REFERENCE)[0].alarms)


class _Told(NamedTuple):
    in_time: bool
    over: bool


def _stays(seed: int) -> _Told:
    """A shift of half a standard deviation that stays."""
    threshold = threshold_for(alarms_per_year=ROLLING_BUDGET, windows_per_year=YEAR)
    change = next(f for f in FAULTS if f.name == "half a standard deviation").change
    stream = Stream("independent", np.random.default_rng([19, seed]))
    reading = read_run(stream, REFERENCE, 3 * REFERENCE, threshold, change, rolling=REFERENCE)
    told = episodes(reading.pooled, reading.threshold)
    return _Told(bool(told) and told[0][0] < 3, len(told) == 1 and told[0][1] < 2 * REFERENCE)


def _wide(seed: int, columns: int) -> Run:
    threshold = threshold_for(alarms_per_year=2.0, windows_per_year=YEAR)
    return run(Stream("independent", np.random.default_rng([13, seed]), columns=columns), REFERENCE, YEAR, threshold)


def _faulty(name: str, seed: int, reference: int) -> Run:
    fault = next(f for f in FAULTS if f.name == name)
    return _changed(fault.change, seed, reference, 2 * fault.within + 5)


def _first_of_size(kind: str, size: float, seed: int) -> int:
    """The first window at which there is an alarm; `LATER` if there is none."""
    change, _ = BY_SIZE[kind]
    found = _changed(change(size), seed, REFERENCE, LATER)
    return found.alarms[0] if found.alarms else LATER


def _changed(change: Change, seed: int, reference: int, windows: int) -> Run:
    """A stream with a change, at a budget of 2 a year."""
    threshold = threshold_for(alarms_per_year=2.0, windows_per_year=YEAR)
    return run(Stream("independent", np.random.default_rng([11, seed])), reference, windows, threshold, change)
