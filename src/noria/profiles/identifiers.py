"""Columns that tell one row from another, or when it came, and measure nothing: identifiers, counters, parts of a date.

Their values never come again, and what comes next was never there before: to judge them as measurements is to alarm for ever.

Whole numbers that hardly ever repeat are identifiers where chance would have made ten times as many repeats (numbers drawn without being
put back), where they are spread evenly over their range (hashes), or where the column's name says so. Counters rise, or fall, from row to
row. A part of a date is what it is of the row's own time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]

MIN_ROWS = 100  # below which nothing is recognised
RISING, NOT_FALLING = 0.95, 0.99  # shares of the steps from row to row, of a counter; of one that may stand still
MIN_STEPS = 10  # of a counter that may stand still
FAR_AHEAD = 0.95  # of the first half of them, above which half of the second half lies
UNIQUE = 0.95  # of the values, of an identifier
NEIGHBOURS, MIN_EXPECTED, FEWER = 10, 10.0, 0.1  # ranks by which density is measured; repeats that chance makes, and so few of them
EVENLY = 1.63  # of 1/√n: the largest distance of Kolmogorov and Smirnov from an even spread, at one in a hundred
TELLS_TIME = 0.75  # of the rows, by UTC: a zone's own days are shifted by some hours
NAMES = re.compile(r"(^|[^a-z])(id|uid|uuid|guid|key|index|idx|rowid|unnamed.*)$", re.IGNORECASE)
IDENTIFIER, COUNTER = "an identifier", "a row counter"


def recognised(name: str, values: Floats, times: Floats | None) -> str | None:
    """What a column of numbers `(rows,)`, NaN where null, in the order of time, is taken for; None where it measures something.

    times: of the rows, seconds since 1970-01-01 UTC `(rows,)`
    """
    known = np.isfinite(values)
    there = values[known]
    if len(there) < MIN_ROWS:
        return None
    if _counts(there):
        return COUNTER
    if not (there == np.floor(there)).all():
        return None
    part = None if times is None else _part_of_a_date(name, there, times[known])
    return part or (IDENTIFIER if _tells_rows_apart(name, there) else None)


def recognised_text(column: pa.ChunkedArray) -> str | None:
    """The same of texts: those that rise from row to row, as dates do that are written year first, and numbered ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = column.cast(pa.string()).drop_null().combine_chunks()
    if len(texts) < MIN_ROWS:
        return None
    in_order = np.asarray(pc.rank(texts, tiebreaker="dense"), np.float64)
    if _counts(in_order):
        return COUNTER
    if in_order.max() <= UNIQUE * len(texts):
        return None
    numbers = pc.struct_field(pc.extract_regex(texts, r"(?P<n>[0-9]{1,15})[^0-9]*$"), 0)
    return COUNTER if not numbers.null_count and _counts(np.asarray(numbers.cast(pa.float64()))) else None


def _counts(values: Floats) -> bool:
    """Whether numbers rise, or fall, from row to row, and get somewhere."""
    return any(_rises(sign * values) for sign in (1, -1))


def _rises(values: Floats) -> bool:
    steps, half = np.diff(values), len(values) // 2
    rising = (steps > 0).mean() > RISING or ((steps > 0).sum() >= MIN_STEPS and (steps >= 0).mean() >= NOT_FALLING)
    return bool(rising and np.median(values[half:]) > np.quantile(values[:half], FAR_AHEAD))


def _tells_rows_apart(name: str, values: Floats) -> bool:
    distinct = np.unique(values)
    repeats = len(values) - len(distinct)
    if len(distinct) < UNIQUE * len(values):
        return False
    expected = _repeats_by_chance(distinct)
    if expected >= MIN_EXPECTED:
        return repeats <= FEWER * expected or bool(NAMES.search(name))
    return bool(NAMES.search(name)) or (repeats == 0 and _is_even(distinct))


def _repeats_by_chance(distinct: Floats) -> float:
    """How many pairs of equal whole numbers a density would make that is as large as that of these distinct ones, which rise."""
    near = distinct[NEIGHBOURS:] - distinct[:-NEIGHBOURS]
    return float((NEIGHBOURS / near).sum() / 2)


def _is_even(distinct: Floats) -> bool:
    """Whether numbers, which rise, are spread evenly from the least to the greatest."""
    place = (distinct - distinct[0]) / (distinct[-1] - distinct[0])
    return bool(np.abs(place - np.linspace(0, 1, len(place))).max() <= EVENLY / np.sqrt(len(place)))


def _part_of_a_date(name: str, values: Floats, times: Floats) -> str | None:
    """The part of the rows' own dates that a column has: where it changes with them, or is named so, or can be nothing else (a year)."""
    days = np.floor(times / 86_400).astype("datetime64[D]")
    months, years = days.astype("datetime64[M]"), days.astype("datetime64[Y]")
    month, day = (months - years).astype(np.int64) + 1, (days - months).astype(np.int64) + 1
    parts = {
        "year": years.astype(np.int64) + 1970,
        "quarter": (month + 2) // 3,
        "month": month,
        "day of the month": day,
        "day of the year": (days - years.astype("datetime64[D]")).astype(np.int64) + 1,
    }
    for part, own in parts.items():
        sure = part == "year" or part.split()[0] in name.lower() or len(np.unique(values)) > 2
        if sure and (values == own).mean() >= TELLS_TIME:
            return f"the {part} of the row's own time"
    return None
