"""Online features: the newest values of every entity, from the online store, the same as offline to the last bit.

    key    = view / definition, order of values and encoding of keys (8 hex digits) / entity's keys as text (`noria.features.keys`)
    record = CRC-32 of key, types and rest (4) · tick (8) · expires (8) · a float32 per value, NaN where unknown
             or, of a view whose values have types of their own, an array of them in MessagePack, nil where unknown, times in microseconds

`tick` is the moment the values are for; from `expires` on the view's latest values no longer count (its ttl), exactly as
offline. A record whose checksum does not fit is refused, never served. The types of a view's values stand in its state, with which it was
written: a reader needs no table to tell.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from noria.core.clock import duration, from_epoch, microseconds, since_epoch
from noria.core.errors import OutsideWorld
from noria.core.ids import digest
from noria.core.signature import Field
from noria.data.rows import Fields, Rows
from noria.features.feature_set import FeatureSet, RequestTransform, transformed
from noria.features.fields import COUNTS, Column, as_rows, is_block, with_values_of
from noria.features.keys import ENCODING, key_parts, key_texts
from noria.features.view import FeatureView
from noria.stores.online import OnlineStore

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float32]

LONGEST_KEY = 300
HASHED = b"\xff"  # before a long key's hash
_HEAD = 4  # bytes of the checksum


class DamagedRecord(OutsideWorld):
    """A record of the online store is not what was written."""

    code = "NR-231"

    def __init__(self, view: str, key: str) -> None:
        self.view, self.key = view, key
        super().__init__(
            what=f"the online values of {view!r} are corrupted",
            where=f"entity {key!r}: the checksum does not match; they were not served",
            fix="rebuild them from the tables: `noria materialize --fresh`",
        )


class NotMaterialized(OutsideWorld):
    """A view's values were asked for before they were ever put into the online store."""

    code = "NR-232"

    def __init__(self, view: str) -> None:
        self.view = view
        super().__init__(
            what=f"view {view!r} is not in the online store",
            where="it was never materialized, or its definition has changed since",
            fix="run `noria materialize`",
        )


@dataclass(frozen=True)
class Layout:
    """How one view's records look: its keys' prefix, and the types of its record. fields: its values where they are not all float32"""

    view: FeatureView
    fields: Fields = ()

    @staticmethod
    def of(view: FeatureView, fields: Fields) -> Layout:
        """Of a view whose values are these."""
        return Layout(view) if is_block(fields) else Layout(view, fields)

    @staticmethod
    def told(view: FeatureView, state: Mapping[str, Any]) -> Layout:
        """That with which a view was written, by its state."""
        return Layout(view, msgspec.convert(state.get("fields", ()), Fields))

    @property
    def state(self) -> dict[str, Any]:
        """What a state says of it: nothing of a view of numbers."""
        return {"fields": msgspec.to_builtins(self.fields)} if self.fields else {}

    @cached_property
    def types(self) -> bytes:
        """What a record's checksum holds besides: the types of its values, where they are not all float32: none is read as another."""
        return msgspec.json.encode(self.fields) if self.fields else b""

    @property
    def values(self) -> Fields:
        """The view's values as fields."""
        return self.fields or tuple(Field(name) for name in self.view.features)

    @property
    def prefix(self) -> bytes:
        made = digest([ENCODING, self.view.definition(), list(self.view.features)])  # a record has its values in this order
        return f"{self.view.name}/{made[:8]}/".encode()

    @property
    def record(self) -> np.dtype[Any]:
        head: list[Any] = [("sum", "<u4"), ("tick", "<i8"), ("expires", "<i8")]
        return np.dtype(head if self.fields else [*head, ("values", "<f4", (len(self.view.features),))])

    @property
    def state_key(self) -> bytes:
        return b"state/" + self.prefix


@dataclass(frozen=True)
class Looked:
    """What a lookup found: a view's values of entities; `tick` and `expires` `(entities,)`, 0 for no record."""

    values: Rows
    tick: NDArray[np.int64]
    expires: NDArray[np.int64]


