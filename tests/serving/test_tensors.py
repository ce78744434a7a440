"""Tensors of the Open Inference Protocol become columns of the signature's types, or are refused by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from noria.core.signature import Field
from noria.serving.protocol.request import BadRequest
from noria.serving.protocol.tensors import Tensor, column_of

DUE = Field("due", "timestamp")
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def raw(*texts: str) -> memoryview:
    return memoryview(b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts))


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor("due", [2], "BYTES", data=["2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00"]),
        Tensor("due", [2], "BYTES", raw=raw("2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00")),
    ],
)
def test_a_time_is_a_text_with_its_zone(tensor: Tensor) -> None:
    assert column_of(tensor, DUE).to_pylist() == [NOON, NOON]


def test_a_time_that_is_not_known_is_null() -> None:
    assert column_of(Tensor("due", [1], "BYTES", data=[None]), DUE).to_pylist() == [None]


@pytest.mark.parametrize("value", ["noon", "2024-05-01T12:00:00", 12, b"\xff"])
def test_what_is_no_time_is_refused_by_its_column(value: Any) -> None:
    with pytest.raises(BadRequest, match=r"input 'due' can't be read as due: timestamp"):
        column_of(Tensor("due", [1], "BYTES", data=[value]), DUE)
