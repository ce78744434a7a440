"""A chunk as a store's row: what it is known by, and the fields by which searches are limited.

A value of the metadata stands in a field of its name and its kind, so that the number 1, the text "1" and `true` never meet, whatever a
store thinks of them. Names are written in hexadecimal digits: no query language has another reading for them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake
from noria.core.ids import digest
from noria.llm.chunking.chunk import Chunk
from noria.llm.documents.document import Value
from noria.llm.index.port import OtherDimension
from noria.llm.retrieval.conditions import Condition

Kind = Literal["flag", "number", "text"]


class BadChunk(UserMistake):
    """A chunk can't be stored."""

    code = "NR-822"

    def __init__(self, document: str, why: str) -> None:
        self.reason = why
        super().__init__(
            what=f"a chunk can't be stored: {why}", where=f"the document {document!r}", fix="correct or leave out the document"
        )


def kind_of(value: Value | tuple[Value, ...]) -> Kind:
    """The kind of a value, or of the values of a condition, which have one in common."""
    one = value[0] if isinstance(value, tuple) else value
    return "flag" if isinstance(one, bool) else "text" if isinstance(one, str) else "number"


def field_of(name: str, kind: Kind) -> str:
    """The field for the values of a kind that a name of the metadata has."""
    return f"{kind}_{name.encode().hex()}"


def fields_of(metadata: Mapping[str, Value]) -> dict[str, Value]:
    """The fields of a row; numbers are float64 in every store."""
    kinds = {name: kind_of(value) for name, value in metadata.items()}
    return {field_of(name, kind): float(metadata[name]) if kind == "number" else metadata[name] for name, kind in kinds.items()}


def field_and_values(condition: Condition) -> tuple[str, list[Value]]:
    """The field that a condition is on, and what it is compared with."""
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    kind = kind_of(condition.value)
    return field_of(condition.name, kind), [_number(value) if kind == "number" else value for value in values]


def chunk_json(chunk: Chunk) -> str:
    """All of a chunk but its id, in ASCII."""
    also = [chunk.also] if chunk.also else []  # most have none
    return json.dumps(
        [
            chunk.document,
            chunk.text,
            chunk.at,
            chunk.end,
            chunk.headings,
            chunk.place,
            chunk.wider,
            dict(chunk.metadata),
            chunk.access,
            *also,
        ]
    )


def chunk_of(id: str, written: str) -> Chunk:
    """The chunk that was written."""
    document, text, at, end, headings, place, wider, metadata, access, *also = json.loads(written)
    return Chunk(id, document, text, at, end, tuple(headings), place, wider, metadata, tuple(access), tuple(also[0]) if also else ())


def keys_of(chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> list[str]:
    """What each row is known by: equal keys are equal in all that a search can find out."""
    every = zip(chunks, np.ascontiguousarray(vectors, "<f4"), strict=True)
    return [hashlib.sha256(f"{chunk.id}\n{chunk_json(chunk)}\n".encode() + vector.tobytes()).hexdigest()[:32] for chunk, vector in every]


def whole_of(chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> str:
    """What a version is known by: equal for equal rows, in whatever order."""
    return digest([int(vectors.shape[1]), sorted(keys_of(chunks, vectors))])


def require_rows(chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> None:
    """Raise `OtherDimension` for vectors that do not fit, and `BadChunk`."""
    if vectors.ndim != 2 or len(vectors) != len(chunks):
        raise OtherDimension(f"the shape {vectors.shape}, for {len(chunks)} chunks", vectors.shape[-1] if vectors.ndim else 0)
    if not np.isfinite(vectors).all():
        raise OtherDimension("values that are no numbers", vectors.shape[1])
    ids = set[str]()
    for chunk in chunks:
        require_chunk(chunk)
        if chunk.id in ids:
            raise BadChunk(chunk.document, f"two have the id {chunk.id!r}: is the document given twice?")
        ids.add(chunk.id)


def require_chunk(chunk: Chunk) -> None:
    """Raise `BadChunk` for what no store can keep: half characters, and numbers that are none or too large."""
    for each in (chunk.id, *_texts(chunk)):
        try:
            each.encode()
        except UnicodeEncodeError:
            raise BadChunk(chunk.document, f"{each[:40]!r} has half a character (a lone surrogate)") from None
    for name, value in chunk.metadata.items():
        if kind_of(value) == "number" and not math.isfinite(_number(value)):
            raise BadChunk(chunk.document, f"{name!r} of its metadata is {value!r:.40}, which is no finite number")


def _texts(chunk: Chunk) -> Iterable[str]:
    yield from (chunk.document, chunk.text, *chunk.headings, chunk.place, chunk.wider, *chunk.access, *chunk.metadata, *chunk.also)
    yield from (value for value in chunk.metadata.values() if isinstance(value, str))


def _number(value: Value) -> float:
    """A number as float64: infinite where it is larger than all of them."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if isinstance(value, int) and value > 0 else -math.inf
