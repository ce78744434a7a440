"""Columns meet in one type: what fits without loss is converted, what does not widens the column or is kept as text, and a file that can't
be taken in never keeps others."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import noria as nr
from feeds import START, Feed, Z, dated, feed, times
from noria.data.contract import UnknownColumn
from noria.data.ingest import NothingThere, check_source, current
from noria.data.staging import BadColumnName, BadTimeColumn, SchemaChanged

HEAD = "id,v,at\n"
D = Decimal


def csv(*values: str, start: int = 0) -> str:
    """A day's file, with a value in each row."""
    return HEAD + "".join(f"r{start + i},{v},{Z}\n" for i, v in enumerate(values))


def days(folder: Path, *contents: Any, **table: Any) -> Feed:
    """A feed that has ingested one file after the other."""
    made = feed(folder, **table)
    for i, content in enumerate(contents):
        ending = "parquet" if isinstance(content, pa.Table) else "jsonl" if content.startswith("{") else "csv"
        made.put(f"d{i}.{ending}", content).ingest()
    return made


def whole(*values: int | None, type: pa.DataType | None = None, start: int = 0) -> pa.Table:
    return dated(start, v=pa.array(values, type or pa.int64()))


# --- the same column, day by day ----------------------------------------------------------------------------------------


# What stands in a column on a first day and on a second, what is stored then, and as which type.
CSV_DAYS: list[tuple[str, str, list[Any], str | None]] = [
    ("2.5", "3", [2.5, 3.0], "double"),
    ("1", "2", [1, 2], "int64"),
    ("1", "2.5", [1.0, 2.5], "double"),
    ("1", "", [1, None], "int64"),
    ("", "1", [None, 1], "int64"),
    ("1", "NA", [1, None], "int64"),
    ("", "", [None, None], None),
    ("x", "10001", ["x", "10001"], "string"),
    ("x", "02139", ["x", "02139"], "string"),
    ("2024-01-01", "2024-05-05 17:30", ["2024-01-01 00:00:00", "2024-05-05 17:30:00"], "timestamp[us]"),
    ("2024-05-05 17:30", "2024-01-01", ["2024-05-05 17:30:00", "2024-01-01 00:00:00"], "timestamp[us]"),
    ("1", "99999999999999999999", [1, 99999999999999999999], "decimal128(38, 0)"),
    ("true", "false", [True, False], "bool"),
    ("1.5", "nan", [1.5, "nan"], "double"),
    ("1", "1e3", [1.0, 1000.0], "double"),
]
INT, MAP = pa.int64(), pa.map_(pa.string(), pa.int64())
PARQUET_DAYS: list[tuple[pa.Array, pa.Array, list[Any], str]] = [
    (pa.array([1]), pa.array([2], pa.int32()), [1, 2], "int64"),
    (pa.array([1], pa.int8()), pa.array([2**40]), [1, 2**40], "int64"),
    (pa.array([1]), pa.array([2.5]), [1.0, 2.5], "double"),
    (pa.array([2.5]), pa.array([3]), [2.5, 3.0], "double"),
    (pa.array([1]), pa.nulls(1), [1, None], "int64"),
    (pa.nulls(1), pa.array([1]), [None, 1], "int64"),
    (pa.array([D("9.99")]), pa.array([D("129.50")]), [D("9.99"), D("129.50")], "decimal128(18, 2)"),
    (pa.array([D("9.5")]), pa.array([D("9.25")]), [D("9.50"), D("9.25")], "decimal128(38, 2)"),
    (pa.array([D("9.5")]), pa.array([3]), [D("9.5"), D("3.0")], "decimal128(18, 1)"),
    (pa.array([3]), pa.array([D("9.5")]), [D("3.0"), D("9.5")], "decimal128(38, 1)"),
    (pa.array([1], pa.uint64()), pa.array([-1]), [D(1), D(-1)], "decimal128(38, 0)"),
    (pa.array([1]), pa.array([2**64 - 1], pa.uint64()), [D(1), D(2**64 - 1)], "decimal128(38, 0)"),
    (pa.array(["a"]), pa.array(["b"]).dictionary_encode(), ["a", "b"], "string"),
    (pa.array(["a"]), pa.array(["b"], pa.large_string()), ["a", "b"], "string"),
    (pa.array([1]), pa.array(["7"]), [1, 7], "int64"),
    (
        pa.array([[("a", 1)]], MAP),
        pa.array([[("a", 1.5)]], pa.map_(pa.string(), pa.float64())),
        [[("a", 1.0)], [("a", 1.5)]],
        "map<string, double>",
    ),
    (pa.array([[1]], pa.list_(pa.int32())), pa.array([[2]], pa.large_list(INT)), [[1], [2]], "list<element: int64>"),
]
JSON_DAYS: list[tuple[str, str, list[Any]]] = [
    ("1", "", [1, None]),
    ("", "1", [None, 1]),
    ("null", "1.5", [None, 1.5]),
    ("1", "null", [1, None]),
    ("1", "2.5", [1.0, 2.5]),
    ('"x"', "5", ["x", "5"]),
    ("[1]", "[]", [[1], []]),
    ('{"x":1}', '{"x":null}', [{"x": 1}, {"x": None}]),
    ("[1]", "[2.5]", [[1.0], [2.5]]),
    ('{"x":1}', '{"x":1,"y":"a"}', [{"x": 1, "y": None}, {"x": 1, "y": "a"}]),
    ('{"x":1}', '{"y":"a"}', [{"x": 1, "y": None}, {"x": None, "y": "a"}]),
    ('{"x":1,"y":2}', '{"y":2.5}', [{"x": 1, "y": 2.0}, {"x": None, "y": 2.5}]),
    ('[{"x":1}]', '[{"x":2,"y":[1]}]', [[{"x": 1, "y": None}], [{"x": 2, "y": [1]}]]),
    ('{"x":1}', '{"X":2}', [{"x": 1}, {"x": 2}]),
    ('{"x":1,"X":2}', '{"x":3}', ['{"x":1,"X":2}', '{"x":3}']),
]


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Feed]:
    """A feed of each kind of file, with a column for each of the above."""
    head = ",".join(f"v{i}" for i in range(len(CSV_DAYS)))
    lines = [[f'"v{i}": {d[day]}, ' for i, d in enumerate(JSON_DAYS) if d[day]] for day in (0, 1)]
    contents: dict[str, list[Any]] = {
        "csv": [f"id,{head},at\nr{day},{','.join(str(d[day]) for d in CSV_DAYS)},{Z}\n" for day in (0, 1)],
        "parquet": [dated(day, **{f"v{i}": d[day] for i, d in enumerate(PARQUET_DAYS)}) for day in (0, 1)],
        "json": [f'{{"id": "r{day}", {"".join(lines[day])}"at": "{Z}"}}\n' for day in (0, 1)],
    }
    return {kind: days(tmp_path_factory.mktemp(kind), *files) for kind, files in contents.items()}


