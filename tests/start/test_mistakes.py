"""What new users get wrong on their first day: each is one message, which says what to write. No traceback, and nothing half-written.

`docs/mistakes.md` shows the same table, word by word.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
import projects
from noria.cli.exits import ended
from noria.cli.main import command
from noria.core.errors import NoriaError
from noria.core.signature import Signature
from noria.serving.protocol.decoder import Decoder
from start.conftest import Type
from start.datasets import flowers, orders, write_csv, write_database

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
START = datetime(2024, 1, 1, tzinfo=UTC)
Prepare = Callable[[Path], object]


@dataclass(frozen=True)
class Mistake:
    """prepare: what is there; typed: the command; code: of the error; says: what it says to write (a part of its fix)"""

    prepare: Prepare
    typed: Sequence[str]
    code: str
    says: str


def written(name: str, rows: list[dict[str, Any]], delimiter: str = ",") -> Prepare:
    """A file of text, with any delimiter."""
    lines = [delimiter.join(map(str, row)) for row in (rows[0].keys(), *(row.values() for row in rows))]
    return lambda folder: (folder / name).write_text("\n".join(lines) + "\n")


def content(name: str, data: bytes | str) -> Prepare:
    return lambda folder: (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def shop(folder: Path) -> None:
    write_csv(folder / "orders.csv", orders(60))


def nothing(_: Path) -> None: ...


def alike(folder: Path) -> None:
    """Two columns, and nothing that says which of them is to be predicted."""
    write_csv(folder / "alike.csv", [{"a": i % 2, "b": (i // 2) % 2, "note": f"n{i}x{i * 7919 % 1000}"} for i in range(60)])


def changed(**columns: Callable[[int, dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """Orders with other values in some columns."""
    return [{**row, **{name: make(i, row) for name, make in columns.items()}} for i, row in enumerate(orders(60))]


def mixed(folder: Path) -> None:
    write_csv(folder / "exports" / "orders.csv", orders(60))
    write_csv(folder / "exports" / "flowers.csv", flowers())


def in_the_way(folder: Path) -> None:
    shop(folder)
    (folder / "orders.py").write_text("mine = True\n")


def excel_in_a_folder(folder: Path) -> None:
    (folder / "exports").mkdir()
    (folder / "exports" / "orders.xlsx").write_bytes(b"PK\x03\x04")


# --- a project ----------------------------------------------------------------------------------------------------------

MODULE = """
import noria as nr

orders = nr.Table("orders", nr.files("data/orders.parquet"), key="order_id", event_time="placed_at")
visits = nr.Table("visits", nr.files("data/visits.parquet"), key="visit_id", event_time="at")
returns = nr.Table("returns", nr.files("data/returns.parquet"), key="order_id", event_time="settled_at")

by_city = nr.FeatureView("by_city", visits, entity="city", aggregate={"seconds_6h": nr.mean("seconds", window="6h")})


@nr.request_transform("price")
def basket(rows):
    return {"price": rows["price"]}


features = nr.FeatureSet("orders", spine=orders, views=[by_city], request=[basket])


@nr.trainer
def fitted(train, *, seed):
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=3)
    model.fit(train.features, train.labels)
    return model


model = nr.Model("returns", features, label=nr.Label(returns, "returned", matures="30h"), trainer=fitted, trust=True, holdout="3d",
    gates=[nr.beats_champion("log_loss", by=-0.02)])
endpoint = nr.Endpoint("returns", model, release=nr.Rollout(shadow="3d", at_most="10d"))
nr.Monitor(endpoint, performance=[nr.Tolerance("log_loss", by=0.03)])
nr.Retrain(model, when=[nr.regression(), nr.stale("63d")])
"""
SETTINGS = '[project]\nname = "shop"\nmodule = "shop"\n'


def write_shop(folder: Path, count: int = 200) -> Path:
    draw = np.random.default_rng(3)
    at = pa.array([START + timedelta(minutes=97 * i) for i in range(count)], pa.timestamp("us", tz="UTC"))
    price, city = draw.gamma(4, 12, count), draw.choice(["ams", "ber"], count).tolist()
    returned = draw.random(count) < 1 / (1 + np.exp(-(price - 48) / 12))
    keys = [f"o{i:05}" for i in range(count)]
    tables = {
        "orders": {"order_id": keys, "city": city, "price": price, "lost": returned.tolist(), "placed_at": at},
        "visits": {"visit_id": list(range(count)), "city": city, "seconds": price, "at": at},
        "returns": {"order_id": keys, "returned": returned, "word": np.where(returned, "yes", "no").tolist(), "settled_at": at},
    }
    (folder / "data").mkdir(parents=True)
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / "data" / f"{name}.parquet")
    (folder / "noria.toml").write_text(SETTINGS)
    (folder / "shop.py").write_text(MODULE)
    return folder


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its tables, nothing trained."""
    folder = write_shop(tmp_path_factory.mktemp("mistakes") / "shop")
    assert ended(command, ["ingest", "--project", str(folder), "--json"]) == 0
    return folder


