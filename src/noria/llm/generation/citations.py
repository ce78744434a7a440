"""The sources that an answer cites: `[1]`, `[1, 3]`, `[2][4]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from noria.llm.chunking.chunk import Chunk

CITED = re.compile(r"[ \t]?\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
OPEN = re.compile(r"[ \t]?(?:\[[\d,\s]{0,20})?\Z")  # the end of a text that may become a citation


@dataclass(frozen=True)
class Cited:
    """An answer. chunks: those that it cites, in the order in which it does; made_up: how many numbers it cites that no source has"""

    text: str
    chunks: tuple[Chunk, ...] = ()
    made_up: int = 0


def cited(text: str, given: Sequence[Chunk]) -> Cited:
    """An answer with its citations. Numbers that no source has are taken out of the text, and counted."""
    found, made_up = dict[int, Chunk](), 0

    def kept(match: re.Match[str]) -> str:
        nonlocal made_up
        numbers = [int(number) for number in match[1].split(",")]
        there = [number for number in numbers if 1 <= number <= len(given)]
        made_up += len(numbers) - len(there)
        found.update({number: given[number - 1] for number in there if number not in found})
        space = match[0][: match[0].index("[")]
        return f"{space}[{', '.join(map(str, there))}]" if there else ""

    clean = CITED.sub(kept, text)
    return Cited(clean, tuple(found.values()), made_up)


@dataclass
class CitedStream:
    """The same of an answer that comes in parts: what may be the beginning of a citation waits for its end."""

    given: Sequence[Chunk]
    _held: str = ""
    _chunks: dict[str, Chunk] = field(default_factory=dict)
    made_up: int = 0

    def add(self, part: str) -> str:
        """What may be sent of the answer so far."""
        text = self._held + part
        end = OPEN.search(text)
        cut = end.start() if end is not None else len(text)
        self._held = text[cut:]
        return self._taken(text[:cut])

    def end(self) -> str:
        """The rest, once the answer is over."""
        rest, self._held = self._held, ""
        return self._taken(rest)

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        return tuple(self._chunks.values())

    def _taken(self, text: str) -> str:
        found = cited(text, self.given)
        self._chunks |= {chunk.id: chunk for chunk in found.chunks if chunk.id not in self._chunks}
        self.made_up += found.made_up
        return found.text
