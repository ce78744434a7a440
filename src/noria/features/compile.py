"""Feature views as SQL, in DuckDB's dialect; sqlglot carries the portable statements to other engines.

All times are BIGINT microseconds since 1970-01-01 UTC, so that no engine's idea of intervals or zones matters. Three forms,
each exact, for relations of versions (`noria.features.versions`) and of queries (`_q`, the entity's keys as `_k0`, `_k1`, …, `_t`):

- `sums_sql`: counts, sums and means over windows, in one running sum: a version adds itself when it enters and takes itself
  away when it leaves. Linear in rows, whatever the windows. Portable.
- `matches_sql`: every other aggregate, from each query's matching versions, found by equality of keys and of a time bucket
  as wide as the window. Portable, and able to compute everything.
- `latest_sql`: the greatest rank known by then, as a running maximum and one ASOF join; its answer has to be checked for
  having been superseded since (`point_in_time`). DuckDB only.

Sums of floats depend on their order, and a running sum that subtracts loses digits. So floats are summed exactly, as two
fixed-point integers (steps of 2^-40 and of 2^-143, exact for magnitudes from 1e-43 to 9e18): the same facts give the same
digits in any order, in any engine. A value that is not finite, or beyond that, counts as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from noria.core.clock import microseconds
from noria.core.sql import quoted
from noria.features.view import Aggregate, FeatureView

ADDITIVE = {"count", "sum", "mean"}

# Names of columns that the statements make; user columns can't collide with them.
AT, KEY = "_at", "_key"
_COARSE, _FINE = 2.0**40, 2.0**143
_LARGEST = 2.0**63


@dataclass(frozen=True)
class Relations:
    """What the statements read: the versions of the view's table, and the queries (`_q`, `_k0`, …, `_t`).

    whole: those of the view's expressions that are whole numbers, which are summed as they are
    """

    versions: str
    queries: str
    whole: frozenset[str] = frozenset()


def additive(view: FeatureView) -> dict[str, Aggregate]:
    """The view's aggregates that are running sums."""
    return {name: a for name, a in view.aggregate.items() if a.kind in ADDITIVE}


def others(view: FeatureView) -> dict[str, Aggregate]:
    """The view's aggregates that need the matching versions themselves."""
    return {name: a for name, a in view.aggregate.items() if a.kind not in ADDITIVE}


# --- sums ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Term:
    """One running sum: of the column `value`, over versions in `window` microseconds; `name` is its column."""

    name: str
    value: str
    window: int
    type: str


def sums_sql(view: FeatureView, of: Relations) -> str:
    """(`_q`, the additive aggregates), one row per query, in no order."""
    keys = [quoted(e) for e in view.entities]
    asked = additive(view)
    terms = _terms(asked, of.whole)
    windows = sorted({t.window for t in terms})
    columns = _summed_columns(asked, of.whole)
    values = "".join(f", {sql} AS {name}" for name, sql, _ in columns)
    known = " AND ".join(f"{k} IS NOT NULL" for k in keys)
    entries = ", ".join(f"CASE WHEN _enter < {_leave(t.window)} THEN {t.value} ELSE {_zero(t)} END AS {t.name}" for t in terms)
    moves = [f"SELECT {_list(keys)}, _enter AS _t, CAST(NULL AS BIGINT) AS _q, {entries} FROM v"]
    for window in windows:
        gone = ", ".join(f"-{t.value}" if t.window == window else _zero(t) for t in terms)
        moves.append(f"SELECT {_list(keys)}, {_leave(window)}, CAST(NULL AS BIGINT), {gone} FROM v WHERE _enter < {_leave(window)}")
    moves.append(f"SELECT {_list(query_keys(view))}, _t, _q, {', '.join(_zero(t) for t in terms)} FROM {of.queries}")
    over = f"OVER (PARTITION BY {_list(keys)} ORDER BY _t RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    summed = ", ".join(f"sum({t.name}) {over} AS {t.name}" for t in terms)
    results = ", ".join(f"{_result(a, asked, of.whole)} AS {quoted(name)}" for name, a in asked.items())
    return f"""
        WITH v AS (
            SELECT {_list(keys)}, _event, _enter, _superseded, CAST(1 AS BIGINT) AS one{values} FROM {_split(view, of, columns)}
            WHERE {known}
        ), moves AS ({" UNION ALL ".join(moves)}),
        running AS (SELECT _q, {summed} FROM moves)
        SELECT _q, {results} FROM running WHERE _q IS NOT NULL"""


def _expressions(asked: dict[str, Aggregate]) -> list[str]:
    return list(dict.fromkeys(a.expression for a in asked.values() if a.expression != "*"))


