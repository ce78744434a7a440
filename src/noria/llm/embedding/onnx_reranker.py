"""A cross-encoder as ONNX: it reads a question and a text together, and says how well they belong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.llm.embedding.tokenized import OnnxFolder


class OnnxReranker:
    """The model of a folder with `model.onnx` and `tokenizer.json`, whose one output is a score for each pair."""

    def __init__(self, folder: str | Path, *, max_tokens: int | None = None, threads: int = 0) -> None:
        self._model, self._threads = OnnxFolder(Path(folder), max_tokens, threads), threads
        self.truncated = 0

    def scores(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.zeros(len(texts), np.float32)
        for batch, judged in self._model.run([(question, text) for text in texts]):
            self.truncated += len(batch.cut)
            found[batch.places] = judged.reshape(len(batch.places), -1)[:, -1]
        return found

    def arguments(self) -> dict[str, Any]:
        """By which it is made again."""
        return {"folder": str(self._model.folder), "max_tokens": self._model.reads, "threads": self._threads}

    def definition(self) -> dict[str, Any]:
        return {"reranker": "onnx", "sha256": self._model.sha256, "max_tokens": self._model.reads}
