"""A regression: its figures against other libraries', its labels as they are, and its estimate of errors that have not come."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error, root_mean_squared_error

import noria as nr
from noria.evaluation.estimation import ResidualsByScore
from noria.evaluation.metric import BadMetric, Metric
from noria.evaluation.regression import NothingVaries
from noria.evaluation.task import Task
from noria.features.coding import AsNumbers, NotNumbers
from noria.features.label import Label

TABLE = nr.Table("trips", nr.files("trips.parquet"), key="id", event_time="at")
MINUTES = nr.Regression(unit="min")


def drawn(rows: int = 4_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes whose spread grows with the score, and the scores."""
    rng = np.random.default_rng(seed)
    scores = rng.gamma(3.0, 5.0, rows)
    return scores + 0.3 * scores * rng.standard_t(5, rows), scores


def test_its_figures_are_those_of_other_libraries() -> None:
    outcomes, scores = drawn()
    scores = scores.round()  # so that ranks tie
    told = {metric.name: metric.value(outcomes, scores) for metric in MINUTES.metrics}
    assert told["absolute_error"] == pytest.approx(mean_absolute_error(outcomes, scores), rel=1e-12)
    assert told["squared_error"] == pytest.approx(mean_squared_error(outcomes, scores), rel=1e-12)
    assert told["rmse"] == pytest.approx(root_mean_squared_error(outcomes, scores), rel=1e-12)
    assert told["rank_correlation"] == pytest.approx(spearmanr(outcomes, scores).statistic, rel=1e-12)
    assert told["mean_residual"] == pytest.approx((outcomes - scores).mean(), rel=1e-12)
    assert np.isnan(MINUTES.metric("rank_correlation").value(np.ones(5), np.arange(5.0)))


def test_figures_are_in_its_unit() -> None:
    units = {metric.name: metric.unit for metric in MINUTES.metrics}
    assert units == {"absolute_error": "min", "squared_error": "min²", "rmse": "min", "rank_correlation": "", "mean_residual": "min"}
    assert MINUTES.metric() == MINUTES.metric("absolute_error")
    assert MINUTES.format_score(12.3456) == "12.35 min"
    assert MINUTES.format_bias(-2.5) == "lower by 2.5 min in the mean"
    assert Task.of(MINUTES.definition()) == MINUTES
    assert nr.Regression().definition() == {"name": "regression"}


class Detour(nr.Regression):
    """A project's own, derived from one of ours."""

    name, title = "detour", "a detour"


def test_a_task_that_derives_from_it_comes_back_from_its_definition() -> None:
    found = Task.of(Detour(unit="km").definition())
    assert type(found) is Detour
    assert found.format_score(2.0) == "2 km"
    assert found.metric().name == "absolute_error"


def test_answers_are_the_same_by_their_size() -> None:
    same = MINUTES.same(np.array([0.0, 0.0, 1e6, 1e6]), np.array([5e-7, 2e-6, 1e6 + 0.5, 1e6 + 2]))
    assert same.tolist() == [True, False, True, False]


def test_a_metric_with_the_name_of_another_is_refused() -> None:
    with pytest.raises(BadMetric, match="rmse"):
        nr.Regression(own=[Metric("rmse", lambda outcomes, scores: abs(outcomes - scores))])
    with pytest.raises(BadMetric, match="regression models have none"):
        nr.Regression(own=[Metric("per_route", lambda outcomes, scores: abs(outcomes - scores).max(), over="groups")])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([3, None, -4], pa.int32()), [3.0, np.nan, -4.0]),
        (pa.array([0.5, np.nan, None]), [0.5, np.nan, np.nan]),
        (pa.array([True, False, None]), [1.0, 0.0, np.nan]),
        (pa.array(["1.25", None]).cast(pa.decimal128(5, 2)), [1.25, np.nan]),
        (pa.nulls(2), [np.nan, np.nan]),
    ],
)
def test_outcomes_are_the_numbers_of_the_column(values: pa.Array, expected: list[float]) -> None:
    label = Label(TABLE, "late")
    AsNumbers().require_type(label, values.type)
    found = AsNumbers().coded(label, pa.chunked_array([values]))
    np.testing.assert_array_equal(found.cast(pa.float64()).to_numpy(), expected)


@pytest.mark.parametrize("values", [pa.array(["12"]), pa.array([[1.0]]), pa.array([0], pa.timestamp("us", tz="UTC"))])
def test_what_is_no_number_is_refused_and_not_read_as_one(values: pa.Array) -> None:
    with pytest.raises(NotNumbers, match="holds no numbers"):
        AsNumbers().require_type(Label(TABLE, "late"), values.type)


@pytest.mark.parametrize(("outcomes", "why"), [([2.0, 2.0], "all are 2"), ([1.0, np.inf], "1 are infinite")])
def test_outcomes_that_teach_nothing_are_refused(outcomes: list[float], why: str) -> None:
    with pytest.raises(NothingVaries, match=why):
        MINUTES.require_outcomes(Label(TABLE, "late"), np.array(outcomes), pa.table({}))


def test_errors_are_estimated_where_harder_rows_come_and_for_metrics_of_ones_own() -> None:
    fitted = ResidualsByScore().fit(*drawn())
    outcomes, scores = drawn(seed=1)
    hard = scores > np.quantile(scores, 0.7)
    own = Metric("beyond", lambda outcomes, scores: np.abs(outcomes - scores) > 5.0)
    for metric in (MINUTES.metric("absolute_error"), own):
        for rows in (np.ones(len(scores), bool), hard):
            told = ResidualsByScore().expected(metric, scores[rows], fitted)
            came = metric.value(outcomes[rows], scores[rows])
            assert abs(told.mean - came) < 4 * told.sd + 0.03 * came
    usual, harder = (ResidualsByScore().expected(MINUTES.metric(), scores[rows], fitted).mean for rows in (~hard, hard))
    assert harder > 1.5 * usual


def test_it_says_how_far_chance_may_carry_a_window() -> None:
    fitted = ResidualsByScore().fit(*drawn(40_000))
    metric, apart = MINUTES.metric(), []
    for seed in range(200):
        outcomes, scores = drawn(300, seed=seed + 10)
        told = ResidualsByScore().expected(metric, scores, fitted)
        apart.append((metric.value(outcomes, scores) - told.mean) / told.sd)
    assert 0.8 < np.std(apart) < 1.25
    assert abs(np.mean(apart)) < 0.4


def test_too_few_rows_are_no_estimate() -> None:
    fitted = ResidualsByScore().fit(*drawn(200))
    assert fitted == ()
    assert np.isnan(ResidualsByScore().expected(MINUTES.metric(), np.ones(3), fitted).mean)
