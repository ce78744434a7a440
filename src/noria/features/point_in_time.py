"""The point-in-time join on DuckDB: for any spine, the values that were known at each row's time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration, microseconds, since_epoch
from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.sql import connect, quoted
from noria.data.contract import UnknownColumn
from noria.data.table import Facts, Table, microseconds_of
from noria.features import compile
from noria.features.compile import AT, KEY, Relations
from noria.features.versions import NEVER, Microseconds, Versions, versions_of
from noria.features.view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa


WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
GATHERERS = 4
QUERIES, QUESTIONABLE = "_queries", "_questionable"


class ViewFailed(UserMistake):
    """The engine refused a view's SQL."""

    code = "NR-211"

    def __init__(self, view: str, reason: str) -> None:
        self.view = view
        super().__init__(
            what=f"feature view {view!r} can't be computed",
            where=reason.strip().splitlines()[0],
            mend="correct the expression in the view's declaration",
        )


@dataclass(frozen=True)
class _Asked:
    """What a view is asked: one query per distinct entity and tick. `query_of` is the query of each spine row."""

    queries: pa.Table
    query_of: NDArray[np.int64] | None

    def spread(self, column: pa.ChunkedArray, order: NDArray[np.int64]) -> pa.ChunkedArray:
        """A result per query (in the order `_q` = `order`) as a value per spine row."""
        import pyarrow as pa

        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return column.take(pa.array(place if self.query_of is None else place[self.query_of]))


