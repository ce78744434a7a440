"""Rollout plans, and the verdict of a shadow.

A challenger first scores the same requests as the champion, unseen. Their losses are compared in pairs, averaged by day:
flights of one day share their weather, so that the day, not the request and not the hour, is the unit; where a window is longer than
a day, the window is. The mean of the units' differences has a confidence sequence, which may be looked at after every one of them
without spending its level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration, in_words, microseconds
from noria.core.errors import UserMistake
from noria.evaluation.metric import Metric
from noria.evaluation.metrics import require_metric
from noria.statistics.confidence import Interval, paired_sequence

DAY = timedelta(days=1)
MAX_ANSWERS = 1_000


@dataclass(frozen=True)
class Immediate:
    """No trial: a candidate that passed its gates serves at once."""


@dataclass(frozen=True)
class Rollout:
    """A shadow of at least `shadow` and `at_most` days of judged traffic, decided by the confidence sequence.

    shadow: how long it takes at least, such as `"3d"`; at_most: after how long an undecided candidate is refused
    metric: the mean over rows by which the two are compared; None: the task's default, such as log-loss
    margin: promote once it is certain, at level 1 − alpha, that the challenger is not worse by more than this, in the metric's unit
    alpha: how often, at most, a challenger that is worse by more than the margin may be promoted

    Where an outcome is of the answer that was shown (`nr.Generation`), both answers to a question are scored, and no outcome counts:

    score: by which: a judge of the model's gates, `answered` or `confidence`; None: the first judge, or `answered` without one
    not_above: how many times what the champion takes the challenger may take, such as `{"cost": 1.2, "seconds": 2}`
    share: of the requests that the challenger answers too; answers: how many it may give in all, since each costs time and perhaps money
    """

    shadow: str = "3d"
    at_most: str = "14d"
    metric: Metric | str | None = None
    margin: float = 0.01
    alpha: float = 0.1
    score: str | None = None
    not_above: Mapping[str, float] = field(default_factory=dict)
    share: float = 1.0
    answers: int = MAX_ANSWERS

    def __post_init__(self) -> None:
        if self.metric is not None:
            require_metric(self.metric, averaged=True, where="nr.Rollout(metric=…)")
        if not 0 < self.share <= 1 or self.answers < 1 or not all(times > 0 for times in self.not_above.values()):
            raise UserMistake(
                what="this rollout asks its challenger nothing, or forbids it to answer",
                where=f"share={self.share}, answers={self.answers}, not_above={dict(self.not_above)}",
                fix="keep 0 < share <= 1, answers > 0, and each of not_above above 0",
            )
        if self.shortest > self.longest or self.margin <= 0 or not 0 < self.alpha < 1:
            raise UserMistake(
                what="this rollout can never decide",
                where=f"shadow={self.shadow}, at_most={self.at_most}, margin={self.margin}, alpha={self.alpha}",
                fix="keep shadow <= at_most, margin > 0 and 0 < alpha < 1",
            )

    @property
    def shortest(self) -> timedelta:
        return duration(self.shadow)

    @property
    def longest(self) -> timedelta:
        return duration(self.at_most)


@dataclass(frozen=True)
class ShadowVerdict:
    """What a shadow says today, and why. seen: what else was seen, of a shadow whose answers are scored"""

    verdict: Literal["promote", "refuse", "wait"]
    why: str
    interval: Interval | None
    seen: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "why": self.why,
            "interval": None if self.interval is None else self.interval.to_dict(),
            **({"seen": dict(self.seen)} if self.seen else {}),
        }


def unit_of(tick: timedelta) -> timedelta:
    """The stretch whose gains count as one observation: what shares a day shares its weather, whatever the windows are."""
    return max(tick, DAY)


def units_of(numbers: NDArray[np.int64], tick: timedelta) -> NDArray[np.int64]:
    """The unit that each window lies in, by the windows' numbers `(windows,)`."""
    return np.asarray(numbers * microseconds(tick) // microseconds(unit_of(tick)))


def gains_by_unit(
    numbers: NDArray[np.int64], gains: NDArray[np.float64], weights: NDArray[np.int64], tick: timedelta
) -> NDArray[np.float64]:
    """The mean gain of each whole unit `(units,)`, from the windows' numbers (rising), their gains, and of how many rows or groups each is
    the mean `(windows,)`.

    A day that has hours to come is not judged: its mean would be that of another day tomorrow.
    """
    if not len(numbers):
        return np.empty(0)
    units = units_of(numbers, tick)
    whole = units < units_of(numbers[-1:] + 1, tick)
    found, place = np.unique(units[whole], return_inverse=True)
    total = np.bincount(place, weights=weights[whole], minlength=len(found))
    return np.asarray(np.bincount(place, weights=(gains * weights)[whole], minlength=len(found)) / total)


def judge_shadow(
    plan: Rollout, gains: NDArray[np.float64], before: NDArray[np.float64], unit: timedelta, *, waited_out: bool
) -> ShadowVerdict:
    """Decide on a challenger from its gains (champion's loss minus its own), one of each `unit` of traffic.

    before: such gains on the gate's holdout, which say how much they vary
    waited_out: whether the shadow has lasted as long as it may; still undecided then means refused
    """
    judged = len(gains) * unit
    planned = max(1, round(plan.shortest / unit) * 2)
    interval = paired_sequence(gains, before, alpha=plan.alpha, planned=planned)
    if interval is None:
        if waited_out:
            return ShadowVerdict("refuse", "no outcomes arrived to compare on", None)
        return ShadowVerdict("wait", "no outcomes to compare on yet", None)
    found = f"gain {interval.mean:+.4f} in [{interval.lower:+.4f}, {interval.upper:+.4f}] after {_in_words(interval.units, unit)}"
    if interval.upper < 0:
        return ShadowVerdict("refuse", f"the challenger is worse: {found}", interval)
    if judged >= plan.shortest and interval.lower > -plan.margin:
        return ShadowVerdict("promote", f"not worse by {plan.margin:g}: {found}", interval)
    if waited_out:
        return ShadowVerdict("refuse", f"still undecided: {found}", interval)
    return ShadowVerdict("wait", f"undecided: {found}", interval)


def _in_words(units: int, unit: timedelta) -> str:
    return f"{units} days" if unit == DAY else f"{units} windows of {in_words(unit)}"
