"""Random events and spines, and a view that asks every kind of question about them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

import noria as nr
from noria.data.table import Snapshot, SnapshotRows

START = datetime(2024, 3, 10, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")
NEW_YORK = pa.timestamp("us", tz="America/New_York")  # that day, an hour is missing there
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("part", pa.int64()),
        ("city", pa.string()),
        ("line", pa.int32()),
        ("value", pa.float64()),
        ("whole", pa.int32()),
        ("at", NEW_YORK),
        ("known", UTC_US),
        ("gone", pa.bool_()),
    ]
)
TABLE = nr.Table("events", nr.files("none.parquet"), key=("id", "part"), event_time="at", known_at="known", deleted="gone")

minutes = st.integers(0, 300)
cities = st.sampled_from(["ams", "ber", None])
lines = st.sampled_from([1, 2, None])
numbers = st.one_of(st.none(), st.integers(-20, 20).map(lambda n: n / 4), st.sampled_from([math.nan, math.inf, -math.inf]))
events = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["a", "b", "c"]),
            "part": st.sampled_from([1, 2]),
            "city": cities,
            "line": lines,
            "value": numbers,
            "whole": st.one_of(st.none(), st.integers(-3, 3)),
            "at": minutes,
            "known": minutes,
            "gone": st.sampled_from([False, False, False, True, None]),
        }
    ),
    max_size=25,
)
spines = st.lists(st.fixed_dictionaries({"city": cities, "line": lines, "_at": minutes}), max_size=12)


def moment(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def view(freshness: str | None, entity: str | tuple[str, ...] = "city") -> nr.FeatureView:
    return nr.FeatureView(
        "v",
        TABLE,
        entity=entity,
        aggregate={
            "n": nr.count(window="60m"),
            "values": nr.count("value", window="60m"),
            "total": nr.total("value", window="60m"),
            "mean": nr.mean("value", window="90m"),
            "wholes": nr.total("whole", window="45m"),
            "whole_mean": nr.mean("whole", window="60m"),
            "low": nr.minimum("value", window="30m"),
            "high": nr.maximum("value", window="30m"),
            "std": nr.std("value", window="120m"),
            "first": nr.first("value", window="60m"),
            "last": nr.last("value", window="60m"),
            "kinds": nr.distinct("whole", window="60m"),
            "third": nr.quantile("value", 0.75, window="90m"),
        },
        latest={"value": "value", "doubled": "2 * whole"},
        ttl="45m",
        freshness=freshness,
    )


def facts(rows: list[dict[str, Any]]) -> SnapshotRows:
    table = pa.Table.from_pylist([{**r, "at": moment(r["at"]), "known": moment(r["known"])} for r in rows], SCHEMA)
    return SnapshotRows(TABLE, Snapshot("events", 0, "", len(rows)), table)


def spine_of(spine: list[dict[str, Any]]) -> pa.Table:
    return pa.table(
        {
            "city": pa.array([s["city"] for s in spine], pa.string()),
            "line": pa.array([s.get("line") for s in spine], pa.int32()),
            "_at": pa.array([moment(s["_at"]) for s in spine], UTC_US),
        }
    )
