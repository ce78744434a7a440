"""The shop of `projects`, whose orders have a photo: a model looks at its pixels. From one day on, the camera makes darker photos."""

from __future__ import annotations

import zlib
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from noria.core.signature import Field
from projects import START, tables, write_project

DARK_DAY = START + timedelta(days=64)
HEIGHT, WIDTH = 12, 16

MODULE = """
import zlib

import numpy as np
from onnx import TensorProto, helper

import noria as nr

orders = nr.Table("orders", nr.files("data/orders.parquet"), key="order_id", event_time="placed_at")
visits = nr.Table("visits", nr.files("data/visits.parquet"), key="visit_id", event_time="at", known_at="known_at")
returns = nr.Table("returns", nr.files("data/returns.parquet"), key="order_id", event_time="settled_at")

by_city = nr.FeatureView("by_city", visits, entity="city", freshness="10m", latest=["thumbnail"], ttl="unlimited",
                         aggregate={"visits_6h": nr.count(window="6h")})


@nr.request_transform("photo", types={"photo": "uint8[any, any, 3]"})
def photo(rows):
    return {"photo": [np.frombuffer(zlib.decompress(each.as_py()), np.uint8).reshape(12, 16, 3) for each in rows["packed"]]}


@nr.request_transform("square", types={"square": "uint8[4, 4, 3]"})
def square(rows):
    return {"square": np.stack([np.array(each.as_py(), np.uint8).reshape(4, 4, 3) for each in rows["square"]])}


@nr.request_transform("price")
def basket(rows):
    return {"price": rows["price"]}


features = nr.FeatureSet("orders", spine=orders, views=[by_city], request=[photo, square, basket])


@nr.trainer
def looking(train, *, seed):
    kinds = {"uint8": TensorProto.UINT8, "int64": TensorProto.INT64, "float32": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(f.name, kinds[f.type], [None, *f.shape]) for f in train.rows.fields]
    nodes, parts = [], []
    for name, count in (("photo", 3), ("square", 3), ("thumbnail", 1)):
        nodes += [helper.make_node("Cast", [name], [name + "_wide"], to=TensorProto.FLOAT),
                  helper.make_node("ReduceMean", [name + "_wide"], [name + "_light"], axes=list(range(1, count + 1)), keepdims=0),
                  helper.make_node("Mul", [name + "_light", "small"], [name + "_weight"])]
        parts.append(name + "_weight")
    nodes += [
        helper.make_node("Cast", ["visits_6h"], ["visits"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["visits", "small"], ["visits_weight"]),
        helper.make_node("Mul", ["price", "slope"], ["price_weight"]),
        helper.make_node("Sum", [*parts, "visits_weight", "price_weight", "start"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["scores"]),
    ]
    numbers = {"small": 0.001, "slope": 1 / 15, "start": -40 / 15 - 0.35}
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in numbers.items()]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None])]
    graph = helper.make_graph(nodes, "looking", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


model = nr.Model("returns", features, label=nr.Label(returns, "returned", matures="30h"), trainer=looking, holdout="7d", gates=[])
endpoint = nr.Endpoint("returns", model, release=nr.Immediate())
monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("log_loss", by=0.3)], skew=0.001)
"""
FIELDS = (
    Field("visits_6h", "int64"),
    Field("thumbnail", "int64", (None,)),  # as a table stores it: whole numbers, and lists of any length
    Field("photo", "uint8", (None, None, 3)),
    Field("square", "uint8", (4, 4, 3)),
    Field("price"),
)


def photos(count: int, seed: int) -> NDArray[np.uint8]:
    """Photos of various brightness `(count, 12, 16, 3)`."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(90, 160, (count, 1, 1, 1)) + rng.normal(scale=15, size=(count, HEIGHT, WIDTH, 3))
    return np.clip(light, 0, 255).astype(np.uint8)


def write_image_project(folder: Path, module: str = MODULE) -> Path:
    """The project's files and data in `folder`: photos as packed bytes, squares as lists, thumbnails as lists of a fixed size."""
    write_project(folder, module)
    raw = tables()
    orders, visits = raw["orders"], raw["visits"]
    taken = photos(orders.num_rows, 3)
    late = np.array([at >= DARK_DAY for at in orders.column("placed_at").to_pylist()])
    taken[late] = taken[late] // 2
    orders = orders.append_column("packed", pa.array([zlib.compress(photo.tobytes(), 1) for photo in taken], pa.binary()))
    squares = np.ascontiguousarray(taken[:, :4, :4])
    lists = pa.ListArray.from_arrays(pa.array(np.arange(len(squares) + 1) * 48, pa.int32()), pa.array(squares.reshape(-1)))
    orders = orders.append_column("square", lists)
    thumbnails = pa.FixedSizeListArray.from_arrays(pa.array(np.random.default_rng(5).integers(80, 170, 8 * visits.num_rows, np.uint8)), 8)
    visits = visits.append_column("thumbnail", thumbnails)
    first = visits.slice(0, 3)
    early = pa.array([START - timedelta(days=1)] * 3, pa.timestamp("us", tz="UTC"))
    cities = pa.array(["ams", "ber", "cph"])
    first = first.set_column(0, "visit_id", pa.array([f"first {i}" for i in range(3)])).set_column(1, "city", cities)
    first = first.set_column(3, "at", early).set_column(4, "known_at", early)
    pq.write_table(orders, folder / "data" / "orders.parquet")
    pq.write_table(pa.concat_tables([visits, first]), folder / "data" / "visits.parquet")
    return folder
