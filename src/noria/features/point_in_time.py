"""The point-in-time join: for every spine row, in its order, what was known at its time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from noria.core.clock import duration, microseconds, since_epoch
from noria.core.conservation import Balance
from noria.core.errors import UserMistake
from noria.core.sql import connect, quoted
from noria.data.contract import UnknownColumn
from noria.data.table import Facts, Table
from noria.features.compile import AT, EVENT, KEY, KNOWN, ORDER, SPINE, SUPERSEDED, key_sql, versions_sql, view_sql
from noria.features.view import FeatureView

if TYPE_CHECKING:
    import pyarrow as pa


WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}


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


class PointInTime:
    """Facts of several tables, prepared once as versions, and joined to any number of spines.

    `_event_time <= t` and `known_at <= t` are part of every join, so the facts may reach beyond any spine: what was not
    known at a row's time can't change its values.
    """

    def __init__(self, facts: Sequence[Facts]) -> None:
        self._con = connect()
        self._columns: dict[str, list[str]] = {}
        for fact in facts:
            name = fact.table.name
            self._con.register("raw", fact.rows)
            self._con.execute(f"CREATE TABLE {quoted(name)} AS {versions_sql(fact.table, 'raw')} ORDER BY {EVENT}")
            self._con.unregister("raw")
            self._columns[name] = fact.rows.column_names

    def spine(self, table: Table, lead: timedelta, start: datetime, end: datetime) -> pa.Table:
        """The facts to predict, `lead` before they happen, for prediction times in [start, end), as known at those times.

        The table's columns, `_at` (prediction time) and `_key` (the key as one text), in order of time and key.
        """
        keys = ", ".join(quoted(k) for k in table.keys)
        return self._con.sql(f"""
            SELECT * EXCLUDE ({EVENT}, {KNOWN}, {SUPERSEDED}) FROM (
                SELECT *, {EVENT} - INTERVAL {microseconds(lead)} MICROSECOND AS {AT}, {key_sql(table)} AS {KEY}
                FROM {quoted(table.name)})
            WHERE {AT} >= make_timestamptz({since_epoch(start)}) AND {AT} < make_timestamptz({since_epoch(end)})
                AND {KNOWN} <= {AT} AND ({SUPERSEDED} IS NULL OR {SUPERSEDED} > {AT})
            ORDER BY {AT}, {keys}""").to_arrow_table()

    def join(self, spine: pa.Table, views: Sequence[FeatureView]) -> pa.Table:
        """The values of `views` at each row's `_at`, as columns in the order of the views; one row per spine row.

        spine: has `_at` (timestamp, UTC) and the entity columns of every view
        """
        import pyarrow as pa

        ordered = spine.append_column(ORDER, pa.array(range(spine.num_rows), pa.int64()))
        self._con.register(SPINE, ordered)
        columns: dict[str, pa.ChunkedArray] = {}
        for view in views:
            self._check(view, spine)
            values = self._values(view)
            Balance(f"join {view.name}", spine.num_rows, {"rows": values.num_rows}).checked()
            columns |= {name: values.column(name) for name in view.features}
        self._con.unregister(SPINE)
        return pa.table(columns)

    def _values(self, view: FeatureView) -> pa.Table:
        import duckdb

        try:
            return self._con.sql(view_sql(view, self._recent(view), SPINE, self._whole(view))).to_arrow_table()
        except duckdb.Error as error:
            raise ViewFailed(view.name, str(error)) from error

    def _whole(self, view: FeatureView) -> frozenset[str]:
        """The expressions of a view's sums and means that are whole numbers."""
        asked = sorted({a.expression for a in view.aggregate.values() if a.kind in ("mean", "sum")})
        if not asked:
            return frozenset()
        columns = ", ".join(f"({expression}) AS c{i}" for i, expression in enumerate(asked))
        kinds = self._con.sql(f"SELECT {columns} FROM {quoted(view.table.name)} v LIMIT 0").types
        return frozenset(e for e, kind in zip(asked, kinds, strict=True) if str(kind) in WHOLE)

    def _recent(self, view: FeatureView) -> str:
        """The versions that could matter to any spine row: a cut that keeps the join small, and changes no value."""
        longest = view.reach + duration(view.freshness or "0s")
        oldest = f"(SELECT min({AT}) FROM {SPINE}) - INTERVAL {microseconds(longest)} MICROSECOND"
        newest = f"(SELECT max({AT}) FROM {SPINE})"
        name = quoted(view.table.name)
        return f"(SELECT * FROM {name} WHERE {EVENT} > {oldest} AND {EVENT} <= {newest} AND {KNOWN} <= {newest})"

    def _check(self, view: FeatureView, spine: pa.Table) -> None:
        there = self._columns[view.table.name]
        for column in (*view.entities, *view.latest):
            if column not in there:
                raise UnknownColumn(column=column, named_by=f"feature view {view.name!r}", available=there)
        for column in view.entities:
            if column not in spine.column_names:
                raise UnknownColumn(column=column, named_by=f"the entity of {view.name!r}", available=spine.column_names)
