"""The drift monitor over a project's own history: what it would have told, had it watched the features that the tables give."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import YEAR, moment
from noria.core.errors import UserMistake
from noria.data.rows import stacked
from noria.features.compile import AT
from noria.features.fields import is_block, table_rows
from noria.monitoring.backtest import Alarm, Incident, Suggestion, join, suggest
from noria.monitoring.drift_reading import MIN_REFERENCE
from noria.monitoring.findings import OVER
from noria.monitoring.watched import WatchedEndpoint
from noria.monitoring.windows import Window
from noria.profiles.inputs import InputProjections
from noria.profiles.profile import Profile, profile
from noria.profiles.projection import seconds_of


class NoHistory(UserMistake):
    """There are too few windows to backtest a monitor on."""

    code = "NR-605"

    def __init__(self, windows: int, reference: int, least: int) -> None:
        super().__init__(
            what="there is too little history to backtest a monitor",
            where=f"{windows} windows have rows; {reference} form the reference (at least {least} required), and at least "
            f"{MIN_REFERENCE} more are needed to evaluate",
            fix="ingest more history, or choose another reference (--reference)",
        )


@dataclass(frozen=True)
class Backtested:
    """What the monitor would have told. missed: the incidents that no alarm belongs to; suggestion: None where it was not asked for"""

    windows: int
    judged_from: datetime
    judged_to: datetime
    alarms: list[Alarm]
    missed: list[str]
    suggestion: Suggestion | None

    @property
    def years(self) -> float:
        return (self.judged_to - self.judged_from) / YEAR

    @property
    def outside_per_year(self) -> float:
        """How many alarms a year belong to no known incident."""
        return sum(a.incident is None for a in self.alarms) / self.years

    def to_dict(self) -> dict[str, Any]:
        return {
            "windows": self.windows,
            "from": self.judged_from.isoformat(),
            "to": self.judged_to.isoformat(),
            "alarms": [a.to_dict() for a in self.alarms],
            "alarms_per_year": len(self.alarms) / self.years,
            "outside_incidents_per_year": self.outside_per_year,
            "missed": self.missed,
            "suggestion": None if self.suggestion is None else self.suggestion.to_dict(),
        }


def backtest(
    context: WatchedEndpoint,
    end: datetime,
    reference: int,
    budget: float,
    sensitivity: float,
    incidents: list[Incident],
    told: Callable[[float], None],
    *,
    suggesting: bool,
) -> Backtested:
    """Watch the features of all history up to `end`, from a reference of the first so many windows on. Raises `NoHistory`."""
    history = _history(context, end, reference)
    windows = history.windows
    least = context.grid.calendar.least(MIN_REFERENCE)
    if reference < least or len(windows) < reference + MIN_REFERENCE:
        raise NoHistory(len(windows), reference, least)
    threshold = context.threshold(budget)
    known = _profile(context, history.names, windows[:reference])
    alarms = _alarms(context, history, reference, known, threshold, sensitivity, told)
    joined = join(alarms, incidents, context.grid.tick)
    missed = [i.name for i in incidents if i.name not in {a.incident for a in joined} and windows[reference][0] <= i.end]
    suggestion = suggest(known, threshold, budget, context.grid.calendar, context.randomness.seed("backtest")) if suggesting else None
    return Backtested(len(windows), windows[reference][0], windows[-1][0] + context.grid.tick, joined, missed, suggestion)


@dataclass(frozen=True)
class _History:
    """The features of every window of history, as numbers `(rows, columns)`, and the columns' names."""

    windows: list[tuple[datetime, NDArray[Any]]]
    names: tuple[str, ...]
    sources: Mapping[str, str]


def _history(context: WatchedEndpoint, end: datetime, reference: int) -> _History:
    """Features that are no numbers are projected as a bundle's are, fitted on the first so many windows that have rows."""
    offline, tick = context.facts.offline, context.grid.tick
    first = context.grid.ceiling(offline.first())
    starts = [first + i * tick for i in range(max((context.grid.floor(end) - first) // tick, 0))]
    there = [(start, rows) for start in starts if (rows := offline.rows(start, start + tick)).num_rows]
    features, sources = [table_rows(offline.fields, rows) for _, rows in there], offline.feature_set.sources
    if is_block(offline.fields) or not there:
        blocks = [(start, rows.block) for (start, _), rows in zip(there, features, strict=True)]
        return _History(blocks, offline.feature_set.features, sources)
    projections = InputProjections.fit(stacked(features[:reference]))
    times = [seconds_of(rows.column(AT)) for _, rows in there]
    windows = [(start, projections.of(rows, at)) for (start, _), rows, at in zip(there, features, times, strict=True)]
    return _History(windows, projections.names, {column: sources[name] for column, name in projections.inputs.items()})


def _profile(context: WatchedEndpoint, names: tuple[str, ...], windows: list[tuple[datetime, NDArray[Any]]]) -> Profile:
    numbers = np.repeat([context.grid.number(start) for start, _ in windows], [len(values) for _, values in windows])
    return profile(names, np.concatenate([values for _, values in windows]), numbers)


def _alarms(
    context: WatchedEndpoint,
    history: _History,
    reference: int,
    known: Profile,
    threshold: float,
    sensitivity: float,
    told: Callable[[float], None],
) -> list[Alarm]:
    tick, windows = context.grid.tick, history.windows
    detector = context.detectors.drift(known, threshold, sensitivity)
    alarms: list[Alarm] = []
    since: int | None = None
    for i in range(reference, len(windows)):
        start, values = windows[i]
        detector.add([Window(start, "", "", len(values), known.statistics(values), None)])
        reading = detector.reading()
        told((i + 1 - reference) / (len(windows) - reference))
        now = len(reading.pooled) - 1
        evidence, wrong = float(reading.pooled[now]), reading.faults_of(now)
        if since is None and (evidence >= reading.threshold or wrong):
            since = i
            column = reading.leading(now)[0][0]
            summary = wrong[0].summary if wrong else reading.kind(now, history.sources, column)
            alarms.append(Alarm(start + tick, tick, column, summary))
        elif since is not None:
            alarms[-1] = Alarm(alarms[-1].at, (i - since + 1) * tick, alarms[-1].column, alarms[-1].summary)
            if evidence < OVER * reading.threshold and not wrong:
                since = None
            elif i - since >= context.grid.calendar.lasting:  # as a person or a retraining would: this is how it is now
                known = _profile(context, history.names, windows[max(i + 1 - reference, 0) : i + 1])
                detector = context.detectors.drift(known, threshold, sensitivity)
                since = None
    return alarms


def read_incidents(path: Path) -> list[Incident]:
    """Known incidents from CSV: `name`, `start` and `end` (times with a zone; without an end, an incident is a moment)."""
    found = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                try:
                    start = moment(row["start"])
                    end = moment(row["end"]) if (row.get("end") or "").strip() else start
                    found.append(Incident(row["name"], start, end))
                except (KeyError, AttributeError):
                    raise _no_incident(path, number, "it has no name or no start") from None
                except UserMistake as error:
                    raise _no_incident(path, number, error.what) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserMistake(what="the incidents can't be read", where=f"{path}: {error}", fix="give a CSV file") from error
    return found


def _no_incident(path: Path, line: int, why: str) -> UserMistake:
    return UserMistake(
        what="this line is not a valid incident",
        where=f"{path}, line {line}: {why}",
        fix="write name,start,end as the header, and times such as 2024-03-01T00:00:00Z",
    )
