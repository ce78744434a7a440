"""When the rows of an endpoint's tables became known: found out once per data file, and kept in the catalog by the live loop."""

from __future__ import annotations

from collections.abc import Collection

from noria.core.ids import canonical_json
from noria.data.known import FileTimes, KnownRows, Times
from noria.data.stored import StoredRows
from noria.loop.context import EndpointContext
from noria.stores.known_rows import keep_files, known_files

MAX_KEPT = 100_000  # windows in one file: beyond them, reading what was kept would cost as much as the file


def known_rows(context: EndpointContext, table: str) -> KnownRows:
    """When the rows of a table became known, in the endpoint's windows. Only files of which that is not kept are read."""
    rows, known = context.facts.tables[table], context.facts.known(table, context.grid.calendar)
    missing = set(rows.files) - set(known.files)
    if missing:
        known.files |= _kept(context, rows, missing)
        fresh = known.bring_to(rows)
        if context.live and context.stores.catalog.leased:
            _keep(context, rows, {path: times for path, times in fresh.items() if len(times.counts) <= MAX_KEPT})
    else:
        known.bring_to(rows)
    return known


def ages(context: EndpointContext, table: str, at_us: Times) -> Times:
    """How old the newest row of a table was that was known at these moments, in microseconds; where there was none, more than any."""
    return known_rows(context, table).ages(context.facts.tables[table], at_us)


def _kept(context: EndpointContext, rows: StoredRows, files: Collection[str]) -> dict[str, FileTimes]:
    """What the catalog has of these files."""
    kept = known_files(context.stores.catalog, rows.table.name, _counted(context, rows), files)
    return {path: FileTimes.of(times) for path, times in kept.items()}


def _keep(context: EndpointContext, rows: StoredRows, fresh: dict[str, FileTimes]) -> None:
    """Keep what was found out of files, and nothing of files that are no more."""
    if fresh:
        with context.stores.catalog.transaction() as c:
            found = {path: times.to_dict() for path, times in fresh.items()}
            keep_files(c, rows.table.name, _counted(context, rows), found, there=rows.files)


def _counted(context: EndpointContext, rows: StoredRows) -> str:
    """What all that is kept depends on: by which columns, in which windows."""
    calendar = context.grid.calendar
    return canonical_json([rows.table.known, rows.table.event_time, str(calendar.tick), str(calendar.offset)])