def _summed_columns(asked: dict[str, Aggregate], whole: frozenset[str]) -> list[tuple[str, str, str]]:
    """(name, SQL over `x0`, `x1`, …, type) of every column that is summed.

    c: it has a value; n: it has one that can be summed; s: that, where it is whole; a and b: its two fixed-point parts
    """
    counted = {a.expression for a in asked.values() if a.kind == "count"}
    summed = {a.expression for a in asked.values() if a.kind != "count"}
    found = []
    for i, expression in enumerate(_expressions(asked)):
        if expression in counted:
            found.append((f"c{i}", _is_there(f"x{i}"), "BIGINT"))
        if expression in summed and expression in whole:
            found.append((f"n{i}", _is_there(f"x{i}"), "BIGINT"))
            found.append((f"s{i}", f"coalesce(CAST(x{i} AS BIGINT), CAST(0 AS BIGINT))", "BIGINT"))
        elif expression in summed:
            coarse = f"CAST(coalesce(y{i}, 0) * CAST({_COARSE!r} AS DOUBLE) AS DOUBLE)"
            coarse = f"(CASE WHEN {coarse} < 0 THEN ceil({coarse}) ELSE floor({coarse}) END)"
            rest = f"(coalesce(y{i}, 0) - {coarse} / CAST({_COARSE!r} AS DOUBLE)) * CAST({_FINE!r} AS DOUBLE)"
            found.append((f"n{i}", _is_there(f"y{i}"), "BIGINT"))
            found.append((f"a{i}", f"CAST({coarse} AS DECIMAL(38, 0))", "DECIMAL(38, 0)"))
            found.append((f"b{i}", f"CAST({rest} AS DECIMAL(38, 0))", "DECIMAL(38, 0)"))
    return found


def _is_there(column: str) -> str:
    return f"CASE WHEN {column} IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END"


def _split(view: FeatureView, of: Relations, columns: list[tuple[str, str, str]]) -> str:
    """The versions with the additive aggregates' expressions as `x0`, `x1`, …, and as `y0`, `y1`, … what can be summed of
    those that are not whole."""
    asked = additive(view)
    named = {name for name, _, _ in columns}
    values = []
    for i, expression in enumerate(_expressions(asked)):
        values.append(f"({expression}) AS x{i}")
        if f"a{i}" in named:
            number = f"CAST(({expression}) AS DOUBLE)"
            values.append(f"CASE WHEN abs({number}) < CAST({_LARGEST!r} AS DOUBLE) THEN {number} END AS y{i}")
    listed = "".join(f", {v}" for v in values)
    keys = _list([quoted(e) for e in view.entities])
    return f"(SELECT {keys}, _event, _enter, _superseded{listed} FROM {of.versions}) x"


def _terms(asked: dict[str, Aggregate], whole: frozenset[str]) -> list[_Term]:
    """Every running sum that the aggregates need, each once."""
    columns = _summed_columns(asked, whole)
    place = {expression: i for i, expression in enumerate(_expressions(asked))}
    found: dict[str, _Term] = {}
    for a in asked.values():
        window = microseconds(a.window)
        kinds = "c" if a.kind == "count" else "nsab"
        wanted = [(name, t) for name, _, t in columns if name[0] in kinds and name[1:] == str(place.get(a.expression))]
        for value, type_ in wanted or [("one", "BIGINT")]:
            found[f"{value}_{window}"] = _Term(f"{value}_{window}", value, window, type_)
    return list(found.values())


def _result(a: Aggregate, asked: dict[str, Aggregate], whole: frozenset[str]) -> str:
    window = microseconds(a.window)
    if a.expression == "*":
        return f"CAST(one_{window} AS BIGINT)"
    i = _expressions(asked).index(a.expression)
    if a.kind == "count":
        return f"CAST(c{i}_{window} AS BIGINT)"
    if a.expression in whole:
        total = f"CAST(s{i}_{window} AS DOUBLE)"
    else:
        coarse = f"CAST(a{i}_{window} AS DOUBLE) / CAST({_COARSE!r} AS DOUBLE)"
        total = f"({coarse} + CAST(b{i}_{window} AS DOUBLE) / CAST({_FINE!r} AS DOUBLE))"
    value = total if a.kind == "sum" else f"{total} / n{i}_{window}"
    return f"CASE WHEN n{i}_{window} > 0 THEN {value} END"


def _zero(term: _Term) -> str:
    return f"CAST(0 AS {term.type})"


def _leave(window: int) -> str:
    return f"least(_event + {window}, _superseded)"


# --- matches ------------------------------------------------------------------------------------------------------------


def matches_sql(view: FeatureView, of: Relations, aggregates: dict[str, Aggregate], latest: Mapping[str, str] | None = None) -> str:
    """(`_q`, `aggregates`, `latest` values), one row per query, in no order; `latest` maps names to SQL expressions."""
    latest = latest or {}
    values = [f"{_matched(a)} AS {quoted(name)}" for name, a in aggregates.items()]
    recent = _recent(view.latest_reach)
    values += [f"{_last(expression, recent)} AS {quoted(name)}" for name, expression in latest.items()]
    return _matches(view, of, values, _reach(aggregates, view.latest_reach if latest else None))


