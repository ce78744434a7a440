"""The ports of indexes, and of stores that hold their versions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import OutsideWorld, UserMistake, nearest
from noria.llm.chunking.chunk import Chunk
from noria.llm.retrieval.conditions import Conditions

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
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
            fix="use the embedder that the index was made with, or build the index again (in a store: in another collection)",
        )


class BadName(UserMistake):
    """A collection or a version of an index has a name that can't be."""

    code = "NR-823"

    def __init__(self, what: str, name: str) -> None:
        fix = "use letters, digits, '-', '_' and '.', beginning with a letter or a digit: at most 64 for a version, 40 for a collection"
        super().__init__(what=f"{name!r:.80} can't be the name of a {what}", where="the store of indexes", fix=fix)


class NoVersion(UserMistake):
    """A store has no such version of an index, or none that is complete."""

    code = "NR-824"

    def __init__(self, where: str, version: str, known: Sequence[str]) -> None:
        there = f"it has {', '.join(known[-5:])}" if known else "it has none"
        super().__init__(
            what=f"there is no complete version {version!r} of the index{nearest(version, known)}",
            where=f"{where}; {there}",
            fix="build it, or name one of those",
        )


class VersionTaken(UserMistake):
    """A version of an index is there, and has other chunks than what is to be written under its name."""

    code = "NR-825"

    def __init__(self, where: str, version: str) -> None:
        super().__init__(
            what=f"the version {version!r} of the index is there, with other chunks",
            where=where,
            fix="give the new one another name: a version is never changed",
        )


class StoreFailed(OutsideWorld):
    """A store of indexes does not answer, or refuses what was asked."""

    code = "NR-826"

    def __init__(self, where: str, reason: str, fix: str = "see whether it runs and its address and key are right, and try again") -> None:
        super().__init__(what="the store of indexes can't be used", where=f"{where}: {reason}", fix=fix)


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

    def close(self) -> None:
        """Let go of its connections, which are those of its store: neither is used afterwards."""
        ...


@dataclass(frozen=True)
class Written:
    """A version that was written. added, removed: rows that differ from the version before; kept: rows that both have, written once"""

    index: Index
    added: int
    removed: int
    kept: int


class IndexStore(Protocol):
    """Where versions of one index stand. A version is seen once it is complete, and never changes: it can only be dropped, whole."""

    def write(self, version: str, chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> Written:
        """Write a version: chunks, and their vectors `(chunks, dimension)` of length 1. One that is there with the same chunks is no error.

        Raises `VersionTaken`, `OtherDimension`, `BadChunk`, `BadName` and `StoreFailed`; whatever fails, and whenever the process dies,
        the versions before are as they were, and the same version can be written again.
        """
        ...

    def open(self, version: str) -> Index:
        """A version, to be searched. Raises `NoVersion`."""
        ...

    def versions(self) -> list[str]:
        """The complete versions, oldest first."""
        ...

    def drop(self, version: str) -> None:
        """Remove a version, and the rows that no other one has: nobody may be searching it any more. Raises `NoVersion`."""
        ...

    def definition(self) -> dict[str, Any]:
        """Where it is, as a bundle says it: without keys and passwords."""
        ...

    def close(self) -> None: ...


def require_name(what: str, name: str, most: int = 64) -> str:
    """Raise `BadName` for a name that some store would not take."""
    if len(name) > most or not NAME.fullmatch(name):
        raise BadName(what, name)
    return name


def checked(vector: Vector, dimension: int) -> NDArray[np.float32]:
    """A vector to search by. Raises `OtherDimension`."""
    found = np.asarray(vector, np.float32).reshape(-1)
    if len(found) != dimension:
        raise OtherDimension(f"{len(found)} numbers", dimension)
    if not np.isfinite(found).all():
        raise OtherDimension("values that are no numbers", dimension)
    return found
