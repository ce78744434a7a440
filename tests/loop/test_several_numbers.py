"""Models that answer with several numbers, from labels that are classes, lists or structs to answers over HTTP: trained, gated, sealed,
served, watched, replayed and explained."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import noria as nr
from noria.cli.app import app
from noria.evaluation.task import Task
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.models.bundle import Bundle
from noria.release.releases import current_release
from noria.stores.workspace import Workspace
from projects import MODULE, SETTINGS, edited, write_project

LABEL = 'nr.Label(returns, "returned", matures="30h"), trainer=boosted, holdout="7d",'
GATES = 'nr.beats_champion("log_loss", by=-0.2), nr.no_slice_worse("log_loss", over=["city"], by=0.5)'
TOLERANCE = 'nr.Tolerance("log_loss", by=0.05)'
CONTRACT = 'contract=nr.Contract(not_null=["returned"])'
FIT = "    return lightgbm.train(parameters, lightgbm.Dataset(train.features, train.labels), num_boost_round=rounds)\n"
BY_OUTPUT = """
    import numpy as np
    found = {}
    for place, name in enumerate(("refund", "days")):
        known = ~np.isnan(train.labels[:, place])
        rows = lightgbm.Dataset(train.features[known], train.labels[known, place])
        found[name] = lightgbm.train(parameters, rows, num_boost_round=rounds)
    return found
"""
SPAN = {"2024-02-10T00:00:00Z": "2024-02-24T00:00:00Z", "2024-03-28T00:00:00Z": "2024-03-14T00:00:00Z"}
CLASSES = ("kept", "exchanged", "refunded")
TAGS = ("torn", "late", "wrong size")
FOREST = """
    from sklearn.ensemble import {kind}
    x = np.nan_to_num(train.features)
    return {kind}(n_estimators=4, max_depth=4, random_state=seed, n_jobs=1).fit(x, train.labels)
