"""Sketches: the quick way of counting counts as the plain one does, and parts make the whole."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from noria.core.errors import OurBug
from noria.profiles.profile import STATISTICS, Profile, profile
from noria.profiles.sketch import ABOVE, BELOW, NULL, Bins

singles = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=100)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20, unique=True), st.lists(singles, max_size=50), st.booleans())
def test_places_are_those_of_a_plain_search(borders: list[float], values: list[float], few: bool) -> None:
    edges = np.sort(np.array(borders, np.float32))
    known = np.concatenate([[edges[0] - 1 - abs(edges[0])], edges]).astype(np.float32) if few else None
    bins = Bins(edges, float(edges[0]) - 1, float(edges[-1]) + 1, known)
    near = np.concatenate([np.nextafter(edges, -np.inf), edges, np.nextafter(edges, np.inf)])
    column = np.concatenate([np.array(values, np.float32), near]).astype(np.float32)
    assert bins.places(column).tolist() == [_plain(bins, value) for value in column.tolist()]


def _plain(bins: Bins, value: float) -> int:
    if not np.isfinite(value):
        return NULL
    if bins.values is not None:
        return bins.values.tolist().index(value) if value in bins.values.tolist() else BELOW
    wide = bins.greatest - bins.least
    if value < bins.least - wide:
        return BELOW
    return ABOVE if value > bins.greatest + wide else sum(border <= value for border in bins.borders.tolist())


def reference(rng: np.random.Generator) -> Profile:
    values = np.column_stack([rng.normal(size=4000), rng.integers(0, 6, 4000), rng.lognormal(sigma=3, size=4000)])
    return profile(("number", "category", "skewed"), values, np.repeat(np.arange(40), 100))


@cache
def same_reference() -> Profile:
    return reference(np.random.default_rng(0))


@given(arrays(np.float64, st.tuples(st.integers(1, 40), st.just(3)), elements=st.floats(-9, 9)), st.integers(0, 40))
def test_parts_merge_into_the_whole(values: np.ndarray, cut: int) -> None:
    known = same_reference()
    whole, one, two = known.sketch(), known.sketch(), known.sketch()
    whole.add(values)
    one.add(values[:cut])
    two.add(values[cut:])
    one.merge(two)
    assert (one.counts == whole.counts).all()
    np.testing.assert_allclose(one.products, whole.products, atol=1e-3)
    assert one.rows == whole.rows
    streamed = known.sketch()
    for row in values:
        streamed.add(row[None, :])
    np.testing.assert_allclose(known.statistics_of(streamed), known.statistics(values), atol=1e-3)


def test_what_moves_between_categories_shows_wherever_it_moves() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.04])
    column = rng.choice(8, size=20_000, p=shares).astype(np.float64)
    known = profile(("c", "n"), np.column_stack([column, rng.normal(size=20_000)]), np.repeat(np.arange(40), 500))
    before = known.statistics(np.column_stack([column, column]))[0]
    for one in range(8):
        for other in range(8):
            if one != other:
                moved = np.where((column == one), other, column)
                after = known.statistics(np.column_stack([moved, column]))[0]
                assert np.abs(after - before)[:4].max() > 0.8 * shares[one] / (2 if shares[one] > 0.2 else 1) / 2


def test_an_unseen_category_is_outside_though_it_lies_between_others() -> None:
    known = profile(("c",), np.repeat([1.0, 2.0, 5.0], 200)[:, None], np.repeat(np.arange(6), 100))
    found = known.statistics(np.array([[1.0], [3.0], [5.0], [np.nan]]))
    assert found[0, STATISTICS.index("outside")] == pytest.approx(1 / 3)
    assert found[0, STATISTICS.index("null_share")] == pytest.approx(1 / 4)


def test_a_profile_comes_back_from_its_bytes() -> None:
    known = reference(np.random.default_rng(2))
    again = Profile.from_json(known.to_json())
    values = np.random.default_rng(3).normal(size=(50, 3))
    np.testing.assert_array_equal(known.statistics(values), again.statistics(values))
    assert again.to_json() == known.to_json()


def test_an_error_code_is_one_strange_value_by_itself_and_a_warm_day_is_none() -> None:
    rng = np.random.default_rng(4)
    known = profile(("t",), rng.uniform(10, 20, size=(4000, 1)), np.repeat(np.arange(40), 100))
    code = rng.uniform(10, 20, size=(100, 1))
    code[:20] = 9.0  # beyond all that were seen, and not far
    outside = STATISTICS.index("outside")
    assert known.statistics(code)[0, outside] == pytest.approx(0.2)
    assert known.statistics(rng.uniform(18, 24, size=(100, 1)))[0, outside] == 0


def related(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Two columns of which one follows the other, and a third that cuts the rows into three."""
    x = rng.normal(size=rows)
    return np.column_stack([x, x + 0.1 * rng.normal(size=rows), rng.integers(0, 3, rows)])


def test_what_no_longer_goes_with_the_others_is_left_over() -> None:
    rng = np.random.default_rng(5)
    known = profile(("x", "y", "part"), related(rng, 8000), np.repeat(np.arange(40), 200))
    residual = STATISTICS.index("residual")
    day = related(rng, 2000)
    assert known.statistics(day)[:2, residual] == pytest.approx([0.02, 0.02], abs=0.015)
    day[:, 1] = rng.permutation(day[:, 1])  # the margins as they were
    assert (known.statistics(day)[:2, residual] > 1).all()
    assert known.statistics(day)[2, residual] == 0  # of which nothing is expected


def test_a_segment_that_moves_apart_shows_and_one_that_moves_with_all_does_not() -> None:
    rng = np.random.default_rng(6)
    known = profile(("x", "y", "part"), related(rng, 8000), np.repeat(np.arange(40), 200))
    assert known.sliced_by == (2,)
    slices = STATISTICS.index("slices")
    warm = related(rng, 2000)
    warm[:, 0] += 1.5
    assert np.abs(known.statistics(warm)[:, slices]).max() < 0.002
    apart = related(rng, 2000)
    apart[apart[:, 2] == 1, 0] -= 1.5
    found = known.statistics(apart)[:, slices]
    assert found[0] == pytest.approx(2 / 9 * 0.33**2, rel=0.3)
    assert np.abs(found[1:]).max() < 0.002


def test_segments_and_residuals_are_the_same_in_parts_and_after_a_journey() -> None:
    rng = np.random.default_rng(7)
    known = profile(("x", "y", "part"), related(rng, 8000), np.repeat(np.arange(40), 200))
    day = related(rng, 500)
    one, two = known.sketch(), known.sketch()
    one.add(day[:123])
    two.add(day[123:])
    one.merge(two)
    again = Profile.from_json(known.to_json())
    but_repeats = [i for i, name in enumerate(STATISTICS) if name != "repeats"]  # of which one lies across the cut
    np.testing.assert_allclose(again.statistics_of(one)[:, but_repeats], known.statistics(day)[:, but_repeats], atol=1e-4)


def test_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(OurBug):
        reference(np.random.default_rng(0)).statistics(np.zeros((3, 2)))
