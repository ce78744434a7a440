"""Gates pass, fail, or do not know; metrics agree with scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

import noria as nr
from noria.core.errors import UserMistake
from noria.evaluation.gates import Evaluation, all_passed
from noria.evaluation.metrics import auc, log_losses, squared_errors


def evaluation(rows: int = 1000, *, worse: float = 0.0, champion: bool = True) -> Evaluation:
    rng = np.random.default_rng(0)
    truth = rng.random(rows)
    labels = (rng.random(rows) < truth).astype(float)
    candidate = np.clip(truth * (1 - worse) + 0.5 * worse, 0.01, 0.99)
    return Evaluation(
        labels,
        candidate,
        np.clip(truth, 0.01, 0.99) if champion else None,
        np.arange(rows) // 100,
        {"city": np.where(np.arange(rows) < 300, "ams", "ber")},
    )


def test_metrics_agree_with_scikit_learn() -> None:
    e = evaluation()
    assert log_losses(e.labels, e.candidate).mean() == pytest.approx(log_loss(e.labels, e.candidate))
    assert squared_errors(e.labels, e.candidate).mean() == pytest.approx(brier_score_loss(e.labels, e.candidate))
    ties = np.round(e.candidate, 1)
    assert auc(e.labels, ties) == pytest.approx(roc_auc_score(e.labels, ties))
    assert np.isnan(auc(np.ones(3), np.ones(3)))
    assert np.isfinite(log_losses(np.array([0.0, 1.0]), np.array([1.0, 0.0]))).all()


def test_the_champion_has_to_be_beaten_by_the_margin() -> None:
    same = evaluation()
    assert nr.beats_champion("log_loss", by=-0.01).judge(same).outcome == "passed"
    assert nr.beats_champion("log_loss", by=0.01).judge(same).outcome == "failed"
    assert nr.beats_champion("log_loss").judge(evaluation(worse=0.5)).outcome == "failed"
    assert nr.beats_champion("log_loss").judge(evaluation(champion=False)).outcome == "passed"


def test_a_slice_that_got_worse_fails_by_name() -> None:
    e = evaluation()
    in_slice = e.slices["city"] == "ams"
    spoiled = Evaluation(e.labels, np.where(in_slice, 1 - e.candidate, e.candidate), e.champion, e.unit, e.slices)
    verdict = nr.no_slice_worse("log_loss", over=["city"], by=0.05).judge(spoiled)
    assert verdict.outcome == "failed"
    assert "city=ams" in verdict.why


def test_what_cannot_be_judged_is_unknown_and_does_not_pass() -> None:
    empty = Evaluation(np.empty(0), np.empty(0), np.empty(0), np.empty(0, int))
    small = evaluation(100)
    no_column = Evaluation(small.labels, small.candidate, small.champion, small.unit)
    infinite = evaluation()
    broken = Evaluation(infinite.labels, np.full(1000, np.nan), infinite.champion, infinite.unit)
    gate = nr.no_slice_worse("log_loss", over=["city"], by=0.05)
    verdicts = [nr.beats_champion("log_loss").judge(e) for e in (empty, broken)] + [gate.judge(e) for e in (empty, small, no_column)]
    assert {v.outcome for v in verdicts} == {"unknown"}
    assert not any(all_passed([v]) for v in verdicts)


def test_an_unknown_metric_is_refused_when_declared() -> None:
    with pytest.raises(UserMistake, match="did you mean 'log_loss'"):
        nr.beats_champion("logloss")
