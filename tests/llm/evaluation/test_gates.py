"""Gates: three answers, the question as the unit, missing values that decide nothing, small slices, and the level that is stated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from llm.evaluation.scripted import Table, numbered, right, wrong
from noria.evaluation.gates import Verdict
from noria.llm.evaluation import (
    Answered,
    AnswerMetric,
    BadGate,
    Evaluated,
    HumanLabel,
    Judgement,
    JudgeRecord,
    NotComparable,
    NotReviewed,
    Question,
    QuestionSet,
    UnknownAnswerMetric,
    at_least,
    better,
    compare,
    evaluate,
    generated,
    judge_digest,
    judged_metric,
    measured,
    no_slice_worse,
    not_above,
    not_worse,
    within,
)
from noria.llm.evaluation.evaluated import Record

LEVEL = 0.05


def valued(
    values: Sequence[Any], name: str = "quality", judge: Any = None, repeats: int = 1, bounds: tuple[float, float] = (0, 1), **slices: Any
) -> Evaluated:
    """An evaluation with these values of one metric, None where one is missing."""
    questions = numbered(len(values) // repeats, **slices)
    metric = AnswerMetric(name, lambda _question, _answered: None, bounds=bounds, judge=judge)
    records = tuple(
        Record(
            Answered(str(place // repeats)),
            place % repeats,
            {} if value is None else {name: float(value)},
            {name: "timed out"} if value is None else {},
        )
        for place, value in enumerate(values)
    )
    return Evaluated("app", "a", {}, questions, {name: metric}, records)


def verdict(gate: Any, before: Sequence[Any] | None, after: Sequence[Any], **more: Any) -> Verdict:
    return compare(None if before is None else valued(before, **more), valued(after, **more), [gate]).verdicts[0]


GOOD = [1.0] * 100


def test_a_gate_says_passed_failed_or_unknown() -> None:
    gate = not_worse("quality", by=0.05)
    assert verdict(gate, GOOD, GOOD).outcome == "passed"
    assert verdict(gate, GOOD, [0.0] * 20 + [1.0] * 80).outcome == "failed"
    some = verdict(gate, GOOD, [0.0] * 3 + [1.0] * 97)
    assert some.outcome == "unknown"
    assert "questions would show it" in some.why
    assert verdict(gate, None, GOOD) == Verdict(gate.name, "passed", "there is no champion yet")
    assert verdict(gate, GOOD[:10], GOOD[:10]).why == "10 questions; 20 are needed to say anything"


def test_a_gain_must_be_shown_and_be_large_enough_to_matter() -> None:
    half = [0.0, 1.0] * 50
    assert verdict(better("quality", by=0.1), half, GOOD).outcome == "passed"
    assert verdict(better("quality", by=0.1), half, half).outcome == "failed"
    assert verdict(better("quality", by=0.02), [0.0] * 10 + GOOD[:90], GOOD).outcome == "passed"
    assert verdict(better("quality", by=0.2), [0.0] * 10 + GOOD[:90], GOOD).outcome == "failed"
    assert verdict(better("quality", by=0.02), [0.0, *GOOD[:99]], GOOD).outcome == "unknown"


def test_a_mean_and_a_limit_must_be_shown() -> None:
    assert [verdict(at_least("quality", value), None, [0.0] * 20 + GOOD[:80]).outcome for value in (0.6, 0.8, 0.95)] == [
        "passed",
        "unknown",
        "failed",
    ]
    seconds, free = [1.0] * 98 + [9.0] * 2, {"bounds": (-math.inf, math.inf)}
    assert [verdict(within("quality", limit, share=0.9), None, seconds, **free).outcome for limit in (1.0, 9.5)] == ["passed", "failed"]
    timed = evaluate(Table(right), numbered(100), [AnswerMetric("seconds", lambda _q, a: a.seconds, "lowest", (0, math.inf))])
    outcomes = [compare(None, timed, [within("seconds", limit, share=0.9)]).verdicts[0].outcome for limit in (0.5, 1.0)]
    assert outcomes == ["failed", "passed"]
    assert verdict(not_worse("quality", by=0.5), seconds, seconds, **free).outcome == "passed"


def slow(question: Question, repeat: int = 0) -> Answered:
    return Answered(question.id, "x", seconds=2.0 + int(question.id) % 7 / 10 + repeat * 0)


def test_a_ratio_of_seconds() -> None:
    metrics = [AnswerMetric("seconds", lambda _q, a: a.seconds, "lowest", (0, math.inf))]
    fast, late = evaluate(Table(right), numbered(60), metrics), evaluate(Table(slow), numbered(60), metrics)
    outcomes = [compare(fast, late, [not_above("seconds", times=times)]).verdicts[0].outcome for times in (1.5, 2.3, 3)]
    assert outcomes == ["failed", "unknown", "passed"]


def test_what_is_missing_is_never_a_loss_and_never_a_pass() -> None:
    gate = not_worse("quality", by=0.05)
    assert verdict(gate, GOOD, [None] * 5 + GOOD[:95]).outcome == "unknown"
    assert verdict(gate, GOOD * 10, [None, *(GOOD * 10)[:999]]).outcome == "passed"
    assert verdict(gate, GOOD, [None] * 60 + [0.0] * 40).outcome == "failed"
    assert verdict(gate, [None] * 100, GOOD).outcome == "unknown"
    assert verdict(gate, GOOD, [None] * 100).outcome == "unknown"
    assert verdict(at_least("quality", 0.9), None, [None] * 10 + GOOD[:90]).outcome == "unknown"
    assert verdict(better("quality", by=0.1), [0.0] * 100, [None] * 95 + [1.0] * 5).outcome == "unknown"


def test_repeats_of_a_question_are_not_more_questions() -> None:
    rng = np.random.default_rng(3)
    once = (rng.random(40) < 0.5).astype(float)
    many = np.repeat(once, 25)
    found = compare(valued([1.0] * 40), valued(once), [not_worse("quality", by=0.4)]).verdicts[0]
    again = compare(valued([1.0] * 1000, repeats=25), valued(many, repeats=25), [not_worse("quality", by=0.4)]).verdicts[0]
    assert found.why == again.why
    assert valued(many, repeats=25).summary()["quality"]["repeatability"] == 0
    assert valued([0, 1] * 40, repeats=2).summary()["quality"]["repeatability"] == pytest.approx(math.sqrt(0.5))


def language(number: int) -> str:
    return "fi" if number < 8 else "de" if number < 108 else "en"


def test_a_severe_loss_in_a_small_slice_fails_though_the_mean_rises() -> None:
    before, after = [1.0] * 8 + [0.5] * 192, [0.0] * 8 + [0.9] * 192
    gate = no_slice_worse("quality", over=["lang"], by=0.1)
    found = verdict(gate, before, after, lang=language)
    assert found.outcome == "failed"
    assert "lang=fi" in found.why
    assert verdict(better("quality", by=0.1), before, after, lang=language).outcome == "passed"
    one = verdict(gate, before, [0.0, 0.0, *[1.0] * 6, *after[8:]], lang=language)
    assert (one.outcome, "not shown" in one.why) == ("unknown", True)
    assert verdict(gate, before, before, lang=language).outcome == "passed"
    assert verdict(no_slice_worse("quality", over=["lang"], by=0.1, strict=True), before, before, lang=language).outcome == "unknown"
    assert verdict(gate, before, [None] * 3 + before[3:], lang=language).outcome == "unknown"
    assert verdict(no_slice_worse("quality", over=["nothing"], by=0.1), before, after, lang=language).outcome == "unknown"


def test_slices_too_small_by_themselves_are_judged_together() -> None:
    gate = no_slice_worse("quality", over=["lang"], by=0.1)
    found = verdict(gate, [1.0] * 130, [0.0] * 12 + [1.0] * 118, lang=lambda number: f"l{number // 2}" if number < 12 else "en")
    assert (found.outcome, "the small slices of lang" in found.why) == ("failed", True)


def test_many_slices_without_a_difference_raise_no_alarm() -> None:
    rng = np.random.default_rng(8)
    outcomes = []
    for _ in range(120):
        before, after = ((rng.random(200) < 0.8).astype(float) for _ in range(2))
        outcomes.append(
            verdict(no_slice_worse("quality", over=["part"], by=0.1), before, after, part=lambda number: str(number % 20)).outcome
        )
    assert outcomes.count("failed") <= LEVEL * 120 + 3 * math.sqrt(120 * LEVEL * (1 - LEVEL))


@dataclass
class Judge:
    """A judge by a function of the question's number."""

    says: Callable[[int], float]
    kind: str = "one"
    name: str = "judged"
    needs_reference: bool = False

    def judge(self, question: str, answer: str, chunks: Any, reference: str | None = None) -> Judgement:
        assert answer == "x"
        assert chunks == ()
        assert reference is None
        return Judgement(self.says(int(question)))

    def definition(self) -> dict[str, str]:
        return {"judge": self.kind}


