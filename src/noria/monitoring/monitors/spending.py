"""What answers cost, against the declared limits of a day and a month."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from noria.core.health import Health, Unknown
from noria.monitoring.answers.spending import PAST, SpendingReading, Took, read_spending
from noria.monitoring.findings import Finding, Kind
from noria.monitoring.monitors.reading import At, monitor
from noria.stores.windows import answers_by_window

SPENDING: Kind = "spending"
A_MONTH = 32  # days


@monitor(rank=75)
@dataclass(frozen=True)
class Spending:
    """Every declared limit, of the period of the newest window. lacking: why nothing is known"""

    name: ClassVar[str] = "spending"
    readings: tuple[SpendingReading, ...]
    lacking: str = ""

    @classmethod
    def read(cls, at: At) -> Self | None:
        if not at.monitor.spending:
            return None
        context, logged = at.context, at.context.stores.workspace.settings.serving.log_share
        if not logged:
            return cls((), "no prediction is logged: serving.log_share is 0")
        since = at.now - PAST - A_MONTH * (PAST / PAST.days)
        drawn = answers_by_window(context.stores.catalog, context.endpoint.name, since)
        windows = [Took.of(start, counts.spent, logged) for start, _, counts in drawn if counts.spent is not None]
        found = [reading for limit in at.monitor.spending for reading in read_spending(limit, windows, context.grid.calendar)]
        return cls(tuple(found), "" if found else "no window with answers yet")

    def healths(self) -> Iterator[tuple[str, Health]]:
        if self.lacking:
            yield self.name, Unknown(self.lacking)
        yield from ((f"spending: {r.name}", r.health) for r in self.readings)

    def judged(self) -> Collection[Kind]:
        return {SPENDING} if self.readings else ()

    def findings(self) -> Iterator[Finding]:
        for reading in self.readings:
            fix = "see what asks so much (`noria status`); `llm.Budget` refuses what is beyond a limit, and a tenant's as well"
            if reading.is_spent:
                yield Finding(SPENDING, reading.name, reading.start, "page", reading.summary, fix, reading.to_dict())
            elif reading.will_be:
                yield Finding(SPENDING, f"forecast of {reading.name}", reading.start, "inform", reading.summary, fix, reading.to_dict())