"""


@dataclass(frozen=True)
class Kind:
    """A task, its label, a trainer, and what is to be seen of it."""

    task: Task
    changes: Mapping[str, str]
    metric: str
    runtime: str


KINDS = {
    "multiclass": Kind(
        nr.Multiclass(CLASSES),
        {
            LABEL: f'nr.Label(returns, "fate", matures="30h"), trainer=boosted, holdout="7d", task=nr.Multiclass({CLASSES}, top=2),',
            '"objective": "binary"': '"objective": "multiclass", "num_class": 3',
            TOLERANCE: f'{TOLERANCE}, nr.Tolerance("refunded.calibration", by=0.1)',
            CONTRACT: 'contract=nr.Contract(not_null=["fate"])',
        },
        "log_loss",
        "onnx",
    ),
    "multilabel": Kind(
        nr.Multilabel(TAGS),
        {
            LABEL: 'nr.Label(returns, "complaints", matures="30h"), trainer=boosted, holdout="7d", trust=True, '
            f"task=nr.Multilabel({TAGS}),",
            "    import lightgbm\n": "    import numpy as np\n",
            FIT: FOREST.format(kind="RandomForestClassifier"),
            CONTRACT: 'contract=nr.Contract(not_null=["complaints"])',
        },
        "log_loss",
        "python",
    ),
    "multi_output": Kind(
        nr.MultiOutput({"refund": nr.Regression(unit="EUR"), "days": nr.Regression(unit="d")}),
        {
            LABEL: 'nr.Label(returns, ("refund", "days"), matures="30h"), trainer=boosted, holdout="7d", '
            'task=nr.MultiOutput({"refund": nr.Regression(unit="EUR"), "days": nr.Regression(unit="d")}),',
            '"objective": "binary"': '"objective": "regression"',
            FIT: BY_OUTPUT,
            GATES: 'nr.beats_champion("refund.absolute_error", by=-20), nr.no_slice_worse("refund.squared_error", over=["city"], by=1e6)',
            TOLERANCE: 'nr.Tolerance("refund.absolute_error", by=2.0), nr.Tolerance("days.mean_residual", by=3.0)',
            "margin=0.1)": 'margin=20, metric="refund.absolute_error")',
            CONTRACT: 'contract=nr.Contract(not_null=["refund"])',
        },
        "refund.absolute_error",
        "onnx",
    ),
}


def with_labels(folder: Path) -> None:
    """What becomes of an order hangs on its price, and from day 60 on in the other direction; of a tenth of them the days are unknown."""
    price = pq.read_table(folder / "data" / "orders.parquet")["price"].to_numpy()
    returns, rng = pq.read_table(folder / "data" / "returns.parquet"), np.random.default_rng(5)
    later = np.arange(len(price)) >= len(price) * 60 // 90
    dear = np.where(later, -1.0, 1.0) * (price - np.median(price)) / price.std() + rng.normal(0, 0.5, len(price))
    fate = np.array(CLASSES)[np.digitize(dear, [-0.5, 0.5])]
    complaints = [
        [tag for tag, least in zip(TAGS, (-0.8, 0.0, 0.8), strict=True) if each + noise > least]
        for each, noise in zip(dear, rng.normal(0, 0.3, len(dear)), strict=True)
    ]
    days = pa.array([None if rng.random() < 0.1 else 5 + 2 * each for each in dear], pa.float64())
    found = {
        "fate": pa.array(fate),
        "complaints": pa.array(complaints, pa.list_(pa.string())),
        "refund": pa.array(40 + 20 * dear),
        "days": days,
    }
    for name, column in found.items():
        returns = returns.append_column(name, column)
    pq.write_table(returns, folder / "data" / "returns.parquet")


def noria(folder: Path, *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*words, "--project", str(folder)])
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout) if "--json" in words else done.stdout


@pytest.fixture(scope="module", params=list(KINDS))
def replayed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Kind]:
    kind = KINDS[request.param]
    folder = write_project(tmp_path_factory.mktemp(request.param) / "shop", edited(MODULE, kind.changes), edited(SETTINGS, SPAN))
    with_labels(folder)
    for command in ("check", "ingest", "replay"):
        noria(folder, command)
    return folder, kind


def champion(folder: Path) -> tuple[Bundle, EndpointContext]:
    project = load_project(folder)
    endpoint = project.endpoint()
    context = EndpointContext.open(project, Workspace.of(folder, project.settings), endpoint, Policy.declared(project, endpoint))
    release = current_release(context)
    assert release is not None
    return context.stores.bundle(release.champion), context


def test_the_loop_finds_the_decay_retrains_and_ends_better(replayed: tuple[Path, Kind]) -> None:
    folder, kind = replayed
    told = json.loads((folder / "report.json").read_text())
    assert told["metric"]["name"] == kind.metric
    assert told["policies"]["loop"][kind.metric] < told["policies"]["static"][kind.metric]
    reasons = [d["reason"] for d in told["decisions"] if d["action"] == "train"]
    assert any(r.startswith("regression: ") for r in reasons[1:])
    page = (folder / "report.html").read_text()
    assert "NaN" not in page
    assert "None" not in page


def test_its_bundle_says_what_it_answers_and_its_profile_watches_it(replayed: tuple[Path, Kind]) -> None:
    folder, kind = replayed
    bundle, context = champion(folder)
    assert bundle.manifest.runtime == kind.runtime
    assert [field.described for field in bundle.signature.outputs] == [field.described for field in kind.task.outputs]
    assert [field.labels for field in bundle.signature.outputs] == [field.labels for field in kind.task.outputs]
    assert context.stores.profile(bundle.id).names[-len(kind.task.monitored) :] == kind.task.monitored
    card = (bundle.path / "MODEL_CARD.md").read_text()
    assert kind.task.title in card
    assert Task.of(bundle.manifest.task).outputs == kind.task.outputs
    context.stores.catalog.close()


def test_it_is_served_logged_and_explained(replayed: tuple[Path, Kind]) -> None:
    folder, kind = replayed
    bundle, context = champion(folder)
    row = {"visits_6h": 3.0, "seconds_6h": 40.5, "seconds": 12.0, "price": 40.0, "twice": 80.0}
    command = [sys.executable, "-m", "noria", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        at = f"http://{where['host']}:{where['port']}"
        plain = ask(f"{at}/predict/returns", {"rows": [row], "keys": ["o00001"]})
        tensors = [{"name": name, "datatype": "FP32", "shape": [1], "data": [value]} for name, value in row.items()]
        v2 = ask(f"{at}/v2/models/returns/infer", {"inputs": tensors})
        again = noria(folder, "replay-request", plain["ids"][0], "--url", at, "--json")
        process.terminate()
        process.communicate(timeout=20)
    from noria.data.rows import Rows

    asked = Rows.of_values(bundle.signature.inputs, [[row[name] for name in bundle.features]])
    expected = context.stores.model(bundle.id).answer(asked)
    context.stores.catalog.close()
    assert plain["predictions"] == expected.listed()
    told = {output["name"]: output["data"] for output in v2["outputs"]}
    for field in bundle.signature.outputs:
        assert np.allclose(np.ravel(told[field.name]), expected.labelled(field)[0], atol=1e-12)
    found = noria(folder, "explain", plain["ids"][0], "--json")
    assert found["prediction"]["value"] == plain["predictions"][0]
    assert found["prediction"]["read"]["value"] == kind.task.format_score(expected.scores(kind.task.outputs)[0])
    assert found["prediction"]["outcome"] is not None
    noria(folder, "explain", plain["ids"][0])
    assert again["same"]


def ask(url: str, body: Any) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode()), timeout=10) as response:
        return json.loads(response.read())


def test_its_windows_are_exported_with_answers_and_outcomes_of_single_values(replayed: tuple[Path, Kind], tmp_path: Path) -> None:
    folder, _ = replayed
    noria(folder, "monitor", "export", str(tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "columns.json").read_text())
    window = pq.read_table(next((tmp_path / "out" / "windows").iterdir()))
    every = [*np.atleast_1d(told["prediction"]), *np.atleast_1d(told["outcome"])]
    assert set(every) <= set(window.column_names)
    assert all(not pa.types.is_nested(window.schema.field(name).type) for name in every)
    assert len(np.atleast_1d(told["prediction"])) >= 2


REFUSED = {
    "a class never declared": (("kept", "refunded"), "classes that are not declared: 'exchanged'", "NR-235"),
    "numbers for texts": ((1, 2, 3), "its type is string", "NR-237"),
    "one class": (("kept",), "are 1", "NR-234"),
    "a class twice": (("kept", "kept"), "contain 'kept' twice", "NR-234"),
    "classes of two types": (("kept", 1), "are of the types int, str", "NR-234"),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_classes_that_do_not_fit_the_label_are_refused(tmp_path: Path, what: str) -> None:
    classes, words, code = REFUSED[what]
    kind = KINDS["multiclass"]
    changes = {old: new.replace(repr(CLASSES), repr(classes)).replace(", top=2", "") for old, new in kind.changes.items()}
    changes[TOLERANCE] = TOLERANCE
    folder = write_project(tmp_path / "shop", edited(MODULE, changes), edited(SETTINGS, SPAN))
    with_labels(folder)
    done = CliRunner().invoke(app, ["ingest", "--project", str(folder)])
    if done.exit_code == 0:
        done = CliRunner().invoke(app, ["train", "--project", str(folder)])
    assert words in str(done.exception)
    assert getattr(done.exception, "code", None) == code
