"""Bets on the mean of bounded values keep their level whatever the values are like, and however often they are looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest

from noria.statistics.betting import log_capital, lower_bound, shown_above, upper_bound
from noria.statistics.confidence import bounded_sequence

RUNS, VALUES, ALPHA, MEAN = 300, 300, 0.1, -0.1
MOST = 45  # of 300 at a level of 10 %: more with a chance of 0.3 %

WAYS = {
    "few losses": lambda rng: -(rng.random(VALUES) < -MEAN).astype(float),
    "losses and small gains": lambda rng: np.where(rng.random(VALUES) < (0.1 - MEAN) / 1.1, -1.0, 0.1),
    "losses and gains": lambda rng: np.where(rng.random(VALUES) < (1 - MEAN) / 2, -1.0, 1.0),
    "noise": lambda rng: np.clip(rng.normal(MEAN, 0.2, VALUES), -1, 1),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_mean_that_is_no_higher_is_seldom_shown_to_be(way: str) -> None:
    rng = np.random.default_rng(len(way))
    assert sum(shown_above(WAYS[way](rng), -1.0, MEAN, ALPHA) for _ in range(RUNS)) <= MOST


def test_what_is_higher_is_shown_and_soon_where_nothing_differs() -> None:
    rng = np.random.default_rng(3)
    needed = next(n for n in range(1, 200) if shown_above(np.zeros(n), -1.0, MEAN, ALPHA))
    assert needed < 40
    assert not (bounded_sequence(np.zeros(needed), -1, 1, alpha=2 * ALPHA)[0] > MEAN).any()  # which closes in more slowly
    found = sum(shown_above(np.clip(rng.normal(0, 0.3, 150), -1, 1), -1.0, MEAN, ALPHA) for _ in range(100))
    assert found >= 90


def test_bounds_hold_the_mean_and_mirror_each_other() -> None:
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(200):
        values = rng.choice([-1.0, 0.0, 0.5], 120, p=[0.1, 0.7, 0.2])
        low, high = lower_bound(values, -1, 1, ALPHA / 2), upper_bound(values, -1, 1, ALPHA / 2)
        missed += not low <= 0.0 <= high
        assert lower_bound(-values, -1, 1, ALPHA / 2) == pytest.approx(-high)
    assert missed <= 30  # of 200 at 10 %: more with a chance of 1 %
    assert lower_bound(np.empty(0), -1, 1, ALPHA) == pytest.approx(-1, abs=1e-9)


def test_capital_is_won_by_what_is_above_and_is_what_it_was_at_most() -> None:
    assert log_capital(np.empty(0), -1, 0) == 0.0
    assert log_capital(np.full(10, -1.0), -1, 0) == 0.0
    rich = log_capital(np.full(10, 1.0), -1, 0)
    assert rich == pytest.approx(math.log(np.mean([(1 + stake) ** 10 for stake in (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95)])))
    assert log_capital(np.r_[np.full(10, 1.0), np.full(50, -1.0)], -1, 0) == rich  # what was shown stays shown