def edited(*changes: str, **files: str) -> Prepare:
    """The project with slips in its module (a text, and what stands there instead, …), and further files beside it."""
    module = projects.edited(MODULE, dict(zip(changes[::2], changes[1::2], strict=True)))

    def prepare(folder: Path) -> None:
        write_shop(folder / "shop")
        (folder / "shop" / "shop.py").write_text(module)
        for name, text in files.items():
            (folder / "shop" / f"{name}.py").write_text(text)

    return prepare


def set_to(text: str) -> Prepare:
    """The project with these settings."""

    def prepare(folder: Path) -> None:
        write_shop(folder / "shop")
        (folder / "shop" / "noria.toml").write_text(text)

    return prepare


as_it_is = edited()
CHECK = ["check", "--project", "shop"]


# --- predictions of another system --------------------------------------------------------------------------------------


def predicted(**columns: Callable[[int, dict[str, Any]], Any]) -> Prepare:
    """Thirty days of predictions with outcomes, with other values in some columns."""
    draw = np.random.default_rng(5)
    chances = draw.uniform(0.1, 0.9, 600)
    rows = [
        {"at": (START + timedelta(minutes=72 * i)).isoformat(), "p": round(float(p), 4), "y": int(draw.random() < p)}
        for i, p in enumerate(chances)
    ]
    return lambda folder: write_csv(
        folder / "p.csv", [{**row, **{name: make(i, row) for name, make in columns.items()}} for i, row in enumerate(rows)]
    )


MONITOR = ["monitor", "predictions", "p.csv", "--time", "at", "--prediction", "p", "--outcome", "y"]

INIT = ["init", "orders.csv", "--yes"]