class OnlineFeatures:
    """The online values of several views. One call reads all views of all entities."""

    def __init__(self, store: OnlineStore, views: Sequence[FeatureView]) -> None:
        self._store, self._views = store, tuple(views)
        self._fields: tuple[Sequence[RequestTransform], Fields] | None = None
        self._opened: list[tuple[Layout, bytes, np.dtype[Any]]] | None = None

    @property
    def _parts(self) -> list[tuple[Layout, bytes, np.dtype[Any]]]:
        """Each view's layout, prefix and record, by the states that stand in the store. Raises `NotMaterialized`."""
        if self._opened is None:
            layouts = [Layout.told(view, self._require_state(view)) for view in self._views]
            self._opened = [(layout, layout.prefix, layout.record) for layout in layouts]
        return self._opened

    def fields_with(self, request: Sequence[RequestTransform]) -> Fields:
        """The values of all views in their order, and the features of transforms behind them. Raises as `read` does."""
        if self._fields is None or self._fields[0] is not request:
            views = [field for layout, _, _ in self._parts for field in layout.values]
            self._fields = request, (*views, *(field for transform in request for field in transform.fields))
        return self._fields[1]

    def read(self, keys: Sequence[Sequence[bytes | None]], at: datetime) -> list[Looked]:
        """For each view, the values of its entities at a moment; `keys` has, for each view, each entity's key (None: unknown).

        Raises `DamagedRecord`, and `NotMaterialized` for a view that the store knows nothing of: an entity without a record is
        then no entity of which nothing is known.
        """
        try:
            return self._read(keys, at)
        except DamagedRecord:
            if not self._written_anew():
                raise
            return self._read(keys, at)

    def _written_anew(self) -> bool:
        """Whether the store has records of other types by now; from now on they are read as such."""
        before = [layout for layout, _, _ in self._parts]
        self._opened = self._fields = None
        return before != [layout for layout, _, _ in self._parts]

    def _read(self, keys: Sequence[Sequence[bytes | None]], at: datetime) -> list[Looked]:
        parts = self._parts
        wanted = [prefix + key for (_, prefix, _), asked in zip(parts, keys, strict=True) for key in asked if key is not None]
        found = self._store.read(wanted)
        checked, place = list[Looked](), 0
        us = since_epoch(at)
        for (layout, _, record), asked in zip(parts, keys, strict=True):
            there = [i for i, key in enumerate(asked) if key is not None]
            end = place + len(there)
            decoded = _decoded_values if layout.fields else _decoded
            checked.append(decoded(layout, record, len(asked), there, wanted[place:end], found[place:end], us))
            place = end
        return checked

    def lookup(self, spine: pa.Table, at: datetime) -> dict[str, Column]:
        """The features of the views for rows that have their entities' columns, as of a moment: name → `(rows,)`."""
        keys = [entity_keys(spine, view.entities) for view in self._views]
        found: dict[str, Column] = {}
        for view, looked in zip(self._views, self.read(keys, at), strict=True):
            found |= _columns(view, looked.values)
        return found

    def _require_state(self, view: FeatureView) -> dict[str, Any]:
        """The state of a view. Raises `NotMaterialized` unless it was materialised under its present definition."""
        state = self.state(view)
        if state is None:
            raise NotMaterialized(view.name)
        return state

    def some_entities(self, view: FeatureView, count: int) -> list[list[str]]:
        """A few entities of a view that are in the store, as the texts of their key's parts. Raises `NotMaterialized`."""
        prefix = next(prefix for layout, prefix, _ in self._parts if layout.view.name == view.name)
        keys = [key.removeprefix(prefix) for key, _ in islice(self._store.scan(prefix), count)]
        texts = [key.decode() for key in keys if key[:1] != HASHED]
        return [parts for text in texts if len(parts := key_parts(text, len(view.entities))) == len(view.entities)]

    def verify(self) -> int:
        """Check every record of the views, and that none is missing; returns how many there are. Raises `DamagedRecord`.

        A flipped bit in the store's own tree can hide a record, from a scan or from a lookup alone, and a lookup can't tell it
        from one that never was: so a reader that is to serve for long verifies once, when it opens the store.
        """
        seen = 0
        for layout, prefix, record in self._parts:
            state = self._require_state(layout.view)
            count, total = 0, 0
            for some in _chunks(self._store.scan(prefix)):
                for (key, data), looked_up in zip(some, self._store.read([key for key, _ in some]), strict=True):
                    _check_record(layout, record.itemsize, key, data)
                    if looked_up != data:
                        raise DamagedRecord(layout.view.name, f"{key!r} is stored but can't be found by its key")
                    count, total = count + 1, total ^ zlib.crc32(key)
            if (count, total) != (state["entities"], state["keys"]):
                raise DamagedRecord(layout.view.name, f"{abs(count - state['entities'])} of {state['entities']:,} are missing or extra")
            seen += count
        return seen

    def state(self, view: FeatureView) -> dict[str, Any] | None:
        """How far a view was materialised, from which version of its table; None if it never was."""
        [found] = self._store.read([Layout(view).state_key])
        if found is None:
            return None
        checksum, text = found[:8], found[8:]
        if checksum != _state_sum(text):
            raise DamagedRecord(view.name, "its state")
        return dict(json.loads(text))


