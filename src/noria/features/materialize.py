"""Materialisation: the online store is brought to a moment, by what has changed since the last time and nothing else.

A view's values at a tick differ from those at the tick before only for entities of which a version entered, was superseded
or left a window in between. Rows that came late, into a time that was materialised already, are found by comparing the two
versions of the table; the entities whose values they change are recomputed. Everything that is written is computed from the
tables, and the state moves last: a run that was killed is simply run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import from_epoch, microseconds, since_epoch
from noria.core.sql import connect
from noria.data.ingest import current, facts
from noria.data.rows import Rows
from noria.data.table import SnapshotRows
from noria.features.compile import AT
from noria.features.fields import as_rows, column_of
from noria.features.keys import without_nan
from noria.features.online import Layout, OnlineFeatures, encoded, entity_keys, floored, state_record
from noria.features.point_in_time import PointInTime
from noria.features.versions import NEVER, Versions
from noria.features.view import FeatureView
from noria.stores.online import OnlineStore
from noria.stores.tables import DamagedTable, DeltaTables

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 100_000  # entities that are written in one transaction


@dataclass(frozen=True)
class Materialized:
    """What one run did for a view: entities written because time went on, and entities recomputed because rows came late."""

    view: str
    through: datetime
    changed: int
    recomputed: int

    def to_dict(self) -> dict[str, Any]:
        return {"view": self.view, "through": self.through.isoformat(), "changed": self.changed, "recomputed": self.recomputed}


class Materializer:
    """Materialises views from the tables' newest versions, each table read once."""

    def __init__(self, store: OnlineStore, tables: DeltaTables) -> None:
        self._store, self._tables = store, tables
        self._engines: dict[str, tuple[SnapshotRows, PointInTime]] = {}

    def run(self, view: FeatureView, at: datetime) -> Materialized:
        """Bring a view to its last tick at or before `at`; a store that is further stays where it is, and says where."""
        state = OnlineFeatures(self._store, [view]).state(view)
        if state is None or not self._continues(view, state):  # never, under another definition, or from a table that is no more
            state = self._afresh(view)
        done = int(state["through"])
        tick = max(floored(view, since_epoch(at)), done)
        if tick == done and state["digest"] == current(view.table, self._tables).digest:
            return Materialized(view.name, from_epoch(tick), 0, 0)
        read, engine = self._engine(view)
        layout = Layout.of(view, engine.bind(view).fields)
        if layout != Layout.told(view, state):  # never yet, or the table's columns have other types by now
            state = self._afresh(view) | layout.state
            done, tick = int(state["through"]), floored(view, since_epoch(at))
        stale = self.stale(view)
        changed = _changed(view, engine.versions(view.table.name), done, tick)
        state = self._write(layout, engine, _union(view, changed, stale), tick, state)
        moved = {"through": tick, "version": read.snapshot.version, "digest": read.snapshot.digest}
        self._store.write([state_record(layout, {**state, **moved})])
        return Materialized(view.name, from_epoch(tick), changed.num_rows, 0 if stale is None else stale.num_rows)

    def _afresh(self, view: FeatureView) -> dict[str, Any]:
        """The state of a view of which the store has nothing any more."""
        self.forget(view)
        return {"through": -NEVER, "version": None, "digest": "", "entities": 0, "keys": 0}

    def forget(self, view: FeatureView) -> None:
        """Remove everything that the store has of a view, under whatever definition."""
        for prefix in (f"{view.name}/", f"state/{view.name}/"):
            self._store.drop(prefix.encode())

    def _continues(self, view: FeatureView, state: Mapping[str, Any]) -> bool:
        """Whether the table still has the history that a state was made from: it may have been removed and ingested anew."""
        version, newest = state["version"], current(view.table, self._tables)
        if version is None:
            return True
        return version <= newest.version and bool(current(view.table, self._tables, version).digest == state["digest"])

    def stale(self, view: FeatureView) -> pa.Table | None:
        """The entities whose values in the store are no longer what the tables say of that moment; None if there are none.

        They are stale because rows came late: into a time that had been materialised before they arrived.
        """
        import pyarrow as pa

        state = OnlineFeatures(self._store, [view]).state(view)
        if state is None or state["version"] is None or state["digest"] == current(view.table, self._tables).digest:
            return None
        read, engine = self._engine(view)
        tick = int(state["through"])
        before = self._before(view, int(state["version"])) if self._continues(view, state) else None
        late = _late(view, read.rows, before, tick)
        differs = pa.chunked_array([self._differs(view, engine, part, tick) for part in _parts(late)], pa.bool_())
        found = late.filter(differs.combine_chunks())
        return found if found.num_rows else None

    def _before(self, view: FeatureView, version: int) -> pa.Table | None:
        """The rows of an earlier version; None where compaction has removed its files. Raises `DamagedTable` for one that is damaged."""
        try:
            return facts(view.table, self._tables, version).rows
        except DamagedTable as error:
            if error.path.exists():
                raise
            return None

    def _differs(self, view: FeatureView, engine: PointInTime, entities: pa.Table, tick: int) -> pa.Array:
        """Of which entities the store's values at a tick are not those of the tables, `(entities,)`."""
        import pyarrow as pa

        _, expires, values = _computed(view, engine, entities, tick)
        stored, stored_expires = self._stored(view, entities, tick)
        if stored.fields != values.fields:  # the table's columns have other types by now
            return pa.array(np.ones(entities.num_rows, np.bool_))
        differs = stored.unequal(values).any(axis=1)
        if view.latest:  # what has expired by now has expired for good, whenever it did
            differs |= np.where(expires > tick, expires, 0) != np.where(stored_expires > tick, stored_expires, 0)
        return pa.array(differs)

    def _stored(self, view: FeatureView, entities: pa.Table, tick: int) -> tuple[Rows, NDArray[np.int64]]:
        """What the store serves for entities at a tick, and until when it serves their latest values."""
        keys = entity_keys(entities, view.entities)
        [looked] = OnlineFeatures(self._store, [view]).read([keys], from_epoch(tick))
        return looked.values, looked.expires

    def _write(self, layout: Layout, engine: PointInTime, entities: pa.Table, tick: int, state: dict[str, Any]) -> dict[str, Any]:
        """Write entities' values at a tick; returns the state with the records that are new counted, as each write stored it."""
        for part in _parts(entities):
            keys, expires, values = _computed(layout.view, engine, part, tick)
            records = encoded(layout, keys, tick, expires, values)
            there = self._store.read([name for name, _ in records])
            new = [name for (name, _), found in zip(records, there, strict=True) if found is None]
            total = reduce(xor, map(crc32, new), int(state["keys"]))
            state = {**state, "entities": int(state["entities"]) + len(new), "keys": total}
            self._store.write([*records, state_record(layout, state)])
        return state

    def _engine(self, view: FeatureView) -> tuple[SnapshotRows, PointInTime]:
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
        for window in {view.width(a) for a in view.aggregate.values()}:
            moved |= _within(versions.event + window, since, until) & (versions.enter <= until)
    return _entities(view, versions.rows.filter(pa.array(moved)))


