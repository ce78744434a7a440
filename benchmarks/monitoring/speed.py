"""How quickly windows are counted, beside the bare binning of the same rows in numpy, and whether memory stays flat."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.figure import Figure, Proof
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.profiles.profile import Profile, profile
from noria.serving.observe.live_profile import LiveProfile

ROUNDS = 7
BATCHES = 700  # a second, of 64 rows


def speed() -> Proof:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100_000, 70)).astype(np.float32)
    known = _reference(rows)
    ours = _median(lambda: known.statistics(rows))
    bare = _median(lambda: _bare(rows, known))
    yield f"# 100,000 rows of 70 columns: all ten statistics, relations and slices too, {ours:.3f} s; bare binning in numpy {bare:.3f} s"
    yield Figure("window_100k_by_70", ours, "s (two cores)", "<=", 0.25)
    yield Figure("against_bare_binning", bare / ours, "times the speed of numpy's searchsorted and bincount alone", ">=", 0.5)
    streamed = 64 * BATCHES / _median(_stream(rows[:, :50]))
    yield Figure("streamed_in_batches_of_64", streamed, "predictions of 50 features a second, in a worker's thread", ">=", 40_000)
    grown = [_memory(count) for count in (200_000, 2_000_000)]
    yield f"# greatest memory of a process that counts 200,000 rows {grown[0]:.0f} MB, 2,000,000 rows {grown[1]:.0f} MB"
    yield Figure("memory_growth", grown[1] - grown[0], "MB, from 200,000 rows to ten times as many", "<=", 5)


def _reference(rows: np.ndarray) -> Profile:
    names = tuple(f"c{i}" for i in range(rows.shape[1]))
    return profile(names, rows[:30_000], np.repeat(np.arange(60), 500))


def _stream(rows: np.ndarray) -> Callable[[], None]:
    """What a worker does with a second's predictions: keep each batch as it is answered, then sketch them all."""
    live = LiveProfile("", _reference(np.column_stack([rows, rows[:, 0]])), 64 * BATCHES, perf_counter)
    fields = Signature.of_numbers([f"c{i}" for i in range(rows.shape[1])])
    features = Rows.dense(fields.inputs, rows[:64].copy())
    predictions = Rows.dense(fields.outputs, rows[:64, :1].astype(np.float64))

    def second() -> None:
        for _ in range(BATCHES):
            live.saw(features, predictions)
        live.digest()

    return second


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
