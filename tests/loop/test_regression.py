"""A regression, from labels that are numbers to answers over HTTP: trained, gated, sealed, served, watched, replayed and explained."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.data.rows import Rows
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.release.releases import current_release
from noria.stores.workspace import Workspace
from projects import MODULE, SETTINGS, edited, write_project

CHANGES = {
    'nr.Label(returns, "returned", matures="30h"), trainer=boosted, holdout="7d",': (
        'nr.Label(returns, "refund", matures="30h"), trainer=boosted, holdout="7d", task=nr.Regression(unit="EUR"),'
    ),
    'contract=nr.Contract(not_null=["returned"])': 'contract=nr.Contract(not_null=["refund"])',
    '"objective": "binary"': '"objective": "regression"',
    'nr.beats_champion("log_loss", by=-0.2), nr.no_slice_worse("log_loss", over=["city"], by=0.5)': (
        'nr.beats_champion("absolute_error", by=-20), nr.no_slice_worse("squared_error", over=["city"], by=1e6)'
    ),
    "margin=0.1)": 'margin=20, metric="absolute_error")',
    'nr.Tolerance("log_loss", by=0.05)': 'nr.Tolerance("absolute_error", by=2.0), nr.Tolerance("mean_residual", by=3.0)',
}
SPAN = {"2024-02-10T00:00:00Z": "2024-02-24T00:00:00Z", "2024-03-28T00:00:00Z": "2024-03-14T00:00:00Z"}


def with_refunds(folder: Path) -> None:
    """What is paid back hangs on the price, and from day 60 on in the other direction."""
    price = pq.read_table(folder / "data" / "orders.parquet")["price"].to_numpy()
    returns = pq.read_table(folder / "data" / "returns.parquet")
    later = np.arange(len(price)) >= len(price) * 60 // 90
    refund = np.where(later, 60 - 0.5 * price, 0.5 * price) + np.random.default_rng(5).normal(0, 2, len(price))
    pq.write_table(returns.append_column("refund", pa.array(refund)), folder / "data" / "returns.parquet")


def noria(folder: Path, *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*words, "--project", str(folder)])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("regression") / "shop", edited(MODULE, CHANGES), edited(SETTINGS, SPAN))
    with_refunds(folder)
    for command in ("check", "ingest", "replay"):
        noria(folder, command)
    return folder


def test_the_loop_retrains_by_an_error_in_units_and_ends_better(replayed: Path) -> None:
    told = json.loads((replayed / "report.json").read_text())
    assert (told["metric"]["name"], told["discrimination"]["name"]) == ("absolute_error", "rank_correlation")
    assert told["policies"]["loop"]["absolute_error"] < told["policies"]["static"]["absolute_error"] - 0.1
    reasons = [d["reason"] for d in told["decisions"] if d["action"] == "train"]
    assert any(r.startswith("regression: ") and r.endswith(" EUR") for r in reasons[1:])
    page = (replayed / "report.html").read_text()
    assert re.search(r"<b>\d+\.\d{4} EUR mean absolute error</b>", page)
    assert "mean absolute error (EUR)" in page
    assert "log-loss" not in page
    assert "AUC" not in page


def test_its_card_and_its_explanations_speak_of_the_number(replayed: Path) -> None:
    project = load_project(replayed)
    endpoint = project.endpoint()
    context = EndpointContext.open(project, Workspace.of(replayed, project.settings), endpoint, Policy.declared(project, endpoint))
    release = current_release(context)
    assert release is not None
    bundle = context.stores.bundle(release.champion)
    card = (bundle.path / "MODEL_CARD.md").read_text()
    assert "target: `returns.refund`, regression." in card
    assert "EUR" in card
    assert "robabilit" not in card.replace("scores are numbers, not probabilities", "")
    assert bundle.manifest.lineage.label.positive is None
    fitted = context.stores.candidate_detail(release.champion).calibration
    assert len(fitted) == 9 + 250
    rows = Rows.of_values(bundle.signature.inputs, [[1.0, 2.0, None, 40.0, 80.0]])
    assert math.isfinite(context.stores.model(release.champion).answer(rows).block[0, 0])
    context.stores.catalog.close()


def test_it_is_served_logged_and_explained(replayed: Path) -> None:
    command = [sys.executable, "-m", "noria", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=replayed, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        row = {"visits_6h": 3.0, "seconds_6h": 40.5, "seconds": None, "price": 40.0, "twice": 80.0}
        asked = urllib.request.Request(
            f"http://{where['host']}:{where['port']}/predict/returns", json.dumps({"rows": [row], "keys": ["o00001"]}).encode()
        )
        with urllib.request.urlopen(asked, timeout=10) as response:
            answer = json.loads(response.read())
        process.terminate()
        process.communicate(timeout=20)
    told = noria(replayed, "explain", answer["ids"][0], "--json")
    assert told["prediction"]["read"]["value"].endswith(" EUR")
    assert told["prediction"]["value"] == answer["predictions"][0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({'"refund", matures': '"refund", positive=2, matures'}, "positive=2"),
        ({'"refund", matures': '"reason", matures'}, "holds no numbers"),
    ],
)
def test_a_label_that_is_no_number_is_refused(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    folder = write_project(tmp_path / "shop", edited(edited(MODULE, CHANGES), changes), edited(SETTINGS, SPAN))
    with_refunds(folder)
    returns = pq.read_table(folder / "data" / "returns.parquet")
    pq.write_table(returns.append_column("reason", pa.array(["none"] * returns.num_rows)), folder / "data" / "returns.parquet")
    noria(folder, "ingest")
    for command in ("check", "train"):
        done = CliRunner().invoke(app, [command, "--project", str(folder)])
        assert words in str(done.exception)
