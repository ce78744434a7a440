"""What stands ready when a page is followed, and what must have come of it: a context for each page that needs one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import noria as nr
import predicted
from docs.blocks import ROOT, blocks_of
from docs.reader import Reader
from image_bundles import FREE, network_bundle
from noria.core.signature import Signature
from noria.data.rows import Rows
from noria.features.training_set import Dataset
from projects import MODULE, SETTINGS, tables
from servers import Standalone

Context = Callable[[Reader], AbstractContextManager[Any]]
CONTEXTS: dict[str, Context] = {}
THINNED = 3  # one in so many rows of the shop's data, so that a training takes a second


def page(name: str) -> Callable[[Callable[[Reader], Iterator[None]]], Context]:
    def registered(context: Callable[[Reader], Iterator[None]]) -> Context:
        CONTEXTS[name] = contextmanager(context)
        return CONTEXTS[name]

    return registered


def write_shop(folder: Path, module: str = MODULE) -> None:
    """The shop of the other tests, with fewer rows."""
    (folder / "noria.toml").write_text(SETTINGS)
    (folder / "shop.py").write_text(module)
    (folder / "data").mkdir()
    for name, rows in tables().items():
        pq.write_table(rows.take(list(range(0, rows.num_rows, THINNED))), folder / "data" / f"{name}.parquet")


def declared() -> dict[str, Any]:
    """Nouns of a small project, by the names that pages give them."""
    frame = pd.DataFrame({"id": [1], "price": [2.0], "at": pd.to_datetime(["2024-01-01T00:00Z"]), "late": [1]})
    table = nr.Table("orders", frame, key="id", event_time="at")
    features = nr.FeatureSet("orders", spine=table, request=[nr.request_transform("price")(lambda rows: {"price": rows["price"]})])
    trainer = nr.trainer(lambda train: train)
    label = nr.Label(table, "late")
    model = nr.Model("delay", features, label=label, trainer=trainer)
    return {
        "nr": nr,
        "features": features,
        "arrivals": table,
        "departures": table,
        "boosted": trainer,
        "label": label,
        "delay": model,
        "endpoint": nr.Endpoint("delay", model),
    }


def training_data(outcomes: Any, groups: Any = None) -> Dataset:
    """Three features and these outcomes."""
    outcomes = np.asarray(outcomes, float)
    block = np.random.default_rng(1).normal(size=(len(outcomes), 3)).astype(np.float32)
    return Dataset(Rows.dense(Signature.of_numbers(("a", "b", "c")).inputs, block), outcomes, groups)


@page("README.md")
def readme(reader: Reader) -> Iterator[None]:
    reader.names |= declared()
    yield
    assert reader.names["delay"].gates


@page("docs/coming-from.md")
def coming_from(reader: Reader) -> Iterator[None]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    times = pd.to_datetime(["2024-01-01T00:00Z", "2024-01-01T03:00Z"])
    trips = pd.DataFrame({"trip": [1, 2], "driver_id": [7, 7], "rating": [3.0, 5.0], "at": times})
    reader.names |= declared() | {
        "HistGradientBoostingClassifier": HistGradientBoostingClassifier,
        "trips": nr.Table("trips", trips, key="trip", event_time="at"),
        "entity_df": pd.DataFrame({"driver_id": [7], "when": times[:1] + pd.Timedelta("4h")}),
        "frame": predicted.table(predicted.columns(days=80)).rename_columns(["at", "id", "x", "place", "p", "late"]),
    }
    yield
    [row] = nr.features_for(reader.names["entity_df"], [reader.names["stats"]]).to_pylist()
    assert (row["trips_1d"], row["rating"]) == (2, 5)
    assert "<html" in (reader.folder / "report.html").read_text()


@page("docs/data-and-features.md")
def data_and_features(reader: Reader) -> Iterator[None]:
    yield
    rows = pa.table({"distance": [1.0], "origin": ["ams"], "dest": ["ber"], "tags": [["a"]], "price": [4.0], "paid": [1.0]})
    assert reader.names["trip"](rows)["pair"].to_pylist() == ["ams-ber"]
    assert reader.names["basket"](rows)["paid_share"].tolist() == [0.25]
    assert reader.names["features"].features == ("orders_1d", "mean_7d", "last_net", "price", "paid_share")


@page("docs/llm.md")
def llm(reader: Reader) -> Iterator[None]:
    """The page's project on some of the example's documents: what it trains passes its gates."""
    example = ROOT / "examples" / "docs-assistant"
    for name in ("prepare.py", "noria.toml"):
        shutil.copy(example / name, reader.folder)
    subprocess.run([sys.executable, "prepare.py", "66"], check=True)
    yield
    [kept] = json.loads(reader.run(["noria", "models", "list", "--json"], endless=False))
    assert (kept["part"], kept["gates"]) == ("champion", {"passed": 2})


@page("docs/models.md")
def models(reader: Reader) -> Iterator[None]:
    module = next(block.text for block in blocks_of(ROOT / "docs" / "models.md") if block.language == "python")
    write_shop(reader.folder, module.replace("rounds=200", "rounds=5"))
    yield
    names, data = reader.names, training_data(np.arange(200) % 2)
    assert set(names["by_quantile"].with_parameters(rounds=2)(data, seed=1)) == {0.1, 0.5, 0.9}
    assert names["weighed"](data, seed=1).predict_proba(data.X).shape == (200, 2)
    horizons = training_data(np.where(np.arange(600).reshape(200, 3) % 7, 1.0, np.nan))
    assert list(names["by_horizon"](horizons, seed=1)) == ["1h", "6h", "24h"]
    ranked = training_data(np.arange(200) % 2, groups=np.repeat(np.arange(20), 10))
    assert names["ranker"].with_parameters(rounds=2)(ranked, seed=1).num_trees() == 2
    made = names["linear"](data, seed=1)
    (reader.folder / "weights.npy").write_bytes(made.files["weights.npy"])
    assert made.load(reader.folder)(Columns(data.features)).shape == (200,)
    assert list(names["Chat"]().stream({"prompt": "say good morning"})) == ["good ", "morning "]


class Columns:
    """A model's inputs as one block, as the Python runtime gives them."""

    def __init__(self, block: Any) -> None:
        self.block = block


