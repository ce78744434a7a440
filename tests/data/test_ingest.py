"""Ingestion: each row exactly once, the bad ones in quarantine, nothing half-written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from noria.core.clock import ReplayClock
from noria.core.conservation import Balance, RowsLost
from noria.data.ingest import REASON, NotIngested, SchemaChanged, current, facts, ingest, replay_quarantine
from noria.features.feature_set import FeatureSet
from noria.features.point_in_time import PointInTime
from noria.stores.tables import DeltaTables

START = datetime(2024, 1, 1, tzinfo=UTC)
TABLE = nr.Table(
    "events",
    nr.files("*.parquet"),
    key="id",
    event_time="at",
    contract=nr.Contract(not_null=["value"], between={"value": (0, 100)}, one_of={"city": ["ams", "ber"]}),
)


def rows(start: int, count: int, **columns: Any) -> pa.Table:
    values = {
        "id": pa.array([f"e{i}" for i in range(start, start + count)], pa.string()),
        "city": pa.array(["ams"] * count, pa.string()),
        "value": pa.array([float(i % 50) for i in range(start, start + count)], pa.float64()),
        "at": pa.array([START + timedelta(minutes=i) for i in range(start, start + count)], pa.timestamp("us", tz="UTC")),
        **columns,
    }
    return pa.table(values)


@pytest.fixture
def store(tmp_path: Path) -> DeltaTables:
    return DeltaTables(tmp_path / "tables")


def test_new_rows_are_added_and_old_ones_are_not_added_twice(tmp_path: Path, store: DeltaTables) -> None:
    pq.write_table(rows(0, 10), tmp_path / "a.parquet")
    first = ingest(TABLE, store, tmp_path)
    assert (first.snapshot.version, first.snapshot.rows) == (0, 10)
    assert ingest(TABLE, store, tmp_path).snapshot == first.snapshot
    pq.write_table(rows(5, 10), tmp_path / "b.parquet")
    second = ingest(TABLE, store, tmp_path)
    assert second.balance.rows_out == {"stored": 5, "repeated": 5, "quarantined": 0}
    assert second.balance.holds
    assert (second.snapshot.version, second.snapshot.rows) == (1, 15)
    assert facts(TABLE, store).rows.num_rows == 15
    assert store.read("events", 0).num_rows == 10


def test_bad_rows_go_into_quarantine_with_the_reason_once(tmp_path: Path, store: DeltaTables) -> None:
    bad = rows(0, 6, value=pa.array([1.0, None, 500.0, 2.0, 3.0, 4.0]), city=pa.array(["ams", "ams", "ams", "cph", "ber", None]))
    bad = bad.set_column(0, "id", pa.array(["a", "b", "c", "d", None, "f"], pa.string()))
    pq.write_table(bad, tmp_path / "a.parquet")
    done = ingest(TABLE, store, tmp_path)
    assert done.balance.rows_out == {"stored": 2, "repeated": 0, "quarantined": 4}
    assert done.reasons == {
        "value is null": 1,
        "value is outside 0 to 100": 1,
        "city is not an allowed value": 1,
        "id is null": 1,
    }
    ingest(TABLE, store, tmp_path)
    quarantine = store.read_or_none("events__quarantine")
    assert quarantine is not None
    assert quarantine.num_rows == 4
    assert set(quarantine.column(REASON).to_pylist()) == set(done.reasons)


def test_equal_content_has_an_equal_digest_whatever_the_files_order(tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for folder in (whole, halves):
        folder.mkdir()
    table = rows(0, 20)
    pq.write_table(table, whole / "a.parquet")
    pq.write_table(table.slice(10), halves / "a.parquet")
    pq.write_table(table.slice(0, 10), halves / "b.parquet")
    one, two = DeltaTables(whole / "t"), DeltaTables(halves / "t")
    assert ingest(TABLE, one, whole).snapshot.digest == ingest(TABLE, two, halves).snapshot.digest


def test_a_table_that_is_declared_by_another_key_is_refused_before_anything_is_read(tmp_path: Path, store: DeltaTables) -> None:
    pq.write_table(rows(0, 5), tmp_path / "a.parquet")
    ingest(TABLE, store, tmp_path)
    pq.write_table(rows(5, 5).rename_columns(["key" if name == "id" else name for name in rows(5, 5).column_names]), tmp_path / "a.parquet")
    with pytest.raises(SchemaChanged, match="declared by 'key', and was stored without: give it another name"):
        ingest(replace(TABLE, key="key"), store, tmp_path)


def test_a_dropped_or_retyped_column_is_refused_and_nothing_is_stored(tmp_path: Path, store: DeltaTables) -> None:
    pq.write_table(rows(0, 5), tmp_path / "a.parquet")
    before = ingest(TABLE, store, tmp_path).snapshot
    pq.write_table(rows(5, 5, value=pa.array([True] * 5)), tmp_path / "a.parquet")
    with pytest.raises(SchemaChanged, match="value was DOUBLE, is BOOLEAN"):
        ingest(TABLE, store, tmp_path)
    pq.write_table(rows(5, 5).drop_columns(["city"]), tmp_path / "a.parquet")
    with pytest.raises(SchemaChanged, match="city is missing"):
        ingest(TABLE, store, tmp_path)
    assert current(TABLE, store) == before


def test_a_table_that_was_never_ingested_says_so(store: DeltaTables) -> None:
    with pytest.raises(NotIngested, match="noria ingest"):
        facts(TABLE, store)


def test_csv_and_json_lines_are_ingested_too(tmp_path: Path, store: DeltaTables) -> None:
    (tmp_path / "a.csv").write_text("id,city,value,at\nx,ams,1.5,2024-01-01T00:00:00Z\n")
    (tmp_path / "b.jsonl").write_text('{"id": "y", "city": "ber", "value": 2.5, "at": "2024-01-01T00:00:00Z"}\n')
    for name in ("a.csv", "b.jsonl"):
        table = nr.Table(name[0], nr.files(name), key="id", event_time="at")
        ingest(table, store, tmp_path)
    assert [facts(nr.Table(n, nr.files("*"), key="id", event_time="at"), store).rows.column("value").to_pylist() for n in "ab"] == [
        [1.5],
        [2.5],
    ]


def test_a_sum_that_does_not_add_up_stops_everything() -> None:
    with pytest.raises(RowsLost, match="10 rows in, 9 accounted for"):
        Balance("stage", 10, {"stored": 7, "quarantined": 2}).checked()


def test_rows_that_come_after_younger_ones_are_a_warning_where_no_known_time_guards_against_them(
    tmp_path: Path, store: DeltaTables
) -> None:
    pq.write_table(rows(10, 10), tmp_path / "a.parquet")
    assert ingest(TABLE, store, tmp_path).warnings == {}
    pq.write_table(rows(5, 10), tmp_path / "b.parquet")
    [(reason, count)] = ingest(TABLE, store, tmp_path).warnings.items()
    assert (count, "give 'events' a known_at" in reason) == (5, True)


def test_a_source_that_does_not_say_when_it_was_known_is_known_when_it_came(tmp_path: Path, store: DeltaTables) -> None:
    """A value that describes a time before the label, written three days after it, is not in the training set."""
    table = nr.Table("events", nr.files("*.parquet"), key="id", event_time="at", known_at=nr.INGESTED)
    view = nr.FeatureView("v", table, entity="city", aggregate={"n": nr.count(window="1d")})
    clock = ReplayClock(START + timedelta(days=3))
    pq.write_table(rows(0, 10), tmp_path / "a.parquet")
    ingest(table, store, tmp_path, clock)
    pq.write_table(rows(5, 10), tmp_path / "b.parquet")
    assert ingest(table, store, tmp_path, clock).balance.rows_out == {"stored": 5, "repeated": 5, "quarantined": 0}
    assert ingest(table, store, tmp_path, clock).snapshot.rows == 15
    asked = [START + timedelta(hours=1), START + timedelta(hours=2), START + timedelta(days=3)]
    spine = pa.table({"city": ["ams"] * 3, "_at": pa.array(asked, pa.timestamp("us", tz="UTC"))})
    joined = PointInTime([facts(table, store)]).join(spine, [view])
    assert joined.column("n").to_pylist() == [10, 10, 0]
    early = pa.table({"city": ["ams"], "_at": pa.array([START + timedelta(days=3)], pa.timestamp("us", tz="UTC"))})
    longer = nr.FeatureView("v", table, entity="city", aggregate={"n": nr.count(window="9d")})
    assert PointInTime([facts(table, store)]).join(early, [longer]).column("n").to_pylist() == [15]
    with pytest.raises(nr.NoriaError, match="after their prediction was due"):
        FeatureSet("f", table, [view])


AT = "2024-01-01T00:00:00Z"


def csv(folder: Path, name: str, *rows: str, encoding: str = "utf-8") -> None:
    (folder / name).write_text("\n".join(["id,at,v", *rows]) + "\n", encoding=encoding)


def test_texts_that_name_two_facts_never_become_one_key(tmp_path: Path, store: DeltaTables) -> None:
    table = nr.Table("events", nr.files("*.csv"), key="id", event_time="at")
    names = ["1e3", "10e2", "1.1", "1.10"]
    csv(tmp_path, "a.csv", *(f"{name},{AT},1" for name in names))
    ingest(table, store, tmp_path)
    assert sorted(facts(table, store).rows.column("id").to_pylist()) == sorted(names)


def test_a_row_that_was_quarantined_supersedes_nothing_that_came_after_it(tmp_path: Path, store: DeltaTables) -> None:
    def up_to(most: int) -> nr.Table:
        return nr.Table("events", nr.files("*.csv"), key="id", event_time="at", contract=nr.Contract(between={"v": (0, most)}))

    csv(tmp_path, "a.csv", f"1,{AT},200")
    ingest(up_to(100), store, tmp_path)
    csv(tmp_path, "b.csv", f"1,{AT},5")
    ingest(up_to(100), store, tmp_path)
    assert replay_quarantine(up_to(1000), store).balance.rows_out["stored"] == 1
    spine = pa.table({"id": [1], "_at": pa.array([START + timedelta(days=1)], pa.timestamp("us", tz="UTC"))})
    view = nr.FeatureView("v", up_to(1000), entity="id", latest=["v"], ttl="30d")
    assert PointInTime([facts(up_to(1000), store)]).join(spine, [view]).column("v").to_pylist() == [5]


def test_files_are_read_again_once_their_encoding_is_declared(tmp_path: Path, store: DeltaTables) -> None:
    csv(tmp_path, "a.csv", *(f"{i},{AT},x" for i in range(4)), f"9,{AT},Zürich", encoding="latin-1")
    declared = [nr.Table("events", nr.files("*.csv", encoding=e), key="id", event_time="at") for e in (None, "latin-1")]
    assert [ingest(t, store, tmp_path).balance.rows_out["stored"] for t in declared] == [4, 1]
    assert "Zürich" in facts(declared[1], store).rows.column("v").to_pylist()
