"""Each bundle on its own features: as they were defined when it was sealed, for the facts that are predicted today.

A project changes its FeatureSet while an older bundle still answers: features are swapped, replaced, added, removed. So nothing here goes
by place. A bundle's features are computed from the definitions that it carries, and put into the order in which it reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from noria.core.clock import require_utc
from noria.core.errors import OurBug
from noria.core.ids import short
from noria.data.ingest import stored
from noria.data.rows import Rows
from noria.data.table import Table
from noria.features.compile import AT, KEY
from noria.features.facts import Facts
from noria.features.feature_set import FeatureSet, RequestTransform
from noria.features.fields import is_block, table_rows
from noria.features.offline import OfflineFeatures
from noria.features.sealed import LostDefinition
from noria.models.columns import definitions_of
from noria.models.endpoint_stores import EndpointStores
from noria.models.own_set import own_set


@dataclass
class OwnFeatures:
    """The offline features of an endpoint's bundles. tables, transforms: all that the project declares, among which a bundle's are found"""

    stores: EndpointStores
    facts: Facts
    tables: Sequence[Table]
    transforms: Sequence[RequestTransform]
    _opened: dict[str, OfflineFeatures] = field(default_factory=dict)

    def of(self, bundle_id: str) -> OfflineFeatures:
        """The rows of `facts.offline`, with what a bundle's own definitions give for them. Raises as `own_set` does, and `NotIngested`."""
        if bundle_id not in self._opened:
            own = self._set(bundle_id)
            self._opened[bundle_id] = self.facts.offline if own is self.facts.offline.feature_set else self._offline(own)
        return self._opened[bundle_id]

    def rewritten(self, bundle_id: str) -> OfflineFeatures:
        """The same; a transform whose code has changed since the bundle was sealed counts as it is now."""
        try:
            return self.of(bundle_id)
        except LostDefinition:
            return self._offline(self._set(bundle_id, rewritten=True))

    def inputs(self, bundle_id: str, rows: pa.Table) -> Rows:
        """What a bundle reads for rows of `facts.offline`. Raises as `of` does, and `SignatureMismatch` where the tables' types have
        changed since it was sealed."""
        own = self.of(bundle_id)
        if own is not self.facts.offline and rows.num_rows:
            span = pc.min_max(rows.column(AT)).as_py()
            theirs = own.rows(require_utc(span["min"]), require_utc(span["max"]) + timedelta(microseconds=1))
            rows = theirs.take(_same_facts(rows, theirs))
        return self._as_sealed(own, bundle_id, rows)

    def _as_sealed(self, own: OfflineFeatures, bundle_id: str, rows: pa.Table) -> Rows:
        inputs = self.stores.bundle(bundle_id).signature.inputs
        if is_block(inputs) and is_block(own.fields):
            return table_rows(inputs, rows)
        if not rows.num_rows:
            return Rows.unknown(inputs, 0)
        return table_rows(own.fields, rows).select(inputs, f"bundle {short(bundle_id)}")

    def sources(self, bundle_id: str) -> dict[str, str]:
        """The table that each input of a bundle comes from, each column of its profile, and each feature of the project; what a request
        gives comes from the spine."""
        found, projections = self._sources(bundle_id), self.stores.projections(bundle_id)
        columns = {} if projections is None else projections.inputs
        return found | {column: found[name] for column, name in columns.items() if name in found}

    def _sources(self, bundle_id: str) -> dict[str, str]:
        current, definitions = self.facts.offline.feature_set.sources, definitions_of(self.stores.bundle(bundle_id).manifest)
        if definitions is None:
            return current
        own = {name: definitions["spine"] for transform in definitions["request"].values() for name in transform["features"]}
        own |= {name: view["table"] for view in definitions["views"] for name in (*view["aggregate"], *view["latest"])}
        return current | own

    def _set(self, bundle_id: str, *, rewritten: bool = False) -> FeatureSet:
        bundle, current = self.stores.bundle(bundle_id), self.facts.offline.feature_set
        return own_set(bundle, current, self.tables, self.transforms, rewritten=rewritten)

    def _offline(self, own: FeatureSet) -> OfflineFeatures:
        there, workspace = self.facts.tables, self.stores.workspace
        held = self.facts.offline.held
        read = [there[t.name].of(t) if t.name in there else stored(t, workspace.tables, held=held) for t in own.tables]
        return OfflineFeatures(own, read, workspace.features, workspace.files)


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
