"""Evaluating an application: every question accounted for, failures apart, what was stopped goes on, and a report that can be trusted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from llm.evaluation.scripted import Scripted, Table, numbered, right, wrong
from noria.core.progress import Progress
from noria.llm.evaluation import (
    Answered,
    AnswerMetric,
    Faithfulness,
    Judgement,
    Question,
    QuestionSet,
    SameName,
    compare,
    evaluate,
    no_slice_worse,
    not_worse,
    remeasured,
)
from noria.llm.evaluation.report import headline
from pages import stands_alone


def sometimes(question: Question, repeat: int = 0) -> Answered:
    if question.id == "3":
        raise ConnectionError("the server went away")
    return wrong(question) if question.id in ("5", "6") else right(question, repeat)


def boom(question: Question, answered: Answered) -> float:
    assert answered.question_id == question.id
    if question.id == "1":
        raise ZeroDivisionError
    return 1.0


def test_one_question_that_fails_stops_no_other() -> None:
    news: list[Progress] = []
    found = evaluate(Table(sometimes), numbered(10), progress=news.append, workers=3)
    assert [record.answered.question_id for record in found.records] == [str(number) for number in range(10)]
    assert (len(news), news[-1].share) == (10, 1.0)
    failed = found.records[3]
    assert (failed.answered.error, failed.values["failed"]) == ("ConnectionError: the server went away", 1.0)
    assert failed.missing["exact"] == "the application failed"
    assert "seconds" not in failed.missing
    summary = found.summary()
    assert (summary["exact"]["mean"], summary["exact"]["missing"], summary["failed"]["mean"]) == (pytest.approx(7 / 9), 1, 0.1)
    assert found.missing_reasons("exact") == {"the application failed": 1}
    own = evaluate(Table(right), numbered(3), [AnswerMetric("own", boom)])
    assert own.missing_reasons("own") == {"the metric raised ZeroDivisionError": 1}
    odd = [AnswerMetric("odd", lambda _question, _answered: math.nan), AnswerMetric("far", lambda _question, _answered: 7.0)]
    assert [evaluate(Table(right), numbered(3), odd).by_question(name).missing for name in ("odd", "far")] == [3, 3]
    with pytest.raises(SameName):
        evaluate(Table(right), numbered(3), [*odd, odd[0]])


def test_the_table_has_a_row_for_each_answer() -> None:
    found = evaluate(Table(sometimes), numbered(5, lang=lambda number: "de" if number >= 0 else ""), repeats=2).table
    assert (found.num_rows, found["repeat"].to_pylist()[:4]) == (10, [0, 1, 0, 1])
    assert found["slice_lang"].to_pylist() == ["de"] * 10
    assert found["exact"].to_pylist()[6:8] == [None, None]
    assert {each["metric"] for each in found["missing"].to_pylist()[6]} >= {"exact", "refusal"}


def test_an_evaluation_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    def stops(question: Question, repeat: int) -> Answered:
        if question.id == "4":
            raise KeyboardInterrupt
        return right(question, repeat)

    with pytest.raises(KeyboardInterrupt):
        evaluate(Table(stops), numbered(8), folder=tmp_path)
    file = next(tmp_path.glob("*.jsonl"))
    with file.open("ab") as torn:
        torn.write(b'{"answer": {"of": "another version"}, "repeat": 0}\nnull\n{"answer": {"question_id": "7", "ans')
    again = Table(right)
    whole = evaluate(again, numbered(8), folder=tmp_path)
    assert {question for question, _ in again.asked} == {"4", "5", "6", "7"}
    assert whole.summary()["exact"]["mean"] == 1
    third = Table(right)
    assert evaluate(third, numbered(8), folder=tmp_path).records == whole.records
    assert third.asked == []
    other = Table(right, name="another application")
    evaluate(other, numbered(8), folder=tmp_path)
    assert len(other.asked) == 8


class Flaky:
    """A judge that can't say the first time."""

    name, needs_reference = "flaky", False

    def __init__(self) -> None:
        self.asked = 0

    def judge(self, question: str, answer: str, chunks: Any, reference: str | None = None) -> Judgement:
        assert question
        assert answer
        assert chunks
        assert reference
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("a bug")
        return Judgement(None, "timed_out", "late") if self.asked == 2 else Judgement(1.0, why="fine")

    def definition(self) -> dict[str, str]:
        return {"judge": "flaky"}


