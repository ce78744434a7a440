"""Spark as the feature engine: the same SQL, carried over by sqlglot.

Latest values, which DuckDB finds by an ASOF join that Spark lacks, are computed by the portable form (`matches_sql`); the
running sums are the same statement. Only the standard deviation may differ in its last digits (Spark sums in no fixed order).
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
from noria.data.table import Facts, microseconds_of
from noria.features import compile
from noria.features.compile import AT, Relations
from noria.features.point_in_time import PointInTime, ViewFailed
from noria.features.view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa

QUERIES, VERSIONS = "_queries", "_versions"


class SparkPointInTime:
    """The point-in-time join on Spark; `join` is that of `PointInTime`."""

    def __init__(self, facts: Sequence[Facts], session: SparkSession | None = None) -> None:
        self._session = session or local_session()
        self._duckdb = PointInTime([Facts(f.table, f.snapshot, f.rows.slice(0, 0)) for f in facts])
        prepared = PointInTime(facts)
        self._relations = {f.table.name: self._frame(prepared.versions(f.table.name).relation) for f in facts}

    def join(self, spine: pa.Table, views: Sequence[FeatureView]) -> pa.Table:
        """The values of `views` at each row's `_at`, as columns in the order of the views; one row per spine row."""
        import pyarrow as pa

        columns: dict[str, pa.ChunkedArray] = {}
        for view in views:
            columns |= self._values(view, spine)
        return pa.table(columns)

    def _values(self, view: FeatureView, spine: pa.Table) -> dict[str, pa.ChunkedArray]:
        import pyarrow as pa

        at = microseconds_of(spine.column(AT))
        step = 1 if view.freshness is None else microseconds(duration(view.freshness))
        keys = {key: spine.column(entity) for key, entity in zip(compile.query_keys(view), view.entities, strict=True)}
        queries = pa.table({**keys, "_t": pa.array(at - at % step), "_q": pa.array(np.arange(spine.num_rows))})
        self._frame(queries).createOrReplaceTempView(QUERIES)
        self._relations[view.table.name].createOrReplaceTempView(VERSIONS)
        columns: dict[str, pa.ChunkedArray] = {}
        for statement in translated(view, self._duckdb.whole_expressions(view)):
            found = self._session.sql(statement).toArrow().sort_by("_q")
            columns |= {name: found.column(name) for name in found.column_names if name != "_q"}
        return {name: columns[name] for name in view.features}

    def _frame(self, rows: pa.Table) -> Any:
        """Arrow rows as a Spark frame, times that are zoned in UTC."""
        return self._session.createDataFrame(rows)


def translated(view: FeatureView, whole: frozenset[str]) -> list[str]:
    """The statements of a view in Spark's dialect. Raises `ViewFailed` for what it can't express."""
    of = Relations(VERSIONS, QUERIES, whole)
    statements = [compile.sums_sql(view, of)] if compile.additive(view) else []
    if compile.others(view) or view.latest:
        statements.append(compile.matches_sql(view, of, compile.others(view), view.latest_expressions))
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
