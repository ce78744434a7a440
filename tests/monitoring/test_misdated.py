"""Misdated rows: a few times that lie far from all others are left out of a judgement and named; what is no mistake stays."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.core.clock import since_epoch
from noria.evidence.table_report import render_table_report, table_figures
from noria.monitoring.misdated import are_few, body, written
from noria.monitoring.table import TableReading, judge_table
from noria.monitoring.windowed_table import NotJudged

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, ROWS, BROKEN, REFERENCE = 45, 60, 41, 25
DAY_US = 86_400_000_000
UTC_US = pa.timestamp("us", tz="UTC")
TIMES = np.array([since_epoch(START + timedelta(days=d, minutes=24 * i)) for d in range(DAYS) for i in range(ROWS)])
VALUES = np.random.default_rng(3).normal(size=len(TIMES)) + np.where(np.arange(len(TIMES)) >= BROKEN * ROWS, 8.0, 0.0)


def at(*texts: str) -> list[int]:
    return [since_epoch(datetime.fromisoformat(text).replace(tzinfo=UTC)) for text in texts]


def judge(times: Any, values: Any = None, **asked: Any) -> TableReading:
    """A table whose value steps up on day 41 and stays there, with more rows of value 0 at the end."""
    column = times if isinstance(times, pa.Array | pa.ChunkedArray) else pa.array(times, pa.int64()).cast(UTC_US)
    filled = np.append(VALUES, np.zeros(len(column)))[: len(column)] if values is None else values
    return judge_table(pa.table({"at": column, "x": filled}), "at", reference=REFERENCE, **asked)


def told(reading: TableReading) -> list[tuple[Any, ...]]:
    return [(f.kind, f.subject, f.summary, f.since, f.evidence["over"]) for f in reading.findings]


PLAIN = told(judge(TIMES))


def test_without_misdated_rows_the_fault_lasts_and_none_is_named() -> None:
    assert [(kind, since, over) for kind, _, _, since, over in PLAIN] == [("data_quality", START + timedelta(days=BROKEN), None)]
    assert judge(TIMES).misdated == ()


@pytest.mark.parametrize("every", ["1d", ROWS])
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["1970-01-01"], ["1 row is dated far from the rest, at 1970-01-01 00:00 UTC, in row 2,701"]),
        (["0001-01-01"], ["1 row is dated far from the rest, at 0001-01-01 00:00 UTC, in row 2,701"]),
        (["9999-12-31 23:59:59"], ["1 row is dated far from the rest, at 9999-12-31 23:59 UTC, in row 2,701"]),
        (["2034-01-01"], ["1 row is dated far from the rest, at 2034-01-01 00:00 UTC, in row 2,701"]),
        (
            ["2034-01-01", "1900-01-01", "1970-01-01", "2030-01-01"],
            [
                "2 rows are dated far from the rest, from 1900-01-01 00:00 to 1970-01-01 00:00 UTC, first in row 2,702",
                "2 rows are dated far from the rest, from 2030-01-01 00:00 to 2034-01-01 00:00 UTC, first in row 2,701",
            ],
        ),
    ],
)
def test_a_few_misdated_rows_change_no_finding_and_are_named(more: list[str], words: list[str], every: Any) -> None:
    reading = judge(np.append(TIMES, at(*more)), every=every)
    assert told(reading) == PLAIN
    assert [m.summary for m in reading.misdated] == words
    assert reading.rows == len(TIMES) + len(more)
    figures = table_figures(reading)
    assert [m["summary"] for m in json.loads(json.dumps(figures))["misdated"]] == words
    assert words[0] in render_table_report(figures)


def test_a_time_beyond_all_calendars_is_named_too() -> None:
    (beyond,) = judge(pa.array([*TIMES // 1_000_000, 2**60]).cast(pa.timestamp("s"))).misdated
    assert beyond.summary.startswith("1 row is dated far from the rest, at 1481")


def test_many_misdated_rows_are_refused_by_name() -> None:
    with pytest.raises(NotJudged, match="50 rows are dated far from the rest, at 1970-01-01 00:00 UTC, first in row 2,701"):
        judge(np.append(TIMES, at(*["1970-01-01"] * 50)))
    with pytest.raises(NotJudged, match=r"only 1 windows of the reference .* from 1970-01-01 on"):
        judge(np.append(TIMES, at(*["1970-01-01"] * 1500)))
    with pytest.raises(NotJudged, match=r"longer.*|windows of 1d .*9999-12-31"):
        judge(np.append(TIMES, at(*["9999-12-31"] * 1500)))


def test_times_of_another_unit_are_refused_by_name() -> None:
    with pytest.raises(NotJudged, match="times run from 55969-09-28"):
        judge(pa.array(TIMES // 1000).cast(pa.timestamp("s")))


@pytest.mark.parametrize("ahead", [2, 20, 60])
def test_a_clock_that_runs_days_ahead_ends_no_fault(ahead: int) -> None:
    reading = judge(np.append(TIMES, since_epoch(START + timedelta(days=DAYS + ahead))))
    (fault,) = (f for f in reading.findings if f.kind == "data_quality")
    assert fault.evidence["over"] is None


def test_rows_that_stop_end_no_fault_and_good_ones_end_it_when_they_come() -> None:
    stopped = judge(TIMES, until=START + timedelta(days=DAYS + 2))
    (fault,) = (f for f in stopped.findings if f.kind == "data_quality")
    assert fault.evidence["over"] is None
    back = START + timedelta(days=DAYS + 2)
    good = [since_epoch(back + timedelta(minutes=24 * i)) for i in range(ROWS)]
    reading = judge(np.append(TIMES, good), np.append(VALUES, VALUES[:ROWS]))
    (fault,) = (f for f in reading.findings if f.kind == "data_quality")
    assert fault.evidence["over"] == back.isoformat()


def test_the_command_names_misdated_rows(tmp_path: Path) -> None:
    column = pa.array(np.append(TIMES[: BROKEN * ROWS], at("9999-12-31"))).cast(UTC_US)
    pq.write_table(pa.table({"at": column, "x": np.append(VALUES[: BROKEN * ROWS], 0.0)}), tmp_path / "t.parquet")
    done = CliRunner().invoke(app, ["monitor", "table", str(tmp_path / "t.parquet"), "--time", "at", "--reference", str(REFERENCE)])
    assert done.exit_code == 0, done.output
    assert "1 row is dated far from the rest, at 9999-12-31 00:00 UTC, in row 2,461: excluded" in " ".join(done.output.split())


# --- what lies far --------------------------------------------------------------------------------------------------------


def days(*numbers: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.sort(np.array(numbers) * DAY_US).astype(np.int64)


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        (days(*range(100)), (0, 100)),
        (days(*range(100), 128), (0, 101)),  # a pause
        (days(*range(100), 190), (0, 101)),  # not longer than the table is
        (days(*range(100), 350), (0, 100)),
        (days(-4000, *range(3000), 3300), (1, 3002)),  # a year is far for the longest table
        (days(*range(100), *range(400, 450)), (0, 150)),  # a third of the rows is no mistake
        (days(-9000, *range(100), *range(600, 700)), (1, 201)),  # two times of business, and one mistake
        (days(*[0] * 100), (0, 100)),
        (days(*[0] * 100, 31), (0, 100)),
        (days(*range(0, 4000, 400)), (0, 10)),  # a table that is thin everywhere
        (days(5), (0, 1)),
    ],
)
def test_what_lies_far_from_the_rest(times: Any, kept: tuple[int, int]) -> None:
    assert body(times, DAY_US) == slice(*kept)


def test_the_farthest_times_are_no_overflow() -> None:
    times = np.array([-(2**62), *range(100), 2**62])
    assert body(times, None) == slice(1, 101)
    assert [written(int(t)) for t in (-62_135_596_800_000_000, 0)] == ["0001-01-01 00:00", "1970-01-01 00:00"]


def test_up_to_three_rows_and_a_hundredth_of_them_are_few() -> None:
    times = days(*range(1000))
    assert are_few(slice(3, 100), times[:100])
    assert not are_few(slice(4, 100), times[:100])
    assert are_few(slice(5, 995), times)
    assert not are_few(slice(5, 994), times)


# --- columns --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [pa.timestamp("s"), pa.timestamp("ms", tz="UTC"), pa.timestamp("ns"), pa.timestamp("ns", tz="+05:30"), pa.date32(), pa.date64()]
)
def test_times_of_every_type_are_cut_alike(kind: pa.DataType) -> None:
    midnights = pa.array(TIMES // DAY_US * DAY_US).cast(UTC_US)
    assert told(judge(midnights.cast(kind))) == told(judge(midnights))


@pytest.mark.parametrize("column", [pa.array([1704067200]), pa.nulls(1), pa.array([0], pa.time64("us"))])
def test_a_column_of_no_times_is_refused_with_its_type(column: pa.Array) -> None:
    with pytest.raises(NotJudged, match=f"column 'at' is {column.type}".replace("[", r"\[")):
        judge(column)


def test_a_column_of_texts_is_refused_with_one_of_them_and_what_to_write() -> None:
    with pytest.raises(NotJudged, match=r"column 'at' holds texts such as '2024-01-01'.*pandas\.to_datetime\(df\[.at.\], utc=True\)"):
        judge(pa.array(["2024-01-01"]))


def test_several_columns_of_one_name_are_refused_in_tables_and_data_frames() -> None:
    column = pa.array(TIMES).cast(UTC_US)
    with pytest.raises(NotJudged, match="several columns are named 'x'"):
        judge_table(pa.Table.from_arrays([column, pa.array(VALUES), pa.array(VALUES)], names=["at", "x", "x"]), "at")
    frame = pd.DataFrame({"at": pd.to_datetime(TIMES, unit="us", utc=True), "x": VALUES})
    with pytest.raises(NotJudged, match="Duplicate column names"):
        judge_table(pd.concat([frame, frame[["x"]]], axis=1), "at")
    with pytest.raises(NotJudged, match="several columns are named"):
        judge_table(pa.table({"at": column, "(rows that came before)": VALUES}), "at", reference=REFERENCE)


@pytest.mark.parametrize("rows", [[1, 2], 5, None, "orders.csv", pd.DataFrame({"at": [1, "a"]})])
def test_what_is_no_table_is_refused(rows: Any) -> None:
    with pytest.raises(NotJudged, match="can't be read as a table"):
        judge_table(rows, "at")


@pytest.mark.parametrize(
    "column",
    [
        pa.array(np.arange(len(TIMES)) % 9, pa.float32()).cast(pa.float16()),
        pa.array([1] * len(TIMES)).cast(pa.decimal256(60, 2)),
        pa.array([-1, 0, 1] * (len(TIMES) // 3)),
        pa.array([253402300799] * len(TIMES), pa.timestamp("s")),
    ],
)
def test_a_column_of_any_type_and_any_name_is_no_crash(column: pa.Array) -> None:
    rows = pa.table({"at": pa.array(TIMES).cast(UTC_US), "batch": column, "Batch": np.random.default_rng(1).normal(size=len(TIMES))})
    reading = judge_table(rows, "at", reference=REFERENCE)
    assert "(rows that came before)" not in {f.subject for f in reading.findings}
    json.dumps(table_figures(reading), allow_nan=False)
