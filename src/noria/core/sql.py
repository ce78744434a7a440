"""DuckDB, the embedded engine: how it is opened, and how identifiers and literals get into its SQL.

DuckDB is taken because it runs in this process, reads Arrow without copying, and speaks the SQL that views compile to.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def connect(*, may_read_files: bool = False) -> duckdb.DuckDBPyConnection:
    """An in-memory engine in UTC that installs nothing, loads nothing, and, unless told so, opens no file."""
    import duckdb

    con = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    with suppress(duckdb.Error):  # time zones are part of the engine in some builds and an extension in others
        con.execute("LOAD icu")
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")  # in a shell it is on by default, and writes to standard output
    if not may_read_files:
        con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def quoted(identifier: str) -> str:
    """An identifier in double quotes, safe for any text."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal in single quotes, safe for any text."""
    return "'" + text.replace("'", "''") + "'"