@pytest.mark.parametrize("i", range(len(CSV_DAYS)), ids=lambda i: f"{CSV_DAYS[i][0]} then {CSV_DAYS[i][1]}")
def test_a_column_of_a_csv_from_one_day_to_the_next(two_days: dict[str, Feed], i: int) -> None:
    _, _, values, type = CSV_DAYS[i]
    assert [str(r.get(f"v{i}")) for r in two_days["csv"].rows()] == [str(v) for v in values]
    assert two_days["csv"].types().get(f"v{i}") == type


@pytest.mark.parametrize("i", range(len(PARQUET_DAYS)), ids=lambda i: f"{PARQUET_DAYS[i][0].type} then {PARQUET_DAYS[i][1].type}")
def test_a_column_of_a_parquet_file_from_one_day_to_the_next(two_days: dict[str, Feed], i: int) -> None:
    _, _, values, type = PARQUET_DAYS[i]
    assert two_days["parquet"].column(f"v{i}") == values
    assert two_days["parquet"].types()[f"v{i}"].replace("item", "element") == type


@pytest.mark.parametrize("i", range(len(JSON_DAYS)), ids=lambda i: f"{JSON_DAYS[i][0]} then {JSON_DAYS[i][1]}")
def test_a_key_of_json_lines_from_one_day_to_the_next(two_days: dict[str, Feed], i: int) -> None:
    assert two_days["json"].column(f"v{i}") == JSON_DAYS[i][2]


@pytest.mark.parametrize(("first", "second"), [("10001", "x"), ("true", "1"), ("2024-01-01", "soon"), ("1.5", "0001.5")])
def test_what_fits_no_type_with_the_days_before_is_kept(tmp_path: Path, first: str, second: str) -> None:
    made = days(tmp_path, csv(first), csv(second, start=1))
    assert (len(made.rows()), [h["v"] for h in made.held()]) == (1, [second])


