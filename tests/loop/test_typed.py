"""A model of texts, truth values and whole numbers goes round the loop: trained, sealed, replayed, watched; an unseen category is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from noria.core.clock import ReplayClock
from noria.core.signature import SCORE, Field
from noria.data.ingest import ingest
from noria.evidence.monitoring import inputs_of
from noria.loop.context import EndpointContext, Policy
from noria.loop.project import load_project
from noria.loop.replay import Span, open_worlds, replay
from noria.models.bundle import CARD_FILE, Bundle
from noria.monitoring.export import export
from noria.monitoring.feature_backtest import backtest
from noria.monitoring.monitors.drift import drift_until
from noria.monitoring.recorded import skew_of, windows_of
from noria.release.releases import current_release
from noria.serving.log.segments import read_log
from noria.stores.findings import findings_of
from noria.stores.workspace import Workspace
from projects import START, tables, times, write_project

FIRST, NEW_CITY, LAST = (START + timedelta(days=days) for days in (40, 64, 67))

MODULE = """
import numpy as np
import onnx
from onnx import TensorProto, helper

import noria as nr

orders = nr.Table("orders", nr.files("data/orders.parquet"), key="order_id", event_time="placed_at")
visits = nr.Table("visits", nr.files("data/visits.parquet"), key="visit_id", event_time="at", known_at="known_at")
returns = nr.Table("returns", nr.files("data/returns.parquet"), key="order_id", event_time="settled_at")

by_city = nr.FeatureView("by_city", visits, entity="city", freshness="10m", latest=["channel"], ttl="90d",
                         aggregate={"visits_6h": nr.count(window="6h")})


@nr.request_transform("price", "city", "express", types={"city": "string", "express": "bool"})
def basket(rows):
    return {"price": rows["price"], "city": rows["city"], "express": rows["express"]}


features = nr.FeatureSet("orders", spine=orders, views=[by_city], request=[basket])


@nr.trainer
def handmade(train, *, seed):
    kinds = {"string": TensorProto.STRING, "int64": TensorProto.INT64, "bool": TensorProto.BOOL, "float32": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(f.name, kinds[f.type], [None]) for f in train.rows.fields]
    weights = {"city": (["ams", "ber", "cph"], [-0.5, 0.0, 0.5]), "channel": (["app", "shop", "web"], [-0.1, 0.0, 0.1])}
    nodes = [
        helper.make_node("LabelEncoder", [name], [name + "_weight"], domain="ai.onnx.ml", keys_strings=known, values_floats=values,
                         default_float=0.0)
        for name, (known, values) in weights.items()
    ]
    nodes += [
        helper.make_node("Cast", ["express"], ["express_weight"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["visits_6h"], ["visits"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["visits", "small"], ["visits_weight"]),
        helper.make_node("Mul", ["price", "slope"], ["price_weight"]),
        helper.make_node("Sum", ["city_weight", "channel_weight", "express_weight", "visits_weight", "price_weight", "start"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["scores"]),
    ]
    numbers = {"small": 0.001, "slope": 1 / 15, "start": -40 / 15}
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in numbers.items()]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None])]
    graph = helper.make_graph(nodes, "typed", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 2)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


