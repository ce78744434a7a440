"""A judge's verdicts on a sample: shown, fallen or unknown; and the sampling that asks for them, within its number and its money."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from noria.core.clock import ReplayClock, since_epoch
from noria.core.files import LocalFiles
from noria.core.grid import Grid
from noria.core.health import Healthy, Unhealthy, Unknown
from noria.data.rows import Rows
from noria.evaluation.generation import INPUTS, OUTPUTS
from noria.monitoring.answers.judged import JudgedReading, Said, SampledJudge, read_judged
from noria.monitoring.answers.sampling import Sampling, logged_answers
from noria.serving.log.predictions import Predictions, Values
from noria.serving.log.segments import PredictionLog
from noria.stores.verdicts import AnswerVerdict, Verdicts

START, HOUR = datetime(2026, 3, 2, tzinfo=UTC), timedelta(hours=1)
GRID = Grid(HOUR, timedelta(), UTC)
LABELS = (1.0,) * 60 + (0.0,) * 40
THRESHOLD = 50 * 365 / 0.13


def judge(human: Sequence[float] = LABELS, judged: Sequence[float] = LABELS, at_least: float = 0.9, **more: object) -> SampledJudge:
    given = {"a_day": 24, "ask": lambda *_: Said(1.0), **more}
    return SampledJudge("faithfulness", "j1", at_least, human=tuple(human), judged=tuple(judged), **given)  # type: ignore[arg-type]


def read(scores: Sequence[float | None], by: SampledJudge | None = None) -> JudgedReading:
    times = [START + place * timedelta(minutes=20) for place in range(len(scores))]
    told = [
        AnswerVerdict(f"p{i}", "b", at, at, s, "" if s is not None else "timed_out")
        for i, (at, s) in enumerate(zip(times, scores, strict=True))
    ]
    return read_judged(by or judge(), told, THRESHOLD)


def drawn(share: float, count: int, seed: int = 1) -> list[float]:
    return (np.random.default_rng([51, seed]).random(count) < share).astype(float).tolist()


def test_what_is_shown_is_healthy_and_what_is_not_shown_yet_is_unknown() -> None:
    shown = read(drawn(0.99, 600))
    assert isinstance(shown.health, Healthy)
    assert shown.people is not None
    assert 0.9 < shown.people.lower < 0.99 < shown.people.upper
    early = read(drawn(0.99, 40))
    assert isinstance(early.health, Unknown)
    assert early.health.why.startswith("not shown yet to be 90% or more: ")
    assert read([1.0] * 19).health == Unknown("19 answers judged; 20 are needed")
    assert isinstance(read([]).health, Unknown)


def test_a_fall_is_found_though_the_mean_since_the_release_is_still_good() -> None:
    fallen = read([*drawn(0.99, 900), *drawn(0.5, 60, seed=2)])
    assert fallen.scores.mean() > 0.9
    assert isinstance(fallen.health, Unhealthy)
    assert not read(drawn(0.95, 2_000)).alarming


def test_a_judge_that_errs_is_held_against_what_it_says_of_good_answers() -> None:
    rng = np.random.default_rng(3)
    human = (rng.random(400) < 0.6).astype(float)
    strict = np.where(rng.random(400) < 0.15, 1 - human, human)  # wrong on 15 %
    measured = judge(human.tolist(), strict.tolist())
    said = (np.random.default_rng(4).random(1_500) < 0.95 * 0.85 + 0.05 * 0.15).astype(float).tolist()  # of 95 % good answers
    assert measured.limit < 0.85
    reading = read(said, measured)
    assert not reading.alarming
    assert reading.people is not None
    assert reading.people.lower < 0.95 < reading.people.upper
    assert read(said, judge((), ())).alarming  # by its own word, the same is a fall


def test_a_judge_that_was_not_measured_is_believed_by_nobody() -> None:
    bad = drawn(0.3, 80)
    for by, why in (
        (judge((), ()), "it was never measured against people"),
        (judge(LABELS[40:80], LABELS[40:80]), "40 answers were labelled by people to measure it; 50 are needed"),
        (judge([1.0] * 60, [1.0] * 60), "10 of each are needed"),
        (judge(LABELS, [0.7] * 100), "it may tell good answers from bad ones by 0.00 only"),
    ):
        reading = read(bad, by)
        assert why in by.lacking
        assert isinstance(reading.health, Unknown)
        assert why in reading.health.why
        assert reading.people is None


def test_verdicts_that_are_missing_count_neither_for_nor_against() -> None:
    scores = drawn(0.99, 600)
    with_holes = [each for score in scores for each in (score, None)][:1199]
    reading = read([*with_holes, *[1.0] * 20])
    assert (len(reading.scores), reading.missing) == (620, 599)
    assert (reading.evidence[:600] == read(scores).evidence).all()
    assert isinstance(reading.health, Healthy)
    silent = read([*scores, *[None] * 15])
    assert silent.health == Unknown("the judge could not judge 15 of the newest 20 answers: timed_out")
    unpriced = [AnswerVerdict("p", "b", START, START, 1.0, "", 9)]
    dear = read_judged(judge(dollars=1.0), unpriced, THRESHOLD).health
    assert isinstance(dear, Unknown)
    assert "does not say what it costs" in dear.why
    assert read_judged(judge(), unpriced, THRESHOLD).health == Unknown("1 answers judged; 20 are needed")


@dataclass
class Counting:
    """A judge's question, answered by a function; asked: what it was asked"""

    says: Callable[[int], Said]
    asked: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)

    def __call__(self, question: str, answer: str, chunks: Sequence[str]) -> Said:
        self.asked.append((question, answer, tuple(chunks)))
        return self.says(len(self.asked))


