"""What monitors of answers in words tell people: the cause, what to do, and whom to call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import noria as nr
from noria import llm
from noria.core.calendar import Calendar
from noria.core.errors import UserMistake
from noria.evidence.problems import health_dict, said
from noria.monitoring.answers.judged import Said, SampledJudge, read_judged
from noria.monitoring.answers.shares import AnswerShare, Counted, ShareReading, read_share
from noria.monitoring.answers.spending import SpendingReading, Took, read_spending
from noria.monitoring.monitor import Monitor, NotInWords
from noria.monitoring.monitors.answer_shares import AnswerShares
from noria.monitoring.monitors.judged_answers import JudgedAnswers
from noria.monitoring.monitors.spending import Spending
from noria.stores.answer_counts import AnswerCounts
from noria.stores.verdicts import AnswerVerdict

START, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
DAYS = [START + place * DAY for place in range(40)]


def risen(name: str) -> ShareReading:
    """Twenty days at a tenth, and twenty at a half."""
    counts = [Counted(day, 5 if place < 20 else 25, 50) for place, day in enumerate(DAYS)]
    return read_share(AnswerShare(name, by=0.05), [(1, 10)] * 20, counts, 365 / 0.13)


def test_a_finding_says_whether_answers_were_missed_or_written() -> None:
    for missed, told, fix in (
        (24, "nothing near enough was found for most of them", "add the documents that are missing"),
        (3, "most of them were written, with sources at hand", "check the prompt and the generator"),
    ):
        told_by = AnswerShares((risen("unanswered"),), dict.fromkeys(DAYS, missed), AnswerCounts(200, 20, 10))
        [finding] = told_by.findings()
        assert (
            finding.summary == f"50.0% of the answers say that they don't know; 10.0% when this version was built (tolerance 0.05); {told}"
        )
        assert fix in finding.fix
        assert (finding.kind, finding.subject, finding.severity, finding.evidence["looks_like"]) == ("answers", "unanswered", "page", told)
        assert DAYS[20] <= finding.since <= DAYS[22]
        assert told_by.judged() == {"answers"}


def test_other_shares_have_their_own_words() -> None:
    for name, fix in (("missed", "documents"), ("blocked", "guardrail"), ("cut", "greatest length")):
        [finding] = AnswerShares((risen(name),), {}, AnswerCounts(200)).findings()
        assert fix in finding.fix
        assert finding.summary.startswith("50.0% of the ")


def test_what_is_spent_calls_somebody_and_what_will_be_informs() -> None:
    def reading(spent: float, forecast: float | None) -> SpendingReading:
        return SpendingReading("day", "dollars", 5.0, START, START + DAY / 2, START + DAY, spent, forecast)

    [gone] = Spending((reading(5.5, 9.0),)).findings()
    assert (gone.subject, gone.severity, gone.since) == ("dollars a day", "page", START)
    [soon] = Spending((reading(3.0, 6.0),)).findings()
    assert (soon.subject, soon.severity) == ("forecast of dollars a day", "inform")
    assert "$6.00 are expected by its end" in soon.summary
    assert not list(Spending((reading(3.0, 5.1), reading(3.0, None))).findings())
    assert [name for name, _ in Spending((), "no window with answers yet").healths()] == ["spending"]


def test_what_is_healthy_is_said_with_its_figures() -> None:
    day = read_spending(nr.SpendingLimit("day", dollars=5.0), [Took(START, 10, 1.0)], Calendar(timedelta(hours=1)))
    usual = read_share(AnswerShare("cut", by=0.05), [(1, 10)] * 20, [Counted(START, 5, 50)], 365 / 0.13)
    parts = [*Spending(tuple(day)).healths(), *AnswerShares((usual,), {}, AnswerCounts(200)).healths()]
    told = [said({"monitor": name, **health_dict(health)}) for name, health in parts]
    assert told[0] == "spent 1, limit 5"
    assert "share 0.1" in told[1]


def test_a_judge_calls_somebody_only_where_it_was_measured() -> None:
    times = [START + place * timedelta(minutes=30) for place in range(300)]
    verdicts = [AnswerVerdict(f"p{place}", "b", at, at, float(place < 200)) for place, at in enumerate(times)]
    labels = (1.0,) * 60 + (0.0,) * 40
    for human, severity in ((labels, "page"), ((), "inform")):
        judge = SampledJudge("faithfulness", "j", 0.9, 48, None, human, human, ask=lambda *_: Said(1.0))
        told = JudgedAnswers((read_judged(judge, verdicts, 48 * 365 / 0.13),))
        [finding] = told.findings()
        assert finding.severity == severity
        assert finding.summary.startswith("the judge says: ") == (severity == "inform")
        assert finding.evidence["predictions"] == ["p297", "p298", "p299"]
        assert times[200] <= finding.since <= times[215]


def test_endpoints_that_do_not_answer_in_words_are_refused() -> None:
    spine = nr.Table("asked", nr.files("asked.csv"), key="id", event_time="at")
    label = nr.Label(nr.Table("given", nr.files("given.csv"), key="id", event_time="at"), "late")

    @nr.trainer
    def nothing(train: object, *, seed: int) -> object:
        return train, seed

    endpoint = nr.Endpoint("late", nr.Model("late", nr.FeatureSet("late", spine=spine), label=label, trainer=nothing))
    with pytest.raises(NotInWords, match="answers and spending can't be watched"):
        Monitor(endpoint, answers=[AnswerShare("cut", by=0.1)], spending=[nr.SpendingLimit("day", tokens=5)])
    with pytest.raises(UserMistake, match="answers is"):
        Monitor(endpoint, answers=AnswerShare("cut", by=0.1))  # type: ignore[arg-type]
    docs = nr.Table("docs", llm.document_files("docs"), key="id", event_time="changed_at", deleted="deleted")
    trainer = llm.Application(docs, llm.HashedEmbedder())
    words = nr.Endpoint("words", nr.Model("words", llm.questions(spine), label=label, trainer=trainer, task=nr.Generation()))
    alone, both = (Monitor(words, answers=[AnswerShare(name, by=0.1) for name in names]) for names in (["cut"], ["cut", "missed"]))
    assert alone.metric_budget == 2 * both.metric_budget