model = nr.Model("returns", features, label=nr.Label(returns, "returned", matures="30h"), trainer=handmade, holdout="7d")
endpoint = nr.Endpoint("returns", model, release=nr.Immediate())
monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("log_loss", by=0.3)], skew=0.001, slices=["city"])
"""
FIELDS = (Field("visits_6h", "int64"), Field("channel", "string"), Field("price"), Field("city", "string"), Field("express", "bool"))


@dataclass
class Lived:
    context: EndpointContext
    champion: Bundle


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """From day 64 on, a third of the orders come from a city that there was never before."""
    folder = write_project(tmp_path_factory.mktemp("typed") / "shop", MODULE)
    rng, raw = np.random.default_rng(3), tables()
    orders, visits = raw["orders"], raw["visits"]
    late = np.array([t >= NEW_CITY for t in orders.column("placed_at").to_pylist()]) & (rng.random(orders.num_rows) < 1 / 3)
    city = np.where(late, "osl", np.array(orders.column("city").to_pylist()))
    orders = orders.set_column(1, "city", pa.array(city.tolist())).append_column("express", pa.array(rng.random(len(city)) < 0.3))
    before = times([START - timedelta(days=1)] * 4)
    cities = ["ams", "ber", "cph", "osl"]
    first = {"visit_id": [f"first {c}" for c in cities], "city": cities, "seconds": [1.0] * 4, "at": before, "known_at": before}
    visits = pa.concat_tables([visits, pa.table(first)])
    visits = visits.append_column("channel", pa.array(rng.choice(["app", "shop", "web"], visits.num_rows).tolist()))
    pq.write_table(orders, folder / "data" / "orders.parquet")
    pq.write_table(visits, folder / "data" / "visits.parquet")
    project = load_project(folder)
    workspace = Workspace.of(folder, project.settings)
    for table in project.tables:
        ingest(table, workspace.tables, folder, ReplayClock(LAST))
    endpoint = project.endpoint()
    [context] = open_worlds(project, workspace, endpoint, [Policy.declared(project, endpoint)])
    replay([context], Span(FIRST, LAST), lambda _: None)
    release = current_release(context)
    assert release is not None
    yield Lived(context, context.stores.bundle(release.champion))
    context.stores.catalog.close()


def test_the_bundle_is_sealed_with_the_features_types(lived: Lived) -> None:
    assert lived.champion.signature.inputs == FIELDS
    assert lived.champion.signature.outputs == (SCORE,)
    assert "channel: string, price: float32" in lived.champion.file(CARD_FILE).read_text()


def test_what_was_asked_is_logged_in_its_types_and_equals_the_definitions(lived: Lived) -> None:
    logged = read_log(lived.context.stores.log_folder, FIRST, FIRST + timedelta(days=1), lived.context.stores.workspace.files)
    assert logged is not None
    first = logged.inputs(lived.champion.signature).dicts()[0]
    assert {name: type(value) for name, value in first.items()} == {
        "visits_6h": int,
        "channel": str,
        "price": float,
        "city": str,
        "express": bool,
    }
    skew = skew_of(lived.context, FIRST)
    assert skew is not None
    assert (skew["rows"], {f["feature"]: f["differing"] for f in skew["features"]}) == (len(logged), dict.fromkeys(first, 0))


def test_a_category_that_was_never_seen_is_told_as_such(lived: Lived) -> None:
    found = [f for f in findings_of(lived.context.stores.catalog, ["returns"]) if f.kind == "data_quality"]
    [told] = [f for f in found if f.subject == "city: outside"]
    assert "unseen" in told.summary
    assert told.since == NEW_CITY
    assert told.evidence["source"] == "orders"
    assert {f.subject for f in found} == {"city: outside"}


def test_before_and_after_are_shown_by_the_categories_names(lived: Lived) -> None:
    reading = drift_until(lived.context, lived.context.monitor, lived.champion.id, FIRST, LAST)
    shown = inputs_of(lived.context, reading, lived.champion.id, newest=True)
    assert shown is not None
    [city] = [column for column in shown["columns"] if column["column"] == "city"]
    assert set(city["labels"]) == {"ams", "ber", "cph", "elsewhere"}


def test_performance_is_measured_in_the_slices_of_a_text(lived: Lived) -> None:
    window = windows_of(lived.context, lived.champion.id, FIRST)[0]
    assert window.performance is not None
    assert set(window.performance.slices) == {"city=ams", "city=ber", "city=cph"}


def test_the_reference_and_windows_are_exported_in_their_types(lived: Lived, tmp_path: Path) -> None:
    export(lived.context, tmp_path, None, FIRST + timedelta(days=1), LAST)
    for path in (tmp_path / "reference.parquet", next((tmp_path / "windows").iterdir())):
        schema = pq.read_schema(path)
        assert (schema.field("city").type, schema.field("express").type) == (pa.string(), pa.bool_())


def test_the_monitor_is_backtested_on_features_that_are_no_numbers(lived: Lived) -> None:
    found = backtest(lived.context, LAST, 30, 6.0, 1.0, [], lambda _: None, suggesting=False)
    assert [alarm.column for alarm in found.alarms if alarm.at > NEW_CITY][:1] == ["city"]