def _within(times: NDArray[np.int64], since: int, until: int) -> NDArray[np.bool_]:
    return (times > since) & (times <= until)


def _late(view: FeatureView, now: pa.Table, before: pa.Table | None, through: int) -> pa.Table:
    """Entities that rows could have changed which came after `before`, into the time `through` which the store is: theirs, and
    those of the facts that they are versions of. Where it is not known what was there before, every row could be such a one."""
    table = view.table
    columns = now.column_names if before is None else before.column_names
    named = {column: f"c{i}" for i, column in enumerate(columns)}  # whatever the columns' names are, SQL can tell them apart
    keys = ", ".join(named[key] for key in table.keys)
    entities = ", ".join(named[entity] for entity in view.entities) or "true"
    known = f"WHERE epoch_us({named[table.known]}) <= {through}"
    late = f"SELECT * FROM now {known}"
    with connect() as con:
        con.register("now", now.select(columns).rename_columns(list(named.values())))
        if before is not None:
            con.register("before", before.rename_columns(list(named.values())))
            if con.sql(f"SELECT (SELECT count(*) FROM now {known}) = (SELECT count(*) FROM before {known})").fetchall() == [(True,)]:
                late = "SELECT * FROM now LIMIT 0"  # rows are only ever added, so that none is late
            else:  # a row that came again is one: it may be the last of its key once more
                late = f"SELECT * FROM now {known} EXCEPT ALL SELECT * FROM before {known}"
        con.execute(f"CREATE TEMP TABLE late AS {late}")
        found = con.sql(
            f"SELECT {entities} FROM late UNION ALL SELECT {entities} FROM now WHERE ({keys}) IN (SELECT ({keys}) FROM late)"
        ).to_arrow_table()
    return _entities(view, found.rename_columns(list(view.entities)) if view.entities else found)


def _entities(view: FeatureView, rows: pa.Table) -> pa.Table:
    """The distinct entities of rows, in order; a key with a part that is null or NaN names none.

    Of a view without an entity, any row stands for the one entity, which is everything.
    """
    if not view.entities:
        return rows.select([]).slice(0, min(1, rows.num_rows))
    known = without_nan(rows.select(list(view.entities)))
    distinct = known.group_by(list(view.entities)).aggregate([]).drop_null()
    return distinct.sort_by([(entity, "ascending") for entity in view.entities])


def _parts(entities: pa.Table) -> Iterator[pa.Table]:
    """The entities, `AT_ONCE` at a time."""
    for start in range(0, entities.num_rows, AT_ONCE):
        yield entities.slice(start, min(AT_ONCE, entities.num_rows - start))  # without columns, a slice is as long as it is asked to be


def _union(view: FeatureView, one: pa.Table, other: pa.Table | None) -> pa.Table:
    import pyarrow as pa

    if other is None or not view.entities:
        return one if other is None or one.num_rows else other
    return _entities(view, pa.concat_tables([one, other.cast(one.schema)]))


def _computed(view: FeatureView, engine: PointInTime, entities: pa.Table, tick: int) -> tuple[list[bytes], NDArray[np.int64], Rows]:
    """Keys, expiry and values of entities at a tick."""
    import pyarrow as pa

    moment = pa.array(np.full(entities.num_rows, tick), pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    spine = entities.append_column(AT, moment)
    fields, joined = engine.bind(view).fields, engine.join(spine, [view])
    values = as_rows(fields, {field.name: column_of(field, joined.column(field.name)) for field in fields}, entities.num_rows)
    expires = np.full(entities.num_rows, NEVER)
    if view.latest:
        event = engine.latest_event(spine, view)
        expires = np.where(event == NEVER, 0, event + microseconds(view.latest_reach))
    keys = [key for key in entity_keys(entities, view.entities) if key is not None]
    return keys, expires, values
