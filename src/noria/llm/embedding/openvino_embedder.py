"""Embeddings by OpenVINO, in this process: about three times as quick as ONNX Runtime where the processor multiplies bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from noria.llm.embedding.folder import Pooling
from noria.llm.embedding.onnx_embedder import OnnxEmbedder
from noria.llm.embedding.openvino_folder import Numbers, OpenVinoFolder
from noria.llm.embedding.tokenized import OnnxFolder


class OpenVinoEmbedder(OnnxEmbedder):
    """The model of a folder with `model.onnx` and `tokenizer.json`. numbers: what is multiplied; the others as `OnnxEmbedder` has them."""

    def __init__(
        self,
        folder: str | Path,
        *,
        numbers: Numbers = "bfloat16",
        pooling: Pooling | None = None,
        query_prefix: str | None = None,
        text_prefix: str | None = None,
        max_tokens: int | None = None,
        threads: int = 0,
        graph: str | Path | None = None,
    ) -> None:
        self._numbers, self.kind = numbers, f"openvino {numbers}"
        super().__init__(
            folder,
            pooling=pooling,
            query_prefix=query_prefix,
            text_prefix=text_prefix,
            max_tokens=max_tokens,
            threads=threads,
            graph=graph,
        )

    def _opened(self, folder: Path, max_tokens: int | None, threads: int, graph: Path | None) -> OnnxFolder:
        return OpenVinoFolder(folder, max_tokens, threads, graph, self._numbers)

    def arguments(self) -> dict[str, Any]:
        """By which it is made again."""
        return {**super().arguments(), "numbers": self._numbers}
