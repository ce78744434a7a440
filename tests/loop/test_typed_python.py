"""Times, lists and nulls, which no ONNX input takes, through training, replay and monitors with a model that Python runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.clock import ReplayClock
from noria.core.signature import Field
from noria.data.ingest import ingest
from noria.loop.context import Policy
from noria.loop.project import load_project
from noria.loop.replay import Span, open_contexts, replay
from noria.monitoring.recorded import skew_of
from noria.release.releases import current_release
from noria.serving.log.segments import read_log
from noria.stores.findings import findings_of
from noria.stores.workspace import Workspace
from projects import START, tables, write_project

FIRST, LAST = START + timedelta(days=40), START + timedelta(days=43)
MODULE = """
import json

import noria as nr
import rules

orders = nr.Table("orders", nr.files("data/orders.parquet"), key="order_id", event_time="placed_at")
visits = nr.Table("visits", nr.files("data/visits.parquet"), key="visit_id", event_time="at", known_at="known_at")
returns = nr.Table("returns", nr.files("data/returns.parquet"), key="order_id", event_time="settled_at")

by_city = nr.FeatureView("by_city", visits, entity="city", freshness="10m", ttl="1h", latest={"channel": "channel", "visited": '"at"'})


@nr.request_transform("price", "tags", "placed", types={"tags": "string[any]", "placed": "timestamp"})
def basket(rows):
    return {"price": rows["price"], "tags": rows["tags"], "placed": rows["placed_at"]}


features = nr.FeatureSet("orders", spine=orders, views=[by_city], request=[basket])


@nr.trainer
def ruled(train, *, seed):
    frame = train.to_pandas()
    assert frame["channel"].isna().any()
    assert frame["visited"].dtype.kind == "M"
    known = sorted(set(frame["channel"].dropna()))
    return nr.PythonModel(rules.load, files={"channels.json": json.dumps(known).encode()})


model = nr.Model("returns", features, label=nr.Label(returns, "returned", matures="30h"), trainer=ruled, holdout="7d", trust=True)
endpoint = nr.Endpoint("returns", model, release=nr.Immediate())
monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("log_loss", by=0.3)], skew=0.001)
"""
RULES = """
import json

import numpy as np
import pyarrow.compute as pc


def load(folder):
    known = {name: i / 10 for i, name in enumerate(json.loads((folder / "channels.json").read_text()))}

    def predict(columns):
        channel = np.array([known.get(value, -0.5) for value in columns["channel"].to_pylist()])
        tags = pc.fill_null(pc.list_value_length(columns["tags"]), 0).to_numpy(zero_copy_only=False)
        waited = (columns["placed"] - columns["visited"]) / np.timedelta64(1, "h")
        return 1 / (1 + np.exp(-((columns["price"] - 40) / 15 + channel + tags / 10 + np.nan_to_num(waited) / 10)))

    return predict
"""


def test_a_model_of_times_lists_and_nulls_goes_round_the_loop(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "shop", MODULE)
    (folder / "rules.py").write_text(RULES)
    rng, raw = np.random.default_rng(3), tables()
    some = [["gift"], ["gift", "sale"], [], None]
    tags = pa.array([some[i] for i in rng.integers(0, 4, raw["orders"].num_rows)], pa.list_(pa.string()))
    pq.write_table(raw["orders"].append_column("tags", tags), folder / "data" / "orders.parquet")
    channel = rng.choice(np.array(["app", "web", None]), raw["visits"].num_rows).tolist()
    pq.write_table(raw["visits"].append_column("channel", pa.array(channel, pa.string())), folder / "data" / "visits.parquet")
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, folder, ReplayClock(LAST))
    endpoint = project.endpoint()
    [context] = open_contexts(project, workspace, endpoint, [Policy.declared(project, endpoint)])
    replay([context], Span(FIRST, LAST), lambda _: None)
    release = current_release(context)
    assert release is not None
    bundle = context.stores.bundle(release.champion)
    assert bundle.manifest.runtime == "python"
    assert bundle.signature.inputs == (
        Field("channel", "string"),
        Field("visited", "timestamp"),
        Field("price"),
        Field("tags", "string", (None,)),
        Field("placed", "timestamp"),
    )
    projections = context.stores.projections(bundle.id)
    assert projections is not None
    assert projections.names == ("channel", "visited (hours before)", "price", "tags (values)", "placed (hours before)")
    logged = read_log(context.stores.log_folder, FIRST, FIRST + timedelta(days=1), context.stores.workspace.files)
    skew = skew_of(context, FIRST)
    assert logged is not None
    assert skew is not None
    assert {f["feature"]: f["differing"] for f in skew["features"]} == dict.fromkeys(bundle.features, 0)
    asked = logged.inputs(bundle.signature)
    assert np.isfinite(logged.prediction).all()
    assert all(asked.column(name).null_count for name in ("channel", "visited", "tags"))
    assert not {f.kind for f in findings_of(context.stores.catalog)} & {"skew", "data_quality", "no_data"}
    context.stores.catalog.close()
