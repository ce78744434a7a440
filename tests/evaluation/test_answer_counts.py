"""Answers in words, counted: how they ended, and what they took."""

from __future__ import annotations

from typing import Any

import pytest

from noria.data.rows import Rows
from noria.evaluation.answer_counts import counted, counts_to, spent
from noria.evaluation.generation import OUTPUTS
from noria.stores.answer_counts import AnswerCounts, SpentCounts, answers_summed, spent_summed


def answer(finish: str, *, found: int = 1, tokens: tuple[int | None, int | None] = (7, 3), cost: float | None = 0.001) -> tuple[Any, ...]:
    return ("a", [], ["c"] * found, ["t"] * found, ["p"] * found, [0.5] * found, 0.5, finish, *tokens, cost, *[None] * 3)


ANSWERS = Rows.of_values(
    OUTPUTS,
    [
        answer("answered"),
        answer("unknown"),  # a model wrote that it does not know
        answer("unknown", tokens=(0, 0), cost=None),  # nothing near enough: nobody was asked
        answer("unknown", found=0, tokens=(None, None), cost=None),
        answer("blocked", cost=None),
        answer("length"),
        answer("searched", found=9, tokens=(2, 0), cost=float("nan")),
    ],
)


def test_answers_are_counted_by_how_they_ended() -> None:
    assert counted(ANSWERS) == AnswerCounts(answers=6, unanswered=3, missed=2, blocked=1, cut=1)
    assert counts_to(ANSWERS, "missed") == [2, 3]
    assert counts_to(ANSWERS, "answers") == [0, 1, 2, 3, 4, 5]
    assert counted(ANSWERS.part(0, 0)) == AnswerCounts()


def test_what_answers_took_is_summed_and_what_has_no_price_is_counted() -> None:
    took = spent(ANSWERS)
    assert (took.tokens, took.unpriced) == (42, 2)
    assert took.dollars == pytest.approx(0.003)


def test_a_bundle_of_another_version_that_says_less_is_counted_as_far_as_it_goes() -> None:
    assert counted(ANSWERS.without(("completion_tokens",))) == AnswerCounts(answers=6, unanswered=3, missed=1, blocked=1, cut=1)
    assert counted(ANSWERS.without(("finish",))) == AnswerCounts()
    assert spent(ANSWERS.without(("cost", "prompt_tokens"))) == SpentCounts(tokens=12, dollars=0.0, unpriced=4)


def test_counts_of_several_bundles_are_summed() -> None:
    assert answers_summed([AnswerCounts(3, 1), AnswerCounts(2, 1, 1, 1, 1)]) == AnswerCounts(5, 2, 1, 1, 1)
    assert answers_summed([]) == AnswerCounts()
    assert spent_summed([SpentCounts(3, 0.5, 1), SpentCounts(4, 0.25)]) == SpentCounts(7, 0.75, 1)
