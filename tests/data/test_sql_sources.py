"""Queries as sources: types from the cursor, values exact or refused with their text, watermarks that leave no row out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

import noria as nr
from noria.core.sql import connect
from noria.data.contract import UnknownColumn
from noria.data.ingest import NothingThere, ingest
from noria.data.sources import sql as module
from noria.data.sources.port import BadSource, SourceAway, Watermark
from noria.data.sources.records import records
from noria.data.sources.sql import AmbiguousColumns, SqlSource
from noria.data.types import BadTypes, sql_of
from noria.stores.tables import DeltaTables

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Read:
    """What one reading of a source gave: rows without their places, types as SQL, malformed rows with the reason."""

    rows: list[tuple[Any, ...]]
    types: dict[str, str | None]
    raw: list[tuple[str, str]]
    watermark: Watermark
    pieces: int


def read(source: SqlSource, since: Watermark | None = None) -> Read:
    batch = source.read(Path(), since)
    rows, types, raw, pieces = list[tuple[Any, ...]](), dict[str, str | None](), list[tuple[str, str]](), 0
    with connect() as con:
        for piece in batch.pieces:
            loaded = piece.load(con, "piece")
            pieces += 1
            types = {c.name: None if c.type is None else sql_of(c.type) for c in loaded.columns}
            rows += [row[:-1] for row in con.sql("SELECT * FROM piece").fetchall()]
            raw += [(r.text, r.reason) for r in loaded.raw]
    return Read(rows, types, raw, batch.finish({}), pieces)


@dataclass(frozen=True)
class App:
    """An application's database, in SQLite."""

    url: str
    con: sqlite3.Connection

    def source(self, query: str = "SELECT * FROM t", **more: Any) -> SqlSource:
        return nr.sql(query, **{"url": self.url, **more})

    def fill(self, *values: Any, kind: str = "") -> App:
        self.con.execute("DROP TABLE IF EXISTS t")
        self.con.execute(f"CREATE TABLE t (x {kind})")
        self.con.executemany("INSERT INTO t VALUES (?)", [(v,) for v in values])
        return self


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    con = sqlite3.connect(tmp_path / "app.db", isolation_level=None)
    yield App(f"sqlite:///{tmp_path}/app.db", con)
    con.close()


@pytest.fixture
def postgres(postgres_url: str) -> str:
    return postgres_url.replace("postgresql://", "postgresql+psycopg://")


def run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as c:
            for statement in statements:
                c.exec_driver_sql(statement)
    finally:
        engine.dispose()


@pytest.fixture
def store(tmp_path: Path) -> DeltaTables:
    return DeltaTables(tmp_path / "tables")


def stored(store: DeltaTables, name: str = "events") -> pa.Table:
    found = store.read_or_none(name)
    assert found is not None
    return found


def ids(store: DeltaTables) -> list[str]:
    return sorted(stored(store).column("id").to_pylist())


# --- ingestion ----------------------------------------------------------------------------------------------------------


def test_a_query_on_sqlite_is_ingested_incrementally(app: App, tmp_path: Path, store: DeltaTables) -> None:
    app.con.execute("CREATE TABLE events (n INTEGER PRIMARY KEY, id TEXT, value REAL, at TEXT)")
    events = nr.Table("events", app.source("SELECT * FROM events", watermark="n"), key="id", event_time="at")
    with pytest.raises(NothingThere, match="nothing to ingest"):
        ingest(events, store, tmp_path)
    for start in (0, 4):
        new = [(i, f"e{i}", i, f"2024-01-01T00:0{i}:00Z") for i in range(start, start + 4)]
        app.con.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", new)
        assert ingest(events, store, tmp_path).balance.rows_out["stored"] == 4
    assert ingest(events, store, tmp_path).balance.rows_in == 1  # the row of the watermark itself, found again
    assert len(ids(store)) == 8
    with pytest.raises(SourceAway, match="no such table"):
        ingest(nr.Table("events", app.source("SELECT * FROM elsewhere"), key="id", event_time="at"), store, tmp_path)