def record(judge: Judge, count: int = 300, right: float = 0.95) -> JudgeRecord:
    """Measured on as many labels, of which it gets so many right."""
    return measured(judge, [HumanLabel(str(n), "x", float(n % 2 if n % 100 < 100 * right else 1 - n % 2)) for n in range(count)])


def judged(values: Sequence[Any], judge: Judge) -> Evaluated:
    return valued(values, "judged", judge)


def test_a_judge_may_gate_only_as_it_was_measured() -> None:
    judge, other = Judge(lambda n: float(n % 2)), Judge(lambda n: float(n % 2), kind="another prompt")
    gate, good = not_worse("judged", by=0.1), [1.0] * 150
    before, after = judged(good, judge), judged(good, judge)
    assert "not measured" in compare(before, after, [gate]).verdicts[0].why
    assert "another version" in compare(before, after, [gate], records=[record(other)]).verdicts[0].why
    assert "30 human labels; 50 are needed" in compare(before, after, [gate], records=[record(judge, 30)]).verdicts[0].why
    assert compare(before, after, [gate], records=[record(judge)]).verdicts[0].outcome == "passed"
    blind = record(judge, right=0.55)
    assert "follows people too little" in compare(before, after, [gate], records=[blind]).verdicts[0].why
    assert compare(None, after, [at_least("judged", 0.8)], records=[record(judge)]).verdicts[0].outcome == "passed"
    assert compare(None, after, [at_least("judged", 0.8)]).verdicts[0].outcome == "unknown"
    with pytest.raises(NotComparable, match="another judge"):
        compare(judged(good, other), after, [gate])


