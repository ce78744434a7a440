"""A Noria index as LlamaIndex's retriever, and LlamaIndex's readers as a source of documents, with the real library."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core import SimpleDirectoryReader
from llama_index.core.schema import Document as LlamaDocument

from noria.integrations.llamaindex import NoriaRetriever, documents_from
from noria.llm.chunking import ByKind
from noria.llm.embedding import HashedEmbedder
from noria.llm.index import build
from noria.llm.retrieval import Conditions, Retriever


def test_what_a_reader_reads_is_found_through_its_retriever(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "prices.md").write_text("# Prices\n\nThe chair costs forty euros.")
    (folder / "board.txt").write_text("The board meets in May.")
    found = list(documents_from(SimpleDirectoryReader(str(folder)).iter_data()))
    assert sorted(Path(document.id.split("#")[0]).name for document in found) == ["board.txt", "prices.md"]
    assert [document.id for document in found] == [
        document.id for document in documents_from(SimpleDirectoryReader(str(folder)).load_data())
    ]
    embedder = HashedEmbedder()
    index = build(found, ByKind(), embedder, tmp_path / "index").index
    nodes = NoriaRetriever(Retriever(index, embedder), 1).retrieve("What does the chair cost?")
    assert "forty euros" in nodes[0].text
    assert nodes[0].metadata["file_name"] == "prices.md"
    assert nodes[0].score is not None
    only = NoriaRetriever(Retriever(index, embedder), 9, Conditions.read({"file_name": "board.txt"}))
    assert [node.metadata["file_name"] for node in asyncio.run(only.aretrieve("chair"))] == ["board.txt"]


def test_documents_without_a_place_are_known_by_their_text() -> None:
    given = [LlamaDocument(text="one", metadata={"team": "a"}), LlamaDocument(text="two", id_="own"), LlamaDocument(text=" ")]
    found = list(documents_from(given, access=("staff",)))
    assert [(document.text, document.access) for document in found] == [("one", ("staff",)), ("two", ("staff",))]
    assert found[1].id == "own"
    assert found[0].id == next(documents_from([LlamaDocument(text="one")])).id
