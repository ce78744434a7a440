"""DuckDB, the embedded engine: how it is opened, and how identifiers and literals get into its SQL.

DuckDB is taken because it runs in this process, reads Arrow without copying, and speaks the SQL that views compile to.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

SPILL_ABOVE = "3GB"
RESERVED = "__noria_"  # how every column and relation begins that Noria adds to SQL; no column of a source may


def connect(*, may_read_files: bool = False, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory engine in UTC that installs nothing, loads nothing, and, unless told so, opens no file.

    spill: a folder for what does not fit into `SPILL_ABOVE` of memory; whoever names it removes it
    """
    import duckdb

    con = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    if spill is not None:
        con.execute(f"SET temp_directory = {literal(str(spill))}")
        con.execute(f"SET memory_limit = '{SPILL_ABOVE}'")
    with suppress(duckdb.Error):  # time zones are part of the engine in some builds and an extension in others
        con.execute("LOAD icu")
    con.execute("SET TimeZone = 'UTC'")
    if con.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [(True,)]:
        # as in a shell, where it writes to standard output; a notebook without ipywidgets has it off, and refuses this
        con.execute("SET enable_progress_bar = false")
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


def folded(name: str) -> str:
    """A name as DuckDB compares identifiers: without regard to the case of the letters of ASCII."""
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def reserved(name: str) -> bool:
    """Whether a name could be taken for one of Noria's own."""
    return folded(name).startswith(RESERVED)
