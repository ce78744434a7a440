"""Horizons: outcomes that are the values of a series so long after each occasion.

An occasion is a key with a time in it: (store, hour). Its outcome at a horizon of 6 h is the value of the fact with the key
(store, hour + 6 h), known when that fact became known, corrected and withdrawn as it is. So nothing else is needed than the keys of those
facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from noria.core.clock import EPOCH, duration, microseconds
from noria.core.errors import UserMistake
from noria.data.table import Table
from noria.features.coding import AsNumbers
from noria.features.keys import LOCAL, MOMENT, key_texts, kind_of
from noria.features.label import Coding, Label

if TYPE_CHECKING:
    import pyarrow as pa

_PART = r"(?:[^|\\]|\\.)*"  # of a key of several columns, as `features.keys` writes it
_NAIVE_EPOCH = EPOCH.replace(tzinfo=None)


class NoTimeInKey(UserMistake):
    """A forecast's label has no time among its keys, or several of which none is the event time."""

    code = "NR-250"

    def __init__(self, table: Table, found: Sequence[str]) -> None:
        self.table, self.found = table.name, list(found)
        super().__init__(
            what=f"the key has {len(found)} times ({', '.join(found)})" if found else "the key has no time",
            where=f"nr.Table({table.name!r}, key={', '.join(table.keys)}), the series of a forecast",
            fix='key the series and the spine by their entities and one time: key=["store", "hour"]; of several it is the event time',
        )


class HorizonBeyondMaturity(UserMistake):
    """A label matures before the values that a forecast's longest horizon asks for have happened."""

    code = "NR-251"

    def __init__(self, label: Label, longest: str) -> None:
        self.label, self.longest = label, longest
        super().__init__(
            what=f"outcomes {longest} ahead can't be known within matures={label.matures!r}",
            where=f"nr.Label({label.table.name}, {label.column!r}, …)",
            fix=f"give matures as the longest horizon, {longest}, and how long a value takes to become known after its time",
        )


class BadHorizons(UserMistake):
    """Horizons that are no spans of time above 0 in rising order."""

    code = "NR-252"

    def __init__(self, horizons: object, why: str) -> None:
        self.horizons = horizons
        super().__init__(
            what=why,
            where=f"nr.Forecast(horizons={horizons!r})",
            fix='give each once, from the shortest to the longest, in whole units: ("1h", "6h", "24h")',
        )


def require_horizons(horizons: Any) -> None:
    """Raise `BadHorizons`, and `BadDuration` for what is no span of time."""
    if not isinstance(horizons, list | tuple) or not horizons or not all(isinstance(each, str) for each in horizons):
        raise BadHorizons(horizons, "a forecast needs a list of horizons, written as spans of time")
    spans = [duration(horizon) for horizon in horizons]
    if min(spans) <= timedelta():
        raise BadHorizons(horizons, "a forecast is of what comes: a horizon is above 0")
    if any("." in horizon for horizon in horizons):
        raise BadHorizons(horizons, "a horizon with a fraction")  # a point stands between an output and its label
    if any(after <= before for before, after in pairwise(spans)):
        raise BadHorizons(horizons, "horizons that don't rise")


@dataclass(frozen=True)
class AtHorizons(Coding):
    """The numbers of a series, so long after each occasion. written: the horizons, rising, as people write spans of time"""

    written: tuple[str, ...]

    @property
    def width(self) -> int:
        return len(self.written)

    @property
    def horizons(self) -> tuple[timedelta, ...]:
        return tuple(duration(horizon) for horizon in self.written)

    def require_type(self, label: Label, type_: pa.DataType) -> None:
        """Raise `NotNumbers` for a column of another type, and `HorizonBeyondMaturity`."""
        AsNumbers().require_type(label, type_)
        if label.maturity < self.horizons[-1]:
            raise HorizonBeyondMaturity(label, self.written[-1])

    def require_keys(self, label: Label, schema: pa.Schema) -> None:
        """Raise `NoTimeInKey`."""
        time_of(label.table, label.table.keys, schema)

    def positive(self, label: Label) -> None:  # noqa: ARG002 - of numbers none is
        return None

    def coded(self, label: Label, values: pa.ChunkedArray) -> pa.ChunkedArray:
        return AsNumbers().coded(label, values)


@dataclass(frozen=True)
class KeyTime:
    """Where a key has its time. place: among its parts; parts: how many there are; moment: whether it is a moment, and not a local time"""

    place: int
    parts: int
    moment: bool


def time_of(table: Table, keys: Sequence[str], schema: pa.Schema) -> KeyTime:
    """The time among the key columns of a series. Raises `NoTimeInKey`."""
    kinds = {key: kind_of(schema.field(key).type) for key in keys}
    times = [key for key, kind in kinds.items() if kind in (LOCAL, MOMENT)]
    if table.event_time in times:
        times = [table.event_time]
    if len(times) != 1:
        raise NoTimeInKey(table, times)
    return KeyTime(list(keys).index(times[0]), len(keys), kinds[times[0]] == MOMENT)


def keys_ahead(keys: Sequence[str | None], time: KeyTime, horizons: Sequence[timedelta]) -> list[str | None]:
    """The keys of the facts so long after occasions: all at the first horizon, then all at the next. None where a key has no such time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before, at, after = _taken_apart(pa.array(keys, pa.string()), time)
    found = at.dictionary_encode()
    moments = [_microseconds(text, moment=time.moment) for text in found.dictionary.to_pylist()]
    ahead = list[str | None]()
    for horizon in horizons:
        later = [None if moment is None else moment + microseconds(horizon) for moment in moments]
        values = pa.array(later, pa.timestamp("us", tz="UTC" if time.moment else None))
        texts = key_texts(pa.table({"time": values}), ["time"]).combine_chunks()
        ahead += pc.binary_join_element_wise(before, texts.take(found.indices), after, "").to_pylist()
    return ahead


def _taken_apart(keys: pa.Array, time: KeyTime) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Of each key what stands before its time, the time, and what stands behind it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if time.parts == 1:
        empty = pa.array([""] * len(keys), pa.string())
        return empty, keys, empty
    behind = time.parts - time.place - 1
    found = pc.extract_regex(keys, rf"^(?P<before>(?:{_PART}\|){{{time.place}}})(?P<time>[^|\\]*)(?P<after>(?:\|{_PART}){{{behind}}})$")
    return tuple(pc.struct_field(found, name) for name in ("before", "time", "after"))


def _microseconds(text: str | None, *, moment: bool) -> int | None:
    """A time as keys have it, in microseconds since 1970; None for what is none, or of the other kind."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if (found.tzinfo is not None) != moment:
        return None
    return microseconds(found.astimezone(UTC) - EPOCH if moment else found - _NAIVE_EPOCH)
