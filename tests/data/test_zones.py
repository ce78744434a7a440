"""Times that are written without a zone become moments by the clock that is declared for their column."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import noria as nr
from noria.core.clock import BadTimeZone
from noria.core.errors import UserMistake
from noria.data.ingest import check_source, push
from noria.stores.tables import DeltaTables

NEW_YORK = {"at": "America/New_York"}
NOON = {
    "summer": datetime(2024, 7, 1, 12, tzinfo=UTC).replace(tzinfo=None),
    "winter": datetime(2024, 1, 1, 12, tzinfo=UTC).replace(tzinfo=None),
}
SUMMER, WINTER = datetime(2024, 7, 1, 16, tzinfo=UTC), datetime(2024, 1, 1, 17, tzinfo=UTC)  # noon there


def table(source: object) -> nr.Table:
    return nr.Table("rides", source, key="id", event_time="at")  # type: ignore[arg-type]


def test_texts_without_an_offset_have_the_declared_zone_and_others_keep_theirs(tmp_path: Path) -> None:
    (tmp_path / "rides.csv").write_text(
        "id,at\n1,2024-07-01 12:00:00\n2,2024-01-01T12:00\n3,2024-07-01T12:00:00+02:00\n4,2024-07-01\n5,noon\n6,\n"
    )
    found = check_source(table(nr.files("rides.csv", time_zones=NEW_YORK)), tmp_path)
    assert found.rows.column("at").to_pylist() == [
        SUMMER,
        WINTER,
        datetime(2024, 7, 1, 10, tzinfo=UTC),
        datetime(2024, 7, 1, 4, tzinfo=UTC),
    ]
    assert dict(found.reasons) == {"at is not a time with a zone": 1, "at is null": 1}


@pytest.mark.parametrize(
    "values",
    [pa.array(list(NOON.values())), pa.array([SUMMER, WINTER], pa.timestamp("us", tz="UTC"))],
    ids=["naive", "with a zone"],
)
def test_typed_times_are_converted_if_they_have_no_zone(values: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2], "at": values}), tmp_path / "rides.parquet")
    found = check_source(table(nr.files("rides.parquet", time_zones=NEW_YORK)), tmp_path)
    assert found.rows.column("at").to_pylist() == [SUMMER, WINTER]


def test_a_query_and_pushed_rows_follow_the_same_clock(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "rides.db")) as c, c:
        c.execute("CREATE TABLE rides (id INTEGER, at TEXT)")
        c.execute("INSERT INTO rides VALUES (1, '2024-07-01 12:00:00')")
    rides = table(nr.sql("SELECT * FROM rides", url=f"sqlite:///{tmp_path}/rides.db", time_zones=NEW_YORK))
    assert check_source(rides, tmp_path).rows.column("at").to_pylist() == [SUMMER]
    pushed = push(rides, DeltaTables(tmp_path / "tables"), pa.table({"id": [2], "at": [NOON["winter"]]}))
    assert pushed.balance.rows_out["stored"] == 1
    assert DeltaTables(tmp_path / "tables").scan("rides", pushed.snapshot.version).read_all().column("at").to_pylist() == [WINTER]


def test_a_zone_that_is_none_is_refused_where_it_is_declared() -> None:
    with pytest.raises(BadTimeZone, match="New_York"):
        nr.files("rides.csv", time_zones={"at": "America/New_Yrok"})
    with pytest.raises(UserMistake, match="names no column"):
        nr.files("rides.csv", time_zones="UTC")  # type: ignore[arg-type]


def test_another_zone_has_refused_files_read_again(tmp_path: Path) -> None:
    """What was stored in another zone stays; the rows by the new clock are new versions."""
    (tmp_path / "rides.csv").write_text("id,at\n1,2024-07-01 12:00:00\n")
    first = nr.files("rides.csv").read(tmp_path, None)
    assert first is not None
    mark = first.finish({})
    assert nr.files("rides.csv").read(tmp_path, mark) is None
    assert nr.files("rides.csv", time_zones=NEW_YORK).read(tmp_path, mark) is not None
