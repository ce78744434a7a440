"""Feature views as SQL, in DuckDB's dialect; sqlglot carries the portable statements to other engines.

All times are BIGINT microseconds since 1970-01-01 UTC, so that no engine's idea of intervals or zones matters. Three forms,
each exact, for relations of versions and of queries:

- `sums_sql`: counts, sums and means over windows, in one running sum: a version adds itself when it enters and takes itself
  away when it leaves. Linear in rows, whatever the windows. Portable.
- `matches_sql`: every other aggregate, from each query's matching versions, found by equality of keys and of a time bucket
  as wide as the window. Portable, and able to compute everything.
- `latest_sql`: the greatest rank known by then, as a running maximum and one ASOF join; its answer has to be checked for
  having been superseded since (`point_in_time`). DuckDB only.

Sums depend on their order in floating point, and a running sum that subtracts loses digits. So every sum is one of whole
numbers: the same facts give the same digits in any order. Whole numbers of up to 64 bits and decimals of up to 28 digits are
summed as they are. Any other number is a double, cut into up to four fixed-point parts (`STEPS`), which together hold every
digit of what float32 can tell apart: exact for magnitudes from 4.6e-41 to 3.4e38, to a step of 2^-186 below.

A value that float32 can't hold (NaN, infinite, or beyond 3.4e38) counts as unknown, in every aggregate but `count` and
`distinct`, for which it is a value like any other.

Every name in the statements but those of the table's own columns is in the namespace `__noria_`, into which no column can come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from noria.core.clock import microseconds
from noria.core.sql import RESERVED
from noria.features.fields import is_number
from noria.features.versions import ENTER, EVENT, RANK, SUPERSEDED
from noria.features.view import Aggregate, FeatureView

ADDITIVE = {"count", "sum", "mean"}

# The outward names of a spine's prediction times and keys; a spine's own columns can't have them.
AT, KEY = "_at", "_key"

VERSIONS, QUERIES = f"{RESERVED}versions", f"{RESERVED}queries"
TIME, QUERY = f"{RESERVED}time", f"{RESERVED}query"
_M, _Q, _W = f"{RESERVED}m", f"{RESERVED}q", f"{RESERVED}w"
_BUCKET, _ONE = f"{RESERVED}bucket", f"{RESERVED}one"

STEPS = (2.0**63, 2.0**-20, 2.0**-103, 2.0**-186)  # of the fixed-point parts of a double: 83 bits each, which leaves 43 for the sum
BEYOND = 2.0**128 - 2.0**103  # the first double that rounds to no float32
ALL_PARTS = tuple(range(len(STEPS)))
WHOLE_PART = "DECIMAL(38, 0)"
SMALL_VALUE = 2**31 - 1  # four billion such values fit into 64 bits
EXACT_DIGITS = 28  # of a decimal, so that ten billion of them can be summed


@dataclass(frozen=True)
class Relations:
    """What the statements read.

    versions: the entity's keys (`entity_columns`), the times and the rank, and the columns of the table that the view reads
    queries: the entity's keys (`query_keys`), TIME and QUERY, a number from 0
    kinds: the engine's type of each expression
    parts: the fixed-point parts (places in `STEPS`) that an expression's values need; all of them where it is not said
    """

    versions: str
    queries: str
    kinds: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def additive(view: FeatureView) -> dict[str, Aggregate]:
    """The view's aggregates that are running sums."""
    return {name: a for name, a in view.aggregate.items() if a.kind in ADDITIVE}


def others(view: FeatureView) -> dict[str, Aggregate]:
    """The view's aggregates that need the matching versions themselves."""
    return {name: a for name, a in view.aggregate.items() if a.kind not in ADDITIVE}


# --- names and types ----------------------------------------------------------------------------------------------------


def entity_columns(view: FeatureView) -> list[str]:
    """The names of the entity's keys in a relation of versions; a view without an entity has one key, which is the same in all."""
    return [f"{RESERVED}e{i}" for i in range(max(len(view.entities), 1))]


def query_keys(view: FeatureView) -> list[str]:
    """The names of the entity's keys in a relation of queries, which has them in the types of the view's table."""
    return [f"{RESERVED}k{i}" for i in range(max(len(view.entities), 1))]


def feature_column(view: FeatureView, feature: str) -> str:
    """The name of a feature in the statements' results."""
    return f"{RESERVED}f{view.features.index(feature)}"


