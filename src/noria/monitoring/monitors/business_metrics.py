"""Business metrics: SQL over predictions and outcomes, each watched as a series, whichever bundle answered."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from noria.core.health import Health
from noria.models.registry import CHAMPION
from noria.monitoring.business import BusinessMetricReading, read_business_metric
from noria.monitoring.findings import Finding, Kind, began
from noria.monitoring.monitors.reading import At, monitor
from noria.stores.windows import metrics_by_window

METRIC: Kind = "metric"


@monitor(rank=70)
@dataclass(frozen=True)
class BusinessMetrics:
    """The series of every declared metric."""

    name: ClassVar[str] = "business metrics"
    readings: tuple[BusinessMetricReading, ...]

    @classmethod
    def read(cls, at: At) -> Self | None:
        if not at.monitor.metrics:
            return None
        threshold = at.context.threshold(at.monitor.metric_budget)
        drawn = metrics_by_window(at.context.stores.catalog, at.context.endpoint.name, CHAMPION)
        found = [
            read_business_metric(
                metric,
                [(start, told.get(metric.name)) for start, told, due in drawn if due or not metric.needs_outcomes],
                threshold,
                at.context.grid.calendar,
            )
            for metric in at.monitor.metrics
        ]
        return cls(tuple(found))

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((f"metric: {r.metric.name}", r.health) for r in self.readings)

    def judged(self) -> Collection[Kind]:
        return {METRIC} if self.readings else ()

    def findings(self) -> Iterator[Finding]:
        for reading in self.readings:
            start = began(reading.evidence, reading.threshold)
            if start is not None:
                name = reading.metric.name
                summary = f"{name} is {reading.values[-1]:.4g}; expected about {reading.expected:.4g} (tolerance {reading.metric.by:g})"
                fix = "see what else has changed since then: `noria monitor report`"
                yield Finding(METRIC, name, reading.starts[start], "page", summary, fix, reading.to_dict(), episode=True)
