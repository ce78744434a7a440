"""`noria init`: what it proposes of data that it has never seen, and that the project which it writes is one."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow.parquet as pq
import pytest
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from noria.core.declarations import collecting
from noria.loop.project import load_project
from noria.start.project import Given, given_query
from start.conftest import Type
from start.datasets import flowers, hours, orders, pixels, reviews, write_csv, write_database, write_pictures

Proposed = Callable[..., dict[str, Any]]


def test_a_table_with_a_key_a_time_and_an_outcome_is_read_where_it_is(noria: Type, proposed: Proposed, tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", orders())
    found = proposed("orders.csv")
    assert (found["event time"], found["key"], found["label"], found["task"]) == ("placed_at", "order_id", "returned", "binary")
    assert found["features"] == ["price", "items", "city"]
    assert found["files"] == ["noria.toml", "orders.py", ".gitignore"]
    module = (tmp_path / "orders.py").read_text()
    assert 'nr.files("orders.csv", time_zones={"placed_at": "UTC"})' in module
    assert 'positive="yes"' in module
    code, out, _ = noria("check")
    assert code == 0
    assert "1 table can be read" in out


def test_what_gives_the_answer_away_is_left_out_and_said(proposed: Proposed, tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", orders())
    found = proposed("orders.csv")
    reasons = {one["column"]: one["reason"] for one in found["left_out"] if one["suspect"]}
    assert set(reasons) == {"refund", "returned_flag_copy"}
    assert "known afterwards" in reasons["refund"]
    assert "explains 100%" in reasons["returned_flag_copy"]
    assert "returned_flag_copy (leakage suspect)" in (tmp_path / "orders.py").read_text()


def test_what_is_written_down_with_the_outcome_is_left_out(proposed: Proposed, tmp_path: Path) -> None:
    """A flight that has not arrived has no time in the air yet."""
    rows = [
        {**row, "days_out": "" if i % 10 == 0 else row["items"], "returned": "" if i % 10 == 0 else row["returned"]}
        for i, row in enumerate(orders())
    ]
    write_csv(tmp_path / "orders.csv", rows)
    [reason] = [one["reason"] for one in proposed("orders.csv", "--label", "returned")["left_out"] if one["column"] == "days_out"]
    assert reason == "it is missing where 'returned' is not known yet: the two are written down together"


def test_rows_without_a_key_or_a_time_get_both_and_their_order_by_class_is_broken(proposed: Proposed, tmp_path: Path) -> None:
    write_csv(tmp_path / "flowers.csv", flowers())
    found = proposed("flowers.csv")
    assert (found["event time"], found["key"], found["task"]) == ("row_time", "row_id", "multiclass of 3 classes")
    assert "dated evenly" in str(found["proposals"])
    rows = pq.read_table(tmp_path / "data" / "flowers" / "rows.parquet").sort_by("row_time").to_pydict()
    assert sorted(rows["row_id"]) == list(range(1, 121))
    assert len(set(rows["row_time"])) == 120
    assert set(rows["species"][-20:]) == {"iris", "rose", "tulip"}, "the newest rows are of every class"


def test_a_series_is_forecast_from_its_own_past(noria: Type, proposed: Proposed, tmp_path: Path) -> None:
    write_csv(tmp_path / "hours.csv", hours())
    found = proposed("hours.csv")
    assert (found["key"], found["label"], found["task"]) == ("at", "demand", "forecast 1h, 6h, 1d ahead")
    [view] = load_project(tmp_path).views
    assert {"demand", "ago_1h", "ago_23h", "ago_18h", "mean_1d"} <= set(view.features)
    assert noria("check")[0] == 0


def test_what_came_about_is_predicted_and_not_a_class_among_others(proposed: Proposed, tmp_path: Path) -> None:
    rows = [
        {"survived": int(i % 3 == 0), "fare": i * 7 % 40, "class": ("first", "second", "third")[i % 5 % 3], "deck": "ABCD"[i % 7 % 4]}
        for i in range(200)
    ]
    write_csv(tmp_path / "ship.csv", rows)
    assert proposed("ship.csv")["label"] == "survived"


def test_years_of_rows_have_the_month_among_their_inputs(proposed: Proposed, tmp_path: Path) -> None:
    start = datetime(2021, 1, 1, tzinfo=UTC)
    rows = [{"day": f"{start + timedelta(days=2 * i):%Y-%m-%d}", "wind": i % 11, "rain": (i * 7) % 13 + i % 3} for i in range(500)]
    write_csv(tmp_path / "weather.csv", rows)
    proposed("weather.csv", "--task", "regression", "--label", "rain")
    assert '"month": pc.month(rows["day"])' in (tmp_path / "weather.py").read_text()


def test_sentences_become_words_and_pixels_a_network(proposed: Proposed, tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", reviews())
    found = proposed("reviews.csv", "--project", "a")
    assert (found["key"], found["label"], found["trainer"]) == ("review_id", "sentiment", "a linear model on words")
    write_csv(tmp_path / "digits.csv", pixels())
    found = proposed("digits.csv", "--project", "b")
    assert (found["label"], found["task"], found["trainer"]) == ("digit", "multiclass of 4 classes", "a small neural network on pixels")
    assert load_project(tmp_path / "b").tables[0].contract.between["pixel_7"] == (0, 18)


def test_pictures_in_folders_of_classes_are_rows(proposed: Proposed, tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos")
    found = proposed("photos")
    assert (found["key"], found["label"], found["task"]) == ("path", "class", "binary")
    rows = pq.read_table(tmp_path / "data" / "photos" / "rows.parquet").to_pylist()
    assert all(row["image"] == (tmp_path / "photos" / row["path"]).read_bytes() for row in rows)
    [field] = load_project(tmp_path).transforms[0].fields
    assert field.described == "picture: uint8[32, 32]"


def test_a_database_is_read_where_it_is(noria: Type, proposed: Proposed, tmp_path: Path) -> None:
    url = write_database(tmp_path / "shop.db", orders(80))
    found = proposed("--sql", url, "--table", "orders", "--project", "a")
    assert found["label"] == "returned"
    code, out, err = noria("ingest", "--project", "a")
    assert (code, "80 stored" in out) == (0, True), out + err
    assert noria("init", "--sql", url, "--query", "SELECT * FROM orders WHERE items > 1", "--project", "b", "--yes")[0] == 0
    assert "WHERE items > 1" in (tmp_path / "b" / "rows.py").read_text()


def test_an_address_with_a_password_is_a_variable_in_the_module(
    monkeypatch: pytest.MonkeyPatch, proposed: Proposed, tmp_path: Path
) -> None:
    """The rows are another database's: none with passwords can be had here."""
    sample = Given("orders", query=given_query(write_database(tmp_path / "shop.db", orders(80)), None, "orders", None).query).sample(
        tmp_path
    )
    monkeypatch.setattr("noria.start.project.sample_query", lambda *_: sample)
    proposed("--sql", "postgresql://shop:hunter2@db.example.org/shop", "--table", "orders", "--project", "a")
    written = "".join(path.read_text() for path in (tmp_path / "a").iterdir())
    assert 'url="${DATABASE_URL}"' in written
    assert "hunter2" not in written
    proposed("--sql", "${SHOP_DB}", "--table", "orders", "--project", "b")
    assert 'url="${SHOP_DB}"' in (tmp_path / "b" / "orders.py").read_text()


