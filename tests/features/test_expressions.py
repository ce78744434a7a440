"""An expression of a view sees one row and nothing else; whatever looks further is refused by name, wherever views are used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

import noria as nr
from noria.core.errors import NoriaError
from noria.data.contract import UnknownColumn
from noria.data.table import Snapshot, SnapshotRows
from noria.features.check import check_views
from noria.features.expressions import NotRowWise
from noria.features.fields import NoFeatureType, NotANumber
from noria.features.point_in_time import PointInTime
from noria.features.view import ViewFailed

NOW = datetime(2024, 1, 1, 12, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")
TABLE = nr.Table("events", nr.files("none.parquet"), key="id", event_time="happened")
ROW = {
    "id": pa.array(["e"]),
    "city": pa.array(["x"]),
    "happened": pa.array([NOW], UTC_US),
    "a": pa.array([1]),
    "b": pa.array([2.5]),
    "t": pa.array(["abc"]),
    "flag": pa.array([True]),
    "l": pa.array([[1, 2, 3]]),
    "s": pa.array([{"x": 7}]),
    "d": pa.array([NOW.date()]),
    "j": pa.array(['{"k": 4}']),
    "dec": pa.array([1], pa.decimal128(10, 2)),
    "blob": pa.array([b"xyz"]),
    # Names that statements might use for their own, or that SQL has for values of the session.
    "user": pa.array([5]),
    "m": pa.array([{"x": 3}]),
    "q": pa.array([{"x": 4}]),
}
SPINE = pa.table({"city": ["x"], "_at": pa.array([NOW + timedelta(hours=1)], UTC_US)})


def facts(**columns: pa.Array) -> SnapshotRows:
    return SnapshotRows(TABLE, Snapshot("events", 0, "", 1), pa.table(ROW | columns))


def latest(expression: str, **columns: pa.Array) -> Any:
    view = nr.FeatureView("v", TABLE, entity="city", latest={"x": expression}, ttl="2h")
    return PointInTime([facts(**columns)]).join(SPINE, [view]).to_pylist()[0]["x"]


ROW_WISE = {
    "a + b": 3.5,
    "-a": -1,
    "a % 2": 1,
    "a ** 2": 1,
    "a // 2": 0,
    "a::DOUBLE / 2": 0.5,
    "CASE WHEN a > 0 THEN 10 ELSE 20 END": 10,
    "CASE a WHEN 1 THEN 10 END": 10,
    "CAST(CAST(a AS VARCHAR) AS INT)": 1,
    "TRY_CAST(t AS INT)": None,
    "coalesce(nullif(a, 1), 9)": 9,
    "greatest(a, b)": 2.5,
    "if(flag, 1, 2)": 1,
    "round(b + 0.1)": 3,
    "abs(-a)": 1,
    "length(t)": 3,
    "t.length()": 3,
    "split_part(t, 'b', 1).length()": 1,
    "position('b' IN t)": 2,
    "length(trim(t) || '%')": 4,
    "regexp_matches(t, '^a')::INT": 1,
    "(t LIKE 'a%')::INT": 1,
    "(t SIMILAR TO 'a.*')::INT": 1,
    "(t ~ 'abc')::INT": 1,
    "(a BETWEEN 0 AND 2)::INT": 1,
    "(a IN (1, 2))::INT": 1,
    "(NOT flag)::INT": 0,
    "(a IS NULL OR b IS NOT NULL AND a IS DISTINCT FROM b)::INT": 1,
    "date_part('year', happened)": 2024,
    "EXTRACT('month' FROM d)": 1,
    "year(happened)": 2024,
    "epoch(INTERVAL 1 DAY)": 86400,
    "date_diff('day', DATE '2023-12-31', d)": 1,
    "d - date_trunc('day', happened)::DATE": 0,
    "(age(happened, happened) = INTERVAL 0 DAY)::INT": 1,
    "list_sum([a, b])": 3.5,
    "list_sum(list_transform(l, lambda x: x + a))": 9,
    "list_reduce(l, lambda x, y: x + y)": 6,
    "len([x FOR x IN l IF x > 1])": 2,
    "list_aggregate(l, 'max')": 3,
    "l[1] + len(l[1:2])": 3,
    "list_contains(l, a)::INT": 1,
    "len(range(3)) + len(generate_series(1, a))": 4,
    "s.x": 7,
    "(s).x + {'k': a}.k": 8,
    "json_extract(j, '$.k')::INT": 4,
    "(j->'k')::INT + (j->>'k')::INT": 8,
    "dec * 2": 2,
    "try(1 / a)": 1,
    "user": 5,
    "m.x * 10 + q.x": 34,
    "A": 1,
    '"a"': 1,
    "a -- a comment": 1,
    "a /* another */ + 1": 2,
    "\n a \n": 1,
    "42": 42,
}


@pytest.mark.parametrize("expression", ROW_WISE)
def test_what_is_row_wise_is_computed(expression: str) -> None:
    assert latest(expression) == ROW_WISE[expression]


NOT_ROW_WISE = {
    "max(a) OVER (PARTITION BY city)": "a window function",
    "row_number() OVER ()": "a window function",
    "1 + lag(a) OVER (ORDER BY happened)": "a window function",
    "sum(a)": "the aggregate function sum",
    "CASE WHEN true THEN max(a) END": "the aggregate function max",
    "count(*)": "the aggregate function count_star",
    "list(a)": "the aggregate function list",
    "geomean(a)": "geomean(), which uses the aggregate function avg",
    "weighted_avg(a, b)": "the aggregate function sum",
    "count(DISTINCT a)": "DISTINCT, FILTER or ORDER BY",
    "sum(a) FILTER (WHERE a > 0)": "DISTINCT, FILTER or ORDER BY",
    "list(a ORDER BY b)": "DISTINCT, FILTER or ORDER BY",
    "(SELECT max(a) FROM events)": "a subquery",
    "a IN (SELECT 1)": "a subquery",
    "EXISTS (SELECT 1)": "a subquery",
    "a = ANY([1, 2])": "a subquery",
    "ARRAY(SELECT 1)": "a subquery",
    "get_block_size('memory')": "a subquery",
    "*": "* or COLUMNS",
    "events.*": "* or COLUMNS",
    "COLUMNS('a')": "* or COLUMNS",
    "row(*)": "* or COLUMNS",
    "?": "a parameter",
    "$1": "a parameter",
    "#1": "a positional reference",
    "DEFAULT": "DEFAULT",
    "unnest(l)": "unnest(), which expands one row into several",
    "regexp_split_to_table(t, 'b')": "unnest()",
    "random()": "random()",
    "RANDOM() * a": "random()",
    "main.random()": "random()",
    "now()": "now()",
    "today()": "today()",
    "current_date": "current_date",
    "CURRENT_TIMESTAMP": "current_timestamp",
    "list_transform(l, lambda x: x + current_date)": "current_date",
    "age(happened)": "age()",
    "happened - ago(INTERVAL 1 DAY)": "current_timestamp",
    "uuid()": "uuid()",
    "nextval('s')": "nextval()",
    "current_setting('TimeZone')": "current_setting()",
    "getvariable('a')": "getvariable()",
    "current_user": "current_user",
    "version()": "version()",
    "stats(a)": "stats()",
    "vector_type(a)": "vector_type()",
    "sleep_ms(1)": "sleep_ms()",
    "list_aggregate(l, 'reservoir_quantile', 0.5)": "reservoir_quantile",
    "grouping(a)": "GROUPING",
    "__noria_rank": "the reserved name",
    '"__NORIA_event" + a': "the reserved name",
}


@pytest.mark.parametrize("expression", NOT_ROW_WISE)
def test_what_looks_beyond_its_row_is_refused_with_view_feature_and_construct(expression: str) -> None:
    with pytest.raises(NotRowWise) as refused:
        latest(expression)
    assert NOT_ROW_WISE[expression] in refused.value.what
    assert ("'x'" in refused.value.what, "'v'" in refused.value.where) == (True, True)


NO_EXPRESSION = [
    "", "   ", "a, b", "a; SELECT 2", "a;", "a AS b", "a b", "k: a", "a /*", "a FROM other", "a) , (b", "(a", "a +", "'x", '"a',
    "a WHERE a > 0", "a ORDER BY a", "a LIMIT 1", "a UNION SELECT 1", "a GROUP BY a", "PIVOT a", "no_such(a)", "getenv('HOME')",
    "read_text('/etc/hostname')", "a::no_such_type", "list_transform(l, x -> x + 1)", "t + 1 + l", "a.b.c", "+".join(["a"] * 3000),
]  # fmt: skip


@pytest.mark.parametrize("expression", NO_EXPRESSION)
def test_what_is_not_one_expression_is_refused_with_the_engines_words(expression: str) -> None:
    with pytest.raises(ViewFailed, match="feature view 'v'"):
        latest(expression)


@pytest.mark.parametrize("expression", ["rowid", "events.a", "nothing", "list_transform(l, lambda x: y)"])
def test_an_unknown_column_is_refused(expression: str) -> None:
    with pytest.raises(UnknownColumn, match="'x' of view 'v'"):
        latest(expression)


def test_an_unknown_function_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ViewFailed, match="did you mean 'length'"):
        latest("lenght(t)")


def test_a_column_may_have_the_name_of_a_value_of_the_session() -> None:
    with pytest.raises(NotRowWise, match="current_date"):
        latest("current_date")
    assert latest("current_date", current_date=pa.array([8])) == 8


def test_columns_that_differ_in_case_are_told_apart_or_refused() -> None:
    twins = {"Ab": pa.array([1]), "aB": pa.array([2])}
    assert (latest("Ab", **twins), latest('"aB"', **twins)) == (1, 2)
    with pytest.raises(ViewFailed, match="'Ab', 'aB'"):
        latest("ab", **twins)
    with pytest.raises(ViewFailed, match="differ only in case"):
        latest("Ab + aB", **twins)
    view = nr.FeatureView("v", TABLE, entity="city", latest=["Ab", "aB"], ttl="2h")
    assert PointInTime([facts(**twins)]).join(SPINE, [view]).to_pylist() == [{"Ab": 1, "aB": 2}]


AGGREGATES = {
    "min": nr.minimum, "max": nr.maximum, "first": nr.first, "last": nr.last, "mean": nr.mean, "sum": nr.total, "std": nr.std,
    "quantile": lambda e, window: nr.quantile(e, 0.5, window=window),
}  # fmt: skip


SINGLE = ["t", "flag", "d", "happened", "blob"]
NO_FEATURE = ["s", "happened - happened", "happened::TIME"]


def asked_for(kind: str, column: str) -> nr.FeatureView:
    if kind == "latest":
        return nr.FeatureView("v", TABLE, entity="city", latest={"x": column}, ttl="2h")
    return nr.FeatureView("v", TABLE, entity="city", aggregate={"x": AGGREGATES[kind](column, window="2h")})


@pytest.mark.parametrize("column", [*SINGLE, "l", *NO_FEATURE])
@pytest.mark.parametrize("kind", ["latest", *AGGREGATES])
def test_what_can_be_no_feature_is_refused_by_check_and_by_the_join(column: str, kind: str) -> None:
    view = asked_for(kind, column)
    taken_as_it_is = kind in ("latest", "first", "last") and column not in NO_FEATURE
    if taken_as_it_is or (kind in ("min", "max") and column in SINGLE):
        check_views([view], {"events": facts().rows})
        [found] = PointInTime([facts()]).join(SPINE, [view]).to_pylist()
        expected = facts().rows.column(column)[0].as_py()
        assert found == {"x": expected}
        return
    if column == "flag":
        [found] = PointInTime([facts()]).join(SPINE, [view]).to_pylist()
        assert found == {"x": None if kind == "std" else 1}
        return
    refused = NoFeatureType if kind in ("latest", "first", "last") else NotANumber
    for tried in (lambda: check_views([view], {"events": facts().rows}), lambda: PointInTime([facts()]).join(SPINE, [view])):
        with pytest.raises(refused, match=r"'x' is .*'v'"):
            tried()


def test_a_column_is_judged_by_its_type_where_it_is_named_alone() -> None:
    with pytest.raises(NoFeatureType):
        PointInTime([facts()]).join(SPINE, [nr.FeatureView("v", TABLE, entity="city", latest=["s"], ttl="2h")])
    numbers = {"u": pa.array([2**64 - 1], pa.uint64()), "f": pa.array([0.5], pa.float32()), "n": pa.nulls(1)}
    view = nr.FeatureView("v", TABLE, entity="city", latest=["u", "f", "n", "dec"], ttl="2h")
    assert PointInTime([facts(**numbers)]).join(SPINE, [view]).to_pylist() == [{"u": 2**64 - 1, "f": 0.5, "n": None, "dec": 1}]


@pytest.mark.parametrize("column", ["t", "flag", "l", "s", "d", "happened", "blob"])
def test_count_and_distinct_take_any_type(column: str) -> None:
    view = nr.FeatureView("v", TABLE, entity="city", aggregate={"n": nr.count(column, window="2h"), "k": nr.distinct(column, window="2h")})
    assert PointInTime([facts()]).join(SPINE, [view]).to_pylist() == [{"n": 1, "k": 1}]


def test_check_refuses_a_leak_before_anything_is_trained() -> None:
    leak = nr.FeatureView("leaky", TABLE, entity="city", latest={"x": "max(b) OVER (PARTITION BY city)"}, ttl="2h")
    with pytest.raises(NoriaError, match="leaky"):
        check_views([leak], {"events": facts().rows})
