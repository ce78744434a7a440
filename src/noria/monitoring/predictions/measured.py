"""Windows of predictions against their outcomes: the judged metrics of each, with the interval that chance leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
from scipy.special import ndtri, stdtrit

from noria.evaluation.estimation import Expected
from noria.evaluation.metric import Floats, Metric
from noria.evaluation.metrics.rank_correlation import mid_ranks
from noria.evaluation.performance import Performance
from noria.evaluation.task import Task
from noria.monitoring.performance import MIN_ROWS
from noria.monitoring.predictions.answers import Answers
from noria.monitoring.predictions.maturity import Maturity
from noria.monitoring.predictions.outcomes import Outcomes
from noria.monitoring.predictions.slices import Cut
from noria.monitoring.windowed_table import WindowedTable

LEVEL = 0.9  # of each window's interval
FEW, MIN_OUTCOMES = 0.25, 5  # of the usual number of outcomes, and at all, below which a window says too little
MAX_FITTED = 50_000  # rows that an estimator learns from
AT_MOST = 2_000  # rows of a window by which its loss is estimated
Bounds = tuple[float, float]
NONE: Bounds = (float("nan"), float("nan"))


@dataclass(frozen=True)
class MeasuredWindow:
    """A window with rows. performance: None while its outcomes are not due, or are too few; intervals: of each metric by name, of the
    whole and, as `log_loss of carrier=AA`, of slices

    known: how many of its answers have an outcome
    """

    start: datetime
    rows: int
    known: int
    due: bool
    performance: Performance | None
    intervals: dict[str, Bounds]


def measure_windows(
    cut: WindowedTable, answers: Answers, outcomes: Outcomes, counted: Floats, maturity: Maturity, cuts: Sequence[Cut] = ()
) -> list[MeasuredWindow]:
    """Every window. counted: 1 for rows that count, 0 for those that repeat another `(rows,)`; cuts: what makes slices"""
    metrics = [*answers.metrics, *answers.class_metrics]
    place_of = {metric.name: place for place, metric in enumerate(answers.class_metrics)}
    extra = [m for m in (answers.task.discrimination,) if m is not None and m not in metrics]
    there = maturity.known[maturity.due & (maturity.known > 0)]
    least = max(MIN_OUTCOMES, FEW * float(np.median(there)) if len(there) else 0.0)
    use = outcomes.known & answers.answered & (counted > 0)
    found = []
    for i, start in enumerate(cut.starts):
        own = slice(int(cut.borders[i]), int(cut.borders[i + 1]))
        performance, intervals = None, dict[str, Bounds]()
        if maturity.due[i] and maturity.known[i] >= least:
            y, p = outcomes.values[own][use[own]], answers.scores[own][use[own]]
            performance, intervals = _measured(answers.task, metrics, extra, place_of, y, p)
            slices, of_slices = _sliced(answers, extra, [replace(c, of_row=c.of_row[own][use[own]]) for c in cuts], y, p)
            performance = replace(performance, missing=int(maturity.rows[i] - maturity.known[i]), slices=slices)
            intervals |= of_slices
        found.append(MeasuredWindow(start, int(maturity.rows[i]), int(maturity.known[i]), bool(maturity.due[i]), performance, intervals))
    return found


def _sliced(
    answers: Answers, extra: Sequence[Metric], cuts: Sequence[Cut], y: Floats, p: Floats
) -> tuple[dict[str, Performance], dict[str, Bounds]]:
    """The performance of each slice with rows enough, and the intervals of its metrics."""
    found, intervals = dict[str, Performance](), dict[str, Bounds]()
    for cut in cuts:
        for place, name in enumerate(cut.names):
            own = cut.of_row == place
            if own.sum() >= MIN_ROWS:
                found[name], bounds = _measured(answers.task, answers.metrics, extra, {}, y[own], p[own])
                intervals |= {f"{metric} of {name}": each for metric, each in bounds.items()}
    return found, intervals


def _measured(
    task: Task, metrics: Sequence[Metric], extra: Sequence[Metric], place_of: Mapping[str, int], y: Floats, p: Floats
) -> tuple[Performance, dict[str, Bounds]]:
    """The performance of rows whose outcomes are all known. extra: metrics without an interval; place_of: the class of a metric of one"""
    losses, figures, intervals = dict[str, float](), dict[str, float | None](), dict[str, Bounds]()
    if not len(y):
        return Performance.of_nothing(task), {}
    for metric in [*metrics, *extra]:
        if metric.over == "rows":
            own = metric.losses(y, p)
            losses[metric.name] = float(own.mean())
            intervals[metric.name] = _of_mean(own, metric)
        elif metric.over == "means":
            intervals[metric.name] = _of_mean(y - p, metric) if y.ndim == p.ndim == 1 else NONE
        elif metric.name == "auc" and p.ndim == 1:
            figures[metric.name], intervals[metric.name] = _auc(metric, y, p)
        else:
            value = metric.value(y, p)
            figures[metric.name] = None if np.isnan(value) else value
            of = place_of.get(metric.name)
            intervals[metric.name] = NONE if of is None else _of_share(metric, value, int((y == of).sum()))
    outcome, prediction = task.means(y, p)
    return Performance(len(y), 0, outcome, prediction, losses, figures), intervals


def _of_mean(values: Floats, metric: Metric) -> Bounds:
    """Student's interval of a mean."""
    if len(values) < 2:
        return NONE
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * float(values.std(ddof=1)) / np.sqrt(len(values))
    return _within(float(values.mean()), half, metric)


