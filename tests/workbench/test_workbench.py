"""A project from Python: the same tables, training sets, trainings and findings as commands give, as frames, pages and plain data."""

from __future__ import annotations

import json
from datetime import timedelta
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from noria.core.errors import NoriaError, UserMistake
from noria.data.ingest import NotIngested
from noria.data.sources.port import BadSource
from noria.data.table import Table
from noria.workbench import OpenProject, Result
from projects import START, edit, tables, write_project

FIRST = START + timedelta(days=30)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> OpenProject:
    found = nr.open(write_project(tmp_path_factory.mktemp("workbench") / "shop"))
    with pytest.raises(NotIngested):
        found.training_set()
    assert [(done["table"], done["quarantined"], done["remarks"]) for done in found.ingest().rows] == [
        ("orders", 0, []),
        ("visits", 0, []),
        ("returns", 0, []),
    ]
    return found


def test_tables_are_what_was_ingested(project: OpenProject) -> None:
    assert list(project.tables) == ["orders", "visits", "returns"]
    orders = project.tables["orders"]
    assert orders.version == 0
    assert sorted(orders.to_pandas()["order_id"]) == sorted(tables()["orders"].column("order_id").to_pylist())
    assert "orders" in repr(project)
    assert "returns" in project._repr_html_()


def test_a_training_set_is_a_frame_with_its_lineage(project: OpenProject) -> None:
    rows = project.training_set("returns", as_of=FIRST)
    frame = rows.to_pandas()
    assert list(frame.columns) == ["key", "at", "visits_6h", "seconds_6h", "seconds", "price", "twice", "outcome"]
    assert len(frame) == len(rows) == len(rows.y) == len(rows.X)
    assert frame["at"].max() < pd.Timestamp(FIRST - timedelta(hours=30))
    assert set(frame["outcome"]) == {0, 1}
    assert rows.id == project.training_set("returns", as_of=FIRST).id != project.training_set(as_of=FIRST + timedelta(days=1)).id
    assert [each["table"] for each in rows.to_dict()["snapshots"]] == ["orders", "visits"]
    assert "too young" in repr(rows)
    assert "<table>" in rows._repr_html_()
    with pytest.raises(NoriaError, match="there is no model 'retuns'"):
        project.training_set("retuns")


def test_a_training_and_what_the_champion_is_worth(project: OpenProject) -> None:
    with pytest.raises(NoriaError, match="it has none yet"):
        project.evaluate()
    done = project.train()
    assert [each["action"] for each in done.to_dict()] == ["train", "promote"]
    assert any("log_loss: candidate" in str(text) for text in done.to_frame()["reason"])
    with pytest.raises(NoriaError, match="no outcome is known of a row since it was trained"):
        project.evaluate()
    assert project.status().to_dict()["endpoints"][0]["champion"]
    assert {each["kind"] for each in project.findings(open_only=True).to_dict()} == {"volume"}  # the data end long ago
    assert project.features().to_frame()["feature"].tolist() == ["visits_6h", "seconds_6h", "seconds"]


def test_a_replay_is_a_frame_and_a_page(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "shop")
    edit(folder / "noria.toml", {"end = 2024-03-28T00:00:00Z": "end = 2024-02-24T00:00:00Z"})
    project = nr.open(folder)
    project.ingest()
    found = project.replay()
    assert set(found.to_frame()["policy"]) == {"loop", "static", "calendar"}
    assert json.dumps(found.to_dict())
    page = found.save_html(tmp_path / "page.html").read_text()
    assert page == (folder / "report.html").read_text()
    evaluated = project.evaluate()
    assert {"metric", "value", "lower", "upper"} == set(evaluated.to_frame().columns)
    log_loss = evaluated.rows[0]
    assert log_loss["lower"] < log_loss["value"] < log_loss["upper"]


# --- frames and features ------------------------------------------------------------------------------------------------------


def visits() -> pd.DataFrame:
    times = pd.to_datetime(["2024-01-01T00:00Z", "2024-01-01T01:00Z", "2024-01-01T02:00Z"])
    return pd.DataFrame({"visit": [1, 2, 3], "city": ["ams", "ams", "ber"], "seconds": [10.0, 20.0, 30.0], "at": times})


def spine() -> pd.DataFrame:
    times = pd.to_datetime(["2024-01-01T03:00Z", "2024-01-01T00:30Z", "2024-01-01T03:00Z", "2023-12-31T00:00Z"])
    return pd.DataFrame({"city": ["ber", "ams", "ams", "ams"], "when": times, "note": ["a", "b", "c", "d"]})


