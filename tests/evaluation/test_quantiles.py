"""Quantiles: their figures against other libraries' and against what is drawn, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm
from sklearn.metrics import mean_pinball_loss

import noria as nr
from noria.data.rows import Rows
from noria.evaluation.metric import BadMetric, Metric
from noria.evaluation.performance import Performance, measure
from noria.evaluation.quantiles import BadQuantiles
from noria.evaluation.task import Task
from noria.features.coding import NotNumbers
from noria.features.label import Label

LEVELS = (0.1, 0.5, 0.9)
MINUTES = nr.Regression(unit="min", quantiles=LEVELS)
WINDOW = np.zeros(1, int)


def drawn(rows: int = 20_000, seed: int = 0, spread: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of a known law about a centre, and its true quantiles; spread, shift: how far outcomes stray from that law."""
    rng = np.random.default_rng(seed)
    centre, sd = rng.gamma(3.0, 5.0, rows), rng.uniform(1.0, 4.0, rows)
    scores = centre[:, None] + sd[:, None] * norm.ppf(LEVELS)
    return centre + shift + spread * sd * rng.normal(size=rows), scores


def test_the_pinball_loss_is_that_of_other_libraries() -> None:
    outcomes, scores = drawn()
    each = [mean_pinball_loss(outcomes, scores[:, i], alpha=level) for i, level in enumerate(LEVELS)]
    assert MINUTES.metric().value(outcomes, scores) == pytest.approx(np.mean(each), rel=1e-12)
    assert MINUTES.metric().format(1.23456) == "1.2346 min"


def test_no_other_quantiles_cost_less_than_the_true_ones() -> None:
    outcomes, scores = drawn(200_000)
    least = MINUTES.metric().value(outcomes, scores)
    for moved in (scores + 0.5, scores - 0.5, scores + np.array([-0.8, 0.0, 0.8]), scores - np.array([-0.8, 0.0, 0.8])):
        assert MINUTES.metric().value(outcomes, moved) > least


@pytest.mark.parametrize("seed", range(5))
def test_true_quantiles_cover_what_they_say(seed: int) -> None:
    outcomes, scores = drawn(seed=seed)
    told = {metric.name: metric.value(outcomes, scores) for metric in MINUTES.metrics}
    assert abs(told["coverage"]) < 4 * np.sqrt(0.8 * 0.2 / len(outcomes))
    assert abs(told["quantile_bias"]) < 4 * 0.4 / np.sqrt(len(outcomes))
    assert told["crossings"] == 0.0
    assert told["interval_width"] == pytest.approx(2 * norm.ppf(0.9) * 2.5, rel=0.02)
    assert told["absolute_error"] == pytest.approx(np.abs(outcomes - scores[:, 1]).mean())


@pytest.mark.parametrize(("spread", "shift"), [(2.0, 0.0), (0.5, 0.0), (1.0, 3.0), (1.0, -3.0)])
def test_what_strays_from_them_is_seen(spread: float, shift: float) -> None:
    outcomes, scores = drawn(spread=spread, shift=shift)
    told, sd = measure(MINUTES, outcomes, scores), np.linspace(1.0, 4.0, 1_001)
    below = np.array([norm.cdf((sd * norm.ppf(level) - shift) / (spread * sd)).mean() for level in LEVELS])
    bias = float((1 - below).mean() - 0.5)
    assert told.value(MINUTES.metric("coverage")) == pytest.approx(below[2] - below[0] - 0.8, abs=0.02)
    assert told.value(MINUTES.bias) == pytest.approx(bias, abs=0.02)
    if shift:
        words = f"{'higher' if shift > 0 else 'lower'} than the quantiles ({100 * abs(told.value(MINUTES.bias)):.1f} % of outcomes"
        assert MINUTES.format_bias(told.value(MINUTES.bias)).startswith(words)


def test_quantiles_that_cross_are_told_and_left_as_they_are() -> None:
    outcomes, scores = drawn(1_000)
    scores[:250] = scores[:250, ::-1]
    told = measure(MINUTES, outcomes, scores)
    assert told.losses["crossings"] == 0.25
    assert told.value(MINUTES.metric("coverage")) == pytest.approx(-0.2, abs=0.04)  # none lies between what is the wrong way round
    shares = MINUTES.reliability(outcomes, scores, WINDOW)
    assert shares is not None
    assert shares.summary.endswith("In 25.0% of rows quantiles cross.")


