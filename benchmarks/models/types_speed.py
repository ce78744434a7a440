"""Texts among the features beside numbers alone: python -m benchmarks.models.types_speed

Both models are the same trees over twenty numbers; one gets them as numbers, the other gets ten as texts, which its graph encodes first.
Both are asked in plain JSON at 64 connections, a row each, every prediction in the log (`durability=process`), and in turns: the server has
one core and the client the other, and the median of the ratios counts.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figure import Figure, Proof
from benchmarks.serving.model import LINEAGE
from benchmarks.serving.prove import Load, load, ours, told
from noria.core.files import LocalFiles
from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Rows
from noria.models.bundle import CARD_FILE, MODEL_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.export import to_onnx
from noria.models.runtimes.onnx import OnnxModel

FEATURES, TEXTS, VALUES = 20, 10, 12
ROUNDS = 3
CONNECTIONS = 64
GOAL = 0.5
NAMES = [f"f{i}" for i in range(FEATURES)]
WORDS = [f"value {number}" for number in range(VALUES)]
NUMBERS = Signature(tuple(Field(name) for name in NAMES), (SCORE,))
TYPED = Signature(tuple(Field(name, "string" if i < TEXTS else "float32") for i, name in enumerate(NAMES)), (SCORE,))


def prove() -> Proof:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        trees = train()
        kinds = {"numbers": NUMBERS, "half texts": TYPED}
        bundles = {kind: make_bundle(folder / "bundles", signature, trees) for kind, signature in kinds.items()}
        bodies = {kind: write_bodies(folder / f"{kind}.txt", signature) for kind, signature in kinds.items()}
        found: dict[str, list[Load]] = {}
        for _ in range(ROUNDS):
            for kind, bundle in bundles.items():
                with ours(folder, bundle.path, "durability=process") as where:
                    found.setdefault(kind, []).append(load(where["port"], "/predict/bench", bodies[kind], CONNECTIONS))
        for kind, loads in found.items():
            yield told(f"{FEATURES} features, {kind}", sorted(loads, key=lambda x: x["rate"])[len(loads) // 2])
        ratio = median(typed["rate"] / plain["rate"] for typed, plain in zip(found["half texts"], found["numbers"], strict=True))
        yield Figure("texts_against_numbers", ratio, "of the requests/s", ">=", GOAL)
        yield Figure("types_speed_errors", sum(x["errors"] + x["lost"] for loads in found.values() for x in loads), "", "=", 0)


def rows_of(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows of numbers `(rows, features)`, the first of which stand for texts."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, FEATURES)).round(4)
    rows[:, :TEXTS] = rng.integers(0, VALUES, (count, TEXTS))
    return rows.astype(np.float32)


def train() -> bytes:
    import lightgbm

    x = rows_of(20_000, 0)
    y = (x[:, -1] + (x[:, 0] - 5) * x[:, -2] + np.random.default_rng(1).normal(size=len(x)) > 0).astype(int)
    settings = {"objective": "binary", "num_leaves": 31, "verbose": -1, "seed": 0, "num_threads": 2}
    return to_onnx(lightgbm.train(settings, lightgbm.Dataset(x, y), 100), features=FEATURES, check=x[:200])


def encoded(trees: bytes) -> bytes:
    """The same trees behind an input for each feature, of which the texts are encoded as their numbers."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_from_string(trees)
    block, nodes, inputs = model.graph.input[0].name, [], []
    for place, name in enumerate(NAMES):
        inputs.append(helper.make_tensor_value_info(name, TensorProto.STRING if place < TEXTS else TensorProto.FLOAT, [None, 1]))
        if place < TEXTS:
            codes = {"keys_strings": WORDS, "values_floats": [float(code) for code in range(VALUES)], "default_float": float("nan")}
            nodes.append(helper.make_node("LabelEncoder", [name], [f"{name}_code"], domain="ai.onnx.ml", **codes))
    columns = [f"{name}_code" if place < TEXTS else name for place, name in enumerate(NAMES)]
    nodes.append(helper.make_node("Concat", columns, [block], axis=1))
    graph = helper.make_graph([*nodes, *model.graph.node], "encoded", inputs, model.graph.output, model.graph.initializer)
    opsets = [
        helper.make_opsetid(each.domain, max(each.version, 2)) for each in model.opset_import
    ]  # from 2 on, texts are encoded as floats
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version).SerializeToString())


def listed(signature: Signature, count: int, seed: int) -> list[list[Any]]:
    rows = rows_of(count, seed).tolist()
    if signature is NUMBERS:
        return rows
    return [[WORDS[int(value)] if place < TEXTS else value for place, value in enumerate(row)] for row in rows]


def make_bundle(root: Path, signature: Signature, trees: bytes) -> Bundle:
    model = trees if signature is NUMBERS else encoded(trees)
    rows = listed(signature, 8, 2)
    answers = OnnxModel(model, signature=signature).answer(Rows.of_values(signature.inputs, rows)).values()
    sample = {"inputs": rows, "outputs": answers}
    contents = {MODEL_FILE: model, SAMPLE_FILE: json.dumps(sample).encode(), PROFILE_FILE: b"{}", CARD_FILE: b"# bench\n"}
    facts: dict[str, Any] = {"task": {}, "feature_set": "bench", "definition_hash": "", "run": "types", "metrics": {}, "environment": {}}
    root.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(name="bench", runtime="onnx", signature=signature, lineage=LINEAGE, files={}, **facts)
    return write_bundle(root, manifest, contents, LocalFiles())


def write_bodies(path: Path, signature: Signature, count: int = 512) -> Path:
    """Requests for one row each, as lines."""
    path.write_text("\n".join(json.dumps({"rows": [dict(zip(NAMES, row, strict=True))]}) for row in listed(signature, count, 7)))
    return path


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    for line in prove():
        print(line, flush=True)
