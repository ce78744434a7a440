"""A forecast: its figures of what is known, by horizon and together, and its estimate of errors that have not come."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import noria as nr
from noria.data.rows import Rows
from noria.evaluation.forecast import NoOutcomesAhead
from noria.evaluation.gates import Evaluation
from noria.evaluation.metric import Metric
from noria.evaluation.performance import Performance, measure
from noria.evaluation.regression import NothingVaries
from noria.evaluation.task import Task
from noria.features.horizons import BadHorizons
from noria.features.label import Label

BIKES = nr.Forecast(horizons=("1h", "6h", "24h"), unit="bikes")
SPREAD = nr.Forecast(horizons=("1h", "24h"), quantiles=(0.1, 0.5, 0.9))
LABEL = Label(nr.Table("demand", nr.files("none"), key=("shop", "hour"), event_time="hour"), "count", matures="26h")
NAN = np.nan


def drawn(rows: int = 4_000, seed: int = 0, known: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes whose spread grows with the horizon, some of them not known; and the scores."""
    rng = np.random.default_rng(seed)
    scores = rng.gamma(4.0, 20.0, (rows, 1)) + rng.normal(0, 5, (rows, 3))
    outcomes = scores + rng.normal(0, [2.0, 6.0, 12.0], (rows, 3))
    return np.where(rng.random(outcomes.shape) < known, outcomes, NAN), scores


def test_a_rows_loss_is_the_mean_over_what_is_known_of_it() -> None:
    outcomes = np.array([[1.0, 2.0, 3.0], [10.0, NAN, NAN], [NAN, NAN, NAN]])
    scores = np.array([[2.0, 2.0, 7.0], [13.0, 99.0, 99.0], [1.0, 1.0, 1.0]])
    metric = BIKES.metric()
    assert metric.known(outcomes).tolist() == [True, True, False]
    known = metric.known(outcomes)
    np.testing.assert_allclose(metric.losses(outcomes[known], scores[known]), [5 / 3, 3.0])
    told = measure(BIKES, outcomes, scores)
    assert (told.rows, told.missing) == (2, 1)
    assert told.losses["absolute_error"] == pytest.approx((5 / 3 + 3) / 2)
    assert told.losses["1h.absolute_error"] == pytest.approx(2.0)
    assert told.losses["24h.absolute_error"] == pytest.approx(4.0)
    assert told.figures["rmse"] == pytest.approx(np.sqrt((1 + 0 + 16 + 9) / 4))
    assert told.outcome == [5.5, 2.0, 3.0]
    assert told.prediction == [7.5, 2.0, 7.0]  # of the horizons whose outcome is known
    assert told.value(BIKES.metric("6h.mean_residual")) == 0.0
    nothing_a_day_ahead = measure(BIKES, np.where([True, True, False], outcomes, NAN), scores)
    assert nothing_a_day_ahead.outcome == [5.5, 2.0, None]
    assert nothing_a_day_ahead.value(BIKES.bias) == pytest.approx((5.5 + 2 - 7.5 - 2) / 2)
    assert np.isnan(nothing_a_day_ahead.value(BIKES.metric("24h.mean_residual")))
    assert json.loads(json.dumps(nothing_a_day_ahead.to_dict(), allow_nan=False))["positives"] == [5.5, 2.0, None]
    assert told.value(BIKES.bias) == pytest.approx((5.5 + 2 + 3 - 7.5 - 2 - 7) / 3)
    assert Performance.of(told.to_dict()) == told


def test_each_horizon_is_judged_as_a_regression_of_its_own() -> None:
    outcomes, scores = drawn()
    one = nr.Regression(unit="bikes")
    for place, horizon in enumerate(BIKES.horizons):
        known = ~np.isnan(outcomes[:, place])
        for name in ("absolute_error", "mean_residual"):
            mine = measure(BIKES, outcomes, scores).value(BIKES.metric(f"{horizon}.{name}"))
            assert mine == pytest.approx(one.metric(name).value(outcomes[known, place], scores[known, place]))
    apart = [measure(BIKES, outcomes, scores).losses[f"{h}.absolute_error"] for h in BIKES.horizons]
    np.testing.assert_allclose(apart, np.array([2.0, 6.0, 12.0]) * np.sqrt(2 / np.pi), rtol=0.05)


def test_what_a_model_does_not_answer_is_not_left_out_of_its_loss() -> None:
    outcomes, scores = drawn(50, known=1.0)
    scores[3, 2] = NAN
    assert np.isnan(BIKES.metric().losses(outcomes, scores)).sum() == 1
    gate = nr.beats_champion("absolute_error")
    verdict = gate.judge(Evaluation(BIKES, outcomes, np.nan_to_num(scores), scores, np.zeros(50, int)))
    assert verdict.outcome == "unknown"