def test_the_mean_outcome_is_one_number_beside_several_answers() -> None:
    outcomes, scores = drawn(50)
    told = measure(MINUTES, np.append(outcomes, np.nan), np.vstack([scores, scores[:1]]))
    assert (told.rows, told.missing) == (50, 1)
    assert told.outcome == pytest.approx(outcomes.mean())
    np.testing.assert_allclose(told.prediction, scores.mean(axis=0))
    assert Performance.of(told.to_dict()) == told


def test_of_one_quantile_there_is_no_interval_and_without_the_median_no_error() -> None:
    assert [metric.name for metric in nr.Regression(quantiles=(0.95,)).metrics] == ["pinball_loss", "quantile_bias", "rank_correlation"]
    assert "absolute_error" not in [metric.name for metric in nr.Regression(quantiles=(0.1, 0.9)).metrics]
    outcomes, scores = drawn()
    one = nr.Regression(quantiles=(0.9,))
    assert one.outputs[0].labels == ("0.9",)
    assert one.metric().value(outcomes, scores[:, 2:]) == pytest.approx(mean_pinball_loss(outcomes, scores[:, 2], alpha=0.9))


def test_answers_are_by_quantile_and_the_task_comes_back_from_its_definition() -> None:
    assert Task.of(MINUTES.definition()) == MINUTES
    assert MINUTES.monitored == ("prediction.0.1", "prediction.0.5", "prediction.0.9")
    assert Rows.of_scores(MINUTES.outputs, np.array([[1.0, 2.0, 3.0]])).listed() == [{"0.1": 1.0, "0.5": 2.0, "0.9": 3.0}]
    assert MINUTES.format_score(np.array([1.0, 2.0, 3.0])) == "0.1: 1, 0.5: 2, 0.9: 3 min"
    assert MINUTES.format_outcome(2.0) == "2 min"
    assert MINUTES.default(5) == (5.0, 5.0, 5.0)
    assert MINUTES.default({"0.1": 1, "0.5": 2, "0.9": 3}) == (1.0, 2.0, 3.0)
    assert MINUTES.default({"0.1": 1}) is None


def test_the_loss_is_estimated_before_outcomes_come() -> None:
    fitted = MINUTES.estimator.fit(*drawn())
    outcomes, scores = drawn(4_000, seed=1)
    for name in ("pinball_loss", "absolute_error", "interval_width"):
        metric = MINUTES.metric(name)
        told, came = MINUTES.estimator.expected(metric, scores, fitted), metric.value(outcomes, scores)
        assert abs(told.mean - came) < 4 * told.sd + 0.03 * came


@pytest.mark.parametrize(
    ("quantiles", "why"),
    [
        ((0.5, 0.1), "don't rise"),
        ((0.1, 0.1), "don't rise"),
        ((0.0, 0.5), "0.0 is not between"),
        ((0.5, 1), "1 is not between"),
        ((10, 50), "10 is not between"),
        (("0.1",), "'0.1' is not between"),
        ((True,), "True is not between"),
        (0.5, "a list of numbers"),
        ("0.5", "a list of numbers"),
        ((float("nan"),), "nan is not between"),
    ],
)
def test_quantiles_that_are_no_rising_chances_are_refused(quantiles: Any, why: str) -> None:
    for declare in (lambda: nr.Regression(quantiles=quantiles), lambda: nr.Forecast(horizons=("1h",), quantiles=quantiles)):
        with pytest.raises(BadQuantiles, match=why):
            declare()


def test_labels_that_are_texts_are_refused() -> None:
    table = nr.Table("trips", nr.files("trips.parquet"), key="id", event_time="at")
    with pytest.raises(NotNumbers):
        MINUTES.coding.require_type(Label(table, "late"), pa.string())


def test_a_metric_of_ones_own_must_not_have_the_name_of_one_of_them() -> None:
    with pytest.raises(BadMetric, match="pinball_loss"):
        nr.Regression(quantiles=LEVELS, own=[Metric("pinball_loss", lambda outcomes, scores: outcomes - scores[:, 0])])
