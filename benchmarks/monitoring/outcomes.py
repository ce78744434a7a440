"""What only outcomes show: a changed relation and shifted labels, found, told apart, and not blamed on inputs."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from statistics import median

import numpy as np
from scipy.special import expit

from benchmarks.figure import Figure, Proof, most_a_year
from noria.core.calendar import DAY, Calendar
from noria.core.clock import EPOCH
from noria.evaluation.binary import Binary
from noria.evaluation.performance import Performance, measure
from noria.monitoring.drift import DriftDetector
from noria.monitoring.monitor import Tolerance
from noria.monitoring.performance import read_performance
from noria.monitoring.windows import Window
from noria.profiles.profile import profile
from noria.statistics.e_detector import threshold_for

STREAMS = int(os.environ.get("STREAMS", "100"))
YEARS = int(os.environ.get("STREAM_YEARS", "200"))
BINARY = Binary()
START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS, BASELINE, BEFORE, AFTER, YEAR = 500, 28, 10, 20, 365
WEIGHTS = np.array([1.2, -0.8, 0.5, 0.3, 0.0])
WITHIN = 10
BUDGET = 1.0  # false alarms a year, of each metric


def outcomes(pool: ProcessPoolExecutor) -> Proof:
    for name, metric, words in (
        ("concept drift", "log_loss", "a changed relation"),
        ("a weaker relation", "auc", "a changed relation"),
        ("label shift", "calibration", "label shift"),
    ):
        runs = list(pool.map(_changed, [name] * STREAMS, [metric] * STREAMS, range(STREAMS), chunksize=4))
        delays = [delay for delay, _, _ in runs if delay is not None]
        found = sum(delay <= WITHIN for delay in delays) / STREAMS
        told = sum(looks.startswith(words) for _, looks, _ in runs) / STREAMS
        blamed = sum(drifting for _, _, drifting in runs) / STREAMS
        yield f"# {name}: found in {len(delays)} of {STREAMS}, after {median(delays) if delays else 'never'} windows (median)"
        yield Figure(f"found: {name}", found, f"within {WITHIN} windows of matured outcomes", ">=", 0.95)
        yield Figure(f"told apart: {name}", told, f"of streams called {words!r}", ">=", 0.95)
        yield Figure(f"blamed on inputs: {name}", blamed, "of streams", "<=", 0.02)
    for metric in ("log_loss", "error_rate", "auc", "calibration"):
        alarms = sum(pool.map(_quiet, [metric] * YEARS, range(YEARS), chunksize=4))
        bound = most_a_year(alarms, YEARS)
        yield f"# {metric}, nothing wrong: {alarms} alarms in {YEARS} years"
        yield Figure(f"false_alarms_of_budget: {metric}", bound / BUDGET, "times the budget, upper 95 % bound", "<=", 1)


def _days(rng: np.random.Generator, count: int, *, turned: float = 1.0, offset: float = 0.0) -> list[tuple[np.ndarray, Performance]]:
    """Inputs, and predictions against outcomes, of each day; days differ by themselves in how often the outcome comes about."""
    found = []
    for _ in range(count):
        x = rng.normal(size=(ROWS, len(WEIGHTS)))
        p = expit(x @ WEIGHTS - 1.0)
        true = expit(turned * (x @ WEIGHTS) - 1.0 + offset + 0.1 * rng.normal())
        found.append((np.column_stack([x, p]), measure(BINARY, (rng.random(ROWS) < true).astype(float), p)))
    return found


def _changed(name: str, metric: str, seed: int) -> tuple[int | None, str, bool]:
    rng = np.random.default_rng([23, seed])
    baseline, before = _days(rng, BASELINE), _days(rng, BEFORE)
    changed = {"concept drift": {"turned": 0.1}, "a weaker relation": {"turned": 0.5}, "label shift": {"offset": 0.9}}
    after = _days(rng, AFTER, **changed[name])
    windows = windows_of_days([p for _, p in [*before, *after]])
    threshold = threshold_for(alarms_per_year=BUDGET, windows_per_year=YEAR)
    reading = read_performance(BINARY, Tolerance(metric, by=0.03), [p for _, p in baseline], windows, threshold)
    at = reading.alarmed_at
    known = profile(tuple(f"c{i}" for i in range(6)), np.concatenate([x for x, _ in baseline]), np.repeat(np.arange(BASELINE), ROWS))
    detector = DriftDetector(known, threshold, Calendar(DAY, START - EPOCH - BASELINE * DAY))
    detector.add(Window(w.start, "", "", ROWS, known.statistics(x), None) for w, (x, _) in zip(windows, [*before, *after], strict=True))
    drifting = detector.reading().alarmed_at is not None
    return None if at is None or at < BEFORE else at - BEFORE + 1, reading.looks_like(inputs_moved=False), drifting


def _quiet(metric: str, seed: int) -> int:
    rng = np.random.default_rng([29, seed])
    windows = windows_of_days([p for _, p in _days(rng, YEAR)])
    threshold = threshold_for(alarms_per_year=BUDGET, windows_per_year=YEAR)
    reading = read_performance(BINARY, Tolerance(metric, by=0.03), [p for _, p in _days(rng, BASELINE)], windows, threshold)
    return int(reading.alarmed_at is not None)


def windows_of_days(days: list[Performance]) -> list[Window]:
    return [Window(START + i * timedelta(days=1), "b", "champion", p.rows, None, p) for i, p in enumerate(days)]
