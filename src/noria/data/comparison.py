"""Declared values against a column: SQL that compares a bound or a list of values with what a column stores, exactly or not at all.

Numbers are compared without rounding. On a column of integers or decimals a bound becomes the nearest number of the column within the
range, so that 2.5 works there, and 2**53 + 1 is not 2**53. On a column of floats, decimals are taken as the column would store them. A
float on a column of decimals counts as it is written: 0.1 is a tenth. As a bound of times without a zone, a date is its whole day; a time
of day is compared with the text that it is stored as.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from noria.core.clock import EPOCH
from noria.core.sql import literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_INT64, LARGEST_UINT64 = 2**63 - 1, 2**64 - 1
DATE, TEXT, NAIVE, TIME_OF_DAY = "a date", "text", "a time without a zone", "a time of day"
NUMBER = "a number"
ALSO = {(DATE, NAIVE), (NAIVE, DATE), (TIME_OF_DAY, TEXT)}  # kinds of a value and of a column that differ, and can be compared


class Incomparable(ValueError):
    """A declared value can't be compared with another one, or with a column; its text says why."""


def plain(value: Any) -> Any:
    """A value of numpy as Python's own; others as they are."""
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value


def is_missing(value: Any) -> bool:
    """Whether a value is None or NaN."""
    return value is None or (isinstance(value, float | Decimal) and math.isnan(value))


