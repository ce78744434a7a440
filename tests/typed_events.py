"""Random events with a column of every type, a view that takes each of them, and the plain-Python oracle of its values."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

import noria as nr
from noria.core.signature import Field
from noria.data.table import Snapshot, SnapshotRows

START = datetime(2024, 3, 10, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")
COLUMNS = {
    "text": pa.string(),
    "word": pa.dictionary(pa.int32(), pa.string()),
    "flag": pa.bool_(),
    "seen": pa.timestamp("us", tz="America/New_York"),
    "day": pa.date32(),
    "raw": pa.binary(),
    "big": pa.int64(),
    "value": pa.float64(),
    "tags": pa.list_(pa.string()),
    "path": pa.list_(pa.int64()),
    "vector": pa.list_(pa.float32(), 2),
}
SCHEMA = pa.schema([("id", pa.string()), ("city", pa.string()), *COLUMNS.items(), ("at", UTC_US), ("known", UTC_US), ("gone", pa.bool_())])
TABLE = nr.Table("typed", nr.files("none.parquet"), key="id", event_time="at", known_at="known", deleted="gone")
VALUES: dict[str, list[Any]] = {
    "text": ["Köln", "", "ams", None],
    "word": ["red", "blue", None],
    "flag": [True, False, None],
    "seen": [datetime(2024, 3, 10, 6, 59, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC), None],
    "day": [date(2024, 2, 29), date(1970, 1, 1), None],
    "raw": [b"\x00\xff", b"", None],
    "big": [2**53 + 1, -(2**63), 0, None],
    "value": [0.1, -1e30, math.nan, math.inf, None],
    "tags": [["a", "b"], [], ["é", None], None],
    "path": [[1, 2**60], [], None],
    "vector": [[0.5, -1.0], [0.25, 0.0], None],
}
minutes = st.integers(0, 300)
cities = st.sampled_from(["ams", "ber", None])
row = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b", "c", "d"]),
        "city": cities,
        **{name: st.sampled_from(values) for name, values in VALUES.items()},
        "at": minutes,
        "known": minutes,
        "gone": st.sampled_from([False, False, False, True, None]),
    }
)
events = st.lists(row, max_size=15)
spines = st.lists(st.fixed_dictionaries({"city": cities, "_at": minutes}), max_size=8)


def moment(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def view(freshness: str | None = None) -> nr.FeatureView:
    return nr.FeatureView(
        "v",
        TABLE,
        entity="city",
        aggregate={
            "n": nr.count(window="60m"),
            "kinds": nr.distinct("text", window="60m"),
            "true_share": nr.mean("flag", window="60m"),
            "first_text": nr.first("text", window="60m"),
            "last_tags": nr.last("tags", window="60m"),
            "last_word": nr.last("word", window="60m"),
            "least_text": nr.minimum("text", window="60m"),
            "newest": nr.maximum("seen", window="60m"),
            "ever": nr.maximum("flag", window="60m"),
            "least_big": nr.minimum("big", window="60m"),
            "greatest": nr.maximum("value", window="60m"),
        },
        latest={**{name: name for name in COLUMNS}, "shout": "upper(text)", "tagged": "len(tags)", "hours": '[hour("seen")]'},
        ttl="45m",
        freshness=freshness,
    )


FIELDS = (
    Field("n", "int64"),
    Field("kinds", "int64"),
    Field("true_share", "float64"),
    Field("first_text", "string"),
    Field("last_tags", "string", (None,)),
    Field("last_word", "string"),
    Field("least_text", "string"),
    Field("newest", "timestamp"),
    Field("ever", "bool"),
    Field("least_big", "int64"),
    Field("greatest", "float64"),
    Field("text", "string"),
    Field("word", "string"),
    Field("flag", "bool"),
    Field("seen", "timestamp"),
    Field("day", "timestamp"),
    Field("raw", "bytes"),
    Field("big", "int64"),
    Field("value", "float64"),
    Field("tags", "string", (None,)),
    Field("path", "int64", (None,)),
    Field("vector", "float32", (2,)),
    Field("shout", "string"),
    Field("tagged", "int64"),
    Field("hours", "int64", (None,)),
)


def arrow(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{**r, "at": moment(r["at"]), "known": moment(r["known"])} for r in rows], SCHEMA)


def facts(rows: list[dict[str, Any]]) -> SnapshotRows:
    return SnapshotRows(TABLE, Snapshot("typed", 0, "", len(rows)), arrow(rows))


def spine_of(spine: list[dict[str, Any]]) -> pa.Table:
    at = pa.array([moment(s["_at"]) for s in spine], UTC_US)
    return pa.table({"city": pa.array([s["city"] for s in spine], pa.string()), "_at": at})


def oracle(rows: list[dict[str, Any]], asked: dict[str, Any], freshness: str | None) -> dict[str, Any]:
    """The rule word by word: of each key, the version last known by then; of those, what happened in the window."""
    at = asked["_at"] if freshness is None else asked["_at"] // 15 * 15
    current: dict[str, dict[str, Any]] = {}
    for place, row in sorted(enumerate(rows), key=lambda pair: (pair[1]["known"], pair[1]["at"], pair[0])):
        if row["known"] <= at:
            current[row["id"]] = {**row, "place": place}
    there = [r for r in current.values() if not r["gone"] and r["at"] <= at and asked["city"] is not None and r["city"] == asked["city"]]
    there.sort(key=lambda r: (r["at"], r["known"], r["id"], r["place"]))
    recent = [r for r in there if r["at"] > at - 60]

    def of(column: str) -> list[Any]:
        known = [r[column] for r in recent if r[column] is not None]
        return [v for v in known if not isinstance(v, float) or math.isfinite(v)]

    newest = next((r for r in reversed(there) if r["at"] > at - 45), dict.fromkeys(COLUMNS))
    newest = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in newest.items()}
    return {
        "n": len(recent),
        "kinds": len(set(of("text"))),
        "true_share": sum(of("flag")) / len(of("flag")) if of("flag") else None,
        "first_text": next(iter(of("text")), None),
        "last_tags": next(reversed(of("tags")), None),
        "last_word": next(reversed(of("word")), None),
        "least_text": min(of("text"), key=lambda t: t.encode(), default=None),
        "newest": max(of("seen"), default=None),
        "ever": max(of("flag"), default=None),
        "least_big": min(of("big"), default=None),
        "greatest": max(of("value"), default=None),
        **{name: newest[name] for name in COLUMNS},
        "day": None if newest["day"] is None else datetime.combine(newest["day"], datetime.min.time(), UTC),
        "shout": None if newest["text"] is None else newest["text"].upper(),
        "tagged": None if newest["tags"] is None else len(newest["tags"]),
        "hours": [None if newest["seen"] is None else newest["seen"].hour],
    }
