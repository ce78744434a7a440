"""Quantiles of a number, from labels to answers over HTTP: trained as one graph or in Python, gated, watched for coverage, retrained."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.monitoring.recorded import windows_of
from noria.release.releases import current_release
from noria.stores.workspace import Workspace
from projects import MODULE, SETTINGS, edited, write_project

CHANGES = {
    'nr.Label(returns, "returned", matures="30h"), trainer=boosted, holdout="7d",': (
        'nr.Label(returns, "refund", matures="30h"), trainer=boosted, holdout="7d", '
        'task=nr.Regression(unit="EUR", quantiles=(0.1, 0.5, 0.9)),'
    ),
    'contract=nr.Contract(not_null=["returned"])': 'contract=nr.Contract(not_null=["refund"])',
    '"objective": "binary"': '"objective": "quantile"',
    "return lightgbm.train(parameters, lightgbm.Dataset(train.features, train.labels), num_boost_round=rounds)": (
        "data = lightgbm.Dataset(train.features, train.labels)\n"
        '    return {q: lightgbm.train({**parameters, "alpha": q}, data, num_boost_round=rounds) for q in (0.1, 0.5, 0.9)}'
    ),
    'nr.beats_champion("log_loss", by=-0.2), nr.no_slice_worse("log_loss", over=["city"], by=0.5)': (
        'nr.beats_champion("pinball_loss", by=-20), nr.no_slice_worse("absolute_error", over=["city"], by=100)'
    ),
    "margin=0.1)": 'margin=20, metric="pinball_loss")',
    'nr.Tolerance("log_loss", by=0.05)': 'nr.Tolerance("coverage", by=0.1), nr.Tolerance("quantile_bias", by=0.1)',
}
SPAN = {"2024-02-10T00:00:00Z": "2024-02-24T00:00:00Z", "2024-03-28T00:00:00Z": "2024-03-14T00:00:00Z"}
ROW = {"visits_6h": 3.0, "seconds_6h": 40.5, "seconds": None, "price": 40.0, "twice": 80.0}


def project(folder: Path, changes: dict[str, str]) -> Path:
    """What is paid back hangs on the price; from day 60 on it strays from that four times as far."""
    write_project(folder, edited(MODULE, changes), edited(SETTINGS, SPAN))
    price = pq.read_table(folder / "data" / "orders.parquet")["price"].to_numpy()
    returns = pq.read_table(folder / "data" / "returns.parquet")
    spread = np.where(np.arange(len(price)) >= len(price) * 60 // 90, 12.0, 3.0)
    refund = 0.5 * price + spread * np.random.default_rng(5).normal(size=len(price))
    pq.write_table(returns.append_column("refund", pa.array(refund)), folder / "data" / "returns.parquet")
    return folder


def noria(folder: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--project", str(folder)])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return json.loads(done.stdout) if "--json" in words else done.stdout


def answered(folder: Path) -> dict[str, Any]:
    """What a server says of one row."""
    command = [sys.executable, "-m", "noria", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        asked = json.dumps({"rows": [ROW], "keys": ["o00001"]}).encode()
        with urllib.request.urlopen(f"http://{where['host']}:{where['port']}/predict/returns", asked, timeout=10) as response:
            found: dict[str, Any] = json.loads(response.read())
        process.terminate()
        process.communicate(timeout=20)
    return found


@contextmanager
def opened(folder: Path) -> Iterator[EndpointContext]:
    shop = load_project(folder)
    endpoint = shop.endpoint()
    context = EndpointContext.open(shop, Workspace.of(folder, shop.settings), endpoint, Policy.declared(shop, endpoint))
    yield context
    context.stores.catalog.close()


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("quantiles") / "shop", CHANGES)
    for command in ("check", "ingest", "replay"):
        noria(folder, command)
    return folder


def test_outcomes_that_stray_farther_are_found_by_coverage(replayed: Path) -> None:
    told = json.loads((replayed / "report.json").read_text())
    trained = [d for d in told["decisions"] if d["action"] == "train"]
    assert [d["reason"].startswith("regression: coverage") for d in trained] == [False] + [True] * (len(trained) - 1)
    assert len(trained) > 1
    first = next(d["subject"] for d in told["decisions"] if d["action"] == "promote")
    changed = datetime(2024, 3, 1, tzinfo=UTC)  # day 60
    with opened(replayed) as context:
        windows = [w for w in windows_of(context, first, datetime(2024, 2, 24, tzinfo=UTC)) if w.performance and w.performance.rows]
        before, after = ([w.performance for w in windows if w.performance and (w.start < changed) == early] for early in (True, False))
    assert abs(np.mean([p.figures["coverage"] for p in before])) < 0.1
    assert np.mean([p.figures["coverage"] for p in after]) < -0.2
    assert np.mean([p.losses["pinball_loss"] for p in after]) > 2 * np.mean([p.losses["pinball_loss"] for p in before])
    assert "data_quality" not in [f["kind"] for f in told["findings"]]  # many answers lie at the least of the reference, none beyond it
    page = (replayed / "report.html").read_text()
    assert "mean pinball loss (EUR)" in page


def test_answers_are_by_quantile_and_explained(replayed: Path) -> None:
    found = answered(replayed)
    assert list(found["predictions"][0]) == ["0.1", "0.5", "0.9"]
    assert found["predictions"][0]["0.1"] < found["predictions"][0]["0.5"] < found["predictions"][0]["0.9"]
    told = noria(replayed, "explain", found["ids"][0], "--json")["prediction"]
    assert told["value"] == found["predictions"][0]
    assert told["read"]["value"].endswith(" EUR")
    assert isinstance(told["outcome"], float)


def test_estimators_of_each_quantile_are_one_graph(tmp_path: Path) -> None:
    begin = CHANGES["return lightgbm.train(parameters, lightgbm.Dataset(train.features, train.labels), num_boost_round=rounds)"]
    estimators = {
        begin: (
            "from sklearn.ensemble import HistGradientBoostingRegressor as Boosted\n"
            '    return {q: Boosted(loss="quantile", quantile=q, max_iter=rounds, random_state=0).fit(train.features, train.labels) '
            "for q in (0.1, 0.5, 0.9)}"
        ),
    }
    folder = project(tmp_path / "shop", CHANGES)
    (folder / "shop.py").write_text(edited((folder / "shop.py").read_text(), estimators))
    noria(folder, "ingest")
    noria(folder, "train")
    with opened(folder) as context:
        release = current_release(context)
        assert release is not None
        assert context.stores.bundle(release.champion).manifest.runtime == "onnx"
    (answer,) = answered(folder)["predictions"]
    assert answer["0.1"] < answer["0.5"] < answer["0.9"]
