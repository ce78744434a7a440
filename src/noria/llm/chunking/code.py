"""Chunks of code by its functions and classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from noria.llm.chunking.chunk import Span, require_sizes
from noria.llm.chunking.pieces import LINES, PARAGRAPHS, WORDS, Piece, merged, pieces
from noria.llm.documents.document import Document
from noria.llm.documents.languages import begins_part

SHOWN = 120  # characters of the first line, which stands for a heading


@dataclass(frozen=True)
class ByFunction:
    """The parts at the top level, small ones put together up to `size` characters, long ones cut at empty lines and lines."""

    size: int = 1200

    def __post_init__(self) -> None:
        require_sizes(self, self.size)

    def spans(self, document: Document) -> Iterator[Span]:
        for part in merged(_parts(document), self.size, 0):
            named = _named(document, part)
            for at, end in merged(pieces(document.text, *part, self.size, (PARAGRAPHS, LINES, WORDS)), self.size, 0):
                yield Span(at, end, (document.title, *([named] if named else [])))

    def definition(self) -> dict[str, Any]:
        return {"chunker": "functions", "size": self.size}


def _parts(document: Document) -> list[Piece]:
    """From each line that begins a part to the next; comments and decorators right above belong to it."""
    begins, offset, above = [0], 0, None
    for line in document.text.splitlines(keepends=True):
        bare = line.strip()
        if begins_part(document.language, line):
            begins.append(offset if above is None else above)
            above = begins[-1] if bare.startswith("@") else None
        elif line[:1] in "#/-*" and bare and not line.startswith("#!"):
            above = offset if above is None else above
        else:
            above = None
        offset += len(line)
    cuts = sorted({*begins, len(document.text)})
    return list(pairwise(cuts))


def _named(document: Document, part: Piece) -> str:
    """The line that begins a part."""
    lines = document.text[slice(*part)].splitlines()
    return next((line.strip()[:SHOWN] for line in lines if begins_part(document.language, line) and not line.startswith("@")), "")