def test_types_meet_within_one_ingestion_as_they_do_day_by_day(tmp_path: Path) -> None:
    made = feed(tmp_path)
    made.put("a.csv", csv("1")).put("b.csv", csv("2.5", start=1)).put("c.csv", csv("", start=2)).put("d.csv", HEAD).put("e.csv", "")
    done = made.ingest()
    assert (done.balance.rows_out["stored"], made.column("v")) == (3, [1.0, 2.5, None])
    assert made.ingest().balance.rows_in == 0


# --- widening -----------------------------------------------------------------------------------------------------------


def test_a_widening_is_said_and_old_versions_stay_as_they_were(tmp_path: Path) -> None:
    made = days(tmp_path, csv("1", "2"))
    before = current(made.table, made.store)
    done = made.put("b.csv", csv("2.5", start=2)).ingest()
    assert list(done.changes) == ["v was BIGINT, is DOUBLE"]
    assert made.column("v") == [1.0, 2.0, 2.5]
    assert [(r["v"], type(r["v"])) for r in made.rows(before.version)] == [(1, int), (2, int)]
    assert done.balance.rows_out == {"stored": 1, "repeated": 0, "quarantined": 0}
    assert done.snapshot.rows == 3
    assert done.snapshot.digest != before.digest
    assert current(made.table, made.store, before.version) == before
    assert made.put("again.csv", csv("1", "2")).ingest().balance.rows_out == {"stored": 0, "repeated": 2, "quarantined": 0}


def test_a_widening_that_would_change_a_stored_value_is_refused_row_by_row(tmp_path: Path) -> None:
    made = days(tmp_path, csv(str(2**53 + 1)))
    done = made.put("b.csv", csv("2.5e-30", "7", start=1)).ingest()
    assert done.balance.rows_out == {"stored": 1, "repeated": 0, "quarantined": 1}
    assert made.column("v") == [2**53 + 1, 7]
    assert [(h["v"], h["_reason"]) for h in made.held()] == [("2.5e-30", "v is not BIGINT")]


def test_whole_numbers_beyond_a_float_and_decimals_meet_in_a_decimal(tmp_path: Path) -> None:
    made = days(tmp_path, csv(str(2**53 + 1)), csv("2.5", start=1))
    assert made.column("v") == [D(2**53 + 1), D("2.5")]


def test_a_value_beyond_what_a_float_holds_does_not_fit_it(tmp_path: Path) -> None:
    made = days(tmp_path, dated(0, v=[2.5]), whole(2**53 + 1, 3, start=1))
    assert made.column("v") == [2.5, 3.0]
    assert [h["v"] for h in made.held()] == [str(2**53 + 1)]


def test_what_only_some_rows_fit_keeps_the_others_out(tmp_path: Path) -> None:
    made = days(tmp_path, csv("1"), csv("2", "many", "3.5", "", start=1))
    assert made.column("v") == [1.0, 2.0, 3.5, None]
    [held] = made.held()
    assert (held["v"], held["id"], held["_place"]) == ("many", "r2", "d1.csv, row 2")


def test_new_columns_are_added_and_said(tmp_path: Path) -> None:
    made = days(tmp_path, csv("1"))
    done = made.put("b.csv", f"id,w,v,at\nr1,x,2,{Z}\n").ingest()
    assert list(done.changes) == ["w VARCHAR is new"]
    assert [(r["v"], r["w"]) for r in made.rows()] == [(1, None), (2, "x")]
    with pytest.raises(SchemaChanged, match="w is missing"):
        made.put("again.csv", csv("1")).ingest()


def test_rows_read_again_are_found_although_the_table_has_more_columns_since(tmp_path: Path) -> None:
    line = f'{{"id": "a", "v": 1, "at": "{Z}"}}\n'
    made = days(tmp_path, line, f'{{"id": "b", "v": 2.5, "w": "x", "at": "{Z}"}}\n')
    assert made.put("again.jsonl", line).ingest().balance.rows_out == {"stored": 0, "repeated": 1, "quarantined": 0}


# --- files that can't be taken in ---------------------------------------------------------------------------------------


