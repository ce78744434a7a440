"""Records as Arrow columns: rows of Python values, as database drivers return them, each value as what it is or its row refused.

A column has the type that the driver's cursor states, or else the one that most of its values are: whole numbers beside fractions
are DOUBLE or, where that would lose digits, DECIMAL; 1 and "1" never become one value. UUIDs, JSON and types that are none of
ours are kept as text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any

from noria.data.sources.port import RawRow, kept_text

if TYPE_CHECKING:
    import pyarrow as pa

Values = Sequence[Any]
MISFIT = object()
DIGITS = 38  # of the longest decimal
EXACT = Context(prec=2 * DIGITS)
KINDS = ("zoned", "naive", "date", "clock", "duration", "bool", "binary", "text")  # kinds of values that no other kind holds


@dataclass(frozen=True)
class Records:
    """Rows of a query: those that fit their columns' types, the others, and the columns that are text still to be typed.

    misfits: the places, from 0, of the rows whose value in a column does not fit it
    """

    rows: pa.Table
    raw: tuple[RawRow, ...]
    texts: frozenset[str]
    misfits: Mapping[str, Collection[int]]


def records(
    names: Sequence[str], rows: Sequence[Values], types: Mapping[str, pa.DataType | None], declared: Collection[str], start: int
) -> Records:
    """Rows as columns. A declared column whose values are of several kinds is text, to be typed as it is declared.

    types: what the cursor states; start: the number of the first row, from 1
    """
    import pyarrow as pa

    columns, texts, misfits, reasons = [], set(), dict[str, frozenset[int]](), dict[int, str]()
    by_column: Iterable[Values] = zip(*rows, strict=True)
    for name, values in zip(names, by_column, strict=True):
        if name in declared and types.get(name) is None and len(kinds_of(values)) > 1:
            texts.add(name)
            values = [_as_text(v) for v in values]
        column, bad = _column(values, types.get(name))
        columns.append(column)
        if bad:
            misfits[name] = frozenset(bad)
            for row in bad:
                reasons.setdefault(row, f"{name} is not {_sql(column.type)}")
    found = pa.Table.from_arrays(columns, names=list(names))
    if reasons:
        found = found.take(pa.array([i for i in range(len(rows)) if i not in reasons], pa.int64()))
    raw = (RawRow(f"row {start + i}", _row_text(names, rows[i]), why) for i, why in sorted(reasons.items()))
    return Records(found, tuple(raw), frozenset(texts), misfits)


def kinds_of(values: Collection[Any]) -> set[str]:
    """The kinds of the values that are there."""
    classes = set(map(type, values)) - {NoneType}
    times = {c for c in classes if issubclass(c, datetime)}
    kinds = {BASIC.get(c, "text") for c in classes - times}
    return kinds | {_kind_of(v) for v in values if isinstance(v, datetime)} if times else kinds


def _row_text(names: Sequence[str], row: Values) -> str:
    return kept_text(json.dumps(dict(zip(names, row, strict=True)), default=_shown, ensure_ascii=False))


def _shown(value: Any) -> str:
    return f"\\x{bytes(value).hex()}" if isinstance(value, bytes | bytearray | memoryview) else str(value)


def _sql(type: pa.DataType) -> str:
    from noria.data.types import sql_of

    return sql_of(type)


# --- columns ------------------------------------------------------------------------------------------------------------


def _column(values: Values, type: pa.DataType | None) -> tuple[pa.Array, list[int]]:
    """Values as a column, and the places of those that do not fit. With no type: as what most of them are."""
    import pyarrow as pa

    if type is not None and pa.types.is_list(type):
        return _fitted(values, _list_type(values, type))
    if not {v.__class__ for v in values} <= AS_THEY_ARE:
        values = [_plain(v) for v in values]
    if type is not None:
        return _fitted(values, type)
    best: tuple[pa.Array, list[int]] | None = None
    for candidate in _candidates(values):
        found = _fitted(values, candidate)
        if not found[1]:
            return found
        best = found if best is None or len(found[1]) < len(best[1]) else best
    return best or (pa.nulls(len(values)), [])


def _candidates(values: Values) -> Iterable[pa.DataType]:
    """The types that a column of such values may have, those that hold several kinds of number first."""
    import pyarrow as pa

    kinds = kinds_of(values)
    if "decimal" in kinds:
        yield decimal_type(values)
    if "float" in kinds:
        yield pa.float64()
    if "whole" in kinds:
        yield pa.int64()
        if "decimal" not in kinds:
            yield decimal_type(values)
    simple = {
        "zoned": pa.timestamp("us", tz="UTC"),
        "naive": pa.timestamp("us"),
        "date": pa.date32(),
        "clock": pa.time64("us"),
        "duration": pa.duration("us"),
        "bool": pa.bool_(),
        "binary": pa.binary(),
        "text": pa.string(),
    }
    yield from (simple[kind] for kind in KINDS if kind in kinds)


def _fitted(values: Values, type: pa.DataType) -> tuple[pa.Array, list[int]]:
    import pyarrow as pa

    kind = _kind(type)
    if {v.__class__ for v in values} - {NoneType} <= DIRECT.get(kind, set()) and _zones_agree(values, kind):
        with suppress(pa.ArrowException, OverflowError, UnicodeError):  # one value does not fit: find it below
            return pa.array(values, type), []
    found = [None if v is None else FIT[kind](v, type) for v in values]
    misfits = [i for i, v in enumerate(found) if v is MISFIT]
    return pa.array([None if v is MISFIT else v for v in found], type), misfits


def _zones_agree(values: Values, kind: str) -> bool:
    if kind not in ("zoned", "naive"):
        return True
    return all(v is None or (v.tzinfo is None) == (kind == "naive") for v in values)


def _kind(type: Any) -> str:
    """What kind of value a column of this type holds."""
    import pyarrow as pa

    from noria.data.types import kind_of

    if pa.types.is_list(type):
        return "list"
    if pa.types.is_time(type):
        return "clock"
    if pa.types.is_duration(type):
        return "duration"
    return "interval" if pa.types.is_interval(type) else kind_of(type)


def _list_type(values: Values, type: Any) -> pa.DataType:
    """A list's type with the dimensions that its values have, and the type of their elements where it is not stated."""
    import pyarrow as pa

    inner, depth, first = type.value_type, 1, next((v for v in values if v), None)
    while first and isinstance(first[0], list):
        depth, first = depth + 1, first[0]
    if pa.types.is_null(inner):
        inner = decimal_type(list(_elements(values)))
    for _ in range(depth):
        inner = pa.list_(inner)
    return inner


