"""The commands of data and features on the small project: the store is filled, late rows are recomputed, skew is named."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from projects import edit, write_project
from typed_commands import typed

END = "2024-03-28T00:00:00"


def noria(folder: Path, *arguments: str, code: int = 0) -> Any:
    done = typed(folder, *arguments)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def late_visit(folder: Path, known: datetime) -> Path:
    """One more visit in Berlin, half an hour before the end."""
    at = datetime.fromisoformat(END).replace(tzinfo=UTC) - timedelta(minutes=30)
    row = {"visit_id": ["late"], "city": ["ber"], "seconds": [5000.0]}
    moments = {name: pa.array([moment], pa.timestamp("us", tz="UTC")) for name, moment in (("at", at), ("known_at", known))}
    path = folder / "late.parquet"
    pq.write_table(pa.table({**row, **moments}), path)
    return path


@pytest.fixture
def materialized(shop: Path) -> Path:
    noria(shop, "ingest")
    done = noria(shop, "materialize", "--at", END, "--json")
    assert [(d["view"], d["changed"], d["recomputed"]) for d in done] == [("by_city", 3, 0), ("last_visit", 3, 0)]
    return shop


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a replayed history, whose skew was watched."""
    folder = write_project(tmp_path_factory.mktemp("past") / "shop")
    edit(folder / "shop.py", {"false_alarms_per_year=6,": "false_alarms_per_year=6, skew=0.01,"})
    noria(folder, "ingest")
    noria(folder, "skew", code=2)  # there is nothing yet that was served
    noria(folder, "replay", "--json")
    return folder


@pytest.fixture
def replayed(past: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(past, tmp_path / "shop"))


def test_the_store_is_filled_once_and_updated_after_a_late_row(materialized: Path) -> None:
    again = noria(materialized, "materialize", "--at", END, "--json")
    assert [(d["changed"], d["recomputed"]) for d in again] == [(0, 0), (0, 0)]
    known = datetime.fromisoformat(END).replace(tzinfo=UTC) - timedelta(minutes=20)
    rows = pa.concat_tables([pq.read_table(materialized / "data" / "visits.parquet"), pq.read_table(late_visit(materialized, known))])
    pq.write_table(rows, materialized / "data" / "visits.parquet")
    noria(materialized, "ingest")
    assert [v["online"]["stale"] for v in noria(materialized, "features", "--json")["views"]] == [1, 1]
    fixed = noria(materialized, "materialize", "--at", END, "--json")
    assert [(d["changed"], d["recomputed"]) for d in fixed] == [(0, 1), (0, 1)]
    assert [v["online"]["stale"] for v in noria(materialized, "features", "--json")["views"]] == [0, 0]


def test_pushed_rows_count_at_once(materialized: Path) -> None:
    known = datetime.fromisoformat(END).replace(tzinfo=UTC) - timedelta(minutes=20)
    done = noria(materialized, "push", "visits", str(late_visit(materialized, known)), "--json")
    assert done["ingested"]["balance"]["rows_out"]["stored"] == 1
    assert {d["view"] for d in done["materialized"]} == {"by_city", "last_visit"}
    noria(materialized, "push", "visitors", str(materialized / "late.parquet"), code=2)


def test_the_catalogue_says_who_reads_what(materialized: Path) -> None:
    module = (materialized / "shop.py").read_text()
    more = 'idle = nr.FeatureView("idle", visits, entity="city", aggregate={"x": nr.count(window="1h")}, owner="nobody")\n'
    (materialized / "shop.py").write_text(module + more)
    found = noria(materialized, "features", "--json")
    used = {v["view"]: v["used"] for v in found["views"]}
    assert used == {"by_city": True, "last_visit": True, "idle": False}
    text = noria(materialized, "features")
    assert "none (unused)" in text
    assert "online through 2024-03-28" in text


def test_a_late_batch_names_the_training_sets_that_it_changes(replayed: Path) -> None:
    shop = replayed
    before = noria(shop, "features", "--json")["training_sets"]
    assert len(before) >= 2
    assert not any(made["changed"] for made in before)
    visits = pq.read_table(shop / "data" / "visits.parquet")
    first = visits.filter(pa.compute.equal(visits.column("city"), "ams")).slice(1000, 1)
    changed = first.set_column(2, "seconds", pa.array([1e6])).set_column(0, "visit_id", pa.array(["backdated"]))
    reached = changed.column("known_at")[0].as_py().isoformat()
    pq.write_table(changed, shop / "backdated.parquet")
    noria(shop, "push", "visits", str(shop / "backdated.parquet"))
    after = {made["as_of"]: made["changed"] for made in noria(shop, "features", "--json")["training_sets"]}
    assert {as_of: as_of > reached for as_of in after} == after
    assert True in after.values()


