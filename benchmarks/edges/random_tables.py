"""Random tables: columns of every Arrow type under odd names, nulls, NaN, repeated rows, versions of one fact that tie, rows that
came late, rows that are retracted, and rows that can't be stored.
"""

# ruff: noqa: DTZ001 - times without a zone are among the values
from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.edges.names import NAMES

START = datetime(2024, 1, 1, tzinfo=UTC)
UTC_US = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Kind:
    """A type of column: how a random value of it is drawn, and what is stored of it."""

    type: pa.DataType
    draw: Callable[[random.Random], Any]
    stored: Callable[[Any], Any] = lambda value: value
    number: bool = False
    entity: bool = False


def _float(r: random.Random) -> float:
    return r.choice([math.nan, math.inf, -math.inf, 1e39, 1e-30, r.uniform(-9, 9), r.uniform(-9, 9), float(r.randint(1, 5)), 2.0**60 + 1])


def _decimal(digits: int, scale: int) -> Callable[[random.Random], Decimal]:
    return lambda r: Decimal(r.randint(-(10**digits) + 1, 10**digits - 1)).scaleb(-scale)


def _whole(low: int, high: int) -> Callable[[random.Random], int]:
    return lambda r: r.choice([low, high, r.randint(low, high), r.randint(max(low, -3), min(high, 3))])


def _text(r: random.Random) -> str:
    return "".join(r.choices("ab0 |\\/'\"\n\0ü🙂", k=r.randint(0, 4)))


