"""A forecast, from a series of numbers to answers over HTTP: trained, gated, sealed, served, judged by horizon, replayed and explained."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.core.clock import from_epoch
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.models.registry import CHAMPION
from noria.monitoring.recorded import windows_of
from noria.release.releases import current_release
from noria.stores.workspace import Workspace
from projects import edited

START, DAYS, CHANGED = datetime(2024, 1, 1, tzinfo=UTC), 64, 38
SHOPS = {"north": 120.0, "old|town": 60.0, "port": 200.0}

SETTINGS = """
[project]
name = "bikes"
module = "bikes"

[loop]
tick = "1d"

[replay]
start = 2024-01-22T00:00:00Z
end = 2024-03-02T00:00:00Z
"""

MODULE = """
import pyarrow.compute as pc

import noria as nr

HORIZONS = ("1h", "6h", "24h")

demand = nr.Table("demand", nr.files("data/demand.parquet"), key=("shop", "hour"), event_time="hour", known_at="known")
occasions = nr.Table("occasions", nr.files("data/occasions.parquet"), key=("shop", "hour"), event_time="hour")

by_shop = nr.FeatureView("by_shop", demand, entity="shop", latest=["count"], ttl="6h", aggregate={
    "mean_24h": nr.mean("count", window="24h"), "mean_7d": nr.mean("count", window="7d")})


@nr.request_transform("hour_of_day", "weekday")
def clock(rows):
    return {"hour_of_day": pc.hour(rows["hour"]), "weekday": pc.day_of_week(rows["hour"])}


features = nr.FeatureSet("occasions", spine=occasions, views=[by_shop], request=[clock])


@nr.trainer
def boosted(train, *, seed, rounds=40, newest=700):
    import lightgbm
    import numpy as np

    parameters = {"objective": "regression", "num_leaves": 15, "min_data_in_leaf": 20, "seed": seed, "deterministic": True,
                  "force_row_wise": True, "verbose": -1, "num_threads": 1}
    models = {}
    for horizon, outcomes in zip(HORIZONS, train.labels[-newest:].T):  # rows are in the order of time
        known = ~np.isnan(outcomes)
        rows = lightgbm.Dataset(train.features[-newest:][known], outcomes[known])
        models[horizon] = lightgbm.train(parameters, rows, num_boost_round=rounds)
    return models


model = nr.Model("bikes", features, label=nr.Label(demand, "count", matures="27h"), trainer=boosted, holdout="5d",
                 task=nr.Forecast(horizons=HORIZONS, unit="bikes"),
                 gates=[nr.beats_champion("absolute_error", by=-20), nr.beats_champion("24h.absolute_error", by=-25)])
endpoint = nr.Endpoint("bikes", model, release=nr.Rollout(shadow="2d", at_most="8d", metric="absolute_error", margin=20),
                       fallback={"1h": 100, "6h": 100, "24h": 100.5})
monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("absolute_error", by=4.0),
                     nr.Tolerance("24h.absolute_error", by=5.0), nr.Tolerance("1h.mean_residual", by=6.0)])
