"""What a model is run by, chosen by a short measurement on this machine: ONNX Runtime, OpenVINO or torch, in more or fewer bits.

A candidate counts only where its vectors are near those of full numbers, and find the same texts. The choice is kept with what it was
made on, so that it is made again when the machine or a library is another one.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from noria.core.clock import Stopwatch
from noria.core.files import LocalFiles
from noria.core.ids import digest
from noria.core.processes import usable_cores
from noria.llm.embedding.bert_graph import is_bert
from noria.llm.embedding.folder_embedder import FolderEmbedder
from noria.llm.embedding.graphs import graph_of, own_graph, source_sha256
from noria.llm.embedding.onnx_embedder import OnnxEmbedder
from noria.llm.embedding.openvino_embedder import OpenVinoEmbedder
from noria.llm.embedding.openvino_folder import Numbers
from noria.llm.embedding.port import NotAnEmbedder, Vectors
from noria.llm.embedding.sample import sample_pairs
from noria.llm.embedding.torch_embedder import TorchEmbedder

logger = logging.getLogger("noria.llm")

Runtime = Literal["onnx", "onnx-int8", "openvino", "openvino-bf16", "torch", "torch-bf16"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
VERSION = 2  # of this measurement: another one asks again
ROUNDS = 3  # of which the quickest counts: what else the machine does only ever slows one down
MIN_COSINE, MAX_LOSS = 0.98, 0.01  # of a text's vector to that of full numbers; of the mean reciprocal rank on the sample
Settings = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """One runtime on this machine. texts_per_second: of the sample; cosine: the least to full numbers; rank_loss: relative, of the mean
    reciprocal rank; refused: why it does not count, empty where it does"""

    runtime: Runtime
    texts_per_second: float
    cosine: float = 1.0
    rank_loss: float = 0.0
    refused: str = ""


@dataclass(frozen=True)
class Choice:
    """The runtime of a model on this machine. made_on: the machine and the libraries"""

    runtime: Runtime
    measured: tuple[Measured, ...]
    made_on: dict[str, str]

    def __str__(self) -> str:
        rows = [
            f"{each.runtime} {each.texts_per_second:.0f} texts/s" + (f" ({each.refused})" if each.refused else "") for each in self.measured
        ]
        return f"{self.runtime}, of {', '.join(rows)}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def default_cache() -> Path:
    """Where graphs and choices are kept if nothing else is said: the user's cache folder (XDG Base Directory)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noria" / "embedding"


def possible(folder: Path) -> list[Runtime]:
    """The runtimes that can run a folder's model here, the first in full numbers. Raises `NotAnEmbedder` where none can."""
    graph = own_graph(folder) is not None or is_bert(folder)
    weights = any(folder.glob("*.safetensors"))
    torch = weights and all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers"))
    found: list[Runtime] = []
    if graph:
        found += ["onnx", "onnx-int8"] if importlib.util.find_spec("onnx") is not None else ["onnx"] if own_graph(folder) else []
    if graph and importlib.util.find_spec("openvino") is not None and (own_graph(folder) or "onnx" in found):
        found += ["openvino", "openvino-bf16"]
    if torch:
        found += ["torch", "torch-bf16"]
    if not found:
        why = (
            "no model.onnx, and no weights that can be run" if not weights else "weights alone, which need torch and transformers, or onnx"
        )
        raise NotAnEmbedder(folder, f"it has {why}")
    return found


def opened(folder: Path, runtime: Runtime, cache: Path, settings: Settings) -> FolderEmbedder:
    """The embedder of a folder by one runtime. The graph is made once, and kept in the cache."""
    if runtime == "torch":
        return TorchEmbedder(folder, **settings)
    if runtime == "torch-bf16":
        return TorchEmbedder(folder, numbers="bfloat16", **settings)
    if runtime in ("openvino", "openvino-bf16"):
        numbers: Numbers = "float32" if runtime == "openvino" else "bfloat16"
        return OpenVinoEmbedder(folder, graph=graph_of(folder, "float", cache), numbers=numbers, **settings)
    return OnnxEmbedder(folder, graph=graph_of(folder, "onnx-int8" if runtime == "onnx-int8" else "onnx", cache), **settings)


