"""Training–serving skew: what was served in the newest window, held against what its definitions give offline."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from noria.core.health import Health
from noria.loop.columns import served_skew
from noria.loop.monitors.reading import At, monitor
from noria.models.registry import CHAMPION
from noria.monitoring.findings import Finding, Kind
from noria.monitoring.skew import SkewReading
from noria.serving.log.segments import read_log

SKEW: Kind = "skew"


@monitor(rank=40)
@dataclass(frozen=True)
class Skew:
    """The skew of the window that closed last."""

    name: ClassVar[str] = "skew"
    reading: SkewReading
    at: At

    @classmethod
    def read(cls, at: At) -> Self | None:
        limit, world = at.monitor.skew, at.world
        if limit is None:
            return None
        end = world.grid.floor(at.now)
        logged = read_log(world.log_folder, end - world.grid.tick, end, world.workspace.files)
        return cls(SkewReading(limit, None if logged is None else served_skew(world, logged.by(CHAMPION))), at)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield self.name, self.reading.health

    def judged(self) -> Collection[Kind]:
        return () if self.reading.skew is None else {SKEW}

    def findings(self) -> Iterator[Finding]:
        reading, grid = self.reading, self.at.world.grid
        if reading.alarming:
            worst = reading.skew.worst if reading.skew is not None else None
            share = "" if worst is None else f"{worst.share:.1%} of {worst.feature} "
            summary = f"{share}({reading.subject}) were served with values that differ from their definition"
            fix = "bring the online store up to date (`noria materialize`), then run `noria skew`"
            yield Finding(SKEW, reading.subject, grid.floor(self.at.now) - grid.tick, "page", summary, fix, reading.to_dict())
