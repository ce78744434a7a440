"""Chunks by the headings of Markdown, which HTML and Office documents have become as well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from noria.llm.chunking.chunk import Span, require_sizes
from noria.llm.chunking.recursive import Recursive
from noria.llm.documents.document import Document

HEADING, FENCE = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$"), re.compile(r"^\s{0,3}(`{3,}|~{3,})")
UNDERLINE = re.compile(r"^(=+|-{2,})\s*$")


@dataclass(frozen=True)
class Section:
    """A part below one heading, which is within it. headings: those above it and its own"""

    at: int
    end: int
    headings: tuple[str, ...]


def sections(text: str) -> list[Section]:
    """The parts of a Markdown text between its headings, which make it up. A `#` within a fence of code is no heading."""
    found, path, at, fence, offset, before = list[Section](), list[tuple[int, str]](), 0, "", 0, ""

    def close(end: int) -> None:
        if end > at:
            found.append(Section(at, end, tuple(name for _, name in path)))

    for line in text.splitlines(keepends=True):
        mark = FENCE.match(line)
        if mark is not None and (not fence or (mark[1][0] == fence[0] and len(mark[1]) >= len(fence))):
            fence = "" if fence else mark[1]
        heading = None if fence else HEADING.match(line)
        underlined = None if fence or not before.strip() or FENCE.match(before) else UNDERLINE.match(line)
        if heading is not None:
            close(offset)
            level, name, at = len(heading[1]), heading[2], offset
        elif underlined is not None and not before.lstrip().startswith(("|", "-", "*", ">", "#")):
            begins = offset - len(before)
            close(begins)
            level, name, at = (1 if underlined[1].startswith("=") else 2), before.strip(), begins
        else:
            level = 0
        if level:
            path = [*((n, t) for n, t in path if n < level), (level, name)]
        offset, before = offset + len(line), line
    close(len(text))
    return found


@dataclass(frozen=True)
class ByHeading:
    """A section each, those longer than `size` characters cut by paragraphs; one shorter than `least` is put to the next below the same
    heading."""

    size: int = 1000
    overlap: int = 100
    least: int = 150

    def __post_init__(self) -> None:
        require_sizes(self, self.size, self.overlap)

    def spans(self, document: Document) -> Iterator[Span]:
        cut = Recursive(self.size, self.overlap)
        for section in _joined(sections(document.text), self.least, self.size):
            headings = section.headings or ((document.title,) if document.title else ())
            yield from cut.within(document.text, section.at, section.end, headings)

    def definition(self) -> dict[str, Any]:
        return {"chunker": "headings", "size": self.size, "overlap": self.overlap, "least": self.least}


def _joined(found: list[Section], least: int, size: int) -> Iterator[Section]:
    """Sections, of which a short one is part of the next where that stands below the same heading, or below it."""
    held: Section | None = None
    for section in found:
        if held is not None:
            common = _common(held.headings, section.headings)
            together = (common or not held.headings) and len(common) >= len(held.headings) - 1
            if together and held.end - held.at < least and section.end - held.at <= size:
                section = Section(held.at, section.end, common or section.headings)
            else:
                yield held
        held = section
    if held is not None:
        yield held


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    count = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:count]
