"""Applications of language models, built from the stages above: an application is a model like any other.

In:   documents of any kind, questions, and models that embed and write
Out:  a model that answers questions with the sources it cites, which is evaluated, released, watched and renewed as others are

    documents/   what is read: files of any kind as Markdown, with where each part stands
    chunking/    how documents are cut into the parts that are found and cited
    embedding/   texts as vectors, and how well a text answers a question
    index/       chunks with their vectors, to be searched by meaning and by words
    retrieval/   which chunks answer a question: rankings, and conditions on what may be found
    generation/  models that write: what they are told, what they answer, and the sources that an answer cites
    application/ all of it as one model

`from noria import llm` has the names that a project needs, loaded when they are first used: `llm.document_files`, `llm.Application`, ….
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noria.llm.application import Application, Terms, questions
    from noria.llm.chunking import ByFunction, ByHeading, ByKind, BySentence, Fixed, Recursive, Semantic, WithParents
    from noria.llm.documents import document_files
    from noria.llm.embedding import CachedEmbedder, HashedEmbedder, OnnxEmbedder, OnnxReranker
    from noria.llm.generation import Options, Prompt

_HOMES = {
    "noria.llm.application": ["Application", "Terms", "questions"],
    "noria.llm.chunking": ["ByFunction", "ByHeading", "ByKind", "BySentence", "Fixed", "Recursive", "Semantic", "WithParents"],
    "noria.llm.documents": ["document_files"],
    "noria.llm.embedding": ["CachedEmbedder", "HashedEmbedder", "OnnxEmbedder", "OnnxReranker"],
    "noria.llm.generation": ["Options", "Prompt"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Application",
    "ByFunction",
    "ByHeading",
    "ByKind",
    "BySentence",
    "CachedEmbedder",
    "Fixed",
    "HashedEmbedder",
    "OnnxEmbedder",
    "OnnxReranker",
    "Options",
    "Prompt",
    "Recursive",
    "Semantic",
    "Terms",
    "WithParents",
    "document_files",
    "questions",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        from noria.core.errors import nearest

        raise AttributeError(f"module 'noria.llm' has no attribute {name!r}{nearest(name, __all__)}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value
