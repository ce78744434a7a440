"""A task says what outcomes and scores mean; a task of one's own goes through gates, windows and monitors as the built-in one does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

import noria as nr
from noria.core.health import Healthy, Unhealthy, Unknown
from noria.evaluation.gates import Evaluation
from noria.evaluation.metric import Floats, Metric, UnknownMetric
from noria.evaluation.performance import Performance, by_window, measure
from noria.evaluation.task import UnknownTask
from noria.evaluation.yes_or_no import NotYesOrNo
from noria.monitoring.performance import PerformanceReading, read_performance
from noria.monitoring.windows import Window

START = datetime(2024, 1, 1, tzinfo=UTC)


def errors(outcomes: Floats, scores: Floats) -> Floats:
    return np.abs(outcomes - scores)


def missed(outcome: float, score: float) -> float:
    return outcome - score


def concordance(outcomes: Floats, scores: Floats) -> float:
    """The share of neighbours that scores put in the order of their outcomes."""
    return float((np.diff(outcomes) * np.diff(scores) > 0).mean()) if len(outcomes) > 1 else float("nan")


@dataclass(frozen=True)
class Delay(nr.Task):
    """A number: a score is the outcome itself, in its unit."""

    unit: str = "min"
    name: ClassVar[str] = "delay"
    title: ClassVar[str] = "regression"

    @property
    def metrics(self) -> Sequence[Metric]:
        return nr.Metric("mean_error", errors, title="mean error", unit=self.unit), self.bias, self.discrimination

    @property
    def bias(self) -> Metric:
        return nr.Metric("bias", missed, over="means", best="zero", bounds=(-np.inf, np.inf), unit=self.unit)

    @property
    def discrimination(self) -> Metric:
        return nr.Metric("concordance", concordance, over="set", best="highest", bounds=(0.0, 1.0))

    def definition(self) -> dict[str, Any]:
        return {"name": self.name, "unit": self.unit}


ERROR, BIAS, CONCORDANCE = Delay().metrics


def delays(rng: np.random.Generator, *, off: float = 0.0, noise: float = 3.0, rows: int = 400) -> tuple[Floats, Floats]:
    """Minutes of delay, and what a model says of them."""
    truth = rng.gamma(2.0, 10.0, rows)
    return truth, truth + noise * rng.normal(size=rows) - off


def days(rng: np.random.Generator, count: int, **changed: float) -> list[Performance]:
    return [measure(Delay(), *delays(rng, **changed)) for _ in range(count)]


def read(metric: Metric, baseline: list[Performance], since: list[Performance]) -> PerformanceReading:
    windows = [Window(START + i * timedelta(days=1), "b", "champion", p.rows, None, p) for i, p in enumerate(since)]
    return read_performance(Delay(), nr.Tolerance(metric, by=1.0), baseline, windows, 150.0)


def test_outcomes_that_are_numbers_are_not_taken_for_yes_or_no() -> None:
    table = nr.Table("trips", nr.files("none"), key="id", event_time="at")
    rows = pa.table({"late": [0.5, 12.0, 1.0]})
    with pytest.raises(NotYesOrNo, match=r"coding = nr\.AsNumbers"):
        Delay().require_label(nr.Label(table, "late"), rows)
    counted = type("Counted", (Delay,), {"coding": nr.AsNumbers()})()
    counted.require_label(nr.Label(table, "late"), rows)


def test_gates_judge_a_regression_in_its_unit() -> None:
    rng = np.random.default_rng(1)
    outcomes, good = delays(rng, rows=1000)
    bad = good + np.where(np.arange(1000) < 300, 20.0, 0.0)
    city = {"city": np.where(np.arange(1000) < 300, "ams", "ber")}
    units = np.arange(1000) // 100
    better, worse = (Evaluation(Delay(), outcomes, own, other, units, city) for own, other in ((good, bad), (bad, good)))
    verdict = nr.beats_champion(ERROR, by=2.0).judge(better)
    assert verdict.outcome == "passed"
    assert (
        verdict.why == f"mean_error {errors(outcomes, good).mean():.4f} min, champion {errors(outcomes, bad).mean():.4f} min on 1,000 rows"
    )
    assert nr.beats_champion(ERROR).judge(worse).outcome == "failed"
    assert nr.no_slice_worse(ERROR, over=["city"], by=5.0).judge(worse).why.startswith("worst of 2 slices is city=ams: +1")
    assert better.improvement_by_unit(ERROR)[[0, 9]] == pytest.approx(
        [errors(outcomes, bad)[:100].mean() - errors(outcomes, good)[:100].mean(), 0]
    )


def test_a_figure_that_is_best_high_gates_the_other_way_round() -> None:
    within = nr.Metric("within_5", lambda outcomes, scores: errors(outcomes, scores) < 5, best="highest", bounds=(0.0, 1.0))
    task = nr.Binary(own=[within])
    outcomes, near, far = np.zeros(400), np.full(400, 1.0), np.full(400, 9.0)
    for own, other, outcome in ((near, far, "passed"), (far, near, "failed")):
        evaluation = Evaluation(task, outcomes, own, other, np.arange(400) // 100, {"all": np.zeros(400)})
        assert nr.beats_champion(within, by=0.5).judge(evaluation).outcome == outcome
        assert nr.no_slice_worse(within, over=["all"], by=0.5).judge(evaluation).outcome == outcome


def test_groups_are_judged_as_groups_by_the_unit_and_the_slice_that_they_lie_in() -> None:
    worst = nr.Metric("worst", lambda outcomes, scores: float(errors(outcomes, scores).max()), over="groups")

    class Ranking(Delay):
        @property
        def metrics(self) -> Sequence[Metric]:
            return (worst,)

    groups = np.repeat(np.arange(250), 4)
    champion = np.tile([0.0, 0.0, 0.0, 1.0], 250)
    candidate = np.where(groups < 220, champion, 3.0)
    slices = {"city": np.where(groups < 220, "ams", "ber")}
    evaluation = Evaluation(Ranking(), np.zeros(1000), candidate, champion, groups // 125, slices, groups=groups)
    assert evaluation.improvement_by_unit(worst).tolist() == [0.0, -30 * 2 / 125]
    assert nr.beats_champion(worst).judge(evaluation).why.startswith("worst 1.2400, champion 1.0000")
    assert nr.no_slice_worse(worst, over=["city"], by=1.0).judge(evaluation).why == "worst of 1 slices is city=ams: +0.0000"


def test_windows_of_a_regression_are_measured_and_survive_being_written_down() -> None:
    rng = np.random.default_rng(2)
    outcomes, scores = delays(rng, off=5.0, rows=900)
    outcomes[:100] = np.nan
    found = by_window(Delay(), outcomes, scores, np.repeat([1, 2, 3], 300), {"airport": np.tile([0.0, 1.0], 450)})
    assert [(p.rows, p.missing, set(p.slices)) for p in found] == [
        (n, m, {"airport=0", "airport=1"}) for n, m in ((200, 100), (300, 0), (300, 0))
    ]
    assert found[1].value(ERROR) == errors(outcomes[300:600], scores[300:600]).mean()
    assert found[1].value(BIAS) == pytest.approx(5.0, abs=1.0)
    assert found[1].value(CONCORDANCE) > 0.8
    again = [Performance.of(json.loads(json.dumps(p.to_dict()))) for p in found]
    assert again == found
    assert np.isnan(measure(Delay(), np.array([1.0]), np.array([1.0])).value(CONCORDANCE))
    assert np.isnan(measure(Delay(), np.array([np.nan]), np.array([1.0])).value(BIAS))


def test_a_monitor_alarms_on_a_regression_and_says_in_its_words_what_it_looks_like() -> None:
    rng = np.random.default_rng(3)
    baseline = days(rng, 14)
    assert isinstance(read(ERROR, baseline, days(rng, 20)).health, Healthy)
    late, noisy = days(rng, 12, off=6.0), days(rng, 12, noise=15.0)
    shifted = read(BIAS, baseline, late)
    assert isinstance(shifted.health, Unhealthy)
    assert shifted.health.cause.startswith("bias is +5.") or shifted.health.cause.startswith("bias is +6.")
    assert shifted.health.cause.endswith("min from its baseline")
    assert shifted.looks_like(inputs_moved=False).startswith("label shift (outcomes are higher by ")
    changed = read(ERROR, baseline, noisy)
    assert changed.alarming
    assert changed.looks_like(inputs_moved=False).startswith(
        "a changed relation between inputs and outcome (scores rank worse: concordance 0."
    )
    assert read(ERROR, baseline, days(rng, 3, noise=60.0)).ranking_lost is not None
    assert read(CONCORDANCE, baseline, noisy).interval is not None


def test_a_metric_that_the_baseline_lacks_is_unknown_and_no_alarm() -> None:
    rng = np.random.default_rng(4)
    without = [Performance(p.rows, 0, p.outcome, p.prediction, {}) for p in days(rng, 14)]
    reading = read(ERROR, without, days(rng, 30))
    assert not reading.evidence.any()
    assert isinstance(reading.health, Unknown)
    assert "not measured when the champion was accepted" in reading.health.why
    assert isinstance(read(BIAS, without, days(rng, 30)).health, Healthy)


def test_a_metric_of_another_task_is_refused_where_model_and_metric_meet() -> None:
    orders = nr.Table("orders", nr.files("none"), key="id", event_time="at")
    features, label = nr.FeatureSet("f", spine=orders), nr.Label(orders, "minutes")

    @nr.trainer
    def fit(train: Any) -> Any: ...

    with pytest.raises(UnknownMetric, match=r"'log_loss' is not a metric of regression.*use one of mean_error, bias, concordance"):
        nr.Model("m", features, label, fit, [nr.beats_champion("log_loss")], task=Delay())
    model = nr.Model("m", features, label, fit, [nr.beats_champion(ERROR)], task=Delay())
    with pytest.raises(UnknownMetric, match="'brier' is not a metric of regression"):
        nr.Endpoint("e", model, release=nr.Rollout(metric="brier"))
    assert nr.Endpoint("e", model, release=nr.Rollout(), fallback=40.0).default_answer == (40.0,)
    with pytest.raises(nr.NoriaError, match=r"40.0 is not a valid fallback"):
        nr.Endpoint("e", nr.Model("m", features, label, fit), fallback=40.0)


def test_a_task_comes_back_from_its_definition() -> None:
    class Inheriting(Delay):
        """Of the name of another, which it is not."""

    for task in (nr.Binary(), Delay(), Delay("USD")):
        assert nr.Task.of(json.loads(json.dumps(task.definition()))) == task
    assert nr.Binary().definition() == {"name": "binary"}
    with pytest.raises(UnknownTask, match=r"no task 'binry' .did you mean 'binary'"):
        nr.Task.of({"name": "binry"})


def test_what_a_binary_model_is_told_by_is_what_it_was() -> None:
    task, few = nr.Binary(), np.array([1.0, 1.0])
    assert [task.format_score(0.82129), task.format_outcome(1.0), task.plain(1.0), task.format_rows(0.312)] == [
        "0.8213",
        "1",
        1,
        "31.2% of them positive",
    ]
    assert [task.format_bias(0.054), task.format_bias(-0.054)] == ["more frequent by 5% of the rows", "less frequent by 5% of the rows"]
    assert (task.lacking(few), task.lacking(np.array([0.0, 1.0]))) == ("all have the outcome 1", "")
    assert task.same(np.array([0.5, 0.5, 0.5]), np.array([0.5, 0.5 + 9e-7, 0.500002])).tolist() == [True, True, False]
