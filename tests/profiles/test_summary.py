"""Summaries merge: whatever the parts, the whole is the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.core.errors import OurBug
from noria.profiles.summary import MAX_VALUES, NumberSummary, TextSummary, edges_of, summarise, summarise_numbers, summarise_texts

numbers = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")), st.just(float("inf"))), max_size=60)


@settings(deadline=None)
@given(numbers, st.integers(0, 60))
def test_the_parts_of_a_column_of_numbers_merge_into_the_whole(values: list[float], cut: int) -> None:
    column = np.array(values, np.float64)
    edges = edges_of(column)
    whole = summarise_numbers(column, edges)
    merged = summarise_numbers(column[:cut], edges).merge(summarise_numbers(column[cut:], edges))
    assert merged.counts.tolist() == whole.counts.tolist()
    assert (merged.nulls, merged.rows, merged.least, merged.greatest) == (whole.nulls, len(values), whole.least, whole.greatest)
    assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
    assert merged.m2 == pytest.approx(whole.m2, rel=1e-6, abs=1e-3)


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 400)), max_size=900), st.integers(0, 900))
def test_frequent_texts_are_kept_with_counts_that_are_too_low_by_at_most_what_is_said(values: list[int | None], cut: int) -> None:
    texts = [None if v is None else f"t{v * v // 300}" for v in values]
    parts = [summarise_texts(pa.chunked_array([pa.array(part, pa.string())])) for part in (texts[:cut], texts[cut:])]
    merged = parts[0].merge(parts[1])
    assert len(merged.values) <= MAX_VALUES
    assert (merged.rows, merged.nulls) == (len(texts), texts.count(None))
    for text in {t for t in texts if t is not None}:
        true = texts.count(text)
        assert true - merged.lost <= merged.values.get(text, 0) <= true


def test_bins_that_differ_do_not_merge() -> None:
    one, other = (summarise_numbers(np.arange(5.0), np.array([edge])) for edge in (1.0, 2.0))
    with pytest.raises(OurBug, match="different bins"):
        one.merge(other)


def test_a_table_is_summarised_by_the_bins_of_its_reference() -> None:
    rows = pa.table({"n": [1, 2, None, 4], "x": [0.5, float("nan"), 1.5, 2.5], "t": ["a", "a", None, "b"], "ok": [True, False, None, True]})
    reference = summarise(rows)
    window = summarise(rows.slice(0, 2), reference)
    n, t = window["n"], window["t"]
    assert isinstance(n, NumberSummary)
    assert isinstance(t, TextSummary)
    assert np.array_equal(n.edges, reference["n"].edges)  # type: ignore[union-attr]
    assert (n.rows, n.nulls, n.mean, n.sd) == (2, 0, 1.5, pytest.approx(0.5**0.5))
    assert (dict(t.values), t.nulls) == ({"a": 2}, 0)
