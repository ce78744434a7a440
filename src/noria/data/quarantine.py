"""Quarantine: what was refused, beside its table, with the reason, where it stood, and its text as it came.

    _reason   why it was refused
    _place    the file and the row or line, or the message
    _raw      the whole text, of what is no row (a ragged line, a message that is not JSON); the path, of a file that was refused
    …         of what is a row (a value does not fit its column, or a rule is broken): the text of each of its columns

All of it is text, so that nothing is lost, and nothing can clash with what an earlier batch left. A source's column that is named
like one of the first three has an underscore more here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from noria.core.sql import RESERVED, connect, literal, quoted
from noria.data.judging import bad_rows_sql
from noria.data.sources.port import PLACE as NUMBER
from noria.data.sources.port import Column, Loaded, Piece
from noria.data.staging import REFUSED, Staging
from noria.data.table import Table
from noria.stores.tables import DeltaTables

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

REASON, PLACE, RAW = "_reason", "_place", "_raw"
OWN = (REASON, PLACE, RAW)
FILE_REFUSED = "file refused: "
LIKE_OWN = re.compile(r"_(reason|place|raw)_*", re.IGNORECASE)


def quarantine_of(table: Table) -> str:
    """The name of the table that holds what was refused for a table."""
    return f"{table.name}__quarantine"


def held(table: Table, store: DeltaTables) -> pa.Table | None:
    """What is in quarantine, as text; None if nothing ever was."""
    found = store.read_or_none(quarantine_of(table))
    return None if found is None else _as_text(found)


def refused_rows(staging: Staging) -> pa.Table:
    """Everything of a batch that goes into quarantine: malformed records, values that do not fit, rows that break a rule."""
    import pyarrow as pa

    own = f"reason AS {REASON}, place AS {PLACE}, CAST(NULL AS VARCHAR) AS {RAW}"
    columns = "".join(f", row[{literal(c)}] AS {quoted(_name_here(c))}" for c in staging.seen)
    rows = staging.con.sql(f"SELECT {own}{columns} FROM (SELECT * FROM {REFUSED} UNION ALL ({bad_rows_sql(staging)}))").to_arrow_table()
    raw = {REASON: [r.reason for r in staging.raw], PLACE: [r.place for r in staging.raw], RAW: [r.text for r in staging.raw]}
    return _aligned([pa.table({name: pa.array(texts, pa.string()) for name, texts in raw.items()}), rows])


def put(table: Table, store: DeltaTables, refused: pa.Table) -> None:
    """Add what is not in quarantine yet. A row that is read again, from whatever place, is the one that is held."""
    if refused.num_rows == 0:
        return
    name, before = quarantine_of(table), store.read_or_none(quarantine_of(table))
    if before is not None and before.schema != _as_text(before).schema:  # written with types, before quarantine was text
        store.replace(name, _as_text(before), {"rows": before.num_rows})
    new = refused if before is None else _not_among(refused, _as_text(before))
    if new.num_rows:
        store.append(name, new, {"rows": new.num_rows})


def note_files(table: Table, store: DeltaTables, staging: Staging) -> None:
    """Hold the files that were refused, each with the reason, until they are taken in."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before = held(table, store)
    if before is not None:
        taken = pa.array(staging.places, pa.string())
        at_last = pc.and_(pc.starts_with(before.column(REASON), FILE_REFUSED), pc.is_in(before.column(RAW), taken))
        if pc.any(at_last).as_py():
            hold_only(table, store, [before.filter(pc.invert(at_last))])
    paths = list(staging.unreadable)
    reasons = [f"{FILE_REFUSED}{reason}" for reason in staging.unreadable.values()]
    texts = {REASON: reasons, PLACE: paths, RAW: paths}
    put(table, store, pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()}))


def hold_only(table: Table, store: DeltaTables, parts: Sequence[pa.Table]) -> None:
    """Make these rows the whole quarantine."""
    rows = _aligned(parts)
    store.replace(quarantine_of(table), rows, {"rows": rows.num_rows})


def as_piece(rows: pa.Table) -> Piece:
    """Quarantined rows as a piece of texts, to be typed and judged again."""
    columns = {c: _name_there(c) for c in rows.column_names if c not in OWN}

    def load(con: duckdb.DuckDBPyConnection, name: str) -> Loaded:
        con.register(f"{RESERVED}held", rows)
        values = "".join(f"{quoted(here)} AS {quoted(there)}, " for here, there in columns.items())
        con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT {values}row_number() OVER () AS {NUMBER} FROM {RESERVED}held")
        con.unregister(f"{RESERVED}held")
        return Loaded(tuple(Column(c, None) for c in columns.values()), rows.num_rows, sparse=True)

    return Piece("quarantine", load)


def _name_here(column: str) -> str:
    return f"{column}_" if LIKE_OWN.fullmatch(column) else column


def _name_there(column: str) -> str:
    return column[:-1] if LIKE_OWN.fullmatch(column) else column


def _not_among(rows: pa.Table, before: pa.Table) -> pa.Table:
    """The rows that are not held yet; what is no row is told apart by its place too."""
    rows, before = _aligned([rows, before.schema.empty_table()]), _aligned([rows.schema.empty_table(), before])
    columns = [c for c in rows.column_names if c != PLACE]
    same = " AND ".join(f"r.{quoted(c)} IS NOT DISTINCT FROM b.{quoted(c)}" for c in columns)
    with connect() as con:
        con.register("rows", rows)
        con.register("before", before)
        found = con.sql(f"SELECT r.* FROM rows r ANTI JOIN before b ON {same} AND (r.{RAW} IS NULL OR r.{PLACE} = b.{PLACE})")
        return found.to_arrow_table().cast(rows.schema)


def _aligned(parts: Sequence[pa.Table]) -> pa.Table:
    """Tables one below the other; a column that one lacks is null there."""
    import pyarrow as pa

    return pa.concat_tables(parts, promote_options="default")


def _as_text(rows: pa.Table) -> pa.Table:
    """Every column as text."""
    import pyarrow as pa

    schema = pa.schema([(c, pa.string()) for c in rows.column_names])
    if rows.schema.equals(schema):
        return rows
    with connect() as con:
        con.register("rows", rows)
        texts = ", ".join(f"{quoted(c)}::VARCHAR AS {quoted(c)}" for c in rows.column_names)
        return con.sql(f"SELECT {texts} FROM rows").to_arrow_table().cast(schema)
