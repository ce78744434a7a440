"""Chunks as a generator is told them: numbered, within a budget, between marks that none of them can imitate."""

from __future__ import annotations

from collections.abc import Sequence

from noria.core.ids import digest
from noria.llm.chunking.chunk import Chunk

MARK = 8  # letters of a mark, at least


def told(chunks: Sequence[Chunk], most: int = 12_000) -> tuple[str, list[Chunk]]:
    """The text of the sources, and those of the chunks that are in it: the first ones, whole, up to `most` characters.

    The first is always there, cut where it is longer by itself. Each stands between marks that occur in no chunk, so that a text that
    pretends to end its source, or to begin another, stays within it.
    """
    given, size = list[Chunk](), 0
    for chunk in chunks:
        if given and size + len(chunk.told) > most:
            break
        given.append(chunk)
        size += len(chunk.told)
    mark = mark_of([chunk.told for chunk in given])
    parts = [
        f"<source-{mark} {number}{_about(chunk)}>\n{chunk.told[:most]}\n</source-{mark} {number}>"
        for number, chunk in enumerate(given, start=1)
    ]
    return "\n\n".join(parts), given


def mark_of(texts: Sequence[str]) -> str:
    """Letters that stand in none of the texts; the same for the same texts."""
    whole, length = digest(list(texts)), MARK
    while any(whole[:length] in text for text in texts):
        length += 1
        if length > len(whole):
            whole, length = digest(whole), MARK
    return whole[:length]


def _about(chunk: Chunk) -> str:
    """Where it is from, in one line without the signs that marks have."""
    where = ", ".join(part for part in (chunk.document, " > ".join(chunk.headings), chunk.place) if part)
    return f": {' '.join(where.replace('<', ' ').replace('>', ' ').split())}" if where else ""
