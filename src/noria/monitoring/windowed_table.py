"""A table cut into windows: by time, each as long as the others, or by count, each of as many rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.core.calendar import COUNTED, Calendar
from noria.core.clock import BadTimeZone, from_epoch, in_words, microseconds, since_epoch, zone_named
from noria.core.errors import UserMistake, nearest
from noria.monitoring.misdated import Misdated, are_few, body, outside, written

if TYPE_CHECKING:
    import pyarrow as pa

MAX_WINDOWS = 100_000  # eleven years of hours: each is looked at, whether it has rows or not
MIN_WHOLE = 5  # windows that tell when the first and the last row of one usually come
COARSER = tuple(timedelta(seconds=s) for s in (60, 300, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800))
FIRST, LAST = since_epoch(datetime.min.replace(tzinfo=UTC)), since_epoch(datetime.max.replace(tzinfo=UTC))


class NotJudged(UserMistake):
    """A table can't be judged: it has no time to be cut by, or too little of a past."""

    code = "NR-606"


def length(every: timedelta | int) -> str:
    """How long a window is, in words."""
    return f"{every:,} rows" if isinstance(every, int) else in_words(every)


@dataclass(frozen=True)
class WindowedTable:
    """A table in the order of time, with the borders of its windows. numbers: of its rows in the order in which they came, from 1

    untimed: rows without a time; misdated: rows whose times lie far from all others. Neither are in the table.
    until: up to when the table is known to be whole; None where that is not said
    """

    table: pa.Table
    time: str
    span: timedelta | int
    zone: tzinfo
    starts: list[datetime]
    borders: NDArray[np.int64]
    numbers: NDArray[np.int64]
    untimed: int
    misdated: tuple[Misdated, ...]
    oldest: datetime
    newest: datetime
    until: datetime | None = None

    @property
    def counted(self) -> bool:
        """Whether windows are cut by count."""
        return isinstance(self.span, int)

    @cached_property
    def calendar(self) -> Calendar:
        """How its windows lie in time."""
        return Calendar(self.span, zone=self.zone) if isinstance(self.span, timedelta) else COUNTED

    @property
    def waiting(self) -> int:
        """The rows after the last window."""
        return int(self.table.num_rows - self.borders[-1]) if self.counted else 0

    def window(self, start: datetime) -> pa.Table:
        i = self._places[start]
        return self.table.slice(self.borders[i], self.borders[i + 1] - self.borders[i])

    def count(self, start: datetime) -> int:
        i = self._places[start]
        return int(self.borders[i + 1] - self.borders[i])

    def row_of(self, start: datetime, place: int) -> int:
        return int(self.numbers[self.borders[self._places[start]] + place])

    @cached_property
    def parts(self) -> frozenset[datetime]:
        """The windows of which a file has but a part, as it seems: its first, where rows of no other window begin so late, and its last,
        where those of no other end so early, unless it is said up to when the table is whole."""
        if self.counted or len(self.starts) < 2:
            return frozenset()
        us, _ = _microseconds(self.table.column(self.time))
        begins = np.array([since_epoch(start) for start in self.starts], np.int64)
        there = np.flatnonzero(np.diff(self.borders) > 0)
        first, last = us[self.borders[there]] - begins[there], us[self.borders[there + 1] - 1] - begins[there]
        if len(there) <= MIN_WHOLE:
            return frozenset()
        found = {self.starts[0]} if first[0] > first[1:].max() else set()
        return frozenset(found | ({self.starts[-1]} if self.until is None and last[-1] < last[:-1].min() else set()))

    def usual_length(self, windows: int) -> timedelta:
        """How long one of the first so many windows is, on average."""
        if isinstance(self.span, int):
            return max((self.starts[windows] - self.starts[0]) / windows, timedelta(microseconds=1))
        return self.span

    @cached_property
    def _places(self) -> dict[datetime, int]:
        return {start: i for i, start in enumerate(self.starts)}

    def rows_of(self, starts: Sequence[datetime]) -> pa.Table:
        import pyarrow as pa

        return pa.concat_tables([self.window(start) for start in starts])


def no_times(time: str, column: pa.ChunkedArray, name: str) -> NotJudged:
    """The refusal of a column that holds no times, by the first of its values."""
    kind = column.type
    there = column.drop_null()
    first = there[0].as_py() if len(there) else None
    if not isinstance(first, str):
        return NotJudged(
            what=f"column {time!r} is {kind}, not a timestamp", where=name, fix="name another column, or cast it to a timestamp"
        )
    fix = "name the column with the time of each row"
    if re.match(r"\d{4}-\d{2}-\d{2}", first):
        fix = f'make timestamps of them: df["{time}"] = pandas.to_datetime(df["{time}"], utc=True)'
    elif re.match(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}", first):
        fix = f'write the year first, such as 2024-05-31T08:00:00Z: pandas.to_datetime(df["{time}"], dayfirst=True), or dayfirst=False'
    return NotJudged(what=f"column {time!r} holds texts such as {first[:40]!r}, which are no timestamps", where=name, fix=fix)


