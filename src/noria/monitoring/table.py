"""The monitor of a table: the windows of a batch, or of a history of batches, judged against the first of them.

No project is needed, and nothing is kept: every column that can be a number, a category, a text or an embedding is watched for faults and
drift, and the number of rows with them, within one budget of false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import YEAR, duration
from noria.core.errors import nearest
from noria.core.sql import connect
from noria.monitoring.arrow_rows import as_arrow, require_unique
from noria.monitoring.drift import read_drift
from noria.monitoring.drift_reading import MIN_REFERENCE, DriftReading, FaultGroup, Movement
from noria.monitoring.findings import Finding
from noria.monitoring.misdated import Misdated
from noria.monitoring.volume import VolumeDetector, VolumeReading
from noria.monitoring.windowed_table import NotJudged, WindowedTable, cut_table, length
from noria.monitoring.windows import Window
from noria.profiles.profile import Profile, profile
from noria.profiles.projection import Category, Projection, fit_projections, learnt, seconds_of, unjudged
from noria.statistics.e_detector import threshold_for

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Projections = dict[str, list[Projection]]

DRIFT_SHARE, VOLUME_SHARE = 0.8, 0.2  # of the budget
FITTED = 3  # every so many windows of a reference is one, where texts or embeddings are learnt: those are no sample of how others look
AT_ONCE = 20_000  # rows
REPEATED = "(rows that came before)"
ENOUGH = 3  # rows that would be bad, had nothing changed: with fewer, that none is says little


@dataclass(frozen=True)
class TableReading:
    """What is to be said of a table.

    reference: how many windows were learnt from; profile: of those
    drift: of the windows after them; volume: of all from the fifteenth, None where all have as many rows
    left_out: columns not watched at all; of others only the nulls are: see `unjudged`
    """

    name: str
    reference: int
    profile: Profile = field(repr=False)
    drift: DriftReading = field(repr=False)
    volume: VolumeReading | None
    left_out: tuple[str, ...]
    _table: WindowedTable = field(repr=False)
    _by_column: Projections = field(repr=False)

    @property
    def rows(self) -> int:
        return int(self._table.table.num_rows) + self._table.untimed + sum(m.rows for m in self.misdated)

    @property
    def every(self) -> timedelta | int:
        """How long a window is, or how many rows it has."""
        return self._table.span

    @property
    def since(self) -> datetime:
        """When the first window begins."""
        return self._table.starts[0]

    @property
    def untimed(self) -> int:
        """Rows without a time."""
        return self._table.untimed

    @property
    def misdated(self) -> tuple[Misdated, ...]:
        """Rows whose times lie far from all others, and which are not judged."""
        return self._table.misdated

    @property
    def waiting(self) -> int:
        """Rows of a window that is not whole yet."""
        return self._table.waiting

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found, in the order of time; its evidence has `over`, when it was over, or None."""
        found = [*self._volumes(), *self._faults(), *(self._drift(m) for m in self.drift.movements(self._source_of, faults_too=False))]
        return tuple(sorted(found, key=lambda f: f.since))

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """What the codes of each column of categories stand for."""
        found = [p for each in self._by_column.values() for p in each if isinstance(p, Category)]
        return {c.name: (*c.values, "others") if c.others else c.values for c in found}

    @property
    def wrong_now(self) -> list[Finding]:
        """What is not over."""
        return [f for f in self.findings if f.evidence["over"] is None]

    def values(self, start: datetime) -> Floats:
        """The numbers of a window `(rows, columns)`, in the order of the profile."""
        return next(_projected(self._table, self._by_column, [start]))

    @property
    def parts(self) -> list[datetime]:
        """The windows of which the table seems to have but a part, whose rows are not counted: its first, or its last."""
        return sorted(self._table.parts)

    @property
    def unjudged(self) -> dict[str, str]:
        """Columns whose values are not judged, such as identifiers and row counters, and why, in words."""
        return unjudged(self._by_column)

    @property
    def _source_of(self) -> dict[str, str]:
        return dict.fromkeys(self.drift.columns, self.name)

    def _over(self, window: int, share: float = 1.0) -> str | None:
        """When something was over that was last seen in a window, in this share of its rows: when the next window began that has rows.

        None if it lasts, as far as can be known: no rows have come since, or too few to show it.
        """
        after = [start for start in self.drift.starts[window + 1 :] if self._table.count(start)]
        needed = min(ENOUGH / max(share, 1e-9), self._table.count(self.drift.starts[window]))
        return after[0].isoformat() if after and sum(map(self._table.count, after)) >= needed else None

    def _drift(self, moved: Movement) -> Finding:
        first, reading = moved.columns[0], self.drift
        kind = reading.kind(moved.start, {}, first)
        summary = reading.summary(moved, kind, f"{first} has drifted", named=4)
        alarmed = reading.starts[moved.start].isoformat()
        evidence = {"columns": list(moved.columns), "looks_like": kind, "alarmed": alarmed, "over": self._over(moved.end - 1)}
        since = reading.since(moved)
        return Finding("drift", moved.subject, since, "inform", summary, "check what has changed since then", evidence)

    def _faults(self) -> Iterator[Finding]:
        """Each once, as it was in the window in which it was first seen. Rows that come again have values that come again."""
        again = {fault.window for fault in self.drift.faults if fault.column == REPEATED}
        for window in sorted({fault.window for fault in self.drift.faults}):
            for group in self.drift.faulty(window, self._source_of):
                if group.first == window and (group.statistic != "repeats" or window not in again):
                    yield self._fault(group, max(self.drift.lasted[window, name, group.statistic] for name in group.columns))

    def _fault(self, group: FaultGroup, last: int) -> Finding:
        start = self.drift.starts[group.first]
        column, values = group.columns[0], self.values(start)
        cut = self.profile.slice_that_moved(values, column) if group.statistic == "slices" else None
        row = None if cut else self.profile.first_bad(values, column, group.statistic)
        number = None if row is None else self._table.row_of(start, row)
        where = f" ({cut[0]}={self._value(*cut)})" if cut else "" if number is None else f", first in row {number:,}"
        evidence = {"columns": group.columns, "statistic": group.statistic, "share": group.faults[0].share, "first_row": number}
        summary, fix = self._by_source(group).summary(where), f"check what fills {self.name} since then"
        return Finding(
            "data_quality", group.subject, start, "page", summary, fix, {**evidence, "over": self._over(last, group.faults[0].share)}
        )

    def _value(self, column: str, code: float) -> str:
        """What a code of a column stands for."""
        labels = self.labels.get(column, ())
        return labels[int(code)] if 0 <= int(code) < len(labels) else f"{code:g}"

    def _by_source(self, group: FaultGroup) -> FaultGroup:
        """Nulls of all the numbers that a text became are nulls of the text."""
        if group.statistic != "null_share":
            return group
        column_of = {name: column for column, each in self._by_column.items() for p in each for name in p.names}
        sources = {column_of[fault.column]: replace(fault, column=column_of[fault.column]) for fault in group.faults}
        return replace(group, faults=tuple(sources.values()))

    def _volumes(self) -> Iterator[Finding]:
        if self.volume is None or isinstance(self.every, int):
            return
        for run in self.volume.runs(self.every):
            over = None if run[-1].start == self.volume.newest else (run[-1].start + self.every).isoformat()
            evidence = {"rows": run[0].rows, "expected": round(run[0].expected, 1), "over": over}
            fix = f"check what fills {self.name}"
            yield Finding("volume", self.name, run[0].start, "page", self.volume.summary(run[0]), fix, evidence)