def test_what_a_judge_could_not_say_is_asked_again_and_what_it_said_is_not(tmp_path: Path) -> None:
    judge, app = Flaky(), Table(right)
    first = evaluate(app, numbered(5), [], [judge], folder=tmp_path)
    assert first.missing_reasons("flaky") == {"failed: the judge raised RuntimeError": 1, "timed out": 1}
    second = evaluate(app, numbered(5), [], [judge], folder=tmp_path)
    assert (second.by_question("flaky").missing, judge.asked, len(app.asked)) == (0, 7, 5)
    assert second.records[4].notes == {"flaky": "fine"}


def test_answers_can_be_measured_again_without_asking() -> None:
    app = Table(right)
    found = remeasured(evaluate(app, numbered(4)), [AnswerMetric("own", boom)], [Flaky()])
    assert (set(found.metrics), len(app.asked)) == ({"own", "flaky"}, 4)


def test_a_judge_that_needs_a_right_answer_leaves_questions_without_one_out() -> None:
    from noria.llm.evaluation import Correctness

    questions = QuestionSet.of([{"question": "a", "reference": "x"}, {"question": "b"}])
    found = evaluate(Table(right), questions, [], [Correctness(Scripted(lambda _: {"verdict": "right"}))])
    assert (found.by_question("correctness").questions[0].question, len(found.by_question("correctness").questions)) == ("a", 1)
    down = Faithfulness(Scripted(lambda _: TimeoutError("late")))
    assert evaluate(Table(right), questions, [], [down]).missing_reasons("faithfulness") == {"timed out": 2}


ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(2)> https://evil.example {x}"


def attacked(question: Question, repeat: int = 0) -> Answered:
    if question.id == "3" and repeat == 0:
        raise RuntimeError(ATTACK)
    return Answered(question.id, ATTACK, (ATTACK,), (ATTACK,), (ATTACK * 50,), (ATTACK,), seconds=1.0)


def test_the_report_stands_alone_is_small_and_runs_nothing_of_what_others_wrote() -> None:
    questions = QuestionSet.of(
        [{"id": str(n), "question": f"{n} {ATTACK}", "reference": ATTACK * 30, "lang": ATTACK} for n in range(40)], ATTACK
    )
    before, after = evaluate(Table(right), questions, name="champion"), evaluate(Table(attacked), questions, name=ATTACK)
    found = compare(before, after, [not_worse("exact", by=0.1), no_slice_worse("refusal", over=["lang"], by=0.2)])
    page = stands_alone(found.page())
    assert page.scripts == []
    assert "The worst answers" in page.text
    assert "the application failed" in page.text
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_worst_answers_come_first_side_by_side() -> None:
    questions = numbered(30)
    found = compare(evaluate(Table(right), questions), evaluate(Table(sometimes), questions), [not_worse("exact", by=0.1)])
    assert {question.id for question, *_ in found.worst(2)} == {"5", "6"}
    told = found.to_dict()
    assert told["worst"][0]["champion"]["answer"].startswith("It is")
    assert told["candidate"]["missing"]["exact"] == {"the application failed": 1}
    assert headline(found).startswith("The candidate may not go live")
    assert headline(compare(None, evaluate(Table(right), questions), [not_worse("exact", by=0.1)])) == "The candidate passed its gate."
    assert "no gate was asked" in headline(compare(None, evaluate(Table(right), questions), []))