def test_skew_is_measured_on_what_was_served(replayed: Path) -> None:
    shop = replayed
    found = noria(shop, "skew", "--since", "3d", "--json")
    assert found["rows"] > 150
    assert found["views"] == {"by_city": 0.0, "last_visit": 0.0, "request": 0.0}
    assert "every feature equals its offline value" in noria(shop, "skew", "--since", "3d")
    edit(shop / "shop.py", {"multiply(values, 2.0)": "multiply(values, 2.5)"})
    found = noria(shop, "skew", "--since", "3d", "--json")
    assert found["views"]["request"] == 1.0
    assert found["views"]["by_city"] == 0.0
    [twice] = [f for f in found["features"] if f["feature"] == "twice"]
    assert twice["example"]["offline"] == pytest.approx(1.25 * twice["example"]["served"], rel=1e-6)


def test_a_window_keeps_the_skew_that_it_closed_with(replayed: Path) -> None:
    shop = replayed
    healthy = noria(shop, "status", "--json")["endpoints"][0]["monitors"]
    assert {m["monitor"]: m["health"] for m in healthy}["skew"] == "healthy"
    edit(shop / "shop.py", {"multiply(values, 2.0)": "multiply(values, 2.5)"})
    after = noria(shop, "status", "--json")["endpoints"][0]["monitors"]
    assert {m["monitor"]: m["health"] for m in after}["skew"] == "healthy", "what is written since is for the next window"
    assert noria(shop, "skew", "--since", "3d", "--json")["views"]["request"] == 1.0


def test_tidying_keeps_the_versions_that_bundles_were_made_from(shop: Path) -> None:
    noria(shop, "ingest")
    noria(shop, "train")
    known = datetime.fromisoformat(END).replace(tzinfo=UTC)
    noria(shop, "push", "visits", str(late_visit(shop, known)))
    done = {d["table"]: d for d in noria(shop, "compact", "--older-than", "0s", "--json")["tables"]}
    assert done["visits"]["kept_versions"] == [0, 1]  # the bundle's, and the online store's
    assert done["visits"]["joined"] == 2
    assert all(s["holds"] for s in noria(shop, "status", "--json")["conservation"])


def test_a_contract_is_suggested_from_the_data(shop: Path) -> None:
    text = noria(shop, "check", "--suggest", "orders")
    assert text.startswith("nr.Contract(")
    assert '"city": ["ams", "ber", "cph"]' in text
    assert eval(text, {"nr": nr}).one_of["city"] == ["ams", "ber", "cph"]  # noqa: S307 - our own words, no line of which is broken


def test_a_view_that_the_engine_refuses_is_named_by_check(shop: Path) -> None:
    edit(shop / "shop.py", {'nr.mean("seconds"': 'nr.mean("no_such(seconds)"'})
    done = typed(shop, "check")
    assert done.returncode == 2
    assert done.stderr.startswith("error NR-211")
    assert "by_city" in done.stderr


def test_rows_that_would_be_refused_are_counted_by_check_and_make_the_status_ill(shop: Path) -> None:
    orders = shop / "data" / "orders.parquet"
    pq.write_table(pq.read_table(orders).slice(0, 10), orders)
    strict = 'event_time="placed_at", contract=nr.Contract(one_of={"city": ["nowhere"]}))'
    edit(shop / "shop.py", {'event_time="placed_at")': strict})
    found = {table["name"]: table for table in noria(shop, "check", "--json")["tables"]}
    assert (found["orders"]["rows"], found["orders"]["reasons"]) == (10, {"city is not an allowed value": 10})
    assert found["visits"]["reasons"] == {}
    assert "would be quarantined 10: city is not an allowed value" in noria(shop, "check")
    noria(shop, "ingest")
    health = noria(shop, "status", "--json")["health"]
    assert (health["health"], health["cause"]) == ("unhealthy", "10 of the last 10 rows for orders were quarantined")


def test_a_file_that_can_not_be_read_makes_the_status_ill_until_it_can(shop: Path) -> None:
    edit(shop / "shop.py", {"data/visits.parquet": "data/visits*.parquet"})
    broken = shop / "data" / "visits2.parquet"
    broken.write_bytes(b"PAR1 and no more")
    assert "unreadable" in noria(shop, "check", code=2)
    noria(shop, "ingest", code=2)
    health = noria(shop, "status", "--json")["health"]
    assert health["health"] == "unhealthy"
    assert health["cause"].startswith("1 of the files of visits can't be read")
    pq.write_table(pq.read_table(shop / "data" / "visits.parquet").slice(0, 5), broken)
    noria(shop, "ingest")
    assert noria(shop, "status", "--json")["health"]["health"] == "unknown"