def _elements(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _elements(value)
        elif value is not None:
            yield value


def decimal_type(values: Iterable[Any]) -> pa.DataType:
    """The decimal that holds the numbers among the values; where 38 digits do not hold all, the shapes that are commonest."""
    from noria.data.types import decimal_of

    numbers = (_number(v) for v in values)
    shapes = Counter(_shape(n) for n in numbers if n is not None)
    whole = scale = 0
    for shape, _ in shapes.most_common():
        wider = max(whole, shape[0]), max(scale, shape[1])
        if sum(wider) <= DIGITS:
            whole, scale = wider
    return decimal_of(max(whole + scale, 1), scale)


def _number(value: Any) -> Decimal | None:
    """A finite number as a decimal, a float by its shortest text; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return number if number.is_finite() else None


def _shape(number: Decimal) -> tuple[int, int]:
    """How many digits stand before and behind the point; zeros at the end do not count where they would be too many."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), number
    count = len(digits)
    if max(count + exponent, 0) + max(-exponent, 0) > DIGITS:
        while count > 1 and digits[count - 1] == 0:
            count, exponent = count - 1, exponent + 1
    return (0 if not any(digits) else max(count + exponent, 0)), max(-exponent, 0)


# --- values -------------------------------------------------------------------------------------------------------------

AS_THEY_ARE = {NoneType, bool, int, float, Decimal, str, bytes, date, datetime, timedelta}  # of which `_plain` makes nothing else
BASIC: dict[type, str] = {
    bool: "bool",
    int: "whole",
    float: "float",
    Decimal: "decimal",
    str: "text",
    bytes: "binary",
    date: "date",
    timedelta: "duration",
    time: "clock",
}


def _kind_of(value: Any) -> str:
    if isinstance(value, datetime):
        return "naive" if value.tzinfo is None else "zoned"
    return BASIC.get(value.__class__, "text")


def _plain(value: Any) -> Any:
    """A driver's value as one of the basic types; JSON, UUIDs and what is not known here as text."""
    if value is None or value.__class__ in BASIC:
        return value.isoformat() if isinstance(value, time) and value.tzinfo is not None else value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    for basic in (int, float, str):  # a subclass, such as NumPy's
        if isinstance(value, basic):
            return basic(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value if isinstance(value, datetime) or _is_interval(value) else str(value)


def _is_interval(value: Any) -> bool:
    import pyarrow as pa

    return isinstance(value, pa.MonthDayNano)


def _as_text(value: Any) -> Any:
    """A value in the text that a file would have for it; bytes stay bytes, which fit no text."""
    if value is None or isinstance(value, str | bytes):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime | date):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) and value.is_finite() else str(_plain(value))


