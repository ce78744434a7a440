"""Chunks that end where the subject changes, as embeddings of neighbouring sentences tell (Kamradt 2023, "5 levels of text splitting")."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.llm.chunking.chunk import Span, require_sizes
from noria.llm.chunking.pieces import Piece, merged
from noria.llm.chunking.sentences import sentences
from noria.llm.documents.document import Document

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Semantic:
    """Sentences up to `size` characters, cut where the next sentences are further from those before than `quantile` of all such distances.

    embed: texts → unit vectors `(texts, dimension)`; name: of the model that embeds; around: sentences that are embedded together
    """

    embed: Embed = field(repr=False)
    name: str
    size: int = 1000
    quantile: float = 0.9
    around: int = 2

    def __post_init__(self) -> None:
        require_sizes(self, self.size)

    def spans(self, document: Document) -> Iterator[Span]:
        found = sentences(document.text, self.size)
        if len(found) <= self.around:
            yield from (Span(at, end) for at, end in merged(found, self.size, 0))
            return
        breaks = self._breaks(document.text, found)
        for first, last in zip([0, *breaks], [*breaks, len(found)], strict=True):
            yield from (Span(at, end) for at, end in merged(found[first:last], self.size, 0))

    def _breaks(self, text: str, found: Sequence[Piece]) -> list[int]:
        """The places of the sentences that begin another subject."""
        groups = [text[found[max(0, i - self.around + 1)][0] : found[i][1]] for i in range(len(found))]
        ahead = [text[found[i][0] : found[min(len(found), i + self.around) - 1][1]] for i in range(len(found))]
        vectors = self.embed([*groups, *ahead])
        before, after = vectors[: len(found)], vectors[len(found) :]
        apart = 1 - np.einsum("ij,ij->i", before[:-1], after[1:])
        border = float(np.quantile(apart, self.quantile))
        return [i + 1 for i, far in enumerate(apart.tolist()) if far > border]

    def definition(self) -> dict[str, Any]:
        return {
            "chunker": "semantic",
            "size": self.size,
            "quantile": self.quantile,
            "around": self.around,
            "embedder": self.name,
        }
