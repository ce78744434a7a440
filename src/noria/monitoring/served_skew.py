"""Training–serving skew of logged predictions: what each bundle was served, against what its own definitions give offline."""

from __future__ import annotations

from collections.abc import Sequence

from noria.data.ingest import stored
from noria.data.table import Table
from noria.features.feature_set import FeatureSet, RequestTransform
from noria.features.part import engine_at
from noria.features.skew import Served, Skew, measure_skew, skew_of_all
from noria.models.bundle import Bundle, open_bundle
from noria.models.own_features import OwnFeatures
from noria.models.own_set import own_set
from noria.serving.log.predictions import Predictions
from noria.stores.workspace import Workspace


def served_skew(own: OwnFeatures, rows: Predictions) -> Skew:
    """The skew of logged rows, those of each bundle against its own definitions; a transform whose code has changed since counts as it is
    now, for that is what skew is there to show. Raises as `OwnFeatures.of` does."""
    found = []
    for name in sorted(set(rows.bundle)):
        features = own.rewritten(name)
        served = _served(rows.of(name), own.stores.bundle(name), own.stores.workspace.settings.serving.redact)
        found.append(measure_skew(features.feature_set, features.engine_at(served.keys, served.at), served))
    return skew_of_all(found)


def logged_skew(
    workspace: Workspace, current: FeatureSet, tables: Sequence[Table], transforms: Sequence[RequestTransform], rows: Predictions
) -> Skew:
    """The same as `served_skew` of an endpoint that is not open."""
    found = []
    for name in sorted(set(rows.bundle)):
        bundle = open_bundle(workspace.bundles / name, workspace.files)
        own = own_set(bundle, current, tables, transforms, rewritten=True)
        served = _served(rows.of(name), bundle, workspace.settings.serving.redact)
        engine = engine_at(own, [stored(table, workspace.tables) for table in own.tables], served.keys, served.at)
        found.append(measure_skew(own, engine, served))
    return skew_of_all(found)


def _served(rows: Predictions, bundle: Bundle, redact: Sequence[str]) -> Served:
    return Served(rows.keys, rows.received_us, rows.inputs(bundle.signature), redact)
