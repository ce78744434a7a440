"""The port of indexes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import OutsideWorld, UserMistake
from noria.llm.chunking.chunk import Chunk
from noria.llm.retrieval.conditions import Conditions

Vector = NDArray[np.floating[Any]]


class BadIndex(OutsideWorld):
    """An index can't be read."""

    code = "NR-820"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(what="the index can't be read", where=f"{where}: {reason}", fix="build it again from its corpus")


class OtherDimension(UserMistake):
    """A vector has another length than those of the index, or is none."""

    code = "NR-821"

    def __init__(self, given: str, wanted: int) -> None:
        super().__init__(
            what=f"the vector has {given}, and those of the index have {wanted} numbers",
            where="the search, or what is indexed",
            fix="use the embedder that the index was made with, or build the index again",
        )


@dataclass(frozen=True)
class Hit:
    """A chunk that was found. score: higher is better, on the scale of the search: cosine by meaning, BM25 by words"""

    chunk: Chunk
    score: float


class Index(Protocol):
    """What finds chunks. Equal scores stand in no order that is promised."""

    dimension: int

    def __len__(self) -> int: ...

    def search(self, vector: Vector, count: int, conditions: Conditions = ...) -> list[Hit]:
        """The chunks whose vectors are nearest, nearest first. Raises `OtherDimension`."""
        ...

    def search_words(self, question: str, count: int, conditions: Conditions = ...) -> list[Hit]:
        """The chunks that have the question's words, most of them first; chunks with none of them are not among them."""
        ...

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of chunks `(ids, dimension)`. Raises `KeyError` for an id that the index does not have."""
        ...


def checked(vector: Vector, dimension: int) -> NDArray[np.float32]:
    """A vector to search by. Raises `OtherDimension`."""
    found = np.asarray(vector, np.float32).reshape(-1)
    if len(found) != dimension:
        raise OtherDimension(f"{len(found)} numbers", dimension)
    if not np.isfinite(found).all():
        raise OtherDimension("values that are no numbers", dimension)
    return found
