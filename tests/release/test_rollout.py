"""The shadow's verdict: promoted when certainly not worse, refused on harm, and refused when it never became clear."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from benchmarks.loop.rollouts import PLANS, outcomes

import noria as nr
from noria.core.errors import UserMistake
from noria.release.rollout import Rollout, gains_by_unit, judge_shadow
from noria.statistics.confidence import paired_sequence

PLAN = Rollout(shadow="3d", at_most="10d", margin=0.02)
RNG = np.random.default_rng(3)
BEFORE = 0.01 * RNG.normal(size=14)
DAY = timedelta(days=1)


def verdict(gains: list[float], *, waited_out: bool = False, before: np.ndarray = BEFORE) -> str:
    return judge_shadow(PLAN, np.array(gains), before, DAY, waited_out=waited_out).verdict


def test_a_clear_gain_is_promoted_but_not_before_the_shortest_shadow() -> None:
    assert verdict([0.05, 0.05]) == "wait"
    assert verdict([0.05, 0.05, 0.05]) == "promote"


def test_harm_is_refused_at_once() -> None:
    assert verdict([-0.2, -0.2]) == "refuse"


def test_what_stays_unclear_is_refused_in_the_end() -> None:
    wild = 0.3 * RNG.normal(size=14)
    assert verdict([0.1, -0.1, 0.05], before=wild) == "wait"
    assert verdict([0.1, -0.1, 0.05], before=wild, waited_out=True) == "refuse"


def test_no_outcomes_never_promote() -> None:
    assert verdict([]) == "wait"
    assert verdict([], waited_out=True) == "refuse"
    assert verdict([0.5], before=np.empty(0), waited_out=True) == "refuse"


def test_a_challenger_that_is_worse_by_the_margin_is_rarely_promoted() -> None:
    """Level 10 %: daily gains around −margin, looked at daily for ten days."""
    rng = np.random.default_rng(9)
    promoted = 0
    for _ in range(1000):
        gains = -PLAN.margin + 0.01 * rng.standard_t(5, 10)
        before = 0.01 * rng.standard_t(5, 14)
        verdicts = [judge_shadow(PLAN, gains[:n], before, DAY, waited_out=n == 10).verdict for n in range(1, 11)]
        promoted += next(v for v in verdicts if v != "wait") == "promote"
    assert promoted / 1000 <= PLAN.alpha


def test_a_plan_that_can_never_decide_is_refused() -> None:
    for wrong in ({"shadow": "9d", "at_most": "3d"}, {"margin": 0.0}, {"alpha": 1.5}, {"metric": "speed"}):
        with pytest.raises(UserMistake):
            nr.Rollout(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("tick", PLANS, ids=str)
def test_whatever_the_tick_equal_ones_are_seldom_called_worse_and_worse_ones_seldom_promoted(tick: timedelta) -> None:
    """Level 10 %, of 150 shadows whose hours share their day's effect: 27 of them at the level have a chance of 0.2 %."""
    plan = PLANS[tick]
    assert outcomes(plan, tick, 0.0, 150)["worse"] <= 27
    assert outcomes(plan, tick, -plan.margin, 150)["promote"] <= 27


def test_hours_count_as_days_and_a_day_that_is_not_over_does_not_count() -> None:
    hour, numbers = timedelta(hours=1), np.arange(24 * 100, 24 * 102 + 23)
    gains = np.repeat([0.1, 0.2, 0.9], 24)[: len(numbers)]
    rows = np.full(len(numbers), 10)
    rows[0] = 0  # an hour without a pair
    assert gains_by_unit(numbers, gains, rows, hour) == pytest.approx([0.1, 0.2])
    rows[1:24] = np.arange(23)
    gains[:24] = np.arange(24)
    assert gains_by_unit(numbers, gains, rows, hour)[0] == pytest.approx((np.arange(23) * np.arange(1, 24)).sum() / np.arange(23).sum())
    assert gains_by_unit(np.array([3, 4]), np.array([0.1, 0.2]), np.array([5, 5]), 7 * DAY) == pytest.approx([0.1, 0.2])
    assert len(gains_by_unit(np.arange(23), np.ones(23), np.ones(23, np.int64), hour)) == 0
    assert gains_by_unit(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), hour).tolist() == []


def test_the_verdict_names_its_unit() -> None:
    assert "after 3 days" in judge_shadow(PLAN, np.full(3, 0.05), BEFORE, DAY, waited_out=False).why
    assert "after 3 windows of 7d" in judge_shadow(PLAN, np.full(3, 0.05), BEFORE, 7 * DAY, waited_out=False).why


@pytest.mark.parametrize("wrong", [{"margin": -0.1}, {"alpha": 0.0}, {"alpha": 1.0}, {"alpha": -0.1}, {"shadow": "15d"}])
def test_the_edges_of_what_can_decide_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserMistake, match="can never decide"):
        Rollout(**wrong)
    assert Rollout(shadow="14d", alpha=0.999, margin=1e-9).shortest == Rollout().longest


def test_a_verdict_says_what_it_rests_on() -> None:
    said = judge_shadow(PLAN, np.array([0.05, 0.05, 0.05]), BEFORE, DAY, waited_out=False)
    facts = said.to_dict()
    assert (facts["verdict"], facts["interval"]["units"]) == ("promote", 3)
    assert facts["interval"]["mean"] == pytest.approx(0.05)
    assert said.why.startswith("not worse by 0.02: gain +0.0500 in [+0.0")
    nothing = judge_shadow(PLAN, np.empty(0), BEFORE, DAY, waited_out=True)
    assert nothing.to_dict() == {"verdict": "refuse", "why": "no outcomes arrived to compare on", "interval": None}


def test_harm_is_told_before_the_time_and_certainty_waits_for_it() -> None:
    """What is better for certain is not promoted before the shortest shadow is over, nor refused when the time is over."""
    gains = np.full(3, 0.05)
    assert judge_shadow(PLAN, gains[:2], BEFORE, DAY, waited_out=False).why.startswith("undecided: gain +0.0500")
    assert judge_shadow(PLAN, gains[:2], BEFORE, DAY, waited_out=True).why.startswith("still undecided: gain +0.0500")
    assert judge_shadow(PLAN, gains, BEFORE, DAY, waited_out=True).verdict == "promote"
    assert judge_shadow(PLAN, -gains[:2], BEFORE, DAY, waited_out=False).why.startswith("the challenger is worse: gain -0.0500")


@pytest.mark.parametrize(("unit", "units", "planned"), [(DAY, 3, 6), (2 * DAY, 2, 4), (7 * DAY, 1, 1)])
def test_the_bounds_are_planned_for_twice_the_shortest_shadow(unit: timedelta, units: int, planned: int) -> None:
    """The width of the confidence sequence that is narrowest about then; a unit of a week is more than a shadow of three days."""
    gains = np.array([0.05, 0.06, 0.04])[:units]
    found = judge_shadow(PLAN, gains, BEFORE, unit, waited_out=False).interval
    assert found == paired_sequence(gains, BEFORE, alpha=0.1, planned=planned)