def cut_table(rows: pa.Table, time: str, span: timedelta | int, until: datetime | None, zone: str | None, name: str) -> WindowedTable:
    """Cut a table by its column `time` into windows of this length, or of so many rows. Raises `NotJudged` and `BadTimeZone`.

    zone: whose clock seasons follow; the column's own if left out
    """
    import pyarrow as pa

    if time not in rows.column_names:
        raise NotJudged(
            what=f"there is no column {time!r}{nearest(time, rows.column_names)}",
            where=name,
            fix="name the timestamp column that assigns rows to windows",
        )
    kind = rows.schema.field(time).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise no_times(time, rows.column(time), name)
    us, timed = _microseconds(rows.column(time))
    order = timed[np.argsort(us, kind="stable")]
    us = np.sort(us)
    if not len(order):
        raise NotJudged(what="no row has a timestamp", where=f"{name}, column {time!r}", fix="give it rows with timestamps")
    kept = body(us, None if isinstance(span, int) else microseconds(span))
    misdated = outside(kept, us, order + 1)
    if not are_few(kept, us):
        raise NotJudged(
            what="; ".join(m.summary for m in misdated),
            where=f"{name}, column {time!r}, whose other {kept.stop - kept.start:,} rows are from {written(us[kept.start])} on",
            fix="correct these times, or leave the rows out",
        )
    us, order = us[kept], order[kept]
    if us[0] < FIRST or us[-1] > LAST:
        raise NotJudged(
            what=f"times run from {written(us[0])} to {written(us[-1])} UTC",
            where=f"{name}, column {time!r}",
            fix="correct the column: seconds may have been read as microseconds, or the other way round",
        )
    starts, borders = _by_count(us, span) if isinstance(span, int) else _by_time(us, span, until, name)
    sorted_already = bool((order == np.arange(rows.num_rows)[: len(order)]).all())
    table = rows.slice(0, len(order)) if sorted_already else rows.take(pa.array(order))
    return WindowedTable(
        table,
        time,
        span,
        _zone_of(kind) if zone is None else zone_named(zone),
        starts,
        borders,
        order + 1,
        rows.num_rows - len(timed),
        misdated,
        from_epoch(int(us[0])),
        from_epoch(int(us[-1])),
        until,
    )


def _microseconds(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the rows that have a time: microseconds since 1970-01-01 UTC `(timed,)`, rounded down, and the places of the rows. Times that are
    too far for that are as far as can be."""
    import pyarrow as pa

    kind = column.type
    unit = "D" if pa.types.is_date32(kind) else "ms" if pa.types.is_date64(kind) else kind.unit
    timed = np.flatnonzero(np.asarray(column.is_valid()))
    numbers = np.asarray(column.drop_null().cast(pa.int32() if unit == "D" else pa.int64()), np.int64)
    if unit == "ns":
        return numbers // 1000, timed
    factor = {"D": 86_400_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}[unit]
    most = 2**62 // factor
    return numbers.clip(-most, most) * factor, timed


def _zone_of(kind: pa.DataType) -> tzinfo:
    """The time zone of a column of times; UTC where it has none, or one that is no place's."""
    try:
        return zone_named(getattr(kind, "tz", None) or "UTC")
    except BadTimeZone:
        return UTC


def _by_time(us: NDArray[np.int64], span: timedelta, until: datetime | None, name: str) -> tuple[list[datetime], NDArray[np.int64]]:
    """When windows of this length begin, and their borders among times in order."""
    width = microseconds(span)
    first, last = int(us[0]) // width, int(us[-1]) // width
    end = last + 1 if until is None else since_epoch(until) // width
    if end - first > MAX_WINDOWS:
        raise NotJudged(
            what=f"{end - first:,} windows of {in_words(span)}",
            where=f"{name}, {written(us[0])} to {written(us[-1])} UTC",
            fix=f"at most {MAX_WINDOWS:,} are allowed, empty ones included: use longer windows (`every`{_coarser(us)}), "
            "or leave older rows out",
        )
    edges = np.arange(first, max(end, first + 1) + 1) * width
    return [from_epoch(int(e)) for e in edges[:-1]], us.searchsorted(edges)


def _coarser(us: NDArray[np.int64]) -> str:
    """A length of windows that is long enough, in words."""
    span = from_epoch(int(us[-1])) - from_epoch(int(us[0]))
    enough = next((each for each in COARSER if span / each <= MAX_WINDOWS / 2), None)
    return "" if enough is None else f", such as {in_words(enough)}"


def _by_count(us: NDArray[np.int64], rows: int) -> tuple[list[datetime], NDArray[np.int64]]:
    """The same of windows of so many rows. Two that begin at the same time are told apart by a microsecond."""
    borders = np.arange(0, len(us) + 1, rows)
    places = np.arange(len(borders) - 1)
    starts = np.maximum.accumulate(us[borders[:-1]] - places) + places
    return [from_epoch(int(start)) for start in starts], borders
