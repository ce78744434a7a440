"""PostgreSQL's types, as a cursor states them, and its values where psycopg has no exact form of them (https://www.psycopg.org).

Times of day, JSON, UUIDs, enums and everything else that tables keep as text are taken in the database's own words. A value that
Python has no form of (`infinity`, the year 10000) comes as its text, so that it can be refused alone.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader
from psycopg.types.string import TextLoader

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE, FLOAT, TIMES = ("int2", "int4", "int8", "oid"), ("float4", "float8"), ("date", "timestamp", "timestamptz")
NATIVE = {*WHOLE, *FLOAT, *TIMES, "bool", "numeric", "bytea", "interval"}
# The forms that values are written in, so that none loses digits or is misread, however the server is set.
WRITTEN = "SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1"
INTERVAL = re.compile(
    r"(?:([+-]?\d+) years?)? ?(?:([+-]?\d+) mons?)? ?(?:([+-]?\d+) days?)? ?(?:([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?"
)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Let a connection's cursors return exact values."""
    connection.execute(WRITTEN)
    for info in connection.adapters.types:
        if info.name not in NATIVE:
            connection.adapters.register_loader(info.oid, TextLoader)
    loaders: dict[str, type[Loader]] = {
        "date": _or_text(DateLoader),
        "timestamp": _or_text(TimestampLoader),
        "timestamptz": _or_text(TimestamptzLoader),
        "interval": IntervalLoader,
        "float4": Float4Loader,
    }
    for name, loader in loaders.items():
        connection.adapters.register_loader(name, loader)


def column_types(connection: psycopg.Connection[Any], description: Any) -> dict[str, pa.DataType | None]:
    """Column → type, as the cursor states it; None where the values say (NUMERIC without a scale)."""
    import pyarrow as pa

    found: dict[str, pa.DataType | None] = {}
    for column in description:
        info = connection.adapters.types.get(column.type_code)
        type = _type(column.name, "text" if info is None else info.name, column.precision, column.scale)
        if info is not None and column.type_code == info.array_oid:
            type = pa.list_(pa.null() if type is None else type)
        found[column.name] = type
    return found


def _type(column: str, name: str, precision: int | None, scale: int | None) -> pa.DataType | None:
    import pyarrow as pa

    from noria.data.types import decimal_of

    if name == "numeric":
        return None if precision is None or scale is None else decimal_of(precision, scale, column)
    if name in WHOLE:
        return pa.int64()
    if name in FLOAT:
        return pa.float64()
    other = {
        "bool": pa.bool_(),
        "bytea": pa.binary(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", tz="UTC"),
        "interval": pa.month_day_nano_interval(),
    }
    return other.get(name, pa.string())


def _or_text(loader: type[Loader]) -> type[Loader]:
    """A loader that returns the text of what the other can't load."""

    class OrText(loader):  # type: ignore[misc, valid-type]
        def load(self, data: Buffer) -> Any:
            try:
                return super().load(data)
            except (psycopg.DataError, ValueError, OverflowError):
                return bytes(data).decode()

    return OrText


class Float4Loader(Loader):
    """A REAL as the number that it is: 0.1 is written, 0.10000000149011612 is stored and compared."""

    def load(self, data: Buffer) -> float:
        return float(struct.unpack("f", struct.pack("f", float(bytes(data))))[0])


class IntervalLoader(Loader):
    """An interval in months, days and nanoseconds, which do not convert into each other."""

    def load(self, data: Buffer) -> Any:
        import pyarrow as pa

        text = bytes(data).decode()
        parts = INTERVAL.fullmatch(text)
        if parts is None or not text:
            return text
        years, months, days, sign, hours, minutes, seconds, fraction = parts.groups()
        count = (int(hours or 0) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
        nanoseconds = count * 10**9 + int((fraction or "").ljust(9, "0"))
        found = int(years or 0) * 12 + int(months or 0), int(days or 0), -nanoseconds if sign == "-" else nanoseconds
        fits = all(abs(n) < 2**31 for n in found[:2]) and abs(found[2]) < 2**63
        return pa.MonthDayNano(found) if fits else text
