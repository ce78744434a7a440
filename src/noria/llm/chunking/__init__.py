"""Chunks: the parts of documents that are embedded, found and cited.

In:   a `Document`
Out:  `Chunk`s, each an exact part of the document's text, with the headings above it and what its place is called

How a document is cut is a `Chunker`. `ByKind`, the default, cuts Markdown by its headings, code by its functions, and other text by its
paragraphs; `tune` measures which one finds best.
"""

from noria.llm.chunking.by_kind import ByKind
from noria.llm.chunking.chunk import Chunk, Chunker, Span, chunked
from noria.llm.chunking.code import ByFunction
from noria.llm.chunking.fixed import Fixed
from noria.llm.chunking.parents import WithParents
from noria.llm.chunking.recursive import Recursive
from noria.llm.chunking.semantic import Semantic
from noria.llm.chunking.sentences import BySentence
from noria.llm.chunking.structure import ByHeading

__all__ = [
    "ByFunction",
    "ByHeading",
    "ByKind",
    "BySentence",
    "Chunk",
    "Chunker",
    "Fixed",
    "Recursive",
    "Semantic",
    "Span",
    "WithParents",
    "chunked",
]
