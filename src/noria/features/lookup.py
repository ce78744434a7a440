"""Features for requests that name entities: what a request carries, joined with the online store, as training joined it.

A request carries columns of the spine: the keys of every view's entities, and what the request transforms read. Which those are
is found once, by trying the transforms on an empty spine without each column.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import astuple

from noria.core.clock import since_epoch
from noria.core.errors import NoriaError, UserMistake
from noria.data.rows import Rows
from noria.features.feature_set import FeatureSet
from noria.features.keys import BOOLEAN, BYTES, LOCAL, MOMENT, NUMBER, TEXT, TIME_OF_DAY, kind_of
from noria.features.online import OnlineFeatures, online_rows, through
from noria.stores.online import OnlineStore

if TYPE_CHECKING:
    import pyarrow as pa

Entity = tuple[Any, ...]
MAX_ENTITIES = 10_000
TRIED = 20  # entities, of which one is an example
EXACT = 2**53  # up to which every whole number is a double


class BadEntity(UserMistake):
    """A request for entities that can't be answered as it is."""

    code = "NR-240"


class TransformFailed(UserMistake):
    """A request transform raised on what a request carries."""

    code = "NR-241"
    http_status = 500

    def __init__(self, reason: str) -> None:
        super().__init__(what="a request transform failed", where=reason, fix="make it handle such values, including null")


class EntityLookup:
    """Feature rows of one feature set for entities, from an online store.

    spine: the schema of the spine's table; `columns` are those of it that a request carries, all of them required, null allowed
    """

    def __init__(self, features: FeatureSet, store: OnlineStore, spine: pa.Schema) -> None:
        self._features, self._online = features, OnlineFeatures(store, features.views)
        self.definition_hash, self.names = features.definition_hash(), features.features
        self.columns = _carried(features, spine)
        self._schema = _part(spine, self.columns)
        fields: list[tuple[str, Any]] = [(f"c{i}", _python_type(field.type) | None) for i, field in enumerate(self._schema)]
        rename = {f"c{i}": name for i, name in enumerate(self.columns)}
        entity = msgspec.defstruct("Entity", fields, rename=rename, forbid_unknown_fields=True)
        body: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("entities", list.__class_getitem__(entity)),
            ("keys", list[str | None] | None, None),
        ]
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(msgspec.defstruct("Entities", body, forbid_unknown_fields=True))

    def decode(self, body: bytes) -> tuple[list[Entity], list[str | None]]:
        """The entities of a request, as tuples in the order of `columns`, and a key for each, or None. Raises `BadEntity`."""
        try:
            asked = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadEntity(what="the entities can't be read", where=str(error), fix=f"send {self._example}") from error
        entities = [astuple(entity) for entity in asked.entities]
        if not 0 < len(entities) <= MAX_ENTITIES:
            raise BadEntity(what=f"{len(entities):,} entities", where="entities", fix=f"send 1 to {MAX_ENTITIES:,} at a time")
        keys = asked.keys if asked.keys is not None else [None] * len(entities)
        if len(keys) != len(entities):
            what = f"{len(keys)} keys for {len(entities)} entities"
            raise BadEntity(what=what, where="keys", fix="send one key for each entity, or none at all")
        return entities, keys

    def features(self, entities: Sequence[Entity], at: datetime) -> Rows:
        """The features of entities as of a moment (UTC).

        Raises `NotMaterialized`, `DamagedRecord`, `OnlineStoreFailed` or `TransformFailed`.
        """
        import pyarrow as pa

        columns = [_column(values, field) for values, field in zip(zip(*entities, strict=True), self._schema, strict=True)]
        rows = pa.Table.from_arrays(columns, schema=self._schema)
        try:
            return online_rows(self._features, self._online, rows, at)
        except NoriaError:
            raise
        except Exception as error:  # whatever the user's request transform raises
            raise TransformFailed(f"{type(error).__name__}: {error}") from error

    def age_seconds(self, now: datetime) -> float:
        """How old the oldest of the views is in the store. Raises as `features` does."""
        states = [self._online.state(view) for view in self._features.views]
        ages = [float("inf") if state is None else (since_epoch(now) - since_epoch(through(state))) / 1e6 for state in states]
        return max(ages, default=0.0)

    def verify(self) -> None:
        """Check every record of the views. Raises `NotMaterialized` or `DamagedRecord`."""
        self._online.verify()

    def example(self, known: Mapping[str, Any], at: datetime, *, shown: bool) -> dict[str, Any]:
        """An entity as a request carries it: of a few in the store, the one of which most is known at a moment (UTC).

        known: what a request may hold of columns that no view is keyed by; shown: whether entities of the store may be

        Raises as `features` does.
        """
        entities = self._some_entities() if shown else [{}]
        candidates = [
            {field.name: entity.get(field.name, known.get(field.name, _made_up(field.type))) for field in self._schema}
            for entity in entities
        ]
        decoded, _ = self.decode(msgspec.json.encode({"entities": candidates}))
        unknown = [sum(value is None or value != value for value in row) for row in self.features(decoded, at).values()]
        return candidates[unknown.index(min(unknown))]

    def _some_entities(self) -> list[dict[str, Any]]:
        """A few entities of the first view, each with one of every other view for columns that the first does not name; one without
        any, where the store is empty."""
        found: list[dict[str, Any]] = [{}]
        for view in self._features.views:
            there = self._online.some_entities(view, TRIED)
            named = [
                {name: _of_text(text, self._schema.field(name).type) for name, text in zip(view.entities, parts, strict=True)}
                for parts in there
            ]
            if len(found) == 1:
                found = [{**each, **found[0]} for each in named] or found
            elif named:
                found = [{**named[place % len(named)], **each} for place, each in enumerate(found)]
        return found

    @property
    def _example(self) -> str:
        columns = ", ".join(f'"{field.name}": {field.type}' for field in self._schema)
        return f'{{"entities": [{{{columns}}}]}}'


