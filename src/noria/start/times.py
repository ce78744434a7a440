"""Which column says when a row happened, and which say what came later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import numpy as np

from noria.core.clock import zone_named
from noria.start.choices import TimeChoice
from noria.start.facts import Facts, numbers_of
from noria.start.mistakes import Ambiguous, FlagDoesNotFit, Undecided

if TYPE_CHECKING:
    import pyarrow as pa

    from noria.start.sample import Sample

FIRST_YEAR, LAST_YEAR = 1900, 2200  # as contracts have it
EARLY = re.compile(
    r"(^|_)(created|placed|started?|begin|began|opened|requested|ordered|booked|event|timestamp|ts|datetime|time|date|at)(_|$)"
)
LATE = re.compile(
    r"(^|_)(end(ed)?|settled|closed|returned|resolved|delivered|arriv(ed|al)|completed|finished|outcome|cancell?ed|churned|due|paid)"
)
KNOWN = re.compile(r"(^|_)(known|reported|published|loaded|ingested|updated|recorded|modified|synced)")
LATER = 0.99  # of the rows, of a time that comes after another
RANGE = "row_time"
MIN_DAYS, MAX_DAYS, ROWS_A_DAY = 30, 90, 20  # over which rows without a time are dated


def choose_time(sample: Sample, facts: Mapping[str, Facts], asked: str | None, zone: str, now: datetime) -> TimeChoice:
    """The event time. Raises `FlagDoesNotFit` for a column that holds no times, and `Undecided` where two are alike."""
    if asked is not None:
        return _chosen(sample, facts[asked], f"asked for by --time {asked}", zone)
    times = [f for f in facts.values() if f.kind == "time" and f.known > 0.5 * f.rows and not f.constant and _plausible(f)]
    if not times:
        return _dated_evenly(sample.rows.num_rows, facts, now)
    if len(times) == 1:
        return _chosen(sample, times[0], "the only column of times", zone)
    ranked = sorted(times, key=lambda f: _rank(f), reverse=True)
    first, second = ranked[0], ranked[1]
    if _rank(first) == _rank(second):
        earlier = _earlier(sample.rows, first.name, second.name)
        if earlier is None:
            raise Undecided(
                f"{first.name!r} and {second.name!r} could both say when a row happened",
                "both are times, and neither is always the earlier one",
                [f"--time {first.name}", f"--time {second.name}"],
            )
        return _chosen(sample, facts[earlier], f"the earliest of the times {', '.join(f.name for f in times)}", zone)
    return _chosen(sample, first, f"the most likely of the times {', '.join(f.name for f in times)}, by its name and detail", zone)


def later_times(rows: pa.Table, facts: Mapping[str, Facts], event: str) -> dict[str, timedelta]:
    """The columns of times that are never before the event time and often after it: column → after how long nearly all of them are."""
    found: dict[str, timedelta] = {}
    if event not in facts:
        return found
    start = numbers_of(rows.column(event))
    for fact in facts.values():
        if fact.kind != "time" or fact.name == event:
            continue
        gap = numbers_of(rows.column(fact.name)) - start
        gap = gap[np.isfinite(gap)]
        if len(gap) and (gap >= 0).mean() >= LATER and (gap > 0).mean() > 0.5:
            found[fact.name] = timedelta(microseconds=float(np.quantile(gap, LATER)))
    return found


def outcome_time(later: Mapping[str, timedelta], facts: Mapping[str, Facts]) -> str | None:
    """The later time that says when an outcome was known: one that every row has, of that meaning."""
    named = [name for name in later if LATE.search(name.lower()) and facts[name].nulls == 0]
    return named[0] if len(named) == 1 else None


def moment_of(value: datetime | date, zone: str) -> datetime:
    """A value of a column of times in UTC."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value if value.tzinfo is not None else value.replace(tzinfo=zone_named(zone))).astimezone(UTC)


def _chosen(sample: Sample, fact: Facts, reason: str, zone: str) -> TimeChoice:
    if fact.kind != "time":
        raise FlagDoesNotFit(
            what=f"{fact.name!r} holds no times",
            where=f"its values are like {', '.join(map(repr, fact.values[:3])) or 'numbers or texts'}",
            fix="name a column of dates or times, or leave --time out: rows are then dated evenly",
        )
    meant = sample.meant.get(fact.name)
    if meant is not None and meant.otherwise is not None:
        raise Ambiguous(fact.name, meant.written or "", meant.otherwise, fact.high)
    known = fact.zoned
    if meant is not None and meant.bad:
        reason += f"; {meant.bad:,} of its values are no times and will be quarantined"
    if meant is not None and meant.written is not None:
        reason += f"; written as {meant.written}, so the rows are copied with times that can be read"
    if fact.nulls and (meant is None or fact.nulls > meant.bad):
        reason += f"; {fact.nulls:,} rows without one will be quarantined"
    if not known:
        reason += f"; it names no time zone and is read as {zone}"
    low, high = moment_of(fact.low, zone), moment_of(fact.high, zone)
    return TimeChoice(fact.name, reason, low, high, written=meant.written if meant else None, zone=None if known else zone)


def _dated_evenly(rows: int, facts: Mapping[str, Facts], now: datetime) -> TimeChoice:
    days = min(MAX_DAYS, max(MIN_DAYS, rows // ROWS_A_DAY))
    end = now.replace(minute=0, second=0, microsecond=0)
    reason = (
        f"no column has times, so the order of the rows is all there is: they are dated evenly over the {days} days before now. "
        "Give --time, or put a real time there, before you trust anything that depends on time"
    )
    return TimeChoice(free_name(RANGE, facts), reason, end - timedelta(days=days), end, made=True)


def free_name(wanted: str, facts: Mapping[str, Facts]) -> str:
    """A name that no column has."""
    taken = {name.lower() for name in facts}
    return next(name for name in (wanted, *(f"{wanted}_{i}" for i in range(2, 1_000))) if name.lower() not in taken)


def _plausible(fact: Facts) -> bool:
    return bool(fact.low.year >= FIRST_YEAR and fact.high.year <= LAST_YEAR)


def _rank(fact: Facts) -> tuple[int, int, int]:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", fact.name).lower()
    meaning = -2 if KNOWN.search(name) else -1 if LATE.search(name) else int(bool(EARLY.search(name)))
    return min(meaning, 0), int(not fact.dated), meaning


def _earlier(rows: pa.Table, one: str, other: str) -> str | None:
    gap = numbers_of(rows.column(other)) - numbers_of(rows.column(one))
    gap = gap[np.isfinite(gap)]
    if not len(gap):
        return None
    if (gap >= 0).mean() >= LATER:
        return one
    return other if (gap <= 0).mean() >= LATER else None
