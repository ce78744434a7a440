"""Chunks of one length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from noria.llm.chunking.chunk import Span, require_sizes
from noria.llm.documents.document import Document


@dataclass(frozen=True)
class Fixed:
    """So many characters each, whatever the text says; the simplest, to compare others with."""

    size: int = 800
    overlap: int = 100

    def __post_init__(self) -> None:
        require_sizes(self, self.size, self.overlap)

    def spans(self, document: Document) -> Iterator[Span]:
        at, end = 0, len(document.text)
        while at < end:
            yield Span(at, min(at + self.size, end))
            if at + self.size >= end:
                return
            at += self.size - self.overlap

    def definition(self) -> dict[str, Any]:
        return {"chunker": "fixed", "size": self.size, "overlap": self.overlap}
