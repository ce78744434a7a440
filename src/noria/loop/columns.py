"""Each bundle on its own features: as they were defined when it was sealed, for the facts that are predicted today.

A project changes its FeatureSet while an older bundle still answers: features are swapped, replaced, added, removed. So nothing here goes
by place. A bundle's features are computed from the definitions that it carries, and put into the order in which it reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from noria.core.clock import require_utc
from noria.core.errors import OurBug
from noria.data.ingest import stored
from noria.data.table import Table
from noria.features.compile import AT, KEY
from noria.features.feature_set import FeatureSet, RequestTransform
from noria.features.offline import OfflineFeatures
from noria.features.part import engine_at
from noria.features.sealed import LostDefinition
from noria.features.skew import Served, Skew, measure_skew, skew_of_all
from noria.features.training_set import feature_matrix
from noria.loop.context import EndpointContext
from noria.loop.workspace import Workspace
from noria.models.bundle import Bundle, open_bundle
from noria.models.columns import definitions_of
from noria.models.own_set import own_set
from noria.serving.log.predictions import Predictions

Floats = NDArray[np.float32]


def own_features(context: EndpointContext, bundle_id: str) -> OfflineFeatures:
    """The offline features of a bundle: the rows of `context.facts.offline`, with what its own definitions give for them.

    Raises as `own_set` does, and `NotIngested`.
    """
    if bundle_id not in context.own_features:
        own = own_set(
            context.stores.bundle(bundle_id), context.facts.offline.feature_set, context.project.tables, context.project.transforms
        )
        context.own_features[bundle_id] = context.facts.offline if own is context.facts.offline.feature_set else _offline(context, own)
    return context.own_features[bundle_id]


def _offline(context: EndpointContext, own: FeatureSet) -> OfflineFeatures:
    there = context.facts.tables
    held = context.facts.offline.held
    read = [there[t.name].of(t) if t.name in there else stored(t, context.stores.workspace.tables, held=held) for t in own.tables]
    return OfflineFeatures(own, read, context.stores.workspace.features, context.stores.workspace.files)


def inputs_of(context: EndpointContext, bundle_id: str, rows: pa.Table) -> Floats:
    """What a bundle reads for rows of `context.facts.offline`, `(rows, inputs)` in its order. Raises as `own_features` does."""
    own, names = own_features(context, bundle_id), context.stores.bundle(bundle_id).features
    if own is context.facts.offline or not rows.num_rows:
        return feature_matrix(rows, names)
    span = pc.min_max(rows.column(AT)).as_py()
    theirs = own.rows(require_utc(span["min"]), require_utc(span["max"]) + timedelta(microseconds=1))
    return feature_matrix(theirs.take(_same_facts(rows, theirs)), names)


def _same_facts(rows: pa.Table, theirs: pa.Table) -> pa.Array:
    """Where each row stands in a table of the same facts."""
    if rows.column(KEY).equals(theirs.column(KEY)):
        return pa.array(np.arange(rows.num_rows))
    place = {key: i for i, key in enumerate(zip(theirs.column(KEY).to_pylist(), theirs.column(AT).to_pylist(), strict=True))}
    found = [place.get(key, -1) for key in zip(rows.column(KEY).to_pylist(), rows.column(AT).to_pylist(), strict=True)]
    if -1 in found:
        raise OurBug(
            what="the bundle's features are missing a row",
            where=f"key {rows.column(KEY)[found.index(-1)]}",
            fix="please report this with the output of `noria check --json`",
        )
    return pa.array(found)


def sources_of(context: EndpointContext, bundle_id: str) -> dict[str, str]:
    """The table that each input of a bundle comes from, and each feature of the project; what a request gives comes from the spine."""
    definitions = definitions_of(context.stores.bundle(bundle_id).manifest)
    if definitions is None:
        return context.source_of
    own = {name: definitions["spine"] for transform in definitions["request"].values() for name in transform["features"]}
    own |= {name: view["table"] for view in definitions["views"] for name in (*view["aggregate"], *view["latest"])}
    return context.source_of | own


def served_skew(context: EndpointContext, rows: Predictions) -> Skew:
    """The skew of logged rows, those of each bundle against its own definitions; a transform whose code has changed since counts as it is
    now, for that is what skew is there to show. Raises as `own_features` does."""
    redact = context.stores.workspace.settings.serving.redact
    found = []
    for name in sorted(set(rows.bundle)):
        own, bundle = _features_now(context, name), context.stores.bundle(name)
        served = _served(rows.of(name), bundle, redact)
        found.append(measure_skew(own.feature_set, own.engine_at(served.keys, served.at), served))
    return skew_of_all(found)


def _features_now(context: EndpointContext, bundle_id: str) -> OfflineFeatures:
    try:
        return own_features(context, bundle_id)
    except LostDefinition:
        declared = context.project.tables, context.project.transforms
        return _offline(context, own_set(context.stores.bundle(bundle_id), context.facts.offline.feature_set, *declared, rewritten=True))


def logged_skew(
    workspace: Workspace, current: FeatureSet, tables: Sequence[Table], transforms: Sequence[RequestTransform], rows: Predictions
) -> Skew:
    """The same as `served_skew` of an endpoint of which no context is open."""
    found = []
    for name in sorted(set(rows.bundle)):
        bundle = open_bundle(workspace.bundles / name, workspace.files)
        own = own_set(bundle, current, tables, transforms, rewritten=True)
        served = _served(rows.of(name), bundle, workspace.settings.serving.redact)
        engine = engine_at(own, [stored(table, workspace.tables) for table in own.tables], served.keys, served.at)
        found.append(measure_skew(own, engine, served))
    return skew_of_all(found)


def _served(rows: Predictions, bundle: Bundle, redact: Sequence[str]) -> Served:
    values = rows.inputs(bundle.signature).block.astype(np.float32, copy=False)
    return Served(rows.keys, rows.received_us, values, redact, bundle.features)
