"""Versions: which row counts when, to the microsecond, and which of two that became known together."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import noria as nr
from noria.data.table import Snapshot, SnapshotRows, microseconds_of
from noria.features.point_in_time import PointInTime
from noria.features.versions import ENTER, EVENT, NEVER, RANK, SUPERSEDED, versions_of

TABLE = nr.Table("events", nr.files("none.parquet"), key="id", event_time="happened", known_at="known")
NS = pa.timestamp("ns", tz="UTC")
SECOND = 1_704_067_200


def table(values: list[float], *, happened: list[int], known: list[int], ids: list[str] | None = None) -> pa.Table:
    """Rows with times in seconds after a moment."""
    us = pa.timestamp("us", tz="UTC")
    times = {name: pa.array([(SECOND + s) * 1_000_000 for s in found], us) for name, found in (("happened", happened), ("known", known))}
    return pa.table({"id": ids or ["a"] * len(values), "city": ["x"] * len(values), "value": values, **times})


def latest(rows: pa.Table, order: list[int] | None, second: int = 100) -> float | None:
    view = nr.FeatureView("v", TABLE, entity="city", latest=["value"], ttl="1h")
    known = SnapshotRows(TABLE, Snapshot("events", 0, "", len(rows)), rows, None if order is None else np.array(order))
    spine = pa.table({"city": ["x"], "_at": pa.array([datetime.fromtimestamp(SECOND + second, UTC)], pa.timestamp("us", tz="UTC"))})
    [found] = PointInTime([known]).join(spine, [view]).column("value").to_pylist()
    return found


@pytest.mark.parametrize("order", [[1, 2], [2, 1]])
def test_of_two_versions_known_at_one_moment_the_one_that_was_ingested_later_wins(order: list[int]) -> None:
    for values in ([5.0, 1.0], [1.0, 5.0]):
        rows = table(values, happened=[10, 10], known=[20, 20])
        assert latest(rows, order) == values[int(np.argmax(order))]


def test_a_correction_in_the_same_instant_that_moves_a_fact_back_in_time_wins_too() -> None:
    rows = table([1.0, 2.0], happened=[10, 5], known=[20, 20])
    assert latest(rows, [1, 2]) == 2.0
    assert latest(rows, [2, 1]) == 1.0


def test_a_version_known_later_wins_whenever_it_was_ingested() -> None:
    assert latest(table([1.0, 2.0], happened=[10, 10], known=[30, 20]), [1, 2]) == 1.0


def test_a_retraction_in_the_same_instant_counts_by_when_it_was_ingested() -> None:
    retracted = nr.Table("events", nr.files("none.parquet"), key="id", event_time="happened", known_at="known", deleted="gone")
    rows = table([1.0, 2.0], happened=[10, 10], known=[20, 20]).append_column("gone", pa.array([False, True]))
    for order, left in (([1, 2], 0), ([2, 1], 1)):
        found = versions_of(SnapshotRows(retracted, Snapshot("events", 0, "", 2), rows, np.array(order)), duckdb.connect())
        assert int((found.superseded > found.enter).sum()) == left


def test_different_facts_of_one_moment_rank_by_their_keys_and_not_by_ingestion() -> None:
    rows = table([1.0, 2.0], happened=[10, 10], known=[20, 20], ids=["a", "b"])
    assert latest(rows, [1, 2]) == latest(rows, [2, 1]) == 2.0


def test_times_between_two_microseconds_never_count_too_early() -> None:
    times = pa.chunked_array([pa.array([1, 999, 1000, 1001, 0, -1, -999, -1000, -1001], NS)])
    assert microseconds_of(times).tolist() == [1, 1, 1, 2, 0, 0, 0, -1, -1]
    assert microseconds_of(times, up=False).tolist() == [0, 0, 1, 1, 0, -1, -1, -1, -2]


@pytest.mark.parametrize("late", [1, 999])
def test_an_event_some_nanoseconds_after_the_prediction_does_not_count(late: int) -> None:
    base = SECOND * 1_000_000_000
    event = nr.Table("events", nr.files("none.parquet"), key="id", event_time="happened")
    rows = pa.table({"id": ["a"], "city": ["x"], "happened": pa.array([base + late], NS), "value": [1.0]})
    view = nr.FeatureView("v", event, entity="city", aggregate={"n": nr.count(window="1h")}, latest=["value"], ttl="1h")
    spine = pa.table({"city": ["x"] * 3, "_at": pa.array([base, base + late, base + 1000], NS)})
    found = PointInTime([SnapshotRows(event, Snapshot("events", 0, "", 1), rows)]).join(spine, [view]).column("n").to_pylist()
    assert found == [0, 0, 1]


def test_a_key_may_have_columns_that_differ_in_case() -> None:
    twins = nr.Table("events", nr.files("none.parquet"), key=("Id", "iD"), event_time="happened", known_at="known")
    rows = table([1.0, 2.0, 3.0], happened=[1, 2, 3], known=[1, 2, 3]).rename_columns(["Id", "city", "value", "happened", "known"])
    rows = rows.append_column("iD", pa.array([1, 2, 1]))
    found = versions_of(SnapshotRows(twins, Snapshot("events", 0, "", 3), rows), duckdb.connect())
    assert (found.superseded < 2**62).tolist() == [True, False, False]


CON = duckdb.connect()
Fact = tuple[str, int, int, int, bool | None]  # key, happened, known, order of ingestion, deleted
facts = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(0, 4), st.integers(1, 3), st.sampled_from([None, False, True]))
)


def by_hand(found: list[Fact], *, ordered: bool, deleting: bool) -> list[tuple[int, int]]:
    """(row, when it is superseded) of every version that counts, by rank: the rule of the module's docstring, key by key."""
    numbered = [
        (row, key, SECOND + event, SECOND + known, order if ordered else 0, gone)
        for row, (key, event, known, order, gone) in enumerate(found)
    ]
    superseded = {}
    for key in {version[1] for version in numbered}:
        own = sorted((v for v in numbered if v[1] == key), key=lambda v: (v[3], v[4], v[2], v[0]))
        for version, later in zip(own, [*own[1:], None], strict=True):
            superseded[version[0]] = NEVER if later is None else later[3] * 1_000_000
    counting = [v for v in numbered if not (deleting and v[5])]
    return [(v[0], superseded[v[0]]) for v in sorted(counting, key=lambda v: (v[2], v[3], v[1], v[4], v[0]))]


