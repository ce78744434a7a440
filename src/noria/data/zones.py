"""Times that a source writes without a zone: which zone's clock they are of is declared, and they become moments in UTC.

    nr.files("rides.csv", time_zones={"started": "America/New_York"})

A time that has an offset keeps it. In the night in which clocks go back, an hour is there twice: the engine takes the later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from noria.core.clock import zone_named
from noria.core.errors import UserMistake
from noria.core.sql import literal, quoted
from noria.data.sources.port import Loaded
from noria.data.sources.text import value_of
from noria.data.types import kind_of

if TYPE_CHECKING:
    import duckdb

WRITTEN = "%Y-%m-%dT%H:%M:%S.%fZ"


def require_zones(zones: Mapping[str, str] | None, where: str) -> dict[str, str]:
    """The declared zones, column → zone. Raises `BadTimeZone`, and for what is no mapping."""
    if zones is None:
        return {}
    if not isinstance(zones, Mapping):
        raise UserMistake(what=f"time_zones={zones!r} names no column", where=where, fix='write time_zones={"column": "Europe/Berlin"}')
    for name in zones.values():
        zone_named(name)
    return dict(zones)


def in_zones(con: duckdb.DuckDBPyConnection, name: str, loaded: Loaded, zones: Mapping[str, str]) -> Loaded:
    """The rows of the relation `name`, with the times of these columns as moments. Other values stay, and are judged as what they are."""
    import pyarrow as pa

    columns = []
    for column in loaded.columns:
        zone, x = zones.get(column.name), quoted(column.name)
        kind = "text" if column.type is None else kind_of(column.type)
        if zone is not None and kind == "text":
            moment = f"({_naive(x)} AT TIME ZONE {literal(zone)}) AT TIME ZONE 'UTC'"
            con.execute(f"UPDATE {quoted(name)} SET {x} = strftime({moment}, {literal(WRITTEN)}) WHERE {_naive(x)} IS NOT NULL")
        if zone is not None and kind in ("naive", "date"):
            moment = f"{x}::TIMESTAMP AT TIME ZONE {literal(zone)}"
            con.execute(f"ALTER TABLE {quoted(name)} ALTER COLUMN {x} SET DATA TYPE TIMESTAMPTZ USING {moment}")
            column = replace(column, type=pa.timestamp("us", tz="UTC"))
        columns.append(column)
    return replace(loaded, columns=tuple(columns))


def _naive(text: str) -> str:
    """SQL for the time that a text stands for if it has no offset, else null."""
    return f"({value_of(text, 'TIMESTAMP')})"
