"""The model that every server here answers with: LightGBM on 30 features, as a bundle; and requests for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from noria.core.files import LocalFiles
from noria.models.bundle import CARD_FILE, MODEL_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.export import to_onnx
from noria.models.runtime import OnnxModel

FEATURES = 30
NAMES = [f"f{i}" for i in range(FEATURES)]


def make_bundle(root: Path, *, trees: int = 100, seed: int = 0) -> Bundle:
    import lightgbm

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20_000, FEATURES)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=len(x)) > 0).astype(int)
    settings = {"objective": "binary", "num_leaves": 31, "verbose": -1, "seed": seed, "num_threads": 2}
    booster = lightgbm.train(settings, lightgbm.Dataset(x, y), trees)
    model = to_onnx(booster, features=FEATURES, check=x[:200])
    sample = {"features": x[:8].tolist(), "predictions": OnnxModel(model).predict(x[:8]).tolist()}
    contents = {MODEL_FILE: model, SAMPLE_FILE: json.dumps(sample).encode(), PROFILE_FILE: b"{}", CARD_FILE: b"# bench\n"}
    manifest = Manifest(1, "bench", "onnx", NAMES, "bench", "", f"seed {seed}", {}, {}, {}, {})
    root.mkdir(parents=True, exist_ok=True)
    return write_bundle(root, manifest, contents, LocalFiles())


def write_bodies(path: Path, count: int = 512) -> Path:
    """Requests for one row each, as lines."""
    rows = np.random.default_rng(7).normal(size=(count, FEATURES)).round(4)
    path.write_text("\n".join(json.dumps({"rows": [dict(zip(NAMES, row.tolist(), strict=True))]}) for row in rows))
    return path
