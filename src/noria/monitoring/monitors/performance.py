"""Performance: each watched metric against the champion's baseline, once outcomes are due; as a whole, and in each slice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.monitoring.findings import Finding, Kind, began
from noria.monitoring.monitors.drift import InputDrift
from noria.monitoring.monitors.reading import At, monitor
from noria.monitoring.performance import PerformanceReading, read_performance, read_slices

PERFORMANCE: Kind = "performance"


@monitor(rank=10)
@dataclass(frozen=True)
class Performance:
    """Every metric as a whole."""

    name: ClassVar[str] = "performance"
    readings: tuple[PerformanceReading, ...]
    at: At | None = None

    @classmethod
    def read(cls, at: At) -> Self:
        since = [w for w in at.windows if w.performance]
        threshold = at.context.threshold(at.monitor.performance_budget)
        task = at.context.endpoint.task
        return cls(tuple(read_performance(task, tolerance, at.baseline, since, threshold) for tolerance in at.monitor.performance), at)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((f"performance: {r.metric}", r.health) for r in self.readings)

    def judged(self) -> Collection[Kind]:
        return {PERFORMANCE} if any(len(reading.values) for reading in self.readings) else ()

    def findings(self) -> Iterator[Finding]:
        assert self.at is not None
        for reading in self.readings:
            yield from worse(reading, self.at)
        for reading in self.readings[:1]:  # all metrics have the same windows
            yield from self._ranking(reading, self.at)

    @staticmethod
    def _ranking(reading: PerformanceReading, at: At) -> Iterator[Finding]:
        lost, metric = reading.ranking_lost, reading.task.discrimination
        if lost is not None and metric is not None:
            summary = f"scores rank the newest outcomes far worse than before: {metric.title} {lost[1]:.2f} → {lost[0]:.2f}"
            fix = "check that predictions still join to their own outcomes, and that the right model is serving (`noria explain ID`)"
            since = reading.starts[-1] if reading.starts else at.now
            yield Finding(PERFORMANCE, "ranking", since, "page", summary, fix, {metric.name: lost[0], "baseline": lost[1]})


@monitor(rank=20)
@dataclass(frozen=True)
class PerformanceBySlice:
    """Every metric in each slice of the declared features."""

    name: ClassVar[str] = "performance by slice"
    readings: tuple[PerformanceReading, ...]
    at: At

    @classmethod
    def read(cls, at: At) -> Self | None:
        if not at.monitor.slices:
            return None
        task = at.context.endpoint.task
        found = [
            reading
            for tolerance in at.monitor.performance
            for reading in read_slices(
                task, tolerance, at.baseline, at.windows, lambda slices: at.context.threshold(at.monitor.slice_budget(slices))
            )
        ]
        return cls(tuple(found), at)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield self.name, _health_of_slices(self.readings)

    def judged(self) -> Collection[Kind]:
        return ()  # as the whole is

    def findings(self) -> Iterator[Finding]:
        """Slices of metrics that are not worse as a whole."""
        overall = self.at.of(Performance)
        readings = () if overall is None else overall.readings
        whole = {r.metric for r in readings if began(r.evidence, r.threshold) is not None}
        for reading in self.readings:
            if reading.metric not in whole:
                yield from worse(reading, self.at)


def worse(reading: PerformanceReading, at: At) -> Iterator[Finding]:
    """A metric that is worse than its baseline and tolerance allow."""
    start = began(reading.evidence, reading.threshold)
    if start is None:
        return
    name, since = reading.name, reading.starts[start] if reading.starts else at.now
    drift = at.of(InputDrift)
    cause = reading.looks_like(inputs_moved=drift is not None and drift.reading.drifting)
    summary = f"{reading.title} is {reading.moved} from its baseline (tolerance {reading.tolerance.by}); likely cause: {cause}"
    fix = "retrain (`noria train`), or see what changed: `noria monitor report`"
    yield Finding(PERFORMANCE, name, since, "page", summary, fix, {**reading.to_dict(), "looks_like": cause}, episode=True)


def _health_of_slices(slices: Sequence[PerformanceReading]) -> Health:
    worse_ones = [r.title for r in slices if r.alarming]
    if worse_ones:
        return Unhealthy(f"worse than the baseline: {', '.join(worse_ones)}")
    judged = [r for r in slices if isinstance(r.health, Healthy)]
    if not judged:
        return Unknown("no slice has enough rows with outcomes, both in the baseline and since")
    return Healthy({"slices": len(judged), "not judged": len(slices) - len(judged)})
