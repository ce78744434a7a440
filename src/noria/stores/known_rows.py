"""What was found out of a table's data files, which never change: so that each is read once, in this process and in the next."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from noria.core.ids import canonical_json
from noria.stores.catalog import Catalog, Connection
from noria.stores.schema import known_rows


def known_files(catalog: Catalog, table: str, counted: str, files: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """What is kept of these files of a table, by path. counted: by which columns and in which windows it was found out"""
    rows = catalog.rows(sa.select(known_rows).where(_of_table(table), known_rows.c.counted == counted))
    found = {row.file.removeprefix(_prefix(table)): row.times for row in rows}
    return {path: json.loads(found[path]) for path in files if path in found}


def keep_files(c: Connection, table: str, counted: str, fresh: Mapping[str, Mapping[str, Any]], there: Collection[str]) -> None:
    """Keep what was found out of files, and nothing of those that are no longer there."""
    files = [_prefix(table) + path for path in there]
    c.execute(sa.delete(known_rows).where(_of_table(table), known_rows.c.file.not_in(files)))
    values = [{"file": _prefix(table) + path, "counted": counted, "times": canonical_json(times)} for path, times in fresh.items()]
    c.execute(sa.insert(known_rows), values)


def _of_table(table: str) -> sa.ColumnElement[bool]:
    return known_rows.c.file.startswith(_prefix(table), autoescape=True)


def _prefix(table: str) -> str:
    return f"{table}/"