def test_a_judge_that_errs_needs_more_to_show_the_same() -> None:
    judge, good = Judge(lambda n: float(n % 2)), [1.0] * 100
    verdicts = [
        compare(judged(good, judge), judged(good, judge), [not_worse("judged", by=0.06)], records=[record(judge, right=r)]).verdicts[0]
        for r in (1.0, 0.75)
    ]
    assert [each.outcome for each in verdicts] == ["passed", "unknown"]


def test_people_who_labelled_a_few_correct_the_judge() -> None:
    judge, rng = Judge(lambda n: float(n % 2)), np.random.default_rng(2)
    truth = (rng.random(400) < 0.3).astype(float)  # of the candidate, whose answers the judge likes whatever they are worth
    before, after = judged([1.0] * 400, judge), judged([1.0] * 400, judge)
    human = {"judged": {str(n): (1.0, float(truth[n])) for n in range(60)}}
    found = compare(before, after, [not_worse("judged", by=0.1)], records=[record(judge)], human=human).verdicts[0]
    assert (found.outcome, "60 human labels" in found.why) == ("failed", True)
    few = {"judged": {str(n): (1.0, 1.0) for n in range(5)}}
    assert "5 questions; 20 are needed" in compare(before, after, [not_worse("judged", by=0.1)], human=few).verdicts[0].why