def judge_table(
    rows: pa.Table | Any,
    time: str,
    *,
    every: str | timedelta | int = "1d",
    reference: int = 60,
    rolling: bool = False,
    false_alarms_per_year: float = 2.0,
    until: datetime | None = None,
    time_zone: str | None = None,
    name: str = "table",
    leave_out: tuple[str, ...] = (),
) -> TableReading:
    """Cut a table into windows by a column of times, learn from the first of them, and judge the others.

    rows: an Arrow table, or what becomes one: a data frame of pandas or polars
    time: a column of dates or timestamps, UTC without a zone
    every: how long a window is, or how many rows it has: then how many rows come is not judged, and those of the last window that is not
        whole wait
    reference: how many windows are learnt from, at least 20 (30 where there are texts or embeddings, of which a third is spent on learning
        what they are like)
    rolling: each window is compared with as many of the newest before it, whatever those were like: a change is told once, and is usual
        afterwards. Otherwise, with the reference and what was well since
    until: the moment up to which the table is whole, UTC-aware; if left out, the end of the window of its newest row
    time_zone: whose clock the hours and days of windows follow that are shorter than a day, such as `Europe/Berlin`; if left out, that of
        the column `time`, or UTC. Windows are cut, and told, in UTC all the same
    leave_out: columns that are not watched, such as keys
    false_alarms_per_year: over all columns together; name: of the table, as findings have it

    A few rows with times far from all others (1970-01-01, 9999-12-31, a clock that runs years ahead) are left out, and named in `misdated`.

    Raises `NotJudged`, and `BadTimeZone`.
    """
    rows = as_arrow(rows, name)
    span = every if isinstance(every, int) else duration(every)
    check_asked(rows, span, false_alarms_per_year, leave_out, name)
    cut = cut_table(rows, time, span, until, time_zone, name)
    return judge_cut(cut, reference, rolling=rolling, false_alarms_per_year=false_alarms_per_year, name=name, leave_out=leave_out)