def test_a_folder_of_files_is_one_table_and_unlike_files_are_refused(noria: Type, proposed: Proposed, tmp_path: Path) -> None:
    rows = orders()
    write_csv(tmp_path / "days" / "1.csv", rows[:150])
    write_csv(tmp_path / "days" / "2.csv", rows[150:])
    assert proposed("days", "--project", "a")["rows"] == 300
    write_csv(tmp_path / "days" / "3.csv", flowers())
    code, _, err = noria("init", "days", "--yes", "--project", "b")
    assert code == 2
    assert "NR-597" in err
    assert not (tmp_path / "b").exists()


def test_flags_win(proposed: Proposed, tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", orders())
    found = proposed("orders.csv", "--label", "price", "--task", "regression", "--key", "order_id", "--key", "city", "--name", "prices")
    assert (found["label"], found["task"], found["key"], found["project"]) == ("price", "regression", "order_id + city", "prices")


def test_a_dry_run_writes_nothing_and_shows_the_module(noria: Type, tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", orders())
    code, out, _ = noria("init", "orders.csv", "--dry-run")
    assert code == 0
    assert "nr.Model(" in out
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


def test_an_outcome_that_comes_later_is_a_table_of_its_own(proposed: Proposed, tmp_path: Path) -> None:
    rows = orders()
    for i, row in enumerate(rows):
        row["settled_at"] = f"{row['placed_at'][:8]}28 23:00:0{i % 10}"
    write_csv(tmp_path / "orders.csv", rows)
    found = proposed("orders.csv")
    assert found["known"] == "settled_at"
    project = load_project(tmp_path)
    assert [table.event_time for table in project.tables] == ["placed_at", "settled_at"]
    assert project.models[0].label.maturity.days >= 26


def test_questions_are_asked_on_a_terminal_and_a_bare_enter_accepts(tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", orders())
    ours, theirs = pty.openpty()
    os.write(ours, b"price\n\n\n\ny\n")
    done = subprocess.run(
        [sys.executable, "-m", "noria", "init", "orders.csv"],
        cwd=tmp_path,
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "The column to predict" in done.stderr
    assert 'nr.Label(orders, "price")' in (tmp_path / "orders.py").read_text()


def test_a_large_file_is_looked_at_in_slices(monkeypatch: pytest.MonkeyPatch, proposed: Proposed, tmp_path: Path) -> None:
    """Of a file that is sorted by what is to be predicted, every class is seen."""
    monkeypatch.setattr("noria.start.sample.MAX_BYTES", 1_000)
    monkeypatch.setattr("noria.start.sample.MAX_ROWS", 60)
    write_csv(tmp_path / "flowers.csv", flowers(600))
    found = proposed("flowers.csv")
    assert (found["task"], found["sampled"]) == ("multiclass of 3 classes", True)
    assert pq.read_metadata(tmp_path / "data" / "flowers" / "rows.parquet").num_rows == 600, "all rows are written"


def test_data_is_copied_when_that_is_asked_for(proposed: Proposed, tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", orders())
    assert "data/orders/rows.parquet" in proposed("orders.csv", "--copy", "--project", "p")["files"]
    with collecting():
        assert load_project(tmp_path / "p").tables[0].source.describe() == "data/orders"


def test_what_is_proposed_is_the_same_every_time(noria: Type, tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", orders())
    said = [json.loads(noria("init", "orders.csv", "--dry-run", "--json")[1]) for _ in range(2)]
    assert said[0] == said[1]


def test_a_project_begins_with_a_model_that_exists(noria: Type, proposed: Proposed, tmp_path: Path) -> None:
    rows = orders(200)
    write_csv(tmp_path / "orders.csv", rows)
    values = np.array([[row["items"], row["price"]] for row in rows], float)
    data = lightgbm.Dataset(values, [row["returned"] == "yes" for row in rows], feature_name=["items", "price"])
    parameters = {"objective": "binary", "num_leaves": 3, "verbose": -1, "num_threads": 1}
    lightgbm.train(parameters, data, 3).save_model(tmp_path / "late.txt")
    found = proposed("orders.csv", "--from", "late.txt", "--project", "shop")
    assert found["features"] == ["items", "price"]
    assert "models/late.txt" in found["files"]
    assert noria("ingest", "--project", "shop")[0] == 0
    code, out, err = noria("train", "--project", "shop")
    assert code == 0, err
    assert "promote  the first model" in out
    write_csv(tmp_path / "other.csv", [{"cost": row["price"], "returned": row["returned"]} for row in rows])
    code, _, err = noria("init", "other.csv", "--from", "late.txt", "--yes", "--project", "none")
    assert code == 2
    assert "NR-599" in err
    assert "'items', 'price', which it reads, is not there" in err
    assert not (tmp_path / "none").exists()


def test_a_graph_that_reads_a_block_has_the_columns_of_numbers_in_their_order(noria: Type, proposed: Proposed, tmp_path: Path) -> None:
    rows = [{"width": row["width"], "length": row["length"], "species": row["species"]} for row in flowers()]
    write_csv(tmp_path / "flowers.csv", rows)
    values = np.array([[row["width"], row["length"]] for row in rows], np.float32)
    fitted = LogisticRegression().fit(values, [row["species"] for row in rows])
    (tmp_path / "species.onnx").write_bytes(to_onnx(fitted, values[:1], options={"zipmap": False}).SerializeToString())
    found = proposed("flowers.csv", "--from", "species.onnx")
    assert found["features"] == ["width", "length"]
    assert 'nr.model_file("species.onnx")' in (tmp_path / "flowers.py").read_text()
    write_csv(tmp_path / "more.csv", [{**row, "height": i % 7} for i, row in enumerate(rows)])
    code, _, err = noria("init", "more.csv", "--label", "species", "--from", "species.onnx", "--yes", "--project", "none")
    assert code == 2
    assert "reads 2 numbers without names, and the data has 3" in err
