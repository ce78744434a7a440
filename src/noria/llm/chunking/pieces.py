"""Cutting a stretch of text at the coarsest borders that make its pieces short enough, and putting pieces together again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

Piece = tuple[int, int]  # from an offset to before another
PARAGRAPHS, LINES, SENTENCES, WORDS = (
    re.compile(r"\n[ \t]*\n\s*"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])"),
    re.compile(r"\s+"),
)
BORDERS = (PARAGRAPHS, LINES, SENTENCES, WORDS)


def pieces(text: str, at: int, end: int, size: int, borders: Sequence[re.Pattern[str]] = BORDERS) -> list[Piece]:
    """Pieces of `text[at:end]`, which they make up without a gap, none longer than `size`: cut at the first of the borders, those that are
    still too long at the next, and what has no border at all anywhere."""
    if end - at <= size:
        return [(at, end)] if end > at else []
    if not borders:
        return [(start, min(start + size, end)) for start in range(at, end, size)]
    ends = [found.end() for found in borders[0].finditer(text, at, end) if at < found.end() < end]
    cuts = [at, *ends, end]
    return [piece for a, b in pairwise(cuts) for piece in pieces(text, a, b, size, borders[1:])]


def merged(found: Sequence[Piece], size: int, overlap: int) -> list[Piece]:
    """Neighbouring pieces put together while they are no longer than `size`; each begins with whole pieces of the one before, of `overlap`
    characters at most."""
    whole, i = list[Piece](), 0
    while i < len(found):
        start, j = found[i][0], i
        while j + 1 < len(found) and found[j + 1][1] - start <= size:
            j += 1
        whole.append((start, found[j][1]))
        if j + 1 == len(found):
            break
        back = j + 1
        while back > i + 1 and found[j][1] - found[back - 1][0] <= overlap:
            back -= 1
        while found[j + 1][1] - found[back][0] > size and back <= j:
            back += 1
        i = back
    return whole
