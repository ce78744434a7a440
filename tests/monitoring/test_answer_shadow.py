"""Pairs of answers are scored once, a question that is asked again says nothing twice, and what has no score counts either way."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from noria.data.rows import Rows
from noria.evaluation.answer_scores import AnswerScore, ShownAnswer
from noria.evaluation.generation import INPUTS, Generation
from noria.evaluation.generation_scores import ANSWER_SCORES
from noria.monitoring.answers.shadow import Pair, _added, _first_asked, _of_pair, _pairs, _scored
from noria.release.answer_shadow import AnswerPlan, ComparedAnswers, Gains
from noria.serving.log.predictions import Predictions, Values

SCORES = {score.name: score for score in ANSWER_SCORES}
NOTHING = ComparedAnswers(Gains(np.empty(0), np.empty(0)))


def logged(variant: str, rows: list[dict[str, Any]]) -> Predictions:
    """Rows of one bundle: each with a question, and how its answer finished."""
    n, outputs = len(rows), Generation().outputs
    asked = Rows.of_values(INPUTS, [(row["question"], row.get("conversation"), *[None] * 5) for row in rows])
    said = {
        "answer": "x",
        "cited": [],
        "found": [],
        "found_texts": [],
        "found_places": [],
        "found_scores": [],
        "confidence": 0.5,
        "cost": 0.01,
    }
    answers = Rows.of_values(outputs, [tuple({**said, **row}.get(field.name) for field in outputs) for row in rows])
    ids = [f"{variant}{i}" for i in range(n)]
    received, latency, values = np.arange(n), np.full(n, 250_000, np.int32), {variant: Values(asked, answers)}
    return Predictions(ids, [str(i) for i in range(n)], [variant] * n, [variant] * n, received, latency, values)


def pairs(*asked: tuple[str, str, str], **more: Any) -> list[Pair]:
    """Of (question, how the champion's answer finished, how the challenger's did)."""
    rows = [[{"question": question, "finish": finish, **more} for question, *both in asked for finish in (both[who],)] for who in (0, 1)]
    return _pairs(logged("champion", rows[0]), logged("challenger", rows[1]))


def test_both_answers_to_a_request_are_paired_and_searches_are_none() -> None:
    found = pairs(("a", "answered", "unknown"), ("b", "searched", "searched"), ("c", "answered", "failed"))
    assert [(pair.before.said["finish"], pair.after.said["finish"]) for pair in found] == [("answered", "unknown"), ("answered", "failed")]
    assert (found[0].before.seconds, found[0].conversation) == (0.25, "a")


def test_a_question_that_is_asked_again_counts_once() -> None:
    found = pairs(("a", "answered", "unknown"), ("a", "answered", "answered"), ("b", "answered", "answered"))
    wanted, repeated = _first_asked(found, set())
    assert ([pair.id for pair in wanted], [pair.id for pair in repeated]) == (["champion0", "champion2"], ["champion1"])
    again, _ = _first_asked(found, {wanted[0].repeats})
    assert [pair.id for pair in again] == ["champion2"]
    redacted = pairs(("", "answered", "answered"), ("", "answered", "answered"))
    assert len(_first_asked(redacted, set())[0]) == 2  # nobody knows whether they are the same


def test_turns_of_one_conversation_are_one_question() -> None:
    plan = AnswerPlan(SCORES["answered"], [(SCORES["cost"], 2.0)])
    first = pairs(("a", "answered", "unknown"))
    later = pairs(("and then?", "answered", "answered"), conversation=json.dumps([{"role": "user", "content": "a"}]))
    found = _added(plan, NOTHING, _scored(plan, [*first, *later, *pairs(("b", "answered", "failed"))]))
    assert found.gains.lowest.tolist() == found.gains.highest.tolist() == [-0.5, -1.0]
    assert (found.questions, found.failed, found.taken["cost"].shape) == (2, 1, (2, 2))
    more = _added(plan, found, _scored(plan, pairs(("c", "unknown", "answered"))))
    assert more.gains.lowest.tolist() == [-0.5, -1.0, 1.0]
    assert _added(plan, more, []) is more


def refuses(_: ShownAnswer) -> float | str:
    return "support: timed out"


def raises(_: ShownAnswer) -> float | str:
    raise ValueError("no judge")


def beyond(_: ShownAnswer) -> float | str:
    return 1.5


@pytest.mark.parametrize(
    ("of", "why"), [(refuses, "support: timed out"), (raises, "support raised ValueError"), (beyond, "support gave 1.5")]
)
def test_what_a_judge_did_not_say_may_be_anything(of: Any, why: str) -> None:
    [pair] = pairs(("a", "answered", "answered"))
    plan = AnswerPlan(AnswerScore("support", of, judged=True))
    scored = _of_pair(plan, pair)
    assert (scored.low, scored.high, list(scored.missing)) == (-1.0, 1.0, [why, why])
    assert _added(plan, NOTHING, [(pair, scored)]).missing == {why: 2}
