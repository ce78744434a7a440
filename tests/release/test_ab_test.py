"""An A/B test: each arm by its own outcomes, decided by days, and not at all where the arms did not get their shares."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from benchmarks.llm.shadows import ab_tests

import noria as nr
from noria.core.errors import UserMistake
from noria.release.ab_test import ArmWindow, judge_arms

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PLAN = nr.ABTest(at_least="7d", at_most="14d", margin=0.05)
RNG = np.random.default_rng(4)


def days(gains: Callable[[int], float], count: int = 8, rows: tuple[int, int] = (500, 500)) -> list[ArmWindow]:
    return [ArmWindow(number, *rows, (40, 40), gains(number)) for number in range(count)]


def noise(number: int) -> float:
    return 0.005 * (-1) ** number


def test_equal_arms_are_promoted_after_a_week_and_worse_ones_refused() -> None:
    assert judge_arms(PLAN, days(noise), DAY, waited_out=False).verdict == "promote"
    assert judge_arms(PLAN, days(lambda n: noise(n) - 0.2), DAY, waited_out=False).verdict == "refuse"
    early = judge_arms(PLAN, days(noise, 6), DAY, waited_out=False)
    assert (early.verdict, early.why) == ("wait", "6 days on which both arms have outcomes; the first look is after 7")
    seen = judge_arms(PLAN, days(noise), DAY, waited_out=False).to_dict()["seen"]
    assert seen == {"share": 0.5, "answered": {"champion": 4000, "candidate": 4000}, "judged": {"champion": 320, "candidate": 320}}


def test_days_without_outcomes_of_both_say_nothing_and_none_are_refused_in_the_end() -> None:
    few = [ArmWindow(n, 500, 500, (40, 0), float("nan")) for n in range(8)]
    assert judge_arms(PLAN, few, DAY, waited_out=False).verdict == "wait"
    assert judge_arms(PLAN, few, DAY, waited_out=True).why == "no outcomes arrived to compare on"
    assert judge_arms(PLAN, [], DAY, waited_out=False).verdict == "wait"
    wild = days(lambda n: 0.4 * (-1) ** n)
    assert judge_arms(PLAN, wild, DAY, waited_out=True).why.startswith("still undecided")


def test_hours_are_days_and_each_counts_by_the_arm_with_fewer_outcomes() -> None:
    hours = [ArmWindow(n, 20, 20, (9, 1 + 9 * (n % 2)), 0.1 * (n % 2)) for n in range(24 * 8 + 5)]
    said = judge_arms(PLAN, hours, HOUR, waited_out=False)
    assert said.interval is not None
    assert (said.interval.units, said.interval.mean) == (8, pytest.approx(0.1 * 9 / 10))


def test_arms_without_their_shares_are_compared_in_nothing() -> None:
    off = judge_arms(PLAN, days(noise, rows=(600, 400)), DAY, waited_out=False)
    assert (off.verdict, off.interval) == ("wait", None)
    assert off.why.startswith("the candidate answered 40.0% of the requests instead of 50.0%")
    assert judge_arms(PLAN, days(noise, rows=(600, 400)), DAY, waited_out=True).verdict == "refuse"
    assert judge_arms(PLAN, days(noise, rows=(503, 497)), DAY, waited_out=False).verdict == "promote"


def test_the_level_holds_and_a_loss_is_seen() -> None:
    """Level 10 %, of 100 tests looked at daily: more than 20 of them at the level have a chance of 0.1 %."""
    assert ab_tests(0.0, 100)["worse"] <= 20
    assert ab_tests(-0.1, 100)["promote"] <= 20
    assert ab_tests(-0.3, 40)["worse"] >= 36
    assert ab_tests(0.0, 30, lacking=0.2)["shares"] >= 24


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.0}, {"at_least": "30d"}, {"margin": 0.0}, {"alpha": 1.0}])
def test_a_test_that_can_never_decide_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserMistake, match="can never decide"):
        nr.ABTest(**wrong)  # type: ignore[arg-type]
