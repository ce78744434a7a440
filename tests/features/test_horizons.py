"""Outcomes at horizons: the values of a series so long after each occasion, as they were known, late ones and corrections included."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noria as nr
from noria.core.clock import BadDuration, since_epoch
from noria.data.stored import StoredRows
from noria.data.table import Snapshot, SnapshotRows
from noria.features.coding import NotNumbers
from noria.features.horizons import AtHorizons, BadHorizons, HorizonBeyondMaturity, NoTimeInKey, require_horizons
from noria.features.keys import key_texts
from noria.features.label import Label
from noria.features.outcomes import Outcomes
from noria.stores.tables import DeltaTables

START = datetime(2024, 3, 30, tzinfo=UTC)
HORIZONS = ("1h", "3h", "1d")
SHOPS = ("north", "so|uth", "w\\est")


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def series(rows: list[dict[str, Any]], *, time: pa.DataType | None = None) -> SnapshotRows:
    """Values of shops by the hour. Each row: shop, hour, value, known (hours after START), gone."""
    columns = {
        "shop": pa.array([r["shop"] for r in rows], pa.string()),
        "hour": pa.array([hour(r["hour"]) for r in rows], pa.timestamp("us", tz="UTC")),
        "value": pa.array([r["value"] for r in rows], pa.float64()),
        "known": pa.array([hour(r["known"]) for r in rows], pa.timestamp("us", tz="UTC")),
        "gone": pa.array([r["gone"] for r in rows], pa.bool_()),
    }
    found = pa.table(columns)
    if time is not None:
        found = found.set_column(1, "hour", found.column("hour").cast(time))
    table = nr.Table("demand", nr.files("none"), key=("shop", "hour"), event_time="at", known_at="known", deleted="gone")
    found = found.append_column("at", columns["hour"])
    return SnapshotRows(table, Snapshot("demand", 0, "", found.num_rows), found)


def expected(rows: list[dict[str, Any]], shop: str, at: int, horizon: int, moment: float) -> float:
    """In plain Python: what was known at a moment of the value of a shop so many hours after an occasion."""
    value = float("nan")
    told = [r for r in rows if r["shop"] == shop and r["hour"] == at + horizon and r["known"] <= moment]
    for row in sorted(told, key=lambda r: r["known"]):  # the last one that was known counts; sorted is stable
        value = float("nan") if row["gone"] or row["value"] is None else row["value"]
    return value


def first_known(rows: list[dict[str, Any]], shop: str, at: int, horizon: int) -> float:
    """When the value first became known, in microseconds: a version counts until the next is known."""
    told = sorted((r for r in rows if r["shop"] == shop and r["hour"] == at + horizon), key=lambda r: r["known"])
    for row, after in zip(told, [*told[1:], None], strict=False):
        overtaken = after is not None and after["known"] == row["known"]
        if not row["gone"] and row["value"] is not None and not overtaken:
            return float(since_epoch(hour(row["known"])))
    return float("inf")


FACTS = st.lists(
    st.fixed_dictionaries(
        {
            "shop": st.sampled_from(SHOPS),
            "hour": st.integers(0, 30),
            "value": st.one_of(st.none(), st.integers(0, 99).map(float)),
            "known": st.integers(0, 40),
            "gone": st.sampled_from([False, False, False, True]),
        }
    ),
    max_size=60,
).map(lambda rows: [{**r, "known": r["hour"] + r["known"]} for r in rows])
OCCASIONS = st.lists(st.tuples(st.sampled_from(SHOPS), st.integers(-3, 30)), min_size=1, max_size=20)


def occasion_keys(occasions: list[tuple[str, int]]) -> list[str | None]:
    spine = pa.table(
        {"shop": [shop for shop, _ in occasions], "hour": pa.array([hour(at) for _, at in occasions], pa.timestamp("us", tz="UTC"))}
    )
    return list(key_texts(spine, ["shop", "hour"]).to_pylist())


@given(rows=FACTS, occasions=OCCASIONS, moment=st.integers(0, 75))
@settings(max_examples=50, deadline=None)
def test_outcomes_are_those_of_a_plain_reading(rows: list[dict[str, Any]], occasions: list[tuple[str, int]], moment: int) -> None:
    facts = series(rows)
    outcomes = Outcomes(facts, Label(facts.table, "value", matures="3d"), coding=AtHorizons(HORIZONS))
    keys = occasion_keys(occasions)
    wanted = [[expected(rows, shop, at, h, moment) for h in (1, 3, 24)] for shop, at in occasions]
    np.testing.assert_array_equal(outcomes.known_at(keys, hour(moment)), wanted)
    since = [[first_known(rows, shop, at, h) for h in (1, 3, 24)] for shop, at in occasions]
    np.testing.assert_array_equal(outcomes.known_since(keys), since)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("series")


@given(rows=FACTS.filter(lambda rows: len(rows) > 1), occasions=OCCASIONS, moment=st.integers(0, 75))
@settings(max_examples=8, deadline=None)
def test_a_stored_series_is_read_for_what_is_asked_alone(
    folder: Path, rows: list[dict[str, Any]], occasions: list[tuple[str, int]], moment: int
) -> None:
    given, keys = series(rows), occasion_keys(occasions)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        store = DeltaTables(Path(scratch))
        for some in (given.rows.slice(0, len(rows) // 2), given.rows.slice(len(rows) // 2)):
            version = store.append("demand", some, {})
        there = StoredRows(given.table, replace(given.snapshot, version=version), store)
        label, coding = Label(given.table, "value", matures="3d"), AtHorizons(HORIZONS)
        some_of, all_of = (Outcomes(facts, label, coding=coding) for facts in (there, given))
        np.testing.assert_array_equal(some_of.known_at(keys, hour(moment)), all_of.known_at(keys, hour(moment)))
        held = some_of._con.sql("SELECT count(DISTINCT key) FROM outcomes").fetchall()
    wanted = {(shop, at + h) for shop, at in occasions for h in (1, 3, 24)}
    assert held[0][0] <= len(wanted & {(r["shop"], r["hour"]) for r in rows})


@pytest.mark.parametrize("type_", [pa.timestamp("s", tz="UTC"), pa.timestamp("ns", tz="America/New_York"), pa.timestamp("ms")])
def test_the_time_of_a_key_may_be_of_any_resolution(type_: pa.DataType) -> None:
    rows = [{"shop": "north", "hour": h, "value": float(h), "known": h, "gone": False} for h in range(60)]
    facts = series(rows, time=type_)
    keys = list(key_texts(facts.rows, ["shop", "hour"]).to_pylist())
    outcomes = Outcomes(facts, Label(facts.table, "value", matures="1d"), coding=AtHorizons(("24h",)))
    found = outcomes.known_at(keys, hour(1000))
    assert found.shape == (60,)
    np.testing.assert_array_equal(found, [h + 24 if h + 24 < 60 else np.nan for h in range(60)])


def test_a_series_by_the_day_alone_has_outcomes_by_days() -> None:
    days = pa.array([START + timedelta(days=n) for n in range(10)], pa.timestamp("us", tz="UTC"))
    rows = pa.table({"day": days.cast(pa.date32()), "value": np.arange(10), "at": days})
    table = nr.Table("daily", nr.files("none"), key="day", event_time="at")
    facts = SnapshotRows(table, Snapshot("daily", 0, "", 10), rows)
    outcomes = Outcomes(facts, Label(table, "value", matures="7d"), coding=AtHorizons(("12h", "2d", "7d")))
    found = outcomes.known_at(["2024-03-31", "2024-04-08", "no day", None, "2024-03-31 00:00:00+00"], hour(10_000))
    np.testing.assert_array_equal(found, [[np.nan, 3, 8], [np.nan] * 3, [np.nan] * 3, [np.nan] * 3, [np.nan] * 3])


def test_a_key_without_a_time_or_with_several_is_refused() -> None:
    at = pa.timestamp("us", tz="UTC")
    schema = pa.schema([("shop", pa.string()), ("hour", at), ("until", at), ("value", pa.int64()), ("at", at)])
    coding = AtHorizons(("1h",))
    for keys, refused in (
        (("shop",), "no time"),
        (("shop", "hour", "until"), "2 times"),
        (("shop", "hour"), None),
        (("until", "at"), None),
    ):
        label = Label(nr.Table("demand", nr.files("none"), key=keys, event_time="at"), "value", matures="1h")
        if refused is None:
            coding.require_keys(label, schema)
        else:
            with pytest.raises(NoTimeInKey, match=refused):
                coding.require_keys(label, schema)


def test_labels_that_are_texts_or_mature_too_early_are_refused() -> None:
    table = nr.Table("demand", nr.files("none"), key=("shop", "hour"), event_time="hour")
    with pytest.raises(HorizonBeyondMaturity, match="outcomes 1d ahead can't be known within matures='23h'"):
        AtHorizons(HORIZONS).require_type(Label(table, "value", matures="23h"), pa.int64())
    AtHorizons(HORIZONS).require_type(Label(table, "value", matures="24h"), pa.int64())
    with pytest.raises(NotNumbers):
        AtHorizons(HORIZONS).require_type(Label(table, "value", matures="24h"), pa.string())


@pytest.mark.parametrize(
    ("horizons", "why"),
    [
        ((), "needs a list"),
        ("1h", "needs a list"),
        ((1, 6), "needs a list"),
        ((timedelta(hours=1),), "needs a list"),
        (("6h", "1h"), "don't rise"),
        (("1h", "60m"), "don't rise"),
        (("0h", "1h"), "above 0"),
        (("1.5h",), "fraction"),
    ],
)
def test_horizons_that_are_no_rising_spans_are_refused(horizons: Any, why: str) -> None:
    with pytest.raises(BadHorizons, match=why):
        require_horizons(horizons)
    with pytest.raises(BadDuration):
        require_horizons(("tomorrow",))