def test_what_was_not_reviewed_is_refused_unless_allowed() -> None:
    from llm.evaluation.test_questions import CORPUS

    drafted = generated(CORPUS).questions
    evaluated = evaluate(Table(wrong), drafted)
    with pytest.raises(NotReviewed):
        compare(None, evaluated, [not_worse("exact", by=0.1)])
    assert compare(None, evaluated, [not_worse("exact", by=0.1)], unreviewed=True).passed


def test_other_sets_and_other_metrics_are_refused() -> None:
    with pytest.raises(NotComparable, match="different sets"):
        compare(valued(GOOD), valued(GOOD[:50]), [])
    with pytest.raises(UnknownAnswerMetric, match="did you mean 'quality'"):
        verdict(not_worse("qualty", by=0.1), GOOD, GOOD)
    assert compare(valued(GOOD), valued(GOOD), []).passed is False
    assert QuestionSet.of([{"question": "x"}]).version != numbered(1).version


@pytest.mark.parametrize(
    "declare",
    [
        lambda: not_worse("x", by=0),
        lambda: better("x", by=-0.1),
        lambda: not_worse("x", by=math.nan),
        lambda: not_worse("x", by=0.1, level=0.9),
        lambda: within("x", 1, share=1.0),
        lambda: no_slice_worse("x", over="lang", by=0.1),
        lambda: at_least("x", math.inf),
    ],
)
def test_gates_that_can_not_be_are_refused(declare: Callable[[], object]) -> None:
    with pytest.raises(BadGate):
        declare()


def test_two_runs_of_one_noisy_application_seldom_disagree() -> None:
    """A/A: each run draws its own answers; the judge errs. A wrong alarm has the stated level at most, and so have flips where the
    questions are as many as the gate asks for."""
    rng, runs, count = np.random.default_rng(11), 150, 400
    quality = rng.beta(4, 1, count)
    gate = not_worse("quality", by=0.1)

    def asked() -> Evaluated:
        return valued(np.where(rng.random(count) < 0.1, rng.random(count), rng.random(count) < quality))

    champion = asked()
    outcomes = [
        (compare(champion, asked(), [gate]).verdicts[0].outcome, compare(champion, asked(), [gate]).verdicts[0].outcome)
        for _ in range(runs // 2)
    ]
    most = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / runs)
    assert np.mean([one != other for one, other in outcomes]) <= most
    assert not any("failed" in pair for pair in outcomes)


def test_a_wrong_pass_is_as_rare_as_stated() -> None:
    """The candidate is worse by just `by`, in four ways."""
    rng, runs, by = np.random.default_rng(12), 400, 0.05
    most = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / runs)
    ways: list[Callable[[], tuple[np.ndarray, np.ndarray]]] = [
        lambda: (np.ones(60), (rng.random(60) >= by).astype(float)),
        lambda: ((rng.random(100) < 0.8).astype(float), (rng.random(100) < 0.8 - by).astype(float)),
        lambda: (np.full(40, 0.5), np.clip(0.5 - by + rng.normal(0, 0.15, 40), 0, 1)),
        lambda: (np.full(80, 0.9), np.where(rng.random(80) < (by + 0.1), 0.0, 1.0)),
    ]
    for way in ways:
        passed = [verdict(not_worse("quality", by=by), *way()).outcome == "passed" for _ in range(runs // 2)]
        assert np.mean(passed) <= most + 0.02


def test_the_digest_of_a_judged_metric_is_the_judge_s() -> None:
    judge = Judge(lambda n: n * 0.0)
    assert judged_metric(judge).judge_digest == judge_digest(judge)
