"""A chunk, and the port by which documents are cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from noria.core.errors import UserMistake
from noria.core.ids import digest
from noria.llm.documents.document import Document, Value


class BadChunkSize(UserMistake):
    """A chunker was declared with sizes that can't be."""

    code = "NR-802"

    def __init__(self, chunker: str, why: str) -> None:
        super().__init__(
            what=why, where=f"{chunker}(size=…, overlap=…)", fix="give a size of at least 50 characters, and an overlap below half of it"
        )


@dataclass(frozen=True)
class Span:
    """A part of a document's text, from the offset `at` to before `end`. headings: above it, the outermost first

    parent: the wider part that is handed to a generator where this one was found; None: this one
    """

    at: int
    end: int
    headings: tuple[str, ...] = ()
    parent: tuple[int, int] | None = None


class Chunker(Protocol):
    """How documents are cut."""

    def spans(self, document: Document) -> Iterable[Span]:
        """The parts of a document, rising. Every character that is not white space is in one at least."""
        ...

    def definition(self) -> dict[str, Any]:
        """Its settings as plain data: what a bundle says of it, and what its chunks depend on."""
        ...


@dataclass(frozen=True)
class Chunk:
    """A part of a document that is found and cited. text: exactly what the document has from `at` to `end`

    id: of its document and its text, so that a change elsewhere in the document does not make it another
    place: such as `page 3`; wider: the text that a generator is given in its stead
    also: other documents that have the same text, of which an index has one chunk
    """

    id: str
    document: str
    text: str
    at: int
    end: int
    headings: tuple[str, ...] = ()
    place: str = ""
    wider: str = ""
    metadata: Mapping[str, Value] = field(default_factory=dict)
    access: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def embedded(self) -> str:
        """What is embedded and searched: its headings, which say what it is about, and its text."""
        return "\n".join([" > ".join(self.headings), self.text]) if self.headings else self.text

    @property
    def told(self) -> str:
        """What a generator is given."""
        return self.wider or self.text


def chunked(document: Document, chunker: Chunker) -> list[Chunk]:
    """The chunks of a document. White space around each is left out, and so are parts that have nothing else."""
    found, seen = list[Chunk](), Counter[str]()
    for span in chunker.spans(document):
        part = document.text[span.at : span.end]
        text = part.strip()
        if not text:
            continue
        at = span.at + len(part) - len(part.lstrip())
        seen[text] += 1
        wider = document.text[slice(*span.parent)].strip() if span.parent is not None else ""
        found.append(
            Chunk(
                digest([document.id, text, seen[text]])[:32],
                document.id,
                text,
                at,
                at + len(text),
                span.headings,
                document.place_of(at),
                "" if wider == text else wider,
                document.metadata,
                document.access,
            )
        )
    return found


LEAST = 50  # characters of a chunk's size


def require_sizes(chunker: object, size: int, overlap: int = 0) -> None:
    """Raise `BadChunkSize` for sizes that can't be."""
    if size < LEAST or not 0 <= overlap < size / 2:
        raise BadChunkSize(type(chunker).__name__, f"chunks of {size} characters, of which {overlap} overlap, can't be made")