def judge_cut(
    cut: WindowedTable,
    reference: int,
    *,
    rolling: bool,
    false_alarms_per_year: float,
    name: str,
    leave_out: tuple[str, ...] = (),
    measured: tuple[str, ...] = (),
) -> TableReading:
    """The same for a table that is cut already. measured: columns whose numbers are never taken for identifiers, such as answers"""
    least = cut.calendar.least(MIN_REFERENCE)
    if reference < least or len(cut.starts) <= reference:
        raise NotJudged(
            what=f"{len(cut.starts)} windows of {length(cut.span)} are too few for a reference of {reference} and at least one to evaluate",
            where=f"{name}, {cut.oldest:%Y-%m-%d %H:%M} to {cut.newest:%Y-%m-%d %H:%M} UTC",
            fix=f"learn from at least {least} windows, and leave some to evaluate: use a shorter `every`, or more history",
        )
    known, projections, left_out = _learn(cut, reference, leave_out, measured)
    drift = _drift(cut, known, projections, reference, false_alarms_per_year, rolling=rolling)
    return TableReading(name, reference, known, drift, _volume(cut, name, reference, false_alarms_per_year), left_out, cut, projections)


def check_asked(rows: pa.Table, span: timedelta | int, budget: float, leave_out: Sequence[str], name: str) -> None:
    """Raise `NotJudged` for windows, a budget or columns that can't be."""
    if not 0 < budget < math.inf or not (span > 0 if isinstance(span, int) else span > timedelta()):
        raise NotJudged(
            what="the window length or the false-alarm budget is out of range",
            where=f"every={length(span)}, false_alarms_per_year={budget}",
            fix="give both above 0",
        )
    for unknown in (column for column in leave_out if column not in rows.column_names):
        raise NotJudged(
            what=f"there is no column {unknown!r} to leave out{nearest(unknown, rows.column_names)}", where=name, fix="correct its name"
        )


def _drift(cut: WindowedTable, known: Profile, projections: Projections, reference: int, budget: float, *, rolling: bool) -> DriftReading:
    """What the windows after the reference say, within the whole budget or drift's share of it."""
    threshold = threshold_of(cut, reference, budget if cut.counted else DRIFT_SHARE * budget)
    starts = cut.starts[reference:]
    windows = (
        Window(start, "", "", len(values), known.statistics(values) if len(values) else None, None)
        for start, values in zip(starts, _projected(cut, projections, starts), strict=True)
    )
    return read_drift(known, windows, threshold, cut.calendar, reference if rolling else None)


def _volume(cut: WindowedTable, name: str, reference: int, budget: float) -> VolumeReading | None:
    """What the numbers of rows say, within volume's share of the budget; None where all windows have as many."""
    if cut.counted:
        return None
    counts = VolumeDetector(name, threshold_of(cut, reference, VOLUME_SHARE * budget), cut.calendar)
    counts.add((start, cut.count(start)) for start in cut.starts if start not in cut.parts)
    return counts.reading()


