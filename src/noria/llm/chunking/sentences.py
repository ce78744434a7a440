"""Chunks of whole sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from noria.llm.chunking.chunk import Span, require_sizes
from noria.llm.chunking.pieces import PARAGRAPHS, SENTENCES, WORDS, merged, pieces
from noria.llm.documents.document import Document


def sentences(text: str, size: int) -> list[tuple[int, int]]:
    """The sentences of a text, which they make up; those longer than `size` are cut at words."""
    found = list[tuple[int, int]]()
    ends = sorted({m.end() for border in (PARAGRAPHS, SENTENCES) for m in border.finditer(text)} | {len(text)})
    for at, end in zip([0, *ends], ends, strict=False):
        if end > at:
            found += pieces(text, at, end, size, (WORDS,))
    return found


@dataclass(frozen=True)
class BySentence:
    """Sentences put together up to `size` characters; the last ones are repeated, up to `overlap` characters."""

    size: int = 600
    overlap: int = 120

    def __post_init__(self) -> None:
        require_sizes(self, self.size, self.overlap)

    def spans(self, document: Document) -> Iterator[Span]:
        for at, end in merged(sentences(document.text, self.size), self.size, self.overlap):
            yield Span(at, end)

    def definition(self) -> dict[str, Any]:
        return {"chunker": "sentences", "size": self.size, "overlap": self.overlap}
