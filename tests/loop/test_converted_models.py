"""A project whose trainer is a scikit-learn estimator that converts: trained without trust, sealed as ONNX, and served with nulls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import typed_project
from loop.test_python_models import manifest, noria
from projects import edited
from serving.test_server import Running

MIXED = edited(
    typed_project.MODULE,
    {
        "model = nr.Model(": """
from sklearn.linear_model import LogisticRegression

model = nr.Model(""",
        "trainer=handmade": "trainer=nr.sklearn(LogisticRegression(max_iter=2000))",
        'gates=[nr.no_slice_worse("log_loss", over=["city", "express"], by=0.9)]': "gates=[]",
    },
)
NAMES = ("visits_6h", "channel", "price", "city", "express")


def test_an_estimator_that_converts_needs_no_trust_and_is_served_with_what_is_unknown(tmp_path: Path) -> None:
    folder = typed_project.write_typed_project(tmp_path / "shop", MIXED)
    for command in (["ingest"], ["train", "--json"]):
        done = noria(folder, *command)
        assert done.returncode == 0, done.stderr
    bundle, found = manifest(folder)
    assert (found["runtime"], found.get("trust", False)) == ("onnx", False)
    assert not list(bundle.rglob("*.pickle"))
    sample: dict[str, Any] = json.loads((bundle / "sample" / "requests.json").read_text())
    rows = [dict(zip(NAMES, row, strict=True)) for row in sample["inputs"]]
    running = Running(folder)
    try:
        status, answer = running.ask("POST", "/predict/returns", {"rows": rows})
        assert status == 200, answer
        assert answer["predictions"] == pytest.approx([answer for [answer] in sample["outputs"]], abs=1e-6)
        unseen = {**rows[0], "city": "nowhere"}
        unknown = {**unseen, "city": None}
        other = {**rows[0], "visits_6h": None, "channel": None, "price": None}
        status, answer = running.ask("POST", "/predict/returns", {"rows": [unseen, unknown, other]})
        assert status == 200, answer
        assert answer["predictions"][0] == answer["predictions"][1]  # neither is a city that it was fitted on
        status, alone = running.ask("POST", "/predict/returns", {"rows": [unknown]})
        assert alone["predictions"][0] == pytest.approx(answer["predictions"][1], abs=1e-9)
    finally:
        running.kill()