def test_gates_and_tolerances_may_be_of_one_horizon() -> None:
    outcomes, scores = drawn()
    worse = scores + np.array([0.0, 0.0, 30.0])
    evaluation = Evaluation(BIKES, outcomes, worse, scores, np.zeros(len(scores), int))
    assert nr.beats_champion("24h.absolute_error", by=-5.0).judge(evaluation).outcome == "failed"
    verdict = nr.beats_champion("1h.absolute_error").judge(evaluation)
    assert verdict.outcome == "passed"
    assert verdict.why == "1h.absolute_error 1.6128 bikes, champion 1.6128 bikes on 4,000 rows"
    with pytest.raises(nr.NoriaError, match="48h"):
        BIKES.metric("48h.absolute_error")


def test_quantiles_are_judged_at_every_horizon() -> None:
    rng = np.random.default_rng(3)
    scores = np.repeat(rng.normal(0, 1, (6_000, 2)), 3, axis=1) + np.tile([-1.2816, 0.0, 1.2816], 2)
    outcomes = scores[:, [1, 4]] + rng.normal(0, 1, (6_000, 2)) * [1.0, 2.0]  # twice as uncertain a day ahead as was said
    told = measure(SPREAD, outcomes, scores)
    assert told.value(SPREAD.metric("1h.coverage")) == pytest.approx(0.0, abs=0.02)
    assert told.value(SPREAD.metric("24h.coverage")) == pytest.approx(2 * 0.7392 - 1 - 0.8, abs=0.03)
    assert told.value(SPREAD.metric("interval_width")) == pytest.approx(2 * 1.2816, abs=1e-3)
    assert told.value(SPREAD.metric("crossings")) == 0.0
    assert SPREAD.metric().name == "pinball_loss"
    assert told.losses["24h.pinball_loss"] > 1.4 * told.losses["1h.pinball_loss"]
    shares = SPREAD.reliability(outcomes, scores, np.zeros(len(outcomes), int))
    assert shares is not None
    assert shares.to_dict()["below_0.5"] == pytest.approx(0.5, abs=0.02)


def test_answers_have_an_output_for_each_horizon_and_come_back_from_their_definition() -> None:
    assert [field.described for field in BIKES.outputs] == ["1h: float64", "6h: float64", "24h: float64"]
    assert [(f.name, f.labels) for f in SPREAD.outputs] == [("1h", ("0.1", "0.5", "0.9")), ("24h", ("0.1", "0.5", "0.9"))]
    for task in (BIKES, SPREAD, nr.Forecast(horizons=["1d"])):
        assert Task.of(task.definition()) == task
    row = Rows.of_scores(SPREAD.outputs, np.arange(6.0)[None])
    assert row.listed() == [{"1h": {"0.1": 0, "0.5": 1, "0.9": 2}, "24h": {"0.1": 3, "0.5": 4, "0.9": 5}}]
    assert row.scores(SPREAD.outputs).tolist() == [[0, 1, 2, 3, 4, 5]]
    other = nr.Forecast(horizons=("1h", "48h"))
    assert np.isnan(Rows.of_scores(BIKES.outputs, np.ones((1, 3))).scores(other.outputs)).tolist() == [[False, True]]


def test_people_and_programs_read_it() -> None:
    assert BIKES.format_score(np.array([12.34, 5.0, 7.0])) == "1h 12.34 bikes, 6h 5 bikes, 24h 7 bikes"
    assert BIKES.format_outcome(np.array([12.0, NAN, 7.0])) == "1h 12 bikes, 6h unknown, 24h 7 bikes"
    assert BIKES.plain(np.array([12.0, NAN, 7.0])) == {"1h": 12.0, "6h": None, "24h": 7.0}
    assert SPREAD.format_score(np.arange(6.0)) == "1h 0.1: 0, 0.5: 1, 0.9: 2; 24h 0.1: 3, 0.5: 4, 0.9: 5"
    assert BIKES.target(LABEL) == "count 1h, 6h and 24h ahead"
    assert BIKES.format_rows([10.0, NAN, 20.0]) == "with a mean outcome of 15 bikes"
    assert list(SPREAD.outcome_columns(np.ones((2, 2)))) == ["outcome.1h", "outcome.24h"]
    assert list(SPREAD.answer_columns(Rows.unknown(SPREAD.outputs, 1)))[:2] == ["1h.0.1", "1h.0.5"]


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (5, (5.0, 5.0, 5.0)),
        ({"1h": 1, "6h": 2, "24h": 3.5}, (1.0, 2.0, 3.5)),
        ({"1h": 1, "6h": 2}, None),
        ({"1h": 1, "6h": 2, "24h": NAN}, None),
        (True, None),
        ("previous", None),
    ],
)
def test_a_fallback_is_a_number_or_one_for_each_horizon(given: Any, answer: Any) -> None:
    assert BIKES.default(given) == answer


