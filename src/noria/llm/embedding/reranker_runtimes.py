"""What a reranker is run by, chosen as an embedder's runtime is: by a short measurement on this machine, among those that judge alike.

A graph that was quantized dynamically is run in full numbers or in eight bits of our own kind, so that a score depends on its pair alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import Stopwatch
from noria.llm.embedding.graphs import graph_of, source_sha256
from noria.llm.embedding.onnx_reranker import OnnxReranker, OpenVinoReranker
from noria.llm.embedding.port import NotAnEmbedder
from noria.llm.embedding.runtimes import Choice, Measured, Runtime, kept_choice
from noria.llm.embedding.sample import sample_pairs

QUESTIONS, TEXTS, LETTERS, ROUNDS = 8, 4, 400, 2  # each question with its own text and three others, of so many letters
RERANKER_RUNTIMES: tuple[Runtime, ...] = ("onnx", "onnx-int8", "openvino", "openvino-bf16")
MIN_CORRELATION = 0.99  # of the scores with those of full numbers


def possible_rerankers() -> list[Runtime]:
    """Those that can run a reranker here, the first in full numbers."""
    found: list[Runtime] = ["onnx"]
    if importlib.util.find_spec("onnx") is not None:
        found.append("onnx-int8")
    if importlib.util.find_spec("openvino") is not None:
        found += ["openvino", "openvino-bf16"]
    return found


def opened_reranker(folder: Path, runtime: Runtime, cache: Path, settings: dict[str, Any]) -> OnnxReranker:
    """The reranker of a folder by one runtime."""
    if runtime == "openvino":
        return OpenVinoReranker(folder, graph=graph_of(folder, "float", cache), numbers="float32", **settings)
    if runtime == "openvino-bf16":
        return OpenVinoReranker(folder, graph=graph_of(folder, "float", cache), **settings)
    graph = graph_of(folder, "onnx-int8" if runtime == "onnx-int8" else "float", cache)
    return OnnxReranker(folder, graph=graph, **settings)


def chosen_reranker(folder: Path, cache: Path, settings: dict[str, Any]) -> Choice:
    """The runtime of a folder's reranker: as it was chosen before on this machine, or by measuring those that there are."""
    runtimes = possible_rerankers()
    return kept_choice(
        ["reranker", source_sha256(folder), settings],
        runtimes,
        cache,
        lambda: measure_rerankers(runtimes, lambda runtime: opened_reranker(folder, runtime, cache, settings)),
    )


def measure_rerankers(runtimes: list[Runtime], open_: Callable[[Runtime], OnnxReranker]) -> list[Measured]:
    """Each runtime on the same pairs, in turns, against the first, which has full numbers. One that can't run the model is refused."""
    sample = sample_pairs()[:QUESTIONS]
    pairs = [(sample[i][0], sample[(i + j) % len(sample)][1][:LETTERS]) for i in range(len(sample)) for j in range(TEXTS)]
    rerankers, failed = dict[Runtime, OnnxReranker](), dict[Runtime, str]()
    for runtime in runtimes:
        try:
            reranker = open_(runtime)
            reranker.of_pairs(pairs[:TEXTS])  # what is loaded, and made ready, at first
            rerankers[runtime] = reranker
        except NotAnEmbedder as error:
            if runtime == runtimes[0]:  # which the others are judged by
                raise
            failed[runtime] = error.what
    seconds, scores = dict.fromkeys(rerankers, float("inf")), dict[Runtime, NDArray[np.float32]]()
    for _ in range(ROUNDS):
        for runtime, reranker in rerankers.items():
            watch = Stopwatch()
            scores[runtime] = reranker.of_pairs(pairs)
            seconds[runtime] = min(seconds[runtime], watch.seconds)
    full = scores[runtimes[0]]
    found = []
    for runtime in runtimes:
        if runtime in failed:
            found.append(Measured(runtime, 0.0, 0.0, 1.0, failed[runtime]))
            continue
        alike = _correlation(scores[runtime], full)
        refused = "" if alike >= MIN_CORRELATION else "other scores"
        found.append(Measured(runtime, round(len(pairs) / seconds[runtime], 2), round(alike, 5), 0.0, refused))
    return found


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if np.array_equal(one, other):
        return 1.0
    return float(np.nan_to_num(np.corrcoef(one, other)[0, 1]))