def test_a_query_on_postgresql_is_ingested_incrementally(
    postgres: str, tmp_path: Path, store: DeltaTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_DB", postgres)
    run(postgres, "CREATE TABLE events (id TEXT, value DOUBLE PRECISION, at TIMESTAMPTZ, changed_at TIMESTAMPTZ)")
    source = nr.sql("SELECT * FROM events", url="${APP_DB}", watermark="changed_at")
    events = nr.Table("events", source, key="id", event_time="at", known_at="changed_at")
    for hour in (1, 2):
        run(
            postgres,
            f"INSERT INTO events SELECT 'e' || i, i * {hour}, '2024-01-01 00:00:00+00', '2024-01-01 0{hour}:00:00+00' "
            "FROM generate_series(1, 50) i",
        )
        done = ingest(events, store, tmp_path)
        assert done.balance.rows_out["stored"] == 50
    assert done.balance.rows_out["repeated"] == 50  # those of the watermark's own moment
    assert len(ids(store)) == 100


def test_rows_without_a_watermark_are_read_every_time_and_stored_once(app: App, tmp_path: Path, store: DeltaTables) -> None:
    app.con.execute("CREATE TABLE events (n INTEGER, id TEXT, at TEXT)")
    events = nr.Table("events", app.source("SELECT * FROM events", watermark="n"), key="id", event_time="at")
    for n, name in ((1, "a"), (None, "b"), (2, "c"), (None, "d")):
        app.con.execute("INSERT INTO events VALUES (?, ?, '2024-01-01T00:00:00Z')", (n, name))
        assert ingest(events, store, tmp_path).balance.rows_out["stored"] == 1
    assert ids(store) == ["a", "b", "c", "d"]


def test_a_row_that_does_not_fit_its_column_is_quarantined_and_keeps_no_other(postgres: str, tmp_path: Path, store: DeltaTables) -> None:
    run(
        postgres,
        "CREATE TABLE prices (id INT, price NUMERIC(8, 2), at TIMESTAMPTZ)",
        "INSERT INTO prices VALUES (1, 9.50, '2024-01-01Z'), (2, 'NaN', '2024-01-01Z'), (3, 7.25, 'infinity'), (4, NULL, '2024-01-01Z')",
    )
    done = ingest(nr.Table("events", nr.sql("SELECT * FROM prices", url=postgres), key="id", event_time="at"), store, tmp_path)
    assert done.balance.rows_out == {"stored": 2, "repeated": 0, "quarantined": 2}
    assert set(done.reasons) == {"price is not DECIMAL(18,2)", "at is not TIMESTAMP WITH TIME ZONE"}
    assert stored(store).sort_by("id").column("price").to_pylist() == [Decimal("9.50"), None]
    held = stored(store, "events__quarantine").column("_raw").to_pylist()
    assert any('"price": "NaN"' in text for text in held)
    assert any('"at": "infinity"' in text for text in held)


def test_what_fails_in_the_middle_stores_nothing(
    postgres: str, tmp_path: Path, store: DeltaTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 10)
    query = "SELECT i AS id, '2024-01-01Z'::timestamptz AS at, 1 / (25 - i) AS x FROM generate_series(1, 30) i"
    with pytest.raises(SourceAway, match="division by zero"):
        ingest(nr.Table("events", nr.sql(query, url=postgres), key="id", event_time="at"), store, tmp_path)
    assert store.latest("events") is None


# --- types --------------------------------------------------------------------------------------------------------------

FROM_CURSOR = {
    "true": ("BOOLEAN", True),
    "7::int2": ("BIGINT", 7),
    "7::int8": ("BIGINT", 7),
    "0.1::float4": ("DOUBLE", 0.10000000149011612),
    "0.1::float8": ("DOUBLE", 0.1),
    "1.5::numeric(5, 2)": ("DECIMAL(18,2)", Decimal("1.50")),
    "12345::numeric(3, -2)": ("DECIMAL(18,0)", Decimal(12300)),
    "1.5::numeric(30, 4)": ("DECIMAL(38,4)", Decimal("1.5000")),
    "1.50::numeric": ("DECIMAL(18,2)", Decimal("1.50")),
    "'x'::text": ("VARCHAR", "x"),
    "'y'::varchar(3)": ("VARCHAR", "y"),
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid": ("VARCHAR", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    """'{"a": 1.00}'::json""": ("VARCHAR", '{"a": 1.00}'),
    """'{"a":1.00}'::jsonb""": ("VARCHAR", '{"a": 1.00}'),
    "'192.168.0.1/24'::inet": ("VARCHAR", "192.168.0.1/24"),
    "'[1,5)'::int4range": ("VARCHAR", "[1,5)"),
    "'\\x00ff'::bytea": ("BLOB", b"\x00\xff"),
    "'2024-01-01'::date": ("DATE", date(2024, 1, 1)),
    "'17:30:00.5'::time": ("VARCHAR", "17:30:00.5"),
    "'24:00'::time": ("VARCHAR", "24:00:00"),
    "'17:30+02'::timetz": ("VARCHAR", "17:30:00+02"),
    "'2024-01-01 12:00:00.000001'::timestamp": ("TIMESTAMP", datetime(2024, 1, 1, 12, microsecond=1)),  # noqa: DTZ001
    "'2024-01-01 14:00+02'::timestamptz": ("TIMESTAMP WITH TIME ZONE", NOON),
    "'0001-01-01 00:00+00'::timestamptz": ("TIMESTAMP WITH TIME ZONE", datetime(1, 1, 1, tzinfo=UTC)),
    "'1 year 2 mons -3 days -04:05:06.5'::interval": ("VARCHAR", "P14M-3DT-14706.5S"),
    "ARRAY[1, NULL]": ("BIGINT[]", [1, None]),
    "ARRAY[1.5, 2.25]": ("DECIMAL(18,2)[]", [Decimal("1.50"), Decimal("2.25")]),
    "ARRAY[[1, 2], [3, 4]]": ("BIGINT[][]", [[1, 2], [3, 4]]),
    "ARRAY['2024-01-01'::date]": ("DATE[]", [date(2024, 1, 1)]),
    "'{}'::text[]": ("VARCHAR[]", []),
    "NULL::numeric(5, 2)": ("DECIMAL(18,2)", None),
    "NULL::numeric": (None, None),
    "NULL::timestamptz": ("TIMESTAMP WITH TIME ZONE", None),
}


@pytest.mark.parametrize("value", FROM_CURSOR)
def test_postgresql_states_the_types_and_every_value_is_exact(postgres: str, value: str) -> None:
    kind, wanted = FROM_CURSOR[value]
    found = read(nr.sql(f"SELECT {value} AS x", url=postgres))
    assert found.types == {"x": kind}
    assert found.rows == [(wanted,)]
    assert type(found.rows[0][0]) is type(wanted)


MALFORMED = {
    "VALUES ('NaN'::numeric), (1.5)": "NaN",
    "VALUES ('Infinity'::numeric), (1.5)": "Infinity",
    "VALUES (1e60::numeric), (1.5), (2.5)": "1" + "0" * 60,
    "VALUES ('infinity'::timestamptz), ('2024-01-01')": "infinity",
    "VALUES ('10000-01-01'::timestamp), ('2024-01-01')": "10000-01-01 00:00:00",
    "VALUES ('0044-03-15 BC'::date), ('2024-01-01')": "0044-03-15 BC",
}


@pytest.mark.parametrize("query", MALFORMED)
def test_a_value_that_no_column_holds_is_refused_with_its_text(postgres: str, query: str) -> None:
    found = read(nr.sql(f"SELECT * FROM ({query}) v(x)", url=postgres))
    [(text, reason)] = found.raw
    assert MALFORMED[query] in text
    assert reason.startswith("x is not ")
    assert len(found.rows) >= 1


def test_how_the_server_writes_values_is_no_matter(postgres: str) -> None:
    run(postgres, "CREATE ROLE quaint LOGIN SUPERUSER", "ALTER ROLE quaint SET datestyle = 'German'")
    run(postgres, "ALTER ROLE quaint SET intervalstyle = 'iso_8601'", "ALTER ROLE quaint SET extra_float_digits = 0")
    url = sa.make_url(postgres).set(username="quaint").render_as_string(hide_password=False)
    query = "SELECT '2024-05-01'::date AS d, '2024-01-01 12:00+00'::timestamptz AS t, '1 mon'::interval AS i, 0.1::float8 + 0.2 AS f"
    assert read(nr.sql(query, url=url)).rows == [(date(2024, 5, 1), NOON, "P1M", 0.1 + 0.2)]


BY_VALUE: dict[str, tuple[list[Any], str | None, list[Any]]] = {
    "whole numbers": ([1, None, 2], "BIGINT", [1, None, 2]),
    "fractions": ([0.5, 1.0], "DOUBLE", [0.5, 1.0]),
    "whole numbers and fractions": ([1, 2.5], "DOUBLE", [1.0, 2.5]),
    "a whole number that a fraction can't hold": ([2**53 + 1, 0.5], "DECIMAL(18,1)", [Decimal(2**53 + 1), Decimal("0.5")]),
    "texts": (["1", "a"], "VARCHAR", ["1", "a"]),
    "bytes": ([b"\x00", None], "BLOB", [b"\x00", None]),
    "nothing but nulls": ([None, None], None, [None, None]),
}


@pytest.mark.parametrize("case", BY_VALUE)
def test_where_the_cursor_has_no_types_the_values_say(app: App, case: str) -> None:
    values, kind, wanted = BY_VALUE[case]
    found = read(app.fill(*values).source())
    assert found.types == {"x": kind}
    assert [x for (x,) in found.rows] == wanted
    assert found.raw == []


def columns(values: list[Any], **more: Any) -> tuple[str, list[Any], int]:
    found = records(["x"], [(v,) for v in values], {}, more.get("declared", ()), 1)
    return str(found.rows.schema.field("x").type), found.rows.column("x").to_pylist(), len(found.raw)


PARIS = timezone(timedelta(hours=1))
DRIVERS: dict[str, tuple[list[Any], str, list[Any], int]] = {
    "long whole numbers": ([1, 2**63], "decimal128(38, 0)", [Decimal(1), Decimal(2**63)], 0),
    "one beyond all decimals": ([1, 2, 10**38], "int64", [1, 2], 1),
    "decimals of two scales": ([Decimal("9.5"), Decimal("9.25")], "decimal128(18, 2)", [Decimal("9.50"), Decimal("9.25")], 0),
    "decimals and whole numbers": ([Decimal("9.5"), 3], "decimal128(18, 1)", [Decimal("9.5"), Decimal("3.0")], 0),
    "zones": ([NOON.astimezone(PARIS), NOON], "timestamp[us, tz=UTC]", [NOON, NOON], 0),
    "a time without a zone among others": ([NOON, NOON, NOON.replace(tzinfo=None)], "timestamp[us, tz=UTC]", [NOON, NOON], 1),
    "truth and numbers": ([True, False, 1], "bool", [True, False], 1),
    "dates and times": ([date(2024, 1, 1), datetime(2024, 1, 1, 8)], "timestamp[us]", [datetime(2024, 1, 1), datetime(2024, 1, 1, 8)], 0),  # noqa: DTZ001
    "JSON": ([{"a": [1]}], "string", ['{"a": [1]}'], 0),
    "half a surrogate pair": (["a", "\ud800"], "string", ["a"], 1),
}


@pytest.mark.parametrize("case", DRIVERS)
def test_what_other_drivers_return_is_kept_or_refused(case: str) -> None:
    values, kind, wanted, refused = DRIVERS[case]
    assert columns(values) == (kind, wanted, refused)


def test_one_and_the_text_one_never_become_one_value(app: App) -> None:
    found = read(app.fill(1, "1", 2).source())
    assert [x for (x,) in found.rows] == [1, 2]
    assert found.raw == [('{"x": "1"}', "x is not BIGINT")]


def test_a_text_that_is_not_utf8_keeps_no_other_row(app: App) -> None:
    app.fill("a", "b")
    app.con.execute("INSERT INTO t VALUES (CAST(x'ff' AS TEXT))")
    found = read(app.source())
    assert [x for (x,) in found.rows] == ["a", "b"]
    assert found.raw == [('{"x": "\\\\xff"}', "x is not VARCHAR")]


def test_declared_types_take_what_fits_and_quarantine_the_rest(app: App, tmp_path: Path, store: DeltaTables) -> None:
    app.con.execute("CREATE TABLE events (id, n, at TEXT)")
    new = [(1, "2.50"), ("2", 3), ("c", "many"), (4, None)]
    app.con.executemany("INSERT INTO events VALUES (?, ?, '2024-01-01T00:00:00Z')", new)
    source = app.source("SELECT * FROM events", types={"id": "VARCHAR", "n": "DECIMAL(8, 2)"})
    done = ingest(nr.Table("events", source, key="id", event_time="at"), store, tmp_path)
    assert done.balance.rows_out == {"stored": 3, "repeated": 0, "quarantined": 1}
    found = stored(store).sort_by("id").to_pylist()
    assert [(row["id"], row["n"]) for row in found] == [("1", Decimal("2.50")), ("2", Decimal("3.00")), ("4", None)]


# --- watermarks ---------------------------------------------------------------------------------------------------------

WATERMARKS: dict[str, tuple[str, str, Any]] = {
    "NUMERIC(20, 4)": ("1.2500", "2.0001", {"decimal": "2.0001"}),
    "NUMERIC": ("100000000000000000000.1", "100000000000000000000.2", {"decimal": "100000000000000000000.2"}),
    "BIGINT": ("9007199254740993", "9007199254740994", 9007199254740994),
    "REAL": ("0.7", "0.9", 0.8999999761581421),
    "DOUBLE PRECISION": ("0.1", "0.3", 0.3),
    "TIMESTAMPTZ": ("2024-01-01 00:00:00.000001+02", "2024-01-01Z", {"time": "2024-01-01T00:00:00+00:00"}),
    "TIMESTAMP": ("2024-01-01", "2024-01-01 00:00:00.000001", {"time": "2024-01-01T00:00:00.000001"}),
    "DATE": ("2024-01-01", "2024-01-02", {"date": "2024-01-02"}),
    "TEXT": ("a", "time b", {"text": "time b"}),
    "BYTEA": ("\\x00", "\\x00ff", {"bytes": "00ff"}),
    "UUID": (
        f"{'0' * 8}-0000-0000-0000-{'0' * 12}",
        f"{'1' * 8}-0000-0000-0000-{'0' * 12}",
        {"text": f"{'1' * 8}-0000-0000-0000-{'0' * 12}"},
    ),
}


@pytest.mark.parametrize("kind", WATERMARKS)
def test_a_watermark_of_any_type_goes_on_exactly_where_it_stopped(postgres: str, kind: str) -> None:
    first, last, kept = WATERMARKS[kind]
    run(postgres, "DROP TABLE IF EXISTS w", f"CREATE TABLE w (id INT, wm {kind})")
    run(postgres, f"INSERT INTO w VALUES (1, '{first}'), (2, '{last}'), (3, NULL)")
    source = nr.sql("SELECT * FROM w ORDER BY id", url=postgres, watermark="wm")
    found = read(source)
    assert found.watermark == {"last": kept, "column": "wm"}
    run(postgres, f"INSERT INTO w VALUES (4, '{last}')")
    again = read(source, found.watermark)
    assert sorted(row[0] for row in again.rows) == [2, 3, 4]
    assert again.watermark == found.watermark


@pytest.mark.parametrize(
    ("kind", "older", "newer"),
    [("TIMESTAMPTZ", "time 2024-01-01T00:00:00+00:00", "2024-01-02Z"), ("TEXT", "b", "c"), ("INT", 5, 6), ("REAL", 0.5, 0.75)],
)
def test_watermarks_that_were_stored_before_are_read(postgres: str, kind: str, older: Any, newer: Any) -> None:
    run(postgres, "DROP TABLE IF EXISTS w", f"CREATE TABLE w (id INT, wm {kind})")
    run(postgres, f"INSERT INTO w VALUES (1, '{str(older).removeprefix('time ')}'), (2, '{newer}')")
    source = nr.sql("SELECT * FROM w", url=postgres, watermark="wm")
    assert len(read(source, {"last": older}).rows) == 2
    assert len(read(source, read(source, {"last": older}).watermark).rows) == 1


def test_what_has_no_end_is_no_watermark(postgres: str) -> None:
    run(postgres, "DROP TABLE IF EXISTS w", "CREATE TABLE w (f FLOAT8, n NUMERIC, t TIMESTAMPTZ)")
    run(postgres, "INSERT INTO w VALUES (1, 1, '2024-01-01Z'), ('NaN', 'NaN', 'infinity'), ('Infinity', NULL, NULL)")
    for column, kept in (("f", 1.0), ("n", {"decimal": "1"}), ("t", {"time": "2024-01-01T00:00:00+00:00"})):
        found = read(nr.sql(f"SELECT {column} FROM w", url=postgres, watermark=column))
        assert found.watermark == {"last": kept, "column": column}


def test_without_any_watermark_everything_is_read_again(app: App) -> None:
    source = app.fill(None, None).source(watermark="x")
    found = read(source)
    assert found.watermark == {}
    assert len(read(source, found.watermark).rows) == 2


def test_a_decimal_watermark_leaves_no_row_out_where_the_database_has_none(app: App) -> None:
    app.fill(0.3, 0.25, kind="NUMERIC")
    assert len(read(app.source(watermark="x"), {"last": {"decimal": "0.3"}}).rows) == 1
    assert len(read(app.source(watermark="x"), {"last": {"decimal": "0.30000000000000001"}}).rows) == 1


def test_a_time_watermark_of_sqlite_is_compared_as_it_is_written(app: App) -> None:
    sqlite3.register_converter("MOMENT", lambda text: datetime.fromisoformat(text.decode()))
    app.fill("2024-01-01 00:00:00", "2024-01-02 00:00:00", kind="MOMENT")
    source = app.source(url=f"{app.url}?detect_types=1", watermark="x")
    found = read(source)
    assert found.watermark == {"last": {"time": "2024-01-02T00:00:00"}, "column": "x"}
    assert len(read(source, found.watermark).rows) == 1


def test_another_watermark_column_begins_anew(app: App) -> None:
    app.con.execute("CREATE TABLE two AS SELECT 100 AS a, 1 AS b")
    found = read(app.source("SELECT * FROM two", watermark="a"))
    assert len(read(app.source("SELECT * FROM two", watermark="b"), found.watermark).rows) == 1


@pytest.mark.parametrize("since", [None, {"last": 5}])
def test_a_watermark_that_the_query_does_not_return_is_named(app: App, postgres: str, since: Watermark | None) -> None:
    for source in (app.fill(1).source(watermark="y"), nr.sql("SELECT 1 AS x", url=postgres, watermark="y")):
        with pytest.raises(UnknownColumn, match="'y'"):
            read(source, since)


@pytest.mark.parametrize("value", ["true", "'{}'::json", "ARRAY[1]", "'1 day'::interval"])
def test_a_watermark_without_an_order_is_refused(postgres: str, value: str) -> None:
    with pytest.raises(BadSource, match="can't be a watermark"):
        read(nr.sql(f"SELECT {value} AS x", url=postgres, watermark="x"))


def test_a_watermark_of_numbers_and_texts_is_refused(app: App) -> None:
    with pytest.raises(BadSource, match="int, str"):
        read(app.fill(1, "a").source(watermark="x"))
    with pytest.raises(BadSource, match="int, str"):
        read(app.fill("a").source(watermark="x"), {"last": 5})


# --- queries ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS x -- all of them",
        "SELECT 1 AS x;",
        "SELECT 1 AS x; -- all; of them\n;",
        "SELECT 1 AS x /* a; b */ ;",
        "WITH q AS (SELECT 1 AS x UNION ALL SELECT 2) SELECT * FROM q ORDER BY x LIMIT 1",
        "SELECT 7 % 3 AS x",
    ],
)
@pytest.mark.parametrize("watermark", [None, "x"])
def test_a_query_is_taken_as_it_is_written(app: App, postgres: str, query: str, watermark: str | None) -> None:
    for url in (app.url, postgres):
        source = nr.sql(query, url=url, watermark=watermark)
        assert read(source).rows == [(1,)]
        assert read(source, read(source).watermark).rows == [(1,)]


def test_colons_and_percent_signs_are_no_parameters(postgres: str) -> None:
    text = "a:b :c %s %(d)s ::x; -- \\:"
    found = read(nr.sql(f"SELECT '{text}' AS x, '7'::int AS \"n:1 %\"", url=postgres, watermark="n:1 %"), {"last": 7})
    assert found.rows == [(text, 7)]


@pytest.mark.parametrize("query", ["SELECT 1 AS a, 2 AS a", 'SELECT 1 AS a, 2 AS "A"'])
def test_columns_that_can_not_be_told_apart_are_refused_by_name(app: App, postgres: str, query: str) -> None:
    for url in (app.url, postgres):
        with pytest.raises(AmbiguousColumns, match=r"'a' and '[aA]'"):
            read(nr.sql(query, url=url))


def test_a_result_is_read_in_pieces_and_its_connection_closed_when_nobody_wants_more(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 10)
    source = nr.sql("SELECT i FROM generate_series(1, 25) i", url=postgres)
    assert read(source).pieces == 3
    assert [row for (row,) in read(source).rows] == list(range(1, 26))
    batch = source.read(Path(), None)
    next(batch.pieces)
    others = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'fetch%' AND pid <> pg_backend_pid()"
    assert read(nr.sql(others, url=postgres)).rows == [(1,)]
    batch.pieces.close()  # type: ignore[attr-defined]
    assert read(nr.sql(others, url=postgres)).rows == [(0,)]


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        ({"query": " "}, BadSource),
        ({"url": ""}, BadSource),
        ({"watermark": ""}, BadSource),
        ({"types": {"x": "BIGNT"}}, BadTypes),
        ({"types": {"x": "BIGINT NOT NULL"}}, BadTypes),
    ],
)
def test_a_source_that_can_not_be_meant_is_refused_when_it_is_declared(declared: Mapping[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        nr.sql(**{"query": "SELECT 1 AS x", "url": "sqlite://", **declared})


def test_a_declared_column_that_the_query_does_not_return_is_named(app: App) -> None:
    with pytest.raises(UnknownColumn, match="'y'"):
        read(app.fill(1).source(types={"y": "BIGINT"}))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cret@127.0.0.1:1/app",
        "sqlite://me:s3cret@host/app?x=y",
        "mysql:me:s3cret@host",
        "carrier://me:s3cret@pigeon/app",
    ],
)
def test_no_password_is_ever_shown(url: str) -> None:
    source = nr.sql("SELECT 1 AS x", url=url)
    with pytest.raises(SourceAway) as caught:
        read(source)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in source.describe()
