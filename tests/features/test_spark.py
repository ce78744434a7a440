"""Spark gives what DuckDB gives, on the same random cases; one session for all of them, since a JVM takes seconds to start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import noria as nr
from events import TABLE, events, facts, spine_of, spines, view
from noria.features.check import check_views
from noria.features.point_in_time import PointInTime, ViewFailed
from noria.integrations.spark import SparkPointInTime, local_session

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs a JVM (Debian: openjdk-17-jre-headless)")


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    opened = local_session()
    opened.sparkContext.setLogLevel("ERROR")
    yield opened
    opened.stop()


@needs_java
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=events, spine=spines, freshness=st.sampled_from([None, "15m"]), entity=st.sampled_from(["city", ("city", "line")]))
def test_both_engines_give_equal_results(session: Any, rows: list[Any], spine: list[Any], freshness: str | None, entity: Any) -> None:
    asked = view(freshness, entity)
    duckdb = PointInTime([facts(rows)]).join(spine_of(spine), [asked]).to_pydict()
    spark = SparkPointInTime([facts(rows)], session).join(spine_of(spine), [asked]).to_pydict()
    deviations = duckdb.pop("std"), spark.pop("std")
    assert repr(spark) == repr(duckdb)
    assert deviations[1] == [None if v is None else pytest.approx(v, rel=1e-12, abs=1e-12) for v in deviations[0]]


def test_a_view_that_spark_cannot_express_is_refused_by_name() -> None:
    bad = nr.FeatureView("only_here", TABLE, entity="city", aggregate={"x": nr.mean("list_sum([value, 1])", window="1h")})
    rows = {"events": facts([]).rows}
    check_views([bad], rows, "duckdb")
    with pytest.raises(ViewFailed, match=r"only_here.*Spark"):
        check_views([bad], rows, "spark")