DATA: dict[str, Mistake] = {
    "no data is named": Mistake(nothing, ["init", "--yes"], "NR-591", "noria init data.csv"),
    "the file's name is misspelled": Mistake(shop, ["init", "ordesr.csv", "--yes"], "NR-201", "correct the path"),
    "a folder of Excel files": Mistake(excel_in_a_folder, ["init", "exports", "--yes"], "NR-201", ".parquet"),
    "a folder of files that are not alike": Mistake(mixed, ["init", "exports", "--yes"], "NR-597", "noria init FILE"),
    "an Excel file": Mistake(content("orders.xlsx", b"PK\x03\x04"), ["init", "orders.xlsx", "--yes"], "NR-202", "pandas.read_excel"),
    "an Excel file that is named .csv": Mistake(content("orders.csv", b"PK\x03\x04"), INIT, "NR-202", "pandas.read_excel"),
    "a CSV file that is named .parquet": Mistake(
        content("orders.parquet", "a,b\n1,2\n"), ["init", "orders.parquet", "--yes"], "NR-202", "rename it to orders.csv"
    ),
    "a JSON array": Mistake(
        content("orders.json", json.dumps(orders(40))), ["init", "orders.json", "--yes"], "NR-202", 'to_json("orders.jsonl"'
    ),
    "a database, named as a file": Mistake(
        lambda folder: write_database(folder / "shop.db", orders(40)), ["init", "shop.db", "--yes"], "NR-202", "--sql sqlite:///shop.db"
    ),
    "an empty file": Mistake(content("orders.csv", ""), INIT, "NR-595", "at least 30 rows"),
    "a file with names of columns only": Mistake(content("orders.csv", "order_id,price,returned\n"), INIT, "NR-595", "at least 30 rows"),
    "no names of columns": Mistake(content("orders.csv", "o1,4.5,yes\no2,3.5,no\n"), INIT, "NR-202", "a first line of their own"),
    "a title above the names of columns": Mistake(
        lambda folder: (folder / "orders.csv").write_text("Orders of May\n\n" + write_csv(folder / "o.csv", orders(60)).read_text()),
        INIT,
        "NR-202",
        "remove the lines above",
    ),
    "columns separated by colons": Mistake(
        written("orders.csv", [{"id": i, "price": i * 3 % 7, "returned": i % 2} for i in range(60)], ":"), INIT, "NR-202", 'delimiter=":"'
    ),
    "a file that is not UTF-8": Mistake(
        content("orders.csv", b"id,city\n" + "".join(f"{i},Zürich\n" for i in range(60)).encode("cp850")),
        INIT,
        "NR-202",
        'encoding="latin-1"',
    ),
    "two columns of one name": Mistake(content("orders.csv", "price,Price\n1,2\n"), INIT, "NR-202", "rename one of them"),
    "dates that may be day first or month first": Mistake(
        written("orders.csv", changed(placed_at=lambda i, _: f"0{1 + i % 9}/0{1 + i * 4 % 7}/2024")), INIT, "NR-556", "dayfirst=True"
    ),
    "a label that is NA in some rows": Mistake(
        written("orders.csv", changed(returned=lambda i, row: row["returned"] if i % 9 else "NA")), INIT, "NR-557", "leave it empty"
    ),
    "a label that is written in several ways": Mistake(
        written("orders.csv", changed(returned=lambda i, row: row["returned"] if i % 3 else row["returned"].upper())),
        INIT,
        "NR-557",
        "write each outcome in one way",
    ),
    "the column's name is misspelled": Mistake(shop, [*INIT, "--label", "retruned"], "NR-593", "--label COLUMN"),
    "there is no such task": Mistake(shop, [*INIT, "--task", "classification"], "NR-594", "--task multiclass"),
    "two columns could be meant": Mistake(alike, ["init", "alike.csv", "--yes"], "NR-590", "--label a or --label b"),
    "the label is the key": Mistake(shop, [*INIT, "--label", "order_id"], "NR-594", "name another column to predict"),
    "the key does not tell rows apart": Mistake(shop, [*INIT, "--key", "city"], "NR-594", "--key order_id"),
    "the time is a text": Mistake(shop, [*INIT, "--time", "city"], "NR-594", "leave --time out"),
    "a text is to be forecast": Mistake(shop, [*INIT, "--task", "forecast"], "NR-594", "at equal steps"),
    "an abbreviation as a time zone": Mistake(shop, [*INIT, "--time-zone", "Berlin"], "NR-104", "Europe/Berlin"),
    "the project is there already": Mistake(in_the_way, INIT, "NR-592", "--project NAME"),
    "--yes is left out in a script": Mistake(shop, ["init", "orders.csv"], "NR-596", "add --yes"),
    "a database without a table": Mistake(shop, ["init", "--sql", "sqlite:///shop.db", "--yes"], "NR-594", "--table orders"),
}

