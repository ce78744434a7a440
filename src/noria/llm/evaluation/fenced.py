"""Texts put before a judge between marks that none of them can imitate, so that what they say stays data."""

from __future__ import annotations

from collections.abc import Sequence

from noria.llm.generation.sources import mark_of

MOST = 6_000  # characters of one text


def fenced(name: str, text: str) -> str:
    """A text between marks with its name."""
    mark = mark_of([text])
    return f"<{name}-{mark}>\n{text[:MOST]}\n</{name}-{mark}>"


def fenced_all(name: str, texts: Sequence[str]) -> str:
    """Texts between marks, numbered from 1; what is said where there are none."""
    if not texts:
        return "(none)"
    mark = mark_of(texts)
    return "\n\n".join(f"<{name}-{mark} {number}>\n{text[:MOST]}\n</{name}-{mark} {number}>" for number, text in enumerate(texts, start=1))
