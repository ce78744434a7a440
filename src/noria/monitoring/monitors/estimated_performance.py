"""Estimated performance: the loss that the scores themselves let expect, before outcomes arrive."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np

from noria.core.health import Health
from noria.evaluation.estimation import Expected
from noria.monitoring.expected import RUN, ExpectedReading, read_expected
from noria.monitoring.findings import Finding, Kind
from noria.monitoring.monitors.reading import At, monitor

ESTIMATED: Kind = "estimated_performance"


@monitor(rank=60)
@dataclass(frozen=True)
class EstimatedPerformance:
    """Of every watched metric that is a mean over rows, where the task can estimate it."""

    name: ClassVar[str] = "estimated performance"
    readings: tuple[ExpectedReading, ...]
    now: datetime

    @classmethod
    def read(cls, at: At) -> Self:
        windows = [w for w in at.windows if w.expected is not None and w.rows]
        found, task = [], at.context.endpoint.task
        for tolerance in at.monitor.performance if task.estimator is not None else ():
            metric = task.metric(tolerance.metric)
            past = [p.value(metric) for p in at.baseline if p.rows and not np.isnan(p.value(metric))]
            if metric.over == "rows" and past:
                told = [
                    (
                        w.start,
                        Expected(*w.expected[metric.name]),
                        w.performance.value(metric) if w.performance and w.performance.rows else None,
                    )
                    for w in windows
                    if w.expected is not None and metric.name in w.expected
                ]
                found.append(read_expected(metric, tolerance, float(np.mean(past)), told))
        return cls(tuple(found), at.now)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((f"expected {r.metric}", r.health) for r in self.readings)

    def judged(self) -> Collection[Kind]:
        return {ESTIMATED} if self.readings else ()

    def findings(self) -> Iterator[Finding]:
        for reading in self.readings:
            if reading.alarming:
                metric = reading.metric
                summary = (
                    f"{metric.title} is estimated at {metric.format(reading.newest, digits=3)} "
                    f"(baseline {metric.format(reading.baseline, digits=3)}) "
                    "from the scores alone: their outcomes have not arrived yet"
                )
                fix = "check the inputs (`noria monitor report`) before the outcomes arrive"
                since = reading.starts[-RUN] if reading.starts else self.now
                yield Finding(ESTIMATED, metric.name, since, "inform", summary, fix, reading.to_dict())
