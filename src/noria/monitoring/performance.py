"""The performance monitor: has the champion become worse than the tolerance allows?

The unit of evidence is the window, since rows of one day share their weather. A window's value minus the tolerance is
scored against the spread of such values so far (the baseline's, of the holdout, and the windows since), by Student's t, and the
scores accumulate as an e-detector over all possible starts of the decay (`noria.statistics.e_detector`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.evaluation.metric import Metric
from noria.evaluation.performance import Performance
from noria.evaluation.task import Task
from noria.monitoring.monitor import Tolerance
from noria.monitoring.windows import Window
from noria.statistics.baseline import shortened, skewness_shown
from noria.statistics.confidence import Interval, mean_sequence
from noria.statistics.e_detector import ONE_SIDED, normal_scores, shiryaev_roberts

Floats = NDArray[np.float64]

MIN_PAST = 5  # windows without which a spread says nothing
MIN_ROWS = 20  # with outcomes, of a slice in a window
ALPHA, PLANNED = 0.1, 28  # of the mean's confidence sequence, which is narrowest after so many windows
RECENT, MIN_DROP = 7, 0.03  # windows that tell a cause; of the range of what tells outcomes apart, such as AUC
RANKED, LOST_RANKING = 3, 0.15  # windows, and by how much of that range they must be worse
RANKING_CHANCE = 0.0005  # that it happens by itself: once in five years of days
RANKING_BUDGET = 0.25  # of the budget of false alarms, at most, however short windows are


@dataclass(frozen=True)
class PerformanceReading:
    """What the monitor sees of one metric: the evidence after each window, against the threshold at which it alarms.

    past: the values of the champion's baseline, the holdout that it was accepted on
    biases: how outcomes differ from scores in the mean, by each of the task's
    discrimination: how well scores tell outcomes apart, of each window and of those of the baseline, NaN where there is none
    """

    task: Task
    tolerance: Tolerance
    baseline: float
    values: Floats
    evidence: Floats
    threshold: float
    starts: tuple[datetime, ...] = ()
    past: Floats = field(default_factory=lambda: np.empty(0))
    biases: Mapping[Metric, Floats] = field(default_factory=dict)
    discrimination: Floats = field(default_factory=lambda: np.empty(0))
    baseline_discrimination: Floats = field(default_factory=lambda: np.empty(0))
    scored: bool = True
    slice: str = ""

    @property
    def metric(self) -> Metric:
        return self.task.metric(self.tolerance.metric)

    @property
    def name(self) -> str:
        """Of what it is: the metric, and the slice of the rows."""
        return f"{self.metric} of {self.slice}" if self.slice else self.metric.name

    @property
    def title(self) -> str:
        """The same, as people read it."""
        return f"{self.metric.title} of {self.slice}" if self.slice else self.metric.title

    @cached_property
    def interval(self) -> Interval | None:
        """The mean since the champion went live, between bounds that hold at every look (level `1 - ALPHA`); None while too few windows say
        how it varies."""
        found = mean_sequence(self.values, self.past, alpha=ALPHA, planned=PLANNED)
        least, most = self.metric.bounds
        return None if found is None else replace(found, lower=max(found.lower, least), upper=min(found.upper, most))

    @property
    def alarmed_at(self) -> int | None:
        """The first window with evidence at or above the threshold."""
        over = np.flatnonzero(self.evidence >= self.threshold)
        return int(over[0]) if len(over) else None

    @property
    def alarming(self) -> bool:
        """Whether the evidence stands at or above the threshold now: decay that has passed by itself is no reason to act."""
        return len(self.evidence) > 0 and bool(self.evidence[-1] >= self.threshold)

    def looks_like(self, *, inputs_moved: bool) -> str:
        """What the newest windows look like: a changed relation (scores tell outcomes apart worse), labels that have shifted (they do as
        before, and outcomes are more or less frequent, or higher or lower), or inputs that have moved."""
        recent, before = self.discrimination[-RECENT:], self.baseline_discrimination
        recent, before = recent[~np.isnan(recent)], before[~np.isnan(before)]
        if self.task.discrimination is not None and len(recent) > 1 and len(before) > 1:
            error = float(np.sqrt(recent.var(ddof=1) / len(recent) + before.var(ddof=1) / len(before)))
            drop = float(self.task.discrimination.improvement(recent.mean(), before.mean()))
            if drop > max(MIN_DROP * self._range, 2 * error):
                fell = f"{self.task.discrimination.title} {before.mean():.2f} → {recent.mean():.2f}"
                return f"a changed relation between inputs and outcome (scores rank worse: {fell})"
        shifted = None if inputs_moved else self._shifted()
        if shifted is not None:
            return f"label shift (outcomes are {self.task.format_bias(*shifted)}, at the same scores)"
        return "input drift" if inputs_moved else "undetermined"

    def _shifted(self) -> tuple[float, Metric] | None:
        """By how much outcomes lie above scores in the newest windows, by the bias of which that is surest; None where of none it is."""
        found, surest = None, 2.0 + np.log(max(len(self.biases), 1))  # standard errors: of many biases, one is large by chance
        for metric, values in self.biases.items():
            gap = values[-RECENT:]
            error = float(gap.std(ddof=1)) / np.sqrt(len(gap)) if len(gap) > 2 else np.inf
            if abs(gap.mean() if len(gap) else 0.0) > surest * error:
                found, surest = (float(gap.mean()), metric), abs(float(gap.mean())) / max(error, 1e-12)
        return found

    @property
    def ranking_lost(self) -> tuple[float, float] | None:
        """The newest three windows' discrimination and the baseline's, where scores suddenly rank outcomes far worse: so few windows are
        enough to see that answers belong to other rows, or labels to other facts."""
        before, newest = self.baseline_discrimination, self.discrimination[-RANKED:]
        before = before[~np.isnan(before)]
        if self.task.discrimination is None or len(before) < MIN_PAST or len(newest) < RANKED or np.isnan(newest).any():
            return None
        away = float(self.task.discrimination.improvement(newest.mean(), before.mean()))
        error = float(before.std(ddof=1)) * np.sqrt(1 / RANKED + 1 / len(before))
        chance = min(RANKING_CHANCE, RANKING_BUDGET / self.threshold)
        lost = away > LOST_RANKING * self._range and away > -stdtrit(len(before) - 1, chance) * error
        return (float(newest.mean()), float(before.mean())) if lost else None

    @property
    def _range(self) -> float:
        """How far discrimination can lie apart."""
        assert self.task.discrimination is not None
        least, most = self.task.discrimination.bounds
        return most - least

    @property
    def moved(self) -> str:
        """How far the newest windows are from the baseline, as people read it."""
        return self.metric.format(self.recent - self.baseline, digits=3, sign=True)

    @property
    def health(self) -> Health:
        if len(self.values) == 0:
            return Unknown(f"no window with outcomes yet to compute {self.metric} on")
        if not _has_baseline(self.metric, self.past):
            return Unknown(f"{self.metric} was not measured when the champion was accepted: there is no baseline to compare with")
        if not self.scored:
            return Unknown(f"fewer than {MIN_PAST} windows, in the baseline or since, to learn how {self.metric} varies")
        if self.alarming:
            return Unhealthy(f"{self.title} is {self.moved} from its baseline")
        return Healthy({"windows": len(self.values), "evidence": float(self.evidence[-1]), "threshold": self.threshold})

    @property
    def recent(self) -> float:
        """The mean of the last seven windows."""
        return float(self.values[-7:].mean())

    def to_dict(self) -> dict[str, Any]:
        """The evidence a decision is stored with."""
        return {
            "metric": self.metric.name,
            "slice": self.slice,
            "tolerance": self.tolerance.by,
            "baseline": self.baseline,
            "recent": self.recent,
            "interval": None if self.interval is None else self.interval.to_dict(),
            "windows": len(self.values),
            "evidence": float(self.evidence[-1]),
            "threshold": self.threshold,
        }


def baseline_of(metric: Metric, windows: Sequence[Performance]) -> tuple[float, Floats]:
    """What a metric is held against, from the windows that a champion was accepted on, and its value in each that has one."""
    values = np.array([p.value(metric) for p in windows if p.rows])
    values = values[~np.isnan(values)]
    return 0.0 if metric.best == "zero" or len(values) == 0 else float(values.mean()), values


def read_performance(
    task: Task, tolerance: Tolerance, baseline: Sequence[Performance], since: Sequence[Window], threshold: float
) -> PerformanceReading:
    """Judge the windows `since` the champion went live against those of its `baseline`. Windows without outcomes, or for which
    the metric has no value, are skipped."""
    metric = task.metric(tolerance.metric)
    centre, past = baseline_of(metric, baseline)
    judged = [(w.start, w.performance.value(metric)) for w in since if w.performance is not None and w.performance.rows]
    judged = [(start, value) for start, value in judged if not np.isnan(value)]
    values = np.array([value for _, value in judged])
    scores = np.column_stack(
        [_scores(sign * (values - centre), sign * (past - centre), tolerance.by, bounded=metric.bounded) for sign in metric.worse]
    )
    if not _has_baseline(metric, past):
        scores = np.full_like(scores, np.nan)
    evidence = shiryaev_roberts(scores, ONE_SIDED).mean(axis=1) if len(values) else np.empty(0)
    told = [w.performance for w in since if w.performance is not None and w.performance.rows]
    return PerformanceReading(
        task,
        tolerance,
        centre,
        values,
        evidence,
        threshold,
        tuple(start for start, _ in judged),
        past,
        {metric: _values(metric, told) for metric in task.biases},
        _values(task.discrimination, told),
        _values(task.discrimination, [p for p in baseline if p.rows]),
        bool(len(scores)) and not np.isnan(scores[-1]).all(),
    )


def _has_baseline(metric: Metric, past: Floats) -> bool:
    """Whether there is something to hold a metric against: zero, or what it was of the champion when that was accepted."""
    return metric.best == "zero" or len(past) > 0


def read_slices(
    task: Task, tolerance: Tolerance, baseline: Sequence[Performance], since: Sequence[Window], threshold: Callable[[int], float]
) -> list[PerformanceReading]:
    """The same for every slice that is large enough in the baseline; `threshold` for so many of them. Windows in which a slice has but few
    rows say nothing of it."""
    rows: dict[str, list[int]] = {}
    for window in baseline:
        for name, own in window.slices.items():
            rows.setdefault(name, []).append(own.rows)
    names = sorted(name for name, each in rows.items() if len(each) >= MIN_PAST and np.mean(each) >= MIN_ROWS)
    found = []
    for name in names:
        past = [own for p in baseline for own in _of_slice(p, name)]
        windows = [replace(w, performance=own) for w in since for own in _of_slice(w.performance, name)]
        found.append(replace(read_performance(task, tolerance, past, windows, threshold(len(names))), slice=name))
    return found


def _of_slice(performance: Performance | None, name: str) -> Iterator[Performance]:
    if performance is not None and name in performance.slices and performance.slices[name].rows >= MIN_ROWS:
        yield performance.slices[name]


def _values(metric: Metric | None, windows: Sequence[Performance]) -> Floats:
    """A metric of each window; none where the task has no such metric."""
    return np.empty(0) if metric is None else np.array([p.value(metric) for p in windows], np.float64)


def _scores(values: Floats, past: Floats, by: float, *, bounded: bool) -> Floats:
    """Normal scores of `values − by`, each scaled by the spread of all windows before it.

    The spread is pooled from the deviations of the past and of the windows since, each about its own mean: a level that
    has moved must not pass for a spread that has grown, or the monitor would learn to overlook what it is for.

    A loss without bounds has a tail: of few rows, one that was sure and wrong makes a window. Its scores on the long side are therefore
    shortened by the skewness of the windows so far, where they show one (Wilson & Hilferty 1931), and where the past lies is not known
    better than to its standard error, which does not count as worse.
    """
    scores = np.full(len(values), np.nan)
    before = past - past.mean() if len(past) > 1 else np.empty(0)
    for i, value in enumerate(values):
        since = values[:i]
        apart = np.concatenate([before, since - since.mean()]) if i > 1 else before
        degrees = max(len(before) - 1, 0) + max(0, i - 1)
        if degrees >= MIN_PAST - 1:
            sd = max(float(np.sqrt((apart**2).sum() / degrees)), 1e-6)
            z = np.array([(value - by) / sd])
            if not bounded:
                unsure = 1 / np.sqrt(len(before)) if len(before) else 0.0
                z = shortened(z - unsure, np.array([skewness_shown(apart / sd)]))
            scores[i] = normal_scores(z, degrees)[0]
    return scores
