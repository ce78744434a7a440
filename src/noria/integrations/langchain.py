"""LangChain: a Noria index as its retriever, and what its loaders load as Noria's documents (langchain-core, `pip install langchain-core`).

NoriaRetriever(retriever=Retriever(index, embedder), count=5).invoke("How is it installed?")
build(documents_from(SomeLoader("…").lazy_load()), ByKind(), embedder, folder)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from pydantic import InstanceOf

from noria.llm.documents import Document
from noria.llm.documents.loaded import loaded
from noria.llm.index import Hit
from noria.llm.retrieval import Conditions, Retriever


class NoriaRetriever(BaseRetriever):
    """Chunks of an index, most relevant first, as LangChain's documents.

    count: of the chunks; conditions: on their metadata, and the labels of who asks, which the store's query enforces
    Each document's metadata is the chunk's own, and `source`, `chunk`, `score`, `headings`, `place` of it.
    """

    retriever: InstanceOf[Retriever]
    count: int = 5
    conditions: InstanceOf[Conditions] | None = None

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[LangChainDocument]:  # noqa: ARG002
        return [_given(hit) for hit in self.retriever.find(query, self.count, self.conditions)]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002
    ) -> list[LangChainDocument]:
        hits = await asyncio.to_thread(self.retriever.find, query, self.count, self.conditions)
        return [_given(hit) for hit in hits]


def documents_from(given: Iterable[LangChainDocument], *, access: tuple[str, ...] = ()) -> Iterator[Document]:
    """Noria's documents of those that a loader yields, as they come. access: the labels of those who may read them, none: everybody

    A document is known by its `id`, or by its `source` and page; several of one name are numbered. Metadata that is no text, number or
    boolean is left out.
    """
    yield from loaded(((each.id, each.page_content, each.metadata) for each in given), access)


def _given(hit: Hit) -> LangChainDocument:
    chunk = hit.chunk
    about: dict[str, Any] = {"source": chunk.document, "chunk": chunk.id, "score": hit.score}
    about |= {"headings": list(chunk.headings), "place": chunk.place}
    return LangChainDocument(id=chunk.id, page_content=chunk.told, metadata={**chunk.metadata, **about})
