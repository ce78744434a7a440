"""Checking feature views without computing anything: every one is compiled and bound on an engine, against typed, empty tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from noria.core.plugins import adapter
from noria.data.contract import UnknownColumn
from noria.data.table import Facts, Snapshot
from noria.features.compile import AT
from noria.features.point_in_time import PointInTime
from noria.features.view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa


def check_views(views: Sequence[FeatureView], rows: Mapping[str, pa.Table], engine: str = "duckdb") -> None:
    """Raise `ViewFailed` or `UnknownColumn` for the first view that an engine can't express; `rows` are by table name.

    DuckDB binds every view's statements; for Spark they are translated too, and what has no translation is refused.
    """
    tables = {view.table.name: view.table for view in views}
    empty = [Facts(table, Snapshot(name, 0, "", 0), rows[name].slice(0, 0)) for name, table in tables.items()]
    duckdb = PointInTime(empty)
    for view in views:
        schema = rows[view.table.name].schema
        for entity in view.entities:
            if entity not in schema.names:
                raise UnknownColumn(column=entity, named_by=f"the entity of feature view {view.name!r}", available=schema.names)
        duckdb.join(_empty_spine(view, schema), [view])
    if engine == "spark":
        translate = adapter("spark", extra="spark", needed_for="checking views for Spark").translated
        for view in views:
            translate(view, duckdb.whole_expressions(view))


def _empty_spine(view: FeatureView, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    fields = [pa.field(entity, schema.field(entity).type) for entity in view.entities]
    return pa.schema([*fields, pa.field(AT, pa.timestamp("us", tz="UTC"))]).empty_table()
