"""Embeddings: texts as vectors, near where they mean alike; and rerankers, which read a question and a text together.

In:   texts
Out:  vectors of length 1, `(texts, dimension)` float32; or a score for each text
"""

from noria.llm.embedding.cached import CachedEmbedder
from noria.llm.embedding.hashed import HashedEmbedder
from noria.llm.embedding.onnx_embedder import OnnxEmbedder
from noria.llm.embedding.onnx_reranker import OnnxReranker, OpenVinoReranker
from noria.llm.embedding.openai_embedder import BadEmbeddings, EmbeddingsAway, EmbeddingsRefused, NoKey, OpenAIEmbedder
from noria.llm.embedding.opening import NoSuchModel, embedder, reranker, reranker_choice, runtime_choice
from noria.llm.embedding.openvino_embedder import OpenVinoEmbedder
from noria.llm.embedding.port import Embedded, Embedder, NotAnEmbedder, Reranker, embed_told
from noria.llm.embedding.runtimes import Choice, Measured
from noria.llm.embedding.torch_embedder import TorchEmbedder

__all__ = [
    "BadEmbeddings",
    "CachedEmbedder",
    "Choice",
    "Embedded",
    "Embedder",
    "EmbeddingsAway",
    "EmbeddingsRefused",
    "HashedEmbedder",
    "Measured",
    "NoKey",
    "NoSuchModel",
    "NotAnEmbedder",
    "OnnxEmbedder",
    "OnnxReranker",
    "OpenAIEmbedder",
    "OpenVinoEmbedder",
    "OpenVinoReranker",
    "Reranker",
    "TorchEmbedder",
    "embed_told",
    "embedder",
    "reranker",
    "reranker_choice",
    "runtime_choice",
]