def test_a_file_that_lacks_a_column_is_refused_alone_and_tried_again(tmp_path: Path) -> None:
    made = days(tmp_path, csv("1"))
    made.put("b.csv", f"id,at\nr1,{Z}\n").put("c.csv", csv("3", start=2))
    done = made.ingest()
    assert {Path(p).name: why for p, why in done.unreadable.items()} == {"b.csv": "the columns of 'events' have changed: v is missing"}
    assert made.column("id") == ["r0", "r2"]
    assert done.to_dict()["unreadable"]
    assert made.put("d.csv", csv("4", start=3)).ingest().unreadable, "it is said again as long as it is there"
    assert made.column("id") == ["r0", "r2", "r3"]
    made.put("b.csv", csv("2", start=1))
    assert not made.ingest().unreadable
    assert made.column("id") == ["r0", "r1", "r2", "r3"]
    assert not made.ingest().unreadable


def test_a_refused_file_leaves_nothing_of_itself(tmp_path: Path) -> None:
    made = days(tmp_path, dated(0, v=[True]))
    made.put("b.parquet", dated(1, new=["x"], v=[1])).put("c.parquet", dated(2, v=[False]))
    done = made.ingest()
    assert len(done.unreadable) == 1
    assert made.column("v") == [True, False]
    assert set(made.types()) == {"id", "at", "v"}