LONG = {"BIGINT", "UBIGINT"}
SMALL = {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"}


def _summed_in(kind: str) -> str:
    """The type in which values of a type are summed exactly; DOUBLE for those that are cut into parts."""
    if kind in SMALL or kind == "BOOLEAN":
        return "BIGINT"
    if kind in LONG:
        return WHOLE_PART
    if kind.startswith("DECIMAL"):
        digits, scale = (int(n) for n in kind[len("DECIMAL(") : -1].split(","))
        return f"DECIMAL(38, {scale})" if digits <= EXACT_DIGITS else "DOUBLE"
    return "DOUBLE"


def _kept(kind: str) -> bool:
    """Whether a value of this type is given as it is; any other is a double."""
    return kind in LONG | SMALL or kind.startswith("DECIMAL") or not is_number(kind)


def given(value: str, kind: str) -> str:
    """A value as a result has it."""
    if kind == "UUID":
        return f"CAST({value} AS VARCHAR)"
    return value if _kept(kind) else f"CAST({value} AS DOUBLE)"


def _tellable(number: str) -> str:
    """Whether a double is one that float32 can hold; NaN is greater than every number."""
    return f"abs({number}) < {_double(BEYOND)}"


# --- sums ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Summand:
    """A column of whole numbers or decimals that is summed: `sql` over the values `x0`, `x1`, …; `type` is its SQL type.

    role: `c` it has a value; `n` it has one that can be summed; `s` that value; `p0`, `p1`, … its fixed-point parts; `one` it is a fact
    """

    role: str
    expression: str
    name: str
    sql: str
    type: str


@dataclass(frozen=True)
class _Term:
    """One running sum: of a summand, over versions in `window` microseconds; `name` is its column."""

    summand: _Summand
    window: int

    @property
    def name(self) -> str:
        return f"{self.summand.name}_{self.window}"

    @property
    def zero(self) -> str:
        return f"CAST(0 AS {self.summand.type})"


def sums_sql(view: FeatureView, of: Relations) -> str:
    """(QUERY, the additive aggregates), one row per query, in no order."""
    asked = additive(view)
    keys = entity_columns(view)
    terms = _terms(view, asked, of)
    expressions, doubles = _expressions(asked), summed_kinds(view, of.kinds)[0]
    cut = {i: of.parts.get(e, ALL_PARTS) for i, e in enumerate(expressions) if e in doubles}
    summands = {t.summand.name: t.summand for t in terms}.values()
    entries = ", ".join(f"CASE WHEN {ENTER} < {_leave(t.window)} THEN {t.summand.name} ELSE {t.zero} END AS {t.name}" for t in terms)
    moves = [f"SELECT {_list(keys)}, {ENTER} AS {TIME}, CAST(NULL AS BIGINT) AS {QUERY}, {entries} FROM {RESERVED}v"]
    for window in sorted({t.window for t in terms}):
        gone = ", ".join(f"-{t.summand.name}" if t.window == window else t.zero for t in terms)
        left = f"SELECT {_list(keys)}, {_leave(window)}, CAST(NULL AS BIGINT), {gone} FROM {RESERVED}v"
        moves.append(f"{left} WHERE {ENTER} < {_leave(window)}")
    moves.append(f"SELECT {_list(query_keys(view))}, {TIME}, {QUERY}, {', '.join(t.zero for t in terms)} FROM {of.queries}")
    over = f"OVER (PARTITION BY {_list(keys)} ORDER BY {TIME} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    summed = ", ".join(f"sum({t.name}) {over} AS {t.name}" for t in terms)
    results = ", ".join(f"{_result(view, a, of)} AS {feature_column(view, name)}" for name, a in asked.items())
    return f"""
        WITH {RESERVED}v AS (
            SELECT {_list(keys)}, {EVENT}, {ENTER}, {SUPERSEDED}, {", ".join(f"{s.sql} AS {s.name}" for s in summands)}
            FROM {_with_rests(_valued(view, of, expressions), cut)} {RESERVED}x
            WHERE {" AND ".join(f"{key} IS NOT NULL" for key in keys)}
        ), {RESERVED}moves AS ({" UNION ALL ".join(moves)}),
        {RESERVED}running AS (SELECT {QUERY}, {summed} FROM {RESERVED}moves)
        SELECT {QUERY}, {results} FROM {RESERVED}running WHERE {QUERY} IS NOT NULL"""


def needs_sql(doubles: Sequence[str], longs: Sequence[str], versions: str) -> str:
    """What sums need, from a look at the values (one row): for every expression of doubles, and every part in turn, whether a value
    has it; then for every expression of 64-bit whole numbers, whether all values are small."""
    places = range(len(doubles))
    values = [f"({expression}\n) AS {_x(i)}" for i, expression in enumerate((*doubles, *longs))]
    rests = _with_rests(f"(SELECT {_list(values)} FROM {versions})", dict.fromkeys(places, ALL_PARTS))
    needs = [f"coalesce(bool_or({_steps(_rest(i, j), j)} <> 0), false)" for i in places for j in ALL_PARTS]
    for i in range(len(doubles), len(doubles) + len(longs)):
        needs.append(f"coalesce(min({_x(i)}) >= -{SMALL_VALUE} AND max({_x(i)}) <= {SMALL_VALUE}, true)")
    return f"SELECT {_list(needs)} FROM {rests}"


def summed_kinds(view: FeatureView, kinds: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The view's expressions that are summed as doubles, and so in parts; and those that are 64-bit whole numbers."""
    summed = list(dict.fromkeys(a.expression for a in view.aggregate.values() if a.kind in ("sum", "mean")))
    return [e for e in summed if _summed_in(kinds[e]) == "DOUBLE"], [e for e in summed if kinds[e] in LONG]


def _expressions(asked: Mapping[str, Aggregate]) -> list[str]:
    return list(dict.fromkeys(a.expression for a in asked.values() if a.expression != "*"))


def _valued(view: FeatureView, of: Relations, expressions: Sequence[str]) -> str:
    """The versions with the values of expressions as `x0`, `x1`, …, each computed once from its row and from nothing else."""
    values = "".join(f", ({expression}\n) AS {_x(i)}" for i, expression in enumerate(expressions))
    return f"(SELECT {_list(entity_columns(view))}, {EVENT}, {ENTER}, {SUPERSEDED}, {RANK}{values} FROM {of.versions})"


def _x(place: int) -> str:
    return f"{RESERVED}x{place}"


def _rest(place: int, depth: int) -> str:
    return f"{RESERVED}r{place}_{depth}"


def _with_rests(versions: str, cut: Mapping[int, Sequence[int]]) -> str:
    """Versions with `r0_0`, `r1_0`, …, the doubles that can be summed, and with what the parts of each leave to the next of them."""
    if not cut:
        return versions
    numbers = {i: f"CAST({_x(i)} AS DOUBLE)" for i in cut}
    found = f"(SELECT *, {_list([f'CASE WHEN {_tellable(n)} THEN {n} END AS {_rest(i, 0)}' for i, n in numbers.items()])} FROM {versions})"
    for depth in range(1, max(map(len, cut.values()))):
        left = []
        for i, parts in cut.items():
            if len(parts) > depth:
                before, part = _rest(i, depth - 1), parts[depth - 1]
                left.append(f"{before} - {_steps(before, part)} * {_double(STEPS[part])} AS {_rest(i, depth)}")
        found = f"(SELECT *, {_list(left)} FROM {found})"
    return found


def _steps(number: str, part: int) -> str:
    """How many whole steps of a part a double has, itself a double; exact, since steps are powers of two."""
    steps = f"({number} * {_double(1 / STEPS[part])})"
    return f"(CASE WHEN {steps} < 0 THEN ceil({steps}) ELSE floor({steps}) END)"


def _double(value: float) -> str:
    return f"CAST({value!r} AS DOUBLE)"


def _summands(a: Aggregate, place: int, of: Relations) -> list[_Summand]:
    """What an aggregate sums."""
    if a.expression == "*":
        return [_Summand("one", "*", _ONE, "CAST(1 AS BIGINT)", "BIGINT")]
    x, is_there = _x(place), "CASE WHEN {} THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END"
    if a.kind == "count":
        return [_Summand("c", a.expression, f"{RESERVED}c{place}", is_there.format(f"{x} IS NOT NULL"), "BIGINT")]
    there = f"{RESERVED}n{place}"
    exact = _summed_in(of.kinds[a.expression])
    if exact != "DOUBLE":
        value = f"coalesce(CAST({x} AS {exact}), CAST(0 AS {exact}))"
        counted = _Summand("n", a.expression, there, is_there.format(f"{x} IS NOT NULL"), "BIGINT")
        return [counted, _Summand("s", a.expression, f"{RESERVED}s{place}", value, exact)]
    found = [_Summand("n", a.expression, there, is_there.format(f"{_rest(place, 0)} IS NOT NULL"), "BIGINT")]
    for depth, j in enumerate(of.parts.get(a.expression, ALL_PARTS)):
        value = f"coalesce(CAST({_steps(_rest(place, depth), j)} AS {WHOLE_PART}), CAST(0 AS {WHOLE_PART}))"
        found.append(_Summand(f"p{j}", a.expression, f"{RESERVED}p{place}_{j}", value, WHOLE_PART))
    return found


def _terms(view: FeatureView, asked: Mapping[str, Aggregate], of: Relations) -> list[_Term]:
    """Every running sum that the aggregates need, each once."""
    place = {expression: i for i, expression in enumerate(_expressions(asked))}
    found = [_Term(s, view.width(a)) for a in asked.values() for s in _summands(a, place.get(a.expression, 0), of)]
    return list({term.name: term for term in found}.values())


def _result(view: FeatureView, a: Aggregate, of: Relations) -> str:
    place = {expression: i for i, expression in enumerate(_expressions(additive(view)))}
    sums = {s.role: _Term(s, view.width(a)).name for s in _summands(a, place.get(a.expression, 0), of)}
    for role in ("one", "c"):
        if role in sums:
            return f"CAST({sums[role]} AS BIGINT)"
    there = sums.pop("n")
    if "s" in sums:
        exact = _summed_in(of.kinds[a.expression])
        total = f"CAST({sums['s']} AS {WHOLE_PART if exact == 'BIGINT' else exact})"
        value = total if a.kind == "sum" else f"CAST({total} AS DOUBLE) / {there}"
    else:
        value = _joined({int(role[1:]): name for role, name in sums.items()})
        value = value if a.kind == "sum" else f"{value} / {there}"
    return f"CASE WHEN {there} > 0 THEN {value} END"


def _joined(parts: Mapping[int, str]) -> str:
    """The double that sums of parts make together. Each is two doubles first, so that parts of unlike signs lose no digit."""
    high = {j: f"CAST({name} AS DOUBLE)" for j, name in parts.items()}
    low = {j: f"CAST({name} - CAST({high[j]} AS {WHOLE_PART}) AS DOUBLE)" for j, name in parts.items()}
    sums = []
    for digits in (high, low):
        found = ""
        for j, value in digits.items():
            scaled = f"{value} * {_double(STEPS[j])}"
            found = f"({found} + {scaled})" if found else scaled
        sums.append(found)
    return f"(({sums[0]}) + ({sums[1]}))"


def _leave(window: int) -> str:
    return f"least({EVENT} + {window}, {SUPERSEDED})"


# --- matches ------------------------------------------------------------------------------------------------------------


def matches_sql(view: FeatureView, of: Relations, aggregates: Mapping[str, Aggregate], latest: Mapping[str, str] | None = None) -> str:
    """(QUERY, `aggregates`, `latest` values), one row per query, in no order; `latest` maps names to SQL expressions."""
    latest = latest or {}
    expressions = list(dict.fromkeys([*_expressions(aggregates), *latest.values()]))
    x = {expression: f"{_M}.{_x(i)}" for i, expression in enumerate(expressions)}
    values = [
        f"{_matched(a, x.get(a.expression, ''), _recent(view.width(a)), of)} AS {feature_column(view, name)}"
        for name, a in aggregates.items()
    ]
    recent = _recent(microseconds(view.latest_reach))
    values += [
        f"{_last(given(x[expression], of.kinds[expression]), recent)} AS {feature_column(view, name)}"
        for name, expression in latest.items()
    ]
    widths = [*(view.width(a) for a in aggregates.values()), *([microseconds(view.latest_reach)] if latest else [])]
    return _matches(view, of, expressions, values, max(widths))


def greatest_sql(view: FeatureView, of: Relations) -> str:
    """(QUERY, RANK): of each query's versions within the ttl, the greatest rank; null where there is none."""
    return _matches(view, of, [], [f"max({_M}.{RANK}) AS {RANK}"], microseconds(view.latest_reach))


def _matches(view: FeatureView, of: Relations, expressions: Sequence[str], values: Sequence[str], width: int) -> str:
    """Each query with the versions that count for it; a version lies in at most two buckets as wide as the longest window."""
    inside = (
        f"{_M}.{_BUCKET} = {_Q}.{TIME} - {_Q}.{TIME} % {width} AND {_M}.{ENTER} <= {_Q}.{TIME} "
        f"AND {_M}.{EVENT} > {_Q}.{TIME} - {width} AND {_M}.{SUPERSEDED} > {_Q}.{TIME}"
    )
    return f"""
        WITH {RESERVED}v AS {_valued(view, of, expressions)},
        {_M} AS (
            SELECT *, {ENTER} - {ENTER} % {width} AS {_BUCKET} FROM {RESERVED}v
            UNION ALL SELECT *, {ENTER} - {ENTER} % {width} + {width} AS {_BUCKET} FROM {RESERVED}v
        )
        SELECT {_Q}.{QUERY}, {", ".join(values)} FROM {of.queries} {_Q} LEFT JOIN {_M} ON {_same_keys(view, _M)} AND {inside}
        GROUP BY {_Q}.{QUERY}"""


def _matched(a: Aggregate, x: str, inside: str, of: Relations) -> str:
    """An aggregate of the value `x` over matching versions; the additive ones too, for engines that compute nothing else."""
    number = f"CAST({x} AS DOUBLE)"
    where = f"FILTER (WHERE {inside} AND {_tellable(number)})"
    match a.kind:
        case "min" | "max":
            kind = of.kinds[a.expression]
            value, where = (given(x, kind), f"FILTER (WHERE {inside})") if _kept(kind) else (number, where)
            return f"{a.kind}({value}) {where}"
        case "first" | "last":
            kind = of.kinds[a.expression]
            value, where = (given(x, kind), f"FILTER (WHERE {inside} AND {x} IS NOT NULL)") if _kept(kind) else (number, where)
            return f"{'arg_min' if a.kind == 'first' else 'arg_max'}({value}, {_M}.{RANK}) {where}"
        case "std":
            return f"stddev_samp({number} ORDER BY {_M}.{RANK}) {where}"
        case "quantile":
            return f"quantile_cont({number}, {a.share!r}) {where}"
        case "distinct":
            return f"count(DISTINCT {x}) FILTER (WHERE {inside} AND {x} IS NOT NULL)"
        case "count":
            return f"count({f'{_M}.{RANK}' if a.expression == '*' else x}) FILTER (WHERE {inside})"
        case _:
            return f"{'avg' if a.kind == 'mean' else a.kind}({number}) {where}"


def _last(x: str, inside: str) -> str:
    """The value in the version with the greatest rank; null where that is null."""
    return f"(arg_max(struct_pack(x := {x}), {_M}.{RANK}) FILTER (WHERE {inside})).x"


def _recent(width: int) -> str:
    return f"{_M}.{EVENT} > {_Q}.{TIME} - {width}"


# --- latest -------------------------------------------------------------------------------------------------------------


def latest_sql(view: FeatureView, of: Relations, *, in_order: bool) -> str:
    """(QUERY, RANK): the greatest rank that had entered by each query's time, superseded or not; null where none had.

    in_order: versions enter one by one in the order of their rank, so that the last to enter has the greatest
    """
    keys = _list(entity_columns(view))
    over = f"OVER (PARTITION BY {keys} ORDER BY {ENTER} RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    rank = RANK if in_order else f"max({RANK}) {over}"
    return f"""
        WITH {_W} AS (SELECT {keys}, {ENTER}, {rank} AS {RANK} FROM {of.versions})
        SELECT {_Q}.{QUERY}, {_W}.{RANK} FROM {of.queries} {_Q}
        ASOF LEFT JOIN {_W} ON {_same_keys(view, _W)} AND {_Q}.{TIME} >= {_W}.{ENTER}"""


# --- keys ---------------------------------------------------------------------------------------------------------------


def _same_keys(view: FeatureView, versions: str) -> str:
    pairs = zip(entity_columns(view), query_keys(view), strict=True)
    return " AND ".join(f"{versions}.{entity} = {_Q}.{key}" for entity, key in pairs)


def _list(parts: Sequence[str]) -> str:
    return ", ".join(parts)