PROJECT: dict[str, Mistake] = {
    "Noria is not imported": Mistake(edited("import noria as nr\n", ""), CHECK, "NR-110", "import noria as nr"),
    "a module that is not installed, or misspelled": Mistake(
        edited("import noria as nr\n", "import noria as nr\nimport pyarow\n"), CHECK, "NR-110", "did you mean 'pyarrow'"
    ),
    "a comma is missing": Mistake(edited('"orders", nr.files', '"orders" nr.files'), CHECK, "NR-110", "correct that line"),
    "two modules import each other": Mistake(
        edited("import noria as nr\n", "import noria as nr\nimport helper\n", helper="from shop import orders\n"),
        CHECK,
        "NR-553",
        "move what both need",
    ),
    "a function of Noria is misspelled": Mistake(edited("nr.files(", "nr.file("), CHECK, "NR-110", "noria check"),
    "an option of nr.Table is misspelled": Mistake(edited("event_time=", "event_tiem="), CHECK, "NR-110", "did you mean 'event_time'"),
    "a table without a time": Mistake(edited(', event_time="placed_at"', ""), CHECK, "NR-110", "add event_time=… to nr.Table"),
    "a path without nr.files": Mistake(
        edited('nr.files("data/orders.parquet")', '"data/orders.parquet"'), CHECK, "NR-551", 'nr.files("data/orders.parquet")'
    ),
    "a table's path is misspelled": Mistake(edited("data/orders.parquet", "data/order.parquet"), CHECK, "NR-201", "correct the path"),
    "the key names no column": Mistake(edited('key="order_id"', 'key="id"'), CHECK, "NR-203", "correct the name"),
    "a column of texts as the time": Mistake(
        edited('event_time="placed_at"', 'event_time="city"'), CHECK, "NR-204", "name a column of times"
    ),
    "two declarations of one name": Mistake(edited('nr.Table("visits"', 'nr.Table("orders"'), CHECK, "NR-113", "rename one"),
    "a window without a unit": Mistake(edited('window="6h"', "window=6"), CHECK, "NR-102", '"6h"'),
    "a window in words": Mistake(edited('window="6h"', 'window="6 hours"'), CHECK, "NR-102", "3h"),
    "a feature of a column that does not exist": Mistake(
        edited('nr.mean("seconds"', 'nr.mean("secods"'), CHECK, "NR-203", "correct the name"
    ),
    "a misspelled entity": Mistake(edited('entity="city"', 'entity="ctiy"'), CHECK, "NR-203", "correct the name"),
    "one view instead of a list": Mistake(edited("views=[by_city]", "views=by_city"), CHECK, "NR-551", "views=[by_city]"),
    "a table's name instead of the table": Mistake(edited("spine=orders", 'spine="orders"'), CHECK, "NR-551", "spine=orders"),
    "a function that is no request transform": Mistake(
        edited('@nr.request_transform("price")\n', ""), CHECK, "NR-551", "@nr.request_transform"
    ),
    "a request transform that reads no column": Mistake(edited('rows["price"]', 'rows["prcie"]'), CHECK, "NR-212", "did you mean 'price'"),
    "arithmetic on a column": Mistake(edited('rows["price"]', 'rows["price"] * 1.2'), CHECK, "NR-212", "pc.multiply"),
    "a text as a number": Mistake(edited('rows["price"]', 'rows["city"]'), CHECK, "NR-212", 'types={"price": "string"}'),
    "the label is a feature": Mistake(
        edited(
            '{"price": rows["price"]}',
            '{"price": rows["lost"]}',
            'nr.Label(returns, "returned", matures="30h")',
            'nr.Label(orders, "lost")',
        ),
        CHECK,
        "NR-558",
        "leave 'price' out",
    ),
    "the label names no column": Mistake(edited('"returned", matures', '"retruned", matures'), CHECK, "NR-203", "correct the name"),
    "a label of yes and no": Mistake(edited('"returned", matures', '"word", matures'), CHECK, "NR-218", 'positive="yes"'),
    "a trainer that is a lambda": Mistake(edited("trainer=fitted", "trainer=lambda train: None"), CHECK, "NR-315", "@nr.trainer above"),
    "a trainer without @nr.trainer": Mistake(edited("@nr.trainer\n", ""), CHECK, "NR-315", "@nr.trainer above def fitted"),
    "a trainer of X and y": Mistake(edited("(train, *, seed)", "(X, y)"), CHECK, "NR-555", "def fitted(train, *, seed)"),
    "an estimator as the trainer": Mistake(
        edited("trainer=fitted", "trainer=__import__('sklearn.dummy').dummy.DummyClassifier()"),
        CHECK,
        "NR-315",
        "nr.sklearn(DummyClassifier",
    ),
    "a gate on a metric of another task": Mistake(
        edited('nr.beats_champion("log_loss"', 'nr.beats_champion("absolute_error"'), CHECK, "NR-320", "log_loss"
    ),
    "a task by its name": Mistake(edited('holdout="3d"', 'task="regression"'), CHECK, "NR-551", "task=nr.Regression()"),
    "a share of rows as the holdout": Mistake(edited('holdout="3d"', "holdout=0.2"), CHECK, "NR-102", "28d"),
    "a monitor of a model": Mistake(edited("nr.Monitor(endpoint", "nr.Monitor(model"), CHECK, "NR-551", "nr.Monitor(endpoint"),
    "a reason to retrain that is not called": Mistake(edited("nr.regression()", "nr.regression"), CHECK, "NR-551", "nr.regression()"),
    "the module's name with .py": Mistake(
        set_to(SETTINGS.replace('module = "shop"', 'module = "shop.py"')), CHECK, "NR-554", 'module = "shop"'
    ),
    "a setting is misspelled": Mistake(set_to(SETTINGS + "[serving]\nprot = 80\n"), CHECK, "NR-103", "known: host, port"),
    "a text as a port": Mistake(set_to(SETTINGS + '[serving]\nport = "web"\n'), CHECK, "NR-103", "port = 8080"),
    "a tick without a unit": Mistake(set_to(SETTINGS + '[loop]\ntick = "1"\n'), CHECK, "NR-103", 'tick = "1d"'),
    "an empty noria.toml": Mistake(set_to(""), CHECK, "NR-103", "write [project]"),
}

