"""A share seen through a judge that errs: the truth lies within the bounds as often as they say, however many are good."""

from __future__ import annotations

import numpy as np
import pytest

from noria.statistics.seen_through import judge_errors


def seen(rng: np.random.Generator, truth: np.ndarray, good: float, bad: float) -> np.ndarray:
    right = rng.random(len(truth)) < np.where(truth > 0, good, bad)
    return np.where(right, truth, 1 - truth)


@pytest.mark.parametrize("share", [0.98, 0.8, 0.3])
def test_the_share_of_good_answers_lies_within_its_bounds(share: float) -> None:
    missed = naive = 0
    for seed in range(200):
        rng = np.random.default_rng([21, seed, int(100 * share)])
        labels = (rng.random(300) < 0.6).astype(float)
        said = seen(rng, labels, 0.95, 0.8)
        errors = judge_errors(said[labels > 0], said[labels == 0], 0.05)
        assert not errors.lacking
        mean = share * 0.95 + (1 - share) * 0.2  # of very many answers
        low, middle, high = errors.share(mean, mean, mean)
        assert low <= middle <= high
        missed, naive = missed + (not low <= share <= high), naive + (abs(mean - share) > 0.01)
    assert missed <= 0.05 * 200
    assert naive == (0 if share == 0.8 else 200)  # where the two kinds of its errors cancel out


def test_the_least_that_a_judge_says_of_good_answers_is_seldom_more_than_it_does() -> None:
    beyond = 0
    for seed in range(200):
        rng = np.random.default_rng([22, seed])
        labels = (rng.random(80) < 0.6).astype(float)
        said = seen(rng, labels, 0.9, 0.9)
        errors = judge_errors(said[labels > 0], said[labels == 0], 0.1)
        beyond += errors.least_said(0.9) > 0.9 * 0.9 + 0.1 * 0.1
    assert beyond <= 0.05 * 200


def test_a_judge_that_was_measured_too_little_or_tells_nothing_apart_shows_nothing() -> None:
    ones = np.ones(60)
    assert "10 of each are needed" in judge_errors(ones, np.zeros(9), 0.1).lacking
    assert "10 of each are needed" in judge_errors(np.empty(0), ones, 0.1).lacking
    assert "0.00 only" in judge_errors(ones, ones, 0.1).lacking
    assert not judge_errors(ones, np.zeros(60), 0.1).lacking
