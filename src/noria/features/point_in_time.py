"""The point-in-time join on DuckDB: for any spine, the values that were known at each row's time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration, microseconds, since_epoch
from noria.core.conservation import Balance
from noria.core.names import BadName
from noria.core.sql import RESERVED, connect, folded
from noria.data.contract import UnknownColumn
from noria.data.rows import Fields
from noria.data.table import SnapshotRows, Table, microseconds_of
from noria.features import compile
from noria.features.compile import AT, KEY, QUERIES, QUERY, TIME, VERSIONS, Relations
from noria.features.expressions import Source, columns_of
from noria.features.fields import fields_of_view
from noria.features.keys import KeyColumn, in_type, key_texts, require_comparable
from noria.features.versions import ENTER, EVENT, NEVER, RANK, Microseconds, Versions, versions_of
from noria.features.view import FeatureView, ViewFailed

if TYPE_CHECKING:
    import pyarrow as pa


GATHERERS = 4
QUESTIONABLE = f"{RESERVED}questionable"
_SPINE, _PLACE = f"{RESERVED}spine", f"{RESERVED}place"


@dataclass(frozen=True)
class Bound:
    """A view bound to the columns of its table.

    relation: its versions, with the columns that the view reads and no others
    kinds: the engine's type of every expression; latest: the latest values, feature name → SQL over the relation
    columns: those of the latest values that are a column as it is, feature name → column
    fields: of the view's values, in their order
    """

    view: FeatureView
    relation: pa.Table
    kinds: Mapping[str, str]
    latest: Mapping[str, str]
    columns: Mapping[str, str]
    fields: Fields


@dataclass(frozen=True)
class _Asked:
    """What a view is asked: one query per distinct entity and tick. `query_of` is the query of each spine row."""

    queries: pa.Table
    query_of: NDArray[np.int64] | None

    def spread(self, column: pa.ChunkedArray, order: NDArray[np.int64]) -> pa.ChunkedArray:
        """A result per query (in the order QUERY = `order`) as a value per spine row."""
        import pyarrow as pa

        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return column.take(pa.array(place if self.query_of is None else place[self.query_of]))


class PointInTime:
    """Facts of several tables, prepared once as versions, and joined to any number of spines.

    Whether a version had entered by a row's time is part of every join, so the facts may reach beyond any spine: what was
    not known at a row's time can't change its values.
    """

    def __init__(self, facts: Sequence[SnapshotRows]) -> None:
        self._con = connect()
        self._versions: dict[str, Versions] = {f.table.name: versions_of(f, self._con) for f in facts}
        self._bound: dict[int, Bound] = {}  # by the view's identity: each is kept with its view

    def spine(self, table: Table, lead: timedelta, start: datetime, end: datetime) -> pa.Table:
        """The facts to predict, `lead` before they happen, for prediction times in [start, end), as known at those times.

        The table's columns, `_at` (prediction time) and `_key` (the key as one text), in order of time and key. Raises
        `IncomparableKeys` for a key of a type that can't be one.
        """
        versions = self._versions[table.name]
        require_spine_columns(table.name, versions.rows.column_names)
        at = versions.event - microseconds(lead)
        asked = (at >= since_epoch(start)) & (at < since_epoch(end)) & (versions.known <= at) & (versions.superseded > at)
        place = self._in_order(at, versions, table, np.flatnonzero(asked))
        found = versions.rows.take(place).append_column(AT, _timestamps(at[place]))
        return found.append_column(KEY, key_texts(found, table.keys, table.name))

    def _in_order(self, at: Microseconds, versions: Versions, table: Table, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of rows, in order of time and key."""
        import pyarrow as pa

        rows = versions.rows.select(list(dict.fromkeys(table.keys))).take(pa.array(place))
        keys = {f"{RESERVED}k{i}": rows.column(key) for i, key in enumerate(table.keys)}
        self._con.register(_SPINE, pa.table({**keys, TIME: at[place], _PLACE: place}))
        order = ", ".join([TIME, *keys, _PLACE])
        found = self._con.sql(f"SELECT {_PLACE} FROM {_SPINE} ORDER BY {order}").fetchnumpy()
        self._con.unregister(_SPINE)
        return np.asarray(found[_PLACE])

    def join(self, spine: pa.Table, views: Sequence[FeatureView]) -> pa.Table:
        """The values of `views` at each row's `_at`, as columns in the order of the views; one row per spine row.

        spine: has `_at` (timestamp, UTC) and the entity columns of every view
        """
        import pyarrow as pa

        columns: dict[str, pa.ChunkedArray] = {}
        for view in views:
            values = self._values(self._check(view, spine), spine)
            for name in view.features:
                Balance(f"join {view.name}", spine.num_rows, {"rows": len(values[name])}).checked()
            columns |= {name: values[name] for name in view.features}
        return pa.table(columns)

    def versions(self, table: str) -> Versions:
        """The versions of a table that the values come from."""
        return self._versions[table]

    def latest_event(self, spine: pa.Table, view: FeatureView) -> Microseconds:
        """When the fact happened that gives each row its latest values (microseconds), `NEVER` where there is none."""
        bound = self._check(view, spine)
        asked = self._ask(view, spine)
        self._register(bound, asked)
        versions = self._versions[view.table.name]
        rank = self._latest_rank(view, versions, asked.queries)
        place = rank if asked.query_of is None else rank[asked.query_of]
        return np.where(place >= 0, versions.event[place], NEVER) if len(versions) else np.full(spine.num_rows, NEVER)

    def _register(self, bound: Bound, asked: _Asked) -> None:
        self._con.register(VERSIONS, bound.relation)
        self._con.register(QUERIES, asked.queries)

    def _values(self, bound: Bound, spine: pa.Table) -> dict[str, pa.ChunkedArray]:
        import duckdb

        view = bound.view
        try:
            asked = self._ask(view, spine)
            self._register(bound, asked)
            found = {**self._sums(bound, asked), **self._matches(bound, asked)}
            return found | (self._latest(bound, asked) if view.latest else {})
        except duckdb.Error as error:
            raise ViewFailed(view.name, str(error)) from error

    def _ask(self, view: FeatureView, spine: pa.Table) -> _Asked:
        """The queries of a view: equal entities at equal ticks are asked once."""
        import pyarrow as pa

        columns = self.asked_entities(view, spine)
        keys = list(columns)
        at = microseconds_of(spine.column(AT), up=False)
        if view.freshness is None:
            return _Asked(pa.table({**columns, TIME: at, QUERY: np.arange(spine.num_rows)}), None)
        step = microseconds(duration(view.freshness))
        self._con.register(_SPINE, pa.table({**columns, TIME: at - at % step, _PLACE: np.arange(spine.num_rows)}))
        listed = ", ".join([*keys, TIME])
        distinct = f"SELECT *, row_number() OVER () - 1 AS {QUERY} FROM (SELECT DISTINCT {listed} FROM {_SPINE})"
        queries = self._con.sql(distinct).to_arrow_table()
        self._con.register(QUERIES, queries)
        same = " AND ".join(f"s.{c} IS NOT DISTINCT FROM q.{c}" for c in (*keys, TIME))
        found = self._con.sql(f"SELECT s.{_PLACE}, q.{QUERY} FROM {_SPINE} s JOIN {QUERIES} q ON {same}").fetchnumpy()
        self._con.unregister(_SPINE)
        query_of = np.empty(spine.num_rows, np.int64)
        query_of[found[_PLACE]] = found[QUERY]
        Balance(f"ask {view.name}", spine.num_rows, {"rows": len(found[QUERY])}).checked()
        return _Asked(queries, query_of)

    def asked_entities(self, view: FeatureView, spine: pa.Table) -> dict[str, pa.ChunkedArray]:
        """The entities of a spine's rows as the queries name them: in the types of the view's table, so that equal keys join at
        the speed of that type; null for an entity of which the table can have no fact. Raises `IncomparableKeys`."""
        if not view.entities:
            return {key: _everything(spine.num_rows) for key in compile.query_keys(view)}
        found = {}
        for key, entity in zip(compile.query_keys(view), view.entities, strict=True):
            theirs = KeyColumn(view.table.name, entity, self._versions[view.table.name].rows.schema.field(entity).type)
            require_comparable(KeyColumn("the spine", entity, spine.schema.field(entity).type), theirs)
            found[key] = in_type(spine.column(entity), theirs.type, self._con)
        return found

    def _sums(self, bound: Bound, asked: _Asked) -> dict[str, pa.ChunkedArray]:
        wanted = compile.additive(bound.view)
        return self._spread(bound.view, asked, compile.sums_sql(bound.view, self._relations(bound, asked)), wanted) if wanted else {}

    def _matches(self, bound: Bound, asked: _Asked) -> dict[str, pa.ChunkedArray]:
        wanted = compile.others(bound.view)
        if not wanted:
            return {}
        return self._spread(bound.view, asked, compile.matches_sql(bound.view, self._relations(bound, asked), wanted), wanted)

    def _spread(self, view: FeatureView, asked: _Asked, sql: str, wanted: Iterable[str]) -> dict[str, pa.ChunkedArray]:
        found = self._con.sql(sql).to_arrow_table()
        Balance("answer queries", asked.queries.num_rows, {"answered": found.num_rows}).checked()
        order = found.column(QUERY).to_numpy()
        return {name: asked.spread(found.column(compile.feature_column(view, name)), order) for name in wanted}

    def _latest(self, bound: Bound, asked: _Asked) -> dict[str, pa.ChunkedArray]:
        """The values of the latest versions, gathered by rank."""
        import pyarrow as pa

        rank = self._latest_rank(bound.view, self._versions[bound.view.table.name], asked.queries)
        place = rank if asked.query_of is None else rank[asked.query_of]
        places = pa.array(place, mask=place < 0)
        columns = [self._in_every_version(bound, name) for name in bound.latest]
        with ThreadPoolExecutor(GATHERERS) as pool:  # Arrow gathers outside Python's lock
            return dict(zip(bound.latest, pool.map(lambda column: column.take(places), columns), strict=True))

    def _in_every_version(self, bound: Bound, feature: str) -> pa.Array:
        """A latest value in every version, by rank; a column is taken as it is."""
        if feature in bound.columns:
            return self._versions[bound.view.table.name].rows.column(bound.columns[feature]).combine_chunks()
        expression = bound.latest[feature]
        value = compile.given(f"({expression}\n)", bound.kinds[expression])
        return self._con.sql(f"SELECT {value} AS x FROM {VERSIONS} ORDER BY {RANK}").to_arrow_table().column("x").combine_chunks()

    def _latest_rank(self, view: FeatureView, versions: Versions, queries: pa.Table) -> NDArray[np.int64]:
        """The rank of the version that is the latest for each query, -1 where there is none."""
        relations = Relations(VERSIONS, QUERIES)
        found = self._con.sql(compile.latest_sql(view, relations, in_order=versions.in_order)).fetchnumpy()
        rank = _ranks(found, queries.num_rows)
        t = queries.column(TIME).to_numpy()
        there = rank >= 0
        if len(versions) == 0 or not there.any():
            return np.full(queries.num_rows, -1)
        # The greatest rank that ever entered is the answer unless it was superseded since by a version that ranks lower (its
        # event was moved back, or to another entity, or it was retracted): only those few are looked up one by one.
        superseded = there & (versions.superseded[rank] <= t)
        if superseded.any():
            self._con.register(QUESTIONABLE, _filter(queries, superseded))
            again = self._con.sql(compile.greatest_sql(view, Relations(VERSIONS, QUESTIONABLE))).fetchnumpy()
            rank[superseded] = _ranks(again, queries.num_rows)[superseded]
        fresh = (rank >= 0) & (versions.event[rank] > t - microseconds(view.latest_reach))
        return np.where(fresh, rank, -1)

    def _relations(self, bound: Bound, asked: _Asked) -> Relations:
        """The versions that could matter to any query (a cut that keeps work small and changes no value), and the queries."""
        versions = VERSIONS
        if asked.queries.num_rows:
            t = asked.queries.column(TIME).to_numpy()
            oldest, newest = int(t.min()) - microseconds(bound.view.lookback), int(t.max())
            versions = f"(SELECT * FROM {VERSIONS} WHERE {EVENT} > {oldest} AND {ENTER} <= {newest})"
        return self.relations(bound, versions)

    def relations(self, bound: Bound, versions: str = VERSIONS) -> Relations:
        """What the statements of a view read; how its sums are kept depends on the values that are there, and changes no digit.

        Raises `ViewFailed` for an expression that fails on a value.
        """
        import duckdb

        doubles, longs = compile.summed_kinds(bound.view, bound.kinds)
        if not doubles and not longs:
            return Relations(versions, QUERIES, bound.kinds)
        self._con.register(VERSIONS, bound.relation)
        try:
            [found] = self._con.sql(compile.needs_sql(doubles, longs, versions)).fetchall()
        except duckdb.Error as error:
            raise ViewFailed(bound.view.name, str(error)) from error
        needs = iter(found)
        parts = {e: tuple(j for j in compile.ALL_PARTS if next(needs)) or (1,) for e in doubles}
        small = {e: "INTEGER" for e in longs if next(needs)}
        return Relations(versions, QUERIES, {**bound.kinds, **small}, parts)

    def bind(self, view: FeatureView) -> Bound:
        """The view bound to its table: its columns are there, its expressions are row-wise, and its values are what features can be.

        Raises `UnknownColumn`, `NotRowWise`, `NotANumber`, `NoFeatureType` or `ViewFailed`.
        """
        if id(view) not in self._bound:
            self._bound[id(view)] = self._bind(view)
        return self._bound[id(view)]

    def _bind(self, view: FeatureView) -> Bound:
        import duckdb
        import pyarrow as pa

        versions = self._versions[view.table.name]
        rows, there = versions.rows, versions.rows.column_names
        plain = {} if isinstance(view.latest, Mapping) else {column: column for column in view.latest}
        for column in (*view.entities, *plain):
            if column not in there:
                raise UnknownColumn(column=column, named_by=f"feature view {view.name!r}", available=there)
        latest = {name: f"{RESERVED}l{i}" for i, name in enumerate(plain)} or dict(view.latest_expressions)
        expressions = [(name, a.expression) for name, a in view.aggregate.items() if (a.kind, a.expression) != ("count", "*")]
        expressions += [] if plain else list(latest.items())
        read = {c: name for name, e in expressions for c in columns_of(self._con, e, Source(view.name, name, tuple(there)))}
        _require_unlike(view, read)
        entities = [rows.column(e) for e in view.entities] or [_everything(len(versions))]
        relation = pa.table(
            {
                **dict(zip(compile.entity_columns(view), entities, strict=True)),
                **{column: rows.column(column) for column in read},
                **{latest[name]: rows.column(column) for name, column in plain.items()},
                **versions.times,
            }
        )
        try:
            self._con.register(VERSIONS, relation)
            kinds = self._kinds(view, [*expressions, *((name, latest[name]) for name in plain)])
        except duckdb.Error as error:
            raise ViewFailed(view.name, str(error)) from error
        return Bound(view, relation, kinds, latest, plain, fields_of_view(view, kinds, latest))

    def _kinds(self, view: FeatureView, expressions: Sequence[tuple[str, str]]) -> dict[str, str]:
        """The engine's types of features' expressions."""
        import duckdb

        def types(*some: str) -> list[str]:
            listed = ", ".join(f"({expression}\n) AS {RESERVED}x{i}" for i, expression in enumerate(some))
            return [str(kind) for kind in self._con.sql(f"SELECT {listed} FROM {VERSIONS} LIMIT 0").types]

        every = list(dict.fromkeys(expression for _, expression in expressions))
        try:
            return dict(zip(every, types(*every), strict=True)) if every else {}
        except duckdb.Error:
            for name, expression in expressions:  # one by one, so that the one that fails is named
                try:
                    types(expression)
                except duckdb.Error as error:
                    raise ViewFailed(view.name, f"feature {name!r}: {error}") from error
            raise

    def _check(self, view: FeatureView, spine: pa.Table) -> Bound:
        bound = self.bind(view)
        for column in view.entities:
            if column not in spine.column_names:
                raise UnknownColumn(column=column, named_by=f"the entity of {view.name!r}", available=spine.column_names)
        return bound


