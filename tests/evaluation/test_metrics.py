"""Metrics are what scikit-learn and counting by hand make of the same rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from noria.core.errors import UserMistake
from noria.evaluation.metrics import ROW_LOSSES, auc, errors, log_losses, row_losses, squared_errors

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


def test_a_metric_goes_by_its_name_and_another_is_refused() -> None:
    labels, probabilities = np.array([1.0]), np.array([0.25])
    assert {name: row_losses(name, labels, probabilities).tolist() for name in ("brier", "error_rate")} == {
        "brier": [0.5625],
        "error_rate": [1.0],
    }
    assert list(ROW_LOSSES) == ["log_loss", "brier", "error_rate"]
    with pytest.raises(UserMistake, match=r"'briar' .*did you mean 'brier'.*use one of log_loss, brier, error_rate"):
        row_losses("briar", labels, probabilities)
