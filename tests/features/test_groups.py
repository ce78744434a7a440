"""The rows of a group, told by their keys: split again where they were joined, numbered in order, whole or not at all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from noria.features.groups import first_of_group, group_numbers, group_sizes, whole_groups
from noria.features.keys import key_parts, key_texts

TRICKY = st.text(alphabet="ab|\\\n.é🙂", max_size=6)


@given(st.lists(st.tuples(TRICKY, TRICKY, TRICKY), min_size=1, max_size=8))
def test_a_key_is_split_into_the_texts_that_it_was_joined_of(rows: list[tuple[str, str, str]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    for width in (1, 2, 3):
        names = ["x", "y", "z"][:width]
        texts = key_texts(pa.table(dict(zip(names, columns, strict=False))), names).to_pylist()
        assert [tuple(key_parts(text, width)) for text in texts] == [row[:width] for row in rows]


def test_a_group_is_what_its_column_of_the_key_says_of_whatever_type() -> None:
    rows = pa.table({"item": pa.array([1, 2, 1, 2, 3]), "query": pa.array([7.0, 7.0, 8.5, None, 8.5])})
    keys = key_texts(rows, ["item", "query"]).to_pylist()
    assert group_numbers(keys, ["item", "query"], "query").tolist() == [0, 0, 1, 2, 1]
    assert group_numbers(keys, ["item", "query"], "item").tolist() == [0, 1, 0, 2, 3]


def test_a_list_that_is_asked_again_is_a_group_of_its_own() -> None:
    keys = ["q1|a", "q1|b", "q2|a", "q1|a", "q1|b", "q1|a"]
    assert group_numbers(keys, ["query", "item"], "query").tolist() == [0, 0, 1, 2, 2, 3]


def test_what_is_no_key_of_the_spine_is_in_nobodys_group() -> None:
    assert group_numbers([None, "q1", "q1|a|b", "q1|a", None], ["query", "item"], "query").tolist() == [0, 1, 2, 3, 4]
    assert len(group_numbers([], ["query", "item"], "query")) == 0


def test_a_group_is_whole_where_all_of_its_rows_are_kept_wherever_they_stand() -> None:
    groups = np.array([5, 1, 5, 1, 9])
    assert whole_groups(np.array([True, True, False, True, True]), groups).tolist() == [False, True, False, True, True]
    assert whole_groups(np.zeros(0, bool), np.zeros(0, np.int64)).tolist() == []


def test_a_groups_time_is_its_first() -> None:
    at = np.array(["2024-01-03", "2024-01-05", "2024-01-01", "2024-01-02"], "M8[us]")
    assert first_of_group(at, np.array([0, 1, 0, 1])).astype("M8[D]").astype(str).tolist() == [
        "2024-01-01",
        "2024-01-02",
        "2024-01-01",
        "2024-01-02",
    ]
    assert group_sizes(np.array([4, 4, 2, 7, 7, 7])).tolist() == [2, 1, 3]
