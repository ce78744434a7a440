"""The model that every server here answers with: LightGBM on 30 features, as a bundle; and requests for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from noria.core.clock import Stopwatch
from noria.core.files import LocalFiles
from noria.core.signature import Signature
from noria.models.bundle import CARD_FILE, MODEL_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.export import to_onnx
from noria.models.lineage import LabelOf, Lineage
from noria.models.runtimes.onnx import OnnxModel

FEATURES = 30
NEVER = datetime(2000, 1, 1, tzinfo=UTC)
NAMES = [f"f{i}" for i in range(FEATURES)]
LINEAGE = Lineage(tables=(), label=LabelOf("t", "c"), start=NEVER, as_of=NEVER, training_set="", rows={}, trainer_code="", parameters={})


def make_bundle(root: Path, *, trees: int = 100, seed: int = 0, definition_hash: str = "") -> Bundle:
    import lightgbm

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20_000, FEATURES)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=len(x)) > 0).astype(int)
    settings = {"objective": "binary", "num_leaves": 31, "verbose": -1, "seed": seed, "num_threads": 2}
    booster = lightgbm.train(settings, lightgbm.Dataset(x, y), trees)
    model = to_onnx(booster, features=FEATURES, check=x[:200])
    return seal(root, model, x[:8], f"seed {seed}", definition_hash)


def seal(root: Path, model: bytes, rows: np.ndarray, run: str, definition_hash: str = "") -> Bundle:
    """A bundle of a model, with its answers to some rows as its sample."""
    sample = {"inputs": rows.tolist(), "outputs": OnnxModel(model).predict(rows)[:, None].tolist()}
    contents = {MODEL_FILE: model, SAMPLE_FILE: json.dumps(sample).encode(), PROFILE_FILE: b"{}", CARD_FILE: b"# bench\n"}
    manifest = Manifest(
        name="bench",
        runtime="onnx",
        signature=Signature.of_numbers(NAMES),
        task={},
        feature_set="bench",
        definition_hash=definition_hash,
        run=run,
        lineage=LINEAGE,
        metrics={},
        environment={},
        files={},
    )
    root.mkdir(parents=True, exist_ok=True)
    return write_bundle(root, manifest, contents, LocalFiles())


def write_bodies(path: Path, count: int = 512) -> Path:
    """Requests for one row each, as lines."""
    rows = np.random.default_rng(7).normal(size=(count, FEATURES)).round(4)
    path.write_text("\n".join(json.dumps({"rows": [dict(zip(NAMES, row.tolist(), strict=True))]}) for row in rows))
    return path


def write_tensors(path: Path, count: int = 512) -> Path:
    """The same requests in the Open Inference Protocol."""
    rows = np.random.default_rng(7).normal(size=(count, FEATURES)).round(4)
    tensors = [{"inputs": [{"name": "features", "shape": [1, FEATURES], "datatype": "FP32", "data": row.tolist()}]} for row in rows]
    path.write_text("\n".join(json.dumps(tensor) for tensor in tensors))
    return path


def make_slow_bundle(root: Path) -> tuple[Bundle, float]:
    """A network whose call costs about a millisecond, most of it whatever the number of rows; and what it costs, in milliseconds."""
    for layers in range(2, 40):
        model = _network([FEATURES, *[1536] * layers, 1])
        milliseconds = _cost(model)
        if milliseconds > 0.9:
            break
    return seal(root, model, np.random.default_rng(1).normal(size=(8, FEATURES)).astype(np.float32), "slow"), milliseconds


def _network(sizes: list[int]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    rng, nodes, constants, name = np.random.default_rng(0), [], [], "features"
    for layer, (wide, out) in enumerate(pairwise(sizes)):
        weights = rng.normal(scale=wide**-0.5, size=(wide, out)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Tanh" if out > 1 else "Sigmoid", [f"m{layer}"], [f"o{layer}"]))
        name = f"o{layer}"
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, FEATURES])]
    graph = helper.make_graph(nodes, "slow", inputs, [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1])], constants)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString())


def _cost(model: bytes) -> float:
    scorer, row = OnnxModel(model), np.zeros((1, FEATURES), np.float32)
    watch = Stopwatch()
    for _ in range(200):
        scorer.predict(row)
    return 5 * watch.seconds


def make_spinning_bundle(root: Path) -> Bundle:
    """A model whose call costs two milliseconds or so of arithmetic and next to no memory traffic: what cores scale."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    turn = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Sin", ["before"], ["after"])],
        "turn",
        [value("i", TensorProto.INT64, []), value("on", TensorProto.BOOL, []), value("before", TensorProto.FLOAT, [None, FEATURES])],
        [value("still", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, [None, FEATURES])],
    )
    turns = helper.make_node("Constant", [], ["turns"], value=helper.make_tensor("t", TensorProto.INT64, [], [2000]))
    on = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("b", TensorProto.BOOL, [], [True]))
    nodes = [turns, on, helper.make_node("Loop", ["turns", "yes", "features"], ["scores"], body=turn)]
    graph = helper.make_graph(
        nodes, "spinning", [value("features", TensorProto.FLOAT, [None, FEATURES])], [value("scores", TensorProto.FLOAT, [None, FEATURES])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()
    return seal(root, bytes(model), np.random.default_rng(1).normal(size=(8, FEATURES)).astype(np.float32), "spinning")
