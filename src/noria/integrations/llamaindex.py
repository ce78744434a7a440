"""LlamaIndex: a Noria index as its retriever, and what its readers read as Noria's documents (`pip install llama-index-core`).

NoriaRetriever(Retriever(index, embedder), count=5).retrieve("How is it installed?")
build(documents_from(SimpleDirectoryReader("…").iter_data()), ByKind(), embedder, folder)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from noria.llm.documents import Document
from noria.llm.documents.loaded import SOURCES, loaded
from noria.llm.index import Hit
from noria.llm.retrieval import Conditions, Retriever

MADE_UP = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")  # a random UUID (RFC 9562, version 4)


class NoriaRetriever(BaseRetriever):  # type: ignore[misc]
    """Chunks of an index, most relevant first, as LlamaIndex's nodes.

    count: of the chunks; conditions: on their metadata, and the labels of who asks, which the store's query enforces
    """

    def __init__(self, retriever: Retriever, count: int = 5, conditions: Conditions | None = None) -> None:
        self._found_by, self._count, self._conditions = retriever, count, conditions
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [_given(hit) for hit in self._found_by.find(query_bundle.query_str, self._count, self._conditions)]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


def documents_from(given: Iterable[LlamaDocument | Sequence[LlamaDocument]], *, access: tuple[str, ...] = ()) -> Iterator[Document]:
    """Noria's documents of those that a reader yields, one by one or, as `iter_data` does, file by file.

    A document is known by its `file_path`, or its `source`, and page; else by its id, or its text where the id is a random one.
    access: the labels of those who may read them, none: everybody
    """
    each_one = (one for each in given for one in ([each] if isinstance(each, LlamaDocument) else each))
    yield from loaded(((_own_id(each), each.text, each.metadata) for each in each_one), access)


def _own_id(document: LlamaDocument) -> str | None:
    """The id that somebody gave a document; None where the library made it up, another one each time that it is read."""
    return None if MADE_UP.fullmatch(document.id_) or any(document.metadata.get(name) for name in SOURCES) else str(document.id_)


def _given(hit: Hit) -> NodeWithScore:
    chunk = hit.chunk
    about: dict[str, Any] = {"source": chunk.document, "headings": " > ".join(chunk.headings), "place": chunk.place}
    node = TextNode(id_=chunk.id, text=chunk.told, metadata={**chunk.metadata, **about})
    return NodeWithScore(node=node, score=hit.score)