def chosen(folder: Path, cache: Path, settings: Settings) -> Choice:
    """The runtime of a folder's model: as it was chosen before on this machine, or by measuring those that there are."""
    runtimes = possible(folder)
    return kept_choice(
        [source_sha256(folder), settings],
        runtimes,
        cache,
        lambda: measure(runtimes, lambda runtime: opened(folder, runtime, cache, settings)),
    )


def kept_choice(of: list[Any], runtimes: list[Runtime], cache: Path, measured: Callable[[], list[Measured]]) -> Choice:
    """The quickest of the runtimes that count, which is measured once for what it is the choice of, the machine and the libraries."""
    made_on = _machine()
    kept = cache / "choices" / f"{digest([VERSION, of, runtimes, made_on])[:32]}.json"
    if kept.is_file():
        try:
            read = json.loads(kept.read_bytes())
            return Choice(read["runtime"], tuple(Measured(**each) for each in read["measured"]), read["made_on"])
        except (ValueError, KeyError, TypeError):
            logger.warning("the choice in %s can't be read, and is made again", kept)
    if len(runtimes) == 1 or not sample_pairs():
        return Choice(runtimes[0], (), made_on)
    found = measured()
    fit = [each for each in found if not each.refused]
    choice = Choice(max(fit, key=lambda each: each.texts_per_second).runtime, tuple(found), made_on)
    kept.parent.mkdir(parents=True, exist_ok=True)
    LocalFiles().write(kept, json.dumps(choice.to_dict()).encode())
    logger.info("run by %s", choice)
    return choice


def measure(runtimes: list[Runtime], open_: Callable[[Runtime], FolderEmbedder]) -> list[Measured]:
    """Each runtime on the same texts, in turns, against the first, which has full numbers. One that can't run the model is refused."""
    pairs = sample_pairs()
    questions, texts = [question for question, _ in pairs], [text for _, text in pairs]
    embedders, vectors, failed = dict[Runtime, FolderEmbedder](), dict[Runtime, Vectors](), dict[Runtime, str]()
    for runtime in runtimes:
        try:
            embedder = open_(runtime)
            vectors[runtime] = embedder.embed(texts[:8])  # what is loaded, and made ready, at first
            embedders[runtime] = embedder
        except NotAnEmbedder as error:
            if runtime == runtimes[0]:  # which the others are judged by
                raise
            failed[runtime] = error.what
    seconds = dict.fromkeys(embedders, float("inf"))
    for _ in range(ROUNDS):
        for runtime, embedder in embedders.items():
            watch = Stopwatch()
            vectors[runtime] = embedder.embed(texts)
            seconds[runtime] = min(seconds[runtime], watch.seconds)
    full = runtimes[0]
    asked = {runtime: np.stack([embedder.embed_query(text) for text in questions]) for runtime, embedder in embedders.items()}
    best = _reciprocal_rank(asked[full], vectors[full])
    found = []
    for runtime in runtimes:
        if runtime in failed:
            found.append(Measured(runtime, 0.0, 0.0, 1.0, failed[runtime]))
            continue
        cosine = float((vectors[runtime] * vectors[full]).sum(axis=1).min())
        loss = 1 - _reciprocal_rank(asked[runtime], vectors[runtime]) / best
        refused = "other vectors" if not cosine >= MIN_COSINE else "finds less" if loss > MAX_LOSS else ""
        found.append(Measured(runtime, round(len(texts) / seconds[runtime], 2), round(cosine, 5), round(loss, 5), refused))
    return found


def _reciprocal_rank(asked: Vectors, vectors: Vectors) -> float:
    """The mean of 1 / the place at which each question finds its own text."""
    scores = asked @ vectors.T
    return float(np.mean(1 / (1 + (scores > np.diag(scores)[:, None]).sum(axis=1))))


def _machine() -> dict[str, str]:
    """What a measurement depends on beside the model."""
    found = {"machine": platform.machine(), "processor": _processor(), "cores": str(usable_cores()), "python": platform.python_version()}
    for name in ("onnxruntime", "openvino", "torch", "transformers", "tokenizers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """The processor's name and its vector extensions."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = sorted(flag for flag in said.get("flags", "").split() if flag.startswith(("avx", "amx")))
    return f"{said.get('model name', platform.processor())} {digest(flags)[:8]}"