def _carried(features: FeatureSet, spine: pa.Schema) -> tuple[str, ...]:
    """The spine's columns that entities and transforms read, in the spine's order."""
    entities = {name for view in features.views for name in view.entities}
    return tuple(name for name in spine.names if name in entities or _is_read(features, spine, name))


def _is_read(features: FeatureSet, spine: pa.Schema, column: str) -> bool:
    """Whether a request transform can't do without a column."""
    without = _part(spine, [name for name in spine.names if name != column]).empty_table()
    for transform in features.request:
        try:
            transform(without)
        except NoriaError:
            raise
        except Exception:  # whatever the user's function raises: it wants the column  # noqa: BLE001
            return True
    return False


def _part(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([schema.field(name) for name in names])


def _python_type(kind: pa.DataType) -> Any:
    """What a request's JSON is read as for a column: bytes are written in base64, times and dates as ISO 8601."""
    import datetime as dates
    from decimal import Decimal

    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _python_type(kind.value_type)
    for test, python in (
        (pa.types.is_boolean, bool),
        (pa.types.is_integer, int | float),
        (pa.types.is_floating, int | float),
        (pa.types.is_decimal, Decimal),
        (pa.types.is_timestamp, datetime),
        (pa.types.is_date, dates.date),
        (pa.types.is_time, dates.time),
        (lambda kind: kind_of(kind) == BYTES, bytes),
        (lambda kind: kind_of(kind) == TEXT, str),
    ):
        if test(kind):
            return python
    return Any


def _of_text(text: str, kind: pa.DataType) -> Any:
    """A part of a key, as `noria.features.keys` writes it, as a request's JSON holds it."""
    if kind_of(kind) == NUMBER:
        return float(text) if "." in text else int(text)
    if kind_of(kind) == BOOLEAN:
        return text == "true"
    if kind_of(kind) == BYTES:
        return b64encode(bytes.fromhex(text)).decode()
    if kind_of(kind) in (LOCAL, MOMENT):
        return _written_time(text.replace(" ", "T").replace("+00", "Z"), kind)
    return text


def _written_time(text: str, kind: pa.DataType) -> str:
    """A date or a time as a type's values are written: a time at midnight has its hours."""
    import pyarrow as pa

    return f"{text}T00:00:00" if pa.types.is_timestamp(kind) and "T" not in text else text


def _made_up(kind: pa.DataType) -> Any:
    """A value of a type, of whose column nothing is known."""
    if kind_of(kind) == LOCAL:
        return _written_time("2026-01-01", kind)
    return {NUMBER: 1, BOOLEAN: True, TEXT: "text", MOMENT: "2026-01-01T12:00:00Z", TIME_OF_DAY: "12:00:00"}.get(kind_of(kind) or "")


def _column(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Values of a request as a column of the spine's type. Raises `BadEntity` for a value that it can't hold as it is."""
    import pyarrow as pa

    kind = field.type
    try:
        return pa.array(_exact(values, kind), kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise BadEntity(
            what=f"a value of {field.name!r} is not of type {kind}", where=str(error), fix="send values of the table's types"
        ) from error
    except BadEntity as error:
        raise BadEntity(what=f"{error.what} ({field.name!r})", where=error.where, fix=error.fix) from error


def _exact(values: Sequence[Any], kind: pa.DataType) -> Sequence[Any]:
    """Values as a column of this type has them. Raises `BadEntity` for one that it can't hold as it is."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return [_time(value, zoned=kind.tz is not None) for value in values]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return [_number(value, whole=pa.types.is_integer(kind)) for value in values]
    if pa.types.is_decimal(kind) and not all(value is None or value.is_finite() for value in values):
        raise BadEntity(what="a number is not finite", where="entities", fix="send null for a value that is not known")
    return values


def _time(value: datetime | None, *, zoned: bool) -> datetime | None:
    if value is None:
        return None
    if zoned and value.tzinfo is None:
        raise BadEntity(what=f"the time {value.isoformat()} has no time zone", where="entities", fix="add an offset, such as Z")
    if not zoned and value.tzinfo is not None:
        raise BadEntity(what=f"the time {value.isoformat()} has a time zone", where="entities", fix="leave it out: the table has none")
    return value.astimezone(UTC) if zoned else value


def _number(value: float | None, *, whole: bool) -> float | None:
    """A number as a column of whole numbers or of doubles has it, exactly: another number would be another entity."""
    if value is None:
        return None
    if isinstance(value, int):
        if whole or abs(value) <= EXACT or _is_double(value):
            return value if whole else float(value)
        raise BadEntity(what=f"{value} has more digits than its column can hold", where="entities", fix="send a number that it can hold")
    if not whole:
        return value
    if not value.is_integer() or abs(value) > EXACT:
        raise BadEntity(what=f"{value!r} is not a whole number", where="entities", fix="send integers, with all their digits")
    return int(value)


def _is_double(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False
