"""Spark gives what DuckDB gives, on the same random cases; one session for all of them, since a JVM takes seconds to start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import noria as nr
import typed_events
from events import TABLE, events, facts, moment, spine_of, spines, view
from noria.data.table import Snapshot, SnapshotRows
from noria.features.check import check_views
from noria.features.fields import as_arrow
from noria.features.point_in_time import PointInTime
from noria.features.view import ViewFailed
from noria.integrations.spark import SparkPointInTime, local_session

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs a JVM (Debian: openjdk-17-jre-headless)")


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    opened = local_session()
    opened.sparkContext.setLogLevel("ERROR")
    yield opened
    opened.stop()


@needs_java
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=events, spine=spines, freshness=st.sampled_from([None, "15m"]), entity=st.sampled_from(["city", ("city", "line")]))
def test_both_engines_give_equal_results(session: Any, rows: list[Any], spine: list[Any], freshness: str | None, entity: Any) -> None:
    asked = view(freshness, entity)
    duckdb = PointInTime([facts(rows)]).join(spine_of(spine), [asked]).to_pydict()
    spark = SparkPointInTime([facts(rows)], session).join(spine_of(spine), [asked]).to_pydict()
    deviations = duckdb.pop("std"), spark.pop("std")
    assert repr(spark) == repr(duckdb)
    assert deviations[1] == [None if v is None else pytest.approx(v, rel=1e-12, abs=1e-12) for v in deviations[0]]


@needs_java
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=typed_events.events, spine=typed_events.spines, freshness=st.sampled_from([None, "15m"]))
def test_both_engines_give_equal_values_of_every_type(session: Any, rows: list[Any], spine: list[Any], freshness: str | None) -> None:
    whole = typed_events.view(freshness)
    latest = {name: sql for name, sql in whole.latest_expressions.items() if name != "tagged"}  # Spark's length is of texts alone
    asked = nr.FeatureView("v", typed_events.TABLE, entity="city", aggregate=whole.aggregate, latest=latest, ttl="45m", freshness=freshness)
    found, fields = [], PointInTime([typed_events.facts(rows)]).bind(asked).fields
    for engine in (PointInTime([typed_events.facts(rows)]), SparkPointInTime([typed_events.facts(rows)], session)):
        joined = engine.join(typed_events.spine_of(spine), [asked])
        found.append({field.name: as_arrow(field, joined.column(field.name)).to_pylist() for field in fields})
    assert found[0] == found[1]


@needs_java
@pytest.mark.parametrize(("entity", "closed", "window"), [("city", "both", "2m"), ((), "right", "unlimited")])
def test_both_engines_keep_the_digits_of_great_numbers(session: Any, entity: Any, closed: Any, window: str) -> None:
    minute = pa.array([moment(i) for i in range(4)], pa.timestamp("us", tz="UTC"))
    rows = pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "city": ["ams"] * 4,
            "at": minute,
            "long": pa.array([2**63 - 1, -(2**63), 2**53 + 1, 2**63 - 1]),
            "price": pa.array([Decimal("0.10"), Decimal("12345678901234567890.25"), None, Decimal("-0.35")], pa.decimal128(28, 2)),
            "tiny": [1e-30, 2.5, 1e20, float("nan")],
        }
    )
    table = nr.Table("select", nr.files("none.parquet"), key="id", event_time="at")
    view = nr.FeatureView(
        "v",
        table,
        entity=entity,
        aggregate={
            f"{make.__name__} {column}": make(column, window=window)
            for column in ("long", "price", "tiny")
            for make in (nr.count, nr.total, nr.minimum, nr.maximum, nr.first, nr.last, nr.distinct)
        },
        latest=["long", "price"],
        ttl=window,
        closed=closed,
    )
    known = SnapshotRows(table, Snapshot("select", 0, "", 4), rows)
    spine = pa.table({"city": ["ams"] * 4, "_at": minute})
    duckdb = PointInTime([known]).join(spine, [view]).to_pydict()
    spark = SparkPointInTime([known], session).join(spine, [view]).to_pydict()
    floats = spark.pop("total tiny"), duckdb.pop("total tiny")
    assert floats[0] == pytest.approx(floats[1], rel=1e-15)
    assert spark == duckdb
    assert duckdb["total long"][-1] == {"2m": 2**53 + 2**63 - 1 + 1 - 2**63, "unlimited": 2**63 + 2**53 - 1}[window]


def test_a_view_that_spark_cannot_express_is_refused_by_name() -> None:
    bad = nr.FeatureView("only_here", TABLE, entity="city", aggregate={"x": nr.mean("list_sum([value, 1])", window="1h")})
    rows = {"events": facts([]).rows}
    check_views([bad], rows, "duckdb")
    with pytest.raises(ViewFailed, match=r"only_here.*Spark"):
        check_views([bad], rows, "spark")