@page("docs/monitoring.md")
def monitoring(reader: Reader) -> Iterator[None]:
    shutil.copytree(reader.request.getfixturevalue("trained_shop"), reader.folder, dirs_exist_ok=True)
    rows = predicted.table(predicted.columns(days=80))
    frame = rows.rename_columns(["at", "id", "x", "place", "p", "repaid"])
    settled = pa.array([at.as_py() + pd.Timedelta("1h") for at in frame.column("at")], pa.timestamp("us", tz="UTC"))
    for name, table in (("reviews", rows), ("predictions", frame)):
        (reader.folder / name).mkdir()
        pq.write_table(table, reader.folder / name / "rows.parquet")
    reader.names |= declared() | {"frame": frame.append_column("settled_at", settled)}
    yield
    assert not reader.names["judged"].wrong_now
    assert "<html" in (reader.folder / "predictions.html").read_text()


@page("docs/python.md")
def python(reader: Reader) -> Iterator[None]:
    shutil.copytree(reader.request.getfixturevalue("trained_shop"), reader.folder, dirs_exist_ok=True)
    frame = pd.DataFrame({"order_id": [1, 2], "visit_id": [1, 2], "zip": [123, 456], "at": ["2024-01-01T00:00Z"] * 2, "placed_at": [1, 2]})
    frame.to_json(reader.folder / "orders.json")
    reader.names["frame"] = frame.assign(at=pd.to_datetime(frame["at"]))
    yield


