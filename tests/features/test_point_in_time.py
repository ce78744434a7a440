"""The point-in-time rule, against a plain-Python oracle that is slow and obvious."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noria as nr
from noria.core.clock import duration
from noria.data.contract import UnknownColumn
from noria.data.table import Facts, Snapshot
from noria.features.feature_set import FeatureSet
from noria.features.point_in_time import PointInTime, ViewFailed
from noria.features.view import BadView

START = datetime(2024, 3, 10, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [("id", pa.string()), ("city", pa.string()), ("value", pa.float64()), ("at", UTC_US), ("known", UTC_US), ("gone", pa.bool_())]
)
TABLE = nr.Table("events", nr.files("none.parquet"), key="id", event_time="at", known_at="known", deleted="gone")

minutes = st.integers(0, 300)
cities = st.sampled_from(["ams", "ber", None])
events = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["a", "b", "c", "d"]),
            "city": cities,
            "value": st.one_of(st.none(), st.integers(-5, 5).map(float)),
            "at": minutes,
            "known": minutes,
            "gone": st.sampled_from([False, False, False, True, None]),
        }
    ),
    max_size=25,
)
spines = st.lists(st.fixed_dictionaries({"city": cities, "_at": minutes}), max_size=12)


def moment(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def view(freshness: str | None) -> nr.FeatureView:
    return nr.FeatureView(
        "v",
        TABLE,
        entity="city",
        aggregate={
            "n": nr.count(window="60m"),
            "total": nr.total("value", window="60m"),
            "mean": nr.mean("value", window="90m"),
            "low": nr.minimum("value", window="30m"),
            "high": nr.maximum("value", window="30m"),
            "std": nr.std("value", window="120m"),
        },
        latest=["value"],
        ttl="45m",
        freshness=freshness,
    )


def join(rows: list[dict[str, Any]], spine: list[dict[str, Any]], view: nr.FeatureView) -> list[dict[str, Any]]:
    table = pa.Table.from_pylist([{**r, "at": moment(r["at"]), "known": moment(r["known"])} for r in rows], SCHEMA)
    asked = pa.table(
        {"city": pa.array([s["city"] for s in spine], pa.string()), "_at": pa.array([moment(s["_at"]) for s in spine], UTC_US)}
    )
    engine = PointInTime([Facts(TABLE, Snapshot("events", 0, "", len(rows)), table)])
    return engine.join(asked, [view]).to_pylist()


def oracle(rows: list[dict[str, Any]], city: str | None, minute: int, freshness: str | None) -> dict[str, Any]:
    """The rule word by word: of each key, the version last known by then; of those, what happened in the window."""
    at = minute
    if freshness:
        step = int(duration(freshness).total_seconds() // 60)
        since_epoch = int(moment(minute).timestamp() // 60)
        at = minute - since_epoch % step
    current: dict[str, dict[str, Any]] = {}
    ordered = sorted(enumerate(rows), key=lambda pair: (pair[1]["known"], pair[1]["at"], pair[0]))
    for _, row in ordered:
        if row["known"] <= at:
            current[row["id"]] = row
    there = [r for r in current.values() if not r["gone"] and r["at"] <= at and r["city"] == city and city is not None]

    def inside(window: int) -> list[float]:
        return [r["value"] for r in there if r["at"] > at - window and r["value"] is not None]

    recent = [r for r in there if r["at"] > at - 45]
    newest = max(recent, key=lambda r: (r["at"], r["known"], r["id"])) if recent else None
    sample = inside(120)
    middle = sum(sample) / len(sample) if sample else 0.0
    return {
        "n": sum(r["at"] > at - 60 for r in there),
        "total": sum(inside(60)) if inside(60) else None,
        "mean": sum(inside(90)) / len(inside(90)) if inside(90) else None,
        "low": min(inside(30), default=None),
        "high": max(inside(30), default=None),
        "std": math.sqrt(sum((v - middle) ** 2 for v in sample) / (len(sample) - 1)) if len(sample) > 1 else None,
        "value": newest["value"] if newest else None,
    }


@settings(max_examples=120, deadline=None)
@given(events, spines, st.sampled_from([None, "15m", "7m"]))
def test_every_value_is_what_was_known_at_its_time(rows: list[dict[str, Any]], spine: list[dict[str, Any]], freshness: str | None) -> None:
    found = join(rows, spine, view(freshness))
    assert len(found) == len(spine)
    for asked, got in zip(spine, found, strict=True):
        for name, expected in oracle(rows, asked["city"], asked["_at"], freshness).items():
            assert (got[name] is None) == (expected is None), (name, asked)
            assert expected is None or got[name] == pytest.approx(expected, abs=1e-9), (name, asked)


@settings(max_examples=60, deadline=None)
@given(events, spines, st.integers(0, 300), st.randoms(use_true_random=False))
def test_what_is_known_later_changes_nothing_before(rows: list[dict[str, Any]], spine: list[dict[str, Any]], cut: int, random: Any) -> None:
    garbage = [
        {**r, "value": 99.0, "city": random.choice(["ams", "ber"]), "at": random.randrange(300)} if r["known"] > cut else r for r in rows
    ]
    before = [s for s in spine if s["_at"] <= cut]
    assert join(rows, before, view("15m")) == join(garbage, before, view("15m"))


def test_a_value_that_was_written_three_days_late_does_not_enter() -> None:
    rows = [{"id": "a", "city": "ams", "value": 1.0, "at": 0, "known": 3 * 1440, "gone": False}]
    long = nr.FeatureView("v", TABLE, entity="city", latest=["value"], ttl="30d")
    assert join(rows, [{"city": "ams", "_at": 60}], long) == [{"value": None}]
    assert join(rows, [{"city": "ams", "_at": 3 * 1440}], long) == [{"value": 1.0}]


def test_an_expression_that_the_engine_refuses_names_the_view() -> None:
    bad = nr.FeatureView("broken", TABLE, entity="city", aggregate={"x": nr.mean("no_such(value)", window="1h")})
    with pytest.raises(ViewFailed, match="broken"):
        join([], [{"city": "ams", "_at": 0}], bad)


def test_an_unknown_column_is_named_with_the_nearest_one() -> None:
    bad = nr.FeatureView("v", TABLE, entity="citty", aggregate={"x": nr.count(window="1h")})
    with pytest.raises(UnknownColumn, match="did you mean 'city'"):
        join([], [{"city": "ams", "_at": 0}], bad)


def test_views_that_cannot_be_computed_are_refused_when_declared() -> None:
    with pytest.raises(BadView, match="no value"):
        nr.FeatureView("v", TABLE, entity="city")
    with pytest.raises(BadView, match="ttl"):
        nr.FeatureView("v", TABLE, entity="city", latest=["value"])
    twice = nr.FeatureView("v", TABLE, entity="city", aggregate={"x": nr.count(window="1h")})
    with pytest.raises(nr.NoriaError, match="twice"):
        FeatureSet("f", TABLE, [twice, twice])