def online_rows(features: FeatureSet, online: OnlineFeatures, spine: pa.Table, at: datetime) -> Rows:
    """What a model reads for rows of the spine at a moment: online values, and request transforms. `online` has the set's views."""
    found = online.lookup(spine, at) | transformed(features.request, spine)
    return as_rows(online.fields_with(features.request), found, spine.num_rows)


def _columns(view: FeatureView, values: Rows) -> dict[str, Column]:
    if not is_block(values.fields):
        return dict(values.columns())
    block = values.block
    return {name: block[:, i] for i, name in enumerate(view.features)}


def entity_keys(rows: pa.Table, entities: Sequence[str]) -> list[bytes | None]:
    """The keys of rows' entities as the store names them (`noria.features.keys`), None where a part is unknown."""
    return [None if text is None else _named(text.encode()) for text in key_texts(rows, entities).to_pylist()]


def _named(key: bytes) -> bytes:
    """A key as it is, or a long one by its beginning and its hash, since stores take short keys only: after a byte that no text
    has, so that it is no other key's name."""
    return key if len(key) <= LONGEST_KEY else HASHED + key[:64] + digest(key).encode()


def encoded(layout: Layout, keys: Sequence[bytes], tick: int, expires: NDArray[np.int64], values: Rows) -> list[tuple[bytes, bytes]]:
    """Records of entities as (key, bytes)."""
    rows = np.empty(len(keys), layout.record)
    rows["tick"], rows["expires"] = tick, expires
    rests = [b""] * len(keys)
    if layout.fields:
        rests = [msgspec.msgpack.encode(row) for row in _plain(values)]
    else:
        rows["values"] = values.block
    size, data, prefix, checksum, types = layout.record.itemsize, rows.tobytes(), layout.prefix, zlib.crc32, layout.types
    records = []
    for i, (key, rest) in enumerate(zip(keys, rests, strict=True)):
        body = data[i * size + _HEAD : (i + 1) * size] + rest
        name = prefix + key
        records.append((name, checksum(body, checksum(types, checksum(name))).to_bytes(4, "little") + body))
    return records


def _plain(rows: Rows) -> Iterable[tuple[Any, ...]]:
    """The rows as MessagePack has them: times as microseconds since 1970-01-01 UTC."""
    columns = [_microseconds(field, rows.column(field.name)).to_pylist() for field in rows.fields]
    return zip(*columns, strict=True)


