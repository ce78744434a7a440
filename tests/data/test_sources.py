"""Files are read from a watermark on, from the real thing: folders, and an S3-compatible server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from noria.data.ingest import ingest
from noria.data.source import MissingData, SourceAway, UnreadableData
from noria.stores.tables import DeltaTables

START = datetime(2024, 1, 1, tzinfo=UTC)


def rows(start: int, count: int) -> pa.Table:
    numbers = range(start, start + count)
    return pa.table(
        {
            "id": [f"e{i}" for i in numbers],
            "value": [float(i) for i in numbers],
            "at": pa.array([START + timedelta(minutes=i) for i in numbers], pa.timestamp("us", tz="UTC")),
        }
    )


def table(source: Any, **more: Any) -> nr.Table:
    return nr.Table("events", source, key="id", event_time="at", **more)


@pytest.fixture
def store(tmp_path: Path) -> DeltaTables:
    return DeltaTables(tmp_path / "tables")


def ids(store: DeltaTables) -> list[str]:
    found = store.read_or_none("events")
    return [] if found is None else sorted(found.column("id").to_pylist())


# --- files --------------------------------------------------------------------------------------------------------------


def test_only_files_that_are_new_or_changed_are_read_again(tmp_path: Path, store: DeltaTables) -> None:
    events = table(nr.files("*.parquet"))
    pq.write_table(rows(0, 5), tmp_path / "a.parquet")
    assert ingest(events, store, tmp_path).balance.rows_in == 5
    assert ingest(events, store, tmp_path).balance.rows_in == 0
    pq.write_table(rows(5, 3), tmp_path / "b.parquet")
    assert ingest(events, store, tmp_path).balance.rows_in == 3
    pq.write_table(rows(0, 6), tmp_path / "a.parquet")
    assert ingest(events, store, tmp_path).balance.rows_out == {"stored": 0, "repeated": 6, "quarantined": 0}
    assert len(ids(store)) == 8


def test_one_truncated_file_among_good_ones_is_named_and_tried_again(tmp_path: Path, store: DeltaTables) -> None:
    events = table(nr.files("*.parquet"))
    pq.write_table(rows(0, 5), tmp_path / "a.parquet")
    pq.write_table(rows(5, 5), tmp_path / "b.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:300])
    done = ingest(events, store, tmp_path)
    assert [Path(p).name for p in done.unreadable] == ["b.parquet"]
    assert len(ids(store)) == 5
    (tmp_path / "b.parquet").write_bytes(whole)
    assert not ingest(events, store, tmp_path).unreadable
    assert len(ids(store)) == 10


def test_ragged_lines_of_a_csv_go_into_quarantine_with_their_text(tmp_path: Path, store: DeltaTables) -> None:
    lines = ["id,value,at", *(f"e{i},{i}.5,2024-01-01T00:{i:02d}:00Z" for i in range(30))]
    lines[7] += ",too,many"
    lines[12] = "e11"
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    done = ingest(table(nr.files("a.csv")), store, tmp_path)
    assert done.balance.rows_in == 30
    assert done.balance.rows_out == {"stored": 28, "repeated": 0, "quarantined": 2}
    held = store.read_or_none("events__quarantine")
    assert held is not None
    assert sorted(held.column("_raw").to_pylist()) == ["e11", lines[7]]
    assert set(held.column("_place").to_pylist()) == {"a.csv, line 8", "a.csv, line 13"}


def test_times_with_mixed_zones_are_read_and_those_without_are_quarantined(tmp_path: Path, store: DeltaTables) -> None:
    times = ["2024-01-01T12:00:00Z", "2024-01-01T12:00:00+02:00", "2024-01-01 07:00:00-05", "2024-01-01T12:00:00", "yesterday", None]
    pq.write_table(pa.table({"id": [str(i) for i in range(6)], "at": times}), tmp_path / "a.parquet")
    done = ingest(table(nr.files("a.parquet")), store, tmp_path)
    assert done.balance.rows_out == {"stored": 3, "repeated": 0, "quarantined": 3}
    assert done.reasons == {"at is null": 1, "at is not a time with a zone": 2}
    held = store.read_or_none("events__quarantine")
    assert held is not None
    assert {"2024-01-01T12:00:00", "yesterday"} <= set(held.column("at").to_pylist())
    found = store.read_or_none("events")
    assert found is not None
    assert [t.hour for t in found.column("at").to_pylist()] == [12, 10, 12]


def test_far_times_and_keys_that_are_no_numbers_are_quarantined(tmp_path: Path, store: DeltaTables) -> None:
    good = rows(0, 3)
    keys = pa.array([1.0, float("nan"), 3.0])
    times = pa.array([START, START, datetime(2999, 1, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    pq.write_table(good.set_column(0, "id", keys).set_column(2, "at", times), tmp_path / "a.parquet")
    done = ingest(table(nr.files("a.parquet")), store, tmp_path)
    assert done.reasons == {"id is not a number": 1, "at is outside the years 1900 to 2200": 1}
    assert done.balance.rows_out["stored"] == 1


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    _, port = server.get_host_and_port()
    yield {"endpoint_url": f"http://127.0.0.1:{port}", "key": "k", "secret": "${S3_SECRET}"}
    server.stop()


def test_files_behind_an_s3_url_are_ingested_incrementally(
    s3: dict[str, Any], tmp_path: Path, store: DeltaTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    events = table(nr.files("s3://bucket/events/*.parquet", storage=s3))
    with pytest.raises(nr.NoriaError, match="S3_SECRET"):
        ingest(events, store, tmp_path)
    monkeypatch.setenv("S3_SECRET", "s")
    fs = s3fs.S3FileSystem(**{**s3, "secret": "s"})
    fs.mkdir("bucket")
    with pytest.raises(MissingData):
        ingest(events, store, tmp_path)
    for name, start in (("a", 0), ("b", 5)):
        with fs.open(f"bucket/events/{name}.parquet", "wb") as out:
            pq.write_table(rows(start, 5), out)
        assert ingest(events, store, tmp_path).balance.rows_in == 5
        assert ingest(events, store, tmp_path).balance.rows_in == 0
    assert len(ids(store)) == 10
    away = table(nr.files("s3://bucket/events/*.parquet", storage={**s3, "endpoint_url": "http://127.0.0.1:1"}))
    with pytest.raises(SourceAway, match="can't be read"):
        ingest(away, store, tmp_path)


def test_a_file_that_is_nothing_but_garbage_is_refused(tmp_path: Path, store: DeltaTables) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"\x00" * 100)
    with pytest.raises(UnreadableData):
        ingest(table(nr.files("a.parquet")), store, tmp_path)
    assert store.latest("events") is None
