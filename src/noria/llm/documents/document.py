"""What is known of one document."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from noria.core.ids import digest

Value = str | int | float | bool


@dataclass(frozen=True)
class Place:
    """Where a part of a document begins in its text, and what it is called: `page 3`, `cell 2`, `sheet Costs`."""

    at: int
    name: str


@dataclass(frozen=True)
class Document:
    """A document as text.

    id: by which it is known from one ingestion to the next, such as its path in the corpus
    text: Markdown, or the file as it is where `kind` is `plain` or `code`; language: of code
    places: rising; metadata: what searches may filter by; access: the labels of those who may read it, none: everybody
    """

    id: str
    text: str
    kind: str = "markdown"
    title: str = ""
    language: str = ""
    places: tuple[Place, ...] = ()
    metadata: Mapping[str, Value] = field(default_factory=dict)
    access: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Of all that chunks are made from."""
        return digest([self.text, self.kind, self.title, self.language, [(p.at, p.name) for p in self.places]])

    def place_of(self, offset: int) -> str:
        """What the part of the text is called that an offset lies in; empty where parts have no names."""
        found = bisect_right([place.at for place in self.places], offset) - 1
        return self.places[found].name if found >= 0 else ""
