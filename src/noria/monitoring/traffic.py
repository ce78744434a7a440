"""Traffic: what requests say of themselves, whatever the model: the same fact asked again and again, and answers that come too late.

An objective (99 % of answers in time) is watched by its burn rate, the speed at which it spends what it may miss, over a long and a short
stretch at once: the one says that it matters, the other that it still goes on (Beyer et al., "The Site Reliability Workbook", chapter 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from noria.core.health import Health, Healthy, Unhealthy, Unknown

LEAST_PAST = 14  # windows
LEAST_REPEATED, TIMES = 0.02, 3.0  # of the keys, and of what was usual at most
IN_TIME = 0.99  # of the answers
BURNS = ((1, 1, 3.0), (7, 1, 1.5))  # windows of the long and of the short stretch, and the burn rate that is too fast in both


@dataclass(frozen=True)
class Traffic:
    """One window: its rows, those of them with a key, those whose key came before in the window, and those answered too late."""

    start: datetime
    rows: int
    keys: int
    repeated: int
    slow: int


@dataclass(frozen=True)
class Repeated:
    """The newest window repeats itself. usual: the largest share before"""

    start: datetime
    share: float
    usual: float


def read_repeated(windows: Sequence[Traffic]) -> list[Repeated]:
    """Whether the newest window asks about the same keys more often than any before it."""
    if len(windows) <= LEAST_PAST or not windows[-1].keys:
        return []
    share = windows[-1].repeated / windows[-1].keys
    usual = max(w.repeated / w.keys if w.keys else 0.0 for w in windows[:-1])
    return [Repeated(windows[-1].start, share, usual)] if share > max(LEAST_REPEATED, TIMES * usual) else []


@dataclass(frozen=True)
class ObjectiveReading:
    """How fast an objective spends what it may miss: burn rates by stretch (windows); 1 spends it just within the objective."""

    windows: int
    burns: dict[int, float]
    alarming: bool
    since: datetime | None

    @property
    def health(self) -> Health:
        if not self.windows:
            return Unknown("no answer was given yet")
        if self.alarming:
            return Unhealthy(f"answers come too late: {self.burns[1]:.1f} times as many as the objective allows")
        return Healthy({"windows": self.windows, "burn rate": self.burns.get(1, 0.0)})

    def to_dict(self) -> dict[str, Any]:
        return {"burn_rates": {str(stretch): rate for stretch, rate in self.burns.items()}, "objective": IN_TIME}


def read_objective(windows: Sequence[tuple[datetime, int, int]], objective: float = IN_TIME) -> ObjectiveReading:
    """The burn rates of windows (start, bad, all), in the order of time."""

    def burn(stretch: int) -> float:
        bad, rows = sum(w[1] for w in windows[-stretch:]), sum(w[2] for w in windows[-stretch:])
        return bad / rows / (1 - objective) if rows else 0.0

    burns = {stretch: burn(stretch) for stretch in sorted({s for long, short, _ in BURNS for s in (long, short)})}
    alarming = any(min(burns[long], burns[short]) > limit for long, short, limit in BURNS)
    since = None
    if alarming:
        for start, bad, rows in reversed(windows):
            if not rows or bad / rows <= 1 - objective:
                break
            since = start
    return ObjectiveReading(len(windows), burns, alarming, since)
