"""Embeddings: texts as vectors, near where they mean alike; and rerankers, which read a question and a text together.

In:   texts
Out:  vectors of length 1, `(texts, dimension)` float32; or a score for each text
"""

from noria.llm.embedding.cached import CachedEmbedder
from noria.llm.embedding.hashed import HashedEmbedder
from noria.llm.embedding.onnx_embedder import OnnxEmbedder
from noria.llm.embedding.onnx_reranker import OnnxReranker
from noria.llm.embedding.port import Embedder, NotAnEmbedder, Reranker

__all__ = ["CachedEmbedder", "Embedder", "HashedEmbedder", "NotAnEmbedder", "OnnxEmbedder", "OnnxReranker", "Reranker"]
