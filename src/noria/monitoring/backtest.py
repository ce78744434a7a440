"""Backtests of the drift monitor: the alarms it would have raised over history, and how often it would cry wolf.

Known incidents say which alarms were right and how late they were. Where none are known, the stable past itself, drawn anew in blocks,
says how many alarms a year a setting would raise while nothing is wrong, and so which setting spends a budget best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from scipy.special import chdtri

from noria.core.calendar import Calendar
from noria.core.clock import YEAR
from noria.monitoring.drift import DriftDetector
from noria.monitoring.windows import Window
from noria.profiles.profile import Profile
from noria.statistics.bootstrap import resampled

WINDOWS, MIN_YEARS, MAX_YEARS = 60 * YEAR.days, 10, 60  # that are drawn for a suggestion
SENSITIVITIES = (1, 2, 3, 5, 7, 10, 14, 20, 30, 50)
LATE = timedelta(days=7)  # after an incident's end, an alarm still belongs to it


@dataclass(frozen=True)
class Alarm:
    """One alarm of a backtest: when, how long it lasted, what led it, what it looked like, and the incident it belongs to."""

    at: datetime
    lasted: timedelta
    column: str
    summary: str
    incident: str | None = None
    delay: timedelta | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "lasted_hours": self.lasted.total_seconds() / 3600,
            "column": self.column,
            "summary": self.summary,
            "incident": self.incident,
            "delay_hours": None if self.delay is None else self.delay.total_seconds() / 3600,
        }


@dataclass(frozen=True)
class Incident:
    """Something that is known to have been wrong from `start` to `end`."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Suggestion:
    """How many alarms a year each sensitivity would raise while nothing is wrong, beginning anew after each: the mean, and its upper 90 %
    bound."""

    budget: float
    alarms: dict[int, tuple[float, float]]

    @property
    def best(self) -> int | None:
        """The highest sensitivity whose upper bound keeps the budget; None if none does."""
        within = [s for s, (_, upper) in self.alarms.items() if upper <= self.budget]
        return max(within, default=None)

    def to_dict(self) -> dict[str, Any]:
        return {"sensitivity": self.best, "false_alarms_per_year": {str(s): mean for s, (mean, _) in self.alarms.items()}}


def join(alarms: Sequence[Alarm], incidents: Sequence[Incident], tick: timedelta) -> list[Alarm]:
    """The alarms with the incidents that they belong to, and how late each was."""
    found = []
    for alarm in alarms:
        known = next((i for i in incidents if i.start <= alarm.at <= i.end + LATE + tick), None)
        found.append(alarm if known is None else replace(alarm, incident=known.name, delay=alarm.at - known.start))
    return found


def suggest(reference: Profile, threshold: float, budget: float, calendar: Calendar, seed: int) -> Suggestion:
    """How many false alarms a year each sensitivity would raise, from years drawn from the reference's own windows."""
    rng = np.random.default_rng(seed)
    counts = np.zeros(len(SENSITIVITIES), np.int64)
    first, a_year = int(reference.numbers[-1]) + 1, calendar.year or YEAR.days
    wanted = first + np.arange(a_year)
    phases, wanted_phases = calendar.phases(reference.numbers), calendar.phases(wanted)
    starts = [calendar.start(number) for number in wanted.tolist()]
    years = min(max(round(WINDOWS / a_year), MIN_YEARS), MAX_YEARS)
    for _ in range(years):
        places = resampled(phases, wanted_phases, calendar.season, 2 * calendar.season, rng)
        detector = DriftDetector(reference, threshold, calendar, sensitivity=1.0)
        detector.add(
            Window(start, "", "", int(reference.rows[p]), reference.windows[p], None) for start, p in zip(starts, places, strict=True)
        )
        counts += detector.alarms_at([threshold / sensitivity for sensitivity in SENSITIVITIES])
    alarms = {s: (n / years, float(chdtri(2 * n + 2, 0.1)) / 2 / years) for s, n in zip(SENSITIVITIES, counts.tolist(), strict=True)}
    return Suggestion(budget, alarms)
