"""Traffic: what requests say of themselves, whatever the model: the same fact asked again and again, and objectives that are missed.

An objective (99 % of answers in time, or given, or from fresh facts) is watched by its burn rate, the speed at which it spends what it may
miss, over a long and a short stretch at once: the one says that it matters, the other that it still goes on (Beyer et al., "The Site
Reliability Workbook", chapter 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from noria.core.health import Health, Healthy, Unhealthy, Unknown

MIN_PAST = 14  # windows
MIN_REPEATED, TIMES = 0.02, 3.0  # of the keys, and of what was usual at most
IN_TIME = 0.99  # of the answers
MIN_MISSED = 5  # rows in the long stretch, below which it may be an accident
BURNS = ((1, 1, 3.0), (7, 1, 1.5))  # windows of the long and of the short stretch, and the burn rate that is too fast in both


@dataclass(frozen=True)
class Traffic:
    """One window: its rows, those of them with a key, those whose key came before in the window, and those answered too late.

    fallbacks: rows that a fallback answered, which are not among `rows`; failed: rows that nobody answered, None where that is not known
    stale: by table, rows answered while the newest row known of it was too old
    """

    start: datetime
    rows: int
    keys: int
    repeated: int
    slow: int
    fallbacks: int = 0
    failed: int | None = 0
    stale: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Repeated:
    """The newest window repeats itself. usual: the largest share before"""

    start: datetime
    share: float
    usual: float


def read_repeated(windows: Sequence[Traffic]) -> list[Repeated]:
    """Whether the newest window asks about the same keys more often than any before it."""
    if len(windows) <= MIN_PAST or not windows[-1].keys:
        return []
    share = windows[-1].repeated / windows[-1].keys
    usual = max(w.repeated / w.keys if w.keys else 0.0 for w in windows[:-1])
    return [Repeated(windows[-1].start, share, usual)] if share > max(MIN_REPEATED, TIMES * usual) else []


@dataclass(frozen=True)
class Objective:
    """A promise to callers. may_miss: the share of rows for which it may be broken; broken: what it looks like then, in words"""

    name: str
    may_miss: float
    broken: str
    fix: str


@dataclass(frozen=True)
class Missed:
    """One window: rows for which an objective was missed, None where that is not known, of all."""

    start: datetime
    bad: int | None
    rows: int


@dataclass(frozen=True)
class ObjectiveReading:
    """How fast an objective spends what it may miss: burn rates by stretch (windows); 1 spends it just within the objective.

    unknown: why nothing is known of the newest window
    """

    objective: Objective
    windows: int
    burns: dict[int, float]
    alarming: bool
    since: datetime | None
    unknown: str | None

    @property
    def summary(self) -> str:
        often = f"{self.burns[1]:.1f} times as often as the objective allows ({self.objective.may_miss:.3g})"
        return f"{self.objective.broken} {often}"

    @property
    def health(self) -> Health:
        if not self.windows:
            return Unknown("no request was answered yet")
        if self.alarming:
            return Unhealthy(self.summary)
        if self.unknown is not None:
            return Unknown(self.unknown)
        return Healthy({"windows": self.windows, "burn rate": self.burns.get(1, 0.0)})

    def to_dict(self) -> dict[str, Any]:
        return {"burn_rates": {str(stretch): rate for stretch, rate in self.burns.items()}, "objective": 1 - self.objective.may_miss}


def read_objective(objective: Objective, windows: Sequence[Missed]) -> ObjectiveReading:
    """The burn rates of windows in the order of time."""

    def missed(stretch: int) -> int:
        return sum(w.bad or 0 for w in windows[-stretch:])

    def burn(stretch: int) -> float:
        rows = sum(w.rows for w in windows[-stretch:] if w.bad is not None)
        return missed(stretch) / rows / objective.may_miss if rows else 0.0

    burns = {stretch: burn(stretch) for stretch in sorted({s for long, short, _ in BURNS for s in (long, short)})}
    alarming = any(missed(long) >= MIN_MISSED and min(burns[long], burns[short]) > limit for long, short, limit in BURNS)
    since = None
    if alarming:
        for window in reversed(windows):
            if not window.rows or (window.bad or 0) / window.rows <= objective.may_miss:
                break
            since = window.start
    return ObjectiveReading(objective, len(windows), burns, alarming, since, _unknown(windows[-1]) if windows else None)


def _unknown(newest: Missed) -> str | None:
    if newest.bad is None:
        return "the newest window does not say how often it was missed"
    return None if newest.rows else "no requests in the newest window"
