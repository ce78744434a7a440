"""JSON-lines files: one object a line; lines that hold none, with their text.

Numbers, booleans and nested values have the types that JSON gives them. A string stays a string (never a number), but can be a
date or a time. A key that a line lacks is null there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noria.core.sql import literal, quoted
from noria.data.sources.port import PLACE, Column, Loaded, RawRow, UnreadableData, kept_text

if TYPE_CHECKING:
    import duckdb

BLOCK_BYTES = 16 * 1024 * 1024
NUMBERS = {"UBIGINT", "BIGINT", "DOUBLE", "HUGEINT"}
LONG_NUMBER = 18
LEAVES = {"UBIGINT": "BIGINT", "HUGEINT": "BIGINT", "NULL": "VARCHAR"}

# What is wrong with a line, as SQL; null where it is an object of which each key has one value.
WRONG = """CASE WHEN NOT json_valid(line) THEN 'not valid JSON'
    WHEN json_type(line) <> 'OBJECT' THEN 'not a JSON object'
    WHEN len(list_distinct(json_keys(line))) < len(json_keys(line)) THEN 'a key is duplicated'
    WHEN list_contains(json_keys(line), '') THEN 'a key is empty' END"""


_Malformed = tuple[int, str, str]  # a line's number, its text, and what is wrong with it


@dataclass(frozen=True)
class _Key:
    """A key of the objects: the kinds of its values, and whether a number among them is written like one of its strings."""

    name: str
    kinds: frozenset[str]


def load_json_lines(con: duckdb.DuckDBPyConnection, name: str, place: str, path: Path) -> Loaded:
    """Put the objects of a JSON-lines file into a relation, a column per key. Raises `UnreadableData`."""
    lines, objects = f"{name}_lines", f"{name}_objects"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(lines)} (n BIGINT, line VARCHAR)")
    not_text = _read_lines(con, lines, place, path)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {quoted(objects)} AS SELECT n, line::JSON AS line FROM {quoted(lines)} WHERE {WRONG} IS NULL"
    )
    bad = con.sql(f"SELECT n, line, {WRONG} FROM {quoted(lines)} WHERE {WRONG} IS NOT NULL ORDER BY n").fetchall()
    con.execute(f"DROP TABLE {quoted(lines)}")
    keys = _keys(con, objects, place)
    if not keys and bad and str(bad[0][1]).startswith("["):
        stem = Path(place).stem
        fix = f'in Python: pandas.read_json("{Path(place).name}").to_json("{stem}.jsonl", orient="records", lines=True)'
        raise UnreadableData(place, "it is one JSON array, not an object a line", fix)
    mixed = _ambiguous(con, objects, keys)
    left_out = ", ".join(str(m[0]) for m in mixed) or "-1"
    columns, values = [], []
    for key in keys:
        column, sql = _column(con, objects, key)
        columns.append(column)
        values.append(f"{sql} AS {quoted(key.name)}")
    listed = "".join(f"{v}, " for v in values)
    rows = f"SELECT {listed}n AS {PLACE} FROM {quoted(objects)} WHERE n NOT IN ({left_out}) ORDER BY n"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS {rows}")
    con.execute(f"DROP TABLE {quoted(objects)}")
    [(count,)] = con.sql(f"SELECT count(*) FROM {quoted(name)}").fetchall()
    file = Path(place).name
    raw = (RawRow(f"{file}, line {n}", kept_text(text), why) for n, text, why in sorted([*not_text, *bad, *mixed]))
    return Loaded(tuple(columns), int(count), tuple(raw), sparse=True)


def _read_lines(con: duckdb.DuckDBPyConnection, name: str, place: str, path: Path) -> list[_Malformed]:
    """Put the lines of a file that are not blank into a relation, with their numbers; returns those that are not UTF-8."""
    import pyarrow as pa

    bad: list[_Malformed] = []
    number = 0
    try:
        for block in _blocks(path):
            numbers, texts = [], []
            for line in block:
                number += 1
                if not line.strip():
                    continue
                try:
                    texts.append(line.decode("utf-8-sig" if number == 1 else "utf-8").strip())
                    numbers.append(number)
                except UnicodeDecodeError:
                    bad.append((number, line.decode("utf-8", "backslashreplace"), "not UTF-8"))
            con.register("__noria_arrow", pa.table({"n": pa.array(numbers, pa.int64()), "line": pa.array(texts, pa.string())}))
            con.execute(f"INSERT INTO {quoted(name)} SELECT * FROM __noria_arrow")
            con.unregister("__noria_arrow")
    except (OSError, EOFError) as error:
        raise UnreadableData(place, str(error)) from error
    return bad


def _blocks(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file, plain or compressed, in blocks of a bounded size."""
    import pyarrow as pa

    rest = b""
    with pa.input_stream(str(path), compression="detect") as stream:
        while block := bytes(stream.read(BLOCK_BYTES)):
            *lines, rest = (rest + block).split(b"\n")
            yield lines
    if rest:
        yield [rest]