def require_spine_columns(table: str, columns: Iterable[str]) -> None:
    """Raise `BadName` for a spine that has a column where prediction times and keys are kept."""
    for column in columns:
        if folded(column) in (AT, KEY):
            why = f"table {table!r}: {AT} and {KEY} are reserved for the times and keys of predictions"
            raise BadName("column of a spine", column, why, "rename it in the table's source")


def _require_unlike(view: FeatureView, columns: Mapping[str, str]) -> None:
    """Raise `ViewFailed` where a view reads two columns that the engine can't tell apart."""
    seen: dict[str, str] = {}
    for column, feature in columns.items():
        other = seen.setdefault(folded(column), column)
        if other != column:
            raise ViewFailed(view.name, f"feature {feature!r}: the columns {other!r} and {column!r}, both read here, differ only in case")


def _everything(rows: int) -> pa.ChunkedArray:
    """The key of a view without an entity, the same in every row."""
    import pyarrow as pa

    return pa.chunked_array([pa.array(np.zeros(rows, np.int8))])


def _ranks(found: dict[str, Any], queries: int) -> NDArray[np.int64]:
    """Ranks by query, -1 where null, from the columns QUERY and RANK."""
    rank = np.full(queries, -1, np.int64)
    rank[found[QUERY]] = np.ma.filled(found[RANK], -1)
    return rank


def _timestamps(us: Microseconds) -> pa.Array:
    import pyarrow as pa

    return pa.array(us, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _filter(rows: pa.Table, keep: NDArray[np.bool_]) -> pa.Table:
    import pyarrow as pa

    return rows.filter(pa.array(keep))
