"""The project that each combination is tried in: its data, and its module.

The data are generated: what a price says of an order turns round on day 40, and from day 52 on all prices are three times as high.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.models.matrix.kinds import FRAME, READS, TRANSFORMS, Combination

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, A_DAY, TURNED, DEARER = 62, 60, 40, 52
SHOPS = ("north", "old|town", "port")
SIDE = 8  # pixels of a photo
ASKED = 16  # rows
TOML = """
[project]
name = "bench"
module = "bench"

[loop]
tick = "1d"

[replay]
start = 2024-02-02T00:00:00Z
end = 2024-02-29T00:00:00Z
"""
MODULE = """
import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

import noria as nr

orders = nr.Table("orders", nr.files("data/orders.parquet"), key={key}, event_time="placed_at")
returns = nr.Table("returns", nr.files("data/returns.parquet"), key={key}, event_time="{settled}")


@nr.request_transform("price", "hour")
def numbers(rows):
    return {{"price": rows["price"], "hour": pc.hour(rows["placed_at"])}}


@nr.request_transform("city", "express", types={{"city": "string", "express": "bool"}})
def words(rows):
    return {{"city": rows["city"], "express": rows["express"]}}


@nr.request_transform("due", "tags", types={{"due": "timestamp", "tags": "string[any]"}})
def rest(rows):
    return {{"due": rows["due"], "tags": rows["tags"]}}


@nr.request_transform("note", types={{"note": "string"}})
def note(rows):
    return {{"note": rows["note"]}}


@nr.request_transform("photo", types={{"photo": "uint8[8, 8, 3]"}})
def photo(rows):
    return {{"photo": np.stack([np.frombuffer(each.as_py(), np.uint8).reshape(8, 8, 3) for each in rows["photo"]])}}


features = nr.FeatureSet("orders", spine=orders, request=[{request}])


def fit(x, y, seed):
{fit}

def answer(fitted, x):
{answer}

most = 0  # rows that this process has learned from at once: those of the model that is served


@nr.trainer
def trained(train, *, seed):
    global most
    x = {reads}
    fitted = fit(x, train.labels, seed)
    told = {{"rows": train.rows.part(0, {asked}).dicts(), "answers": np.asarray(answer(fitted, x[:{asked}]), float).tolist()}}
    if len(train) > most:
        most = len(train)
        (Path(__file__).parent / "expected.json").write_text(json.dumps(told, default=lambda moment: moment.isoformat()))
    return fitted


label = nr.Label(returns, {label}, matures="1d")
model = nr.Model("bench", features, label=label, trainer=trained, holdout="5d", trust={trust}, task={task})
endpoint = nr.Endpoint("bench", model, release=nr.Immediate(), deadline="10s")
nr.Monitor(endpoint, false_alarms_per_year=12, performance=[nr.Tolerance({metric}, by={by})])
"""


def write_data(folder: Path, *, series: bool = False) -> None:
    """The data of a project. series: an order an hour in each shop, and how many come an hour and six hours later"""
    rng = np.random.default_rng(11)
    minute, shop = _by_the_hour() if series else (np.sort(rng.integers(0, DAYS * 1440, DAYS * A_DAY)), np.zeros(DAYS * A_DAY, int))
    count, slope = len(minute), np.where(minute >= TURNED * 1440, -1.0, 1.0)
    placed = [START + timedelta(minutes=int(m)) for m in minute]
    original = rng.gamma(2.0, 20.0, count)
    price = np.where(minute >= DEARER * 1440, 3 * original, original)
    dear = slope * (original - 40) / 20 + rng.normal(0, 0.5, count)
    keys = {
        "order_id": [f"o{i:05d}" for i in range(count)],
        "basket": [f"b{i // 4:05d}" for i in range(count)],
        "shop": [SHOPS[s] for s in shop],
        "placed_at": _times(placed),
    }
    orders = {
        **keys,
        "price": price,
        "city": rng.choice(["Ams", "Köln", "Wien"], count).tolist(),
        "express": rng.random(count) < 0.3,
        "due": _times([moment + timedelta(hours=int(h)) for moment, h in zip(placed, rng.integers(24, 96, count), strict=True)]),
        "tags": pa.array([[f"t{t}" for t in range(n)] for n in rng.integers(0, 4, count)], pa.list_(pa.string())),
        "note": [" ".join(["plain"] * 3 + ["gold"] * int(each / 10)) for each in price],
        "photo": [one.tobytes() for one in _photos(price, rng)],
    }
    outcomes = {
        **keys,
        "fate": np.array(["lost", "exchanged", "kept"])[np.digitize(dear, [-0.5, 0.5])],
        "complaints": pa.array([[tag for tag, least in (("torn", -0.5), ("late", 0.5)) if each > least] for each in dear]),
        "days": 5 + dear,
        "returned": (rng.random(count) < 1 / (1 + np.exp(-slope * (original - 40) / 10))).astype(np.int64),
        "refund": np.clip(60 + slope * 0.5 * (original - 40) + rng.normal(0, 2, count), 1, None),
        "demand": _demand(original, slope, shop, rng) if series else np.zeros(count),
        "settled_at": _times([moment + timedelta(hours=20) for moment in placed]),
    }
    (folder / "data").mkdir(parents=True)
    (folder / "noria.toml").write_text(TOML)
    for name, table in (("orders", orders), ("returns", outcomes)):
        pq.write_table(pa.table(table), folder / "data" / f"{name}.parquet")


def _by_the_hour() -> tuple[np.ndarray, np.ndarray]:
    """The minute and the shop of each order of a series."""
    hours = np.arange(DAYS * 24) * 60
    return np.repeat(hours, len(SHOPS)), np.tile(np.arange(len(SHOPS)), len(hours))


def _demand(price: np.ndarray, slope: np.ndarray, shop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What an hour's demand is: half of it follows the price an hour before, half of it the price six hours before."""
    found = np.zeros(len(price))
    for each in range(len(SHOPS)):
        mine, turned = price[shop == each], slope[shop == each]
        parts = [0.5 * np.roll(turned * (mine - 40), lag) for lag in (1, 6)]
        found[shop == each] = 60 + sum(parts) + rng.normal(0, 2, len(mine))
    return found


def _photos(price: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A photo of each order, the brighter the dearer it is `(orders, side, side, 3)`."""
    light = 20 + np.clip(price, 0, 100)[:, None, None, None] + rng.normal(0, 10, (len(price), SIDE, SIDE, 3))
    return np.clip(light, 0, 255).astype(np.uint8)


def _times(moments: Sequence[datetime]) -> pa.Array:
    return pa.array(moments, pa.timestamp("us", tz="UTC"))


def write_module(combination: Combination, folder: Path, answer: str) -> None:
    """The module of a combination. answer: the body of a function that answers as the trainer's framework does"""
    kind = combination.kind
    (folder / "bench.py").write_text(
        MODULE.format(
            request=TRANSFORMS[combination.inputs],
            fit=combination.fit.strip("\n") + "\n",
            answer=answer.strip("\n") + "\n",
            reads=READS.get(combination.inputs, FRAME),
            asked=ASKED,
            label=kind.label,
            trust=combination.trust,
            task=kind.task,
            metric=repr(kind.metric),
            by=kind.by,
            key=kind.key,
            settled=kind.settled,
        )
    )