def _microseconds(field: Field, column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if field.type != "timestamp":
        return column
    return column.cast(with_values_of(column.type, pa.int64()))


def _decoded(
    layout: Layout,
    record: np.dtype[Any],
    count: int,
    there: Sequence[int],
    keys: Sequence[bytes],
    found: Sequence[bytes | None],
    at: int,
) -> Looked:
    values = np.full((count, len(layout.view.features)), np.nan, np.float32)
    ticks, expires = np.zeros(count, np.int64), np.zeros(count, np.int64)
    size, places, whole = record.itemsize, list[int](), list[bytes]()
    for place, key, data in zip(there, keys, found, strict=True):
        if data is None:
            continue
        _check_record(layout, size, key, data)
        places.append(place)
        whole.append(data)
    if whole:
        rows = np.frombuffer(b"".join(whole), record)
        values[places], ticks[places], expires[places] = rows["values"], rows["tick"], rows["expires"]
        if layout.view.latest:
            tick = floored(layout.view, at)
            over = np.flatnonzero(rows["expires"] <= tick)
            if len(over):
                values[np.ix_(np.asarray(places)[over], np.arange(len(layout.view.aggregate), values.shape[1]))] = np.nan
    if len(whole) < count and layout.view.aggregate:
        _without_facts(layout.view, values, ticks)
    return Looked(Rows.dense(layout.values, values), ticks, expires)


def _decoded_values(
    layout: Layout,
    record: np.dtype[Any],
    count: int,
    there: Sequence[int],
    keys: Sequence[bytes],
    found: Sequence[bytes | None],
    at: int,
) -> Looked:
    """The same for records of values in types of their own."""
    view, tick = layout.view, floored(layout.view, at)
    nothing = [0 if name in view.aggregate and view.aggregate[name].kind in COUNTS else None for name in view.features]
    rows, ticks, expires = [nothing] * count, np.zeros(count, np.int64), np.zeros(count, np.int64)
    for place, key, data in zip(there, keys, found, strict=True):
        if data is None:
            continue
        _check_record(layout, record.itemsize, key, data)
        [head] = np.frombuffer(data, record, 1)
        rows[place], ticks[place], expires[place] = _values(layout, key, data[record.itemsize :]), head["tick"], head["expires"]
        if view.latest and expires[place] <= tick:
            rows[place] = [*rows[place][: len(view.aggregate)], *[None] * len(view.latest)]
    return Looked(Rows.of_values(layout.fields, rows), ticks, expires)


def _values(layout: Layout, key: bytes, data: bytes) -> list[Any]:
    """The values of a record. Raises `DamagedRecord` where there are not so many."""
    try:
        values: list[Any] = msgspec.msgpack.decode(data, type=list)
    except msgspec.DecodeError:
        values = []
    if len(values) != len(layout.fields):
        raise DamagedRecord(layout.view.name, _entity(key))
    return values


def _check_record(layout: Layout, size: int, key: bytes, data: bytes) -> None:
    """Raise `DamagedRecord` unless a record is what was written under its key."""
    whole = len(data) > size if layout.fields else len(data) == size
    if not whole or zlib.crc32(data[_HEAD:], zlib.crc32(layout.types, zlib.crc32(key))) != int.from_bytes(data[:_HEAD], "little"):
        raise DamagedRecord(layout.view.name, _entity(key))


def _entity(key: bytes) -> str:
    return key.rpartition(b"/")[2].decode("utf-8", "replace")


def _chunks(records: Iterable[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    records = iter(records)
    while some := list(islice(records, 1000)):
        yield some


def _without_facts(view: FeatureView, values: Floats, ticks: NDArray[np.int64]) -> None:
    """An entity of which nothing is known has counts of 0, as offline."""
    for i, aggregate in enumerate(view.aggregate.values()):
        if aggregate.kind in COUNTS:
            values[ticks == 0, i] = 0.0


def floored(view: FeatureView, at: int) -> int:
    """A moment (microseconds) floored to the view's last tick."""
    return at if view.freshness is None else at - at % microseconds(duration(view.freshness))


def state_record(layout: Layout, state: Mapping[str, Any]) -> tuple[bytes, bytes]:
    text = json.dumps(dict(state), sort_keys=True).encode()
    return layout.state_key, _state_sum(text) + text


def _state_sum(text: bytes) -> bytes:
    return f"{zlib.crc32(text):08x}".encode()


def through(state: Mapping[str, Any]) -> datetime:
    """The moment up to which a state says its view was materialised."""
    return from_epoch(max(int(state["through"]), 0))
