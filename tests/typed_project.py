"""The shop of `projects`, whose model reads texts, truth values and whole numbers; from one day on, a city that it has never seen."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.signature import Field
from projects import START, edited, tables, times, write_project

NEW_CITY = START + timedelta(days=64)

MODULE = """
import numpy as np
import onnx
from onnx import TensorProto, helper

import noria as nr

orders = nr.Table("orders", nr.files("data/orders.parquet"), key="order_id", event_time="placed_at")
visits = nr.Table("visits", nr.files("data/visits.parquet"), key="visit_id", event_time="at", known_at="known_at")
returns = nr.Table("returns", nr.files("data/returns.parquet"), key="order_id", event_time="settled_at")

by_city = nr.FeatureView("by_city", visits, entity="city", freshness="10m", latest=["channel"], ttl="unlimited",
                         aggregate={"visits_6h": nr.count(window="6h")})


@nr.request_transform("price")
def basket(rows):
    return {"price": rows["price"]}


@nr.request_transform("city", "express", types={"city": "string", "express": "bool"})
def words(rows):
    return {"city": rows["city"], "express": rows["express"]}


features = nr.FeatureSet("orders", spine=orders, views=[by_city], request=[basket, words])


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


@nr.trainer
def block(train, *, seed):
    assert train.features.dtype == np.float32
    constants = [
        helper.make_tensor("place", TensorProto.INT64, [1], [1]),
        helper.make_tensor("slope", TensorProto.FLOAT, [1], [1 / 15]),
        helper.make_tensor("start", TensorProto.FLOAT, [1], [-40 / 15]),
    ]
    nodes = [
        helper.make_node("Gather", ["features", "place"], ["price"], axis=1),
        helper.make_node("Mul", ["price", "slope"], ["scaled"]),
        helper.make_node("Add", ["scaled", "start"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, 2])]
    graph = helper.make_graph(nodes, "block", inputs, [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


model = nr.Model("returns", features, label=nr.Label(returns, "returned", matures="30h"), trainer=handmade, holdout="7d",
                 gates=[nr.no_slice_worse("log_loss", over=["city", "express"], by=0.9)])
endpoint = nr.Endpoint("returns", model, release=nr.Immediate())
monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("log_loss", by=0.3)], skew=0.001, slices=["city"])
"""
# The same before it had types: two numbers, one block.
NUMBERS = edited(
    MODULE,
    {
        'latest=["channel"], ttl="unlimited",\n': "\n",
        "request=[basket, words]": "request=[basket]",
        'slices=["city"]': "slices=[]",
        "trainer=handmade": "trainer=block",
    },
)
CHANGING = {
    "release=nr.Immediate()": 'release=nr.Rollout(shadow="1d", at_most="6d", margin=0.5)',
    'gates=[nr.no_slice_worse("log_loss", over=["city", "express"], by=0.9)]': "gates=[]",  # a few days have too few rows of each
    "monitor = nr.Monitor": 'retrain = nr.Retrain(model, when=[nr.stale("5d")], cooldown="5d")\nmonitor = nr.Monitor',
}
FIELDS = (Field("visits_6h", "int64"), Field("channel", "string"), Field("price"), Field("city", "string"), Field("express", "bool"))


def write_typed_project(folder: Path, module: str = MODULE) -> Path:
    """The project's files and data in `folder`. From `NEW_CITY` on, a third of the orders come from Oslo."""
    write_project(folder, module)
    rng, raw = np.random.default_rng(3), tables()
    orders, visits = raw["orders"], raw["visits"]
    late = np.array([t >= NEW_CITY for t in orders.column("placed_at").to_pylist()]) & (rng.random(orders.num_rows) < 1 / 3)
    city = np.where(late, "osl", np.array(orders.column("city").to_pylist()))
    orders = orders.set_column(1, "city", pa.array(city.tolist())).append_column("express", pa.array(rng.random(len(city)) < 0.3))
    before, cities = times([START - timedelta(days=1)] * 4), ["ams", "ber", "cph", "osl"]  # so that the channel is always known
    first = {"visit_id": [f"first {c}" for c in cities], "city": cities, "seconds": [1.0] * 4, "at": before, "known_at": before}
    visits = pa.concat_tables([visits, pa.table(first)])
    visits = visits.append_column("channel", pa.array(rng.choice(["app", "shop", "web"], visits.num_rows).tolist()))
    pq.write_table(orders, folder / "data" / "orders.parquet")
    pq.write_table(visits, folder / "data" / "visits.parquet")
    return folder