@page("docs/serving.md")
def serving(reader: Reader) -> Iterator[None]:
    server = Standalone(reader.folder / "server", network_bundle(reader.folder / "bundles", FREE).path, order={"endpoint": "photos"})
    reader.port = server.where["port"]
    reader.names |= declared()
    try:
        yield
    finally:
        server.kill()
    sys.path.insert(0, str(reader.folder))
    import scoring  # type: ignore[import-not-found]

    assert scoring.Model().predict({"age": np.zeros(1), "income": np.zeros(1)}) == [0.5]
    assert '"prediction"' in reader.capsys.readouterr().out.replace("'", '"')


@page("docs/start.md")
def start(reader: Reader) -> Iterator[None]:
    for path in (ROOT / "docs" / "data").glob("*.csv"):
        (reader.folder / path.name).write_text(path.read_text())
    yield


@page("docs/errors.md")
def errors(reader: Reader) -> Iterator[None]:
    module = 'import noria as nr\nt = nr.Table("t", nr.files("t.csv"), key="id", event_time="at")\n' + (
        'f = nr.FeatureSet("f", spine=t, request=[nr.request_transform("x")(lambda rows: {"x": rows["x"]})])\n'
        'm = nr.Model("m", f, label=nr.Label(t, "y"), trainer=nr.trainer(lambda train: None))\nnr.Endpoint("delay", m)\n'
    )
    (reader.folder / "shop.py").write_text(module)
    (reader.folder / "noria.toml").write_text('[project]\nname = "shop"\nmodule = "shop"\n')
    yield


@page("docs/operations.md")
def operations(reader: Reader) -> Iterator[None]:
    """A backup of a project that serves while it is made says the same in another place, with the original gone."""
    shop = reader.folder / "shop"
    shutil.copytree(reader.request.getfixturevalue("trained_shop"), shop)
    yield
    import backup  # type: ignore[import-not-found] # the page's own file

    reader.serve(["noria", "serve", "--project", str(shop)])
    asked, stopped = list[str](), threading.Event()
    client = threading.Thread(target=ask_until, args=(reader.port, asked, stopped))
    client.start()
    while len(asked) < 5:
        stopped.wait(0.05)
    backup.backup(shop, reader.folder / "restored")
    stopped.set()
    client.join()
    reader.stop()

    def said(folder: str, *words: str) -> Any:
        return json.loads(reader.run(["noria", *words, "--project", folder, "--json"], endless=False))

    before = [said("shop", *words) for words in (["models", "list"], ["explain", asked[0]], ["status"])]
    shop.rename(reader.folder / "gone")
    reader.run(["noria", "materialize", "--fresh", "--project", "restored"], endless=False)
    after = [said("restored", *words) for words in (["models", "list"], ["explain", asked[0]], ["status"])]
    assert before[0] == after[0]
    for told in (before[1], after[1]):
        assert told["bundle"].pop("path")
    assert before[1] == after[1]
    for name in ("tables", "endpoints"):
        assert before[2][name] == after[2][name]


def ask_until(port: int, asked: list[str], stopped: threading.Event) -> None:
    """Ask the shop for one prediction after the other; their ids are in `asked`."""
    row = {"visits_6h": 1.0, "seconds_6h": 2.0, "seconds": 3.0, "price": 4.0, "twice": 8.0}
    body = json.dumps({"rows": [row]}).encode()
    while not stopped.is_set():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/predict/returns", body, timeout=30) as response:
            asked += json.load(response)["ids"]


@page("docs/bring-your-own-model.md")
def bring_your_own_model(reader: Reader) -> Iterator[None]:
    (reader.folder / "predictions").mkdir()
    pq.write_table(
        predicted.table(predicted.columns(days=80)).rename_columns(["at", "id", "x", "place", "p", "repaid"]), "predictions/rows.parquet"
    )
    yield
    assert "nr.model_file(" in next((reader.folder / "clinic").glob("*.py")).read_text()
    assert "HEALTHCHECK" in (reader.folder / "image-team-tumour-1" / "Dockerfile").read_text()