def rows(hour: int, count: int, *, finish: str = "answered", variant: str = "champion", redacted: bool = False) -> Predictions:
    times = since_epoch(START + hour * HOUR) + 1_000_000 * np.arange(count)
    ids = [f"{int(at) // 1000:012x}-{variant}{finish}-{i:08x}" for i, at in enumerate(times)]
    inputs = Rows.of_values(INPUTS, [(f"question {i}", *[None] * 6) for i in range(count)])
    given = [(f"answer {hour}/{i}", ["c"], ["c"], ["a text"], ["a.md"], [0.5], 0.9, finish, 7, 3, 0.001, *[None] * 3) for i in range(count)]
    values = {"b": Values(inputs.without(("question",)) if redacted else inputs, Rows.of_values(OUTPUTS, given))}
    return Predictions(ids, [None] * count, [variant] * count, ["b"] * count, times, np.zeros(count, np.int32), values)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PredictionLog]:
    log = PredictionLog(tmp_path / "log", "w", LocalFiles())
    yield log
    log.close()


def sampling(folder: Path, hour: float, stopped: Callable[[], bool] = lambda: False) -> Sampling:
    return Sampling(folder / "log", LocalFiles(), GRID, Verdicts(folder / "judged" / "e.db"), ReplayClock(START + hour * HOUR), stopped)


def test_as_many_answers_of_each_window_are_judged_as_the_day_has_left(tmp_path: Path, log: PredictionLog) -> None:
    for hour, count in ((1, 9), (2, 0), (3, 9), (4, 1), (5, 9)):
        if count:
            log.append(rows(hour, count))
    log.append(rows(1, 3, finish="unknown"))
    log.append(rows(1, 3, finish="searched"))
    log.append(rows(1, 3, variant="challenger"))
    log.sync()
    asked = Counting(lambda _: Said(1.0, tokens=5, dollars=0.01))
    by = judge(a_day=24, ask=asked)
    assert sampling(tmp_path, 6.5).run(by) == 6
    verdicts = Verdicts(tmp_path / "judged" / "e.db")
    said = verdicts.of("j1", "b", START)
    assert [(verdict.received - START) // HOUR for verdict in said] == [1, 1, 3, 3, 4, 5]  # one an hour, and what hours before left over
    assert all(chunks == ("a text",) and question.startswith("question ") for question, _, chunks in asked.asked)
    assert sampling(tmp_path, 6.9).run(by) == 0
    assert verdicts.until("j1") == START + 6 * HOUR
    assert sampling(tmp_path, 40).run(by) == 0  # what lies further back than a day is left alone


def test_a_sampling_that_was_stopped_goes_on_with_the_same_answers(tmp_path: Path, log: PredictionLog) -> None:
    log.append(rows(20, 40))
    log.sync()
    whole, halves = Counting(lambda _: Said(1.0)), Counting(lambda _: Said(1.0))
    assert sampling(tmp_path / "whole", 21, lambda: False).run(judge(a_day=24, ask=whole)) == 0  # nothing is logged there
    stopped = sampling(tmp_path, 21, lambda: len(halves.asked) == 5)
    assert stopped.run(judge(a_day=24, ask=halves)) == 5
    assert sampling(tmp_path, 21).run(judge(a_day=24, ask=halves)) == 16
    elsewhere = Verdicts(tmp_path / "other" / "e.db")
    assert replace(sampling(tmp_path, 21), verdicts=elsewhere).run(judge(a_day=24, ask=whole)) == 21
    assert [answer for _, answer, _ in halves.asked] == [answer for _, answer, _ in whole.asked]


def test_a_judge_that_raises_has_not_judged_and_one_that_is_dear_is_asked_no_more(tmp_path: Path, log: PredictionLog) -> None:
    log.append(rows(22, 40))
    log.sync()

    def raises(number: int) -> Said:
        if number % 2:
            raise ValueError("no idea")
        return Said(0.5)

    assert sampling(tmp_path, 23).run(judge(a_day=4, ask=Counting(raises))) == 3
    said = Verdicts(tmp_path / "judged" / "e.db").of("j1", "b", START)
    assert sorted(verdict.missing for verdict in said) == ["", "failed", "failed"]
    for dollars, name, expected in ((0.02, "dear", 4), (None, "unpriced", 1)):
        by = replace(judge(a_day=24, ask=Counting(lambda _, d=dollars: Said(1.0, tokens=9, dollars=d))), key=name, dollars=0.07)  # type: ignore[misc]
        assert sampling(tmp_path, 23).run(by) == expected


def test_no_more_than_a_day_s_number_is_judged_though_hours_wait(tmp_path: Path, log: PredictionLog) -> None:
    for hour in (10, 30):
        log.append(rows(hour, 60))
    log.sync()
    by = judge(a_day=10, ask=Counting(lambda _: Said(1.0)))
    assert sampling(tmp_path, 31).run(by) == 6
    assert sampling(tmp_path, 31.5).run(by) == 0


def test_a_question_that_is_not_logged_is_empty(tmp_path: Path, log: PredictionLog) -> None:
    log.append(rows(1, 2, redacted=True))
    log.sync()
    found = logged_answers(tmp_path / "log", LocalFiles(), START, START + 2 * HOUR)
    assert [(each.question, each.answer, each.bundle) for each in found] == [("", "answer 1/0", "b"), ("", "answer 1/1", "b")]
