"""Monitors on tables that nobody prepared: look-alikes of counts with seasons, indices, identifiers, and labels that come late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from noria.evaluation.binary import Binary
from noria.evaluation.performance import measure
from noria.monitoring.drift_lives import Lives
from noria.monitoring.monitor import Tolerance
from noria.monitoring.performance import read_performance
from noria.monitoring.table import NotJudged, TableReading, judge_table
from noria.monitoring.windows import Window
from noria.profiles.identifiers import recognised
from noria.profiles.profile import Profile, profile
from noria.statistics.e_detector import threshold_for

START = datetime(2023, 9, 20, tzinfo=UTC)
DAYS, A_DAY = 220, 24


def rentals(days: int = DAYS) -> dict[str, np.ndarray]:
    """Hours of rentals that follow the year, with all that nobody drops from such a table."""
    rng = np.random.default_rng(1)
    rows, day = days * A_DAY, np.repeat(np.arange(days), A_DAY)
    warm = 12 - 14 * np.sin(2 * np.pi * day / 365) + np.repeat(rng.normal(size=days), A_DAY)
    return {
        "index": np.arange(rows),
        "booking": rng.permutation(rows),
        "month": np.array([(START + timedelta(days=int(d))).month for d in day]),
        "lowest": np.repeat(np.round(warm[::A_DAY] + rng.normal(0, 2, days), 1), A_DAY),
        "count": rng.poisson(np.exp(3 + warm / 20 + np.sin(2 * np.pi * (np.arange(rows) % 24) / 24))).astype(np.float64),
        "wind": rng.gamma(4, 3, rows),
        "calm": rng.normal(size=rows),
        "label": np.where(day < 120, rng.integers(0, 2, rows), np.nan),
    }


def judged(columns: dict[str, np.ndarray], reference: int = 60, first: int = 0) -> TableReading:
    hours = first + np.arange(len(columns["calm"])) * (24 // A_DAY)
    at = pa.array([START + timedelta(hours=int(h)) for h in hours], pa.timestamp("us", tz="UTC"))
    whole = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    return judge_table(pa.table({"at": at, **whole}), "at", reference=reference, name="rentals")


@pytest.fixture(scope="module")
def plain() -> TableReading:
    return judged(rentals())


def test_what_tells_rows_apart_is_named_and_not_judged(plain: TableReading) -> None:
    assert plain.unjudged == {
        "index": "looks like a row counter: only its nulls are watched",
        "booking": "looks like an identifier: only its nulls are watched",
        "month": "looks like the month of the row's own time: only its nulls are watched",
    }


def test_a_season_beyond_a_short_reference_is_drift_and_no_fault(plain: TableReading) -> None:
    faults = [f for f in plain.findings if f.kind == "data_quality"]
    assert [f.subject for f in faults] == ["label: null_share"]
    assert any("lowest" in f.evidence["columns"] for f in plain.findings if f.kind == "drift")
    assert len(plain.findings) <= 8


@pytest.mark.parametrize(
    ("change", "kind", "subject"),
    [
        (lambda x: x * 1000, "data_quality", "wind: outside"),
        (lambda x: np.full_like(x, np.nan), "data_quality", "wind: null_share"),
        (lambda x: x + 3.0, "drift", "rentals: wind"),
    ],
)
def test_an_old_finding_hides_no_new_one_of_another_column(plain: TableReading, change: object, kind: str, subject: str) -> None:
    columns, since = rentals(), 180
    columns["wind"][since * A_DAY :] = change(columns["wind"][since * A_DAY :])  # type: ignore[operator]
    before = [f for f in plain.findings if f.evidence["over"] is None]
    assert before, "older findings are open"
    found = [f for f in judged(columns).findings if f.kind == kind and f.subject == subject]
    assert [f.since for f in found] == [START + timedelta(days=since)]


def test_a_part_of_a_day_at_either_end_of_a_file_is_no_fault_of_volume() -> None:
    columns = {name: values[: 90 * A_DAY + 5] for name, values in rentals().items() if name in ("calm", "wind")}
    reading = judged(columns, first=20)
    assert reading.parts == [START, START + timedelta(days=91)]
    assert [f for f in reading.findings if f.kind == "volume"] == []


def test_a_fault_that_comes_and_goes_for_ever_is_told_twice_a_year() -> None:
    columns = {name: values for name, values in rentals().items() if name in ("calm", "wind")}
    for day in range(70, DAYS, 12):
        columns["wind"][day * A_DAY : (day + 1) * A_DAY] *= 1000
    found = [f for f in judged(columns).findings if f.subject == "wind: outside"]
    assert len(found) == 2


def test_drift_of_large_numbers_that_hardly_differ_is_found() -> None:
    columns = {"calm": rentals()["calm"], "clock": 3e8 + 0.5 * np.random.default_rng(2).normal(size=DAYS * A_DAY)}
    assert judged(columns).findings == ()
    columns["clock"][150 * A_DAY :] += 0.4
    found = judged(columns).findings
    assert {f.subject for f in found} <= {"rentals: clock", "clock: mean_rank"}
    assert START + timedelta(days=150) in [f.since for f in found]


def test_a_precise_column_survives_being_written_down() -> None:
    x = np.column_stack([3e8 + np.random.default_rng(3).normal(size=3000), np.random.default_rng(4).normal(size=3000)])
    known = profile(("large", "small"), x, np.repeat(np.arange(30), 100))
    again = Profile.from_json(known.to_json())
    assert [c.precise for c in again.columns] == [True, False]
    assert np.array_equal(again.statistics(x), known.statistics(x), equal_nan=True)


def test_windows_of_a_minute_over_years_are_refused_with_a_length_that_is_possible() -> None:
    at = pa.array([START, START + timedelta(days=13 * 365)], pa.timestamp("us", tz="UTC"))
    with pytest.raises(NotJudged, match="windows of 1m") as refused:
        judge_table(pa.table({"at": at, "x": [1.0, 2.0]}), "at", every="1m")
    assert "such as 6h" in refused.value.fix


RNG = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("n", np.arange(500.0), "a row counter"),
        ("n", np.arange(500.0)[::-1], "a row counter"),
        ("meter", np.cumsum(RNG.random(500)), "a row counter"),
        ("order", np.repeat(np.arange(200.0), 3), "a row counter"),
        ("n", RNG.permutation(2000)[:600].astype(float), "an identifier"),
        ("n", RNG.permutation(10**9 - 1 - np.arange(600) * 7919).astype(float), "an identifier"),
        ("customer_id", RNG.lognormal(12, 2, 600).round(), "an identifier"),
        ("amount", RNG.lognormal(12, 2, 600).round(), None),
        ("cents", RNG.integers(0, 5000, 3000).astype(float), None),
        ("age", RNG.integers(18, 90, 600).astype(float), None),
        ("x", RNG.normal(size=600), None),
        ("hour", np.tile(np.arange(24.0), 30), None),
        ("few", np.arange(50.0), None),
    ],
)
def test_identifiers_and_counters_are_told_from_measurements(name: str, values: np.ndarray, expected: str | None) -> None:
    assert recognised(name, values, None) == expected


def test_lives_of_columns_are_apart_and_what_begins_together_is_one() -> None:
    parts = np.zeros((100, 4))
    parts[10:, 0], parts[14:, 1], parts[60:80, 2] = 1e9, 2.0, 2.0
    parts[85:, 3] = 0.5
    lives = Lives(parts, ["s"] * 4, 1.0, lambda window, _: window).all()
    assert [(m.start, m.end, m.columns) for m in lives] == [(10, 100, [0, 1]), (60, 80, [2])]


def test_a_stable_model_with_rounded_scores_and_few_rows_keeps_the_budget() -> None:
    def days(count: int, rng: np.random.Generator, turned: bool = False) -> list[Window]:
        found = []
        for i in range(count):
            p = rng.beta(0.4, 1.2, 45).clip(1e-4, 1 - 1e-4)
            y = (rng.random(45) < (1 - p if turned else p)).astype(float)
            found.append(Window(START + timedelta(days=i), "b", "champion", 45, None, measure(Binary(), y, p.round(1))))
        return found

    threshold = threshold_for(alarms_per_year=0.9, windows_per_year=365)
    alarms = 0
    for seed in range(4):
        rng = np.random.default_rng([7, seed])
        baseline = [w.performance for w in days(28, rng) if w.performance is not None]
        alarms += read_performance(Binary(), Tolerance("log_loss", 0.03), baseline, days(300, rng), threshold).alarmed_at is not None
        broken = read_performance(Binary(), Tolerance("log_loss", 0.03), baseline, days(10, rng, turned=True), threshold)
        assert broken.alarmed_at is not None
    assert alarms <= 1