def test_a_refused_file_does_not_set_the_types_of_the_next(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", f"id,v,at,At\na,x,{Z},{Z}\n").put("b.csv", csv("1"))
    assert len(made.ingest().unreadable) == 1
    assert made.types()["v"] == "int64"


def test_a_first_ingestion_of_nothing_but_refused_files_says_why(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", f"id,v\na,{Z}\n")
    with pytest.raises(UnknownColumn, match="no column 'at'"):
        made.ingest()
    assert made.store.latest("events") is None


def test_the_command_ends_with_2_where_a_file_was_refused(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "noria.toml").write_text('[project]\nname = "p"\nmodule = "p"\n')
    (tmp_path / "p.py").write_text('import noria as nr\nevents = nr.Table("events", nr.files("in/*"), key="id", event_time="at")\n')
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(csv("1"))
    (tmp_path / "in" / "b.csv").write_text(f"id,at,at\na,{Z},{Z}\n")
    done = subprocess.run(
        [sys.executable, "-m", "noria", "ingest", "--project", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    [said] = json.loads(done.stdout)
    assert [Path(p).name for p in said["unreadable"]] == ["b.csv"]
    assert said["balance"]["rows_out"]["stored"] == 1


@pytest.mark.parametrize("content", [HEAD, HEAD.strip()])
def test_a_first_file_with_a_head_alone_makes_the_table_of_later_ones(tmp_path: Path, content: str) -> None:
    made = feed(tmp_path).put("a.csv", content)
    assert made.ingest().balance.rows_in == 0
    assert made.put("b.csv", csv("1")).ingest().balance.rows_out["stored"] == 1
    assert (made.ingest().balance.rows_in, made.types()["v"]) == (0, "int64")


def test_a_first_file_of_zero_bytes_is_nothing_yet(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", "")
    with pytest.raises(NothingThere):
        made.ingest()
    assert made.put("b.csv", csv("1")).ingest().balance.rows_out["stored"] == 1


# --- names --------------------------------------------------------------------------------------------------------------


def test_a_date_that_no_calendar_has_is_kept_out_and_the_rest_is_stored(tmp_path: Path) -> None:
    far = pa.array([2**31 - 1, 19_000, -(2**31), None], pa.int32()).cast(pa.date32())
    made = feed(tmp_path)
    assert made.took("a.parquet", dated(v=far)) == {"stored": 2, "repeated": 0, "quarantined": 2}
    assert [str(v) for v in made.column("v")] == ["2022-01-08", "None"]


def test_a_name_with_a_nul_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadColumnName, match="NUL"):
        feed(tmp_path).put("a.parquet", dated(**{"a\0b": [1]})).ingest()


@pytest.mark.parametrize("name", ["__noria_order", "__NORIA_x", "__noria_"])
def test_a_name_like_norias_own_is_refused(tmp_path: Path, name: str) -> None:
    made = feed(tmp_path).put("a.csv", f"id,{name},at\na,1,{Z}\n")
    with pytest.raises(BadColumnName, match="as Noria's own columns do"):
        made.ingest()


def test_the_name_of_what_ingestion_writes_down_is_refused_only_there(tmp_path: Path) -> None:
    content = f"id,_ingested_at,at\na,1,{Z}\n"
    with pytest.raises(BadColumnName, match="INGESTED"):
        feed(tmp_path, known_at=nr.INGESTED).put("a.csv", content).ingest()
    made = feed(tmp_path).put("a.csv", content)
    made.ingest()
    assert made.column("_ingested_at") == [1]


def test_a_name_that_differs_from_a_stored_one_in_case_alone_is_refused(tmp_path: Path) -> None:
    made = days(tmp_path, csv("1"))
    done = made.put("b.csv", f"id,V,at\nr1,2,{Z}\n").put("c.csv", csv("3", start=2)).ingest()
    assert "is 'v' in the table" in next(iter(done.unreadable.values()))
    assert made.column("v") == [1, 3]


NAMES = [
    "a b",
    "a.b",
    'say "x"',
    "it's",
    "é",
    "😀",
    "select",
    "_event",
    "c0",
    "one",
    "_reason",
    "_raw",
    "_place",
    "reason",
    "row",
    "%s",
    "{x}",
    "\\",
    "x" * 300,
]


def test_a_column_may_have_any_other_name(tmp_path: Path) -> None:
    made = days(tmp_path, *(dated(i, **{n: [v] for n in NAMES}) for i, v in enumerate((1, 2.5, "x"))))
    assert {n: made.column(n) for n in NAMES} == {n: [1.0, 2.5] for n in NAMES}
    [held] = made.held()
    assert {held[f"{n}_" if n in ("_reason", "_raw", "_place") else n] for n in NAMES} == {"x"}


# --- declared types -----------------------------------------------------------------------------------------------------


def test_a_type_declared_later_is_taken_where_it_keeps_every_value(tmp_path: Path) -> None:
    made = days(tmp_path, "id,zip,at\na,10001,2024-01-01T00:00:00Z\n")
    made.declare(source=nr.files("*", types={"zip": "VARCHAR"}))
    done = made.put("b.csv", f"id,zip,at\nb,02139,{Z}\n").ingest()
    assert list(done.changes) == ["zip was BIGINT, is VARCHAR"]
    assert made.column("zip") == ["10001", "02139"]
    assert made.put("c.csv", f"id,zip,at\na,10001,{Z}\n").ingest().balance.rows_out["repeated"] == 1


def test_a_type_declared_later_that_would_lose_a_value_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    made = days(tmp_path, csv("1.5"))
    made.declare(source=nr.files("*", types={"v": "BIGINT"}))
    made.put("b.csv", csv("2", start=1))
    with pytest.raises(SchemaChanged, match="v was DOUBLE, is declared BIGINT"):
        made.ingest()
    assert made.column("v") == [1.5]
    made.declare(source=nr.files("*"))
    made.ingest()
    assert made.column("v") == [1.5, 2.0]


def test_a_declared_column_that_no_file_has_is_no_matter_until_it_comes(tmp_path: Path) -> None:
    made = days(tmp_path, csv("1"), types={"later": "DATE"})
    assert "later" not in made.types()


def test_a_declared_type_holds_over_the_one_that_a_parquet_file_states(tmp_path: Path) -> None:
    made = days(tmp_path, whole(7), types={"v": "VARCHAR"})
    assert made.column("v") == ["7"]


@pytest.mark.parametrize("declared", ["TIMESTAMP", "VARCHAR", "BIGINT"])
def test_a_time_declared_as_something_else_is_refused(tmp_path: Path, declared: str) -> None:
    made = feed(tmp_path, types={"at": declared}).put("a.csv", csv("1"))
    with pytest.raises(BadTimeColumn, match="as declared"):
        made.ingest()


# --- times --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1704067200]),
        pa.array([START.replace(tzinfo=None)], pa.timestamp("ns")),
        pa.array([START.date()]),
        pa.array([True]),
        pa.array([1.5]),
    ],
    ids=str,
)
def test_a_time_column_that_is_no_moment_is_refused(tmp_path: Path, column: pa.Array) -> None:
    made = feed(tmp_path).put("a.parquet", pa.table({"id": ["a"], "at": column}))
    with pytest.raises(BadTimeColumn, match="not a time with a zone"):
        made.ingest()


def test_times_without_a_zone_among_others_are_kept_with_their_text(tmp_path: Path) -> None:
    texts = ["2024-01-01T00:00:00+02:00", "2024-01-01T00:00:00", "2024-01-01", "1704067200", "soon"]
    for name, content in (
        ("csv", "id,at\n" + "".join(f"r{i},{t}\n" for i, t in enumerate(texts))),
        ("jsonl", "".join(f'{{"id":"r{i}","at":"{t}"}}\n' for i, t in enumerate(texts))),
    ):
        (tmp_path / name).mkdir()
        made = feed(tmp_path / name)
        assert made.took(f"a.{name}", content) == {"stored": 1, "repeated": 0, "quarantined": 4}
        assert made.column("at") == [START.replace(day=31, month=12, year=2023, hour=22)]
        assert sorted(h["at"] for h in made.held()) == sorted(texts[1:])
        assert {h["_reason"] for h in made.held()} == {"at is not a time with a zone"}


@pytest.mark.parametrize(
    ("text", "shown"), [("2024-01-01 08:00:00", "'2024-01-01 08:00:00'"), ("1704067200", "'1704067200'"), ("soon", "'soon'")]
)
def test_a_table_whose_first_rows_have_no_time_with_a_zone_is_refused_with_an_example(tmp_path: Path, text: str, shown: str) -> None:
    made = feed(tmp_path).put("a.csv", f"id,at\na,\nb,{text}\nc,{text}\n")
    with pytest.raises(BadTimeColumn, match=f"holds values such as {shown}"):
        made.ingest()
    with pytest.raises(BadTimeColumn):
        check_source(made.table, tmp_path / "in")
    assert made.store.latest("events") is None
    made.put("b.csv", f"id,at\nd,{Z}\n")
    assert made.ingest().balance.rows_out == {"stored": 1, "repeated": 0, "quarantined": 0}
    assert made.put("c.csv", f"id,at\ne,{text}\n").ingest().reasons == {"at is null": 1, "at is not a time with a zone": 3}, (
        "a.csv is tried again"
    )


def test_the_time_of_an_ingestion_is_known_where_it_is_null_or_typed_later(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", f"id,at\na,\nb,{Z}\n")
    assert made.ingest().reasons == {"at is null": 1}
    assert made.held()[0]["id"] == "a"


def test_a_table_whose_every_time_is_null_stores_nothing_until_one_comes(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", "id,at\na,\nb,\n")
    assert made.ingest().reasons == {"at is null": 2}
    made.put("b.csv", f"id,at\nc,{Z}\n").ingest()
    assert made.column("id") == ["c"]


# --- tables of before ---------------------------------------------------------------------------------------------------


def test_a_table_that_was_written_with_narrow_types_takes_new_rows(tmp_path: Path) -> None:
    made = feed(tmp_path)
    old = pa.table(
        {
            "id": ["old"],
            "at": times(1),
            "i": pa.array([7], pa.int32()),
            "s": pa.array([7], pa.int16()),
            "f": pa.array([0.1], pa.float32()),
            "d": pa.array([D("1.25")], pa.decimal128(5, 2)),
            "t": pa.array([START], pa.timestamp("us", tz="UTC")),
            "l": pa.array([[1]], pa.list_(pa.int32())),
        }
    )
    facts = {
        "digest": "d",
        "weeks": {},
        "balance": {"stage": "s", "rows_in": 1, "rows_out": {"stored": 1, "repeated": 0, "quarantined": 0}, "holds": True},
        "watermark": {},
        "newest": None,
    }
    made.store.append("events", old, facts)
    new = dated(0, i=[2**40], s=[2**40], f=[0.25], d=[D("123456.75")], t=pa.array([START], pa.timestamp("ns", tz="UTC")), l=[[2**40]])
    done = made.put("a.parquet", new).ingest()
    assert done.balance.rows_out == {"stored": 1, "repeated": 0, "quarantined": 0}
    e, o = made.rows()
    assert (o["i"], o["s"], o["d"], o["l"]) == (7, 7, D("1.25"), [1])
    assert o["f"] == pytest.approx(0.1, rel=1e-7)
    assert (e["i"], e["s"], e["f"], e["d"], e["l"]) == (2**40, 2**40, 0.25, D("123456.75"), [2**40])
    assert made.put("b.parquet", new).ingest().balance.rows_out["repeated"] == 1


# --- checking -----------------------------------------------------------------------------------------------------------


def test_checking_a_source_says_what_its_ingestion_would_and_stores_nothing(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", csv("1", "2.5"))
    found = check_source(made.table, tmp_path / "in")
    assert found.rows.column("v").to_pylist() == [1.0, 2.5]
    assert made.store.latest("events") is None
    [reason] = check_source(made.table, made.put("b.csv", f"id,at\nr2,{Z}\n").folder / "in").unreadable.values()
    assert "v is missing" in reason
