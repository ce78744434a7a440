"""Embeddings by a transformer as ONNX, in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.llm.embedding.port import NotAnEmbedder, Vectors
from noria.llm.embedding.tokenized import OnnxFolder, Tokens

Pooling = Literal["mean", "cls"]


class OnnxEmbedder:
    """The model of a folder with `model.onnx` and `tokenizer.json`.

    pooling: what a text's vector is made of, the mean of its tokens' or the first one's; as the folder says (`1_Pooling/config.json`), or
        the mean; query_prefix: what stands before a question, where the model was trained so
    """

    def __init__(
        self, folder: str | Path, *, pooling: Pooling | None = None, query_prefix: str = "", max_tokens: int | None = None, threads: int = 0
    ) -> None:
        self._model, self._threads = OnnxFolder(Path(folder), max_tokens, threads), threads
        self._pooling = pooling or _pooling_of(Path(folder))
        self._prefix = query_prefix
        self.truncated = 0

    @cached_property
    def dimension(self) -> int:
        size = self._model.session.get_outputs()[0].shape[-1]
        if not isinstance(size, int):
            raise NotAnEmbedder(self._model.folder, "its graph does not say how long its vectors are")
        return size

    def embed(self, texts: Sequence[str]) -> Vectors:
        found = np.zeros((len(texts), self.dimension), np.float32)
        for places, fed, cut in self._model.batches(texts):
            self.truncated += cut
            found[places] = self._pooled(np.asarray(self._model.session.run(None, fed)[0], np.float32), fed)
        return found

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.asarray(self.embed([self._prefix + text])[0])

    def arguments(self) -> dict[str, Any]:
        """By which it is made again."""
        return {
            "folder": str(self._model.folder),
            "pooling": self._pooling,
            "query_prefix": self._prefix,
            "max_tokens": self._model.reads,
            "threads": self._threads,
        }

    def definition(self) -> dict[str, Any]:
        return {
            "embedder": "onnx",
            "sha256": self._model.sha256,
            "pooling": self._pooling,
            "query_prefix": self._prefix,
            "max_tokens": self._model.reads,
        }

    def _pooled(self, states: NDArray[np.float32], fed: Tokens) -> Vectors:
        """A vector of length 1 for each text. states: `(texts, tokens, dimension)`, or of texts already `(texts, dimension)`"""
        if states.ndim == 3 and self._pooling == "cls":
            states = states[:, 0]
        elif states.ndim == 3:
            mask = fed["attention_mask"][:, :, None].astype(np.float32)
            states = (states * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
        return np.asarray(states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12))


def _pooling_of(folder: Path) -> Pooling:
    path = folder / "1_Pooling" / "config.json"
    return "cls" if path.is_file() and json.loads(path.read_bytes()).get("pooling_mode_cls_token") else "mean"
