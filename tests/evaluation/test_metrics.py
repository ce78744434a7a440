"""Metrics are what scikit-learn and counting by hand make of the same rows."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

import noria as nr
from noria.core.ids import digest
from noria.evaluation import metrics
from noria.evaluation.binary import Binary
from noria.evaluation.gates import Evaluation
from noria.evaluation.metric import BadMetric, UnknownMetric
from noria.evaluation.metrics import registered, require_metric
from noria.evaluation.metrics.auc import AUC, auc
from noria.evaluation.metrics.brier import BRIER, squared_errors
from noria.evaluation.metrics.calibration import CALIBRATION
from noria.evaluation.metrics.error_rate import errors
from noria.evaluation.metrics.log_loss import LOG_LOSS, log_losses

rows = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0])), min_size=1, max_size=40)


def columns(found: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([float(label) for label, _ in found]), np.array([p for _, p in found])


@given(rows)
def test_the_losses_of_rows_average_to_scikit_learns_metrics(found: list[tuple[bool, float]]) -> None:
    labels, probabilities = columns(found)
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    assert log_losses(labels, probabilities).mean() == pytest.approx(log_loss(labels, clipped, labels=[0, 1]))
    assert squared_errors(labels, probabilities).mean() == pytest.approx(brier_score_loss(labels, probabilities, pos_label=1))
    assert errors(labels, probabilities).mean() == pytest.approx(1 - accuracy_score(labels, probabilities >= 0.5))


def test_each_row_has_its_own_loss() -> None:
    labels, probabilities = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.25, 0.25, 0.5, 0.5])
    assert log_losses(labels, probabilities) == pytest.approx([math.log(4), math.log(4 / 3), math.log(2), math.log(2)])
    assert squared_errors(labels, probabilities).tolist() == [0.5625, 0.0625, 0.25, 0.25]
    assert errors(labels, probabilities).tolist() == [1.0, 0.0, 0.0, 1.0]


def test_a_certain_answer_that_is_wrong_costs_sixteen_nats_and_not_infinity() -> None:
    assert log_losses(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx([7 * math.log(10)] * 2, rel=1e-6)
    assert log_losses(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == pytest.approx([1e-7] * 2, rel=1e-6)


@given(rows)
def test_auc_is_the_share_of_pairs_in_the_right_order_ties_being_half_right(found: list[tuple[bool, float]]) -> None:
    positives, negatives = ([p for label, p in found if label is wanted] for wanted in (True, False))
    area = auc(*columns(found))
    if not positives or not negatives:
        assert math.isnan(area)
        return
    right = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
    assert area == pytest.approx(right / (len(positives) * len(negatives)))


def test_the_metrics_of_a_binary_model_stand_in_their_order_and_the_first_is_the_default() -> None:
    assert [metric.name for metric in registered("binary")] == ["log_loss", "brier", "error_rate", "auc", "calibration"]
    assert registered("none such") == ()
    assert Binary().metric() is LOG_LOSS
    assert Binary().metric("brier") is Binary().metric(BRIER) is BRIER


def test_a_metric_is_added_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "absolute.py").write_text(
        "from noria.evaluation.metric import Metric\nfrom noria.evaluation.metrics import register\n\n"
        'register(Metric("absolute", lambda outcomes, scores: abs(outcomes - scores)), tasks=["binary"], rank=35)\n'
    )
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    monkeypatch.setattr(metrics, "_registered", dict(metrics._registered))
    registered.cache_clear()
    try:
        assert [metric.name for metric in Binary().losses] == ["log_loss", "brier", "error_rate", "absolute"]
        rows = Evaluation(Binary(), np.ones(2), np.array([0.5, 1.0]), np.array([0.5, 0.5]), np.zeros(2, int))
        assert nr.beats_champion("absolute", by=0.25).judge(rows).why == "absolute 0.2500, champion 0.5000 on 2 rows"
        assert nr.Rollout(metric="absolute").metric == nr.Tolerance("absolute", by=0.1).metric == "absolute"
    finally:
        registered.cache_clear()
        sys.modules.pop("noria.evaluation.metrics.absolute")


def test_a_metric_that_is_not_known_or_no_mean_is_refused_by_name() -> None:
    with pytest.raises(
        UnknownMetric,
        match=r"'briar' is not a metric that averages over rows \(did you mean 'brier'.*log_loss, .*brier, .*error_rate",
    ):
        require_metric("briar", averaged=True, where="a gate")
    for no_mean in ("auc", AUC):
        with pytest.raises(UnknownMetric, match="'auc' is not a metric that averages over rows"):
            nr.beats_champion(no_mean)
        nr.Tolerance(no_mean, by=0.1)
    with pytest.raises(UnknownMetric, match=r"'aucc' is not a metric .did you mean 'auc'"):
        nr.Tolerance("aucc", by=0.1)
    with pytest.raises(UnknownMetric, match="did you mean 'log_loss'"):
        nr.Rollout(metric="logloss")


def test_a_metric_says_how_it_is_read() -> None:
    outcomes, scores = np.array([1.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.75])
    assert BRIER.value(outcomes, scores) == BRIER.losses(outcomes, scores).mean() == 0.1875
    assert CALIBRATION.value(outcomes, scores) == pytest.approx(2 / 3 - 1.75 / 3)
    assert math.isnan(BRIER.value(np.empty(0), np.empty(0)))
    assert [BRIER.worse, AUC.worse, CALIBRATION.worse] == [(1.0,), (-1.0,), (1.0, -1.0)]
    assert [metric.bounded for metric in (LOG_LOSS, BRIER, AUC, CALIBRATION)] == [False, True, True, True]
    assert [metric.improvement(0.25, -0.5) for metric in (BRIER, AUC, CALIBRATION)] == [0.75, -0.75, -0.25]
    assert [metric.tolerated(0.5, 0.25) for metric in (BRIER, AUC, CALIBRATION)] == [[0.75], [0.25], [0.25, 0.75]]
    minutes = nr.Metric("late", lambda outcomes, scores: abs(outcomes - scores), title="minutes late", unit="min")
    assert [minutes.format(1.23456), minutes.format(-1.2, digits=1, sign=True), minutes.heading] == [
        "1.2346 min",
        "-1.2 min",
        "minutes late (min)",
    ]
    assert LOG_LOSS.format(0.5, digits=3, sign=True) == "+0.500"


def test_a_mean_over_groups_has_a_loss_for_each_group_however_many_rows_it_has() -> None:
    worst = nr.Metric("worst", lambda outcomes, scores: float(abs(outcomes - scores).max()), over="groups")
    outcomes, scores, groups = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.5, 0.25, 1.0, 0.75]), np.array([7, 7, 3, 7])
    assert worst.losses(outcomes, scores, groups).tolist() == [1.0, 0.5]
    assert worst.value(outcomes, scores, groups) == 0.75


def cost(outcomes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """A missed fraud costs ten times a false alarm."""
    return np.where(outcomes == 1, 10.0 * (scores < 0.5), 1.0 * (scores >= 0.5))


def test_a_metric_of_ones_own_is_a_metric_wherever_one_is_named() -> None:
    own = nr.Metric("cost", cost, bounds=(0.0, 10.0), unit="€")
    task = nr.Binary(own=[own])
    assert task.metric("cost") is task.metric(own) is own
    assert task.losses[-1] is own
    assert nr.beats_champion(own, by=0.1).name == "beats champion in cost by 0.1"
    with pytest.raises(UnknownMetric, match=r"'cost' is not a metric of binary classification.*add it to the task, such as nr.Binary"):
        Binary().metric(own)
    with pytest.raises(BadMetric, match="has the name of another"):
        nr.Binary(own=[nr.Metric("brier", cost)])
    with pytest.raises(BadMetric, match="has the name of another"):
        nr.Binary(own=[own, nr.Metric("cost", errors)])
    with pytest.raises(BadMetric, match="'largest' is computed by a ufunc"):
        nr.Metric("largest", np.maximum)
    with pytest.raises(BadMetric, match="binary models have none"):
        nr.Binary(own=[nr.Metric("per_query", cost, over="groups")])


def test_a_metric_is_known_by_its_code_so_that_another_makes_another_run() -> None:
    one, same, other = (nr.Metric("cost", of) for of in (cost, cost, errors))
    assert repr(nr.beats_champion(one)) == repr(nr.beats_champion(same)) != repr(nr.beats_champion(other))
    assert digest(repr(one)) == digest(repr(same))
    assert repr(nr.beats_champion("log_loss", by=0.5)) == "BeatsChampion(metric='log_loss', by=0.5)"  # as runs have been named by it
