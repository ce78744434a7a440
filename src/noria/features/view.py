"""Feature views: values per entity from one table, as aggregates over event-time windows or as the latest value.

The point-in-time rule, for every value of a view at time t: only facts with `event_time <= t` and `known_at <= t` count,
each in its latest version known at t, and none older than the window or the `ttl`. With `freshness` set, t is floored to
the last tick first, so that what training sees is what a store refreshed at that pace would serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from noria.core.clock import duration, in_words
from noria.core.errors import UserMistake
from noria.core.sql import quoted
from noria.data.table import Table


@dataclass(frozen=True)
class Aggregate:
    """One aggregate over a window; `expression` is SQL over the table's columns."""

    kind: str
    expression: str
    window: timedelta
    share: float | None = None

    def describe(self) -> str:
        what = self.expression if self.share is None else f"{self.expression}, {self.share:g}"
        return f"{self.kind}({what}) over {in_words(self.window)}"


def count(expression: str = "*", *, window: str) -> Aggregate:
    """How many facts (or non-null values of an expression) lie in the window; 0 when there is none."""
    return Aggregate("count", expression, duration(window))


def mean(expression: str, *, window: str) -> Aggregate:
    """The mean of an expression over the window; null when there is no fact."""
    return Aggregate("mean", expression, duration(window))


def total(expression: str, *, window: str) -> Aggregate:
    """The sum of an expression over the window; null when there is no fact."""
    return Aggregate("sum", expression, duration(window))


def std(expression: str, *, window: str) -> Aggregate:
    """The sample standard deviation of an expression over the window; null below two facts (digits beyond the twelfth may
    differ between engines)."""
    return Aggregate("std", expression, duration(window))


def minimum(expression: str, *, window: str) -> Aggregate:
    """The least value in the window; null when there is no fact."""
    return Aggregate("min", expression, duration(window))


def maximum(expression: str, *, window: str) -> Aggregate:
    """The greatest value in the window; null when there is no fact."""
    return Aggregate("max", expression, duration(window))


def first(expression: str, *, window: str) -> Aggregate:
    """The value of the earliest fact in the window that has one; null when none has."""
    return Aggregate("first", expression, duration(window))


def last(expression: str, *, window: str) -> Aggregate:
    """The value of the latest fact in the window that has one; null when none has."""
    return Aggregate("last", expression, duration(window))


def distinct(expression: str, *, window: str) -> Aggregate:
    """How many different values lie in the window; 0 when there is no fact."""
    return Aggregate("distinct", expression, duration(window))


def quantile(expression: str, share: float, *, window: str) -> Aggregate:
    """The value below which `share` (0 to 1) of the window lies, interpolated linearly; null when there is no fact."""
    if not 0 <= share <= 1:
        raise UserMistake(what=f"{share:g} is not a share", where="nr.quantile", mend="give a number from 0 to 1, such as 0.95")
    return Aggregate("quantile", expression, duration(window), float(share))


@dataclass(frozen=True)
class FeatureView:
    """Values per entity, from one table.

    entity: the key column or columns, present in the table and in the spine
    aggregate: feature name → aggregate
    latest: columns whose latest known value is a feature, or feature name → SQL expression over the latest row; needs `ttl`
    freshness: how often a store is refreshed; times are floored to these ticks
    ttl: the age at which a latest value no longer counts
    owner, description: for people, in the catalogue
    """

    name: str
    table: Table
    entity: str | tuple[str, ...]
    aggregate: Mapping[str, Aggregate] = field(default_factory=dict)
    latest: Sequence[str] | Mapping[str, str] = ()
    freshness: str | None = None
    ttl: str | None = None
    owner: str | None = None
    description: str = ""

    def __post_init__(self) -> None:
        table: Any = self.table
        if not isinstance(table, Table):  # what reads no view can't read itself, in however many steps
            read = f"view {table.name!r}" if isinstance(table, FeatureView) else type(table).__name__
            raise BadView(self.name, f"it reads {read}, not a table", "views read tables only; ingest the values into a table of their own")
        if not self.aggregate and not self.latest:
            raise BadView(self.name, "it declares no value", "give it aggregate={…} or latest=[…]")
        if self.latest and self.ttl is None:
            raise BadView(self.name, "latest values need a ttl", 'add ttl="…": the age at which a value no longer counts')
        if twice := set(self.aggregate) & set(self.latest):
            raise BadView(self.name, f"{', '.join(sorted(twice))} is declared twice", "rename one of them")

    @property
    def entities(self) -> tuple[str, ...]:
        return (self.entity,) if isinstance(self.entity, str) else tuple(self.entity)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the view's values, in their order."""
        return (*self.aggregate, *self.latest)

    @property
    def latest_expressions(self) -> dict[str, str]:
        """The latest values: feature name → SQL over the table's columns."""
        return dict(self.latest) if isinstance(self.latest, Mapping) else {column: quoted(column) for column in self.latest}

    @property
    def latest_reach(self) -> timedelta:
        """How far back a fact can still count as the latest."""
        return duration(self.ttl or "0s")

    @property
    def reach(self) -> timedelta:
        """How far back a fact can still count."""
        spans = [a.window for a in self.aggregate.values()]
        return max([*spans, *([self.latest_reach] if self.latest else [])])

    def definition(self) -> dict[str, Any]:
        """The view as plain data: what its definition hash is made of."""
        return {
            "name": self.name,
            "table": self.table.name,
            "key": self.table.keys,
            "event_time": self.table.event_time,
            "known_at": self.table.known,
            "deleted": self.table.deleted,
            "entity": self.entities,
            "aggregate": {name: a.describe() for name, a in self.aggregate.items()},
            "latest": dict(self.latest) if isinstance(self.latest, Mapping) else list(self.latest),
            "freshness": self.freshness,
            "ttl": self.ttl,
        }


class BadView(UserMistake):
    """A feature view is declared in a way that can't be computed."""

    code = "NR-210"

    def __init__(self, view: str, what: str, mend: str) -> None:
        self.view = view
        super().__init__(what=what, where=f"feature view {view!r}", mend=mend)