@settings(max_examples=25)
@given(facts, st.booleans(), st.booleans())
def test_versions_are_what_the_rule_makes_of_them_one_by_one(found: list[Fact], ordered: bool, deleting: bool) -> None:
    made = nr.Table(
        "events", nr.files("none.parquet"), key="id", event_time="happened", known_at="known", deleted="gone" if deleting else None
    )
    rows = table(
        list(map(float, range(len(found)))), happened=[f[1] for f in found], known=[f[2] for f in found], ids=[f[0] for f in found]
    )
    rows = rows.append_column("gone", pa.array([f[4] for f in found], pa.bool_()))
    order = np.array([f[3] for f in found], np.int64) if ordered else None
    versions = versions_of(SnapshotRows(made, Snapshot("events", 0, "", len(rows)), rows, order), CON)
    expected = by_hand(found, ordered=ordered, deleting=deleting)
    assert versions.rows.column("value").to_pylist() == [float(row) for row, _ in expected]
    assert versions.superseded.tolist() == [superseded for _, superseded in expected]
    moments = [((SECOND + found[row][1]) * 1_000_000, (SECOND + found[row][2]) * 1_000_000) for row, _ in expected]
    assert list(zip(versions.event.tolist(), versions.known.tolist(), strict=True)) == moments
    assert versions.enter.tolist() == [max(pair) for pair in moments]
    assert versions.in_order == all(a < b for a, b in zip(versions.enter.tolist(), versions.enter.tolist()[1:], strict=False))
    assert len(versions) == len(expected)
    assert {name: values.tolist() for name, values in versions.times.items()} == {
        EVENT: versions.event.tolist(),
        ENTER: versions.enter.tolist(),
        SUPERSEDED: versions.superseded.tolist(),
        RANK: list(range(len(expected))),
    }
    assert CON.sql("SHOW TABLES").fetchall() == []
    assert np.iinfo(np.int64).max == NEVER
