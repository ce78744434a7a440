"""What was served: sums of the servers that do not add up, bundles that were never released, and shadows that miss requests."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Self

import msgspec

from noria.core.conservation import Balance
from noria.core.health import Health, Healthy, Unhealthy
from noria.core.ids import short
from noria.models.registry import CHAMPION
from noria.monitoring.findings import Finding, Kind
from noria.monitoring.monitors.reading import At, monitor
from noria.monitoring.shadow import Paired, shadow_windows
from noria.monitoring.watched import WatchedEndpoint
from noria.release.releases import released_champions
from noria.serving.log.segments import SUMS_FILE
from noria.stores.windows import newest_bundles

DATA_QUALITY: Kind = "data_quality"


@monitor(rank=100)
@dataclass(frozen=True)
class LogSums:
    """The sums of the servers that do not add up: rows answered, and not logged."""

    name: ClassVar[str] = "the server's sums"
    lost: tuple[Balance, ...]
    now: datetime

    @classmethod
    def read(cls, at: At) -> Self:
        return cls(tuple(b for b in served_balances(at.context.stores.log_folder) if not b.holds), at.now)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((f"log: {b.stage}", Unhealthy("answered rows are missing from the log")) for b in self.lost)

    def judged(self) -> Collection[Kind]:
        return ()

    def findings(self) -> Iterator[Finding]:
        for balance in self.lost:
            summary = f"the log is missing rows: {balance.stage}: {balance.rows_in:,} answered, {balance.accounted:,} logged"
            fix = "keep the log as is, and report this"
            yield Finding(DATA_QUALITY, f"log: {balance.stage}", self.now, "page", summary, fix, balance.to_dict())


@monitor(rank=110)
@dataclass(frozen=True)
class Shadow:
    """The windows of the challenger that shadows now: a broken experiment is one whose bundles are not asked the same."""

    name: ClassVar[str] = "shadow"
    windows: tuple[Paired, ...]

    @classmethod
    def read(cls, at: At) -> Self | None:
        """The first window is left out: a server begins with a challenger when it hears of it."""
        if at.release.challenger is None or at.context.endpoint.task.outcomes_belong_to_the_answer:
            return None  # of answers, a share is asked for on purpose: see `noria.monitoring.answers.shadow`
        return cls(tuple(shadow_windows(at.context, at.release.challenger, at.release.challenger_since + at.context.grid.tick)))

    def healths(self) -> Iterator[tuple[str, Health]]:
        if self.windows:
            last = self.windows[-1]
            judged = {"rows": last.asked, "paired": last.paired}
            yield (
                self.name,
                Unhealthy(f"only {last.share:.0%} of its requests match the champion") if last.broken else Healthy(judged),
            )

    def judged(self) -> Collection[Kind]:
        return ()

    def findings(self) -> Iterator[Finding]:
        if not self.windows or not self.windows[-1].broken:
            return
        last = self.windows[-1]
        whole = [i for i, window in enumerate(self.windows) if not window.broken]
        first = self.windows[whole[-1] + 1 if whole else 0].start
        summary = (
            f"the challenger scored {last.scored:,} rows and the champion {last.asked:,}: only {last.paired:,} belong to the same requests"
        )
        fix = "only complete windows count for the shadow: find out why it misses requests (its errors in /metrics, cached answers)"
        evidence = {"asked": last.asked, "scored": last.scored, "paired": last.paired}
        yield Finding(DATA_QUALITY, "shadow: other requests", first, "inform", summary, fix, evidence)


@monitor(rank=120)
@dataclass(frozen=True)
class ReleasedBundles:
    """Bundles that answered as champion in the newest window, though the catalog never made them so."""

    name: ClassVar[str] = "released bundles"
    unreleased: tuple[str, ...]
    since: datetime

    @classmethod
    def read(cls, at: At) -> Self:
        return cls(tuple(_unreleased_bundles(at.context)), at.context.grid.floor(at.now) - at.context.grid.tick)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from ((self.name, Unhealthy(f"bundle {short(b)} is serving but was never released")) for b in self.unreleased)

    def judged(self) -> Collection[Kind]:
        return ()

    def findings(self) -> Iterator[Finding]:
        for bundle in self.unreleased:
            summary = f"bundle {short(bundle)} is serving but was never released"
            fix = "find the server that uses it and where it was started from: `noria status`, /status"
            yield Finding(DATA_QUALITY, "predictions: another model", self.since, "page", summary, fix, {"bundle": bundle})


def served_balances(log_folder: Path) -> list[Balance]:
    """The sums that an endpoint's servers state: rows answered = rows logged, of each writer."""
    found = []
    for path in sorted(log_folder.glob(f"*/{SUMS_FILE}")):
        try:
            told = msgspec.json.decode(path.read_bytes())
            found.append(Balance(f"served {told['writer']}", told["answered"], {"logged": told["logged"]}))
        except (msgspec.DecodeError, KeyError, TypeError):
            found.append(Balance(f"served {path.parent.name}, whose sums can't be read", 1, {"logged": 0}))
    return found


def _unreleased_bundles(context: WatchedEndpoint) -> list[str]:
    return sorted(newest_bundles(context.stores.catalog, context.endpoint.name, CHAMPION) - released_champions(context))
