"""A project whose trainer returns a scikit-learn pipeline: trained, sealed, judged, replayed and served as any other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import typed_project
from noria.core.errors import UserMistake
from noria.loop.project import load_project
from projects import MODULE, edit, edited, write_project
from serving.test_server import BEING_WRITTEN, ROW, Running

PIPELINE = """
def squares(values):
    import numpy as np

    return np.hstack([values, values**2 / 100])


@nr.trainer
def logistic(train, *, seed, strength=1.0):
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    steps = SimpleImputer(), StandardScaler(), FunctionTransformer(squares), LogisticRegression(C=strength)
    return make_pipeline(*steps).fit(train.features, train.labels)


model = nr.Model("""
TRUSTED = edited(MODULE, {"model = nr.Model(": PIPELINE, "trainer=boosted": "trainer=logistic, trust=True"})


def noria(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "noria", *command], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("python") / "shop", TRUSTED)
    for command in (["ingest"], ["train", "--json"]):
        done = noria(folder, *command)
        assert done.returncode == 0, done.stderr
    return folder


def manifest(folder: Path) -> tuple[Path, dict[str, Any]]:
    [path] = folder.glob(".noria/objects/bundles/*/bundle.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return path.parent, found


def test_its_bundle_says_that_python_runs_it_and_needs_trust(shop: Path) -> None:
    folder, found = manifest(shop)
    assert (found["runtime"], found["trust"]) == ("python", True)
    assert "sklearn.pipeline.Pipeline runs in the Python runtime, loaded from its pickle" in (folder / "MODEL_CARD.md").read_text()
    assert "scikit-learn==" in (folder / "model" / "requirements.txt").read_text()


def test_check_says_that_it_is_trusted(shop: Path) -> None:
    assert "code in its bundles is trusted" in noria(shop, "check").stdout
    assert [model["trust"] for model in json.loads(noria(shop, "check", "--json").stdout)["models"]] == [True]


def test_training_says_so_while_it_runs(tmp_path: Path, shop: Path) -> None:
    copy = tmp_path / "shop"
    shutil.copytree(shop, copy, ignore=BEING_WRITTEN)
    edit(copy / "shop.py", {"strength=1.0": "strength=0.5"})
    done = noria(copy, "train")
    assert done.returncode == 0, done.stderr
    assert "runs in the Python runtime" in done.stdout + done.stderr
    assert "champion" in done.stdout  # a Python champion was asked, too
    assert len(list(copy.glob(".noria/objects/bundles/*/bundle.json"))) == 2


def test_it_is_served_and_its_predictions_are_explained(shop: Path) -> None:
    running = Running(shop)
    try:
        status, answer = running.ask("POST", "/predict/returns", {"rows": [ROW, {**ROW, "price": 80.0}], "keys": ["o00001", "o00002"]})
        assert status == 200, answer
        assert all(0 < value < 1 for value in answer["predictions"])
        explained = noria(shop, "explain", answer["ids"][0], "--json")
        assert json.loads(explained.stdout)["prediction"]["value"] == answer["predictions"][0], explained.stdout
    finally:
        running.kill()


def test_an_endpoint_says_what_a_call_of_its_model_may_take(tmp_path: Path) -> None:
    changes = {'nr.Endpoint("returns", model, ': 'nr.Endpoint("returns", model, deadline="250ms", '}
    folder = write_project(tmp_path / "shop", edited(TRUSTED, changes))
    assert load_project(folder).endpoint().deadline_seconds == 0.25
    edit(folder / "shop.py", {"250ms": "0s"})
    with pytest.raises(UserMistake, match="a model needs time to answer"):
        load_project(folder)


def test_without_trust_training_names_both_ways_out_and_registers_nothing(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "shop", edited(TRUSTED, {", trust=True": ""}))
    assert noria(folder, "ingest").returncode == 0
    done = noria(folder, "train")
    assert done.returncode == 2
    assert "NR-303" in done.stderr
    assert "trust=True" in done.stderr
    assert "onnx.ModelProto" in done.stderr
    assert not list(folder.glob(".noria/objects/bundles/*"))


def test_a_project_that_no_longer_trusts_its_model_does_not_open_it(tmp_path: Path, shop: Path) -> None:
    copy = tmp_path / "shop"
    shutil.copytree(shop, copy, ignore=BEING_WRITTEN)
    edit(copy / "shop.py", {", trust=True": ""})
    done = noria(copy, "serve", "--port", "0")
    assert done.returncode == 2
    assert "NR-333" in done.stderr
    assert "nr.Model(…, trust=True)" in done.stderr


def test_other_versions_are_refused_by_the_server_unless_the_project_allows_them(tmp_path: Path, shop: Path) -> None:
    copy = tmp_path / "shop"
    shutil.copytree(shop, copy, ignore=BEING_WRITTEN)
    bundle, found = manifest(copy)
    spec = json.loads((bundle / "model" / "python.json").read_text())
    reseal(copy, bundle, found, {**spec, "requirements": {**spec["requirements"], "scikit-learn": "0.1"}})
    done = noria(copy, "serve", "--port", "0")
    assert done.returncode == 2
    assert "NR-332" in done.stderr
    assert "scikit-learn is 1." in done.stderr
    with (copy / "noria.toml").open("a") as settings:
        settings.write('\n[serving]\nmodel_versions = "any"\n')
    running = Running(copy)
    try:
        assert running.ask("POST", "/predict/returns", {"rows": [ROW]})[0] == 200
    finally:
        running.kill()


MIXED = edited(
    typed_project.MODULE,
    {
        "model = nr.Model(": """
@nr.trainer
def pipeline(train, *, seed):
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    texts = OneHotEncoder(handle_unknown="ignore")
    numbers = make_pipeline(SimpleImputer(), FunctionTransformer(lambda x: np.hstack([x, x**2])))
    columns = [("texts", texts, ["city", "channel"]), ("numbers", numbers, ["visits_6h", "price"]), ("flag", "passthrough", ["express"])]
    return make_pipeline(ColumnTransformer(columns), LogisticRegression(max_iter=2000)).fit(train.to_pandas(), train.labels)


model = nr.Model(""",
        "trainer=handmade": "trainer=pipeline, trust=True",
        'gates=[nr.no_slice_worse("log_loss", over=["city", "express"], by=0.9)]': "gates=[]",
    },
)


def test_a_pipeline_of_texts_numbers_and_truth_values_is_trained_on_a_data_frame_and_served(tmp_path: Path) -> None:
    folder = typed_project.write_typed_project(tmp_path / "shop", MIXED)
    for command in (["ingest"], ["train", "--json"]):
        done = noria(folder, *command)
        assert done.returncode == 0, done.stderr
    bundle, found = manifest(folder)
    assert [each["type"] for each in found["signature"]["inputs"] if "type" in each] == ["int64", "string", "string", "bool"]
    sample = json.loads((bundle / "sample" / "requests.json").read_text())
    rows = [dict(zip(("visits_6h", "channel", "price", "city", "express"), row, strict=True)) for row in sample["inputs"]]
    running = Running(folder)
    try:
        status, answer = running.ask("POST", "/predict/returns", {"rows": rows})
        assert status == 200, answer
        assert answer["predictions"] == pytest.approx([answer for [answer] in sample["outputs"]], abs=1e-9)
        unseen = {**rows[0], "city": "nowhere", "channel": None, "visits_6h": None}
        status, answer = running.ask("POST", "/predict/returns", {"rows": [unseen, rows[0]]})
        assert (status, answer["predictions"][1]) == (200, pytest.approx(sample["outputs"][0][0], abs=1e-9))
    finally:
        running.kill()


def reseal(folder: Path, bundle: Path, found: dict[str, Any], spec: dict[str, Any]) -> None:
    """The champion as if it had been made elsewhere: another bundle, in the place of the one that is released."""
    import sqlite3

    from noria.core.ids import canonical_json, digest

    (bundle / "model" / "python.json").write_text(json.dumps(spec))
    found["files"]["model/python.json"] = digest((bundle / "model" / "python.json").read_bytes())
    text = canonical_json(found).encode()
    (bundle / "bundle.json").write_bytes(text)
    bundle.rename(bundle.with_name(digest(text)))
    with sqlite3.connect(folder / ".noria" / "catalog.db") as catalog:
        catalog.execute("UPDATE releases SET champion = ?", (digest(text),))
