"""Shadows of applications and A/B tests, simulated: how often equal ones are called worse, how often worse ones are promoted, and how soon
a loss is seen. `python -m benchmarks.llm.shadows`

Of a shadow, both answers to a question are judged, and the verdict is looked at after every twentieth question. Questions are of different
difficulty. The judge is sure, or wrong on a tenth, or gives no judgement of a twentieth.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, Proof
from noria.evaluation.answer_scores import AnswerScore
from noria.release.ab_test import ABTest, ArmWindow, judge_arms
from noria.release.answer_shadow import Gains, shown
from noria.release.rollout import Rollout

RUNS = int(os.environ.get("SHADOW_RUNS", "1000"))
QUESTIONS, EVERY = 400, 20
PLAN = Rollout(shadow="1h", at_most="3d", margin=0.1, alpha=0.1)
TEST = ABTest(at_least="7d", at_most="28d", margin=0.1, alpha=0.1)
DAY = timedelta(days=1)

Floats = NDArray[np.float64]


def prove() -> Proof:
    yield f"# {RUNS} shadows of each kind, {QUESTIONS} questions at most, margin {PLAN.margin:g}, level {PLAN.alpha:.0%}"
    allowed = PLAN.alpha + 3 * (PLAN.alpha * (1 - PLAN.alpha) / RUNS) ** 0.5
    for judge in ("sure", "noisy", "missing"):
        same, worse, lost = (shadows(judge, gain, RUNS) for gain in (0.0, -PLAN.margin, -0.3))
        yield f"# judge {judge}: equal ones promoted {same['promote'] / RUNS:.0%}, after {same['questions'] / RUNS:.0f} questions"
        yield Figure(f"shadow_aa_worse: judge {judge}", same["worse"] / RUNS, f"of {RUNS} equal ones", "<=", allowed)
        yield Figure(f"shadow_wrong_promotions: judge {judge}", worse["promote"] / RUNS, f"of {RUNS}, worse by the margin", "<=", allowed)
        found_in = 0.5 if judge == "missing" else 0.9
        yield Figure(f"shadow_loss_found: judge {judge}", lost["worse"] / RUNS, f"of {RUNS} shadows, worse by 0.3", ">=", found_in)
        yield f"# judge {judge}: a loss of 0.3 is refused after {lost['questions'] / RUNS:.0f} questions in the mean"
    yield f"# {RUNS} A/B tests of each kind, 28 days at most, 600 requests a day and arm, a tenth with feedback, of 2,000 users"
    same, worse, lost = (ab_tests(gain, RUNS) for gain in (0.0, -TEST.margin, -0.3))
    yield f"# equal arms promoted {same['promote'] / RUNS:.0%}, after {same['days'] / RUNS:.0f} days in the mean"
    yield Figure("ab_aa_worse", same["worse"] / RUNS, f"of {RUNS} tests of equal arms", "<=", allowed)
    yield Figure("ab_wrong_promotions", worse["promote"] / RUNS, f"of {RUNS}, worse by the margin", "<=", allowed)
    yield Figure("ab_loss_found", lost["worse"] / RUNS, f"of {RUNS}, worse by 0.3", ">=", 0.95)
    yield Figure("ab_shares_alarm", same["shares"] / RUNS, f"of {RUNS} tests with the right shares", "<=", 0.01)
    yield Figure(
        "ab_shares_found", ab_tests(0.0, RUNS // 5, lacking=0.2)["shares"] / (RUNS // 5), "of tests in which an arm lost a fifth", ">=", 0.9
    )


def shadows(judge: str, gain: float, runs: int) -> Counter[str]:
    """Verdicts, and questions that they took, of so many shadows of a candidate that is better by `gain` in the mean."""
    found, rng = Counter[str](), np.random.default_rng([len(judge), int(1000 * abs(gain)), runs])
    for _ in range(runs):
        verdict, questions = _shadow(judge, gain, rng)
        found[verdict] += 1
        found["questions"] += questions
    return found


def _shadow(judge: str, gain: float, rng: np.random.Generator) -> tuple[str, int]:
    quality = np.clip(rng.beta(6, 2, QUESTIONS), -gain, 1 - max(gain, 0.0))  # so that all of the gain is possible
    truth = [(rng.random(QUESTIONS) < chance).astype(float) for chance in (quality, quality + gain)]
    wrong = 0.1 if judge == "noisy" else 0.0
    before, after = (np.where(rng.random(QUESTIONS) < wrong, 1 - each, each) for each in truth)
    lacking = [rng.random(QUESTIONS) < (0.05 if judge == "missing" else 0.0) for _ in range(2)]
    low = np.where(lacking[1], 0.0, after) - np.where(lacking[0], 1.0, before)
    high = np.where(lacking[1], 1.0, after) - np.where(lacking[0], 0.0, before)
    slope = 1 - 2 * wrong  # what is left of a difference in what such a judge says
    score = AnswerScore("support", lambda _: 1.0, judged=True, slopes=lambda _: (slope, slope))
    for count in range(EVERY, QUESTIONS + 1, EVERY):
        worse, not_worse = shown(PLAN, score, Gains(low[:count], high[:count]))
        if worse or not_worse:
            return ("worse" if worse else "promote"), count
    return "undecided", QUESTIONS


def ab_tests(gain: float, runs: int, *, lacking: float = 0.0) -> Counter[str]:
    """Verdicts of so many A/B tests, each looked at daily. lacking: the share of the candidate's answers that fail"""
    found, rng = Counter[str](), np.random.default_rng([int(1000 * abs(gain)), runs, int(100 * lacking)])
    for _ in range(runs):
        days = list(_days(gain, lacking, rng))
        for count in range(1, len(days) + 1):
            said = judge_arms(TEST, days[:count], DAY, waited_out=False)
            if said.verdict != "wait" or said.why.startswith("the candidate answered"):
                break
        found["shares" if said.why.startswith("the candidate answered") else "worse" if said.verdict == "refuse" else said.verdict] += 1
        found["days"] += count
    return found


def _days(gain: float, lacking: float, rng: np.random.Generator) -> list[ArmWindow]:
    """Users differ in how easily they are helped, stay in their arm, and come back; so do days."""
    easy, arm = np.clip(rng.beta(6, 2, 2_000), -gain, 1.0), rng.random(2_000) < TEST.share
    found = []
    for number in range(28):
        who = rng.integers(0, 2_000, 120)
        chance = np.clip(easy[who] + rng.normal(0, 0.05), max(-gain, 0.0), 1.0) + gain * arm[who]
        helped, mine = rng.random(120) < chance, arm[who]
        mine_too = mine & (rng.random(120) >= lacking)
        a, b = helped[~mine], helped[mine_too]
        mine_of_all = rng.binomial(1_200, TEST.share)  # requests, of which one in ten gets feedback
        answered = 1_200 - mine_of_all, rng.binomial(mine_of_all, 1 - lacking)
        found.append(ArmWindow(number, *answered, (len(a), len(b)), float(b.mean() - a.mean())))
    return found


if __name__ == "__main__":
    short = 0
    for line in prove():
        print(line, flush=True)
        short += isinstance(line, Figure) and not line.holds
    sys.exit(bool(short))
