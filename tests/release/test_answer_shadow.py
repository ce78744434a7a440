"""A shadow whose answers are scored: what it takes to promote or to refuse, whatever is missing; and outcomes that are refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from benchmarks.llm.shadows import shadows

import noria as nr
from noria import llm
from noria.core.errors import UserMistake
from noria.evaluation.answer_scores import AnswerScore, ShownAnswer
from noria.evaluation.generation_scores import ANSWER_SCORES
from noria.monitoring.shadow import pairing
from noria.release.answer_shadow import (
    AnswerPlan,
    ComparedAnswers,
    Gains,
    NoSuchComparison,
    OutcomeOfAnotherAnswer,
    judge_answers,
    of_plain,
    to_plain,
)
from noria.release.rollout import ShadowVerdict
from noria.serving.log.predictions import Predictions

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLAN = nr.Rollout(shadow="1h", at_most="3d", score="answered", margin=0.1)
SCORES = {score.name: score for score in ANSWER_SCORES}
SAME = np.zeros(60)


def verdict(lowest: Any, highest: Any = None, *, lasted: timedelta = DAY, over: bool = False, **found: Any) -> ShadowVerdict:
    low = np.asarray(lowest, np.float64)
    compared = ComparedAnswers(Gains(low, low if highest is None else np.asarray(highest, np.float64)), **found)
    return judge_answers(PLAN, AnswerPlan(SCORES["answered"]), compared, lasted, waited_out=over)


def test_what_is_not_worse_is_promoted_once_it_has_lasted() -> None:
    said = verdict(SAME)
    assert (said.verdict, said.interval and said.interval.units) == ("promote", 60)
    assert said.why.startswith("not worse by 0.1: answered +0.000 in [-0.0")
    assert said.to_dict()["seen"]["outcomes"] == "of the champion's answers, and not used"
    assert verdict(SAME, lasted=timedelta(minutes=50)).verdict == "wait"
    assert verdict(SAME[:25]).verdict == "wait"
    assert verdict(SAME[:25], over=True).why.startswith("still undecided")
    assert "20 are needed" in verdict(SAME[:19], over=True).why


def test_a_loss_is_refused_at_once_and_a_small_one_is_not_called_one() -> None:
    lost = np.where(np.arange(60) % 2, 0.0, -1.0)
    assert verdict(lost, lasted=timedelta()).why.startswith("the challenger is worse: answered -0.500")
    small = np.where(np.arange(2_000) % 20, 0.0, -1.0)  # by 0.05, which is half of what matters
    assert verdict(small).verdict == "promote"


def test_what_has_no_score_counts_either_way() -> None:
    few = SAME.copy()
    few[:2] = -1.0
    assert verdict(few, -few, missing={"support: timed out": 2}).verdict == "wait"
    most = SAME.copy()
    most[:30] = -1.0
    said = verdict(most, -most, missing={"support: timed out": 30})
    assert (said.verdict, "30 not scored (support: timed out)" in said.why) == ("wait", True)  # neither worse nor not worse
    assert verdict(most, -most, over=True).verdict == "refuse"


def test_what_it_takes_is_limited_and_what_is_not_known_of_it_opens_nothing() -> None:
    plan = replace(PLAN, not_above={"cost": 1.5})
    same = np.zeros(200)

    def limited(cost: Any) -> ShadowVerdict:
        found = ComparedAnswers(Gains(same, same), {"cost": np.column_stack([np.full(200, 0.01), np.broadcast_to(cost, 200)])})
        return judge_answers(plan, AnswerPlan(SCORES["cost"] and SCORES["answered"], [(SCORES["cost"], 1.5)]), found, DAY, waited_out=False)

    noise = 0.0001 * np.random.default_rng(2).normal(size=200)
    assert limited(0.01 + noise).verdict == "promote"
    assert "more than 1.5 times the cost" in limited(0.02 + noise).why
    assert limited(0.02 + noise).verdict == "refuse"
    assert (limited(0.015 + noise).verdict, limited(np.nan).verdict) == ("wait", "wait")
    assert "cost is not known of 200 answers" in limited(np.nan).why


def test_a_judge_counts_as_far_as_it_follows_people() -> None:
    def by(least: float, most: float) -> ShadowVerdict:
        score = AnswerScore("support", lambda _: 1.0, judged=True, slopes=lambda _: (least, most))
        gains = np.full(200, -0.06)
        return judge_answers(PLAN, AnswerPlan(score), ComparedAnswers(Gains(gains, gains)), DAY, waited_out=False)

    assert by(0.95, 1.0).verdict == "promote"  # a judge who sees nearly all of a difference: it is about 0.06
    assert by(0.5, 0.6).verdict != "promote"  # of one who sees half, it may be 0.12
    assert by(0.1, 0.3).why == "the judge support follows people too little to decide by it"


def test_what_was_seen_is_kept_between_rounds() -> None:
    found = ComparedAnswers(Gains(SAME, SAME + 1), {"cost": np.array([[0.1, math.nan]])}, {"late": 2}, 1, 3, 70)
    again = of_plain(to_plain(found))
    assert (again.failed, again.repeated, again.answers, again.missing) == (1, 3, 70, {"late": 2})
    assert np.array_equal(again.taken["cost"], found.taken["cost"], equal_nan=True)
    assert of_plain({}).questions == 0


def predictions(variant: str) -> Predictions:
    n = 4
    ids: list[str | None] = list("abcd")
    received, latency = np.arange(n), np.zeros(n, np.int32)
    return Predictions.of_block(
        list("abcd"), ids, [variant] * n, [variant] * n, received, latency, np.zeros((n, 1), np.float32), np.ones(n)
    )


def test_feedback_on_the_champions_answers_is_refused_for_another_models() -> None:
    both = predictions("champion"), predictions("challenger")
    with pytest.raises(OutcomeOfAnotherAnswer, match="which are of the answers that were shown"):
        pairing(nr.Generation(), *both, np.ones(4))
    assert pairing(nr.Generation(), *both, None).paired == 4


def shown(finish: str = "answered", **said: Any) -> ShownAnswer:
    return ShownAnswer(
        {"question": "?"}, {"finish": finish, "confidence": 0.5, "prompt_tokens": 7, "completion_tokens": 3, "cost": None, **said}, 0.25
    )


@pytest.mark.parametrize(
    ("name", "answer", "value"),
    [
        ("answered", shown(), 1.0),
        ("answered", shown("unknown"), 0.0),
        ("answered", shown("failed"), 0.0),
        ("confidence", shown(), 0.5),
        ("seconds", shown(), 0.25),
        ("tokens", shown(), 10.0),
        ("tokens", shown(prompt_tokens=None), "its tokens are not known"),
        ("cost", shown(), "its cost is not known"),
        ("cost", shown(cost=0.02), 0.02),
        ("cost", shown("failed"), 0.0),
    ],
)
def test_an_answer_is_scored_without_an_outcome(name: str, answer: ShownAnswer, value: float | str) -> None:
    assert SCORES[name].of(answer) == value


def test_plans_that_can_ask_nothing_are_refused() -> None:
    wrong: Sequence[dict[str, Any]] = ({"share": 0.0}, {"share": 1.5}, {"answers": 0}, {"not_above": {"cost": 0.0}})
    for each in wrong:
        with pytest.raises(UserMistake, match="asks its challenger nothing"):
            nr.Rollout(**each)


@pytest.mark.parametrize("judge", ["sure", "noisy", "missing"])
def test_equal_applications_are_seldom_called_worse_and_worse_ones_seldom_promoted(judge: str) -> None:
    """Level 10 %, of 80 shadows, looked at after every twentieth question: more than 17 of them at the level have a chance of 0.1 %."""
    assert shadows(judge, 0.0, 80)["worse"] <= 17
    assert shadows(judge, -0.1, 80)["promote"] <= 17
    assert shadows(judge, -0.4, 30)["worse"] >= 25


def test_an_endpoint_says_by_what_answers_are_compared(model: nr.Model) -> None:
    with pytest.raises(OutcomeOfAnotherAnswer):
        nr.Endpoint("a", model, release=nr.Rollout(metric="helpful"))
    with pytest.raises(NoSuchComparison, match="there is no score 'anwered'"):
        nr.Endpoint("a", model, release=nr.Rollout(score="anwered"))
    with pytest.raises(NoSuchComparison, match="cost has no end"):
        nr.Endpoint("a", model, release=nr.Rollout(score="cost"))
    with pytest.raises(NoSuchComparison, match="there is no score 'money'"):
        nr.Endpoint("a", model, release=nr.Rollout(not_above={"money": 2}))
    ordinary = replace(model, task=nr.Binary(), trainer=nr.model_file("m.onnx"))
    with pytest.raises(NoSuchComparison, match="share, answers is for models whose outcomes belong to the answer"):
        nr.Endpoint("a", ordinary, release=nr.Rollout(share=0.5, answers=10))


@pytest.fixture
def model() -> nr.Model:
    asked, said, docs = (nr.Table(name, nr.files(f"{name}.csv"), key="id", event_time="at") for name in ("asked", "said", "docs"))
    features = nr.FeatureSet("asked", spine=asked, request=[])
    application = llm.Application(docs, llm.HashedEmbedder())
    return nr.Model("m", features, label=nr.Label(said, "helpful"), trainer=application, task=nr.Generation())
