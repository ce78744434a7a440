"""A request to predict, whatever protocol it came by: rows in a model's own columns, and a place for the answer."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np

from noria.core.clock import Stopwatch
from noria.core.errors import NoriaError, UserMistake
from noria.core.signature import dense_type
from noria.data.rows import Block, Fields, Rows, stacked
from noria.models.bundle import Bundle

MAX_ROWS = 10_000


class BadRequest(UserMistake):
    """A request that can't be answered as it is."""

    code = "NR-510"
    http_status = 400


class NotHere(BadRequest):
    """A path or an endpoint that does not exist."""

    code = "NR-514"
    http_status = 404


Row = tuple[Any, ...]  # values in the order of the model's inputs, None where unknown
ALL = dict[str, bool]()
Stamp = tuple[int, Stopwatch]  # when a turn of the loop began to read requests (microseconds UTC), and a watch since then


class Responder(Protocol):
    """Who asked: gets the answer, or why there is none."""

    def answered(self, bundle: Bundle, predictions: list[Any], ids: list[str], fallback: str | None) -> None:
        """A prediction and an id for each row: a model's one output, or a dict of its several.

        fallback: `previous` or `default`, where the champion did not answer
        """

    def fail(self, error: NoriaError) -> None: ...
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""


class PredictRequest:
    """What a request asks for: `count` rows of a model's inputs, and a key per row or None (None: no keys at all).

    Rows stay as they were decoded until a batch is made: one conversion for many requests. What most requests don't have is the
    class's, so that making one costs little.

    wanted: the outputs that are asked for, and whether each as bytes (none: all, as they are)
    entities: what the rows are yet to be looked up by
    client, stamp, deadline: who gets the answer, since when it waits, and until when it is of use; set by the batcher, as is its trace
    """

    request_id: str | None = None
    wanted: Mapping[str, bool] = ALL
    entities: list[tuple[Any, ...]] | None = None
    deadline: float | None = None
    trace: Any = None
    client: Responder
    stamp: Stamp

    def __init__(self, rows: list[Row] | Rows, keys: list[str | None] | None = None) -> None:
        self.rows, self.keys, self.count = rows, keys, len(rows)

    @staticmethod
    def by_entities(entities: list[tuple[Any, ...]], keys: list[str | None]) -> PredictRequest:
        asked = PredictRequest([], keys)
        asked.entities, asked.count = entities, len(entities)
        return asked

    def __len__(self) -> int:
        return self.count


def rows_of(asked: Sequence[PredictRequest], fields: Fields) -> Rows:
    """The rows of requests as one; a number beyond its field's float is infinite. Raises `BadRequest` for a value that does not fit."""
    parts = [a.rows for a in asked]
    kind = dense_type(fields)
    listed = [row for part in parts if isinstance(part, list) for row in part]
    if len(listed) == sum([a.count for a in asked]):
        return _columns(fields, listed) if kind is None else Rows.dense(fields, _block(listed, kind))
    return stacked([part if isinstance(part, Rows) else rows_of([each], fields) for part, each in zip(parts, asked, strict=True)])


def parts_of(asked: PredictRequest, rows: int) -> list[PredictRequest]:
    """A request of decoded rows as several of at most so many."""
    keys, listed = asked.keys, asked.rows
    assert isinstance(listed, list), "plain JSON is decoded into a list"
    return [PredictRequest(listed[at : at + rows], keys and keys[at : at + rows]) for at in range(0, len(listed), rows)]


def _block(rows: Sequence[Row], kind: str) -> Block:
    width = len(rows[0])
    try:  # half again as quick as numpy, and takes neither None nor what is beyond float32
        packed = struct.pack(f"{len(rows) * width}{'f' if kind == 'float32' else 'd'}", *chain.from_iterable(rows))
        return np.frombuffer(packed, kind).reshape(-1, width)
    except (struct.error, OverflowError):
        with np.errstate(over="ignore"):
            return np.array(rows, dtype=kind)


def _columns(fields: Fields, rows: Sequence[Row]) -> Rows:
    try:
        return Rows.of_values(fields, rows)
    except (ValueError, TypeError, OverflowError) as error:  # Arrow's own errors are of these
        kinds = ", ".join(field.described for field in fields)
        raise BadRequest(
            what=f"a value does not fit its column: {error}"[:200], where="the body", fix=f"the columns are {kinds}"
        ) from error


def keys_of(asked: Sequence[PredictRequest]) -> list[str | None]:
    """The keys of the rows of requests."""
    if not any([a.keys for a in asked]):  # noqa: C419 - a list is quicker here
        return [None] * sum([a.count for a in asked])
    return [key for a in asked for key in (a.keys or [None] * a.count)]


def check_rows(rows: int) -> None:
    """Raise `BadRequest` where there are no rows, or more than one request may have."""
    if rows == 0:
        raise BadRequest(what="there are no rows to predict", where="the body", fix="send at least one row")
    if rows > MAX_ROWS:
        raise BadRequest(
            what=f"{rows:,} rows are too many for one request",
            where="the body",
            fix=f"send at most {MAX_ROWS:,} rows at a time",
        )
