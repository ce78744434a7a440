"""Volumes: how many predictions were answered, and how many rows each table received, against what the past forecasts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Self

from noria.core.clock import from_epoch
from noria.core.health import Health
from noria.monitoring.findings import Finding, Kind
from noria.monitoring.monitors.reading import At, monitor
from noria.monitoring.recorded import answered_by_window
from noria.monitoring.volume import VolumeDetector, VolumeReading
from noria.stores.history import history_of

VOLUME: Kind = "volume"
PREDICTIONS = "predictions"


@monitor(rank=50)
@dataclass(frozen=True)
class PredictionVolume:
    """The endpoint's own traffic, whoever answered it."""

    name: ClassVar[str] = PREDICTIONS
    reading: VolumeReading
    tick: timedelta

    @classmethod
    def read(cls, at: At) -> Self:
        detector = _detector(at, PREDICTIONS)
        detector.add(answered_by_window(at.context, detector.judged_to))
        return cls(detector.reading(), at.context.grid.tick)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield self.name, self.reading.health

    def judged(self) -> Collection[Kind]:
        return {VOLUME}

    def findings(self) -> Iterator[Finding]:
        yield from _unusual(self.reading, self.tick)


@monitor(rank=90)
@dataclass(frozen=True)
class TableVolumes:
    """How many rows each table of the endpoint received in every tick: a source that has stopped is seen here first."""

    name: ClassVar[str] = "table volumes"
    readings: tuple[VolumeReading, ...]
    tick: timedelta

    @classmethod
    def read(cls, at: At) -> Self:
        grid, past, found = at.context.grid, history_of(at.context.stores.catalog, at.context.endpoint.name), []
        for name in at.context.facts.tables:
            known = at.context.known.of(name)
            if known.first is None or known.last is None:
                continue
            detector = _detector(at, name)
            first = detector.judged_to + grid.tick if detector.judged_to else grid.ceiling(from_epoch(known.first))
            live = past is None or at.now > past.until
            end = at.now if live else min(at.now, from_epoch(known.last))  # where data ends, no source has stopped
            counts = known.counts(grid.number(first), grid.number(end))
            windows = [(first + i * grid.tick, rows) for i, rows in enumerate(counts)]
            detector.add(windows if past is None else [(start, rows) for start, rows in windows if not past.in_gap(start)])
            found.append(detector.reading())
        return cls(tuple(found), grid.tick)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((f"table: {r.name}", r.health) for r in self.readings)

    def judged(self) -> Collection[Kind]:
        return ()  # as predictions are

    def findings(self) -> Iterator[Finding]:
        for reading in self.readings:
            yield from _unusual(reading, self.tick)


def _detector(at: At, name: str) -> VolumeDetector:
    """The detector of a series, which shares the budget with the others."""
    budget = at.monitor.volume_budget(1 + len(at.context.facts.tables))
    return at.context.detectors.volume(name, at.context.threshold(budget))


def _unusual(reading: VolumeReading, tick: timedelta) -> Iterator[Finding]:
    if reading.alarming is None:
        return
    first, summary = reading.runs(tick)[-1][0].start, reading.summary(reading.alarming)
    fix = f"check what fills {reading.name}; the next ingestion backfills what was missed"
    yield Finding(VOLUME, reading.name, first, "page", summary, fix, reading.to_dict())