def kind_of(value: Any) -> str:
    """What a declared value is, such as `"a number"`. Only values of one kind can be compared. Raises `Incomparable`."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float | Decimal):
        return NUMBER
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bytes):
        return "binary"
    if isinstance(value, datetime):
        return NAIVE if value.tzinfo is None else "a time with a zone"
    if isinstance(value, date):
        return DATE
    if isinstance(value, time) and value.tzinfo is None:
        return TIME_OF_DAY
    raise Incomparable(f"{value!r} is a {type(value).__name__}, which no column can hold")


def kind_of_column(kind: pa.DataType) -> str:
    """What the values of a column are, in the words of `kind_of`."""
    import pyarrow as pa

    of = pa.types
    if of.is_dictionary(kind):
        return kind_of_column(kind.value_type)
    if of.is_boolean(kind):
        return "a boolean"
    if of.is_integer(kind) or of.is_floating(kind) or of.is_decimal(kind):
        return NUMBER
    if of.is_string(kind) or of.is_large_string(kind) or of.is_string_view(kind):
        return TEXT
    if of.is_binary(kind) or of.is_large_binary(kind) or of.is_fixed_size_binary(kind) or of.is_binary_view(kind):
        return "binary"
    if of.is_timestamp(kind):
        return NAIVE if kind.tz is None else "a time with a zone"
    if of.is_date(kind):
        return DATE
    return TIME_OF_DAY if of.is_time(kind) else str(kind)


def literal_of(value: Any, kind: pa.DataType) -> str:
    """A value as SQL that equals what a column of this type stores. Raises `Incomparable` where no value of the column can equal it."""
    value = plain(value)
    found, wanted = kind_of(value), kind_of_column(kind)
    if found != wanted and (found, wanted) not in ALSO:
        raise Incomparable(f"{value!r} is {found}, and the column holds {kind}")
    if found == NUMBER:
        return _number(value, kind)
    if isinstance(value, datetime):
        make, start = ("make_timestamptz", EPOCH) if value.tzinfo else ("make_timestamp", EPOCH.replace(tzinfo=None))
        return f"{make}({(value - start) // timedelta(microseconds=1)})"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, time):
        return literal(_as_text(value)) if wanted == TEXT else f"TIME '{value.isoformat()}'"
    return f"from_hex('{value.hex()}')" if isinstance(value, bytes) else str(value).lower() if isinstance(value, bool) else literal(value)


def outside(column: str, low: Any, high: Any, kind: pa.DataType) -> str:
    """SQL that is true for values beyond a closed range; None leaves a side open. NaN lies in no range. Raises `Incomparable`."""
    import pyarrow as pa

    broken = [] if low is None else [_beyond(column, plain(low), kind, "<", math.ceil)]
    broken += [] if high is None else [_beyond(column, plain(high), kind, ">", math.floor)]
    broken += [f"isnan({quoted(column)})"] if pa.types.is_floating(kind) else []
    return " OR ".join(broken)


def none_of(column: str, values: Iterable[Any], kind: pa.DataType) -> str:
    """SQL that is true for values that are none of these. Raises `Incomparable`."""
    import pyarrow as pa

    there = [v for v in map(plain, values) if not is_missing(v) or (v is not None and pa.types.is_floating(kind))]
    if _is_exact(kind):  # what the column can't store equals none of its values
        there = [v for v in there if kind_of(v) != NUMBER or _steps(v, kind) is not None]
    allowed = ", ".join(literal_of(v, kind) for v in there)
    return f"{quoted(column)} NOT IN ({allowed})" if there else f"{quoted(column)} IS NOT NULL"


def _beyond(column: str, bound: Any, kind: pa.DataType, sign: str, inward: Callable[[Fraction], int]) -> str:
    if sign == ">" and kind_of(bound) == DATE and kind_of_column(kind) == NAIVE:
        return "false" if bound == date.max else f"{quoted(column)} >= {literal_of(bound + timedelta(days=1), kind)}"
    if not (_is_exact(kind) and kind_of(bound) == NUMBER):
        return f"{quoted(column)} {sign} {literal_of(bound, kind)}"
    digits, limit = _digits_and_limit(kind)
    steps = inward(_fraction(bound) * 10**digits)
    if -limit <= steps <= limit:
        return f"{quoted(column)} {sign} {_exact(steps, kind)}"
    everything = steps > 0 if sign == "<" else steps < 0
    return f"{quoted(column)} IS NOT NULL" if everything else "false"


def _as_text(value: time) -> str:
    """A time of day as tables store it: `17:30:00`, `17:30:00.5`."""
    return value.isoformat("seconds") + (f".{value.microsecond:06d}".rstrip("0") if value.microsecond else "")


def _number(value: int | float | Decimal, kind: pa.DataType) -> str:
    if _is_exact(kind):
        steps = _steps(value, kind)
        if steps is None:
            raise Incomparable(f"{value!r} is not a valid value for a column of {kind}")
        return _exact(steps, kind)
    try:
        stored = float(value)
    except OverflowError:
        stored = math.inf
    if isinstance(value, int) and stored != value:
        raise Incomparable(f"{value!r} can't be distinguished from neighboring values in a column of {kind}")
    return f"CAST('{stored!r}' AS DOUBLE)"


def _is_exact(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _digits_and_limit(kind: pa.DataType) -> tuple[int, int]:
    """Digits after the point, and the largest number in steps of the last of them."""
    import pyarrow as pa

    return (kind.scale, 10**kind.precision - 1) if pa.types.is_decimal(kind) else (0, LARGEST_UINT64)


def _steps(value: int | float | Decimal, kind: pa.DataType) -> int | None:
    """A number in steps of the column's last digit; None if the column can't store it."""
    if math.isinf(value):
        return None
    digits, limit = _digits_and_limit(kind)
    steps = _fraction(value) * 10**digits
    return int(steps) if steps.denominator == 1 and abs(steps) <= limit else None


def _fraction(value: int | float | Decimal) -> Fraction:
    return Fraction(repr(value)) if isinstance(value, float) and not value.is_integer() else Fraction(value)


def _exact(steps: int, kind: pa.DataType) -> str:
    import pyarrow as pa

    if not pa.types.is_decimal(kind):
        return str(steps) if abs(steps) <= LARGEST_INT64 else f"CAST('{steps}' AS HUGEINT)"
    value = Decimal((steps < 0, tuple(map(int, str(abs(steps)))), -kind.scale))
    return f"CAST('{value:f}' AS DECIMAL({kind.precision},{kind.scale}))"
