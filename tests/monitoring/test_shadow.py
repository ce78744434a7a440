"""A shadow is judged on the requests that both have scored; which those are is counted."""

from __future__ import annotations

import numpy as np
import pytest

import noria as nr
from noria.core.clock import from_epoch
from noria.evaluation.binary import Binary
from noria.monitoring.shadow import Paired, pairing, pairs
from noria.serving.log.predictions import Predictions


def predictions(variant: str, keys: list[str | None], scores: np.ndarray, received: np.ndarray) -> Predictions:
    n = len(keys)
    return Predictions.of_block(
        [f"{variant}{i}" for i in range(n)],
        keys,
        [variant] * n,
        [variant[0] * 64] * n,
        received.astype(np.int64),
        np.zeros(n, np.int32),
        np.zeros((n, 1), np.float32),
        scores,
    )


@pytest.fixture
def day() -> tuple[Predictions, Predictions, np.ndarray]:
    """A thousand requests, half of them hard; the two bundles are equally good at each."""
    rng = np.random.default_rng(1)
    hard = np.arange(1000) % 2 == 0
    p = np.where(hard, 0.5, 0.05)
    y = (rng.random(1000) < p).astype(float)
    keys: list[str | None] = [f"k{i}" for i in range(1000)]
    received = np.arange(1000) // 10  # ten of a batch share a moment
    return predictions("champion", keys, p, received), predictions("challenger", keys, p, received), y


def test_the_rows_of_one_request_are_joined_whatever_the_order() -> None:
    moments = np.array([1, 1, 1, 2, 3])
    mine = predictions("champion", ["a", "b", "b", "a", None], np.zeros(5), moments)
    theirs = predictions("challenger", ["b", "a", "a", "b"], np.zeros(4), np.array([1, 2, 1, 1]))
    a, b = pairs(mine, theirs)
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(0, 2), (1, 0), (2, 3), (3, 1)]


def test_equal_bundles_gain_nothing_though_the_shadow_lacks_the_hard_requests(day: tuple[Predictions, Predictions, np.ndarray]) -> None:
    champions, challengers, y = day
    keep = np.arange(1000) % 2 == 1
    found = pairing(Binary(), champions, challengers.where(keep), y)
    assert (found.asked, found.scored, found.paired) == (1000, 500, 500)
    assert found.gains["log_loss"] == pytest.approx(0.0)
    assert Paired.of(from_epoch(0), found).broken


def test_a_group_counts_where_all_of_its_rows_are_paired(day: tuple[Predictions, Predictions, np.ndarray]) -> None:
    champions, challengers, _ = day
    groups = np.arange(1000) // 5
    y = (np.arange(1000) % 5 == 2) * (groups % 4 > 0) * 1.0  # every fourth group has nothing relevant
    better = predictions("challenger", challengers.keys, y, challengers.received_us)
    task = nr.Ranking(group="query")
    found = pairing(task, champions, better, y, groups)
    assert found.groups["mrr"] == 150
    assert found.gains["mrr"] == pytest.approx(1 - task.metric("mrr").value(y, champions.prediction, groups))
    keep = np.arange(1000) % 15 != 6  # a row of every third group is missing
    lacking = pairing(task, champions, better.where(keep), y, groups)
    whole = (groups % 3 != 1) & (groups % 4 > 0)
    assert lacking.groups["mrr"] == len(set(groups[whole])) == 100
    assert lacking.gains["mrr"] == pytest.approx(1 - task.metric("mrr").value(y[whole], champions.prediction[whole], groups[whole]))
    assert Paired.of(from_epoch(0), lacking).weight("mrr") == 100
    nothing = pairing(task, champions, better, np.zeros(1000), groups)
    assert (nothing.gains, nothing.groups["mrr"]) == ({}, 0)


def test_a_whole_shadow_is_whole_and_one_that_scores_twice_is_not(day: tuple[Predictions, Predictions, np.ndarray]) -> None:
    champions, challengers, y = day
    assert not Paired.of(from_epoch(0), pairing(Binary(), champions, challengers, y)).broken
    twice = predictions("challenger", challengers.keys * 2, np.tile(challengers.prediction, 2), np.tile(challengers.received_us, 2))
    assert Paired.of(from_epoch(0), pairing(Binary(), champions, twice, y)).broken


def test_nothing_is_gained_before_an_outcome_is_known(day: tuple[Predictions, Predictions, np.ndarray]) -> None:
    champions, challengers, _ = day
    assert pairing(Binary(), champions, challengers, None).gains == {}
    assert pairing(Binary(), champions, challengers, np.full(1000, np.nan)).gains == {}
