"""Embeddings by a transformer as ONNX, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from noria.llm.embedding.folder import Pooling
from noria.llm.embedding.folder_embedder import FolderEmbedder, States
from noria.llm.embedding.port import NotAnEmbedder
from noria.llm.embedding.tokenized import Batch, OnnxFolder


class OnnxEmbedder(FolderEmbedder):
    """The model of a folder with `model.onnx` and `tokenizer.json`.

    pooling, query_prefix, text_prefix: see `FolderSettings`; None: as the folder says. max_tokens: of a text that are read
    graph: another file than the folder's `model.onnx`; threads: that a batch is computed with, 0: as many as there are cores
    """

    kind: str = "onnx"

    def __init__(
        self,
        folder: str | Path,
        *,
        pooling: Pooling | None = None,
        query_prefix: str | None = None,
        text_prefix: str | None = None,
        max_tokens: int | None = None,
        threads: int = 0,
        graph: str | Path | None = None,
    ) -> None:
        self._model, self._threads = self._opened(Path(folder), max_tokens, threads, None if graph is None else Path(graph)), threads
        super().__init__(self._model, pooling, query_prefix, text_prefix)

    def _opened(self, folder: Path, max_tokens: int | None, threads: int, graph: Path | None) -> OnnxFolder:
        return OnnxFolder(folder, max_tokens, threads, graph)

    @property
    def dimension(self) -> int:
        size = self._model.size
        if size is None:
            raise NotAnEmbedder(self._model.folder, "its graph does not say how long its vectors are")
        return size

    @property
    def sha256(self) -> str:
        return self._model.sha256

    def arguments(self) -> dict[str, Any]:
        """By which it is made again."""
        given = {**super().arguments(), "threads": self._threads}
        return given if self._model.graph is None else {**given, "graph": str(self._model.graph)}

    def _run(self, texts: Sequence[str]) -> Iterator[tuple[Batch, States]]:
        return self._model.run(texts)
