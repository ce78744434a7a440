"""Each kind of document in its own way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from noria.llm.chunking.chunk import Chunker, Span
from noria.llm.chunking.code import ByFunction
from noria.llm.chunking.recursive import Recursive
from noria.llm.chunking.structure import ByHeading
from noria.llm.documents.document import Document


@dataclass(frozen=True)
class ByKind:
    """Markdown by its headings, code by its functions, other text by its paragraphs."""

    markdown: Chunker = field(default_factory=ByHeading)
    code: Chunker = field(default_factory=ByFunction)
    plain: Chunker = field(default_factory=Recursive)

    def spans(self, document: Document) -> Iterable[Span]:
        chosen = {"markdown": self.markdown, "code": self.code}.get(document.kind, self.plain)
        return chosen.spans(document)

    def definition(self) -> dict[str, Any]:
        return {
            "chunker": "by kind",
            "markdown": self.markdown.definition(),
            "code": self.code.definition(),
            "plain": self.plain.definition(),
        }
