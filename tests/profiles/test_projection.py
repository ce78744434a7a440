"""Columns as numbers: what each kind becomes, and that no value of any is a crash."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.profiles.projection import (
    Category,
    EmbeddingProjection,
    Lag,
    Number,
    Presence,
    TextContent,
    TextShape,
    fit_projections,
    learnt,
    seconds_of,
)

RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(["parcel", "late", "again", "driver", "rude", "box", "fine"], 8)) for _ in range(300)]


def column(values: object, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


def kinds(values: pa.ChunkedArray) -> list[type]:
    found, _ = fit_projections(pa.table({"x": values}))
    return [type(p) for p in found.get("x", [])]


def numbers(values: pa.ChunkedArray, of: pa.ChunkedArray | None = None) -> dict[str, np.ndarray]:
    found, _ = fit_projections(pa.table({"x": values}))
    seen = values if of is None else of
    return {name: part for p in found["x"] for name, part in zip(p.names, p.of(seen, None).T, strict=True)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (column([1, None, 3]), [Number]),
        (column([True, False]), [Number]),
        (column([Decimal("1.5")], pa.decimal128(5, 2)), [Number]),
        (column([None, None]), [Number]),
        (column(["a", "b"] * 100), [Category]),
        (column(["a", "b"] * 100).dictionary_encode(), [Category]),
        (column([f"S{n % 90}" for n in range(500)]), [Category, TextShape]),
        (column([f"C-{n}" for n in RNG.permutation(500)]), [TextShape]),
        (column([f"C-{n}" for n in range(500)]), [Presence]),
        (column(TEXTS), [TextShape, TextContent]),
        (column([[1.0, 2.0]] * 50), [EmbeddingProjection]),
        (column([[1.0, 2.0]] * 50, pa.list_(pa.float32(), 2)), [EmbeddingProjection]),
        (column([datetime(2024, 1, 1)] * 3), [Lag]),  # noqa: DTZ001 - a column may have times without a zone
        (column([date(2024, 1, 1)] * 3), [Lag]),
        (column([{"a": 1}]), []),
        (column([b"x"]), []),
        (column([[["a"]]]), []),
    ],
)
def test_each_kind_becomes_numbers_of_its_own(values: pa.ChunkedArray, expected: list[type]) -> None:
    assert kinds(values) == expected
    found, left_out = fit_projections(pa.table({"x": values}))
    assert left_out == ([] if expected else ["x"])
    assert learnt(found) == any(kind in (TextContent, EmbeddingProjection) for kind in expected) or Category in expected


def test_a_category_that_was_never_seen_is_no_category_of_the_past() -> None:
    few = numbers(column(["a"] * 60 + ["b"] * 40), column(["a", "b", "z", None]))["x"]
    assert few[:2].tolist() == [0.0, 1.0]
    assert few[2] > 1000
    assert np.isnan(few[3])
    many = numbers(column([f"S{min(n % 90, 60)}" for n in range(2000)]), column(["S60", "S59", "Q1"]))
    assert many["x"][0] == 0.0
    assert many["x (new)"].tolist() == [0.0, 0.0, 1.0]


def test_a_text_shows_how_it_is_written_and_what_it_says() -> None:
    seen = numbers(column(TEXTS), column(["parcel late", "PARCEL LATE", "посылка опоздала", "zyx wvu", "", None]))
    assert seen["x (capitals)"][:2].tolist() == [0.0, pytest.approx(10 / 11)]
    assert seen["x (foreign)"][2] > 0.9
    assert seen["x (surprise)"][3] > seen["x (surprise)"][0] + 5
    assert seen["x (surprise)"][1] == seen["x (surprise)"][0]
    assert seen["x (words)"][4] == 0.0
    assert np.isnan(seen["x (surprise)"][4])
    assert all(np.isnan(values[5]) for values in seen.values())


def test_an_embedding_shows_its_length_and_where_it_lies() -> None:
    past = RNG.normal(size=(400, 8)) * np.array([5, 1, 1, 1, 1, 1, 1, 1])
    there = column(past.tolist())
    seen = numbers(there, column([[10.0] + [0.0] * 7, [-10.0] + [0.0] * 7, [0.0] * 8, [1.0, 2.0], [float("nan")] * 8, None]))
    assert seen["x (length)"][:3].tolist() == [10.0, 10.0, 0.0]
    assert seen["x (direction 1)"][0] > 0.5 > -0.5 > seen["x (direction 1)"][1]
    for values in seen.values():
        assert np.isnan(values[3:]).all()


def test_a_time_is_how_long_before_the_rows_own_it_lies() -> None:
    made = column([datetime(2024, 1, 1, 10, tzinfo=UTC), None])
    found, _ = fit_projections(pa.table({"x": made}))
    at = seconds_of(column([datetime(2024, 1, 1, 12, tzinfo=UTC)] * 2))
    assert found["x"][0].of(made, at)[0, 0] == 2.0
    assert np.isnan(found["x"][0].of(made, at)[1, 0])
    assert seconds_of(column([date(1970, 1, 2)])).tolist() == [86_400.0]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.one_of(st.none(), st.text()), max_size=40))
def test_no_text_is_a_crash(texts: list[str | None]) -> None:
    values = column(texts, pa.string())
    for past in (values, column(TEXTS), column(["a", "b"] * 100)):
        found, _ = fit_projections(pa.table({"x": past}))
        for projection in found["x"]:
            assert projection.of(values, None).shape == (len(texts), len(projection.names))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.one_of(st.none(), st.lists(st.floats(width=32), max_size=4)), max_size=30))
def test_no_embedding_is_a_crash(vectors: list[list[float] | None]) -> None:
    values = column(vectors, pa.list_(pa.float32()))
    for past in (values, column(RNG.normal(size=(50, 3)).tolist(), pa.list_(pa.float32()))):
        found, _ = fit_projections(pa.table({"x": past}))
        for projection in found.get("x", []):
            assert projection.of(values, None).shape == (len(vectors), len(projection.names))
