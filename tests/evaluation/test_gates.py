"""Gates pass, fail, or do not know; metrics agree with scikit-learn's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

import noria as nr
from noria.core.errors import UserMistake
from noria.evaluation.binary import Binary
from noria.evaluation.gates import Evaluation, all_passed
from noria.evaluation.metrics.auc import auc
from noria.evaluation.metrics.brier import squared_errors
from noria.evaluation.metrics.log_loss import log_losses

BINARY = Binary()


def evaluation(rows: int = 1000, *, worse: float = 0.0, champion: bool = True) -> Evaluation:
    rng = np.random.default_rng(0)
    truth = rng.random(rows)
    labels = (rng.random(rows) < truth).astype(float)
    candidate = np.clip(truth * (1 - worse) + 0.5 * worse, 0.01, 0.99)
    return Evaluation(
        BINARY,
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
    spoiled = Evaluation(BINARY, e.labels, np.where(in_slice, 1 - e.candidate, e.candidate), e.champion, e.unit, e.slices)
    verdict = nr.no_slice_worse("log_loss", over=["city"], by=0.05).judge(spoiled)
    assert verdict.outcome == "failed"
    assert "city=ams" in verdict.why


def test_rows_of_which_a_slice_is_not_known_make_none() -> None:
    e = evaluation()
    city = np.where(np.arange(len(e.labels)) % 10, e.slices["city"], np.array(None))
    verdict = nr.no_slice_worse("log_loss", over=["city"], by=0.05).judge(replace(e, slices={"city": city}))
    assert verdict.why.startswith("worst of 2 slices is city=")


def test_what_cannot_be_judged_is_unknown_and_does_not_pass() -> None:
    empty = Evaluation(BINARY, np.empty(0), np.empty(0), np.empty(0), np.empty(0, int))
    small = evaluation(100)
    no_column = Evaluation(BINARY, small.labels, small.candidate, small.champion, small.unit)
    infinite = evaluation()
    broken = Evaluation(BINARY, infinite.labels, np.full(1000, np.nan), infinite.champion, infinite.unit)
    gate = nr.no_slice_worse("log_loss", over=["city"], by=0.05)
    verdicts = [nr.beats_champion("log_loss").judge(e) for e in (empty, broken)] + [gate.judge(e) for e in (empty, small, no_column)]
    assert {v.outcome for v in verdicts} == {"unknown"}
    assert not any(all_passed([v]) for v in verdicts)


def test_an_unknown_metric_is_refused_when_declared() -> None:
    with pytest.raises(UserMistake, match="did you mean 'log_loss'"):
        nr.beats_champion("logloss")


def rows_of(labels: list[float], candidate: list[float], champion: list[float], **slices: list[str]) -> Evaluation:
    columns = {name: np.array(values) for name, values in slices.items()}
    return Evaluation(BINARY, np.array(labels), np.array(candidate), np.array(champion), np.zeros(len(labels), int), columns)


def test_improvement_is_the_champions_loss_less_the_candidates_by_unit_in_time_order() -> None:
    """Brier, by hand: day 3 gains .25 − .0625 and 0; day 7 loses .0625 − .25."""
    units = np.array([7, 3, 3])
    e = Evaluation(BINARY, np.array([1.0, 1.0, 0.0]), np.array([0.5, 0.75, 0.5]), np.array([0.75, 0.5, 0.5]), units)
    assert e.improvement_by_unit("brier").tolist() == [0.1875 / 2, -0.1875]
    assert len(Evaluation(BINARY, e.labels, e.candidate, None, units).improvement_by_unit("brier")) == 0


def test_a_gain_of_exactly_the_margin_passes_and_a_little_less_fails() -> None:
    e = rows_of([1.0, 1.0], [0.75, 0.75], [0.5, 0.5])
    gain = 0.25 - 0.0625
    for by, outcome in ((gain, "passed"), (gain + 1e-9, "failed"), (0.0, "passed"), (-1.0, "passed")):
        verdict = nr.beats_champion("brier", by=by).judge(e)
        assert (verdict.outcome, verdict.why) == (outcome, "brier 0.0625, champion 0.2500 on 2 rows")
    assert nr.beats_champion("brier").judge(rows_of([1.0], [0.5], [0.5])).outcome == "passed"
    assert nr.beats_champion("brier").name == "beats champion in brier by 0"


def slices(inside: int, loss: float, *, others: int = 400) -> Evaluation:
    """A slice of so many rows whose brier loss is worse than the champion's by `loss`, beside one that is better by a quarter."""
    worse = [1 - (loss**0.5)] * inside
    return rows_of(
        [1.0] * (inside + others),
        [*worse, *([1.0] * others)],
        [*([1.0] * inside), *([0.5] * others)],
        city=["ams"] * inside + ["ber"] * others,
    )


def test_a_slice_may_be_worse_by_exactly_what_is_allowed() -> None:
    e = slices(400, 0.25)
    for by, outcome in ((0.25, "passed"), (0.2499, "failed"), (0.3, "passed"), (0.0, "failed")):
        verdict = nr.no_slice_worse("brier", over=["city"], by=by).judge(e)
        assert (verdict.outcome, verdict.why) == (outcome, "worst of 2 slices is city=ams: +0.2500")


def test_a_slice_of_two_hundred_rows_is_judged_and_a_smaller_one_is_not() -> None:
    gate = nr.no_slice_worse("brier", over=["city"], by=0.1)
    assert gate.judge(slices(200, 0.25)).outcome == "failed"
    small = gate.judge(slices(199, 0.25))
    assert (small.outcome, small.why) == ("passed", "worst of 1 slices is city=ber: -0.2500")
    assert gate.judge(slices(199, 0.25, others=199)).why == "no slice has 200 rows"


def test_every_column_is_looked_at_and_the_first_that_is_missing_is_named() -> None:
    e = slices(400, 0.25)
    both = Evaluation(BINARY, e.labels, e.candidate, e.champion, e.unit, {"all": np.array(["x"] * 800), **e.slices})
    gate = nr.no_slice_worse("brier", over=["all", "city"], by=0.1)
    assert gate.judge(both).why == "worst of 3 slices is city=ams: +0.2500"
    assert gate.judge(e).why == "column 'all' is not in the evaluation"
    assert gate.name == "no slice over all, city worse in brier by 0.1"


def test_a_first_model_passes_and_a_gate_without_columns_is_refused() -> None:
    first = evaluation(champion=False)
    verdicts = [gate.judge(first) for gate in (nr.beats_champion("brier"), nr.no_slice_worse("brier", over=["city"], by=0.0))]
    assert [(v.outcome, v.why) for v in verdicts] == [("passed", "there is no champion yet")] * 2
    assert all_passed(verdicts)
    assert verdicts[0].to_dict() == {"gate": "beats champion in brier by 0", "outcome": "passed", "why": "there is no champion yet"}
    with pytest.raises(UserMistake, match="needs columns"):
        nr.no_slice_worse("brier", over=[], by=0.1)
    with pytest.raises(UserMistake, match="did you mean 'brier'"):
        nr.no_slice_worse("briar", over=["city"], by=0.1)