def _of_share(metric: Metric, value: float, count: int) -> Bounds:
    """The normal interval of a share of so many rows."""
    if not count or np.isnan(value):
        return NONE
    return _within(value, float(ndtri((1 + LEVEL) / 2)) * np.sqrt(max(value * (1 - value), 1 / (4 * count)) / count), metric)


def _auc(metric: Metric, y: Floats, p: Floats) -> tuple[float | None, Bounds]:
    """The AUC, and its interval by its structural components (DeLong, DeLong & Clarke-Pearson 1988); None where a class is missing."""
    positive = y == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return None, NONE
    ranks = mid_ranks(p)
    above = (ranks[positive] - mid_ranks(p[positive])) / n
    if min(m, n) < 2:
        return float(above.mean()), NONE
    below = (ranks[~positive] - mid_ranks(p[~positive])) / m
    error = float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))
    return float(above.mean()), _within(float(above.mean()), float(ndtri((1 + LEVEL) / 2)) * error, metric)


def _within(middle: float, half: float, metric: Metric) -> Bounds:
    least, most = metric.bounds
    return max(middle - half, least), min(middle + half, most)


def expected_losses(
    cut: WindowedTable, answers: Answers, outcomes: Outcomes, metric: Metric, reference: int
) -> tuple[list[Expected | None], tuple[float, ...]]:
    """What a mean over rows is expected to be in each window, from scores alone, by an estimator that learns from the reference's outcomes;
    None where it can't say. The second: what was learnt."""
    estimator = answers.task.estimator
    end = int(cut.borders[reference])
    use = (outcomes.known & answers.answered)[:end]
    if estimator is None or not use.any():
        return [None] * len(cut.starts), ()
    chosen = np.flatnonzero(use)
    chosen = chosen[:: max(1, -(-len(chosen) // MAX_FITTED))]
    fitted = estimator.fit(outcomes.values[chosen], answers.scores[chosen])
    found = list[Expected | None]()
    for first, last in pairwise(cut.borders.tolist()):
        scores = answers.scores[first:last][answers.answered[first:last]]
        if not len(scores):
            found.append(None)
            continue
        some = scores[:: max(1, -(-len(scores) // AT_MOST))]
        told = estimator.expected(metric, some, fitted)
        found.append(None if np.isnan(told.mean) else Expected(told.mean, told.sd * float(np.sqrt(len(some) / len(scores)))))
    return found, fitted