def _keys(con: duckdb.DuckDBPyConnection, objects: str, place: str) -> list[_Key]:
    """Every key of the objects in the order of its first appearance, with the kinds of its values."""
    pointer = "'/' || replace(replace(k, '~', '~0'), '/', '~1')"
    pairs = f"SELECT n, unnest(json_keys(line)) AS k, generate_subscripts(json_keys(line), 1) AS i, line FROM {quoted(objects)}"
    found = con.sql(f"SELECT k, list(DISTINCT json_type(line, {pointer})), min((n, i)) FROM ({pairs}) GROUP BY k ORDER BY 3").fetchall()
    names: dict[str, str] = {}
    for key, _, _ in found:
        if key.casefold() in names:
            raise UnreadableData(
                place, f"its keys {names[key.casefold()]!r} and {key!r} have the same name, ignoring case: rename one of them"
            )
        names[key.casefold()] = key
    return [_Key(key, frozenset(kinds) - {"NULL"}) for key, kinds, _ in found]


def _ambiguous(con: duckdb.DuckDBPyConnection, objects: str, keys: list[_Key]) -> list[_Malformed]:
    """Lines in which a number is written like a string of another line: as texts the two would become one."""
    found: dict[int, _Malformed] = {}
    for key in keys:
        if "VARCHAR" in key.kinds and key.kinds & NUMBERS:
            path = _path(key.name)
            rows = con.sql(f"""
                SELECT n, line::VARCHAR FROM {quoted(objects)} WHERE json_type(line, {path}) NOT IN ('VARCHAR', 'NULL') AND
                (line ->> {path}) IN (SELECT line ->> {path} FROM {quoted(objects)} WHERE json_type(line, {path}) = 'VARCHAR')
            """).fetchall()
            for n, text in rows:
                found.setdefault(n, (n, text, f"{key.name} is a number here and the same text elsewhere"))
    return list(found.values())


def _column(con: duckdb.DuckDBPyConnection, objects: str, key: _Key) -> tuple[Column, str]:
    """A key's column, and the SQL for its values."""
    import pyarrow as pa

    text = f"(line ->> {_path(key.name)})"
    if not key.kinds:
        return Column(key.name, None), f"CAST({text} AS VARCHAR)"
    if key.kinds == {"BOOLEAN"}:
        return Column(key.name, pa.bool_()), f"CAST({text} AS BOOLEAN)"
    if key.kinds <= NUMBERS:
        return Column(key.name, None), text
    if key.kinds == {"VARCHAR"}:
        return Column(key.name, None, strings=True), text
    if key.kinds <= {"ARRAY", "OBJECT"} and len(key.kinds) == 1:
        return _nested(con, objects, key)
    return Column(key.name, pa.string()), text


def _nested(con: duckdb.DuckDBPyConnection, objects: str, key: _Key) -> tuple[Column, str]:
    """Arrays and objects by the structure that all of them share; where they share none, as JSON text."""
    import pyarrow as pa

    from noria.data.types import arrow_of, sql_of

    value = f"json_extract(line, {_path(key.name)})"
    long = f"bool_or(regexp_matches({value}::VARCHAR, '[0-9]{{{LONG_NUMBER},}}'))"  # which no BIGINT and no DOUBLE may hold
    [(structure, numbers_too_long)] = con.sql(f"SELECT json_group_structure({value})::VARCHAR, {long} FROM {quoted(objects)}").fetchall()
    type = None if numbers_too_long or _is_mixed(json.loads(structure)) else arrow_of(_sql_type(json.loads(structure)))
    if type is None or pa.types.is_string(type):
        return Column(key.name, pa.string()), f"CAST({value} AS VARCHAR)"
    return Column(key.name, type), f"from_json({value}, {literal(json.dumps(_leaves(json.loads(structure))))})::{sql_of(type)}"


def _is_mixed(structure: object) -> bool:
    """Whether values of several kinds stand in one place: as texts, 1 and "1" would become one."""
    if isinstance(structure, dict):
        return any(map(_is_mixed, structure.values()))
    return any(map(_is_mixed, structure)) if isinstance(structure, list) else structure == "JSON"


def _leaves(structure: object) -> object:
    """A structure as the engine writes it, with the types that are stored."""
    if isinstance(structure, dict):
        return {k: _leaves(v) for k, v in structure.items()}
    if isinstance(structure, list):
        return [_leaves(v) for v in structure]
    return LEAVES.get(str(structure), structure)


def _sql_type(structure: object) -> str:
    if isinstance(structure, dict):
        return "STRUCT(" + ", ".join(f"{quoted(k)} {_sql_type(v)}" for k, v in structure.items()) + ")" if structure else "VARCHAR"
    if isinstance(structure, list):
        return f"{_sql_type(structure[0])}[]"
    return LEAVES.get(str(structure), str(structure))


def _path(key: str) -> str:
    """The JSON pointer to a top-level key (RFC 6901)."""
    return literal("/" + key.replace("~", "~0").replace("/", "~1"))
