"""Chunks by paragraphs, and where those are too long by lines, sentences and words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from noria.llm.chunking.chunk import Span, require_sizes
from noria.llm.chunking.pieces import merged, pieces
from noria.llm.documents.document import Document


@dataclass(frozen=True)
class Recursive:
    """At most `size` characters, of whole paragraphs where they fit. Each begins with the last pieces of the one before, whole ones of
    `overlap` characters at most."""

    size: int = 800
    overlap: int = 100

    def __post_init__(self) -> None:
        require_sizes(self, self.size, self.overlap)

    def spans(self, document: Document) -> Iterator[Span]:
        yield from self.within(document.text, 0, len(document.text))

    def within(self, text: str, at: int, end: int, headings: tuple[str, ...] = ()) -> Iterator[Span]:
        """The chunks of a part of a text."""
        for start, stop in merged(pieces(text, at, end, self.size), self.size, self.overlap):
            yield Span(start, stop, headings)

    def definition(self) -> dict[str, Any]:
        return {"chunker": "recursive", "size": self.size, "overlap": self.overlap}
