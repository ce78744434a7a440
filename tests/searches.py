"""A small project of searches for tests: which of a query's candidates will be clicked? From day 32 on, what was sought is shunned."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from projects import START, times

DAYS, QUERIES_A_DAY, CANDIDATES, TURN = 60, 40, 6, 32

SETTINGS = """
[project]
name = "searches"
module = "searches"

[loop]
tick = "1d"

[replay]
start = 2024-01-23T00:00:00Z
end = 2024-02-22T00:00:00Z
"""

MODULE = """
import noria as nr

candidates = nr.Table("candidates", nr.files("data/candidates.parquet"), key=["item_id", "query_id"], event_time="asked_at")
clicks = nr.Table("clicks", nr.files("data/clicks.parquet"), key=["item_id", "query_id"], event_time="settled_at")

by_item = nr.FeatureView("by_item", clicks, entity="item_id", freshness="1h", aggregate={"clicks_3d": nr.mean("clicked", window="3d")})


@nr.request_transform("match", "price")
def shown(rows):
    return {"match": rows["match"], "price": rows["price"]}


features = nr.FeatureSet("candidates", spine=candidates, views=[by_item], request=[shown])


@nr.trainer
def ranker(train, *, seed, rounds=20, newest=400):
    import lightgbm

    parameters = {"objective": "lambdarank", "num_leaves": 7, "min_data_in_leaf": 30, "seed": seed, "deterministic": True,
                  "force_row_wise": True, "verbose": -1, "num_threads": 1}
    sizes = train.group_sizes[-newest:]
    rows = sizes.sum()
    data = lightgbm.Dataset(train.features[-rows:], train.labels[-rows:], group=sizes)
    return lightgbm.train(parameters, data, num_boost_round=rounds)


model = nr.Model("clicks", features, label=nr.Label(clicks, "clicked", matures="30h"), trainer=ranker, holdout="7d",
                 task=nr.Ranking(group="query_id", at=3),
                 gates=[nr.beats_champion("ndcg_at_3", by=-0.3), nr.no_slice_worse("mrr", over=["device"], by=0.5)])
endpoint = nr.Endpoint("clicks", model, release=nr.Rollout(shadow="2d", at_most="8d", margin=0.1))
monitor = nr.Monitor(endpoint, false_alarms_per_year=6, performance=[nr.Tolerance("ndcg_at_3", by=0.05)])
retrain = nr.Retrain(model, when=[nr.regression(), nr.stale("60d")], cooldown="7d")
"""


def write_searches(folder: Path, module: str = MODULE, settings: str = SETTINGS) -> Path:
    """The project's files and data in `folder`."""
    (folder / "data").mkdir(parents=True)
    (folder / "noria.toml").write_text(settings)
    (folder / "searches.py").write_text(module)
    for name, table in searches().items():
        pq.write_table(table, folder / "data" / f"{name}.parquet")
    return folder


@cache
def searches() -> dict[str, pa.Table]:
    """The raw tables: the candidates of each query, and which of them were clicked, known a day later."""
    rng = np.random.default_rng(11)
    count = DAYS * QUERIES_A_DAY
    minutes = np.sort(rng.integers(0, DAYS * 1440, count))
    query = np.repeat(np.arange(count), CANDIDATES)
    item = np.concatenate([rng.choice(40, CANDIDATES, replace=False) for _ in range(count)])
    match, price = rng.random(len(query)), rng.gamma(2.0, 20.0, len(query))
    slope = np.where(minutes[query] >= TURN * 1440, -1.0, 1.0)
    clicked = rng.random(len(query)) < 1 / (1 + np.exp(-slope * 8 * (match - 0.5) + 0.01 * price + 1))
    asked = [START + timedelta(minutes=int(minutes[q])) for q in query]
    key = {"item_id": [f"i{i:02d}" for i in item], "query_id": [f"q{q:05d}" for q in query]}
    device = rng.choice(["phone", "desk"], count, p=[0.85, 0.15])[query]
    candidates = {**key, "device": device.tolist(), "match": match, "price": price, "asked_at": times(asked)}
    clicks = {**key, "clicked": clicked, "settled_at": times([t + timedelta(hours=24) for t in asked])}
    return {"candidates": pa.table(candidates), "clicks": pa.table(clicks)}
