"""Spark as the feature engine: the same SQL, carried over by sqlglot.

Latest values, which DuckDB finds by an ASOF join that Spark lacks, are computed by the portable form (`matches_sql`); the
running sums are the same statement. Only the standard deviation (Spark sums in no fixed order) and sums of doubles (whose parts
Spark converts by way of text) may differ, in their last digits as doubles.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlglot
from pyspark.sql import SparkSession
from sqlglot import exp

from noria.core.clock import duration, microseconds
from noria.data.table import SnapshotRows, microseconds_of
from noria.features import compile
from noria.features.compile import AT, QUERIES, QUERY, TIME, VERSIONS, Relations
from noria.features.point_in_time import Bound, PointInTime
from noria.features.view import FeatureView, ViewFailed

if TYPE_CHECKING:
    import pyarrow as pa


class SparkPointInTime:
    """The point-in-time join on Spark; `join` is that of `PointInTime`."""

    def __init__(self, facts: Sequence[SnapshotRows], session: SparkSession | None = None) -> None:
        self._session = session or local_session()
        self._prepared = PointInTime(facts)

    def join(self, spine: pa.Table, views: Sequence[FeatureView]) -> pa.Table:
        """The values of `views` at each row's `_at`, as columns in the order of the views; one row per spine row."""
        import pyarrow as pa

        columns: dict[str, pa.ChunkedArray] = {}
        for view in views:
            columns |= self._values(view, spine)
        return pa.table(columns)

    def _values(self, view: FeatureView, spine: pa.Table) -> dict[str, pa.ChunkedArray]:
        import pyarrow as pa

        bound = self._prepared.bind(view)
        at = microseconds_of(spine.column(AT), up=False)
        step = 1 if view.freshness is None else microseconds(duration(view.freshness))
        keys = self._prepared.asked_entities(view, spine)
        queries = pa.table({**keys, TIME: pa.array(at - at % step), QUERY: pa.array(np.arange(spine.num_rows))})
        self._frame(queries).createOrReplaceTempView(QUERIES)
        self._frame(bound.relation).createOrReplaceTempView(VERSIONS)
        columns: dict[str, pa.ChunkedArray] = {}
        for statement in translated(bound, self._prepared.relations(bound)):
            found = self._session.sql(statement).toArrow().sort_by(QUERY)
            columns |= {name: found.column(name) for name in found.column_names if name != QUERY}
        return {name: columns[compile.feature_column(view, name)] for name in view.features}

    def _frame(self, rows: pa.Table) -> Any:
        """Arrow rows as a Spark frame, times that are zoned in UTC."""
        return self._session.createDataFrame(rows)


def translated(bound: Bound, of: Relations | None = None) -> list[str]:
    """The statements of a view in Spark's dialect. Raises `ViewFailed` for what it can't express."""
    view = bound.view
    of = of or Relations(VERSIONS, QUERIES, bound.kinds)
    statements = [compile.sums_sql(view, of)] if compile.additive(view) else []
    if compile.others(view) or view.latest:
        statements.append(compile.matches_sql(view, of, compile.others(view), bound.latest))
    return [_translated(view, statement) for statement in statements]


def _translated(view: FeatureView, statement: str) -> str:
    try:
        tree = sqlglot.parse_one(statement, dialect="duckdb").transform(_portable)
        unknown = next((f for f in tree.find_all(exp.Anonymous) if f.name.lower() not in SPARK_FUNCTIONS), None)
        if unknown is not None:
            raise ViewFailed(view.name, f"Spark has no function {unknown.name!r}")
        return tree.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except sqlglot.errors.SqlglotError as error:
        raise ViewFailed(view.name, f"Spark can't express it: {str(error).splitlines()[0]}") from error


# Functions that sqlglot passes on by name because both engines have them under it.
SPARK_FUNCTIONS = {"least", "greatest", "percentile"}


def _portable(node: exp.Expression) -> exp.Expression:
    """What sqlglot leaves as it is and Spark says otherwise."""
    if isinstance(node, exp.StddevSamp | exp.Stddev) and isinstance(node.this, exp.Order):
        node.set("this", node.this.this)
    if isinstance(node, exp.Floor | exp.Ceil):  # Spark's give 64-bit whole numbers; a double from 2^53 on is whole as it is
        large = exp.GTE(this=exp.Abs(this=node.this.copy()), expression=exp.Literal.number("9007199254740992.0"))
        return exp.Case(ifs=[exp.If(this=large, true=node.this.copy())], default=node)
    if isinstance(node, exp.PercentileCont):
        return exp.Anonymous(this="percentile", expressions=[node.this, node.expression])
    if isinstance(node, exp.Quantile):
        return exp.Anonymous(this="percentile", expressions=[node.this, node.args["quantile"]])
    return node


def local_session() -> SparkSession:
    """A session in this process's JVM, for tests and small work."""
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder: Any = SparkSession.builder
    session: SparkSession = (
        builder.master("local[2]")
        .appName("noria")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.ansi.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    return session
