"""Training–serving skew: what was served in the newest window, held against what its definitions gave offline when it closed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from noria.core.health import Health
from noria.features.skew import Skew as Measured
from noria.monitoring.findings import Finding, Kind
from noria.monitoring.monitors.reading import At, Blind, monitor
from noria.monitoring.recorded import skew_of
from noria.monitoring.skew import SkewReading

SKEW: Kind = "skew"


@monitor(rank=40)
@dataclass(frozen=True)
class Skew:
    """The skew of the window that closed last."""

    name: ClassVar[str] = "skew"
    reading: SkewReading
    at: At
    failed: Blind | None = None

    @classmethod
    def read(cls, at: At) -> Self | None:
        limit, grid = at.monitor.skew, at.context.grid
        if limit is None:
            return None
        end = grid.floor(at.now)
        told = skew_of(at.context, end - grid.tick) or {}
        if "failed" in told:
            return cls(SkewReading(limit, None), at, Blind(cls.name, end, f"it failed: {told['failed']}"))
        return cls(SkewReading(limit, Measured.of(told) if told else None), at)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield (self.name, self.reading.health) if self.failed is None else self.failed.health

    def judged(self) -> Collection[Kind]:
        return () if self.reading.skew is None else {SKEW}

    def findings(self) -> Iterator[Finding]:
        reading, grid = self.reading, self.at.context.grid
        if self.failed is not None:
            yield self.failed.finding
        if reading.alarming:
            worst = reading.skew.worst if reading.skew is not None else None
            share = "" if worst is None else f"{worst.share:.1%} of {worst.feature} "
            summary = f"{share}({reading.subject}) were served with values that differ from their definition"
            fix = "bring the online store up to date (`noria materialize`), then run `noria skew`"
            yield Finding(SKEW, reading.subject, grid.floor(self.at.now) - grid.tick, "page", summary, fix, reading.to_dict())
