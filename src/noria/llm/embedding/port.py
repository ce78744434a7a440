"""The ports of models that embed texts, and of those that judge how well a text answers a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import UserMistake

Vectors = NDArray[np.float32]  # (texts, dimension), each of length 1


class NotAnEmbedder(UserMistake):
    """A folder holds no model that embeds, or that reranks."""

    code = "NR-810"

    def __init__(self, folder: Path, reason: str) -> None:
        fix = "give a folder with model.onnx and tokenizer.json, as `optimum-cli export onnx` writes it"
        super().__init__(what=f"the folder has no model that can be used: {reason}", where=str(folder), fix=fix)


@dataclass(frozen=True)
class Embedded:
    """Vectors `(texts, dimension)`, and which of the texts were longer than the model reads, and were cut `(texts,)` bool."""

    vectors: Vectors
    cut: NDArray[np.bool_]


class Embedder(Protocol):
    """What makes vectors of texts.

    dimension: of the vectors; truncated: how many texts were longer than the model reads, and were cut, since it was opened
    """

    @property
    def dimension(self) -> int: ...

    @property
    def truncated(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of texts that are to be found."""
        ...

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a question `(dimension,)`, which some models read otherwise than what is to be found."""
        ...

    def definition(self) -> dict[str, Any]:
        """What the vectors depend on, as plain data: another definition is another index."""
        ...


@runtime_checkable
class TellsTruncation(Protocol):
    """An embedder that says which of the texts it cut."""

    def embed_told(self, texts: Sequence[str]) -> Embedded: ...


def embed_told(embedder: Embedder, texts: Sequence[str]) -> Embedded:
    """The vectors of texts, and which of them were cut, as far as the embedder says."""
    if isinstance(embedder, TellsTruncation):
        return embedder.embed_told(texts)
    return Embedded(embedder.embed(texts), np.zeros(len(texts), bool))


class Reranker(Protocol):
    """What says how well each text answers a question; higher is better, and the scale is the model's own."""

    def scores(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]: ...

    def definition(self) -> dict[str, Any]: ...
