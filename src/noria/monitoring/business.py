"""Business metrics: any number that SQL can draw from a window's predictions and outcomes, watched as a series of its own.

A number is scored against its own past from window to window (its week, its unrest), what moves it by less than `by` is nothing, and scores
accumulate as e-detectors in both directions against the budget. What has been told for four weeks is how things are from then on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.calendar import DAILY, Calendar
from noria.core.errors import UserMistake
from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.core.sql import connect
from noria.statistics.baseline import Past
from noria.statistics.e_detector import ShiryaevRoberts

Floats = NDArray[np.float64]

MIN_PAST, MAX_PAST = 14, 120  # windows
MAX_SCORE = 3.2
CALM = 0.05  # of the threshold, above which nothing is learnt


@dataclass(frozen=True)
class BusinessMetric:
    """A number of each window.

    name: as findings and reports have it
    sql: one number from `predictions` and `outcomes`
    by: how far it may move before it matters, in its own unit

    `predictions` has `key`, `received_at`, `prediction` and a column for each feature; `outcomes` has `key` and `outcome`. Where the SQL
    reads `outcomes`, the number is drawn once they are due.
    """

    name: str
    sql: str
    by: float

    def __post_init__(self) -> None:
        if not self.by > 0:
            raise UserMistake(
                what=f"the metric {self.name!r} has no tolerance above 0",
                where=f"by={self.by}",
                fix="set by: the smallest change that matters, in the metric's own units",
            )

    @property
    def needs_outcomes(self) -> bool:
        """Whether it can only be drawn once outcomes are due."""
        return re.search(r"\boutcomes\b", self.sql, re.IGNORECASE) is not None

    def draw(self, predictions: Any, outcomes: Any) -> float | None:
        """The number, from two Arrow tables; None where SQL gives null. Raises `UserMistake` for SQL that gives no number."""
        import duckdb

        con = connect()
        con.register("predictions", predictions)
        con.register("outcomes", outcomes)
        try:
            found = con.sql(self.sql).fetchall()
            if len(found) != 1 or len(found[0]) != 1:
                raise ValueError(f"{len(found)} rows")
            value = found[0][0]
            return None if value is None or not np.isfinite(float(value)) else float(value)
        except (duckdb.Error, ValueError, TypeError, AttributeError) as error:
            raise UserMistake(
                what=f"the metric {self.name!r} does not return a number",
                where=str(error).splitlines()[0],
                fix="write a query over predictions and outcomes that returns one row and one column",
            ) from error


@dataclass(frozen=True)
class BusinessMetricReading:
    """What a metric's series says. values: of the windows so far (NaN: it could not be drawn); expected: of the newest"""

    metric: BusinessMetric
    starts: tuple[datetime, ...]
    values: Floats
    evidence: Floats
    threshold: float
    expected: float
    judged: int

    @property
    def alarming(self) -> bool:
        return len(self.evidence) > 0 and bool(self.evidence[-1] >= self.threshold)

    @property
    def health(self) -> Health:
        if not len(self.values):
            return Unknown("no window yet")
        if np.isnan(self.values[-1]):
            return Unknown("it could not be computed for the newest window")
        if not self.judged:
            return Unknown(f"{len(self.values)} windows; {MIN_PAST}, or two weeks, are needed to learn its usual variation")
        if self.alarming:
            return Unhealthy(f"{self.metric.name} is {self.values[-1]:.4g}; expected about {self.expected:.4g}")
        return Healthy({"windows": len(self.values), self.metric.name: float(self.values[-1])})

    def to_dict(self) -> dict[str, Any]:
        return {"value": float(self.values[-1]), "expected": self.expected, "by": self.metric.by, "windows": len(self.values)}


def read_business_metric(
    metric: BusinessMetric, windows: Iterable[tuple[datetime, float | None]], threshold: float, calendar: Calendar = DAILY
) -> BusinessMetricReading:
    """Judge a metric's windows (start, number), in the order of time."""
    starts: list[datetime] = []
    values: list[float] = []
    evidence: list[float] = []
    most, told = calendar.most(MAX_PAST), list[tuple[float, int]]()
    past = Past(calendar.seasons, most, calendar.least(MIN_PAST))
    detector, judged, none = ShiryaevRoberts(1), 0, np.zeros(1)
    expected = float("nan")
    for start, number in windows:
        phase, value = calendar.phase(calendar.number(start)), float("nan") if number is None else number
        score = np.array([np.nan])
        usual = past.baseline
        if usual is not None and not np.isnan(value):
            expected = float(usual.expected(phase)[0])
            score = np.clip(usual.score(np.array([value]), none, phase, np.array([metric.by])), -MAX_SCORE, MAX_SCORE)
            judged += 1
        starts.append(start)
        values.append(value)
        evidence.append(float(detector.add(score)[0]))
        if np.isnan(value):
            continue
        if evidence[-1] < CALM * threshold + 1:
            seen = np.array([value])
            past.add(seen if usual is None else usual.clipped(seen, none, phase), none, phase)
        told = [*told, (value, phase)] if evidence[-1] >= threshold else []
        if len(told) == calendar.lasting:
            stays, phases = np.array([[v] for v, _ in told]), np.array([p for _, p in told])
            past = Past.of(stays, np.zeros_like(stays), phases, calendar.seasons, most)
            detector, told = ShiryaevRoberts(1), []
    return BusinessMetricReading(metric, tuple(starts), np.array(values), np.array(evidence), threshold, expected, judged)