def threshold_of(cut: WindowedTable, reference: int, budget: float) -> float:
    """The threshold at which so many false alarms are raised in a year of these windows."""
    return threshold_for(alarms_per_year=budget, windows_per_year=YEAR / cut.usual_length(reference))


def _learn(
    cut: WindowedTable, reference: int, leave_out: Sequence[str], measured: Sequence[str]
) -> tuple[Profile, Projections, tuple[str, ...]]:
    """How the columns become numbers, what those were like in the reference, and the columns that can't. Where anything is learnt closely,
    the windows that it is learnt from are not profiled."""
    windows, past = [i for i in range(reference) if i % FITTED], cut.starts[:reference]
    projections, left_out = _fitted(cut, past[::FITTED], leave_out, measured)
    if not learnt(projections):
        windows = list(range(reference))
        projections, left_out = _fitted(cut, past, leave_out, measured)
    return _profile(cut, projections, windows), projections, tuple(left_out)


def _fitted(
    cut: WindowedTable, starts: Sequence[datetime], leave_out: Sequence[str], measured: Sequence[str]
) -> tuple[Projections, list[str]]:
    rows = cut.rows_of(starts)
    return fit_projections(rows, (cut.time, *leave_out), seconds_of(rows.column(cut.time)), measured)


def _profile(cut: WindowedTable, projections: Projections, windows: list[int]) -> Profile:
    starts = [cut.starts[i] for i in windows if cut.count(cut.starts[i])]
    least, starts_from = cut.calendar.least(MIN_REFERENCE), f"{cut.starts[0]:%Y-%m-%d}"
    if len(starts) < least:
        raise NotJudged(
            what=f"only {len(starts)} windows of the reference have rows to learn from",
            where=f"of {len(windows)} from {starts_from} on that were used; with text or embedding columns, two of three are used",
            fix=f"learn from more windows, so that at least {least} have rows",
        )
    values = list(_projected(cut, projections, starts))
    numbers = np.array([cut.calendar.number(start) for start in starts], np.int64)
    names = (*(name for each in projections.values() for p in each for name in p.names), REPEATED)
    require_unique(names, "the features derived from the columns")
    return profile(names, np.concatenate(values), np.repeat(numbers, [len(v) for v in values]))


def _projected(cut: WindowedTable, projections: Projections, starts: Sequence[datetime]) -> Iterator[Floats]:
    """Windows as numbers `(rows, columns)`; several at a time, where they are small."""
    counts = np.array([cut.count(start) for start in starts], np.int64)
    batch = (np.cumsum(counts) - counts) // AT_ONCE  # that each window belongs to
    with connect() as con:
        for number in np.unique(batch):
            own = np.flatnonzero(batch == number)
            rows, borders = cut.rows_of([starts[i] for i in own.tolist()]), np.cumsum(counts[own])[:-1]
            times = seconds_of(rows.column(cut.time))
            parts = [p.of(rows.column(name), times) for name, each in projections.items() for p in each]
            con.register("batch", _for_the_engine(rows))
            hashes = con.sql("SELECT hash(batch) AS hash FROM batch").fetchnumpy()["hash"]
            repeated = np.concatenate([_repeated(part) for part in np.split(np.asarray(hashes), borders)])
            yield from np.split(np.column_stack([*parts, repeated]), borders)


def _for_the_engine(rows: pa.Table) -> pa.Table:
    """Rows whose columns have types that the engine reads, and names of which none can be taken for the whole row."""
    import pyarrow as pa

    columns = {f"c{i}": column for i, column in enumerate(rows.columns)}
    unread = {n: pa.float32() if pa.types.is_float16(c.type) else pa.string() for n, c in columns.items() if _is_unread(c.type)}
    return pa.table({name: column.cast(unread[name]) if name in unread else column for name, column in columns.items()})


def _is_unread(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_float16(kind) or pa.types.is_decimal256(kind))


def _repeated(hashes: NDArray[np.uint64]) -> Floats:
    """Whether each row came before, by its hash: 1 or 0."""
    _, first = np.unique(hashes, return_index=True)
    found = np.ones(len(hashes))
    found[first] = 0.0
    return found
