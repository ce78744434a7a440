"""SQL expressions of feature views: read by DuckDB's own parser, and let through only where they are row-wise and deterministic.

An expression sees one row and nothing else. What looks at other rows (a window function, a subquery, an aggregate function)
would see rows of the future, and what looks at the world (the time, chance, the session, files) would answer training and
serving differently. So what is known to be row-wise is listed, and everything else is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from noria.core.errors import UserMistake, nearest
from noria.core.sql import connect, folded, reserved
from noria.data.contract import UnknownColumn
from noria.features.view import ViewFailed

if TYPE_CHECKING:
    import duckdb

Node = Mapping[str, Any]

PLAIN = {"BETWEEN", "CASE", "CAST", "COLLATE", "COMPARISON", "CONJUNCTION", "CONSTANT", "LAMBDA", "OPERATOR", "TYPE"}
OPERATORS = {
    "ARRAY_CONSTRUCTOR", "ARRAY_EXTRACT", "ARRAY_SLICE", "ARROW", "COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_COALESCE",
    "OPERATOR_IS_NOT_NULL", "OPERATOR_IS_NULL", "OPERATOR_NOT", "OPERATOR_NULLIF", "OPERATOR_TRY", "STRUCT_EXTRACT",
}  # fmt: skip
# What the engine calls deterministic, and is so only for one state of it.
SESSION = {"hive_partition_component", "index_key", "json_serialize_plan", "parse_duckdb_log_message", "version"}
LIST_AGGREGATES = {"aggregate", "array_aggr", "array_aggregate", "list_aggr", "list_aggregate"}
SAMPLED = {"reservoir_quantile"}
CONSTRUCTS = {
    "WINDOW": "a window function",
    "SUBQUERY": "a subquery",
    "STAR": "* or COLUMNS(…)",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a positional reference",
    "DEFAULT": "DEFAULT",
}
NAMED_VALUES = {
    "current_date", "current_time", "current_timestamp", "current_user", "current_role", "current_catalog", "current_schema",
    "localtime", "localtimestamp", "session_user", "user",
}  # fmt: skip


class NotRowWise(UserMistake):
    """An expression of a feature view looks beyond its row, or doesn't give the same value each time."""

    code = "NR-213"

    def __init__(self, *, view: str, feature: str, expression: str, construct: str) -> None:
        self.view, self.feature, self.expression, self.construct = view, feature, expression, construct
        super().__init__(
            what=f"feature {feature!r} uses {construct}",
            where=f"feature view {view!r}: {expression}",
            fix="an expression may use only the values of its own row, and must be deterministic",
        )


@dataclass(frozen=True)
class Source:
    """Where an expression stands: for messages. `columns` are those of the view's table."""

    view: str
    feature: str
    columns: tuple[str, ...]


def columns_of(con: duckdb.DuckDBPyConnection, sql: str, source: Source) -> tuple[str, ...]:
    """The table's columns that a row-wise expression reads, as the table spells them; `con` is any connection.

    Raises `NotRowWise`, `UnknownColumn`, and `ViewFailed` for what is not one expression.
    """
    if (sql, source) not in _READ:
        reading = _Reading(con, sql, source)
        _READ[sql, source] = tuple(dict.fromkeys(reading.walk(reading.tree(sql))))
    return _READ[sql, source]


_READ: dict[tuple[str, Source], tuple[str, ...]] = {}  # what was read once is not parsed again: a project has so many expressions


def column_named(name: str, source: Source) -> str:
    """The column that an identifier means: spelled exactly so, or else the only one that differs from it in case alone."""
    if reserved(name):
        raise NotRowWise(view=source.view, feature=source.feature, expression=name, construct=f"the reserved name {name!r}")
    if name in source.columns:
        return name
    alike = [column for column in source.columns if folded(column) == folded(name)]
    if len(alike) == 1:
        return alike[0]
    named_by = f"feature {source.feature!r} of view {source.view!r}"
    if alike:
        raise ViewFailed(source.view, f"{name!r} in feature {source.feature!r} is ambiguous: {', '.join(map(repr, alike))}")
    raise UnknownColumn(column=name, named_by=named_by, available=source.columns)


