"""Traffic: what the endpoint promises (latency, errors, freshness), by burn rate; and requests that are sent twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from noria.core.clock import duration, in_words
from noria.core.health import Health
from noria.monitoring.findings import Finding, Kind
from noria.monitoring.monitors.reading import At, monitor
from noria.monitoring.traffic import IN_TIME, Missed, Objective, ObjectiveReading, Repeated, Traffic, read_objective, read_repeated
from noria.monitoring.watched import WatchedEndpoint

OBJECTIVE: Kind = "objective"


@monitor(rank=80)
@dataclass(frozen=True)
class Objectives:
    """The endpoint's service-level objectives."""

    name: ClassVar[str] = "objectives"
    readings: tuple[ObjectiveReading, ...]
    now: datetime

    @classmethod
    def read(cls, at: At) -> Self:
        return cls(tuple(_objectives(at.context, at.traffic)), at.now)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((f"objective: {r.objective.name}", r.health) for r in self.readings)

    def judged(self) -> Collection[Kind]:
        return {OBJECTIVE} if self.readings else ()

    def findings(self) -> Iterator[Finding]:
        for reading in self.readings:
            if reading.alarming:
                promise, since = reading.objective, reading.since or self.now
                yield Finding(OBJECTIVE, promise.name, since, "page", reading.summary, promise.fix, reading.to_dict())


@monitor(rank=85)
@dataclass(frozen=True)
class RepeatedPredictions:
    """Requests about the same facts, sent again."""

    name: ClassVar[str] = "repeated predictions"
    readings: tuple[Repeated, ...]

    @classmethod
    def read(cls, at: At) -> Self:
        return cls(tuple(read_repeated(at.traffic) or ()))

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ()

    def judged(self) -> Collection[Kind]:
        return ()

    def findings(self) -> Iterator[Finding]:
        for found in self.readings:
            summary = f"{found.share:.0%} of the predictions are duplicate requests; the maximum so far was {found.usual:.1%}"
            fix, evidence = "check the callers: they send requests twice", {"share": found.share, "usual": found.usual}
            yield Finding("data_quality", "predictions: repeated", found.start, "page", summary, fix, evidence)


def _objectives(context: WatchedEndpoint, traffic: Sequence[Traffic]) -> Iterator[ObjectiveReading]:
    """What the endpoint promises, held against its traffic. What the log samples stands for as many rows as it was drawn from."""
    slo, logged = context.endpoint.slo, context.stores.workspace.settings.serving.log_share
    late = Objective(
        "latency",
        1 - IN_TIME,
        f"answers take longer than {slo.p99_ms:g} ms",
        "check the stage latencies in /metrics; add workers, or use a smaller model",
    )
    lost = Objective(
        "errors",
        slo.errors,
        "rows have no answer, or only a fallback's",
        "check the errors by code in /metrics, and the server's log, for the part that fails",
    )
    yield read_objective(late, [Missed(t.start, t.slow, t.rows) for t in traffic])
    yield read_objective(lost, [_unanswered(t, logged) for t in traffic])
    for table, span in slo.freshness.items():
        old = Objective(
            f"freshness of {table}",
            1 - IN_TIME,
            f"answers are served while the newest row of {table} is older than {in_words(duration(span))}",
            f"check what fills {table}; the next ingestion backfills what was missed",
        )
        yield read_objective(old, [Missed(t.start, t.stale[table], t.rows) for t in traffic if table in t.stale])


def _unanswered(window: Traffic, logged: float) -> Missed:
    """The rows that had no answer, or a fallback's. logged: the share of rows that the log has; of none of them nothing is known"""
    if window.failed is None or not logged:
        return Missed(window.start, None, window.rows)
    fallbacks = round(window.fallbacks / logged)
    return Missed(window.start, fallbacks + window.failed, round(window.rows / logged) + fallbacks + window.failed)
