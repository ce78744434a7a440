"""When the rows of a model's tables became known: found out once per data file, and kept in the catalog by the live loop."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from noria.core.calendar import Calendar
from noria.core.ids import canonical_json
from noria.data.known import FileTimes, KnownRows, Times
from noria.data.stored import StoredRows
from noria.features.facts import Facts
from noria.stores.catalog import Catalog
from noria.stores.known_rows import keep_files, known_files

MAX_KEPT = 100_000  # windows in one file: beyond them, reading what was kept would cost as much as the file


@dataclass(frozen=True)
class KnownTimes:
    """When the rows of each table became known, in the windows of a calendar. keep: whether what is found out is kept for other processes,
    which takes the catalog's lease"""

    facts: Facts
    calendar: Calendar
    catalog: Catalog
    keep: bool = False

    def of(self, table: str) -> KnownRows:
        """Those of a table. Only files of which that is not kept are read."""
        rows, known = self.facts.tables[table], self.facts.known(table, self.calendar)
        missing = set(rows.files) - set(known.files)
        if missing:
            known.files |= self._kept(rows, missing)
            fresh = known.bring_to(rows)
            if self.keep and self.catalog.leased:
                self._keep(rows, {path: times for path, times in fresh.items() if len(times.counts) <= MAX_KEPT})
        else:
            known.bring_to(rows)
        return known

    def ages(self, table: str, at_us: Times) -> Times:
        """How old the newest row of a table was that was known at these moments, in microseconds; where there was none, more than any."""
        return self.of(table).ages(self.facts.tables[table], at_us)

    def _kept(self, rows: StoredRows, files: Collection[str]) -> dict[str, FileTimes]:
        """What the catalog has of these files."""
        kept = known_files(self.catalog, rows.table.name, self._counted(rows), files)
        return {path: FileTimes.of(times) for path, times in kept.items()}

    def _keep(self, rows: StoredRows, fresh: dict[str, FileTimes]) -> None:
        """Keep what was found out of files, and nothing of files that are no more."""
        if fresh:
            with self.catalog.transaction() as c:
                found = {path: times.to_dict() for path, times in fresh.items()}
                keep_files(c, rows.table.name, self._counted(rows), found, there=rows.files)

    def _counted(self, rows: StoredRows) -> str:
        """What all that is kept depends on: by which columns, in which windows."""
        return canonical_json([rows.table.known, rows.table.event_time, str(self.calendar.tick), str(self.calendar.offset)])