@dataclass(frozen=True)
class _Reading:
    """One expression while it is read. `parameters` of macros and lambdas are names that are not columns."""

    con: duckdb.DuckDBPyConnection
    sql: str
    source: Source

    def walk(self, root: Node, parameters: frozenset[str] = frozenset()) -> Iterator[str]:
        """The columns read by a tree, which is walked without recursion: expressions may be deep."""
        waiting: list[tuple[Node, frozenset[str]]] = [(root, parameters)]
        while waiting:
            node, named = waiting.pop()
            match node["class"]:
                case "COLUMN_REF":
                    yield from self._column(node["column_names"], named)
                case "FUNCTION":
                    yield from self._function(node, named)
                    waiting.extend(self._arguments(node, named))
                case "OPERATOR" if node["type"] not in OPERATORS:
                    self._refuse(f"{node['type']}")
                case plain if plain in PLAIN:  # a lambda that is no function's argument is JSON's arrow, an operator
                    waiting.extend((child, named) for child in _children(node))
                case other:
                    self._refuse(CONSTRUCTS.get(other, str(other)))

    def _column(self, path: Sequence[str], parameters: frozenset[str]) -> Iterator[str]:
        name = path[0]
        if folded(name) in parameters:
            return
        columns = {folded(column) for column in self.source.columns}
        if folded(name) not in columns and folded(name) in NAMED_VALUES:
            self._refuse(folded(name))
        yield column_named(name, self.source)

    def _function(self, node: Node, parameters: frozenset[str]) -> Iterator[str]:
        """Check a call; a column before the dot, as in `name.lower()`, is its first argument."""
        name, path = node["function_name"].lower(), node["qualified_name"]["path"]
        if node["distinct"] or node["filter"] is not None or node["order_bys"]["orders"] or node["export_state"]:
            self._refuse(f"DISTINCT, FILTER or ORDER BY inside {name}()")
        self._allowed(name, len(node["arguments"]) + len(path) - 1)
        if len(path) > 1:
            yield from self._column(path[:-1], parameters)
        if name in LIST_AGGREGATES:
            texts = {str(a["expression"].get("literal", {}).get("text", "")).lower() for a in node["arguments"]}
            for sampled in SAMPLED & texts:
                self._refuse(f"{sampled}, which samples,")

    def _allowed(self, name: str, arguments: int) -> None:
        functions = _functions()
        if name in ("unnest", "unlist"):
            self._refuse(f"{name}(), which expands one row into several")
        if name not in functions:
            raise ViewFailed(self.source.view, f"feature {self.source.feature!r}: there is no function {name}(){nearest(name, functions)}")
        found = functions[name]
        if found.aggregate:
            self._refuse(f"the aggregate function {name}()")
        if not found.deterministic or name in SESSION or name.startswith("__") or (name == "age" and arguments == 1):
            self._refuse(f"{name}(), which depends on more than its row")
        for parameters, definition in found.macros:
            if not found.scalar:
                self._macro(name, definition, frozenset(folded(p) for p in parameters))

    def _macro(self, name: str, definition: str, parameters: frozenset[str]) -> None:
        """Check what a macro stands for: it may name its parameters only."""
        inside = _Reading(self.con, self.sql, Source(self.source.view, self.source.feature, ()))
        try:
            list(inside.walk(inside.tree(definition), parameters))
        except (NotRowWise, UnknownColumn, ViewFailed) as error:
            why = error.construct if isinstance(error, NotRowWise) else "more than its row"
            raise NotRowWise(
                view=self.source.view, feature=self.source.feature, expression=self.sql, construct=f"{name}(), which uses {why}"
            ) from error

    def _arguments(self, node: Node, parameters: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
        takes_lambda = _functions()[node["function_name"].lower()].takes_lambda
        for i, argument in enumerate(a["expression"] for a in node["arguments"]):
            if argument["class"] != "LAMBDA" or not takes_lambda or i + len(node["qualified_name"]["path"]) < 2:
                yield argument, parameters
            elif argument["syntax_type"] == "SINGLE_ARROW":
                raise ViewFailed(
                    self.source.view, f"feature {self.source.feature!r}: write `lambda x: …` instead of `x -> …` in {self.sql}"
                )
            else:
                yield argument["expr"], parameters | _parameters(argument["lhs"])

    def tree(self, sql: str) -> Node:
        """The one expression of a text. Raises `ViewFailed` for anything else, so that the text can stand in brackets anywhere."""
        where = f"feature {self.source.feature!r}: {sql.strip()!r}"
        found, in_brackets = _parsed(self.con, f"SELECT {sql}\n", f"SELECT ({sql}\n)")
        for tried in (found, in_brackets):
            if tried["error"]:
                raise ViewFailed(self.source.view, f"{where} can't be parsed: {tried['error_message']}")
        node = found["statements"][0]["node"]
        if len(found["statements"]) != 1 or node["type"] != "SELECT_NODE" or len(node["select_list"]) != 1 or _more_than_a_value(node):
            raise ViewFailed(self.source.view, f"{where} is not a single expression")
        [tree] = node["select_list"]
        if tree["alias"]:
            raise ViewFailed(self.source.view, f"{where} is not a single expression: remove its alias {tree['alias']!r}")
        return dict(tree)

    def _refuse(self, construct: str) -> None:
        raise NotRowWise(view=self.source.view, feature=self.source.feature, expression=self.sql, construct=construct)


def _more_than_a_value(select: Node) -> bool:
    rest = ("where_clause", "group_expressions", "group_sets", "having", "sample", "qualify", "modifiers")
    return select["from_table"]["type"] != "EMPTY" or bool(select["cte_map"]["map"]) or any(select[part] for part in rest)


def _parsed(con: duckdb.DuckDBPyConnection, *statements: str) -> list[Node]:
    """Statements as DuckDB's parser sees them, or their errors."""
    try:
        rows = con.execute("SELECT json_serialize_sql(x) FROM (SELECT unnest(?) AS x)", [list(statements)]).fetchall()
        return [json.loads(text) for (text,) in rows]
    except RecursionError:
        return [{"error": True, "error_message": "it is nested too deeply"}] * len(statements)


def _children(node: Node) -> Iterator[Node]:
    """The nodes right below one, whatever the fields they stand in."""
    waiting: list[Any] = list(node.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            if "class" in value:
                yield value
            else:
                waiting.extend(value.values())


def _parameters(lhs: Node) -> frozenset[str]:
    """The names of a lambda's parameters: one, or several in brackets."""
    listed = [lhs] if lhs["class"] == "COLUMN_REF" else [a["expression"] for a in lhs["arguments"]]
    return frozenset(folded(name) for node in listed for name in node["column_names"])


@dataclass(frozen=True)
class _Function:
    """What the engine says of a function's name: `macros` are (parameters, definition)."""

    scalar: bool
    aggregate: bool
    deterministic: bool
    takes_lambda: bool
    macros: tuple[tuple[tuple[str, ...], str], ...]


@lru_cache(maxsize=1)
def _functions() -> dict[str, _Function]:
    """Every function of the engine, by name.

    One form that the engine calls consistent is enough: the others of such a name differ by the session's time zone, which is UTC.
    """
    with connect() as con:
        rows = con.sql(
            "SELECT lower(function_name), list(DISTINCT function_type), "
            "coalesce(bool_or(stability = 'CONSISTENT') FILTER (WHERE function_type = 'scalar'), false), "
            "coalesce(bool_or(list_contains(parameter_types::VARCHAR[], 'LAMBDA')), false), "
            "list(struct_pack(p := parameters, d := macro_definition)) FILTER (WHERE function_type = 'macro') "
            "FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate', 'window', 'macro') GROUP BY ALL"
        ).fetchall()
    found = {}
    for name, kinds, consistent, takes_lambda, macros in rows:
        scalar = "scalar" in kinds
        listed = tuple((tuple(m["p"]), m["d"]) for m in macros or ())
        aggregate = "aggregate" in kinds or "window" in kinds
        found[name] = _Function(scalar, aggregate, consistent or not scalar, takes_lambda, listed)
    return found
