"""Checking feature views without computing anything: every one is compiled and bound on an engine, against typed, empty tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from noria.core.plugins import adapter
from noria.data.contract import UnknownColumn
from noria.data.table import Facts, Snapshot
from noria.features.compile import AT
from noria.features.feature_set import FeatureSet
from noria.features.keys import KeyColumn, require_comparable
from noria.features.label import Label
from noria.features.point_in_time import PointInTime, require_spine_columns
from noria.features.view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa


def check_views(views: Sequence[FeatureView], rows: Mapping[str, pa.Table], engine: str = "duckdb") -> None:
    """Raise for the first view that an engine can't express, or that is not row-wise and of numbers; `rows` are by table name.

    Raises `ViewFailed`, `UnknownColumn`, `NotRowWise` or `NotANumber`. DuckDB binds every view's statements; for Spark they are
    translated too, and what has no translation is refused.
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
            translate(duckdb.bind(view))


def check_keys(features: FeatureSet, label: Label, rows: Mapping[str, pa.Table]) -> None:
    """Raise for keys that would name one entity in the spine and another, or none, in the table of a view or of the label.

    `rows` are by table name. Raises `IncomparableKeys`, `KeysOfOtherLength`, `UnknownColumn` or `BadLabel`, and `BadName` for a
    spine with a column that is named as predictions' times or keys are.
    """
    spine = features.spine
    schema = rows[spine.name].schema
    require_spine_columns(spine.name, schema.names)
    for view in features.views:
        for entity in view.entities:
            if entity not in schema.names:
                raise UnknownColumn(
                    column=entity, named_by=f"the entity of feature view {view.name!r}, in the spine", available=schema.names
                )
            theirs = KeyColumn(view.table.name, entity, rows[view.table.name].schema.field(entity).type)
            require_comparable(KeyColumn(spine.name, entity, schema.field(entity).type), theirs)
    label.check(rows[label.table.name].schema, spine, schema)


def _empty_spine(view: FeatureView, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    fields = [pa.field(entity, schema.field(entity).type) for entity in view.entities]
    return pa.schema([*fields, pa.field(AT, pa.timestamp("us", tz="UTC"))]).empty_table()
