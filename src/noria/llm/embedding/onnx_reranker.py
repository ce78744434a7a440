"""A cross-encoder as ONNX: it reads a question and a text together, and says how well they belong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.llm.embedding.openvino_folder import Numbers, OpenVinoFolder
from noria.llm.embedding.tokenized import OnnxFolder


class OnnxReranker:
    """The model of a folder with `model.onnx` and `tokenizer.json`, whose one output is a score for each pair.

    max_tokens: of a question and a text together that are read; graph: another file than the folder's `model.onnx`
    """

    kind: str = "onnx"

    def __init__(self, folder: str | Path, *, max_tokens: int | None = None, threads: int = 0, graph: str | Path | None = None) -> None:
        self._model, self._threads = self._opened(Path(folder), max_tokens, threads, None if graph is None else Path(graph)), threads
        self.truncated = 0

    def _opened(self, folder: Path, max_tokens: int | None, threads: int, graph: Path | None) -> OnnxFolder:
        return OnnxFolder(folder, max_tokens, threads, graph)

    def scores(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.of_pairs([(question, text) for text in texts])

    def of_pairs(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """The scores of several questions, each with a text: `(pairs,)`."""
        found = np.zeros(len(pairs), np.float32)
        for batch, judged in self._model.run(pairs):
            self.truncated += len(batch.cut)
            found[batch.places] = judged.reshape(len(batch.places), -1)[:, -1]
        return found

    def arguments(self) -> dict[str, Any]:
        """By which it is made again."""
        said = {"folder": str(self._model.folder), "max_tokens": self._model.reads, "threads": self._threads}
        return said if self._model.graph is None else {**said, "graph": str(self._model.graph)}

    def definition(self) -> dict[str, Any]:
        return {"reranker": self.kind, "sha256": self._model.sha256, "max_tokens": self._model.reads}


class OpenVinoReranker(OnnxReranker):
    """The same by OpenVINO. numbers: what is multiplied"""

    def __init__(
        self,
        folder: str | Path,
        *,
        numbers: Numbers = "bfloat16",
        max_tokens: int | None = None,
        threads: int = 0,
        graph: str | Path | None = None,
    ) -> None:
        self._numbers, self.kind = numbers, f"openvino {numbers}"
        super().__init__(folder, max_tokens=max_tokens, threads=threads, graph=graph)

    def _opened(self, folder: Path, max_tokens: int | None, threads: int, graph: Path | None) -> OnnxFolder:
        return OpenVinoFolder(folder, max_tokens, threads, graph, self._numbers)

    def arguments(self) -> dict[str, Any]:
        """By which it is made again."""
        return {**super().arguments(), "numbers": self._numbers}
