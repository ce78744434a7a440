"""The monitor of a table: what is wrong in a batch is named, with its first row and since when; what can't be judged is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from noria.cli.app import app
from noria.evidence.table_report import render_table_report, table_figures
from noria.monitoring.table import NotJudged, TableReading, judge_table

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS, DAYS, BROKEN = 120, 50, 44
TOPICS = [["price", "offer", "sale", "cheap"], ["parcel", "driver", "late", "box"]]


def day(number: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng([seed, number])
    topic = rng.integers(0, 2, ROWS)
    at = [START + timedelta(days=number, seconds=float(s)) for s in np.sort(rng.uniform(0, 86_400, ROWS))]
    vectors = (np.where(topic[:, None] == 1, 1.0, -1.0) + rng.normal(size=(ROWS, 6))).astype(np.float32)
    return pa.table(
        {
            "at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "review": [" ".join(rng.choice([*TOPICS[t], "the", "a", "was", "very"], 7)) for t in topic],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 6),
            "amount": rng.normal(50, 10, ROWS),
            "country": rng.choice(["DE", "FR"], ROWS),
            "extra": [{"a": 1}] * ROWS,
            "number": np.arange(ROWS) + 1000 * number,
        }
    )


def table(change: Callable[[pa.Table], pa.Table] = lambda rows: rows, until: int = DAYS) -> pa.Table:
    return pa.concat_tables([change(day(i)) if BROKEN <= i < until else day(i) for i in range(DAYS)])


def changed(name: str, change: Callable[[list], list]) -> Callable[[pa.Table], pa.Table]:  # type: ignore[type-arg]
    def of(rows: pa.Table) -> pa.Table:
        place = rows.schema.get_field_index(name)
        return rows.set_column(place, name, pa.array(change(rows[name].to_pylist()), rows.schema.field(name).type))

    return of


def judge(rows: pa.Table, reference: int = 36, **asked: object) -> TableReading:
    return judge_table(rows, "at", reference=reference, name="reviews", **asked)  # type: ignore[arg-type]


def test_a_table_in_which_nothing_is_wrong_is_quiet_and_says_what_it_did_not_judge() -> None:
    reading = judge(table())
    assert reading.findings == ()
    assert reading.left_out == ("extra",)
    assert reading.unjudged == {"number": "looks like a row counter: only its nulls are watched"}
    assert len(repr(reading)) < 500
    assert len(reading.drift.starts) == DAYS - 36
    assert any(name.startswith("review: about") for name in reading.drift.columns)
    assert any(name.startswith("vector (direction") for name in reading.drift.columns)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            changed("review", lambda texts: [t if i % 4 else None for i, t in enumerate(texts)]),
            "review: 25% are nulls, first in row 5,281",
        ),
        (changed("review", lambda texts: [t.upper() for t in texts]), "review (capitals): 100% are unseen or out-of-range values"),
        (changed("amount", lambda values: [v * 1000 for v in values]), "amount: 100% are unseen or out-of-range values"),
        (changed("amount", lambda values: values[:1] * len(values)), "amount: 100% are frozen (repeated) values, first in row 5,282"),
        (changed("country", lambda codes: [c.lower() for c in codes]), "country: 100% are unseen or out-of-range values"),
        (changed("vector", lambda vectors: [[0.0] * 6] * len(vectors)), "vector"),
        (
            lambda rows: changed(
                "amount", lambda values: [v - 25 * (c == "FR") for v, c in zip(values, rows["country"].to_pylist(), strict=True)]
            )(rows),
            "amount: a shift in one slice of the rows (country=",
        ),
        (lambda rows: pa.concat_tables([rows, rows.slice(0, 30)]), "(rows that came before): 20% are unseen or out-of-range values"),
    ],
)
def test_a_fault_is_named_in_its_first_window(change: Callable[[pa.Table], pa.Table], words: str) -> None:
    faults = [f for f in judge(table(change)).findings if f.kind == "data_quality"]
    assert any(words in f.summary for f in faults), [f.summary for f in faults]
    assert {f.since for f in faults} == {START + timedelta(days=BROKEN)}
    assert all(f.evidence["over"] is None for f in faults)


def test_what_is_over_says_when_and_is_wrong_no_more() -> None:
    reading = judge(table(changed("amount", lambda values: [None] * len(values)), until=46))
    (fault,) = (f for f in reading.findings if f.kind == "data_quality")
    assert fault.summary == "amount: 100% are nulls, first in row 5,281"
    assert fault.evidence["over"] == (START + timedelta(days=46)).isoformat()
    assert fault not in reading.wrong_now


def test_rows_that_stop_are_found_when_it_is_known_how_far_the_table_goes() -> None:
    whole = judge(table())
    assert whole.wrong_now == []
    stopped = judge(table(), until=START + timedelta(days=DAYS + 2))
    assert [f.summary for f in stopped.wrong_now] == ["reviews: no rows arrived; expected about 120"]
    assert stopped.wrong_now[0].since == START + timedelta(days=DAYS)


def test_a_data_frame_is_a_table_as_well() -> None:
    rows = table(changed("amount", lambda values: [None] * len(values))).drop_columns(["extra", "vector", "review"])
    assert [f.summary for f in judge(rows.to_pandas()).findings] == [f.summary for f in judge(rows).findings] != []


def test_topics_that_shift_move_the_text_and_the_embedding() -> None:
    def one_topic(rows: pa.Table) -> pa.Table:
        return rows.filter(pa.array([any(w in t.split() for w in TOPICS[1]) for t in rows["review"].to_pylist()]))

    drifts = [f for f in judge(table(one_topic)).findings if f.kind == "drift"]
    assert any("vector (direction 1)" in f.evidence["columns"] for f in drifts)
    assert any(any(c.startswith("review: about") for c in f.evidence["columns"]) for f in drifts)


def test_rows_need_no_order_and_the_first_bad_one_is_counted_as_they_came() -> None:
    rows = table(changed("amount", lambda values: [None] * len(values)))
    turned = rows.take(list(range(rows.num_rows))[::-1])
    (fault,) = (f for f in judge(turned).findings if f.kind == "data_quality")
    assert fault.evidence["first_row"] == rows.num_rows - BROKEN * ROWS


def test_windows_by_count_find_the_same_and_leave_the_number_of_rows_alone() -> None:
    rows = table(changed("amount", lambda values: [None] * len(values)))
    reading = judge(rows.slice(0, rows.num_rows - 20), every=ROWS)
    (fault,) = (f for f in reading.findings if f.kind == "data_quality")
    assert fault.summary == "amount: 100% are nulls, first in row 5,281"
    assert (reading.volume, reading.waiting) == (None, ROWS - 20)
    assert judge(table(), every=ROWS).findings == ()


def test_windows_by_count_that_begin_at_one_moment_are_windows_of_their_own() -> None:
    rows = table(changed("amount", lambda values: [None] * len(values)))
    same = rows.set_column(0, "at", pa.array([START] * rows.num_rows, pa.timestamp("us", tz="UTC")))
    reading = judge(same, every=ROWS)
    assert len(reading.drift.starts) == DAYS - 36
    assert "amount: 100% are nulls, first in row 5,281" in [f.summary for f in reading.findings]


def test_against_a_rolling_baseline_what_lasts_is_usual_in_the_end() -> None:
    rows = pa.concat_tables([day(i).select(["at", "amount", "country"]) for i in range(90)])
    late = pa.array([a + 25 * (i >= 40 * ROWS) for i, a in enumerate(rows["amount"].to_pylist())])
    moved = rows.set_column(1, "amount", late)
    assert judge(moved, reference=25).wrong_now
    rolling = judge(moved, reference=25, rolling=True)
    assert rolling.wrong_now == []
    assert {f.subject for f in rolling.findings} == {"amount: mean_rank"}


@pytest.mark.parametrize("by", [0.0, 0.3])
def test_a_business_that_rests_at_weekends_has_a_week_all_the_same(by: float) -> None:
    """Mondays lie one and a half standard deviations higher, which is nearly all that days stray; then every day lies 0.3 higher."""
    rng = np.random.default_rng(0)
    days = [d for d in range(119) if d % 7 < 5]
    value = [rng.normal((1.5 if d % 7 == 0 else 0.0) + (by if d >= 91 else 0.0), size=200) for d in days]
    at = [START + timedelta(days=d, hours=8, minutes=i) for d in days for i in range(200)]
    reading = judge_table(pa.table({"at": pa.array(at, pa.timestamp("us", tz="UTC")), "orders": np.concatenate(value)}), "at", reference=60)
    if not by:
        assert reading.findings == ()
    else:
        (finding,) = reading.findings
        assert finding.since == START + timedelta(days=91)
        assert "orders has drifted (+0.1" in finding.summary or "orders has drifted (+0.0" in finding.summary  # 0.3 deviations, no Monday


def bad(change: Callable[[pa.Table], pa.Table], **asked: object) -> Callable[[], TableReading]:
    return lambda: judge(change(table()), **asked)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda: judge_table(table(), "when"), "no column 'when'"),
        (lambda: judge_table(table(), "at", every=0), "out of range"),
        (lambda: judge_table(table(), "at", every=-5), "out of range"),
        (lambda: judge_table(table(), "at", every=10**7), "0 windows of 10,000,000 rows are too few"),
        (lambda: judge_table(table(), "amount"), "not a timestamp"),
        (bad(lambda rows: rows.slice(0, 0)), "no row has a time"),
        (bad(lambda rows: rows.slice(0, 1)), "too few"),
        (bad(changed("at", lambda times: [None] * len(times))), "no row has a time"),
        (bad(lambda rows: rows, reference=19), "at least 20"),
        (bad(lambda rows: rows, reference=25), "only 16 windows of the reference"),
        (bad(lambda rows: rows, leave_out=("amuont",)), "no column 'amuont' to leave out .did you mean 'amount'"),
        (bad(lambda rows: rows, every="1ms"), "longer windows"),
        (bad(lambda rows: rows, every=timedelta()), "out of range"),
        (bad(lambda rows: rows, false_alarms_per_year=0), "out of range"),
        (bad(lambda rows: rows, until=START), "too few"),
    ],
)
def test_what_can_not_be_judged_is_refused(broken: Callable[[], TableReading], words: str) -> None:
    with pytest.raises(NotJudged, match=words):
        broken()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.slice(0, 1),
        lambda rows: rows.slice(0, 0),
        changed("amount", lambda values: [float("inf")] * len(values)),
        changed("amount", lambda values: [1e300] * len(values)),
        changed("vector", lambda vectors: [None] * len(vectors)),
        changed("review", lambda texts: [""] * len(texts)),
        changed("at", lambda times: [None, *times[1:]]),
    ],
)
def test_bad_windows_are_no_crash_and_write_a_page(change: Callable[[pa.Table], pa.Table]) -> None:
    figures = table_figures(judge(table(change)))
    json.dumps(figures, allow_nan=False)
    assert "</html>" in render_table_report(figures)


def test_the_command_needs_no_project_and_its_exit_code_says_whether_all_is_well(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "well.parquet")
    pq.write_table(table(changed("amount", lambda values: [None] * len(values))), tmp_path / "broken.parquet")
    command = ["monitor", "table", "--time", "at", "--reference", "36", "--json"]
    told = {}
    for name, code in (("well", 0), ("broken", 1)):
        out = tmp_path / f"{name}.html"
        done = CliRunner().invoke(app, [*command, str(tmp_path / f"{name}.parquet"), "--out", str(out), "--leave-out", "extra,number"])
        assert done.exit_code == code, done.output
        told[name] = json.loads(done.output)
        assert "<svg" in out.read_text()
    assert told["well"]["findings"] == []
    assert told["well"]["left_out"] == []
    assert told["well"]["unjudged"] == {}
    assert told["broken"]["findings"][0]["summary"] == "amount: 100% are nulls, first in row 5,281"
    by_count = CliRunner().invoke(app, [*command, str(tmp_path / "broken.parquet"), "--every", "110", "--rolling"])
    assert json.loads(by_count.output)["waiting"] == DAYS * ROWS % 110
    words = CliRunner().invoke(app, [*command[:-1], str(tmp_path / "broken.parquet")]).output
    assert "100% are nulls" in words
    assert "not checked: extra" in words
    assert "number looks like a row counter" in words


def office(days: int, zone: str | None, *, closed: int | None = None) -> pa.Table:
    """Orders of an office in New York, from nine to five on working days, from 6 January 2025 on: ten times as many as else, and dearer.
    Summer time begins on day 62. closed: a day on which none come"""
    rng = np.random.default_rng(8)
    first = datetime(2025, 1, 6, tzinfo=ZoneInfo("America/New_York"))
    hours = [(first + timedelta(hours=h)).astimezone(UTC) for h in range(24 * days)]  # by the office's clock
    busy = np.array([9 <= h % 24 < 17 and h // 24 % 7 < 5 for h in range(24 * days)])
    rows = rng.poisson(np.where(busy, 100, 10) * rng.lognormal(sigma=0.05, size=len(busy)))
    if closed is not None:
        rows[24 * closed : 24 * closed + 24] = 0
    since = np.repeat([h.timestamp() for h in hours], rows) + rng.random(rows.sum()) * 3600
    at = pa.array((since * 1e6).astype(np.int64), pa.timestamp("us", tz=zone))
    return pa.table({"at": at, "amount": rng.normal(size=len(since)) + 2.0 * np.repeat(busy, rows), "other": rng.normal(size=len(since))})


def test_an_office_opens_at_nine_in_summer_time_too() -> None:
    asked = {"every": "1h", "reference": 24 * 35, "name": "orders"}
    rows = office(76, "UTC")
    told = judge_table(rows, "at", **asked)  # type: ignore[arg-type]
    assert {f.since.hour for f in told.findings if f.kind == "volume"} >= {13, 21}  # as if it opened and closed too early
    assert not judge_table(rows, "at", time_zone="America/New_York", **asked).findings  # type: ignore[arg-type]
    assert not judge_table(office(76, "America/New_York"), "at", **asked).findings  # type: ignore[arg-type]


def test_a_morning_without_orders_is_told_in_summer_time_too() -> None:
    rows = office(76, "UTC", closed=64)
    reading = judge_table(rows, "at", every="1h", reference=24 * 35, time_zone="America/New_York", name="orders")
    midnight = datetime(2025, 3, 11, 4, tzinfo=UTC)
    assert any(f.kind == "volume" and midnight <= f.since < midnight + timedelta(hours=3) for f in reading.findings)


def test_a_zone_that_there_is_not_ends_without_a_traceback(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "t.parquet")
    command = [
        sys.executable,
        "-m",
        "noria",
        "monitor",
        "table",
        str(tmp_path / "t.parquet"),
        "--time",
        "at",
        "--reference",
        "36",
        "--time-zone",
    ]
    done = subprocess.run([*command, "Europe/Berln"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error NR-104: there is no time zone 'Europe/Berln' (did you mean 'Europe/Berlin'?)" in done.stderr
    assert "Traceback" not in done.stderr
    assert subprocess.run([*command, "Europe/Berlin"], capture_output=True, check=False).returncode == 0
