"""What a folder in the form of sentence-transformers says: how vectors are made of the model's states, and what stands before texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.llm.embedding.port import NotAnEmbedder, Vectors

Pooling = Literal["mean", "cls"]
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True)
class FolderSettings:
    """pooling: what a text's vector is made of, the mean of its tokens' or the first one's

    query_prefix, text_prefix: what stands before a question, and before what is to be found, where the model was trained so
    """

    pooling: Pooling = "mean"
    query_prefix: str = ""
    text_prefix: str = ""

    @staticmethod
    def read(folder: Path) -> FolderSettings:
        """Those of a folder. Raises `NotAnEmbedder` for a model with parts that are not run here."""
        for module in _json(folder / "modules.json", []):
            kind = str(module.get("type", "")).rpartition(".")[2]
            if kind not in KNOWN_MODULES:
                raise NotAnEmbedder(folder, f"it has a part of the kind {kind}, and {', '.join(KNOWN_MODULES)} are run")
        prompts = _json(folder / "config_sentence_transformers.json", {}).get("prompts") or {}
        text = next((prompts[name] for name in ("document", "passage") if prompts.get(name)), "")
        return FolderSettings(_pooling(folder), str(prompts.get("query") or ""), str(text))


def pooled(states: NDArray[np.float32], mask: NDArray[np.int64], pooling: Pooling) -> Vectors:
    """A vector of length 1 for each text. states: `(texts, tokens, dimension)`, or of texts already `(texts, dimension)`"""
    if states.ndim == 3 and pooling == "cls":
        states = states[:, 0]
    elif states.ndim == 3:
        weights = mask[:, :, None].astype(np.float32)
        states = (states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)
    return np.asarray(states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12), np.float32)


def _pooling(folder: Path) -> Pooling:
    config: Mapping[str, Any] = _json(folder / "1_Pooling" / "config.json", {})
    modes = [name.removeprefix("pooling_mode_") for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
    if isinstance(config.get("pooling_mode"), str):
        modes = [config["pooling_mode"]]
    if modes in (["cls_token"], ["cls"]):
        return "cls"
    if modes and modes not in (["mean_tokens"], ["mean"]):
        raise NotAnEmbedder(folder, f"it pools by {', '.join(modes)}; the mean of the tokens and the first one's state are known")
    return "mean"


def _json(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_bytes()) if path.is_file() else otherwise
