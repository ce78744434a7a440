"""Small chunks to be found, each within a larger one to be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from noria.llm.chunking.chunk import Chunker, Span, require_sizes
from noria.llm.chunking.recursive import Recursive
from noria.llm.chunking.structure import ByHeading
from noria.llm.documents.document import Document


@dataclass(frozen=True)
class WithParents:
    """Chunks of at most `size` characters that stand for the chunk of `parents` around them: what is small is found more precisely, and
    what is large says more."""

    parents: Chunker = field(default_factory=lambda: ByHeading(size=2400, overlap=0))
    size: int = 400

    def __post_init__(self) -> None:
        require_sizes(self, self.size)

    def spans(self, document: Document) -> Iterator[Span]:
        children = Recursive(self.size, 0)
        for parent in self.parents.spans(document):
            for child in children.within(document.text, parent.at, parent.end, parent.headings):
                yield Span(child.at, child.end, child.headings, (parent.at, parent.end))

    def definition(self) -> dict[str, Any]:
        return {"chunker": "parents", "size": self.size, "parents": self.parents.definition()}
