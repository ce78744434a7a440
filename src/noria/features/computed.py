"""The features of spine rows: joined and transformed. Training, replays, skew and live checks all compute them here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from noria.core.ids import digest
from noria.data.rows import Fields
from noria.data.table import Snapshot, SnapshotRows
from noria.features.feature_set import FeatureSet, transformed
from noria.features.fields import Column, column_of
from noria.features.point_in_time import PointInTime

if TYPE_CHECKING:
    import pyarrow as pa


def computed(features: FeatureSet, engine: PointInTime, spine: pa.Table) -> dict[str, Column]:
    """Every feature of spine rows by name, as known at their `_at`: `(rows,)` float32, NaN where unknown, or an Arrow array in the type of
    its own that the view or the transform gives it. Raises `BadTransform`."""
    values = engine.join(spine, features.views)
    joined = {f.name: column_of(f, values.column(f.name)) for view in features.views for f in engine.bind(view).fields}
    return joined | transformed(features.request, spine)


def fields_on(features: FeatureSet, engine: PointInTime) -> Fields:
    """The features as fields, in the set's order, as an engine's tables have them."""
    views = [field for view in features.views for field in engine.bind(view).fields]
    return (*views, *(field for transform in features.request for field in transform.fields))


_FOUND: dict[str, Fields] = {}  # by definition and schemas: the same set is opened again and again


def fields_of(features: FeatureSet, schemas: Mapping[str, pa.Schema]) -> Fields:
    """The typed inputs of a model that reads a feature set: its features as fields, in its order. schemas: of its tables, by name.

    Raises `UnknownColumn`, `NotRowWise`, `NotANumber`, `NoFeatureType` or `ViewFailed`.
    """
    read = {view.table.name: view.table for view in features.views}
    known = digest(
        [features.definition_hash(), list(features.features), {name: schemas[name].serialize().to_pybytes().hex() for name in read}]
    )
    if known not in _FOUND:
        empty = [SnapshotRows(t, Snapshot(name, 0, "", 0), schemas[name].empty_table()) for name, t in read.items()]
        _FOUND[known] = fields_on(features, PointInTime(empty))
    return _FOUND[known]
