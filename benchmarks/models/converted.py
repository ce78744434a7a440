"""The same scikit-learn pipeline as ONNX and in the Python runtime, over REST: python -m benchmarks.models.converted

A pipeline of texts, whole numbers and numbers of which some are unknown, one row a request, at one connection and at 64.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figure import Figure, Proof
from benchmarks.models.pipeline import SIGNATURE, listed, stays, write_bodies
from benchmarks.serving.model import LINEAGE
from benchmarks.serving.prove import load, ours, told
from noria.core.files import LocalFiles
from noria.data.rows import Rows
from noria.models.bundle import CARD_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.export import Exported, Wanted, export
from noria.models.export.python import PythonExporter
from noria.models.runtimes.columns import Columns

GOAL = 3.0  # times as many requests


def prove() -> Proof:
    asked = Rows.of_values(SIGNATURE.inputs, [tuple(row.values()) for row in listed(500, 1)])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bodies = write_bodies(folder / "bodies.txt")
        for name, model in _fitted().items():
            wanted = Wanted(SIGNATURE, asked, (0.0, 1.0), trust=True)
            ways = {"ONNX": export(model, wanted), "Python": PythonExporter().export(model, wanted)}
            yield Figure(f"{name}_is_onnx", ways["ONNX"].runtime == "onnx", "", "=", 1)
            found: dict[tuple[str, int], float] = {}
            for way, exported in ways.items():
                bundle = _bundle(folder / f"{name}-{way}", exported, asked.part(0, 8), model)
                with ours(folder, bundle.path, "trust=yes", "durability=process", "budget_ms=2000") as where:
                    for connections in (1, 64):
                        measured = load(where["port"], "/predict/bench", bodies, connections)
                        found[way, connections] = measured["rate"]
                        yield told(f"{name} as {way}, {connections} connections", measured)
            for connections in (1, 64):
                ratio = found["ONNX", connections] / found["Python", connections]
                yield Figure(f"{name}_onnx_against_python_at_{connections}", ratio, "times as many requests", ">=", GOAL)


def _fitted() -> dict[str, Any]:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = stays(5_000)
    dear = (table.nights * table.price.fillna(90) > 800) * 1
    city = OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]
    scaled = make_pipeline(SimpleImputer(), StandardScaler()), ["nights", "price"]
    return {
        "logistic": make_pipeline(make_column_transformer(city, scaled), LogisticRegression()).fit(table, dear),
        "boosted": make_pipeline(
            make_column_transformer(city, ("passthrough", ["nights", "price"])), HistGradientBoostingClassifier(max_iter=50, random_state=0)
        ).fit(table, dear),
    }


def _bundle(root: Path, exported: Exported, rows: Rows, model: Any) -> Bundle:
    answers = np.asarray(model.predict_proba(Columns(rows).frame()))[:, 1:]
    sample = {"inputs": [list(row) for row in rows.values()], "outputs": answers.tolist()}
    contents = {**exported.files, SAMPLE_FILE: json.dumps(sample).encode(), PROFILE_FILE: b"{}", CARD_FILE: b"# bench\n"}
    facts: dict[str, Any] = {"task": {}, "feature_set": "bench", "definition_hash": "", "run": "", "metrics": {}, "environment": {}}
    manifest = Manifest(
        name="bench", runtime=exported.runtime, signature=SIGNATURE, lineage=LINEAGE, files={}, trust=exported.trust, **facts
    )
    root.mkdir(parents=True)
    return write_bundle(root, manifest, contents, LocalFiles())


if __name__ == "__main__":
    for line in prove():
        print(line)
