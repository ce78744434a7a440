"""What answers cost, against what may be spent in a day or a month (UTC): how much of it is gone, and how much will be by its end.

The rest of a period is forecast from the windows of the four weeks before it, hour by hour where there are enough of each, times how much
more or less than usual has been spent in it so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np

from noria.core.calendar import DAY, Calendar
from noria.core.errors import UserMistake
from noria.core.health import Health, Healthy, Unhealthy, Unknown
from noria.stores.answer_counts import SpentCounts

PAST = timedelta(days=28)
MIN_OF_EACH = 7  # windows of an hour of the day, below which all hours count alike
LIKE_USUAL = 0.25  # of a day's usual spending, that is imagined to have been as usual: a period's first windows say little
OVER = 1.1  # times the limit, from which on a forecast is told


class BadSpendingLimit(UserMistake):
    """A limit of spending says nothing, or is of no period."""

    code = "NR-585"

    def __init__(self, where: str) -> None:
        super().__init__(
            what="a limit of spending is of no period, or limits nothing",
            where=where,
            fix='write nr.SpendingLimit("day", dollars=5.0), or "month"; with dollars, tokens, or both, above 0',
        )


@dataclass(frozen=True)
class SpendingLimit:
    """How much the answers of an endpoint may take, those of shadows included, in each day or month (UTC).

    each: `day` or `month`; dollars, tokens: None: as many as are needed

    Nothing is refused: that is `llm.Budget`'s. Raises `BadSpendingLimit`.
    """

    each: Literal["day", "month"]
    dollars: float | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        given = [limit for limit in (self.dollars, self.tokens) if limit is not None]
        if self.each not in ("day", "month") or not given or not all(limit > 0 for limit in given):
            raise BadSpendingLimit(f"nr.SpendingLimit({self.each!r}, dollars={self.dollars}, tokens={self.tokens})")


@dataclass(frozen=True)
class Took:
    """A window's spending. unpriced: answers that took tokens and have no price"""

    start: datetime
    tokens: float
    dollars: float
    unpriced: float = 0.0

    @staticmethod
    def of(start: datetime, counts: SpentCounts, logged: float) -> Took:
        """From what was logged, which is this share of all."""
        return Took(start, counts.tokens / logged, counts.dollars / logged, counts.unpriced / logged)


@dataclass(frozen=True)
class SpendingReading:
    """What became of a limit in the newest period. unit: `dollars` or `tokens`; spent: so far, up to `until`

    forecast: by the end of the period, None while too little is known; unpriced: answers of the period without a price
    """

    each: str
    unit: str
    limit: float
    start: datetime
    until: datetime
    end: datetime
    spent: float
    forecast: float | None
    unpriced: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.unit} a {self.each}"

    @property
    def is_spent(self) -> bool:
        return self.spent >= self.limit

    @property
    def will_be(self) -> bool:
        """Whether it is not spent yet, and will be by its end."""
        return not self.is_spent and self.forecast is not None and self.forecast >= OVER * self.limit

    def words(self, amount: float) -> str:
        """An amount, as people read it."""
        return f"${amount:,.2f}" if self.unit == "dollars" else f"{amount:,.0f} tokens"

    @property
    def summary(self) -> str:
        begin = f"{self.words(self.spent)} of {self.words(self.limit)} for the {self.each} are spent by {self.until:%Y-%m-%d %H:%M} UTC"
        return begin if self.forecast is None or self.is_spent else f"{begin}; {self.words(self.forecast)} are expected by its end"

    @property
    def health(self) -> Health:
        if self.is_spent or self.will_be:
            return Unhealthy(self.summary)
        if self.unit == "dollars" and self.unpriced:
            return Unknown(f"{self.unpriced:,.0f} answers of this {self.each} took tokens and have no price")
        forecast = {} if self.forecast is None else {"forecast": self.forecast}
        return Healthy({"spent": self.spent, "limit": self.limit, **forecast})

    def to_dict(self) -> dict[str, Any]:
        found = {"spent": self.spent, "limit": self.limit, "forecast": self.forecast, "unpriced": self.unpriced}
        return {**found, "unit": self.unit, "period": [self.start.isoformat(), self.end.isoformat()]}


def read_spending(limit: SpendingLimit, windows: Sequence[Took], calendar: Calendar) -> list[SpendingReading]:
    """Judge the newest period of windows in the order of time: a reading of each of dollars and tokens that is limited; none of none."""
    assert calendar.tick is not None
    if not windows:
        return []
    start, end = _period(limit.each, windows[-1].start)
    until = min(windows[-1].start + calendar.tick, end)
    found, now = [], [window for window in windows if window.start >= start]
    before = [window for window in windows if start - PAST <= window.start < start]
    for unit in ("dollars", "tokens"):
        most = getattr(limit, unit)
        if most is not None:
            spent = sum(getattr(window, unit) for window in now)
            rest = _rest([(w.start, getattr(w, unit)) for w in before], [(w.start, getattr(w, unit)) for w in now], until, end, calendar)
            forecast = None if rest is None else spent + rest
            unpriced = sum(window.unpriced for window in now)
            found.append(SpendingReading(limit.each, unit, most, start, until, end, spent, forecast, unpriced))
    return found


def _period(each: str, moment: datetime) -> tuple[datetime, datetime]:
    """The day or month (UTC) of a moment."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if each == "day":
        return day, day + DAY
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


def _rest(
    before: Sequence[tuple[datetime, float]], now: Sequence[tuple[datetime, float]], until: datetime, end: datetime, calendar: Calendar
) -> float | None:
    """What will be spent from now until the end of the period; None while less than a day, or a quarter of a period, is known."""
    assert calendar.tick is not None
    left = [until + place * calendar.tick for place in range(int((end - until) / calendar.tick))]
    if len(before) < calendar.day:
        if len(now) < max((len(left) + len(now)) / 4, 2):
            return None
        return len(left) * float(np.mean([amount for _, amount in now]))
    usual, every = dict[int, list[float]](), float(np.mean([amount for _, amount in before]))
    for start, amount in before:
        usual.setdefault(calendar.phase(calendar.number(start)) % calendar.day, []).append(amount)
    known = all(len(each) >= MIN_OF_EACH for each in usual.values()) and len(usual) == calendar.day

    def expected(starts: Sequence[datetime]) -> float:
        phases = [calendar.phase(calendar.number(start)) % calendar.day for start in starts]
        return sum(float(np.mean(usual[phase])) if known else every for phase in phases)

    imagined = LIKE_USUAL * every * calendar.day
    passed = expected([start for start, _ in now])
    pace = (sum(amount for _, amount in now) + imagined) / (passed + imagined) if passed + imagined > 0 else 1.0
    return pace * expected(left)
