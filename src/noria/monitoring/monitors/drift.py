"""Drift and faults of the champion's inputs and scores, window by window, against its sealed profile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import from_epoch
from noria.core.health import Health
from noria.models.registry import CHAMPION
from noria.monitoring.drift_reading import SHARES_OF_ROWS, DriftReading, FaultGroup
from noria.monitoring.findings import Finding, Kind, Severity
from noria.monitoring.monitor import Monitor
from noria.monitoring.monitors.reading import At, monitor
from noria.monitoring.recorded import answered_rows, profiled, windows_of
from noria.monitoring.watched import WatchedEndpoint
from noria.profiles.profile import Profile
from noria.serving.log.predictions import Predictions

KINDS: tuple[Kind, ...] = ("drift", "data_quality")
ANSWERS = "answers"  # what their numbers are of, where there are several


@monitor(rank=30)
@dataclass(frozen=True)
class InputDrift:
    """The drift detector's reading of the champion, which goes on from round to round."""

    name: ClassVar[str] = "drift"
    reading: DriftReading
    at: At | None = None

    @classmethod
    def read(cls, at: At) -> Self:
        context, champion, since = at.context, at.release.champion, at.release.champion_since
        detector = context.detectors.running(champion, since, at.monitor)
        judged = detector.judged_to
        first = since if judged is None else judged + context.grid.tick
        detector.add(w for w in windows_of(context, champion, first) if w.role == CHAMPION)
        return cls(detector.reading(), at)

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield self.name, self.reading.health

    def judged(self) -> Collection[Kind]:
        return KINDS if len(self.reading.pooled) else ()

    def findings(self) -> Iterator[Finding]:
        """What begins to move together in one source is one finding, by the column that leads; what begins later, or in another source, is
        a second: an old one must not hide a new one. What faults tell is not told as drift once more. Several numbers of an answer are one
        source."""
        assert self.at is not None
        reading, champion = self.reading, self.at.release.champion
        if not len(reading.pooled):
            return
        sources, answers = self.at.context.own.sources(champion), self.at.context.endpoint.task.monitored
        together = dict.fromkeys(answers, ANSWERS) if len(answers) > 1 else {}
        yield from faults_of(self.at.context, reading, champion)
        for moved in reading.moved(sources | together, faults_too=False):
            first, start = moved.columns[0], moved.start
            kind = reading.kind(start, sources, first)
            summary = reading.summary(
                moved, kind, f"{moved.source}: {'answers' if first in answers else 'inputs'} have drifted, led by {first}", named=3
            )
            evidence = {**reading.to_dict(start), "looks_like": kind}
            severity: Severity = "page" if kind == "upstream fault" else "inform"
            fix = _fix_for(kind, moved.source)
            yield Finding("drift", moved.subject, reading.since(moved), severity, summary, fix, evidence, episode=True)


def drift_until(context: WatchedEndpoint, declared: Monitor, champion: str, champion_since: datetime, end: datetime) -> DriftReading:
    """What the drift monitor said of a champion when the window that ends then had closed."""
    detector = context.detectors.of_champion(champion, declared)
    detector.add(w for w in windows_of(context, champion, champion_since, end) if w.role == CHAMPION)
    return detector.reading()


class Logged(NamedTuple):
    """A champion's window as it was logged, also in the columns of the profile of what the champion was trained on. labels: what codes of
    categories stand for"""

    profile: Profile
    rows: Predictions
    columns: NDArray[np.float64]
    labels: Mapping[str, Sequence[str]]


def faults_of(context: WatchedEndpoint, reading: DriftReading, champion: str) -> Iterator[Finding]:
    """The faults of a reading's newest window; in which slice, and from which row on, is found in the log when one opens."""
    logged = cache(partial(_logged, context, champion))  # several faults ask for the same window
    for group in reading.faulty(len(reading.pooled) - 1, context.own.sources(champion)):
        plain = _fault(group, reading.starts[group.first])
        yield replace(plain, details=partial(_detailed, group, reading, logged))


def _detailed(group: FaultGroup, reading: DriftReading, logged: Callable[[datetime], Logged | None]) -> Finding:
    since = reading.starts[group.first]
    cut = _slice(logged(reading.starts[-1]), group.columns[0]) if group.statistic == "slices" else None
    first = _first_bad(logged(since), group) if group.statistic in SHARES_OF_ROWS else None  # the others no row shows by itself
    return _fault(group, since, cut, first)


def _fault(group: FaultGroup, since: datetime, cut: str | None = None, first: dict[str, Any] | None = None) -> Finding:
    """What is wrong with a group of columns. cut: the slice it is wrong in; first: the first prediction that shows it"""
    summary = f"{group.summary(f' ({cut})' if cut else '')}, since {since:%Y-%m-%d %H:%M} UTC"
    evidence = {
        "columns": group.columns,
        "statistic": group.statistic,
        "share": group.faults[0].share,
        "source": group.source,
        "slice": cut,
        "first_row": first,
    }
    summary += f"; first in prediction {first['id']}" if first else ""
    return Finding("data_quality", group.subject, since, "page", summary, _fix_for("upstream fault", group.source), evidence)


def _logged(context: WatchedEndpoint, champion: str, start: datetime) -> Logged | None:
    """What a champion answered in a window; None where the log can't tell any more."""
    rows = answered_rows(context, champion, start)
    if rows is None:
        return None
    labels = context.stores.category_labels(champion)
    return Logged(context.stores.profile(champion), rows, profiled(context, champion, rows), labels)


def _slice(logged: Logged | None, column: str) -> str | None:
    """The slice in which a column has moved, such as `origin_code=2`."""
    found = None if logged is None else logged.profile.slice_that_moved(logged.columns, column)
    if logged is None or found is None:
        return None
    name, value = found
    known = logged.labels.get(name, ())
    return f"{name}={known[int(value)]}" if 0 <= value < len(known) else f"{name}={value:g}"


def _first_bad(logged: Logged | None, group: FaultGroup) -> dict[str, Any] | None:
    """The first prediction that shows a fault by itself: for `noria explain`."""
    if logged is None:
        return None
    rows, row = logged.rows, logged.profile.first_bad(logged.columns, group.columns[0], group.statistic)
    if row is None:
        return None
    return {"id": rows.ids[row], "key": rows.keys[row], "received_at": from_epoch(int(rows.received_us[row])).isoformat()}


def _fix_for(kind: str, source: str) -> str:
    origin = f"the table {source}" if source else "their source"
    return {
        "upstream fault": f"check {origin} since then, before anything is retrained on it",
        "changed relation": f"check whether {origin} still means the same; if so, retrain (`noria train`)",
    }.get(kind, "if the change is real, retrain (`noria train`); `noria monitor report` shows before and after")