@pytest.mark.parametrize("kind", [lambda f: f, pl.from_pandas, lambda f: pa.Table.from_pandas(f, preserve_index=False)])
def test_features_of_a_frame_are_as_known_at_each_rows_time_in_its_order(kind: object) -> None:
    table = nr.Table("visits", kind(visits()), key="visit", event_time="at")  # type: ignore[operator]
    view = nr.FeatureView(
        "by_city", table, entity="city", aggregate={"mean": nr.mean("seconds", window="6h")}, latest=["seconds"], ttl="1d"
    )
    found = nr.features_for(kind(spine()), [view])  # type: ignore[operator]
    assert found.column_names == ["city", "when", "note", "mean", "seconds"]
    assert found.column("note").to_pylist() == ["a", "b", "c", "d"]
    assert found.column("mean").to_pylist() == [30.0, 10.0, 15.0, None]
    assert found.column("seconds").to_pylist() == [30.0, 10.0, 20.0, None]


def test_a_frame_that_can_not_be_read_says_why() -> None:
    table = nr.Table("visits", visits(), key="visit", event_time="at")
    view = nr.FeatureView("by_city", table, entity="city", latest=["seconds"], ttl="1d")
    two = spine().assign(other=spine()["when"])
    for given, why, code in (
        (spine().drop(columns="when"), "no column of the data frame could be the time", "NR-265"),
        (two, "several columns", "NR-265"),
        (spine().assign(when=[None, *spine()["when"][1:]]), "1 rows of the data frame can't be given features", "NR-266"),
        ([1, 2], "it is no data frame", "NR-222"),
        (pd.DataFrame({"x": [1, "a"], "when": spine()["when"][:2]}), "has values of several types", "NR-222"),
    ):
        with pytest.raises(UserMistake, match=why) as raised:
            nr.features_for(given, [view])
        assert raised.value.code == code


def test_a_frame_is_ingested_once_and_again_where_it_has_changed(tmp_path: Path) -> None:
    from noria.data.ingest import ingest
    from noria.stores.tables import DeltaTables

    store = DeltaTables(tmp_path / "tables")

    def took_in(rows: pd.DataFrame) -> int:
        return ingest(Table("visits", nr.frame(rows), key="visit", event_time="at"), store, tmp_path).snapshot.rows

    assert took_in(visits()) == 3
    assert took_in(visits()) == 3
    assert took_in(pd.concat([visits(), visits().assign(visit=[4, 5, 6])])) == 6
    assert nr.frame(visits()) == nr.frame(visits().copy()) != nr.frame(visits().assign(seconds=1.0))
    with pytest.raises(BadSource):
        nr.frame({"a": [1]})


def test_a_result_shows_itself_with_much_and_with_nothing() -> None:
    rows = [{"n": i, "text": "<b>", "value": i / 3, "none": None} for i in range(50)]
    found = Result("50 things <", rows, rows)
    shown = found._repr_html_()
    assert "30 more rows" in shown
    assert "&lt;b&gt;" in shown
    assert "<b>50 things &lt;</b>" in shown
    assert len(found.to_frame()) == 50
    nothing = Result("nothing", {})
    assert nothing.to_frame().empty
    assert "<table>" not in nothing._repr_html_()
    assert repr(nothing).strip() == "nothing"
    assert np.isclose(found.rows[3]["value"], 1)


def test_an_ingestion_says_what_it_left_out(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "shop")
    table = pq.read_table(folder / "data" / "returns.parquet")
    unknown = pa.array([None, *table.column("returned").to_pylist()[1:]], pa.int64())
    pq.write_table(table.set_column(1, "returned", unknown), folder / "data" / "returns.parquet")
    done = nr.open(folder).tables["returns"].ingest()
    assert done.headline == "7,200 rows read, 1 in quarantine"
    assert done.rows[0]["remarks"] == ["1 quarantined: returned is null"]
    assert "returned is null" in done._repr_html_()


def test_a_page_within_a_notebook_is_in_a_frame_of_its_own(tmp_path: Path) -> None:
    found = Result("things", [], [{"name": '"</iframe><script>'}])
    shown = found.inline(height=300)._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts" style="width:100%;height:300px')
    assert shown.count("<") == 2, "the page is a value of an attribute"
    assert unescape(shown).count(found.save_html(tmp_path / "page.html").read_text()) == 1


def test_it_closes_what_it_opens(project: OpenProject) -> None:
    def opened() -> int:
        files = [path.resolve() for path in Path("/proc/self/fd").iterdir() if path.exists()]
        return sum(str(project.project.folder) in str(file) for file in files)

    before = opened()
    project.status()
    project.findings()
    assert opened() <= before
