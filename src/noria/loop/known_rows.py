"""When the rows of an endpoint's tables became known: found out once per data file, and kept in the catalog by the live loop."""

from __future__ import annotations

import json
from collections.abc import Collection

import sqlalchemy as sa

from noria.core.ids import canonical_json
from noria.data.known import FileTimes, KnownRows, Times
from noria.data.stored import StoredRows
from noria.loop.world import World
from noria.stores import catalog as db

MAX_KEPT = 100_000  # windows in one file: beyond them, reading what was kept would cost as much as the file


def known_rows(world: World, table: str) -> KnownRows:
    """When the rows of a table became known, in the endpoint's windows. Only files of which that is not kept are read."""
    rows, known = world.facts.tables[table], world.facts.known(table, world.grid.calendar)
    missing = set(rows.files) - set(known.files)
    if missing:
        known.files |= _kept(world, rows, missing)
        fresh = known.bring_to(rows)
        if world.live and world.catalog.leased:
            _keep(world, rows, {path: times for path, times in fresh.items() if len(times.counts) <= MAX_KEPT})
    else:
        known.bring_to(rows)
    return known


def ages(world: World, table: str, at_us: Times) -> Times:
    """How old the newest row of a table was that was known at these moments, in microseconds; where there was none, more than any."""
    return known_rows(world, table).ages(world.facts.tables[table], at_us)


def _kept(world: World, rows: StoredRows, files: Collection[str]) -> dict[str, FileTimes]:
    """What the catalog has of these files."""
    kept = world.catalog.rows(sa.select(db.known_rows).where(_of_table(rows), db.known_rows.c.counted == _counted(world, rows)))
    found = {row.file.removeprefix(_prefix(rows)): row.times for row in kept}
    return {path: FileTimes.of(json.loads(found[path])) for path in files if path in found}


def _keep(world: World, rows: StoredRows, fresh: dict[str, FileTimes]) -> None:
    """Keep what was found out of files, and nothing of files that are no more."""
    if not fresh:
        return
    there = [_prefix(rows) + path for path in rows.files]
    with world.catalog.transaction() as c:
        c.execute(sa.delete(db.known_rows).where(_of_table(rows), db.known_rows.c.file.not_in(there)))
        told = [
            {"file": _prefix(rows) + path, "counted": _counted(world, rows), "times": canonical_json(times.to_dict())}
            for path, times in fresh.items()
        ]
        c.execute(sa.insert(db.known_rows), told)


def _of_table(rows: StoredRows) -> sa.ColumnElement[bool]:
    return db.known_rows.c.file.startswith(_prefix(rows), autoescape=True)


def _prefix(rows: StoredRows) -> str:
    return f"{rows.table.name}/"


def _counted(world: World, rows: StoredRows) -> str:
    """What all that is kept depends on: by which columns, in which windows."""
    calendar = world.grid.calendar
    return canonical_json([rows.table.known, rows.table.event_time, str(calendar.tick), str(calendar.offset)])
