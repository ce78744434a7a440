"""Checking feature views without computing anything: every one is compiled and bound on an engine, against typed, empty tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from noria.core.errors import UserMistake
from noria.core.plugins import adapter
from noria.data.contract import UnknownColumn
from noria.data.table import Snapshot, SnapshotRows, Table
from noria.features.compile import AT
from noria.features.feature_set import BadTransform, FeatureSet, transformed
from noria.features.fields import as_rows
from noria.features.keys import KeyColumn, require_comparable
from noria.features.label import Label, LabelRules
from noria.features.point_in_time import PointInTime, require_spine_columns
from noria.features.view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_TRIED = 20
MIN_FACTS = 0.5  # of the rows: a key that names fewer is hardly one


def check_views(views: Sequence[FeatureView], rows: Mapping[str, pa.Table], engine: str = "duckdb") -> None:
    """Raise for the first view that an engine can't express, or that is not row-wise or gives no features; `rows` are by table name.

    Raises `ViewFailed`, `UnknownColumn`, `NotRowWise`, `NotANumber` or `NoFeatureType`. DuckDB binds every view's statements; for Spark
    they are translated too, and what has no translation is refused.
    """
    tables = {view.table.name: view.table for view in views}
    empty = [SnapshotRows(table, Snapshot(name, 0, "", 0), rows[name].slice(0, 0)) for name, table in tables.items()]
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


def check_keys(features: FeatureSet, label: Label, rows: Mapping[str, pa.Table], rules: LabelRules) -> None:
    """Raise for keys that would name one entity in the spine and another, or none, in the table of a view or of the label.

    `rows` are by table name; rules: the model's task. Raises `IncomparableKeys`, `KeysOfOtherLength`, `UnknownColumn` or `BadLabel`, what
    the rules raise, and `BadName` for a spine with a column that is named as predictions' times or keys are.
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
    told = rows[label.table.name].schema
    label.check(told, spine, schema)
    rules.coding.require_type(label, label.type_of(told))
    rules.coding.require_keys(label, told)
    rules.require_label(label, rows[label.table.name])


class LeakedLabel(UserMistake):
    """A feature is made of the label, which nobody knows yet when a prediction is made."""

    code = "NR-558"

    def __init__(self, label: str, feature: str, how: str, fix: str) -> None:
        self.label, self.feature = label, feature
        super().__init__(what=f"feature {feature!r} is made of {label!r}, which is what is predicted", where=how, fix=fix)


def check_leaks(features: FeatureSet, label: Label, rows: Mapping[str, pa.Table], rules: LabelRules) -> None:
    """Raise `LeakedLabel` for a feature that has a row's own outcome in it, where the label is a column of the spine's own rows.

    Of a series (which may be its own feature) nothing is asked, nor of a spine that is predicted some time before its rows are known.
    """
    spine = features.spine
    if rules.coding.horizons or features.lead_time or not (label.table.name == spine.name or label.table.source == spine.source):
        return
    for column in label.columns:
        if column in rows[spine.name].column_names:
            _refuse_transforms_of(features, column, rows[spine.name].slice(0, ROWS_TRIED))
        for view in features.views:
            if view.table.name == spine.name and view.table.known == spine.event_time:
                _refuse_view_of(view, column)


def _refuse_transforms_of(features: FeatureSet, column: str, some: pa.Table) -> None:
    """Raise `LeakedLabel` for a transform whose values change, or that fails, where the label is not known."""
    import pyarrow as pa

    place = some.column_names.index(column)
    unknown = some.set_column(place, some.schema.field(column), pa.nulls(some.num_rows, some.schema.field(column).type))
    for transform in features.request:
        known = as_rows(transform.fields, transformed([transform], some), some.num_rows)
        try:
            changed = known.unequal(as_rows(transform.fields, transformed([transform], unknown), some.num_rows))
            names = [name for name, differs in zip(transform.features, np.atleast_1d(changed.any(axis=0)), strict=True) if differs]
        except BadTransform:
            names = list(transform.features)
        if names:
            how = f"request transform {transform.name!r} reads rows[{column!r}]"
            raise LeakedLabel(column, names[0], how, f"leave {names[0]!r} out of @nr.request_transform(…): no request can send it")


def _refuse_view_of(view: FeatureView, column: str) -> None:
    """Raise `LeakedLabel` for a view in which a row's own outcome counts at the time of the row."""
    named = re.compile(rf'(?<!\w)"?{re.escape(column)}"?(?!\w)')
    expressions = {**{name: a.expression for name, a in view.aggregate.items()}, **view.latest_expressions}
    for feature, expression in expressions.items():
        if named.search(expression):
            fix = f"say when {column!r} becomes known: put outcomes into a table whose event_time is when they came, and the view on it"
            raise LeakedLabel(
                column, feature, f"view {view.name!r} on {view.table.name!r}, whose rows are known at once, outcome included", fix
            )


def repeated_keys(table: Table, rows: pa.Table) -> str:
    """What is to be said of a spine in which most rows have the key of another; empty of others."""
    facts = len(rows.group_by(list(table.keys)).aggregate([])) if rows.num_rows else 0
    if not rows.num_rows or facts > MIN_FACTS * rows.num_rows:
        return ""
    named = ", ".join(table.keys)
    return f"only {facts:,} facts: rows with the same {named} are versions of one, of which the latest counts; is that the key?"


def check_transforms(features: FeatureSet, spine: pa.Table) -> None:
    """Raise `BadTransform` for a request transform that gives a row other values by itself than among others: serving asks for one row.

    Tried on the first rows of the spine.
    """
    some = spine.slice(0, ROWS_TRIED)
    for transform in features.request:
        together = as_rows(transform.fields, transformed([transform], some), some.num_rows)
        for i in range(some.num_rows):
            alone, among = as_rows(transform.fields, transformed([transform], some.slice(i, 1)), 1), together.part(i, i + 1)
            for place in np.flatnonzero(alone.unequal(among)[0]):
                name = transform.features[place]
                one, other = (_shown(rows.column(name)[0].as_py()) for rows in (alone, among))
                reason = f"{name} of row {i + 1} of {features.spine.name!r} is {one} alone and {other} in a batch"
                raise BadTransform(transform.name, f"{reason}: it must depend on its own row only, and be deterministic")


def _shown(value: Any) -> str:
    return "nan" if value is None else f"{value:g}" if isinstance(value, float) else repr(value)


def _empty_spine(view: FeatureView, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    fields = [pa.field(entity, schema.field(entity).type) for entity in view.entities]
    return pa.schema([*fields, pa.field(AT, pa.timestamp("us", tz="UTC"))]).empty_table()
