"""A small project for tests: will an order be returned? Ninety days of it, with a change in the middle.

Everything is drawn from one seed. From day 60 on the relation between price and returns is reversed, so that a loop which
watches performance has a reason to retrain.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 90
ORDERS_A_DAY = 80

SETTINGS = """
[project]
name = "shop"
module = "shop"

[loop]
tick = "1d"

[replay]
start = 2024-02-10T00:00:00Z
end = 2024-03-28T00:00:00Z
"""

MODULE = """
import pyarrow.compute as pc

import noria as nr

orders = nr.Table("orders", nr.files("data/orders.parquet"), key="order_id", event_time="placed_at")
visits = nr.Table("visits", nr.files("data/visits.parquet"), key="visit_id", event_time="at", known_at="known_at")
returns = nr.Table("returns", nr.files("data/returns.parquet"), key="order_id", event_time="settled_at",
                   contract=nr.Contract(not_null=["returned"]))

by_city = nr.FeatureView("by_city", visits, entity="city", freshness="10m", aggregate={
    "visits_6h": nr.count(window="6h"), "seconds_6h": nr.mean("seconds", window="6h")})
last_visit = nr.FeatureView("last_visit", visits, entity="city", latest=["seconds"], ttl="2h")


def doubled(values):
    return pc.multiply(values, 2.0)


@nr.request_transform("price", "twice")
def basket(rows):
    return {"price": rows["price"], "twice": doubled(rows["price"])}


features = nr.FeatureSet("orders", spine=orders, views=[by_city, last_visit], request=[basket])


@nr.trainer
def boosted(train, *, seed, rounds=20):
    import lightgbm

    parameters = {"objective": "binary", "num_leaves": 7, "min_data_in_leaf": 40, "seed": seed, "deterministic": True,
                  "force_row_wise": True, "verbose": -1, "num_threads": 1}
    return lightgbm.train(parameters, lightgbm.Dataset(train.features, train.labels), num_boost_round=rounds)


model = nr.Model("returns", features, label=nr.Label(returns, "returned", matures="30h"), trainer=boosted, holdout="7d",
                 gates=[nr.beats_champion("log_loss", by=-0.2), nr.no_slice_worse("log_loss", over=["city"], by=0.5)])
endpoint = nr.Endpoint("returns", model, release=nr.Rollout(shadow="2d", at_most="8d", margin=0.1))
monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("log_loss", by=0.05)])
retrain = nr.Retrain(model, when=[nr.regression(), nr.stale("60d")], cooldown="7d")
"""


def edited(text: str, changes: Mapping[str, str]) -> str:
    """A text in which each of these pieces is replaced; one that does not stand in it is a test that would test nothing."""
    for old, new in changes.items():
        assert old in text, f"{old!r} does not stand in what is edited"
        text = text.replace(old, new)
    return text


def edit(path: Path, changes: Mapping[str, str]) -> None:
    """The same of a file."""
    path.write_text(edited(path.read_text(), changes))


def write_project(folder: Path, module: str = MODULE, settings: str = SETTINGS) -> Path:
    """The project's files and data in `folder`."""
    (folder / "data").mkdir(parents=True)
    (folder / "noria.toml").write_text(settings)
    (folder / "shop.py").write_text(module)
    for name, table in tables().items():
        pq.write_table(table, folder / "data" / f"{name}.parquet")
    return folder


@cache
def tables() -> dict[str, pa.Table]:
    """The raw tables: orders, visits (some known late, some corrected), returns (known a day later)."""
    rng = np.random.default_rng(7)
    count = DAYS * ORDERS_A_DAY
    minutes = np.sort(rng.integers(0, DAYS * 1440, count))
    placed = [START + timedelta(minutes=int(m)) for m in minutes]
    price = rng.gamma(2.0, 20.0, count)
    slope = np.where(minutes >= 60 * 1440, -1.0, 1.0)
    returned = rng.random(count) < 1 / (1 + np.exp(-slope * (price - 40) / 15))
    orders = {
        "order_id": [f"o{i:05d}" for i in range(count)],
        "city": rng.choice(["ams", "ber", "cph"], count).tolist(),
        "price": price,
        "placed_at": times(placed),
    }
    returns = {
        "order_id": orders["order_id"],
        "returned": returned.astype(np.int64),
        "settled_at": times([t + timedelta(hours=24) for t in placed]),
    }
    return {"orders": pa.table(orders), "visits": visits(rng), "returns": pa.table(returns)}


def visits(rng: np.random.Generator, count: int = 6000) -> pa.Table:
    at = np.sort(rng.integers(0, DAYS * 1440, count))
    late = rng.random(count) < 0.1
    known = at + np.where(late, rng.integers(60, 600, count), 1)
    rows: dict[str, Any] = {
        "visit_id": [f"v{i:05d}" for i in range(count)],
        "city": rng.choice(["ams", "ber", "cph"], count).tolist(),
        "seconds": rng.gamma(2.0, 30.0, count),
        "at": times([START + timedelta(minutes=int(m)) for m in at]),
        "known_at": times([START + timedelta(minutes=int(m)) for m in known]),
    }
    first = pa.table(rows)
    corrected = first.slice(0, 300)
    later = times([t.as_py() + timedelta(hours=5) for t in corrected.column("known_at")])
    corrected = corrected.set_column(2, "seconds", pa.array(rng.gamma(2.0, 30.0, 300)))
    return pa.concat_tables([first, corrected.set_column(4, "known_at", later)])


def times(values: list[datetime]) -> pa.Array:
    return pa.array(values, pa.timestamp("us", tz="UTC"))
