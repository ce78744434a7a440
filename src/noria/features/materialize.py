"""Materialisation: the online store is brought to a moment, by what has changed since the last time and nothing else.

A view's values at a tick differ from those at the tick before only for entities of which a version entered, was superseded
or left a window in between. Rows that came late, into a time that was materialised already, are found by comparing the two
versions of the table; the entities whose values they change are mended. Everything that is written is computed from the
tables, and the state moves last: a run that was killed is simply run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import from_epoch, microseconds, since_epoch
from noria.core.sql import connect, quoted
from noria.data.ingest import current, facts
from noria.data.table import Facts
from noria.features.compile import AT
from noria.features.online import Layout, OnlineFeatures, encoded, entity_keys, floored, state_record
from noria.features.point_in_time import PointInTime
from noria.features.versions import NEVER, Versions
from noria.features.view import FeatureView
from noria.stores.online import OnlineStore
from noria.stores.tables import DeltaTables

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 100_000  # entities that are written in one transaction


@dataclass(frozen=True)
class Materialized:
    """What one run did for a view: entities written because time went on, and entities mended because rows came late."""

    view: str
    through: datetime
    changed: int
    mended: int

    def to_dict(self) -> dict[str, Any]:
        return {"view": self.view, "through": self.through.isoformat(), "changed": self.changed, "mended": self.mended}


class Materializer:
    """Materialises views from the tables' newest versions, each table read once."""

    def __init__(self, store: OnlineStore, tables: DeltaTables) -> None:
        self._store, self._tables = store, tables
        self._engines: dict[str, tuple[Facts, PointInTime]] = {}

    def run(self, view: FeatureView, at: datetime) -> Materialized:
        """Bring a view to its last tick at or before `at`."""
        layout = Layout(view)
        read, engine = self._engine(view)
        state = OnlineFeatures(self._store, [view]).state(view)
        if state is None:  # never, or under another definition, whose records nobody reads any more
            self.forget(view)
            state = {"through": -NEVER, "version": None, "digest": "", "entities": 0, "keys": 0}
        done = int(state["through"])
        tick = max(floored(view, since_epoch(at)), done)
        if tick == done and state["digest"] == read.snapshot.digest:
            return Materialized(view.name, at, 0, 0)
        stale = self.stale(view)
        changed = _changed(view, engine.versions(view.table.name), done, tick)
        state = self._write(layout, engine, _union(changed, stale), tick, state)
        moved = {"through": tick, "version": read.snapshot.version, "digest": read.snapshot.digest}
        self._store.write([state_record(layout, {**state, **moved})])
        return Materialized(view.name, at, changed.num_rows, 0 if stale is None else stale.num_rows)

    def forget(self, view: FeatureView) -> None:
        """Remove everything that the store has of a view, under whatever definition."""
        for prefix in (f"{view.name}/", f"state/{view.name}/"):
            self._store.drop(prefix.encode())

    def stale(self, view: FeatureView) -> pa.Table | None:
        """The entities whose values in the store are no longer what the tables say of that moment; None if there are none.

        They are stale because rows came late: into a time that had been materialised before they arrived.
        """
        import pyarrow as pa

        state = OnlineFeatures(self._store, [view]).state(view)
        if state is None or state["version"] is None or state["digest"] == current(view.table, self._tables).digest:
            return None
        read, engine = self._engine(view)
        late = _late(view, self._tables, read, int(state["version"]), int(state["through"]))
        if late.num_rows == 0:
            return None
        tick = int(state["through"])
        _, expires, values = _computed(Layout(view), engine, late, tick)
        stored, stored_expires = self._stored(view, late, tick)
        differs = ((stored != values) & ~(np.isnan(stored) & np.isnan(values))).any(axis=1)
        if view.latest:  # what has expired by now has expired for good, whenever it did
            differs |= np.where(expires > tick, expires, 0) != np.where(stored_expires > tick, stored_expires, 0)
        found = late.filter(pa.array(differs))
        return found if found.num_rows else None

    def _stored(self, view: FeatureView, entities: pa.Table, tick: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """What the store serves for entities at a tick, and until when it serves their latest values."""
        keys = entity_keys([entities.column(e) for e in view.entities])
        [looked] = OnlineFeatures(self._store, [view]).read([keys], from_epoch(tick))
        return looked.values, looked.expires

    def _write(self, layout: Layout, engine: PointInTime, entities: pa.Table, tick: int, state: dict[str, Any]) -> dict[str, Any]:
        """Write entities' values at a tick; returns the state with the records that are new counted, as each write stored it."""
        for start in range(0, entities.num_rows, AT_ONCE):
            keys, expires, values = _computed(layout, engine, entities.slice(start, AT_ONCE), tick)
            records = encoded(layout, keys, tick, expires, values)
            there = self._store.read([name for name, _ in records])
            new = [name for (name, _), found in zip(records, there, strict=True) if found is None]
            total = reduce(xor, map(crc32, new), int(state["keys"]))
            state = {**state, "entities": int(state["entities"]) + len(new), "keys": total}
            self._store.write([*records, state_record(layout, state)])
        return state

    def _engine(self, view: FeatureView) -> tuple[Facts, PointInTime]:
        name = view.table.name
        if name not in self._engines:
            read = facts(view.table, self._tables)
            self._engines[name] = (read, PointInTime([read]))
        return self._engines[name]


def _changed(view: FeatureView, versions: Versions, since: int, until: int) -> pa.Table:
    """The distinct entities of which something entered, was superseded or left a window in (since, until]."""
    import pyarrow as pa

    moved = _within(versions.enter, since, until) | _within(versions.superseded, since, until)
    if since > -NEVER:
        for window in {microseconds(a.window) for a in view.aggregate.values()}:
            moved |= _within(versions.event + window, since, until) & (versions.enter <= until)
    return _entities(view, versions.rows.filter(pa.array(moved)))


def _within(times: NDArray[np.int64], since: int, until: int) -> NDArray[np.bool_]:
    return (times > since) & (times <= until)


def _late(view: FeatureView, tables: DeltaTables, read: Facts, version: int, through: int) -> pa.Table:
    """Entities that late rows could have changed: theirs, and those of the facts that they are versions of."""
    table = view.table
    before = tables.read(table.name, version)
    keys = ", ".join(quoted(k) for k in table.keys)
    entities = ", ".join(quoted(e) for e in view.entities)
    columns = ", ".join(quoted(c) for c in before.column_names)
    with connect() as con:
        con.register("now", read.rows)
        con.register("before", before)
        con.execute(
            f"CREATE TEMP TABLE late AS SELECT * FROM (SELECT {columns} FROM now EXCEPT SELECT {columns} FROM before) "
            f"WHERE epoch_us({quoted(table.known)}) <= {through}"
        )
        known = " AND ".join(f"{quoted(e)} IS NOT NULL" for e in view.entities)
        return con.sql(
            f"SELECT DISTINCT {entities} FROM (SELECT {entities} FROM late UNION ALL "
            f"SELECT {entities} FROM now WHERE ({keys}) IN (SELECT ({keys}) FROM late)) WHERE {known} ORDER BY ALL"
        ).to_arrow_table()


def _entities(view: FeatureView, rows: pa.Table) -> pa.Table:
    """The distinct entities of rows, in order; a key that is null names none."""
    distinct = rows.select(list(view.entities)).group_by(list(view.entities)).aggregate([]).drop_null()
    return distinct.sort_by([(entity, "ascending") for entity in view.entities])


def _union(one: pa.Table, other: pa.Table | None) -> pa.Table:
    if other is None:
        return one
    with connect() as con:
        con.register("one", one)
        con.register("other", other)
        return con.sql("SELECT * FROM one UNION SELECT * FROM other ORDER BY ALL").to_arrow_table()


def _computed(
    layout: Layout, engine: PointInTime, entities: pa.Table, tick: int
) -> tuple[list[bytes], NDArray[np.int64], NDArray[np.float32]]:
    """Keys, expiry and values `(entities, features)` of entities at a tick."""
    import pyarrow as pa

    view = layout.view
    moment = pa.array(np.full(entities.num_rows, tick), pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    spine = entities.append_column(AT, moment)
    columns = engine.join(spine, [view])
    values = np.column_stack([as_float32(columns.column(name)) for name in view.features])
    expires = np.full(entities.num_rows, NEVER)
    if view.latest:
        event = engine.latest_event(spine, view)
        expires = np.where(event == NEVER, 0, event + microseconds(view.latest_reach))
    keys = [key for key in entity_keys([entities.column(e) for e in view.entities]) if key is not None]
    return keys, expires, values


def as_float32(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of numbers as a model reads them: float32, NaN where null."""
    import pyarrow as pa

    return np.asarray(column.cast(pa.float32(), safe=False).to_numpy(), dtype=np.float32)
