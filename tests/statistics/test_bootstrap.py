"""Histories drawn by blocks: each begins in its own phase of the season and runs on as the past did."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from noria.statistics.bootstrap import resampled


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 9), st.integers(1, 12), st.integers(0, 30), st.integers(0, 2**20))
def test_blocks_run_on_and_begin_in_their_phase(past: int, wanted: int, period: int, block: int, first: int, seed: int) -> None:
    numbers, asked = np.arange(5, 5 + past), np.arange(first, first + wanted)
    found = resampled(numbers, asked, period, block, np.random.default_rng(seed))
    assert len(found) == wanted
    assert ((found >= 0) & (found < past)).all()
    for begin in range(0, wanted, block):
        part = found[begin : begin + block]
        assert part.tolist() == [(part[0] + i) % past for i in range(len(part))]
        if past >= period:
            assert numbers[part[0]] % period == asked[begin] % period


def test_every_place_of_a_phase_is_drawn_about_as_often() -> None:
    rng = np.random.default_rng(3)
    starts = [int(resampled(np.arange(28), np.array([36]), 7, 3, rng)[0]) for _ in range(2_000)]
    places, counts = np.unique(starts, return_counts=True)
    assert places.tolist() == [1, 8, 15, 22]
    assert counts.min() > 400


def test_a_phase_that_the_past_does_not_have_is_drawn_from_all_of_it() -> None:
    rng = np.random.default_rng(4)
    assert {int(resampled(np.arange(3), np.array([5]), 7, 1, rng)[0]) for _ in range(100)} == {0, 1, 2}
