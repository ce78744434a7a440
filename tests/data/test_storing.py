"""Each row is stored once, of the versions of one key at one moment the one ingested later counts, and equal rows are equal bytes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from feeds import LATER, START, Feed, Z, dated, feed, times
from noria.core.clock import ReplayClock
from noria.data.ingest import current, facts, ingest, push
from noria.features.point_in_time import PointInTime
from noria.stores.tables import ORDER

NAN = float("nan")
AWKWARD = {
    "null": pa.nulls(2),
    "some nulls": pa.array([None, 1]),
    "nan": pa.array([NAN, 1.5]),
    "zeros": pa.array([0.0, -0.0]),
    "text": pa.array(["", 'it\'s "x"\n']),
    "bytes": pa.array([b"", b"\x00"]),
    "list": pa.array([[1, None], []]),
    "list of floats": pa.array([[NAN, 0.0], None]),
    "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "struct": pa.array([{"x": 1, "y": None}, None]),
    "decimal": pa.array([Decimal("1.50"), None]),
    "nanoseconds": pa.array([1, 2_000], pa.timestamp("ns")),
    "far": pa.array([START, None], pa.timestamp("us", tz="Europe/Berlin")),
}


# --- once ---------------------------------------------------------------------------------------------------------------


def test_rows_of_every_kind_are_stored_once_however_often_they_are_read(tmp_path: Path) -> None:
    made = feed(tmp_path, "*.parquet")
    rows = dated(**AWKWARD)
    assert made.took("a.parquet", rows) == {"stored": 2, "repeated": 0, "quarantined": 0}
    before = current(made.table, made.store)
    assert made.took("b.parquet", rows) == {"stored": 0, "repeated": 2, "quarantined": 0}
    assert made.took("c.parquet", pa.concat_tables([rows, rows])) == {"stored": 0, "repeated": 4, "quarantined": 0}
    push(made.table, made.store, rows)
    assert current(made.table, made.store).digest == before.digest
    assert len(made.rows()) == 2


@pytest.mark.parametrize("name", list(AWKWARD))
def test_equal_rows_of_one_batch_are_one(tmp_path: Path, name: str) -> None:
    made = feed(tmp_path)
    rows = dated(v=AWKWARD[name])
    assert made.took("a.parquet", pa.concat_tables([rows, rows, rows.slice(0, 1)])) == {"stored": 2, "repeated": 3, "quarantined": 0}


def test_rows_that_differ_in_anything_are_two(tmp_path: Path) -> None:
    made = feed(tmp_path)
    values = pa.array([[1], [1, None], [], None, [2]], pa.list_(pa.int64()))
    made.put("a.parquet", pa.table({"id": ["a"] * 5, "at": pa.array([START] * 5, pa.timestamp("us", tz="UTC")), "v": values}))
    assert made.ingest().balance.rows_out["stored"] == 5
    assert sorted(map(str, made.column("v"))) == sorted(map(str, values.to_pylist()))


def test_rows_that_ingestion_stamps_are_stored_once_too(tmp_path: Path) -> None:
    made = feed(tmp_path, "*.parquet", known_at=nr.INGESTED)
    rows = dated(v=[NAN, None])
    for i, count in enumerate((2, 0, 0)):
        pq.write_table(rows, tmp_path / "in" / f"{i}.parquet")
        done = ingest(made.table, made.store, tmp_path / "in", ReplayClock(START + timedelta(days=i + 1)))
        assert done.balance.rows_out == {"stored": count, "repeated": 2 - count, "quarantined": 0}
    pq.write_table(dated(2, v=[1.0]), tmp_path / "in" / "new.parquet")
    ingest(made.table, made.store, tmp_path / "in", ReplayClock(START + timedelta(days=9)))
    assert [t - START for t in made.column("_ingested_at")] == [timedelta(), timedelta(minutes=1), timedelta(days=9)]


# --- ties ---------------------------------------------------------------------------------------------------------------


def version(value: float | None, key: str = "a", moment: int = 0) -> str:
    return f"{key},{'' if value is None else value},{START + timedelta(minutes=moment):%Y-%m-%dT%H:%M:%SZ}\n"


def newest(made: Feed, ids: list[str]) -> list[Any]:
    return made.features(ids, latest=["v"], ttl="unlimited")["v"]


HEAD = "id,v,at\n"


@pytest.mark.parametrize(("values", "wins"), [([1, 2, 3], 3), ([3, 2, 1], 1), ([2, 3, 1], 1), ([1, 3, 2], 2)])
def test_the_later_row_of_a_file_wins(tmp_path: Path, values: list[float], wins: float) -> None:
    made = feed(tmp_path).put("a.csv", HEAD + "".join(version(v) for v in values) + version(9, "b"))
    made.ingest()
    assert newest(made, ["a", "b"]) == [wins, 9]


@pytest.mark.parametrize("values", [[1, 2], [2, 1], [3, 1, 2]])
def test_the_row_of_the_later_file_wins(tmp_path: Path, values: list[float]) -> None:
    made = feed(tmp_path)
    for i, v in enumerate(values):
        made.put(f"{i}.csv", HEAD + version(v))
    made.ingest()
    assert newest(made, ["a"]) == [values[-1]]


@pytest.mark.parametrize("values", [[1, 2], [2, 1], [3, 1, 2], [5, 4, 3, 2, 1]])
def test_the_row_of_the_later_ingestion_wins(tmp_path: Path, values: list[float]) -> None:
    made = feed(tmp_path)
    for i, v in enumerate(values):
        made.put(f"{i}.csv", HEAD + version(v) + version(7, "b", i)).ingest()
        assert newest(made, ["a"]) == [v]
    found = facts(made.table, made.store)
    assert found.order is not None
    assert len(found.order) == found.rows.num_rows == 2 * len(values)
    assert found.rows.column_names == ["id", "v", "at"]


def test_ties_hold_when_old_files_are_read_again(tmp_path: Path) -> None:
    made = feed(tmp_path)
    made.put("a.csv", HEAD + version(3)).ingest()
    made.put("b.csv", HEAD + version(1)).ingest()
    made.put("a.csv", HEAD + version(3) + version(8, "other")).ingest()
    assert newest(made, ["a"]) == [1], "what is read again was known before"


def test_ties_hold_when_a_column_is_widened_or_the_table_is_compacted(tmp_path: Path) -> None:
    made = feed(tmp_path)
    made.put("a.csv", HEAD + version(3) + version(1)).ingest()
    assert newest(made, ["a"]) == [1]
    made.put("b.csv", HEAD + version(0.5, "c")).ingest()
    assert newest(made, ["a"]) == [1]
    made.store.compact("events")
    assert newest(made, ["a"]) == [1]
    made.put("c.csv", HEAD + version(0.25)).ingest()
    assert newest(made, ["a"]) == [0.25]


def test_ties_hold_in_a_table_that_had_none_before(tmp_path: Path) -> None:
    made = feed(tmp_path)
    made.put("a.csv", HEAD + version(9)).ingest()
    assert facts(made.table, made.store).order is None
    made.put("b.csv", HEAD + version(5)).ingest()
    assert facts(made.table, made.store).order is not None
    assert newest(made, ["a"]) == [5]


@pytest.mark.parametrize("values", [(None, 3), (3, None)])
def test_a_null_wins_like_any_value(tmp_path: Path, values: tuple[float | None, float | None]) -> None:
    made = feed(tmp_path).put("a.csv", HEAD + "".join(map(version, values)))
    made.ingest()
    assert newest(made, ["a"]) == [values[1]]


def test_a_retraction_in_the_same_instant_counts_where_it_came_later(tmp_path: Path) -> None:
    for order, wanted in ((["false", "true"], [None]), (["true", "false"], [1])):
        folder = tmp_path / order[0]
        folder.mkdir()
        made = feed(folder, deleted="gone").put("a.csv", "id,v,gone,at\n" + "".join(f"a,1,{gone},{Z}\n" for gone in order))
        made.ingest()
        assert newest(made, ["a"]) == wanted


@pytest.mark.parametrize("values", [[1.0, 2.0], [2.0, 1.0]])
def test_rows_that_ingestion_stamps_alike_are_versions_in_their_order(tmp_path: Path, values: list[float]) -> None:
    made = feed(tmp_path, known_at=nr.INGESTED)
    push(made.table, made.store, dated(v=[9.0]), ReplayClock(START))
    push(made.table, made.store, pa.table({"id": ["a", "a"], "at": pa.concat_arrays([times(1)] * 2), "v": values}), ReplayClock(LATER))
    assert newest(made, ["a"]) == [values[-1]]


@pytest.mark.parametrize("values", [(0.0, 1.0), (1.0, 0.0)])
def test_a_label_is_the_later_of_two_versions_of_one_instant(tmp_path: Path, values: tuple[float, float]) -> None:
    made = feed(tmp_path).put("a.csv", HEAD + "".join(map(version, values)))
    made.ingest()
    found = PointInTime([facts(made.table, made.store)]).spine(made.table, timedelta(0), START - timedelta(days=1), LATER)
    assert found.column("v").to_pylist() == [values[1]]


def test_a_composite_key_has_ties_of_its_own(tmp_path: Path) -> None:
    made = feed(tmp_path, key=("id", "shop"))
    made.put("a.csv", f"id,shop,v,at\na,x,2,{Z}\na,y,1,{Z}\na,x,1,{Z}\n").ingest()
    found = facts(made.table, made.store)
    assert found.order is not None
    numbered = {(r["shop"], r["v"]): int(n) for r, n in zip(found.rows.to_pylist(), found.order, strict=True)}
    assert numbered[("x", 1)] > numbered[("x", 2)]


# --- what a table shows -------------------------------------------------------------------------------------------------


def test_the_order_of_ingestion_is_shown_nowhere(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.csv", HEAD + version(2) + version(1))
    made.ingest()
    latest = made.store.latest("events")
    assert latest is not None
    schema = made.store.schema("events")
    assert schema is not None
    for names in (
        made.store.read("events", latest).column_names,
        schema.names,
        facts(made.table, made.store).rows.column_names,
        list(made.rows()[0]),
    ):
        assert [n for n in names if n.startswith("__noria")] == []
    assert ORDER in made.store.read("events", latest, ordered=True).column_names


# --- digests ------------------------------------------------------------------------------------------------------------


def test_equal_rows_have_an_equal_digest_whatever_the_files_and_their_order(tmp_path: Path) -> None:
    rows = dated(**{n: pa.concat_arrays([v.cast(pa.int64()) if pa.types.is_null(v.type) else v] * 5) for n, v in AWKWARD.items()})
    cuts = {"whole": [(0, 10)], "halves": [(5, 5), (0, 5)], "tenths": [(i, 1) for i in (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)]}
    digests = set()
    for name, parts in cuts.items():
        (tmp_path / name).mkdir()
        made = feed(tmp_path / name)
        for i, (start, count) in enumerate(parts):
            made.put(f"{i}.parquet", rows.slice(start, count))
        digests.add(made.ingest().snapshot.digest)
    assert len(digests) == 1


def test_another_value_type_or_name_is_another_digest(tmp_path: Path) -> None:
    variants = [dated(v=[1]), dated(v=[2]), dated(v=[1.0]), dated(w=[1]), dated(v=["1"]), dated(v=[None]), dated(v=[1], w=pa.nulls(1))]
    digests = []
    for i, rows in enumerate(variants):
        (tmp_path / str(i)).mkdir()
        digests.append(feed(tmp_path / str(i)).put("a.parquet", rows).ingest().snapshot.digest)
    assert len(set(digests[:5])) == 5
    assert digests[6] == digests[0], "a column of nulls has no type, and is not there yet"


def test_the_sum_of_all_ingestions_adds_up(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=nr.Contract(between={"v": (0, 10)}))
    for i, values in enumerate(([1, 99], [2, 3], [1, "x"], [])):
        made.put(f"{i}.csv", HEAD + "".join(f"r{v},{v},{Z}\n" for v in values)).ingest()
    total = made.store.details("events")["balance"]
    assert (total["rows_in"], total["rows_out"]) == (6, {"stored": 3, "repeated": 1, "quarantined": 2})
    assert current(made.table, made.store).rows == len(made.rows()) == 3


def test_rows_older_than_those_stored_are_a_warning_of_their_count(tmp_path: Path) -> None:
    made = feed(tmp_path).put("a.parquet", dated(10, v=[1, 2]))
    assert dict(made.ingest().warnings) == {}
    [(reason, count)] = made.put("b.parquet", dated(0, v=[3, 4, 5])).ingest().warnings.items()
    assert (count, "known_at" in reason) == (3, True)
