"""The facts that a model lives on: one version of each of its tables, of which only that is read which is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from noria.core.calendar import Calendar
from noria.data.ingest import current, stored
from noria.data.known import KnownRows
from noria.data.stored import StoredRows
from noria.data.table import Table
from noria.features.feature_set import FeatureSet
from noria.features.label import Coding, Label
from noria.features.offline import OfflineFeatures
from noria.features.outcomes import Outcomes
from noria.stores.workspace import Workspace


@dataclass
class Facts:
    """The features and the outcomes of one model, from one version of each table."""

    offline: OfflineFeatures
    outcomes: Outcomes
    tables: dict[str, StoredRows]
    _known: dict[tuple[object, ...], KnownRows] = field(default_factory=dict)

    @staticmethod
    def read(
        workspace: Workspace,
        features: FeatureSet,
        label: Label,
        coding: Coding,
        before: Facts | None = None,
        *,
        others: Sequence[Table] = (),
        held: bool = False,
    ) -> Facts:
        """The current version of every table that a model reads. Raises `NotIngested`.

        others: tables that it is built from, such as a corpus; before: what was there last time, taken again where nothing is new since;
        held: whether a table is read whole and kept in memory once something is asked of it, for those who ask of all its history
        """
        if before is not None and before.hold(workspace, features, label, coding, others):
            return before
        declared = {table.name: table for table in [*features.tables, label.table, *others]}
        tables = {name: stored(table, workspace.tables, held=held) for name, table in declared.items()}
        offline = OfflineFeatures(features, [tables[t.name] for t in features.tables], workspace.features, workspace.files)
        outcomes = Outcomes(tables[label.table.name], label, tables[features.spine.name], coding)
        return Facts(offline, outcomes, tables, {} if before is None else before._known)

    def hold(self, workspace: Workspace, features: FeatureSet, label: Label, coding: Coding, others: Sequence[Table] = ()) -> bool:
        """Whether a new look would find the same: no table has a newer version, and what is read of them is declared as before."""
        declared = {table.name: table for table in [*features.tables, label.table, *others]}
        if (label, coding) != (
            self.outcomes.label,
            self.outcomes.coding,
        ) or features.definition_hash() != self.offline.feature_set.definition_hash():
            return False
        if declared != {name: f.table for name, f in self.tables.items()}:
            return False
        return all(f.snapshot == current(f.table, workspace.tables) for f in self.tables.values())

    def known(self, table: str, calendar: Calendar) -> KnownRows:
        """When the rows of a table became known, by the windows of a calendar, as far as that was found out: see `features.known_rows`."""
        rows, tick = self.tables[table], calendar.tick
        assert tick is not None, "windows by count follow no clock"
        key = (table, rows.table.known, rows.table.event_time, tick, calendar.offset)
        return self._known.setdefault(key, KnownRows(tick, calendar.offset))