def greatest_sql(view: FeatureView, of: Relations) -> str:
    """(`_q`, `_rank`): of each query's versions within the ttl, the greatest rank; null where there is none."""
    return _matches(view, of, ["max(m._rank) AS _rank"], view.latest_reach)


def _matches(view: FeatureView, of: Relations, values: Sequence[str], reach: timedelta) -> str:
    """Each query with the versions that count for it; a version lies in at most two buckets of width `reach`."""
    width = microseconds(reach)
    same = _same_keys(view, "m")
    inside = f"m._bucket = q._t - q._t % {width} AND m._enter <= q._t AND m._event > q._t - {width} AND m._superseded > q._t"
    return f"""
        WITH m AS (
            SELECT *, _enter - _enter % {width} AS _bucket FROM {of.versions}
            UNION ALL SELECT *, _enter - _enter % {width} + {width} AS _bucket FROM {of.versions}
        )
        SELECT q._q, {", ".join(values)} FROM {of.queries} q LEFT JOIN m ON {same} AND {inside} GROUP BY q._q"""


def _matched(a: Aggregate) -> str:
    """An aggregate over matching versions `m` of a query `q`; the additive ones too, for engines that compute nothing else."""
    expression = f"({a.expression})"
    number = f"CAST({expression} AS DOUBLE)"
    finite = f"{number} - {number} = 0"  # neither NaN nor infinite
    inside = _recent(a.window)
    match a.kind:
        case "min" | "max":
            return f"{a.kind}({number}) FILTER (WHERE {inside} AND {finite})"
        case "std":
            return f"stddev_samp({number} ORDER BY m._rank) FILTER (WHERE {inside} AND {finite})"
        case "quantile":
            return f"quantile_cont({number}, {a.share!r}) FILTER (WHERE {inside} AND {finite})"
        case "distinct":
            return f"count(DISTINCT {expression}) FILTER (WHERE {inside} AND {expression} IS NOT NULL)"
        case "first":
            return f"arg_min({number}, m._rank) FILTER (WHERE {inside} AND {finite})"
        case "last":
            return f"arg_max({number}, m._rank) FILTER (WHERE {inside} AND {finite})"
        case "count":
            return f"count({'m._rank' if a.expression == '*' else expression}) FILTER (WHERE {inside})"
        case _:
            return f"{'avg' if a.kind == 'mean' else a.kind}({number}) FILTER (WHERE {inside} AND {finite})"


def _last(expression: str, inside: str) -> str:
    """The expression's value in the version with the greatest rank; null where that is null."""
    return f"(arg_max(struct_pack(x := {expression}), m._rank) FILTER (WHERE {inside})).x"


def _recent(window: timedelta) -> str:
    return f"m._event > q._t - {microseconds(window)}"


def _reach(aggregates: dict[str, Aggregate], ttl: timedelta | None) -> timedelta:
    return max([*(a.window for a in aggregates.values()), *([ttl] if ttl is not None else [])])


# --- latest -------------------------------------------------------------------------------------------------------------


def latest_sql(view: FeatureView, of: Relations, *, in_order: bool) -> str:
    """(`_q`, `_rank`): the greatest rank that had entered by each query's time, superseded or not; null where none had.

    in_order: versions enter one by one in the order of their rank, so that the last to enter has the greatest
    """
    keys = _list([quoted(e) for e in view.entities])
    over = f"OVER (PARTITION BY {keys} ORDER BY _enter RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    rank = "_rank" if in_order else f"max(_rank) {over}"
    return f"""
        WITH w AS (SELECT {keys}, _enter, {rank} AS _rank FROM {of.versions})
        SELECT q._q, w._rank FROM {of.queries} q ASOF LEFT JOIN w ON {_same_keys(view, "w")} AND q._t >= w._enter"""


# --- times and keys -----------------------------------------------------------------------------------------------------


def key_sql(keys: Sequence[str]) -> str:
    """The key of a fact as one text, as predictions and outcomes name it: the value, or values joined by `|`."""
    return "concat_ws('|', " + ", ".join(f"{quoted(k)}::VARCHAR" for k in keys) + ")"


def query_keys(view: FeatureView) -> list[str]:
    """The names of the entity's keys in a relation of queries; they can't be taken for columns of the table."""
    return [f"_k{i}" for i in range(len(view.entities))]


def _same_keys(view: FeatureView, versions: str) -> str:
    pairs = zip(view.entities, query_keys(view), strict=True)
    return " AND ".join(f"{versions}.{quoted(entity)} = q.{key}" for entity, key in pairs)


def _list(parts: Sequence[str]) -> str:
    return ", ".join(parts)
