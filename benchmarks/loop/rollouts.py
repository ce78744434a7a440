"""How often a rollout is wrong, at ticks of an hour, a day and a week: simulated shadows whose hours share their day's effect.

A challenger that is worse by the margin is promoted, and an equal one is called worse, each in at most `alpha` of 2,000 shadows that are
looked at after every tick.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, Proof
from noria.release.rollout import DAY, Rollout, gains_by_unit, judge_shadow, unit_of

SHADOWS, ROWS, HOLDOUT_DAYS = 2_000, 100, 28
SPREAD = 0.01  # of the days' effects, and of the hours' noise about them
PLANS = {
    timedelta(hours=1): Rollout(shadow="3d", at_most="14d", margin=0.02),
    timedelta(days=1): Rollout(shadow="3d", at_most="14d", margin=0.02),
    timedelta(days=7): Rollout(shadow="14d", at_most="70d", margin=0.02),
}


def rollouts(shadows: int = SHADOWS) -> Proof:
    for tick, plan in PLANS.items():
        name = {3600: "hour", 86_400: "day", 604_800: "week"}[int(tick.total_seconds())]
        equal, worse = (outcomes(plan, tick, mean, shadows) for mean in (0.0, -plan.margin))
        told = f"of equal ones: {equal['promote']} promoted, {equal['undecided']} undecided in the end"
        yield f"# tick of an {name}: {told}" if name == "hour" else f"# tick of a {name}: {told}"
        yield Figure(f"equal_called_worse_{name}", 100 * equal["worse"] / shadows, "%", "<=", 100 * plan.alpha)
        yield Figure(f"worse_promoted_{name}", 100 * worse["promote"] / shadows, "%", "<=", 100 * plan.alpha)


def outcomes(plan: Rollout, tick: timedelta, mean: float, shadows: int) -> Counter[str]:
    """What became of so many shadows: `promote`, `worse` or `undecided`."""
    rng, found = np.random.default_rng(11), Counter[str]()
    for _ in range(shadows):
        found[_shadow(rng, plan, tick, mean)] += 1
    return found


def _shadow(rng: np.random.Generator, plan: Rollout, tick: timedelta, mean: float) -> str:
    before = _units(_windows(rng, HOLDOUT_DAYS, tick, mean), tick)
    after = _windows(rng, plan.longest // DAY, tick, mean)
    for closed in range(1, len(after) + 1):
        verdict = judge_shadow(plan, _units(after[:closed], tick), before, unit_of(tick), waited_out=closed == len(after))
        if verdict.verdict == "promote":
            return "promote"
        if verdict.verdict == "refuse":
            return "worse" if "worse" in verdict.why else "undecided"
    raise AssertionError("a shadow that has lasted as long as it may is decided")


def _windows(rng: np.random.Generator, days: int, tick: timedelta, mean: float) -> NDArray[np.float64]:
    """The gains of the windows of so many days, whose effects have heavy tails (Student's t with five degrees of freedom)."""
    per = max(DAY // tick, 1)
    hours = np.repeat(mean + SPREAD * rng.standard_t(5, days), per) + SPREAD * rng.normal(size=days * per)
    long = max(tick // DAY, 1)
    return np.asarray(hours.reshape(-1, long).mean(axis=1))


def _units(gains: NDArray[np.float64], tick: timedelta) -> NDArray[np.float64]:
    return gains_by_unit(np.arange(len(gains)), gains, np.full(len(gains), ROWS), tick)
