"""What embedders of a folder have in common, whatever runs the model: prefixes, pooling, and what is counted and said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.llm.embedding.folder import FolderSettings, Pooling, pooled
from noria.llm.embedding.port import Embedded, Vectors
from noria.llm.embedding.tokenized import Batch, TokenizedFolder

States = NDArray[np.float32]


class FolderEmbedder(ABC):
    """pooling, query_prefix, text_prefix: see `FolderSettings`; None: as the folder says."""

    kind: str

    def __init__(
        self, model: TokenizedFolder, pooling: Pooling | None = None, query_prefix: str | None = None, text_prefix: str | None = None
    ) -> None:
        said = FolderSettings.read(model.folder)
        self._read = model
        self._pooling: Pooling = pooling or said.pooling
        self._prefix = said.query_prefix if query_prefix is None else query_prefix
        self._text_prefix = said.text_prefix if text_prefix is None else text_prefix
        self.truncated = 0

    @property
    def folder(self) -> Path:
        return self._read.folder

    @property
    @abstractmethod
    def dimension(self) -> int: ...

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Of the weights and the tokenizer."""

    @abstractmethod
    def _run(self, texts: Sequence[str]) -> Iterator[tuple[Batch, States]]:
        """Each batch of texts with its states `(texts, tokens, dimension)`, or with vectors `(texts, dimension)`."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.embed_told(texts).vectors

    def embed_told(self, texts: Sequence[str]) -> Embedded:
        return self._embedded([self._text_prefix + text for text in texts] if self._text_prefix else texts)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.asarray(self._embedded([self._prefix + text]).vectors[0])

    def definition(self) -> dict[str, Any]:
        said = {
            "embedder": self.kind,
            "sha256": self.sha256,
            "pooling": self._pooling,
            "query_prefix": self._prefix,
            "max_tokens": self._read.reads,
        }
        return {**said, "text_prefix": self._text_prefix} if self._text_prefix else said

    def arguments(self) -> dict[str, Any]:
        """By which it is made again."""
        return {
            "folder": str(self.folder),
            "pooling": self._pooling,
            "query_prefix": self._prefix,
            "text_prefix": self._text_prefix,
            "max_tokens": self._read.reads,
        }

    def _embedded(self, texts: Sequence[str]) -> Embedded:
        vectors, cut = np.zeros((len(texts), self.dimension), np.float32), np.zeros(len(texts), bool)
        for batch, states in self._run(texts):
            cut[batch.cut] = True
            vectors[batch.places] = pooled(states, batch.fed["attention_mask"], self._pooling)
        self.truncated += int(cut.sum())
        return Embedded(vectors, cut)
