"""Judging: times that a clock invents, columns of another type than they have to be, and where what is refused stood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import noria as nr
from feeds import START, Z, dated, feed
from noria.core.clock import ReplayClock
from noria.data.contract import BadContract, ContractBroken
from noria.data.ingest import ingest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=30)


def at(*moments: datetime | None) -> pa.Table:
    return pa.table({"id": [f"e{i}" for i in range(len(moments))], "at": pa.array(moments, pa.timestamp("us", tz="UTC"))})


def reasons(folder: Path, rows: Any, name: str = "a.parquet", **table: Any) -> dict[str, int]:
    made = feed(folder, **table).put(name, rows)
    done = ingest(made.table, made.store, folder / "in", ReplayClock(NOW))
    assert done.balance.rows_out["quarantined"] == sum(done.reasons.values())
    return done.reasons


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (NOW, None),
        (NOW + timedelta(hours=23), None),
        (NOW + timedelta(hours=25), "at is later than its ingestion"),
        (datetime(2034, 1, 1, tzinfo=UTC), "at is later than its ingestion"),
        (datetime(2999, 1, 1, tzinfo=UTC), "at is outside the years 1900 to 2200"),
        (datetime(9999, 12, 31, tzinfo=UTC), "at is outside the years 1900 to 2200"),
        (datetime(1, 1, 1, tzinfo=UTC), "at is outside the years 1900 to 2200"),
        (datetime(1900, 1, 1, tzinfo=UTC), None),
        (datetime(1899, 12, 31, 23, tzinfo=UTC), "at is outside the years 1900 to 2200"),
        (EPOCH, "at is 1970-01-01 00:00, the Unix epoch"),
        (EPOCH + timedelta(seconds=1), None),
        (None, "at is null"),
    ],
)
def test_a_time_that_a_clock_invents_is_refused_and_the_rest_is_stored(tmp_path: Path, moment: datetime | None, reason: str | None) -> None:
    assert reasons(tmp_path, at(START, moment, START)) == ({} if reason is None else {reason: 1})


@pytest.mark.parametrize("microseconds", [2**63 - 1, -(2**63), 1_704_067_200_000_000_000, -1_704_067_200_000_000_000])
def test_a_time_beyond_every_calendar_is_refused_and_the_rest_is_stored(tmp_path: Path, microseconds: int) -> None:
    moments = pa.array([microseconds, 1_704_067_200_000_000], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    rows = pa.table({"id": ["a", "b"], "at": moments})
    assert reasons(tmp_path, rows) == {"at is outside the years 1900 to 2200": 1}


def test_the_zero_of_clocks_is_a_time_where_others_are_near_it(tmp_path: Path) -> None:
    assert reasons(tmp_path, at(EPOCH, EPOCH + timedelta(days=3), EPOCH - timedelta(days=3))) == {}


def test_an_event_may_lie_in_the_future_where_it_is_known_now(tmp_path: Path) -> None:
    rows = dated(seen=pa.array([START], pa.timestamp("us", tz="UTC"))).set_column(
        1, "at", pa.array([NOW + timedelta(days=99)], pa.timestamp("us", tz="UTC"))
    )
    assert reasons(tmp_path, rows, known_at="seen") == {}
    (tmp_path / "other").mkdir()
    assert reasons(tmp_path / "other", rows, known_at="at", event_time="seen") == {"at is later than its ingestion": 1}


def test_a_row_has_the_first_reason_that_applies(tmp_path: Path) -> None:
    rows = at(None, START).set_column(0, "id", pa.array([None, "b"], pa.string()))
    assert reasons(tmp_path, rows) == {"id is null": 1}


def test_a_key_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    rows = at(START, START).set_column(0, "id", pa.array([float("nan"), 1.0]))
    assert reasons(tmp_path, rows) == {"id is not a number": 1}


# --- the column of what is deleted --------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [pa.array([True, None]), pa.array([False, True]), pa.nulls(2)], ids=str)
def test_what_says_what_is_deleted_is_true_false_or_null(tmp_path: Path, gone: pa.Array) -> None:
    assert reasons(tmp_path, dated(gone=gone), deleted="gone") == {}


@pytest.mark.parametrize("gone", [pa.array([0, 1]), pa.array(["yes", "no"]), pa.array(["true", "x"])], ids=str)
def test_what_says_what_is_deleted_is_refused_as_something_else(tmp_path: Path, gone: pa.Array) -> None:
    with pytest.raises(nr.NoriaError, match="'gone'"):
        reasons(tmp_path, dated(gone=gone), deleted="gone")


def test_what_says_what_is_deleted_can_be_a_text_of_a_csv(tmp_path: Path) -> None:
    made = feed(tmp_path, deleted="gone").put("a.csv", f"id,gone,at\na,true,{Z}\nb,,{Z}\nc,False,{Z}\n")
    assert made.ingest().balance.rows_out["stored"] == 3
    assert made.column("gone") == [True, None, False]


def test_a_column_of_what_is_deleted_that_is_empty_at_first_is_no_matter(tmp_path: Path) -> None:
    made = feed(tmp_path, deleted="gone").put("a.csv", f"id,gone,at\na,,{Z}\n")
    made.ingest()
    assert made.put("b.csv", f"id,gone,at\na,true,{Z}\n").ingest().balance.rows_out["stored"] == 1


# --- where and what -----------------------------------------------------------------------------------------------------


def test_the_place_of_a_row_is_its_file_and_its_number(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=nr.Contract(between={"v": (0, 10)}))
    made.put("a.csv", f"id,v,at\na,1,{Z}\nb,99,{Z}\n").put("b.csv", "id,v,at\n").put("c.csv", f"id,v,at\nc,98,{Z}\nd,x,{Z}\ne,97,{Z}\n")
    made.ingest()
    assert [(h["_place"], h["v"]) for h in made.held()] == [
        ("a.csv, row 2", "99"),
        ("c.csv, row 1", "98"),
        ("c.csv, row 2", "x"),
        ("c.csv, row 3", "97"),
    ]


def test_a_rule_that_rejects_stores_nothing_and_shows_the_first_row(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=nr.Contract(between={"v": (0, 10)}, policy={"between": "reject"}))
    made.put("a.csv", f"id,v,at\na,1,{Z}\nb,99,{Z}\nc,98,{Z}\n")
    with pytest.raises(ContractBroken, match=r"v is outside 0 to 10 \(2 rows\).*id=b"):
        made.ingest()
    assert made.store.latest("events") is None
    assert made.held() == []


def test_a_rule_that_warns_stores_the_row_and_counts_it(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=nr.Contract(between={"v": (0, 10)}, unique=["v"], policy={"between": "warn", "unique": "warn"}))
    done = made.put("a.csv", f"id,v,at\na,99,{Z}\nb,99,{Z}\n").ingest()
    assert (done.balance.rows_out["stored"], done.reasons) == (2, {})
    assert dict(done.warnings) == {"v is outside 0 to 10": 2, "v is duplicated": 2}


def test_a_contract_on_a_column_that_is_empty_at_first_holds_later(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=nr.Contract(between={"v": (0, 10)}, not_null=["w"], types={"v": "BIGINT"}))
    assert made.put("a.csv", f"id,v,w,at\na,,,{Z}\n").ingest().reasons == {"w is null": 1}
    assert made.put("b.csv", f"id,v,w,at\nb,99,x,{Z}\nc,1,x,{Z}\n").ingest().reasons == {"v is outside 0 to 10": 1}
    assert made.column("v") == [1]


def test_a_contract_that_names_another_type_than_comes_is_broken_or_bad(tmp_path: Path) -> None:
    made = feed(tmp_path, contract=nr.Contract(between={"v": (0, 10)})).put("a.csv", f"id,v,at\na,x,{Z}\n")
    with pytest.raises(BadContract, match="can't be compared"):
        made.ingest()
    made.declare(contract=nr.Contract(types={"v": "BIGINT"}))
    with pytest.raises(ContractBroken, match="v is VARCHAR, not BIGINT"):
        made.ingest()
