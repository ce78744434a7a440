"""The facts that an endpoint lives on: the rows of its tables, in one version of each. Read once, and kept while nothing is new."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from noria.data.ingest import current, facts
from noria.data.table import SnapshotRows, microseconds_of
from noria.features.label import Outcomes
from noria.features.offline import OfflineFeatures
from noria.loop.workspace import Workspace
from noria.release.endpoint import Endpoint

Times = NDArray[np.int64]  # microseconds since 1970-01-01 UTC


@dataclass
class Facts:
    """The features and the outcomes of one endpoint, from one version of each table."""

    offline: OfflineFeatures
    outcomes: Outcomes
    _newest: dict[str, tuple[Times, Times]] = field(default_factory=dict)

    @staticmethod
    def read(workspace: Workspace, endpoint: Endpoint, before: Facts | None = None) -> Facts:
        """The current version of every table the endpoint's model reads; before: what was read last time, taken again where nothing is
        new since. Raises `NotIngested`."""
        if before is not None and before.hold(workspace, endpoint):
            return before
        model = endpoint.model
        known = [facts(table, workspace.tables) for table in model.features.tables]
        offline = OfflineFeatures(model.features, known, workspace.features, workspace.files)
        return Facts(offline, Outcomes(facts(model.label.table, workspace.tables), model.label, known[0]))

    def hold(self, workspace: Workspace, endpoint: Endpoint) -> bool:
        """Whether a new look would find the same: no table has a newer version, and what is read of them is declared as before."""
        model, label = endpoint.model, endpoint.model.label
        declared = [*model.features.tables, label.table]
        if label != self.outcomes.label or model.features.definition_hash() != self.offline.feature_set.definition_hash():
            return False
        if declared != [f.table for f in self._all]:
            return False
        return all(f.snapshot == current(f.table, workspace.tables) for f in self._all)

    @property
    def _all(self) -> list[SnapshotRows]:
        return [*self.offline.facts, self.outcomes.facts]

    @cached_property
    def tables(self) -> dict[str, SnapshotRows]:
        """Every table, by its name."""
        return {f.table.name: f for f in self._all}

    @cached_property
    def known_times(self) -> dict[str, Times]:
        """Of every table, when its rows became known, rising."""
        return {name: np.sort(microseconds_of(f.rows.column(f.table.known))) for name, f in self.tables.items()}

    def ages(self, table: str, at_us: Times) -> Times:
        """How old the newest row of a table was that was known at these moments, in microseconds; where there was none, more than any."""
        known, newest = self._newest_known(table)
        ages, place = np.full(len(at_us), np.iinfo(np.int64).max), known.searchsorted(at_us, side="right") - 1
        some = place >= 0
        ages[some] = at_us[some] - newest[place[some]]
        return ages

    def _newest_known(self, table: str) -> tuple[Times, Times]:
        """When a table's rows became known, rising, and the newest event that was known then."""
        if table not in self._newest:
            f = self.tables[table]
            known, event = (microseconds_of(f.rows.column(name)) for name in (f.table.known, f.table.event_time))
            order = np.argsort(known, kind="stable")
            self._newest[table] = known[order], np.maximum.accumulate(event[order])
        return self._newest[table]
