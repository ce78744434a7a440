"""What a monitor must offer, and all of them read at one moment. One that fails is itself a finding: nothing is healthy by default."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from typing import Any, ClassVar, Protocol, Self, TypeVar

from noria.core.health import Health, Unhealthy, Unknown
from noria.evaluation.performance import Performance
from noria.monitoring.findings import Finding, Kind
from noria.monitoring.monitor import Monitor
from noria.monitoring.recorded import baseline_windows, traffic_of, windows_of
from noria.monitoring.traffic import Traffic
from noria.monitoring.watched import WatchedEndpoint
from noria.monitoring.windows import Window
from noria.release.releases import Release

logger = logging.getLogger("noria.monitoring")

NO_DATA: Kind = "no_data"


class Reading(Protocol):
    """What one monitor says of an endpoint at a moment."""

    name: ClassVar[str]

    @classmethod
    def read(cls, at: At) -> Self | None:
        """Read the monitor; None where nothing is declared for it."""

    def healths(self) -> Iterable[tuple[str, Health]]:
        """What it says of itself, in its parts, each under a name."""

    def judged(self) -> Collection[Kind]:
        """The kinds of findings of which it can say now that one is over: what could not be judged is not over."""

    def findings(self) -> Iterable[Finding]:
        """What is wrong now."""


R = TypeVar("R", bound=Reading)
_registered: dict[type[Any], int] = {}


def monitor(*, rank: int) -> Callable[[type[R]], type[R]]:
    """Register a monitor. rank: where it stands among the others when people read them, lowest first"""

    def register(reading: type[R]) -> type[R]:
        _registered[reading] = rank
        return reading

    return register


@cache
def registered() -> tuple[type[Reading], ...]:
    """All monitors: those of every module in this folder, by rank."""
    folder = __package__ or ""
    for module in pkgutil.iter_modules(importlib.import_module(folder).__path__):
        importlib.import_module(f"{folder}.{module.name}")
    return tuple(sorted(_registered, key=lambda reading: _registered[reading]))


@dataclass(frozen=True)
class Blind:
    """Something that can't be seen: what, since when, and why."""

    subject: str
    since: datetime
    why: str

    @property
    def health(self) -> tuple[str, Health]:
        return self.subject, Unknown(self.why)

    @property
    def finding(self) -> Finding:
        fix = "until this is fixed, the health of this endpoint is unknown: see `noria status`"
        return Finding(NO_DATA, self.subject, self.since, "page", f"{self.subject}: {self.why}", fix, {"why": self.why})


@dataclass
class At:
    """An endpoint at a moment, as monitors read it: its context, what is declared, and what is released."""

    context: WatchedEndpoint
    monitor: Monitor
    release: Release
    now: datetime
    failed: list[Blind] = field(default_factory=list)
    _read: dict[type[Any], Any] = field(default_factory=dict)

    def of(self, reading: type[R]) -> R | None:
        """What another monitor says at the same moment; None where it is not declared, or failed."""
        if reading not in self._read:
            try:
                self._read[reading] = reading.read(self)
            except Exception as error:
                name = self.context.endpoint.name
                logger.error("the monitor %s of %s failed: %r", reading.name, name, error, exc_info=logger.isEnabledFor(logging.DEBUG))
                self.failed.append(Blind(reading.name, self.now, f"it failed: {type(error).__name__}: {error}"))
                self._read[reading] = None
        found: R | None = self._read[reading]
        return found

    @cached_property
    def windows(self) -> list[Window]:
        """The champion's windows since it was released, without their statistics."""
        return windows_of(self.context, self.release.champion, self.release.champion_since, statistics=False)

    @cached_property
    def baseline(self) -> list[Performance]:
        """The champion's performance on its holdout, window by window."""
        return baseline_windows(self.context, self.release.champion)

    @cached_property
    def traffic(self) -> list[Traffic]:
        """What the traffic of the last windows was like."""
        return traffic_of(self.context)


@dataclass(frozen=True)
class Monitors:
    """What every monitor of an endpoint says; failed: those that could not."""

    readings: tuple[Reading, ...] = ()
    failed: tuple[Blind, ...] = ()

    def of(self, reading: type[R]) -> R | None:
        """What one monitor says."""
        return next((r for r in self.readings if isinstance(r, reading)), None)

    def healths(self) -> list[tuple[str, Health]]:
        """What each says of itself; what can't be seen is unknown."""
        return [health for reading in self.readings for health in reading.healths()] + [blind.health for blind in self.failed]

    def told(self) -> Iterator[tuple[str, Health, list[Finding]]]:
        """The same, with the findings that say why a part is unhealthy: all of its monitor's, or those about what it is named for."""
        for reading in self.readings:
            parts = list(reading.healths())
            unhealthy = any(isinstance(health, Unhealthy) for _, health in parts)
            found, names = list(reading.findings()) if unhealthy else [], {name for name, _ in parts}
            for name, health in parts:
                own = [f for f in found if len(names) == 1 or f" {name}".endswith(f" {f.subject}")]
                yield name, health, own if isinstance(health, Unhealthy) else []
        yield from ((*blind.health, []) for blind in self.failed)

    def findings(self) -> Iterator[Finding]:
        """Everything that is wrong."""
        for reading in self.readings:
            yield from reading.findings()
        yield from (blind.finding for blind in self.failed)

    def judged(self) -> set[Kind]:
        """The kinds of findings that could be judged."""
        return {NO_DATA}.union(*(reading.judged() for reading in self.readings))


def read_monitors(context: WatchedEndpoint, release: Release, now: datetime) -> Monitors:
    """Read all monitors of an endpoint with this release; none where nothing is declared."""
    if context.monitor is None:
        return Monitors()
    at = At(context, context.monitor, release, now)
    readings = [at.of(reading) for reading in registered()]
    return Monitors(tuple(reading for reading in readings if reading is not None), tuple(at.failed))
