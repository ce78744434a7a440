"""The model that both servers answer with: a scikit-learn pipeline of numbers and texts with a function of its own; and requests for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.serving.model import LINEAGE
from noria.core.files import LocalFiles
from noria.core.signature import SCORE, Field, Signature
from noria.data.rows import Rows
from noria.models.bundle import CARD_FILE, PROFILE_FILE, SAMPLE_FILE, Bundle, Manifest, write_bundle
from noria.models.export import Wanted, export
from noria.models.runtimes.python_spec import FILES_FOLDER

SIGNATURE = Signature((Field("nights", "int64"), Field("city", "string"), Field("price", "float64")), (SCORE,))
CITIES = ("Köln", "Ulm", "Wien", "Bern", "Graz", "Linz")


def per_night(values: Any) -> Any:
    table = np.asarray(values, float)
    return np.column_stack([table, np.log1p(table[:, 1]) / np.maximum(table[:, 0], 1)])


def stays(count: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    price = np.where(rng.random(count) < 0.1, np.nan, rng.uniform(20, 400, count)).round(2)
    return pd.DataFrame({"nights": rng.integers(1, 15, count), "city": rng.choice(CITIES, count), "price": price})


def fitted() -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    table = stays(5_000)
    numbers = make_pipeline(SimpleImputer(), FunctionTransformer(per_night))
    city = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("numbers", numbers, ["nights", "price"]), ("city", city, ["city"])])
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=50, random_state=0))
    return model.fit(table, (table.nights * table.price.fillna(90) > 800) * 1)


def listed(count: int, seed: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(stays(count, seed).to_json(orient="records"))  # NaN is null
    return rows


def make_bundle(root: Path) -> tuple[Bundle, Path]:
    """A sealed bundle, and the pickle in it."""
    model, rows = fitted(), listed(64, 1)
    asked = Rows.of_values(SIGNATURE.inputs, [tuple(row.values()) for row in rows])
    exported = export(model, Wanted(SIGNATURE, asked, (0.0, 1.0), trust=True))
    with_nan = pd.DataFrame(rows[:8]).astype({"price": float})
    sample = {"inputs": [list(row.values()) for row in rows[:8]], "outputs": model.predict_proba(with_nan)[:, 1:].tolist()}
    contents = {**exported.files, SAMPLE_FILE: json.dumps(sample).encode(), PROFILE_FILE: b"{}", CARD_FILE: b"# bench\n"}
    facts: dict[str, Any] = {"task": {}, "feature_set": "bench", "definition_hash": "", "run": "", "metrics": {}, "environment": {}}
    manifest = Manifest(name="bench", runtime="python", signature=SIGNATURE, lineage=LINEAGE, files={}, trust=True, **facts)
    root.mkdir(parents=True, exist_ok=True)
    bundle = write_bundle(root, manifest, contents, LocalFiles())
    return bundle, bundle.file(FILES_FOLDER) / "model.pickle"


def write_bodies(path: Path, count: int = 512) -> Path:
    """Requests for one row each, as lines."""
    path.write_text("\n".join(json.dumps({"rows": [row]}) for row in listed(count, 7)))
    return path
