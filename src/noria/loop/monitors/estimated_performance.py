"""Estimated performance: the loss that the scores themselves let expect, before outcomes arrive."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np

from noria.core.health import Health
from noria.evaluation.metrics import ROW_LOSSES
from noria.loop.monitors.reading import At, monitor
from noria.monitoring.expected import RUN, Expected, ExpectedReading, read_expected
from noria.monitoring.findings import Finding, Kind

ESTIMATED: Kind = "estimated_performance"


@monitor(rank=60)
@dataclass(frozen=True)
class EstimatedPerformance:
    """Of every watched metric that is a mean of row losses."""

    name: ClassVar[str] = "estimated performance"
    readings: tuple[ExpectedReading, ...]
    now: datetime

    @classmethod
    def read(cls, at: At) -> Self:
        windows = [w for w in at.windows if w.expected is not None and w.rows]
        baseline = [p for p in at.baseline if p.rows]
        found = []
        for tolerance in at.monitor.performance:
            metric = tolerance.metric
            if metric in ROW_LOSSES and baseline:
                told = [
                    (w.start, Expected(*w.expected[metric]), w.performance.value(metric) if w.performance and w.performance.rows else None)
                    for w in windows
                    if w.expected is not None and metric in w.expected
                ]
                found.append(read_expected(tolerance, float(np.mean([p.value(metric) for p in baseline])), told))
        return cls(tuple(found), at.now)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((f"expected {r.tolerance.metric}", r.health) for r in self.readings)

    def judged(self) -> Collection[Kind]:
        return {ESTIMATED} if self.readings else ()

    def findings(self) -> Iterator[Finding]:
        for reading in self.readings:
            if reading.alarming:
                metric = reading.tolerance.metric
                summary = (
                    f"{metric} is estimated at {reading.expected[-1] + reading.bias:.3f} (baseline {reading.baseline:.3f}) "
                    "from the scores alone: their outcomes have not arrived yet"
                )
                fix = "check the inputs (`noria monitor report`) before the outcomes arrive"
                since = reading.starts[-RUN] if reading.starts else self.now
                yield Finding(ESTIMATED, metric, since, "inform", summary, fix, reading.to_dict())