def _fit_whole(value: Any, _: Any) -> Any:
    number = _number(value)
    if number is None or number.adjusted() > DIGITS or number != number.to_integral_value():
        return MISFIT
    return int(number) if -(2**63) <= number < 2**63 else MISFIT


def _fit_float(value: Any, _: Any) -> Any:
    if isinstance(value, float):
        return value
    number = _number(value)
    if number is None:
        return MISFIT
    try:
        found = float(number)
    except OverflowError:
        return MISFIT
    same = found == value if isinstance(value, int) else Decimal(repr(found)) == number
    return found if same else MISFIT


def _fit_decimal(value: Any, type: Any) -> Any:
    number = _number(value)
    if number is None or number.adjusted() >= type.precision - type.scale:
        return MISFIT
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int), number
    beyond = -exponent - type.scale  # digits behind the last that is kept
    if beyond > 0 and any(digits[-beyond:]):
        return MISFIT
    return number.quantize(Decimal(1).scaleb(-type.scale), context=EXACT) if beyond > 0 else number


def _fit_text(value: Any, _: Any) -> Any:
    if not isinstance(value, str):
        return MISFIT
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return MISFIT
    return value


def _fit_date(value: Any, _: Any) -> Any:
    if isinstance(value, datetime):
        return value.date() if value.tzinfo is None and value.time() == time() else MISFIT
    return value if isinstance(value, date) else MISFIT


def _fit_naive(value: Any, _: Any) -> Any:
    if isinstance(value, datetime):
        return value if value.tzinfo is None else MISFIT
    return datetime.combine(value, time()) if isinstance(value, date) else MISFIT


def _fit_zoned(value: Any, _: Any) -> Any:
    return value if isinstance(value, datetime) and value.tzinfo is not None else MISFIT


def _fit_duration(value: Any, _: Any) -> Any:
    """Durations are stored in nanoseconds: up to 292 years."""
    return value if isinstance(value, timedelta) and abs(value) < timedelta(microseconds=2**63 // 1000) else MISFIT


def _fit_list(value: Any, type: Any) -> Any:
    if not isinstance(value, list):
        return MISFIT
    inner = type.value_type
    kind = _kind(inner)
    plain = value if kind == "list" else [_plain(v) for v in value]
    found = [None if v is None else FIT[kind](v, inner) for v in plain]
    return MISFIT if any(v is MISFIT for v in found) else found


def _instance_of(kind: type) -> Callable[[Any, Any], Any]:
    return lambda value, _: value if isinstance(value, kind) else MISFIT


FIT: dict[str, Callable[[Any, Any], Any]] = {
    "whole": _fit_whole,
    "float": _fit_float,
    "decimal": _fit_decimal,
    "text": _fit_text,
    "date": _fit_date,
    "naive": _fit_naive,
    "zoned": _fit_zoned,
    "duration": _fit_duration,
    "list": _fit_list,
    "bool": _instance_of(bool),
    "binary": _instance_of(bytes),
    "clock": lambda value, _: value if isinstance(value, time) and value.tzinfo is None else MISFIT,
    "interval": lambda value, _: value if _is_interval(value) else MISFIT,
}
# What Arrow converts by itself, and exactly; it refuses what does not fit.
DIRECT: dict[str, set[type]] = {
    "whole": {int},
    "float": {float},
    "decimal": {Decimal, int},
    "bool": {bool},
    "text": {str},
    "binary": {bytes},
    "date": {date},
    "naive": {datetime},
    "zoned": {datetime},
}