class PointInTime:
    """Facts of several tables, prepared once as versions, and joined to any number of spines.

    Whether a version had entered by a row's time is part of every join, so the facts may reach beyond any spine: what was
    not known at a row's time can't change its values.
    """

    def __init__(self, facts: Sequence[Facts]) -> None:
        self._con = connect()
        self._versions: dict[str, Versions] = {f.table.name: versions_of(f, self._con) for f in facts}
        for name, versions in self._versions.items():
            self._con.register(name, versions.relation)

    def spine(self, table: Table, lead: timedelta, start: datetime, end: datetime) -> pa.Table:
        """The facts to predict, `lead` before they happen, for prediction times in [start, end), as known at those times.

        The table's columns, `_at` (prediction time) and `_key` (the key as one text), in order of time and key.
        """
        keys = ", ".join(quoted(k) for k in table.keys)
        versions = self._versions[table.name]
        at = versions.event - microseconds(lead)
        asked = (at >= since_epoch(start)) & (at < since_epoch(end)) & (versions.known <= at) & (versions.superseded > at)
        self._con.register("_asked", _filter(versions.rows, asked).append_column(AT, _timestamps(at[asked])))
        found = self._con.sql(f"SELECT *, {compile.key_sql(table.keys)} AS {KEY} FROM _asked ORDER BY {AT}, {keys}").to_arrow_table()
        self._con.unregister("_asked")
        return found

    def join(self, spine: pa.Table, views: Sequence[FeatureView]) -> pa.Table:
        """The values of `views` at each row's `_at`, as columns in the order of the views; one row per spine row.

        spine: has `_at` (timestamp, UTC) and the entity columns of every view
        """
        import pyarrow as pa

        columns: dict[str, pa.ChunkedArray] = {}
        for view in views:
            self._check(view, spine)
            values = self._values(view, spine)
            for name in view.features:
                Balance(f"join {view.name}", spine.num_rows, {"rows": len(values[name])}).checked()
            columns |= {name: values[name] for name in view.features}
        return pa.table(columns)

    def versions(self, table: str) -> Versions:
        """The versions of a table that the values come from."""
        return self._versions[table]

    def latest_event(self, spine: pa.Table, view: FeatureView) -> Microseconds:
        """When the fact happened that gives each row its latest values (microseconds), `NEVER` where there is none."""
        asked = self._ask(view, spine)
        self._con.register(QUERIES, asked.queries)
        versions = self._versions[view.table.name]
        rank = self._latest_rank(view, versions, asked.queries)
        place = rank if asked.query_of is None else rank[asked.query_of]
        return np.where(place >= 0, versions.event[place], NEVER) if len(versions) else np.full(spine.num_rows, NEVER)

    def _values(self, view: FeatureView, spine: pa.Table) -> dict[str, pa.ChunkedArray]:
        import duckdb

        try:
            asked = self._ask(view, spine)
            self._con.register(QUERIES, asked.queries)
            found = {**self._sums(view, asked), **self._matches(view, asked)}
            return found | (self._latest(view, asked) if view.latest else {})
        except duckdb.Error as error:
            raise ViewFailed(view.name, str(error)) from error

    def _ask(self, view: FeatureView, spine: pa.Table) -> _Asked:
        """The queries of a view: equal entities at equal ticks are asked once."""
        import pyarrow as pa

        keys = compile.query_keys(view)
        columns = {key: spine.column(entity) for key, entity in zip(keys, view.entities, strict=True)}
        at = microseconds_of(spine.column(AT))
        if view.freshness is None:
            return _Asked(pa.table({**columns, "_t": at, "_q": np.arange(spine.num_rows)}), None)
        step = microseconds(duration(view.freshness))
        self._con.register("_spine", pa.table({**columns, "_t": at - at % step, "_order": np.arange(spine.num_rows)}))
        listed = ", ".join([*keys, "_t"])
        queries = self._con.sql(f"SELECT *, row_number() OVER () - 1 AS _q FROM (SELECT DISTINCT {listed} FROM _spine)").to_arrow_table()
        self._con.register(QUERIES, queries)
        same = " AND ".join(f"s.{c} IS NOT DISTINCT FROM q.{c}" for c in (*keys, "_t"))
        found = self._con.sql(f"SELECT s._order, q._q FROM _spine s JOIN {QUERIES} q ON {same}").fetchnumpy()
        query_of = np.empty(spine.num_rows, np.int64)
        query_of[found["_order"]] = found["_q"]
        Balance(f"ask {view.name}", spine.num_rows, {"rows": len(found["_q"])}).checked()
        return _Asked(queries, query_of)

    def _sums(self, view: FeatureView, asked: _Asked) -> dict[str, pa.ChunkedArray]:
        if not compile.additive(view):
            return {}
        return self._spread(asked, compile.sums_sql(view, self._relations(view, asked)))

    def _matches(self, view: FeatureView, asked: _Asked) -> dict[str, pa.ChunkedArray]:
        wanted = compile.others(view)
        return self._spread(asked, compile.matches_sql(view, self._relations(view, asked), wanted)) if wanted else {}

    def _spread(self, asked: _Asked, sql: str) -> dict[str, pa.ChunkedArray]:
        found = self._con.sql(sql).to_arrow_table()
        Balance("answer queries", asked.queries.num_rows, {"answered": found.num_rows}).checked()
        order = found.column("_q").to_numpy()
        return {name: asked.spread(found.column(name), order) for name in found.column_names if name != "_q"}

    def _latest(self, view: FeatureView, asked: _Asked) -> dict[str, pa.ChunkedArray]:
        """The values of the latest versions, gathered by rank."""
        import pyarrow as pa

        rank = self._latest_rank(view, self._versions[view.table.name], asked.queries)
        place = rank if asked.query_of is None else rank[asked.query_of]
        places = pa.array(place, mask=place < 0)
        columns = [self._in_every_version(view, expression) for expression in view.latest_expressions.values()]
        with ThreadPoolExecutor(GATHERERS) as pool:  # Arrow gathers outside Python's lock
            return dict(zip(view.latest_expressions, pool.map(lambda column: column.take(places), columns), strict=True))

    def _in_every_version(self, view: FeatureView, expression: str) -> pa.Array:
        """An expression's value in every version, by rank; a column is taken as it is."""
        rows = self._versions[view.table.name].rows
        for column in rows.column_names:
            if expression == quoted(column):
                return rows.column(column).combine_chunks()
        found = self._con.sql(f"SELECT ({expression}) AS x FROM {quoted(view.table.name)} ORDER BY _rank").to_arrow_table()
        return found.column("x").combine_chunks()

    def _latest_rank(self, view: FeatureView, versions: Versions, queries: pa.Table) -> NDArray[np.int64]:
        """The rank of the version that is the latest for each query, -1 where there is none."""
        relations = Relations(quoted(view.table.name), QUERIES)
        found = self._con.sql(compile.latest_sql(view, relations, in_order=versions.in_order)).fetchnumpy()
        rank = _ranks(found, queries.num_rows)
        t = queries.column("_t").to_numpy()
        there = rank >= 0
        if len(versions) == 0 or not there.any():
            return np.full(queries.num_rows, -1)
        # The greatest rank that ever entered is the answer unless it was superseded since by a version that ranks lower (its
        # event was moved back, or to another entity, or it was retracted): only those few are looked up one by one.
        superseded = there & (versions.superseded[rank] <= t)
        if superseded.any():
            self._con.register(QUESTIONABLE, _filter(queries, superseded))
            again = self._con.sql(compile.greatest_sql(view, Relations(quoted(view.table.name), QUESTIONABLE))).fetchnumpy()
            rank[superseded] = _ranks(again, queries.num_rows)[superseded]
        fresh = (rank >= 0) & (versions.event[rank] > t - microseconds(view.latest_reach))
        return np.where(fresh, rank, -1)

    def _relations(self, view: FeatureView, asked: _Asked) -> Relations:
        """The versions that could matter to any query (a cut that keeps work small and changes no value), and the queries."""
        name = quoted(view.table.name)
        versions = name
        if asked.queries.num_rows:
            t = asked.queries.column("_t").to_numpy()
            oldest, newest = int(t.min()) - microseconds(view.reach), int(t.max())
            versions = f"(SELECT * FROM {name} WHERE _event > {oldest} AND _enter <= {newest})"
        return Relations(versions, QUERIES, self.whole_expressions(view))

    def whole_expressions(self, view: FeatureView) -> frozenset[str]:
        """The expressions of a view's sums and means that are whole numbers."""
        asked = sorted({a.expression for a in view.aggregate.values() if a.kind in ("mean", "sum")})
        if not asked:
            return frozenset()
        columns = ", ".join(f"({expression}) AS c{i}" for i, expression in enumerate(asked))
        kinds = self._con.sql(f"SELECT {columns} FROM {quoted(view.table.name)} LIMIT 0").types
        return frozenset(e for e, kind in zip(asked, kinds, strict=True) if str(kind) in WHOLE)

    def _check(self, view: FeatureView, spine: pa.Table) -> None:
        there = self._versions[view.table.name].rows.column_names
        plain = [] if isinstance(view.latest, Mapping) else list(view.latest)
        for column in (*view.entities, *plain):
            if column not in there:
                raise UnknownColumn(column=column, named_by=f"feature view {view.name!r}", available=there)
        for column in view.entities:
            if column not in spine.column_names:
                raise UnknownColumn(column=column, named_by=f"the entity of {view.name!r}", available=spine.column_names)


def _ranks(found: dict[str, Any], queries: int) -> NDArray[np.int64]:
    """Ranks by query, -1 where null, from the columns `_q` and `_rank`."""
    rank = np.full(queries, -1, np.int64)
    rank[found["_q"]] = np.ma.filled(found["_rank"], -1)
    return rank


def _timestamps(us: Microseconds) -> pa.Array:
    import pyarrow as pa

    return pa.array(us, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _filter(rows: pa.Table, keep: NDArray[np.bool_]) -> pa.Table:
    import pyarrow as pa

    return rows.filter(pa.array(keep))
