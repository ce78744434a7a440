"""The port through which a worker gets features for entities. `noria.features.lookup.EntityLookup` is what implements it; who
knows the project (`noria.loop.live_worker`) hands it in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from noria.core.errors import OutsideWorld, UserMistake
from noria.data.rows import Rows
from noria.models.bundle import Bundle
from noria.stores.online import OnlineStoreFailed


class Lookup(Protocol):
    """Features for entities, by one feature set's definition. Its methods raise `NoriaError`.

    columns: of an entity, as a request carries them; names: of the features, in the order in which they are given
    example: an entity as a request carries it, made from what such columns are known to hold, and from the store, where it may be `shown`
    """

    definition_hash: str
    columns: tuple[str, ...]
    names: tuple[str, ...]

    def decode(self, body: bytes) -> tuple[list[tuple[Any, ...]], list[str | None]]: ...
    def features(self, entities: Sequence[tuple[Any, ...]], at: datetime) -> Rows: ...
    def age_seconds(self, now: datetime) -> float: ...
    def verify(self) -> None: ...
    def example(self, known: Mapping[str, Any], at: datetime, *, shown: bool) -> dict[str, Any]: ...


class OrderedLookup:
    """A lookup whose features come in another order: that of a model trained before they were swapped in the project."""

    def __init__(self, lookup: Lookup, names: tuple[str, ...]) -> None:
        self.definition_hash, self.columns, self.names = lookup.definition_hash, lookup.columns, names
        self.decode, self.age_seconds, self.verify, self.example = lookup.decode, lookup.age_seconds, lookup.verify, lookup.example
        self._lookup, self._places = lookup, [lookup.names.index(name) for name in names]

    def features(self, entities: Sequence[tuple[Any, ...]], at: datetime) -> Rows:
        found = self._lookup.features(entities, at)
        return found.select(tuple(found.fields[place] for place in self._places))


def in_order_of(lookup: Lookup, names: tuple[str, ...]) -> Lookup:
    """A lookup that gives features in this order; `names` are those that it has."""
    return lookup if lookup.names == names else OrderedLookup(lookup, names)


class GuardedLookup:
    """A lookup whose store may go away. Requests are answered in turn, so none may wait long for a store that does not answer:
    once it has failed, they are refused at once until a look from beside the traffic (`age_seconds`, in a thread) finds it well.

    entity: an example of one, as a request carries it; None where none can be made
    """

    def __init__(self, lookup: Lookup, entity: dict[str, Any] | None = None) -> None:
        self._lookup, self.entity = lookup, entity
        self.definition_hash, self.columns, self.names = lookup.definition_hash, lookup.columns, lookup.names
        self.decode, self.verify, self.example = lookup.decode, lookup.verify, lookup.example
        self._failed: OnlineStoreFailed | None = None

    def features(self, entities: Sequence[tuple[Any, ...]], at: datetime) -> Rows:
        if self._failed is not None:
            raise self._failed
        try:
            return self._lookup.features(entities, at)
        except OnlineStoreFailed as error:
            self._failed = error
            raise

    def age_seconds(self, now: datetime) -> float:
        try:
            age = self._lookup.age_seconds(now)
        except OnlineStoreFailed as error:
            self._failed = error
            raise
        self._failed = None
        return age


OpenLookup = Callable[[str, Bundle], Lookup]
"""The lookup of an endpoint for its champion, by the definitions that this was trained with, as far as the project has them."""


class NoLookup(UserMistake):
    """Entities were sent to an endpoint that can't look features up."""

    code = "NR-523"
    http_status = 409

    def __init__(self, endpoint: str, why: str) -> None:
        super().__init__(
            what=f"endpoint {endpoint!r} can't look up features",
            where=why,
            fix="run `noria materialize`, or send the features themselves to /predict/<endpoint>",
        )


class StaleFeatures(OutsideWorld):
    """The online store has fallen behind further than is allowed."""

    code = "NR-524"
    retry_after = 5

    def __init__(self, age: float, allowed: float) -> None:
        super().__init__(
            what="the features in the online store are too old",
            where=f"{age:,.0f} s; serving.most_feature_age_seconds is {allowed:,.0f}",
            fix="run `noria materialize`",
        )
