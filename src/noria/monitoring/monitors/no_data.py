"""What should be seen by now and is not: predictions in the newest window, and outcomes that are due."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from noria.core.health import Health
from noria.evaluation.generation import Generation
from noria.evaluation.performance import Performance
from noria.models.registry import CHAMPION
from noria.monitoring.findings import Finding, Kind
from noria.monitoring.monitors.reading import NO_DATA, At, Blind, monitor
from noria.monitoring.monitors.volume import PREDICTIONS
from noria.monitoring.watched import WatchedEndpoint
from noria.stores.windows import newest_windows

DARK = 2  # matured windows without outcomes, from which on they count as stopped
MIN_KNOWN = 0.5  # of the outcomes that are due
LOOKED_AT = 60  # windows
MIN_MISSED = 8.0  # ratings that were to be expected, of which none came: e⁻⁸ is the chance of that


@monitor(rank=130)
@dataclass(frozen=True)
class NoData:
    """Predictions and outcomes that are missing."""

    name: ClassVar[str] = "missing data"
    blind: tuple[Blind, ...]

    @classmethod
    def read(cls, at: At) -> Self:
        return cls(tuple(_missing(at.context, at.now)))

    def healths(self) -> Iterator[tuple[str, Health]]:
        yield from (blind.health for blind in self.blind)

    def judged(self) -> Collection[Kind]:
        return {NO_DATA}

    def findings(self) -> Iterator[Finding]:
        yield from (blind.finding for blind in self.blind)


def _missing(context: WatchedEndpoint, now: datetime) -> Iterator[Blind]:
    rows = newest_windows(context.stores.catalog, context.endpoint.name, CHAMPION, LOOKED_AT)
    if rows and rows[0].rows == 0:
        silent = next((i for i, r in enumerate(rows) if r.rows), len(rows))
        yield Blind(PREDICTIONS, rows[silent - 1].start, "no predictions were logged: the inputs can't be evaluated")
    overdue = now - context.endpoint.model.label.maturity - 3 * context.grid.tick
    lost = [r.start for r in rows if r.performance is None and r.rows and r.start < overdue]
    if lost:
        yield Blind("due windows", min(lost), f"{len(lost)} windows are due and can't be evaluated: their log is gone")
    matured = [(r.start, Performance.of(r.performance)) for r in rows if r.performance is not None and r.rows]
    rated = isinstance(context.endpoint.task, Generation)  # by who likes to
    dark = next((i for i, (_, p) in enumerate(matured) if (_given if rated else _due)(p)), len(matured))
    if dark >= DARK and (not rated or ratings_stopped([p for _, p in matured[dark:]], [p for _, p in matured[:dark]])):
        newest = matured[0][1]
        share = newest.rows / max(newest.rows + newest.missing, 1)
        why = f"only {share:.0%} of the due outcomes have arrived: performance can't be evaluated"
        yield Blind("outcomes", matured[dark - 1][0], why)


def _due(window: Performance) -> bool:
    """Whether enough of the outcomes that are due have come."""
    return window.rows >= MIN_KNOWN * (window.rows + window.missing)


def _given(window: Performance) -> bool:
    """Whether anybody has said if an answer helped: nobody has to."""
    return window.rows > 0


def ratings_stopped(before: Sequence[Performance], dark: Sequence[Performance]) -> bool:
    """Whether nobody rates answers any more: by how many were rated in the windows before, some ratings were to be expected since."""
    rated, answers = sum(p.rows for p in before), sum(p.rows + p.missing for p in before)
    return rated * sum(p.rows + p.missing for p in dark) >= MIN_MISSED * max(answers, 1)
