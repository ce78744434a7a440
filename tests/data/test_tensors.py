"""Columns of lists and tensors: into Arrow's layout and back as they were, whatever the shape, and wherever a column is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from noria.core.signature import Field
from noria.data.rows import Rows, arrow_type
from noria.data.tensors import malformed, sizes_of, stacked_tensor

TYPES = ("uint8", "int64", "float32", "float64", "bool")
shapes = st.lists(st.one_of(st.none(), st.integers(1, 3)), min_size=1, max_size=4)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Field, list[NDArray[Any] | None]]:
    """A field, and a value of it for each row, some unknown."""
    field = Field("x", draw(st.sampled_from(TYPES)), tuple(draw(shapes)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    found: list[NDArray[Any] | None] = []
    for unknown in draw(st.lists(st.booleans(), max_size=5)):
        size = [draw(st.integers(1, 3)) if each is None else each for each in field.shape]
        found.append(None if unknown else rng.integers(0, 2, size).astype(field.type))
    return field, found


@given(tensors(), st.data())
def test_each_value_comes_back_as_it_was(given_: tuple[Field, list[NDArray[Any] | None]], data: st.DataObject) -> None:
    field, values = given_
    column = Rows.of_values((field,), [(None if value is None else value.tolist(),) for value in values]).column("x")
    assert column.type == arrow_type(field)
    assert malformed(field, column) == ""
    start = data.draw(st.integers(0, len(values)))
    part = column.slice(start)
    for row, value in enumerate(values[start:]):
        if value is None:
            assert not part[row].is_valid
        else:
            assert sizes_of(field, part)[row].tolist() == list(value.shape)
            found = stacked_tensor(field, part.slice(row, 1))
            assert (found.dtype, found.tolist()) == (value.dtype, [value.tolist()])


@given(tensors())
def test_arrays_and_lists_make_the_same_column(given_: tuple[Field, list[NDArray[Any] | None]]) -> None:
    field, values = given_
    known = [value for value in values if value is not None]
    if not known or len({value.shape for value in known}) > 1:
        return
    whole = np.stack(known)
    column = Rows.of_arrays((field,), [whole]).column("x")
    assert column.equals(Rows.of_values((field,), [(value.tolist(),) for value in known]).column("x"))
    assert stacked_tensor(field, column).tolist() == whole.tolist()


def test_numbers_are_not_copied_on_their_way_to_a_model() -> None:
    for shape in ((4, 4, 3), (None, None, 3), (48,), (None,)):
        images = np.arange(2 * 48, dtype=np.uint8).reshape(
            2, *(size or {0: 4, 1: 4}[i] if len(shape) > 1 else 48 for i, size in enumerate(shape))
        )
        field = Field("image", "uint8", shape)
        found = stacked_tensor(field, Rows.of_arrays((field,), [images]).column("image"))
        assert np.shares_memory(found, images), shape


@pytest.mark.parametrize(
    ("shape", "values", "words"),
    [
        ((None,), [[1], [1, 2]], "different shapes"),
        ((None, 2), [[[1, 2]], [[1, 2], [3, 4]]], "different shapes"),
        ((2,), [None], "unknown in a row"),
        ((None,), [[1, None]], "a value that is unknown"),
    ],
)
def test_what_is_no_one_array_is_said(shape: tuple[int | None, ...], values: list[Any], words: str) -> None:
    field = Field("x", "int64", shape)
    with pytest.raises(ValueError, match=words):
        stacked_tensor(field, Rows.of_values((field,), [(value,) for value in values]).column("x"))


@pytest.mark.parametrize("shape", [[2, 2], [1, 3], [-1, -3], [0, 0], [2**31 - 1, 2**31 - 1]])
def test_a_shape_that_is_not_that_of_its_values_is_malformed(shape: list[int]) -> None:
    field = Field("x", "int64", (None, None))
    sizes = pa.FixedSizeListArray.from_arrays(pa.array(shape, pa.int32()), 2)
    values = pa.ListArray.from_arrays(pa.array([0, 3], pa.int32()), pa.array([1, 2, 3]))
    column = pa.StructArray.from_arrays([sizes, values], ["shape", "values"])
    assert (malformed(field, column) == "") == (shape == [1, 3])