retrain = nr.Retrain(model, when=[nr.regression(), nr.stale("12d")], cooldown="4d")
"""


ROW = {"count": 60.0, "mean_24h": 110.0, "mean_7d": 120.0, "hour_of_day": 5.0, "weekday": 5.0}


def demand() -> pa.Table:
    """Bikes by the hour. From a day on, people ride nine hours later; some values are known hours later, some are corrected, some never."""
    rng = np.random.default_rng(11)
    rows: list[tuple[str, int, float, float]] = []
    for shop, level in SHOPS.items():
        for hour in range(DAYS * 24):
            phase = hour - (9 if hour >= CHANGED * 24 else 0)
            value = level * (1 + 0.7 * np.sin(2 * np.pi * phase / 24)) * rng.normal(1, 0.08)
            late = rng.choice([0.2, 2.5], p=[0.95, 0.05])
            if rng.random() < 0.02:
                rows.append((shop, hour, value * 3, hour + late))  # counted wrongly at first
                late += 1.0
            elif rng.random() < 0.01:
                continue
            rows.append((shop, hour, value, hour + late))
    shops, hours, values, known = zip(*rows, strict=True)
    return pa.table({"shop": shops, "hour": times(hours), "count": values, "known": times(known)})


def occasions() -> pa.Table:
    """Every shop and hour: when a forecast is made."""
    shops, hours = zip(*[(shop, hour) for hour in range(DAYS * 24) for shop in SHOPS], strict=True)
    return pa.table({"shop": shops, "hour": times(hours)})


def times(hours: Any) -> pa.Array:
    return pa.array([START + timedelta(hours=float(h)) for h in hours], pa.timestamp("us", tz="UTC"))


def write(folder: Path, module: str = MODULE) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "noria.toml").write_text(SETTINGS)
    (folder / "bikes.py").write_text(module)
    pq.write_table(demand(), folder / "data" / "demand.parquet")
    pq.write_table(occasions(), folder / "data" / "occasions.parquet")
    return folder


def noria(folder: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--project", str(folder)])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return json.loads(done.stdout) if "--json" in words else done.stdout


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The project served, at this address."""
    command = [sys.executable, "-m", "noria", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        yield f"http://{where['host']}:{where['port']}"
        process.terminate()
        process.communicate(timeout=20)


def got(address: str, asked: Any = None) -> Any:
    request = urllib.request.Request(address, None if asked is None else json.dumps(asked).encode())
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(tmp_path_factory.mktemp("forecast") / "bikes")
    for command in ("check", "ingest", "check", "replay"):
        noria(folder, command)
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[EndpointContext]:
    project = load_project(folder)
    endpoint = project.endpoint()
    context = EndpointContext.open(project, Workspace.of(folder, project.settings), endpoint, Policy.declared(project, endpoint))
    yield context
    context.stores.catalog.close()


def test_a_changed_rhythm_is_found_and_a_new_model_is_better_at_every_horizon(replayed: Path) -> None:
    told = json.loads((replayed / "report.json").read_text())
    assert (told["metric"]["name"], told["discrimination"]["name"]) == ("absolute_error", "rank_correlation")
    assert told["policies"]["loop"]["absolute_error"] < 0.8 * told["policies"]["static"]["absolute_error"]
    trained = next(d for d in told["decisions"] if d["action"] == "train" and d["reason"].startswith("regression: "))
    assert trained["reason"].endswith(" bikes")
    changed = START + timedelta(days=CHANGED)
    assert changed < datetime.fromisoformat(trained["time"]) < changed + timedelta(days=7)
    with opened(replayed) as context:
        release = current_release(context)
        assert release is not None
        of_new = [w.performance for w in windows_of(context, release.champion, release.champion_since) if w.performance]
        before = [d for d in told["decisions"] if d["action"] == "promote" and datetime.fromisoformat(d["time"]) < changed][-1]
        of_old = [w.performance for w in windows_of(context, before["subject"], changed) if w.performance and w.role == CHAMPION]
        for horizon in ("1h", "6h", "24h"):
            name = f"{horizon}.absolute_error"
            assert np.mean([p.losses[name] for p in of_new if p.rows]) < 0.6 * np.mean([p.losses[name] for p in of_old[1:] if p.rows])
        assert all(len(p.outcome) == len(p.prediction) == 3 for p in of_new if p.rows)
        assert context.stores.candidate_detail(release.champion).calibration


def test_windows_are_judged_by_outcomes_as_plainly_read(replayed: Path) -> None:
    """A window's figures against a reading of the file in plain Python."""
    rows = pq.read_table(replayed / "data" / "demand.parquet").to_pylist()
    final: dict[tuple[str, datetime], float] = {}
    for row in sorted(rows, key=lambda r: r["known"]):
        final[row["shop"], row["hour"]] = row["count"]
    with opened(replayed) as context:
        first = START + timedelta(days=30)
        keys = [
            f"{shop.replace('|', chr(92) + '|')}|{first + timedelta(hours=h):%Y-%m-%d %H:%M:%S}+00" for shop in SHOPS for h in range(24)
        ]
        found = context.facts.outcomes.known_at(keys, from_epoch(2**53))
        wanted = [
            [final.get((shop, first + timedelta(hours=h + ahead)), np.nan) for ahead in (1, 6, 24)] for shop in SHOPS for h in range(24)
        ]
        np.testing.assert_array_equal(found, wanted)
        early = context.facts.outcomes.known_at(keys[:1], first + timedelta(hours=7, minutes=40))
        assert np.isnan(early[0]).tolist() in ([False, False, True], [True, False, True], [False, True, True])


def test_it_is_served_logged_and_explained_and_outcomes_come_by_horizon(replayed: Path) -> None:
    key = "north|2024-03-02 05:00:00+00"  # of which the loop has seen 1 h and 6 h ahead by the end of the series, and a day as well
    last = "port|2024-03-04 20:00:00+00"  # whose day ahead lies beyond it
    with serving(replayed) as root:
        answer = got(f"{root}/predict/bikes", {"rows": [ROW, ROW], "keys": [key, last]})
        outputs = got(f"{root}/v2/models/bikes")["outputs"]
    assert list(answer["predictions"][0]) == ["1h", "6h", "24h"]
    assert all(0 < value < 500 for value in answer["predictions"][0].values())
    assert [(o["name"], o["datatype"]) for o in outputs[:3]] == [("1h", "FP64"), ("6h", "FP64"), ("24h", "FP64")]
    told = noria(replayed, "explain", answer["ids"][0], "--json")["prediction"]
    assert told["value"] == answer["predictions"][0]
    assert told["read"]["value"].endswith(" bikes")
    assert all(value > 0 for value in told["outcome"].values())
    late = noria(replayed, "explain", answer["ids"][1], "--json")["prediction"]
    assert late["outcome"]["24h"] is None
    assert late["outcome"]["1h"] > 0
    assert "24h unknown" in late["read"]["outcome"]


def test_its_card_and_its_report_speak_of_horizons(replayed: Path) -> None:
    with opened(replayed) as context:
        release = current_release(context)
        assert release is not None
        bundle = context.stores.bundle(release.champion)
        assert bundle.manifest.runtime == "onnx"
        card = (bundle.path / "MODEL_CARD.md").read_text()
        assert "target: `demand.count 1h, 6h and 24h ahead`, forecast." in card
        assert "24h.absolute_error" in card
    page = (replayed / "report.html").read_text()
    assert "mean count (bikes)" in page
    drifts = [f["summary"] for f in json.loads((replayed / "report.json").read_text())["findings"] if f["kind"] == "drift"]
    assert any(summary.startswith("answers: answers have drifted, led by ") for summary in drifts)
    assert not any(summary.startswith(("1h:", "6h:", "24h:")) for summary in drifts)  # one finding, not one for each
    assert ">nan" not in page


def test_other_tools_get_a_column_for_each_horizon(replayed: Path, tmp_path: Path) -> None:
    noria(replayed, "monitor", "export", str(tmp_path))
    reference = pq.read_table(tmp_path / "reference.parquet")
    names = [f"{what}{h}" for what in ("", "outcome.") for h in ("1h", "6h", "24h")]
    assert [name for name in reference.column_names if name.split(".")[-1] in ("1h", "6h", "24h")] == names
    errors = np.abs(reference["6h"].to_numpy() - reference["outcome.6h"].to_numpy())
    assert np.nanmean(errors[-500:]) < 30  # of the rows that it has learnt from
    assert json.loads((tmp_path / "columns.json").read_text())["outcome"] == names[3:]


QUANTILES = {
    'unit="bikes")': 'unit="bikes", quantiles=(0.1, 0.5, 0.9))',
    '"objective": "regression"': '"objective": "quantile"',
    "        models[horizon] = lightgbm.train(parameters, rows, num_boost_round=rounds)": (
        '        models[horizon] = {level: lightgbm.train({**parameters, "alpha": level}, rows, num_boost_round=rounds) '
        "for level in (0.1, 0.5, 0.9)}"
    ),
    '"absolute_error", by=-20': '"pinball_loss", by=-20',
    '"24h.absolute_error", by=-25': '"24h.pinball_loss", by=-25',
    'metric="absolute_error", margin=20': 'metric="pinball_loss", margin=20',
    'nr.Tolerance("1h.mean_residual", by=6.0)': 'nr.Tolerance("24h.coverage", by=0.1), nr.Tolerance("coverage", by=0.1)',
    'nr.Tolerance("24h.absolute_error", by=5.0)': 'nr.Tolerance("quantile_bias", by=0.1)',
}


def test_quantiles_at_every_horizon_are_trained_gated_and_served(tmp_path: Path) -> None:
    folder = write(tmp_path / "bikes", edited(MODULE, QUANTILES))
    noria(folder, "ingest")
    noria(folder, "check")
    told = noria(folder, "train")
    assert re.search(r"24h\.pinball_loss: candidate \d+\.\d{4} bikes", told)
    assert "gate passed: beats champion in 24h.pinball_loss by -25" in told
    with serving(folder) as root:
        (answer,) = got(f"{root}/predict/bikes", {"rows": [ROW]})["predictions"]
        data = [{"name": name, "shape": [1], "datatype": "FP32", "data": [value]} for name, value in ROW.items()]
        outputs = got(f"{root}/v2/models/bikes/infer", {"inputs": data})["outputs"]
    assert list(answer) == ["1h", "6h", "24h"]
    assert all(list(quantiles) == ["0.1", "0.5", "0.9"] for quantiles in answer.values())
    assert answer["1h"]["0.1"] < answer["1h"]["0.9"]
    assert [(o["name"], o["shape"]) for o in outputs[:3]] == [("1h", [1, 3]), ("6h", [1, 3]), ("24h", [1, 3])]
    assert outputs[2]["data"] == [list(answer["24h"].values())] or outputs[2]["data"] == list(answer["24h"].values())
    with opened(folder) as context:
        release = current_release(context)
        assert release is not None
        card = (context.stores.bundle(release.champion).path / "MODEL_CARD.md").read_text()
    assert re.search(r"Share of outcomes at or below each quantile: 0\.1: \d+\.\d%, 0\.5: \d+\.\d%, 0\.9: \d+\.\d%\.", card)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({'matures="27h"': 'matures="12h"'}, "outcomes 24h ahead can't be known within matures='12h'"),
        ({'key=("shop", "hour")': 'key="shop"'}, "the key has no time"),
        ({'nr.Label(demand, "count"': 'nr.Label(demand, "shop"'}, "holds no numbers"),
    ],
)
def test_a_label_that_is_no_series_is_refused(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    folder = write(tmp_path / "bikes", edited(MODULE, changes))
    noria(folder, "ingest")
    for command in ("check", "train"):
        done = CliRunner().invoke(app, [command, "--project", str(folder)])
        assert words in str(done.exception)


@pytest.mark.parametrize(
    ("horizons", "words"),
    [
        ('("1h", "90m", "24h")', "none of .* occasions has an outcome 90m ahead"),
        ('("30m", "90m", "150m")', "the series needs values 30m, 1h30m, 2h30m after occasions of the spine"),
    ],
)
def test_horizons_between_the_steps_of_the_series_are_told(tmp_path: Path, horizons: str, words: str) -> None:
    changes = {
        'HORIZONS = ("1h", "6h", "24h")': f"HORIZONS = {horizons}",
        ', nr.beats_champion("24h.absolute_error", by=-25)': "",
        'fallback={"1h": 100, "6h": 100, "24h": 100.5}': "fallback=5",
        ',\n                     nr.Tolerance("24h.absolute_error", by=5.0), nr.Tolerance("1h.mean_residual", by=6.0)': "",
    }
    folder = write(tmp_path / "bikes", edited(MODULE, changes))
    noria(folder, "ingest")
    done = CliRunner().invoke(app, ["train", "--project", str(folder)])
    assert re.search(words, str(done.exception)), str(done.exception)
