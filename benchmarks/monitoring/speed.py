"""How quickly windows are counted, beside the bare binning of the same rows in numpy, and whether memory stays flat."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.figure import Figure, Proof
from noria.data.profile import Profile, profile

ROUNDS = 7


def speed() -> Proof:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100_000, 70)).astype(np.float32)
    known = _reference(rows)
    ours = _median(lambda: known.statistics(rows))
    bare = _median(lambda: _bare(rows, known))
    yield f"# 100,000 rows of 70 columns: all ten statistics, relations and slices too, {ours:.3f} s; bare binning in numpy {bare:.3f} s"
    yield Figure("window_100k_by_70", ours, "s (two cores)", "<=", 0.25)
    yield Figure("against_bare_binning", bare / ours, "times the speed of numpy's searchsorted and bincount alone", ">=", 0.5)
    known = _reference(rows[:, :50])
    batch = rows[:64, :50].copy()
    sketch = known.sketch()
    seconds = _median(lambda: [sketch.add(batch) for _ in range(500)])
    yield Figure("streamed_in_batches_of_64", 32_000 / seconds, "predictions of 50 features a second, on one core", ">=", 40_000)
    grown = [_memory(count) for count in (200_000, 2_000_000)]
    yield f"# greatest memory of a process that counts 200,000 rows {grown[0]:.0f} MB, 2,000,000 rows {grown[1]:.0f} MB"
    yield Figure("memory_growth", grown[1] - grown[0], "MB, from 200,000 rows to ten times as many", "<=", 5)


def _reference(rows: np.ndarray) -> Profile:
    names = tuple(f"c{i}" for i in range(rows.shape[1]))
    return profile(names, rows[:30_000], np.repeat(np.arange(60), 500))


def _bare(rows: np.ndarray, known: Profile) -> None:
    for i, column in enumerate(known.columns):
        np.bincount(
            np.searchsorted(column.summary.edges.astype(np.float32), rows[:, i], side="right"), minlength=len(column.summary.counts)
        )


def _median(work) -> float:  # type: ignore[no-untyped-def]
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return median(times)


def _memory(rows: int) -> float:
    """The greatest memory (MB) of a process that counts so many rows, drawn as it goes."""
    code = f"from benchmarks.monitoring.speed import count_rows; count_rows({rows})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."})
    return float(done.stdout)


def count_rows(rows: int) -> None:
    rng = np.random.default_rng(1)
    known = _reference(rng.normal(size=(30_000, 20)).astype(np.float32))
    sketch = known.sketch()
    for _ in range(rows // 10_000):
        sketch.add(rng.normal(size=(10_000, 20)).astype(np.float32))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
