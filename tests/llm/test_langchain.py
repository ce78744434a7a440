"""A Noria index as LangChain's retriever, and LangChain's loaders as a source of documents, with the real library."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

pytest.importorskip("langchain_core")

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document as LangChainDocument
from langchain_core.runnables import RunnableLambda

from noria.integrations.langchain import NoriaRetriever, documents_from
from noria.llm.chunking import ByKind
from noria.llm.embedding import HashedEmbedder
from noria.llm.index import build
from noria.llm.retrieval import Conditions, Retriever


class Pages(BaseLoader):
    """A loader as people write them: pages of two files, one of which has no text."""

    def lazy_load(self) -> Iterator[LangChainDocument]:
        yield LangChainDocument(
            page_content="The chair costs forty euros.", metadata={"source": "prices.pdf", "page": 0, "team": "shop", "box": {}}
        )
        yield LangChainDocument(page_content="The table costs ninety euros.", metadata={"source": "prices.pdf", "page": 1, "team": "shop"})
        yield LangChainDocument(page_content=" ", metadata={"source": "empty.pdf", "page": 0})
        yield LangChainDocument(page_content="# Wages\n\nThe board meets in May.", metadata={"source": "wages.md", "team": "board"})
        yield LangChainDocument(page_content="# Wages\n\nAnother part.", metadata={"source": "wages.md", "team": "board"})


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    embedder = HashedEmbedder()
    built = build(documents_from(Pages().lazy_load()), ByKind(), embedder, tmp_path_factory.mktemp("index") / "one")
    return Retriever(built.index, embedder)


def test_what_a_loader_loads_becomes_documents_with_names_that_stay() -> None:
    found = list(documents_from(Pages().lazy_load(), access=("staff",)))
    assert [document.id for document in found] == ["prices.pdf#0", "prices.pdf#1", "wages.md", "wages.md#2"]
    assert [document.kind for document in found] == ["plain", "plain", "markdown", "markdown"]
    assert found[0].metadata == {"source": "prices.pdf", "page": 0, "team": "shop"}
    assert found[0].access == ("staff",)
    assert found == list(documents_from(Pages().load(), access=("staff",)))


def test_a_chain_gets_the_chunks_with_where_they_are_from(retriever: Retriever) -> None:
    chain = NoriaRetriever(retriever=retriever, count=2) | RunnableLambda(lambda found: [each.metadata["source"] for each in found])
    assert chain.invoke("What does the table cost?")[0] == "prices.pdf#1"
    found = NoriaRetriever(retriever=retriever, count=1).invoke("board meets")
    assert [(each.page_content, each.metadata["headings"], each.metadata["team"]) for each in found] == [
        ("# Wages\n\nThe board meets in May.", ["Wages"], "board")
    ]
    assert found[0].id == found[0].metadata["chunk"]


def test_conditions_hold_and_asking_does_not_block(retriever: Retriever) -> None:
    mine = NoriaRetriever(retriever=retriever, count=9, conditions=Conditions.read({"team": "board"}))
    found = asyncio.run(mine.ainvoke("euros"))
    assert {each.metadata["team"] for each in found} == {"board"}
    both = asyncio.run(mine.abatch(["euros", "May"]))
    assert both[0] == found
