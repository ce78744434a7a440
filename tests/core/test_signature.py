"""Signatures: what there may be in one, and which columns are the same."""

from __future__ import annotations

import msgspec
import pytest

from noria.core.signature import Field, Signature, SignatureMismatch, UnknownType, dense_type, unlike


def test_a_signature_is_read_back_as_it_was_written_and_says_only_what_is_not_usual() -> None:
    made = Signature((Field("age", "int64"), Field("image", "float32", (28, None))), (Field("label", "string", nullable=False),))
    text = msgspec.json.encode(made)
    assert msgspec.json.decode(text, type=Signature) == made
    assert b'{"name":"age","type":"int64"}' in text


def test_a_type_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownType, match="did you mean 'float32'"):
        Field("age", "flaot32")


def test_fields_are_told_to_people_with_type_and_shape() -> None:
    assert Field("age", "int64").described == "age: int64"
    assert Field("image", "float32", (28, None)).described == "image: float32[28, any]"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ((Field("a"), Field("b")), "float32"),
        ((Field("a", "float64"),), "float64"),
        ((Field("a"), Field("b", "float64")), None),
        ((Field("a", "int64"),), None),
        ((Field("a", shape=(2,)),), None),
        ((), None),
    ],
)
def test_single_floats_of_one_type_are_dense(fields: tuple[Field, ...], kind: str | None) -> None:
    assert dense_type(fields) == kind


def test_a_column_of_another_name_type_or_shape_is_another() -> None:
    had = (Field("a"), Field("b", "string"), Field("c", shape=(2,)))
    assert unlike(had, had) == []
    assert unlike((Field("a", nullable=False),), had) == []
    assert unlike((Field("a", "float64"), Field("b"), Field("c"), Field("d")), had) == ["a", "b", "c", "d"]


def test_a_mismatch_says_who_lacks_what_and_what_there_is() -> None:
    error = SignatureMismatch(reader="bundle abc", missing=["x", "y"], available=["z"])
    assert str(error).startswith("bundle abc reads x, y")
    assert "there are z" in str(error)
