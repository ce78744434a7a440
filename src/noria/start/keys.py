"""Which columns tell rows apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from noria.core.sql import connect, quoted
from noria.profiles.identifiers import NAMES
from noria.start.choices import KeyChoice
from noria.start.facts import Facts
from noria.start.mistakes import FlagDoesNotFit
from noria.start.times import free_name

if TYPE_CHECKING:
    import pyarrow as pa

ROW = "row_id"
MIN_FACTS = 0.5  # of the rows: where a key names fewer facts, it is not what tells rows apart
ID_NAMES = re.compile(r"(^|[_\W])(id|key|uuid|guid|no|nr|number|code|ref)$|[a-z](Id|ID|Key)$|^id$", re.IGNORECASE)


def choose_key(rows: pa.Table, facts: Mapping[str, Facts], event_time: str, asked: Sequence[str]) -> KeyChoice:
    """The key. Raises `FlagDoesNotFit` for columns that do not tell rows apart."""
    if asked:
        return _asked(rows, facts, asked)
    unique = [f for f in facts.values() if f.unique and f.kind in ("number", "text") and not f.prose and (f.whole or f.kind == "text")]
    named = [f for f in unique if _is_named(f.name)]
    if named:
        return KeyChoice((named[0].name,), "every row has another value, and its name says that it identifies rows")
    counted = [f for f in unique if f.identifies]
    if counted:
        return KeyChoice((counted[0].name,), f"every row has another value, and it is {counted[0].identifies}")
    time = facts.get(event_time)
    if time is not None and time.unique:
        return KeyChoice((event_time,), "every row has a time of its own")
    for name in _entities(facts) if time is not None and not time.nulls else ():
        if _are_unique(rows, (name, event_time)):
            return KeyChoice((name, event_time), f"no {name} has two rows of one time")
    return KeyChoice((free_name(ROW, facts),), "no column tells rows apart, so they are numbered", made=True)


def _asked(rows: pa.Table, facts: Mapping[str, Facts], asked: Sequence[str]) -> KeyChoice:
    flags = " ".join(f"--key {name}" for name in asked)
    lacking = [name for name in asked if facts[name].nulls]
    if lacking:
        raise FlagDoesNotFit(
            what=f"{lacking[0]!r} can't be a key: {facts[lacking[0]].nulls:,} rows have no value",
            where=flags,
            fix="name columns that every row has, or leave --key out",
        )
    reason = f"asked for by {flags}"
    facts_named = _distinct(rows, tuple(asked))
    if facts_named < MIN_FACTS * rows.num_rows:
        raise FlagDoesNotFit(
            what=f"{' and '.join(map(repr, asked))} do{'' if len(asked) > 1 else 'es'} not identify rows: {rows.num_rows:,} rows have "
            f"{facts_named:,} different keys",
            where=f"{flags}; rows with the same key are versions of one fact, of which only the latest would count",
            fix="name columns that tell rows apart, such as " + _telling(rows, facts, asked) + ", or leave --key out",
        )
    if facts_named < rows.num_rows:
        reason += "; several rows have the same key and count as versions of one fact: the latest counts"
    return KeyChoice(tuple(asked), reason)


def _entities(facts: Mapping[str, Facts]) -> list[str]:
    """Columns that may name what a row is about, the likeliest first."""
    found = [f for f in facts.values() if f.kind in ("text", "number") and not f.nulls and not f.prose and 2 <= f.distinct < f.rows]
    found = [f for f in found if f.kind == "text" or (f.whole and _is_named(f.name))]
    return [f.name for f in sorted(found, key=lambda f: (not _is_named(f.name), f.kind != "text", f.distinct))][:8]


def _telling(rows: pa.Table, facts: Mapping[str, Facts], asked: Sequence[str]) -> str:
    """Columns by which rows can be told apart: one alone, or one with those that were asked for."""
    alone = next((name for name, fact in facts.items() if fact.unique and not fact.prose), None)
    if alone is not None:
        return f"--key {alone}"
    more = next((name for name in facts if name not in asked and _are_unique(rows, (*asked, name))), "COLUMN")
    return " ".join(f"--key {name}" for name in (*asked, more))


def _distinct(rows: pa.Table, columns: Sequence[str]) -> int:
    """How many different keys there are."""
    listed = ", ".join(map(quoted, columns))
    with connect() as con:
        con.register("data", rows.select(list(columns)))
        [(distinct,)] = con.sql(f"SELECT count(*) FROM (SELECT DISTINCT {listed} FROM data)").fetchall()
    return int(distinct)


def _are_unique(rows: pa.Table, columns: Sequence[str]) -> bool:
    return bool(_distinct(rows, columns) == rows.num_rows)


def _is_named(name: str) -> bool:
    return bool(NAMES.search(name) or ID_NAMES.search(name))
