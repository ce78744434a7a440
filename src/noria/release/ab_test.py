"""A/B tests: a candidate that passed its gates answers a share of the requests, and each arm is judged by outcomes of its own.

Where an outcome belongs to the answer that was shown, such as that it helped, no shadow can have one. So both arms answer: who asks stays
in one arm, and the difference of the arms' means is one number for each day, as in a shadow, whose days are the units as well. What a day
does to everybody takes nothing from a difference; that the answers of one user resemble each other is in how the days differ, as far as
users don't come back every day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration
from noria.core.errors import UserMistake
from noria.evaluation.metric import Metric
from noria.evaluation.metrics import require_metric
from noria.release.rollout import Immediate, Rollout, ShadowVerdict, judge_shadow, unit_of
from noria.statistics.confidence import paired_sequence

Floats = NDArray[np.float64]

MIN_UNITS = 7  # days, or windows that are longer, before which the spread of days is not known
SHARE_LEVEL = 0.001  # at which the arms did not get the shares that they were to get
MIN_OFF = 0.01  # by which a share may be off whatever is shown: users weigh unlike, and some ask a thousand times


@dataclass(frozen=True)
class ABTest:
    """An A/B test of at least `at_least` and `at_most` days of judged traffic, decided by the confidence sequence.

    share: of the requests that the candidate answers. Who asks stays in one arm: a `user`, a conversation, a key
    at_least: how long it takes at least, such as `"7d"`; at_most: after how long an undecided candidate is refused
    metric: the mean over rows by which the arms are compared; None: the task's default, such as the share that helped
    margin: promote once it is certain, at level 1 − alpha, that the candidate is not worse by more than this, in the metric's unit
    alpha: how often, at most, a candidate that is worse by more than the margin may be promoted
    """

    share: float = 0.5
    at_least: str = "7d"
    at_most: str = "28d"
    metric: Metric | str | None = None
    margin: float = 0.02
    alpha: float = 0.1

    def __post_init__(self) -> None:
        if self.metric is not None:
            require_metric(self.metric, averaged=True, where="nr.ABTest(metric=…)")
        if not 0 < self.share < 1 or duration(self.at_least) > self.longest or self.margin <= 0 or not 0 < self.alpha < 1:
            raise UserMistake(
                what="this A/B test can never decide",
                where=f"share={self.share}, at_least={self.at_least}, at_most={self.at_most}, margin={self.margin}, alpha={self.alpha}",
                fix="keep 0 < share < 1, at_least <= at_most, margin > 0 and 0 < alpha < 1",
            )

    @property
    def longest(self) -> timedelta:
        return duration(self.at_most)

    @property
    def rollout(self) -> Rollout:
        """The shadow that is decided by the same numbers."""
        return Rollout(self.at_least, self.at_most, self.metric, self.margin, self.alpha)


ReleasePlan = Rollout | ABTest | Immediate


@dataclass(frozen=True)
class ArmWindow:
    """One window of an A/B test. number: the window's; champion, candidate: rows that each answered; judged: those of each with an outcome

    gain: by how much the candidate's mean is better; NaN where one of them has no outcome
    """

    number: int
    champion: int
    candidate: int
    judged: tuple[int, int]
    gain: float


def judge_arms(plan: ABTest, windows: Sequence[ArmWindow], tick: timedelta, *, waited_out: bool) -> ShadowVerdict:
    """Decide on a candidate from the windows of both arms, in the order of time, whose outcomes are due."""
    unit = unit_of(tick)
    units = _units(windows, tick)
    seen = {
        "share": plan.share,
        "answered": {"champion": sum(w.champion for w in windows), "candidate": sum(w.candidate for w in windows)},
        "judged": {"champion": sum(w.judged[0] for w in windows), "candidate": sum(w.judged[1] for w in windows)},
    }
    off = _off_share(plan, units)
    if off:
        return ShadowVerdict("refuse" if waited_out else "wait", off, None, seen)
    gains = np.array([gain for each in units if not np.isnan(gain := _gain(each))])
    if len(gains) < MIN_UNITS and not waited_out:
        why = f"{len(gains)} days on which both arms have outcomes; the first look is after {MIN_UNITS}"
        return ShadowVerdict("wait", why, None, seen)
    found = judge_shadow(plan.rollout, gains if len(gains) >= MIN_UNITS else np.empty(0), np.empty(0), unit, waited_out=waited_out)
    return ShadowVerdict(found.verdict, found.why, found.interval, seen)


def _units(windows: Sequence[ArmWindow], tick: timedelta) -> list[list[ArmWindow]]:
    """The windows of each day that is over."""
    of_unit = unit_of(tick)
    found = dict[int, list[ArmWindow]]()
    for window in windows:
        found.setdefault(window.number * tick // of_unit, []).append(window)
    over = (windows[-1].number + 1) * tick // of_unit if windows else 0
    return [each for number, each in sorted(found.items()) if number < over]


def _gain(windows: Sequence[ArmWindow]) -> float:
    """The mean gain of a day: each window counts as much as the arm with fewer outcomes has there."""
    weights = np.array([min(w.judged) if not np.isnan(w.gain) else 0 for w in windows], np.float64)
    gains = np.array([0.0 if np.isnan(w.gain) else w.gain for w in windows])
    return float((gains * weights).sum() / weights.sum()) if weights.sum() else float("nan")


def _off_share(plan: ABTest, units: Sequence[Sequence[ArmWindow]]) -> str:
    """Whether the arms did not get the shares that they were to get: then the experiment is broken, and no figure of it means anything
    (Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", 2019)."""
    counts = np.array([[sum(w.champion for w in unit), sum(w.candidate for w in unit)] for unit in units], np.float64).reshape(-1, 2)
    shares = counts[counts.sum(axis=1) > 0]
    shares = shares[:, 1] / shares.sum(axis=1)
    if len(shares) < MIN_UNITS:
        return ""
    found = paired_sequence(shares, np.empty(0), alpha=SHARE_LEVEL, planned=2 * MIN_UNITS)
    if found is None or found.lower - MIN_OFF <= plan.share <= found.upper + MIN_OFF:
        return ""
    got = f"{found.mean:.1%} of the requests instead of {plan.share:.1%}"
    return f"the candidate answered {got}, so that the arms are not alike and nothing is compared: look for failed answers, and for caches"
