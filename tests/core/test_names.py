"""Names of tables, views and feature sets: `tests/features/test_view.py` tries them where they are declared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.names import BadName, require_name
from noria.core.sql import folded, reserved


@given(st.text())
def test_a_name_that_is_taken_is_one_part_of_a_path(name: str) -> None:
    try:
        require_name("table", name)
    except BadName:
        return
    assert not set(name) & set('/\\:*?"<>|\0\n\r\t')
    assert name not in (".", "..")
    assert name == name.strip(" .")


def test_the_name_and_what_it_is_of_are_said() -> None:
    with pytest.raises(BadName, match=r"'a/b' is not a valid feature view name"):
        require_name("feature view", "a/b")


def test_names_are_compared_as_the_engine_does() -> None:
    assert folded("ÄbC\ud800") == "Äbc\ud800"
    assert reserved("__Noria_x")
    assert not reserved("_noria_x")
