"""Feature views as SQL: one statement per view, in DuckDB's dialect.

A table's rows are first turned into *versions*: each with the time it became known and the time its successor (the next
version of the same key) did. At time t a version is the one that counts iff known_at <= t < superseded_at. Corrections,
retractions and late rows are then nothing but conditions of the join, the same for windows and for latest values.
"""

from __future__ import annotations

from datetime import timedelta

from noria.core.clock import duration, microseconds
from noria.core.sql import quoted
from noria.data.table import Table
from noria.features.view import Aggregate, FeatureView

# Names of the relations and columns that the statements use; user columns can't collide with them.
SPINE, AT, KEY, ORDER = "_spine", "_at", "_key", "_order"
EVENT, KNOWN, SUPERSEDED = "_event_time", "_known_at", "_superseded_at"


def versions_sql(table: Table, rows: str) -> str:
    """The versions of a table's facts: its columns and `_event_time`, `_known_at`, `_superseded_at`.

    Versions of one key that became known at the same moment are ordered by event time, then by all their values, so
    that the last of them is the same on every machine.
    """
    keys = ", ".join(quoted(k) for k in table.keys)
    event, known = quoted(table.event_time), quoted(table.known)
    kept = f"WHERE NOT coalesce({quoted(table.deleted)}, false)" if table.deleted else ""
    return f"""
        SELECT * EXCLUDE (_row) FROM (
            SELECT *, {event} AS {EVENT}, {known} AS {KNOWN},
                lead({known}) OVER (PARTITION BY {keys} ORDER BY {known}, {event}, _row) AS {SUPERSEDED}
            FROM (SELECT *, row_number() OVER () AS _row FROM {rows})
        ) {kept}"""


def key_sql(table: Table) -> str:
    """The key of a fact as one text, as predictions and outcomes name it: the value, or values joined by `|`."""
    return "concat_ws('|', " + ", ".join(f"{quoted(k)}::VARCHAR" for k in table.keys) + ")"


def view_sql(view: FeatureView, versions: str, spine: str, whole: frozenset[str] = frozenset()) -> str:
    """One row per spine row (`_order`, and the view's values), from relations of versions and spine rows.

    Spine rows of equal entity and tick are computed once. `whole` are the aggregates' expressions of integer type.
    """
    keys = [quoted(e) for e in view.entities]
    tick = _floored(f"s.{AT}", view.freshness)
    same = " AND ".join(f"v.{k} = q.{k}" for k in keys)
    back = " AND ".join(f"a.{k} IS NOT DISTINCT FROM s.{k}" for k in keys)
    values = [f"{_aggregate(a, view.table, exact=a.expression in whole)} AS {quoted(name)}" for name, a in view.aggregate.items()]
    values += [f"{_latest(column, view)} AS {quoted(column)}" for column in view.latest]
    key_list = ", ".join(f"q.{k}" for k in keys)
    return f"""
        WITH q AS (SELECT DISTINCT {", ".join(f"s.{k}" for k in keys)}, {tick} AS _t FROM {spine} s),
        a AS (
            SELECT {key_list}, q._t, {", ".join(values)}
            FROM q LEFT JOIN {versions} v ON {same}
                AND v.{EVENT} <= q._t AND v.{EVENT} > q._t - {_interval(view.reach)}
                AND v.{KNOWN} <= q._t AND (v.{SUPERSEDED} IS NULL OR v.{SUPERSEDED} > q._t)
            GROUP BY {key_list}, q._t
        )
        SELECT s.{ORDER}, {", ".join(f"a.{quoted(f)}" for f in view.features)}
        FROM {spine} s LEFT JOIN a ON {back} AND a._t = {tick}
        ORDER BY s.{ORDER}"""


def _aggregate(a: Aggregate, table: Table, *, exact: bool) -> str:
    inside = f"FILTER (WHERE v.{EVENT} > q._t - {_interval(a.window)})"
    # Sums of floats depend on their order; a fixed order makes equal facts give equal digits. Whole numbers are summed
    # exactly in any order, and five times faster without one.
    order = "" if exact else f"ORDER BY v.{EVENT}, v.{KNOWN}, " + ", ".join(f"v.{quoted(k)}" for k in table.keys)
    number = f"({a.expression})" if exact else f"({a.expression})::DOUBLE"
    match a.kind:
        case "count":
            counted = f"v.{EVENT}" if a.expression == "*" else f"({a.expression})"
            return f"count({counted}) {inside}"
        case "mean":
            return f"avg({number} {order}) {inside}"
        case "sum":
            return f"(sum({number} {order}) {inside})::DOUBLE"
        case "std":
            return f"stddev_samp(({a.expression})::DOUBLE {order}) {inside}"
        case _:
            return f"{a.kind}({a.expression}) {inside}"


def _latest(column: str, view: FeatureView) -> str:
    """The value of the last fact: greatest event time, then last known, then greatest key. Null where that is null."""
    inside = f"FILTER (WHERE v.{EVENT} > q._t - {_interval(duration(view.ttl or '0s'))})"
    rank = ", ".join([f"v.{EVENT}", f"v.{KNOWN}", *(f"v.{quoted(k)}" for k in view.table.keys)])
    return f"arg_max(struct_pack(x := v.{quoted(column)}), ROW({rank})) {inside}.x"


def _floored(time: str, freshness: str | None) -> str:
    if freshness is None:
        return time
    step = microseconds(duration(freshness))
    return f"make_timestamptz(epoch_us({time}) - epoch_us({time}) % {step})"


def _interval(span: timedelta) -> str:
    return f"INTERVAL {microseconds(span)} MICROSECOND"