COMMANDS: dict[str, Mistake] = {
    "a command outside of a project": Mistake(shop, ["train"], "NR-103", "noria init"),
    "a command is misspelled": Mistake(nothing, ["trian"], "NR-001", "noria train"),
    "a command without its second word": Mistake(nothing, ["models"], "NR-001", "noria models list"),
    "an endpoint's name is misspelled": Mistake(as_it_is, ["train", "retruns", "--project", "shop"], "NR-111", "correct the name"),
    "training before ingestion": Mistake(as_it_is, ["train", "--project", "shop"], "NR-206", "noria ingest"),
    "serving before training": Mistake(as_it_is, ["serve", "--project", "shop", "--port", "0"], "NR-420", "noria train"),
    "a file of predictions is not there": Mistake(nothing, MONITOR, "NR-201", "correct the path"),
    "the column of predictions is misspelled": Mistake(
        predicted(), ["monitor", "predictions", "p.csv", "--time", "at", "--prediction", "pp"], "NR-580", "at, p, y"
    ),
    "probabilities as percentages": Mistake(
        predicted(p=lambda _, row: round(row["p"] * 100, 1)), MONITOR, "NR-580", "divide the column by 100"
    ),
    "probabilities with a percent sign": Mistake(predicted(p=lambda _, row: f"{row['p']:.0%}"), MONITOR, "NR-580", 'rstrip("% ")'),
    "probabilities with a decimal comma": Mistake(
        predicted(p=lambda _, row: f"{row['p']:.2f}".replace(".", ",")), MONITOR, "NR-580", 'replace(",", ".")'
    ),
    "predictions and outcomes swapped": Mistake(
        predicted(), [*MONITOR[:5], "--prediction", "y", "--outcome", "p"], "NR-580", "--prediction p --outcome y"
    ),
    "a time that is a text": Mistake(predicted(at=lambda i, _: f"day {i}"), MONITOR, "NR-606", "the column with the time"),
    "times with the day first": Mistake(
        predicted(at=lambda _, row: datetime.fromisoformat(row["at"]).strftime("%d/%m/%Y")), MONITOR, "NR-606", "write the year first"
    ),
    "outcomes that could be either": Mistake(predicted(y=lambda _, row: "good" if row["y"] else "bad"), MONITOR, "NR-581", "positive"),
    "a window of a number without a unit": Mistake(predicted(), [*MONITOR, "--matures", "30"], "NR-102", '"30d"'),
    "a tolerance without a number": Mistake(predicted(), [*MONITOR, "--tolerance", "log_loss"], "NR-001", "log_loss=0.02"),
}


MISTAKES = DATA | PROJECT | COMMANDS


@pytest.mark.parametrize("about", MISTAKES)
def test_a_mistake_is_one_message_that_says_what_to_write(
    about: str, noria: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mistake = MISTAKES[about]
    mistake.prepare(tmp_path)
    capsys.readouterr()
    before = files_of(tmp_path)
    exit_code, out, err = noria(*mistake.typed)
    assert exit_code == 2, out + err
    assert err.count("error NR-") == 1
    assert "Traceback" not in err
    what, where, fix = told(err)
    assert what.startswith(f"error {mistake.code}: ")
    assert where
    assert mistake.says in fix
    assert row(about, what.removeprefix("error "), fix) in PAGE.read_text().splitlines()
    if mistake.typed[0] in ("init", "check"):
        assert files_of(tmp_path) == before, "nothing was written"


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not {"__pycache__", ".noria"} & set(path.parts))