def test_a_fallback_of_quantiles_is_one_for_each_of_them() -> None:
    each = {"0.1": 1, "0.5": 2, "0.9": 3}
    assert SPREAD.default({"1h": each, "24h": 9}) == (1.0, 2.0, 3.0, 9.0, 9.0, 9.0)
    assert SPREAD.default({"1h": {"0.1": 1}, "24h": 9}) is None


def test_outcomes_that_teach_nothing_are_refused() -> None:
    outcomes, _ = drawn(40, known=1.0)
    BIKES.require_outcomes(LABEL, outcomes, pa.table({}))
    with pytest.raises(NoOutcomesAhead, match="none of 40 occasions has an outcome 6h ahead"):
        BIKES.require_outcomes(LABEL, np.where([True, False, True], outcomes, NAN), pa.table({}))
    with pytest.raises(NothingVaries, match="all are 3 24h ahead"):
        BIKES.require_outcomes(LABEL, np.where([True, True, False], outcomes, 3.0), pa.table({}))
    assert BIKES.lacking(np.where([True, False, True], outcomes, NAN)) == "have no outcome 6h ahead"
    assert BIKES.lacking(outcomes) == ""


def test_a_task_with_bad_horizons_is_refused() -> None:
    with pytest.raises(BadHorizons):
        nr.Forecast(horizons=("24h", "1h"))


def cost(outcomes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """A bike too few costs three times what one too many does."""
    return np.where(outcomes > scores, 3.0, 1.0) * np.abs(outcomes - scores)


def cost_by_half(outcomes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return 0.5 * cost(outcomes, scores)


def test_a_metric_of_ones_own_is_of_cells_and_known_by_its_code() -> None:
    task = nr.Forecast(horizons=("1h", "6h", "24h"), own=[Metric("cost", cost, unit="€")])
    outcomes, scores = drawn(known=0.5)
    told = measure(task, outcomes, scores).losses["cost"]
    rows = ~np.isnan(outcomes).all(axis=1)
    with np.errstate(invalid="ignore"):
        assert told == pytest.approx(np.nanmean(cost(outcomes, scores)[rows], axis=1).mean())
    other = nr.Forecast(horizons=("1h", "6h", "24h"), own=[Metric("cost", cost_by_half, unit="€")])
    assert repr(task.metric("cost")) != repr(other.metric("cost"))
    assert task.metric(task.metric("cost")) is task.metric("cost")


def test_errors_are_estimated_at_every_horizon_before_outcomes_come() -> None:
    task = BIKES
    fitted = task.estimator.fit(*drawn())
    assert len(fitted) == 3 * (9 + 250)
    outcomes, scores = drawn(2_000, seed=1, known=1.0)
    for name in ("absolute_error", "squared_error", "1h.absolute_error", "24h.absolute_error"):
        metric = task.metric(name)
        told, came = task.estimator.expected(metric, scores, fitted), metric.value(outcomes, scores)
        assert abs(told.mean - came) < 4 * told.sd + 0.03 * came
    spread = SPREAD.estimator
    answers = np.repeat(scores[:, :2], 3, axis=1) + np.tile([-3.0, 0.0, 3.0], 2)
    fitted = spread.fit(outcomes[:, :2], answers)
    metric = SPREAD.metric("24h.pinball_loss")
    assert spread.expected(metric, answers, fitted).mean == pytest.approx(metric.value(outcomes[:, :2], answers), rel=0.05)
    assert spread.fit(outcomes[:100, :2], answers[:100]) == ()
    assert np.isnan(spread.expected(metric, answers, ()).mean)


def test_one_horizon_alone_is_a_row_of_one_number() -> None:
    task = nr.Forecast(horizons=("24h",), unit="bikes")
    outcomes, scores = (each[:, 2] for each in drawn(known=0.8))
    told, one = measure(task, outcomes, scores), measure(nr.Regression(unit="bikes"), outcomes, scores)
    assert told.losses["absolute_error"] == pytest.approx(one.losses["absolute_error"])
    assert told.value(task.metric("24h.mean_residual")) == pytest.approx(one.value(nr.Regression().metric("mean_residual")))
    assert told.outcome == pytest.approx(one.outcome)
    assert len(task.estimator.fit(outcomes, scores)) == 259
