"""Embeddings by a transformer of Hugging Face's library, in this process: for models that are no ONNX, and for bfloat16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from noria.core.errors import MissingExtra
from noria.core.ids import digest
from noria.core.processes import usable_cores
from noria.llm.embedding.folder import Pooling
from noria.llm.embedding.folder_embedder import FolderEmbedder, States
from noria.llm.embedding.port import NotAnEmbedder
from noria.llm.embedding.tokenized import GIVEN, TOKENIZER, Batch, TokenizedFolder

Numbers = Literal["float32", "bfloat16"]
WEIGHTS = "*.safetensors"


class TorchEmbedder(FolderEmbedder):
    """The model of a folder with `config.json`, safetensors and `tokenizer.json`. numbers: what it is computed in

    Code that comes with a model is not run, and weights that are pickled are not read.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        numbers: Numbers = "float32",
        pooling: Pooling | None = None,
        query_prefix: str | None = None,
        text_prefix: str | None = None,
        max_tokens: int | None = None,
        threads: int = 0,
    ) -> None:
        super().__init__(TokenizedFolder(Path(folder), max_tokens), pooling, query_prefix, text_prefix)
        self._numbers, self._threads, self.kind = numbers, threads, f"torch {numbers}"

    @property
    def dimension(self) -> int:
        return int(self._model.config.hidden_size)

    @cached_property
    def sha256(self) -> str:
        paths = [*sorted(self.folder.glob(WEIGHTS)), self.folder / "config.json", self.folder / TOKENIZER]
        return digest([digest(path.read_bytes()) for path in paths])

    def arguments(self) -> dict[str, Any]:
        """By which it is made again."""
        return {**super().arguments(), "numbers": self._numbers, "threads": self._threads}

    @cached_property
    def _model(self) -> Any:
        try:
            import torch
            from transformers import AutoModel
        except ImportError as error:
            raise MissingExtra(library="transformers", extra="transformers", needed_for="embedding models that are not ONNX") from error
        torch.set_num_threads(self._threads or usable_cores())
        try:
            model = AutoModel.from_pretrained(
                str(self.folder), dtype=getattr(torch, self._numbers), local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
        except Exception as error:  # of the library, any at all
            raise NotAnEmbedder(self.folder, f"transformers can't load it: {str(error).splitlines()[0][:200]}") from error
        return model.eval()

    def _run(self, texts: Sequence[str]) -> Iterator[tuple[Batch, States]]:
        import inspect

        import torch

        taken = inspect.signature(self._model.forward).parameters
        for batch in self._read.batches(texts, [name for name in GIVEN if name in taken]):
            with torch.inference_mode():
                found = self._model(**{name: torch.from_numpy(value) for name, value in batch.fed.items()})
            yield batch, np.asarray(found[0].float().numpy())
