"""Rollout plans, and the verdict of a shadow.

A challenger first scores the same requests as the champion, unseen. Their losses are compared in pairs, averaged by day:
flights of one day share their weather, so that the day, not the request, is the unit. The mean of the daily differences has
a confidence sequence, which may be looked at every day without spending its level.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration
from noria.core.errors import UserMistake
from noria.evaluation.metrics import row_losses
from noria.statistics.confidence import Interval, paired_sequence


@dataclass(frozen=True)
class Immediate:
    """No trial: a candidate that passed its gates serves at once."""


@dataclass(frozen=True)
class Rollout:
    """A shadow of at least `shadow` and `at_most` days of judged traffic, decided by the confidence sequence.

    margin: promote once it is certain, at level 1 − alpha, that the challenger is not worse by more than this
    """

    shadow: str = "3d"
    at_most: str = "14d"
    metric: str = "log_loss"
    margin: float = 0.01
    alpha: float = 0.1

    def __post_init__(self) -> None:
        row_losses(self.metric, np.empty(0), np.empty(0))
        if self.shortest > self.longest or self.margin <= 0 or not 0 < self.alpha < 1:
            raise UserMistake(
                what="this rollout can never decide",
                where=f"shadow={self.shadow}, at_most={self.at_most}, margin={self.margin}, alpha={self.alpha}",
                mend="keep shadow <= at_most, margin > 0 and 0 < alpha < 1",
            )

    @property
    def shortest(self) -> timedelta:
        return duration(self.shadow)

    @property
    def longest(self) -> timedelta:
        return duration(self.at_most)


@dataclass(frozen=True)
class ShadowVerdict:
    """What a shadow says today, and why."""

    verdict: Literal["promote", "refuse", "wait"]
    why: str
    interval: Interval | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "why": self.why,
            "interval": None if self.interval is None else self.interval.to_dict(),
        }


def judge_shadow(
    plan: Rollout, gains: NDArray[np.float64], before: NDArray[np.float64], judged: timedelta, *, waited_out: bool
) -> ShadowVerdict:
    """Decide on a challenger from its daily gains (champion's loss minus its own) over the `judged` stretch of traffic.

    before: daily gains on the gate's holdout, which say how much such gains vary
    waited_out: whether the shadow has lasted as long as it may; still undecided then means refused
    """
    planned = max(1, round(plan.shortest / timedelta(days=1)) * 2)
    interval = paired_sequence(gains, before, alpha=plan.alpha, planned=planned)
    if interval is None:
        if waited_out:
            return ShadowVerdict("refuse", "no outcome arrived to compare by", None)
        return ShadowVerdict("wait", "no outcome to compare by yet", None)
    found = f"gain {interval.mean:+.4f} in [{interval.lower:+.4f}, {interval.upper:+.4f}] after {interval.units} days"
    if interval.upper < 0:
        return ShadowVerdict("refuse", f"the challenger is worse: {found}", interval)
    if judged >= plan.shortest and interval.lower > -plan.margin:
        return ShadowVerdict("promote", f"not worse by {plan.margin:g}: {found}", interval)
    if waited_out:
        return ShadowVerdict("refuse", f"still undecided: {found}", interval)
    return ShadowVerdict("wait", f"undecided: {found}", interval)