def _up(ns: int) -> int:
    return -(-ns // 1000)


def _moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


NS = pa.timestamp("ns")
KINDS: dict[str, Kind] = {
    "int8": Kind(pa.int8(), _whole(-128, 127), number=True, entity=True),
    "int32": Kind(pa.int32(), _whole(-(2**31), 2**31 - 1), number=True, entity=True),
    "int64": Kind(pa.int64(), _whole(-(2**63), 2**63 - 1), number=True, entity=True),
    "uint16": Kind(pa.uint16(), _whole(0, 2**16 - 1), number=True),
    "uint64": Kind(pa.uint64(), _whole(0, 2**64 - 1), Decimal, number=True, entity=True),
    "float16": Kind(pa.float16(), lambda r: np.float16(r.choice([0.5, 2.0, 65504.0, math.nan])), float, number=True),
    "float32": Kind(pa.float32(), lambda r: r.choice([0.5, math.nan, math.inf, float(r.randint(1, 9))]), number=True, entity=True),
    "float64": Kind(pa.float64(), _float, number=True, entity=True),
    "decimal": Kind(pa.decimal128(12, 3), _decimal(12, 3), number=True, entity=True),
    "long decimal": Kind(pa.decimal128(38, 10), _decimal(38, 10)),
    "decimal256": Kind(pa.decimal256(40, 2), _decimal(20, 2), number=True),
    "bool": Kind(pa.bool_(), lambda r: r.random() < 0.5, entity=True),
    "string": Kind(pa.string(), _text, entity=True),
    "large_string": Kind(pa.large_string(), _text, entity=True),
    "string_view": Kind(pa.string_view(), _text),
    "dictionary": Kind(pa.dictionary(pa.int8(), pa.string()), lambda r: r.choice("abc"), entity=True),
    "binary": Kind(pa.binary(), lambda r: r.randbytes(r.randint(0, 3)), entity=True),
    "fixed_size_binary": Kind(pa.binary(2), lambda r: r.randbytes(2)),
    "date32": Kind(pa.date32(), lambda r: date(1900, 1, 1) + timedelta(days=r.randint(0, 90_000)), entity=True),
    "date64": Kind(pa.date64(), lambda r: date(2024, 1, 1) + timedelta(days=r.randint(0, 3))),
    "timestamp s": Kind(pa.timestamp("s"), lambda r: datetime(1900, 1, 1) + timedelta(seconds=r.randint(0, 2**33)), entity=True),
    "timestamp us": Kind(UTC_US, lambda r: _moment(r.randint(-(2**50), 2**51)), entity=True),
    "timestamp ns": Kind(NS, lambda r: r.randint(-(2**61), 2**61), lambda ns: _moment(_up(ns)).replace(tzinfo=None)),
    "time32": Kind(pa.time32("s"), lambda r: r.randint(0, 86_399), lambda s: f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}"),
    "duration": Kind(pa.duration("ms"), lambda r: r.randint(-(2**40), 2**40), lambda ms: ms * 10**6),
    "null": Kind(pa.null(), lambda _: None),
    "list": Kind(pa.list_(pa.int32()), lambda r: r.choice([[], [1], [None, 2], [r.randint(-9, 9)]])),
    "fixed_size_list": Kind(pa.list_(pa.float64(), 2), lambda r: [r.random(), 1.0]),
    "struct": Kind(pa.struct([("a", pa.int8()), ("b", pa.string())]), lambda r: {"a": r.randint(0, 9), "b": r.choice([None, "x"])}),
    "map": Kind(pa.map_(pa.string(), pa.int64()), lambda r: [("k", r.randint(0, 3))]),
}


@dataclass(frozen=True)
class Row:
    """A row as it was drawn: minutes for times, None where there is none; `order` is its place among all that came."""

    id: Any
    event: int | None
    known: int | None
    gone: bool | None
    values: tuple[Any, ...]  # as they come
    order: int


@dataclass(frozen=True)
class Drawn:
    """A table as it was drawn: its columns, the place of the entity among them, and two batches of rows."""

    id: Kind
    columns: dict[str, Kind]
    entity: int
    batches: tuple[list[Row], list[Row]]

    @property
    def rows(self) -> list[Row]:
        return [*self.batches[0], *self.batches[1]]


# --- drawing ------------------------------------------------------------------------------------------------------------


def draw(seed: int) -> Drawn:
    r = random.Random(seed)
    names = r.sample([n for n in NAMES if n.casefold() not in ("id", "at", "known", "gone")], 8)
    kinds = [r.choice(list(KINDS.values())) for _ in names[:-2]]
    entity = r.choice([k for k in KINDS.values() if k.entity])
    number = r.choice([k for k in KINDS.values() if k.number])
    kinds[r.randrange(len(kinds) + 1) : 0] = [entity]
    kinds.append(number)
    columns = dict(zip(names, kinds, strict=True))
    place = kinds.index(entity)
    entities = [entity.draw(r) for _ in range(3)]
    id_kind = r.choice([KINDS["int32"], KINDS["string"], KINDS["uint16"], KINDS["float64"], KINDS["date32"]])
    ids = [id_kind.draw(r) for _ in range(8)]
    rows: list[Row] = []
    for order in range(r.randint(2, 40)):
        if rows and r.random() < 0.15:
            again = r.choice(rows)
            rows.append(Row(again.id, again.event, again.known, again.gone, again.values, order))
            continue
        values = [None if r.random() < 0.2 else kind.draw(r) for kind in kinds]
        values[place] = None if r.random() < 0.1 else r.choice(entities)
        event = r.randint(0, 60)
        rows.append(
            Row(
                None if r.random() < 0.03 else r.choice(ids),
                None if r.random() < 0.03 else event,
                event + r.choice([0, 0, 5, 30]),
                r.random() < 0.1,
                tuple(values),
                order,
            )
        )
    cut = r.randint(1, len(rows) - 1)
    return Drawn(id_kind, columns, place, (rows[:cut], rows[cut:]))


def minute_of(minute: int | None) -> datetime | None:
    return None if minute is None else START + timedelta(minutes=minute)


def arrow(drawn: Drawn, rows: Sequence[Row]) -> pa.Table:
    """Rows as Arrow columns."""
    columns = {
        "id": pa.array([row.id for row in rows], drawn.id.type),
        "at": pa.array([minute_of(row.event) for row in rows], UTC_US),
        "known": pa.array([minute_of(row.known) for row in rows], UTC_US),
        "gone": pa.array([row.gone for row in rows], pa.bool_()),
    }
    for i, (name, kind) in enumerate(drawn.columns.items()):
        columns[name] = pa.array([row.values[i] for row in rows], kind.type)
    return pa.table(columns)
