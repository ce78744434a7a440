"""Feature views: values per entity from one table, as aggregates over event-time windows or as the latest value.

The point-in-time rule, for every value of a view at time t: only facts with `event_time <= t` and `known_at <= t` count,
each in its latest version known at t, and none older than the window or the `ttl`. With `freshness` set, t is floored to
the last tick first, so that what training sees is what a store refreshed at that pace would serve.

Edges: a window of width w holds the facts of (t - w, t], and with `closed="both"` those of [t - w, t]; a `ttl` likewise.
`window="unlimited"` and `ttl="unlimited"` are all history: 400 years, which holds every time that ingestion lets in.

Values: a view of numbers gives float32; one with other values gives each in its own type (`features.fields`). NaN, infinite values and
those beyond ±3.4e38 count as unknown in every aggregate but `count` and `distinct`; as a result, what is not finite in the type of the
feature is unknown (null).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from noria.core.arguments import require
from noria.core.clock import duration, exactly, in_words, microseconds
from noria.core.declarations import declare
from noria.core.errors import UserMistake
from noria.core.names import require_name
from noria.core.sql import quoted
from noria.data.table import Table

ALL_HISTORY = "unlimited"
UNLIMITED = timedelta(days=146_097)  # 400 years
TICK = timedelta(microseconds=1)
KINDS = ("count", "distinct", "first", "last", "max", "mean", "min", "quantile", "std", "sum")


@dataclass(frozen=True)
class Aggregate:
    """One aggregate over a window; `expression` is SQL over the columns of one row of the table."""

    kind: str
    expression: str
    window: timedelta
    share: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserMistake(what=f"there is no aggregate {self.kind!r}", where="nr.Aggregate", fix=f"use one of {', '.join(KINDS)}")
        if self.share is not None and not 0 <= self.share <= 1:
            raise UserMistake(what=f"{self.share:g} is not a quantile", where=f"nr.{self.kind}", fix="use 0 to 1, such as 0.95")
        _require_span(self.window, f"window of {self.kind}({self.expression})", "aggregates over facts")

    def describe(self) -> str:
        what = self.expression if self.share is None else f"{self.expression}, {_share(self.share)}"
        return f"{self.kind}({what}) over {_span_in_words(self.window)}"


def span(text: str | timedelta) -> timedelta:
    """A window or a ttl: a duration, or `unlimited`. Raises `BadDuration`."""
    return UNLIMITED if text == ALL_HISTORY else duration(text)


def _require_span(found: timedelta, name: str, purpose: str) -> None:
    """Raise unless a span is one that facts can lie in."""
    if found < TICK:
        raise UserMistake(
            what=f"the {name} is {exactly(found)}", where=f"it has to be at least 1us: {purpose}", fix='write for example "15m" or "28d"'
        )
    if found > UNLIMITED:
        fix = f'write "{ALL_HISTORY}" for all history'
        raise UserMistake(what=f"the {name} is {found.days:,} days", where="it is longer than 400 years", fix=fix)


def _span_in_words(found: timedelta) -> str:
    return ALL_HISTORY if found == UNLIMITED else exactly(found)


def _share(share: float) -> str:
    """A share in as few digits as tell it from every other."""
    short = f"{share:g}"
    return short if float(short) == share else repr(share)


def count(expression: str = "*", *, window: str) -> Aggregate:
    """How many facts (or non-null values of an expression, of any type) lie in the window; 0 when there is none."""
    return Aggregate("count", expression, span(window))


def mean(expression: str, *, window: str) -> Aggregate:
    """The mean of a number over the window (true and false as 1 and 0); null when there is no fact."""
    return Aggregate("mean", expression, span(window))


def total(expression: str, *, window: str) -> Aggregate:
    """The sum of a number over the window (true and false as 1 and 0); null when there is no fact.

    Exact for whole numbers of up to 64 bits, for decimals of up to 28 digits, and for other numbers, taken as doubles, down to
    magnitudes of 4.6e-41.
    """
    return Aggregate("sum", expression, span(window))


def std(expression: str, *, window: str) -> Aggregate:
    """The sample standard deviation of a number over the window; null below two facts (digits beyond the twelfth may differ
    between engines)."""
    return Aggregate("std", expression, span(window))


def minimum(expression: str, *, window: str) -> Aggregate:
    """The least number, text (by its bytes), time or truth value in the window; null when there is no fact."""
    return Aggregate("min", expression, span(window))


def maximum(expression: str, *, window: str) -> Aggregate:
    """The greatest number, text (by its bytes), time or truth value in the window; null when there is no fact."""
    return Aggregate("max", expression, span(window))


def first(expression: str, *, window: str) -> Aggregate:
    """The value, of any type, of the earliest fact in the window that has one; null when none has."""
    return Aggregate("first", expression, span(window))


def last(expression: str, *, window: str) -> Aggregate:
    """The value, of any type, of the latest fact in the window that has one; null when none has."""
    return Aggregate("last", expression, span(window))


def distinct(expression: str, *, window: str) -> Aggregate:
    """How many different values, of any type, lie in the window: their count, not a list of them; 0 when there is no fact."""
    return Aggregate("distinct", expression, span(window))


def quantile(expression: str, share: float, *, window: str) -> Aggregate:
    """The number below which `share` (0 to 1) of the window lies, interpolated linearly; null when there is no fact."""
    return Aggregate("quantile", expression, span(window), float(share))


@dataclass(frozen=True)
class FeatureView:
    """Values per entity, from one table.

    name: as errors and the feature catalog have it; table: whose rows are aggregated
    entity: the key column or columns, present in the table and in the spine; `()` for values of the whole table
    aggregate: feature name → aggregate
    latest: columns whose latest known value is a feature, or feature name → SQL expression over the latest row; needs `ttl`
    freshness: how often a store is refreshed; times are floored to these ticks
    ttl: the age at which a latest value no longer counts; `"unlimited"`: it always counts
    owner, description: for people, in the catalogue
    closed: which ends of windows and of the ttl count: `"right"`, (t - w, t], or `"both"`, [t - w, t]
    typed: whether numbers and truth values have their own types also where there is nothing else among the values: 64-bit whole numbers
        as such, for one, which float32 can't all hold

    SQL expressions are row-wise and deterministic: they see the columns of one row, and no other row, time or chance.
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
    closed: Literal["right", "both"] = "right"
    typed: bool = False

    def __post_init__(self) -> None:
        table: Any = self.table
        if not isinstance(table, Table):  # what reads no view can't read itself, in however many steps
            read = f"view {table.name!r}" if isinstance(table, FeatureView) else type(table).__name__
            raise BadView(self.name, f"it reads {read}, not a table", "views read tables only; ingest the values into a table of their own")
        require_name("feature view", self.name)
        example = 'aggregate={"visits_6h": nr.count(window="6h")}: each feature\'s name and what it is'
        require(f"nr.FeatureView({self.name!r})", "aggregate", self.aggregate, Mapping, example)
        if self.name == "state":
            raise BadView(self.name, "the online store reserves this name for its own state", "rename the view")
        if not self.aggregate and not self.latest:
            raise BadView(self.name, "it declares no features", "give it aggregate={…} or latest=[…]")
        if self.latest and self.ttl is None:
            raise BadView(self.name, "latest values need a ttl", 'add ttl="…": the age at which a value no longer counts')
        if isinstance(self.latest, str):
            raise BadView(self.name, f"latest={self.latest!r} is a single string", f"give a list: latest=[{self.latest!r}]")
        names = self.features
        if twice := {name for name in names if names.count(name) > 1}:
            raise BadView(self.name, f"{', '.join(sorted(twice))} is declared twice", "rename one of them")
        if len(set(self.entities)) < len(self.entities):
            raise BadView(self.name, "its entity lists a column twice", "list each column once")
        for name, a in self.aggregate.items():
            if not isinstance(a, Aggregate):
                raise BadView(self.name, f"{name!r} is {type(a).__name__}, not an aggregate", "use nr.count, nr.mean, …")
        if self.closed not in ("right", "both"):
            raise BadView(self.name, f"closed={self.closed!r}", 'use closed="right" or closed="both"')
        if self.ttl is not None:
            _require_span(span(self.ttl), f"ttl of feature view {self.name!r}", "latest values expire after it")
        if self.freshness is not None:
            _require_span(duration(self.freshness), f"freshness of feature view {self.name!r}", "times are floored to its ticks")
        declare(self)

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

    def width(self, a: Aggregate) -> int:
        """How many microseconds an aggregate's window holds, the last of them included: facts of (t - width, t] count."""
        return microseconds(a.window + self._edge)

    @property
    def latest_reach(self) -> timedelta:
        """How far back a fact can still count as the latest: facts of (t - latest_reach, t] can."""
        return span(self.ttl or "0s") + self._edge

    @property
    def lookback(self) -> timedelta:
        """How far back a fact can still count."""
        spans = [a.window + self._edge for a in self.aggregate.values()]
        return max([*spans, *([self.latest_reach] if self.latest else [])])

    @property
    def lookback_in_words(self) -> str:
        found = self.lookback - self._edge
        return ALL_HISTORY if found == UNLIMITED else in_words(found)

    @property
    def _edge(self) -> timedelta:
        """What the far edge adds to a window, in whole microseconds, when it counts."""
        return TICK if self.closed == "both" else timedelta()

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
            **({} if self.closed == "right" else {"closed": self.closed}),
            **({"typed": True} if self.typed else {}),
        }


class ViewFailed(UserMistake):
    """The engine refused a view's SQL."""

    code = "NR-211"

    def __init__(self, view: str, reason: str) -> None:
        self.view = view
        super().__init__(
            what=f"feature view {view!r} can't be computed",
            where=reason.strip().splitlines()[0],
            fix="correct the expression in the view's declaration; a column whose name is an SQL keyword needs double quotes",
        )


class BadView(UserMistake):
    """A feature view is declared in a way that can't be computed."""

    code = "NR-210"

    def __init__(self, view: str, what: str, fix: str) -> None:
        self.view = view
        super().__init__(what=what, where=f"feature view {view!r}", fix=fix)
