"""Whether a catalog's file is whole, read without changing it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def damage(catalog: Path) -> str | None:
    """What is wrong with a SQLite file, in its own words; None if nothing is. Raises `OSError` and `sqlite3.OperationalError` where it
    can't be read at all."""
    with closing(sqlite3.connect(f"{catalog.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as c:
        try:
            [(said,), *_] = c.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            return str(error)
    return None if said == "ok" else str(said)
