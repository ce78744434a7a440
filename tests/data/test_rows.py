"""Rows: the same values by name in either layout, and nothing that is unknown turns into a value."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.signature import TYPES, Field, SignatureMismatch, UnknownType
from noria.data.rows import Rows, arrow_type, stacked
from noria.data.tensors import stacked_tensor

NUMBERS = (Field("a"), Field("b"))
MIXED = (
    Field("n", "int64"),
    Field("x", "float64"),
    Field("text", "string"),
    Field("yes", "bool"),
    Field("at", "timestamp"),
    Field("raw", "bytes"),
    Field("words", "string", (None,)),
    Field("pair", "float32", (2,)),
    Field("image", "uint8", (2, None)),
)
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
FIRST = (2**60 + 1, 0.1, "ä", True, AT, b"\x00", ["a", None], [1.0, 2.0], [[1, 2, 3], [4, 5, 6]])
NOTHING = (None,) * len(MIXED)


def mixed() -> Rows:
    return Rows.of_values(MIXED, [FIRST, NOTHING])


def test_values_of_every_type_come_back_as_they_were() -> None:
    assert mixed().values() == [FIRST, NOTHING]
    square = Field("square", "float64", (2, 2), labels=("a", "b"))
    assert Rows.of_values((square,), [([[1.0, 2.0], [3.0, 4.0]],)]).values() == [([[1.0, 2.0], [3.0, 4.0]],)]


def test_null_is_not_nan_among_columns_and_is_the_same_in_a_block() -> None:
    columns = Rows.of_values((Field("x", "float64"), Field("t", "string")), [(math.nan, "a"), (None, "b")])
    found = columns.column("x")
    assert (found[0].is_valid, found[1].is_valid) == (True, False)
    dense = Rows.of_values(NUMBERS, [(math.nan, 1.0), (None, 2.0)])
    assert dense.is_dense
    assert dense.column("a").null_count == 2


def test_columns_are_chosen_by_name_in_the_order_asked_for() -> None:
    rows = Rows.dense(NUMBERS, np.array([[1, 2], [3, 4]], np.float32))
    assert rows.select((Field("b"), Field("a"))).block.tolist() == [[2, 1], [4, 3]]
    assert rows.select(NUMBERS) is rows
    assert mixed().select((Field("x", "float64"),)).is_dense, "single floats of one type are a block again"
    with pytest.raises(SignatureMismatch) as caught:
        rows.select((Field("a", "int64"), Field("c")), "the model")
    assert caught.value.missing == ["a", "c"]


@pytest.mark.parametrize("layout", ["dense", "columns"])
def test_rows_are_taken_cut_and_joined_in_their_order(layout: str) -> None:
    dense = Rows.dense(NUMBERS, np.arange(6, dtype=np.float32).reshape(3, 2))
    rows = dense if layout == "dense" else stacked([mixed(), mixed().part(0, 1)])
    values = rows.values()
    assert rows.take([2, 0]).values() == [values[2], values[0]]
    assert rows.part(1, 3).values() == values[1:]
    assert rows.where(np.array([True, False, True])).values() == [values[0], values[2]]
    assert stacked([rows.part(0, 1), rows.part(1, 3)]).values() == values
    assert len(rows.take([])) == 0


def test_what_is_hidden_is_unknown_and_the_original_is_not_touched() -> None:
    dense = Rows.dense(NUMBERS, np.ones((1, 2), np.float32))
    assert dense.without({"a"}).values() == [(None, 1.0)]
    assert dense.values() == [(1.0, 1.0)]
    assert mixed().without({"text", "image"}).values()[0][2::6] == (None, None)
    assert dense.without({"other"}) is dense


def test_rows_that_are_equal_have_equal_keys() -> None:
    for rows in (Rows.of_values(NUMBERS, [(1, 2), (1, 2), (2, 1)]), Rows.of_values(MIXED, [FIRST, FIRST, NOTHING])):
        first, second, third = rows.keys()
        assert first == second
        assert first != third


def test_tensors_are_arrays_of_their_shape() -> None:
    rows = mixed().part(0, 1)
    assert stacked_tensor(MIXED[8], rows.column("image")).tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert stacked_tensor(MIXED[7], rows.column("pair")).tolist() == [[1.0, 2.0]]
    with pytest.raises(ValueError, match="unknown"):
        stacked_tensor(MIXED[7], mixed().column("pair"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Field("n", "int8"), 300),
        (Field("n", "int64"), "x"),
        (Field("t", "string"), 5),
        (Field("pair", "float32", (2,)), [1.0]),
        (Field("image", "float32", (2, 2)), [[1.0, 2.0]]),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_refused(field: Field, value: Any) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        Rows.of_values((field, Field("other", "string")), [(value, "x")])


def test_numbers_that_a_model_can_not_answer_with_are_found_in_either_layout() -> None:
    tensor = (Field("p", "float32", (2,)), Field("label", "string"))
    assert Rows.of_values(tensor, [([0.5, 0.5], "a")]).finite()
    assert not Rows.of_values(tensor, [([0.5, math.inf], "a")]).finite()
    assert not Rows.of_values(tensor, [(None, "a")]).finite()
    assert Rows.of_values(tensor, [([0.5, math.inf], "a")]).beyond_range()
    assert not Rows.dense(NUMBERS, np.array([[np.nan, 1]], np.float32)).finite()


def test_answers_differ_by_their_furthest_number_and_infinitely_by_other_values() -> None:
    tensor = (Field("p", "float32", (2,)), Field("label", "string"))
    one = Rows.of_values(tensor, [([0.25, 0.5], "a")])
    assert one.differences(Rows.of_values(tensor, [([0.5, 0.5], "a")])) == [0.25, 0.0]
    assert one.differences(Rows.of_values(tensor, [([0.25, 0.5], "b")])) == [0.0, math.inf]
    large = Rows.of_values(tensor, [([1000.0, 1.0], "a")])
    assert large.differences(Rows.of_values(tensor, [([1000.0, 3.0], "a")])) == [0.002, 0.0]


@given(st.sampled_from(TYPES), st.sampled_from([(), (None,), (3,), (2, 2), (None, 2)]), st.integers(0, 4))
def test_unknown_rows_of_every_field_are_unknown(kind: str, shape: tuple[int | None, ...], count: int) -> None:
    field = Field("x", kind, shape)
    rows = Rows.unknown((field, Field("other", "string")), count)
    assert rows.values() == [(None, None)] * count
    assert rows.column("x").type == arrow_type(field)


def test_arrays_of_a_model_become_columns() -> None:
    fields = (Field("label", "string"), Field("p", "float32", (2,)))
    rows = Rows.of_arrays(fields, [np.array(["a", "b"], object), np.array([[0.25, 0.75], [1, 0]], np.float64)])
    assert rows.values() == [("a", [0.25, 0.75]), ("b", [1.0, 0.0])]
    assert rows.column("p").type == pa.list_(pa.float32(), 2)
    with pytest.raises(ValueError, match="shape"):
        Rows.of_arrays(fields, [np.array([["a", "b"], ["c", "d"]], object), np.zeros((2, 2))])


def test_values_that_are_not_equal_are_found_in_either_layout() -> None:
    assert mixed().unequal(mixed()).any() == np.False_
    other = Rows.of_values(MIXED, [FIRST, FIRST])
    assert mixed().unequal(other).tolist() == [[False] * len(MIXED), [True] * len(MIXED)]
    one, two = (Rows.of_values(NUMBERS, rows) for rows in ([(1, None), (2, 3)], [(1, None), (None, 4)]))
    assert one.unequal(two).tolist() == [[False, False], [True, True]]
    near, far = (Rows.of_values((Field("x", "float64"), Field("t", "string")), [(x, "a")]) for x in (1e6, 1e6 + 1e-5))
    assert (near.unequal(far)[0, 0], near.unequal(far, 1e-9)[0, 0]) == (True, False)


def test_what_rows_are_told_apart_by_is_numbers_or_texts() -> None:
    assert mixed().categories("text").tolist() == ["ä", None]
    assert mixed().categories("words").tolist() == ["['a', None]", None]
    assert mixed().categories("yes").tolist()[0] == 1.0
    assert math.isnan(mixed().categories("n")[1])
    assert Rows.of_values(NUMBERS, [(1, 2)]).categories("b").tolist() == [2.0]


def test_one_column_in_another_order_leaves_the_others_as_they_are() -> None:
    swapped = mixed().shuffled(2, np.array([1, 0]))
    assert [row["text"] for row in swapped.dicts()] == [None, "ä"]
    assert [row["n"] for row in swapped.dicts()] == [FIRST[0], None]
    dense = Rows.of_values(NUMBERS, [(1, 2), (3, 4)])
    assert dense.shuffled(0, np.array([1, 0])).block.tolist() == [[3, 2], [1, 4]]
    assert dense.block.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("kind", ["int64", "string[any]", "float32[3]", "uint8[28, any]", "bytes"])
def test_a_type_is_read_as_it_is_written(kind: str) -> None:
    assert Field.written("x", kind).written_type == kind


@pytest.mark.parametrize("kind", ["text", "string[]", "float32[-1]", "int64[3", "", "string[any][any]"])
def test_a_type_that_there_is_not_is_refused(kind: str) -> None:
    with pytest.raises(UnknownType):
        Field.written("x", kind)
