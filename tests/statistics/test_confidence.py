"""The confidence sequence holds at every look at once; a z-interval that is looked at daily does not."""

from __future__ import annotations

import numpy as np

from noria.statistics.confidence import paired_sequence, radius

ALPHA = 0.1
STREAMS = 1500
DAYS = 30


def test_daily_looking_breaks_the_level_of_a_z_interval_but_not_of_the_sequence() -> None:
    """Level 10 %: the sequence misses the truth at some look in at most 10 % of streams (three standard errors allowed)."""
    rng = np.random.default_rng(8)
    missed = missed_z = 0
    for _ in range(STREAMS):
        before, days = 0.02 * rng.standard_t(5, 14), 0.02 * rng.standard_t(5, DAYS)
        looks = [paired_sequence(days[:n], before, alpha=ALPHA, planned=6) for n in range(3, DAYS + 1)]
        missed += any(look is None or not look.lower <= 0 <= look.upper for look in looks)
        missed_z += any(abs(days[:n].mean()) > 1.645 * days[:n].std(ddof=1) / np.sqrt(n) for n in range(3, DAYS + 1))
    assert missed / STREAMS <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / STREAMS)
    assert missed_z / STREAMS > 3 * ALPHA


def test_the_width_is_that_of_the_paper() -> None:
    """Equation of theorem 2.2 at n = planned: between 1.5 and 2.1 times the fixed-sample width."""
    fixed = 1.645 / np.sqrt(20)
    assert 1.4 < radius(20, 1.0, alpha=0.1, planned=20) / fixed < 2.1


def test_without_a_spread_there_is_no_interval() -> None:
    assert paired_sequence(np.array([0.1]), np.empty(0), alpha=0.1, planned=6) is None
    assert paired_sequence(np.empty(0), np.ones(14), alpha=0.1, planned=6) is None
