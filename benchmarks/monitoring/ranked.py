"""Means over groups: false alarms of rankings of which nothing is wrong, and how soon a relation that has weakened is found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import numpy as np

from benchmarks.figure import Figure, Proof, most_a_year
from benchmarks.monitoring.outcomes import AFTER, BASELINE, BEFORE, BUDGET, WITHIN, YEAR, windows_of_days
from noria.evaluation.performance import Performance, measure
from noria.evaluation.ranking import Ranking
from noria.monitoring.monitor import Tolerance
from noria.monitoring.performance import PerformanceReading, read_performance
from noria.statistics.e_detector import threshold_for

STREAMS = int(os.environ.get("STREAMS", "100"))
YEARS = int(os.environ.get("STREAM_YEARS", "200"))
RANKING = Ranking(group="query", at=5)
METRICS = ("ndcg_at_5", "mrr", "recall_at_5", "group_rank_correlation")
QUERIES, FEW, CANDIDATES = 60, 10, 8  # of a day; in every fourth query nothing is relevant
BY = 0.03


def ranked(pool: ProcessPoolExecutor) -> Proof:
    for queries in (QUERIES, FEW):
        alarms = np.array(list(pool.map(_quiet, range(YEARS), [queries] * YEARS, chunksize=4))).sum(axis=0)
        for metric, count in zip(METRICS, alarms.tolist(), strict=True):
            name = f"{metric} of {queries} queries a day"
            yield f"# {name}, nothing wrong: {count} alarms in {YEARS} years"
            bound = most_a_year(count, YEARS)
            yield Figure(f"false_alarms_of_budget: {name}", bound / BUDGET, "times the budget, upper 95 % bound", "<=", 1)
    runs = list(pool.map(_weaker, range(STREAMS), chunksize=4))
    delays = [delay for delay, _ in runs if delay is not None]
    yield f"# a weaker ranking: found in {len(delays)} of {STREAMS}, after {median(delays) if delays else 'never'} windows (median)"
    yield Figure("found: a weaker ranking", sum(delay <= WITHIN for delay in delays) / STREAMS, f"within {WITHIN} windows", ">=", 0.95)
    told = sum(looks.startswith("a changed relation") for _, looks in runs) / STREAMS
    yield Figure("told apart: a weaker ranking", told, "of streams called 'a changed relation'", ">=", 0.95)


def _days(rng: np.random.Generator, count: int, queries: int = QUERIES, *, slope: float = 2.0) -> list[Performance]:
    """Queries with clicks that follow the scores; days differ by themselves in how much is clicked, and how closely scores are."""
    groups, found = np.repeat(np.arange(queries), CANDIDATES), []
    for _ in range(count):
        scores = rng.normal(size=len(groups))
        pull = (slope + 0.2 * rng.normal()) * scores - 1.5 + 0.2 * rng.normal()
        clicked = (rng.random(len(groups)) < 1 / (1 + np.exp(-pull))) & (rng.random(queries) < 0.75)[groups]
        found.append(measure(RANKING, clicked.astype(float), scores, groups=groups))
    return found


def _read(metric: str, baseline: Sequence[Performance], days: Sequence[Performance]) -> PerformanceReading:
    threshold = threshold_for(alarms_per_year=BUDGET, windows_per_year=YEAR)
    return read_performance(RANKING, Tolerance(metric, by=BY), baseline, windows_of_days(list(days)), threshold)


def _quiet(seed: int, queries: int) -> list[int]:
    """Whether each metric alarms in a year."""
    rng = np.random.default_rng([43, queries, seed])
    baseline, days = _days(rng, BASELINE, queries), _days(rng, YEAR, queries)
    return [int(_read(metric, baseline, days).alarmed_at is not None) for metric in METRICS]


def _weaker(seed: int) -> tuple[int | None, str]:
    rng = np.random.default_rng([47, seed])
    baseline, days = _days(rng, BASELINE), _days(rng, BEFORE) + _days(rng, AFTER, slope=0.5)
    reading = _read("ndcg_at_5", baseline, days)
    at = reading.alarmed_at
    return None if at is None or at < BEFORE else at - BEFORE + 1, reading.looks_like(inputs_moved=False)