def told(err: str) -> tuple[str, str, str]:
    """What a command says on standard error at its end: what happened, where, and what to do."""
    lines = err[err.index("error NR-") :].splitlines()
    what = " ".join(lines[: next(i for i, line in enumerate(lines) if line.startswith("  where: "))])
    [where] = [line for line in lines if line.startswith("  where: ")]
    [fix] = [line for line in lines if line.startswith("  fix:   ")]
    return what, where.removeprefix("  where: "), fix.removeprefix("  fix:   ")


def row(about: str, what: str, fix: str) -> str:
    """A mistake as the page shows it."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in (about, what, fix)) + " |"


# --- what a trainer returns ---------------------------------------------------------------------------------------------

RETURNED = {
    "a trainer that returns nothing": ("    return model", "", "returned nothing", "end it with `return model`"),
    "a trainer that returns an unfitted model": (
        "    model.fit(train.features, train.labels)\n",
        "",
        "was never fitted",
        "return model.fit(train.X",
    ),
    "a trainer that returns two things": ("return model", "return model, 1", "a tuple of HistGradient", "return the fitted model alone"),
}


@pytest.mark.parametrize("about", RETURNED)
def test_a_trainer_that_returns_no_fitted_model_is_told_so(about: str, ingested: Path, noria: Type, tmp_path: Path) -> None:
    old, new, what, fix = RETURNED[about]
    shutil.copytree(ingested, tmp_path / "shop")
    projects.edit(tmp_path / "shop" / "shop.py", {old: new})
    exit_code, _, err = noria("train", "--project", "shop")
    said, where, advice = told(err)
    assert exit_code == 2
    assert said.startswith("error NR-555: ")
    assert what in said
    assert "shop.py, line 19" in where
    assert fix in advice
    assert row(about, said.removeprefix("error "), advice) in PAGE.read_text().splitlines()


# --- requests -----------------------------------------------------------------------------------------------------------

REQUESTS: dict[str, tuple[Any, str]] = {
    "a feature is missing": ({"rows": [{"price": 1.0}]}, "send every feature"),
    "a feature is misspelled": ({"rows": [{"prise": 1.0, "visits": 1.0}]}, "/entities"),
    "a text for a number": ({"rows": [{"price": "12.5", "visits": 1.0}]}, "send a number"),
    "a row instead of rows": ({"price": 1.0, "visits": 1.0}, '{"rows": [{"price": 1.0, "visits": 1.0}]}'),
    "one row, not in a list": ({"rows": {"price": 1.0, "visits": 1.0}}, '{"rows": [{"price": 1.0, "visits": 1.0}]}'),
    "values without names": ({"rows": [[1.0, 2.0]]}, '{"rows": [{"price": 1.0, "visits": 1.0}]}'),
    "a number as a key": ({"rows": [{"price": 1.0, "visits": 1.0}], "keys": [1]}, '"keys": ["1"]'),
    "NaN in JSON": (b'{"rows": [{"price": NaN, "visits": 1}]}', "send null"),
    "single quotes": (b"{'rows': []}", "double quotes"),
    "a form instead of JSON": (b"price=1&visits=2", '{"rows": ['),
}


@pytest.mark.parametrize("about", REQUESTS)
def test_a_request_of_another_shape_is_told_what_to_send(about: str) -> None:
    body, fix = REQUESTS[about]
    with pytest.raises(NoriaError) as raised:
        Decoder(Signature.of_numbers(["price", "visits"])).plain(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert raised.value.code == "NR-510"
    assert fix in raised.value.fix
    assert row(about, f"NR-510: {raised.value.what}", raised.value.fix) in PAGE.read_text().splitlines()


# --- Python -------------------------------------------------------------------------------------------------------------

ROWS = pd.DataFrame({"order_id": [1, 2], "city": ["ams", "ber"], "at": pd.to_datetime(["2024-01-01T00:00Z", "2024-01-02T00:00Z"])})


def table(rows: Any) -> nr.Table:
    return nr.Table("orders", rows, key="order_id", event_time="at")


def view(rows: pd.DataFrame = ROWS) -> nr.FeatureView:
    return nr.FeatureView("by_city", table(rows), entity="city", aggregate={"orders_1d": nr.count(window="1d")})


def opened(folder: Path) -> Any:
    return nr.open(folder)


PYTHON: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "nr.open of a folder that is no project": (lambda folder: nr.open(folder.parent), "NR-103", "noria init"),
    "a moment without a zone": (lambda folder: opened(folder).training_set(as_of=datetime.fromisoformat("2024-01-05")), "NR-001", "Z"),
    "a table's name is misspelled": (lambda folder: opened(folder).tables["order"], "NR-111", "correct the name"),
    "a column of values of several types": (lambda _: table(ROWS.assign(city=["ams", 1])), "NR-222", 'df["city"].astype(str)'),
    "a key that is the frame's index": (lambda _: table(ROWS.set_index("order_id")), "NR-552", "frame.reset_index()"),
    "a list instead of a frame": (lambda _: nr.frame([{"order_id": 1}]), "NR-222", "nr.files"),
    "a dict instead of a frame": (lambda _: table({"order_id": [1]}), "NR-551", "a data frame"),
    "several paths in nr.files": (lambda _: nr.files(["a.csv", "b.csv"]), "NR-551", 'nr.files("data/*.csv")'),  # type: ignore[arg-type]
    "rows without the entity": (lambda _: nr.features_for(ROWS[["at"]], [view()]), "NR-203", "correct the name"),
    "rows without a time": (lambda _: nr.features_for(ROWS[["city"]], [view()]), "NR-265", "time=…"),
    "times without a zone": (lambda _: nr.features_for(ROWS.assign(at=ROWS["at"].dt.tz_localize(None)), [view()]), "NR-204", "tz_localize"),
    "one view instead of a list of views": (lambda _: nr.features_for(ROWS, view()), "NR-551", "views=[by_city]"),  # type: ignore[arg-type]
    "the index says what rows are about": (lambda _: nr.features_for(ROWS.set_index("city"), [view()]), "NR-552", "reset_index"),
}


@pytest.mark.parametrize("about", PYTHON)
def test_a_mistake_in_python_is_told_what_to_write(about: str, ingested: Path) -> None:
    make, code, fix = PYTHON[about]
    with pytest.raises(NoriaError) as raised:
        make(ingested)
    assert raised.value.code == code
    assert fix in raised.value.fix
    assert row(about, f"{code}: {raised.value.what}", raised.value.fix) in PAGE.read_text().splitlines()


def test_the_page_shows_no_mistake_that_is_not_tried() -> None:
    shown = [line.split(" | ")[0].removeprefix("| ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    tried = [*MISTAKES, *RETURNED, *REQUESTS, *PYTHON]
    assert sorted(name for name in shown if name not in ("mistake", "---")) == sorted(tried)


# --- read as it was meant, and said ------------------------------------------------------------------------------------


def test_a_label_with_one_value_is_refused(noria: Type, tmp_path: Path) -> None:
    write_csv(tmp_path / "flowers.csv", [{**each, "season": "spring"} for each in flowers()])
    _, _, err = noria("init", "flowers.csv", "--yes", "--label", "season")
    assert "error NR-595: 'season' has only one value: 'spring'" in err


def test_decimal_commas_are_numbers_and_the_module_says_so(proposed: Callable[..., dict[str, Any]], tmp_path: Path, noria: Type) -> None:
    written("orders.csv", changed(price=lambda _, one: str(one["price"]).replace(".", ",")), ";")(tmp_path)
    assert "price" in proposed("orders.csv", "--dry-run")["features"]
    assert noria("init", "orders.csv", "--yes")[0] == 0
    assert 'decimal=","' in (tmp_path / "orders.py").read_text()


@pytest.mark.parametrize("name", ["größe", "size"])
def test_a_file_of_windows_is_read_as_that_and_the_module_says_so(
    proposed: Callable[..., dict[str, Any]], tmp_path: Path, noria: Type, name: str
) -> None:
    rows = changed(**{name: lambda i, _: ("Müller", "Möller", "Noël")[i % 3]})
    path = write_csv(tmp_path / "orders.csv", rows)
    path.write_bytes(path.read_text().encode("cp1252"))
    found = proposed("orders.csv", "--label", "returned", "--dry-run")
    assert any(note.startswith("the data is not UTF-8: it is read as cp1252") for note in found["notes"])
    assert noria("init", "orders.csv", "--label", "returned", "--yes")[0] == 0
    assert 'encoding="cp1252"' in (tmp_path / "orders.py").read_text()
    assert noria("ingest")[0] == 0


def test_yes_is_yes_in_other_languages(proposed: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", changed(returned=lambda i, _: "nein" if i % 3 == 0 else "ja"))
    assert "'ja' counts as 1 by its meaning" in json.dumps(proposed("orders.csv", "--dry-run", "--label", "returned"), ensure_ascii=False)


def test_thousands_are_no_fractions(proposed: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", changed(price=lambda i, _: f"{i + 1},{i * 7919 % 900 + 100}"))
    found = proposed("orders.csv", "--dry-run")
    assert "price" not in found["features"]
    assert any(note.startswith("price is left out: it holds texts such as ") for note in found["notes"])


def test_numbers_of_seconds_are_times(proposed: Callable[..., dict[str, Any]], tmp_path: Path, noria: Type) -> None:
    write_csv(tmp_path / "orders.csv", changed(placed_at=lambda i, _: 1_704_067_200 + 5_820 * i))
    assert proposed("orders.csv", "--dry-run")["event time"] == "placed_at"
    assert noria("init", "orders.csv", "--yes")[0] == 0
    assert pq.read_table(tmp_path / "data" / "orders")["placed_at"][0].as_py() == START


FIRST_DAYS = [datetime(2024, 1 + i // 20, 1 + i % 20 * 12 // 20, tzinfo=UTC) for i in range(60)]  # the first twelve of three months
TO_THE_13TH = [START + timedelta(hours=5 * i) for i in range(60)]


@pytest.mark.parametrize("days", [FIRST_DAYS, TO_THE_13TH], ids=["by the order of rows", "by the few that can't be months"])
def test_dates_with_the_day_first_are_recognized(days: list[datetime], tmp_path: Path, noria: Type) -> None:
    write_csv(tmp_path / "orders.csv", changed(placed_at=lambda i, _: days[i].strftime("%d/%m/%Y")))
    assert noria("init", "orders.csv", "--yes")[0] == 0
    found = pq.read_table(tmp_path / "data" / "orders")["placed_at"].to_pylist()
    assert [moment.date() for moment in found] == [day.date() for day in days]


def test_predictions_of_the_other_outcome_are_noted(noria: Type, tmp_path: Path) -> None:
    predicted(p=lambda _, one: round(1 - one["p"], 4))(tmp_path)
    _, out, _ = noria(*MONITOR)
    assert "the predictions seem to be the probability of the other outcome" in " ".join(out.split())


def test_an_outcome_needs_only_its_own_columns_and_no_prediction_is_made_up(ingested: Path, noria: Type, tmp_path: Path) -> None:
    shutil.copytree(ingested, tmp_path / "shop")
    assert noria("outcome", "add", "o00001", "true", "--project", "shop")[0] == 0, "the table's other columns are not known"
    code, _, err = noria("outcome", "add", "01a22d02e555-w20261130151123389241x0-00000000", "true", "--project", "shop")
    assert code == 2
    assert "error NR-601" in err


def test_a_key_that_most_rows_share_is_a_warning(noria: Type, tmp_path: Path) -> None:
    edited(
        'key="order_id", event_time="placed_at"',
        'key="city", event_time="placed_at"',
        'nr.Label(returns, "returned"',
        'nr.Label(orders, "lost"',
    )(tmp_path)
    code, out, _ = noria(*CHECK)
    assert code == 0
    assert "only 2 facts: rows with the same city are versions of one" in " ".join(out.split())


def test_a_view_in_which_a_row_has_its_own_outcome_is_refused(noria: Type, tmp_path: Path) -> None:
    edited(
        '"by_city", visits, entity="city", aggregate={"seconds_6h": nr.mean("seconds", window="6h")}',
        '"by_city", orders, entity="city", aggregate={"lost_7d": nr.mean("lost::INT", window="7d")}',
        'nr.Label(returns, "returned", matures="30h")',
        'nr.Label(orders, "lost")',
    )(tmp_path)
    code, _, err = noria(*CHECK)
    assert code == 2
    assert "error NR-558: feature 'lost_7d' is made of 'lost'" in err
