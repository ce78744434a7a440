"""The facts that an endpoint lives on: one version of each of its tables, of which only that is read which is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from noria.data.ingest import current, stored
from noria.data.known import KnownRows
from noria.data.stored import StoredRows
from noria.features.label import Outcomes
from noria.features.offline import OfflineFeatures
from noria.loop.workspace import Workspace
from noria.monitoring.calendar import Calendar
from noria.release.endpoint import Endpoint


@dataclass
class Facts:
    """The features and the outcomes of one endpoint, from one version of each table."""

    offline: OfflineFeatures
    outcomes: Outcomes
    tables: dict[str, StoredRows]
    _known: dict[tuple[object, ...], KnownRows] = field(default_factory=dict)

    @staticmethod
    def read(workspace: Workspace, endpoint: Endpoint, before: Facts | None = None, *, held: bool = False) -> Facts:
        """The current version of every table the endpoint's model reads. Raises `NotIngested`.

        before: what was there last time, taken again where nothing is new since; held: whether a table is read whole and kept in memory
        once something is asked of it, for those who ask of all its history
        """
        if before is not None and before.hold(workspace, endpoint):
            return before
        model = endpoint.model
        declared = {table.name: table for table in [*model.features.tables, model.label.table]}
        tables = {name: stored(table, workspace.tables, held=held) for name, table in declared.items()}
        offline = OfflineFeatures(model.features, [tables[t.name] for t in model.features.tables], workspace.features, workspace.files)
        outcomes = Outcomes(tables[model.label.table.name], model.label, tables[model.features.spine.name])
        return Facts(offline, outcomes, tables, {} if before is None else before._known)

    def hold(self, workspace: Workspace, endpoint: Endpoint) -> bool:
        """Whether a new look would find the same: no table has a newer version, and what is read of them is declared as before."""
        model, label = endpoint.model, endpoint.model.label
        declared = {table.name: table for table in [*model.features.tables, label.table]}
        if label != self.outcomes.label or model.features.definition_hash() != self.offline.feature_set.definition_hash():
            return False
        if declared != {name: f.table for name, f in self.tables.items()}:
            return False
        return all(f.snapshot == current(f.table, workspace.tables) for f in self.tables.values())

    def known(self, table: str, calendar: Calendar) -> KnownRows:
        """When the rows of a table became known, by the windows of a calendar, as far as that was found out: see `loop.known_rows`."""
        rows, tick = self.tables[table], calendar.tick
        assert tick is not None, "windows by count follow no clock"
        key = (table, rows.table.known, rows.table.event_time, tick, calendar.offset)
        return self._known.setdefault(key, KnownRows(tick, calendar.offset))
