"""LlamaIndex, LangChain and sentence-transformers as people use them at first: their defaults, with the same model."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, Proof
from noria.llm.chunking import ByKind
from noria.llm.documents import Document
from noria.llm.embedding import Embedder, embedder, runtime_choice
from noria.llm.embedding.opening import model_folder
from noria.llm.index import build

PEERS = {"LlamaIndex": "llama_index.core", "LangChain": "langchain_text_splitters"}
ROUNDS, DEEP, TOKENS = int(os.environ.get("RETRIEVAL_ROUNDS", "3")), 20, 200
Search = Callable[[str], list[str]]


def _there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def missing() -> list[str]:
    return [name for name, module in PEERS.items() if not _there(module)]


def searches() -> dict[str, Callable[..., Search]]:
    """For each library that is installed, what indexes documents and then finds ids of documents."""
    made = {"LlamaIndex": _llama_index, "LangChain": _langchain}
    return {name: made[name] for name in PEERS if name not in missing()}


def _llama_index(documents: Sequence[Document], found: Embedder, *, alike: bool = False) -> Search:
    from llama_index.core import VectorStoreIndex
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.schema import Document as LlamaDocument

    class Same(BaseEmbedding):  # type: ignore[misc]
        def _get_text_embedding(self, text: str) -> list[float]:
            return list(map(float, found.embed([text])[0]))

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return [list(map(float, vector)) for vector in found.embed(texts)]

        def _get_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embedding(query)

    given = [LlamaDocument(text=document.text, id_=document.id) for document in documents]
    cut = [SentenceSplitter(chunk_size=TOKENS, chunk_overlap=TOKENS // 8)] if alike else None
    made = VectorStoreIndex.from_documents(given, embed_model=Same(embed_batch_size=32), transformations=cut)
    retriever = made.as_retriever(similarity_top_k=DEEP)
    return lambda question: list(dict.fromkeys(node.node.ref_doc_id for node in retriever.retrieve(question)))


def _langchain(documents: Sequence[Document], found: Embedder, *, alike: bool = False) -> Search:
    from langchain_core.documents import Document as LangChainDocument
    from langchain_core.embeddings import Embeddings
    from langchain_core.vectorstores import InMemoryVectorStore
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    class Same(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [list(map(float, vector)) for vector in found.embed(texts)]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    given = [LangChainDocument(page_content=document.text, metadata={"source": document.id}) for document in documents]
    splitter = RecursiveCharacterTextSplitter(chunk_size=800, chunk_overlap=100) if alike else RecursiveCharacterTextSplitter()
    store = InMemoryVectorStore.from_documents(splitter.split_documents(given), Same())
    return lambda question: list(dict.fromkeys(each.metadata["source"] for each in store.similarity_search(question, k=DEEP)))


def ingestion(documents: Sequence[Document], model: str, runtime: str | None, cache: Path) -> Proof:
    """From documents to an index, in turns, with the same embedder, and chunks of about the same length.

    By default the others' chunks are several times as long as the model reads: what it does not read is embedded at once, and not found.
    """

    def ours(found: Embedder) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            build(documents, ByKind(), found, Path(scratch) / "index")

    def plain() -> Embedder:  # one that keeps nothing
        made: Any = embedder(model, runtime=runtime, cache=cache)
        return made.embedder  # type: ignore[no-any-return]

    same = plain()
    same.embed(["warm"])
    ways: dict[str, Callable[[], object]] = {"Noria": lambda: ours(same)}
    for name, open_ in searches().items():
        ways[name] = lambda open_=open_: open_(documents, same, alike=True)  # type: ignore[misc]
    best = _quickest(ways)
    yield f"# ingestion of {len(documents)} documents: " + ", ".join(f"{name} {len(documents) / s:.1f}/s" for name, s in best.items())
    for name in best:
        if name != "Noria":
            yield Figure(f"ingestion beside {name}", best[name] / best["Noria"], "times its speed, same embedder", ">=", 1)


def embedding(texts: Sequence[str], model: str, cache: Path) -> Proof:
    """Texts a second, ours by the runtime that was chosen here, and sentence-transformers' defaults; and how near the vectors are."""
    if not _there("sentence_transformers"):
        yield "# sentence-transformers is not installed: it is not compared"
        return
    from sentence_transformers import SentenceTransformer

    theirs: Any = SentenceTransformer(str(model_folder(model)), device="cpu")
    made: Any = embedder(model, cache=cache)
    own = made.embedder
    best = _quickest({"Noria": lambda: own.embed(texts), "sentence-transformers": lambda: theirs.encode(list(texts))})
    choice = runtime_choice(model, cache)
    cosine = (own.embed(texts) * theirs.encode(list(texts), normalize_embeddings=True)).sum(axis=1)
    yield f"# embedding by {choice}"
    yield "# " + ", ".join(f"{name} {len(texts) / s:.1f} texts/s" for name, s in best.items()) + f"; least cosine {cosine.min():.4f}"
    ratio = best["sentence-transformers"] / best["Noria"]
    yield Figure("embedding speed", ratio, "times sentence-transformers' default", ">=", 2.5)


def _quickest(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least processor seconds of each of several ways, in turns: what other programs do to the clock does not count."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            before = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - before)
    return best
