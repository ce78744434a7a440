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
LARGE = 64 * 1024  # bytes of a body from which its rows are made columns at once: Python's own values take many times the room
WEIGHED = 4_096  # bytes of a row of no fixed size that weigh as much as a row


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
    size, weight: bytes of its values where they are many, and what it weighs beside its rows where these have no fixed size (0: nothing)
    unit: who asks, as far as that is told: in an A/B test, all of one's requests are answered by one arm
    prediction_id: of one row whose answer is made in parts, each of which may name it; others get theirs when they are logged
    client, stamp, deadline: who gets the answer, since when it waits, and until when it is of use; set by the batcher, as is its trace
    """

    request_id: str | None = None
    unit: str | None = None
    prediction_id: str | None = None
    wanted: Mapping[str, bool] = ALL
    entities: list[tuple[Any, ...]] | None = None
    deadline: float | None = None
    size = 0
    weight = 0
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

    def measured(self, size: int, fields: Fields) -> PredictRequest:
        """The same, with so many bytes of values known to be its."""
        if size > WEIGHED:
            self.size = size
            if any([None in field.shape or field.type in ("string", "bytes") for field in fields]):  # noqa: C419 - a list is quicker here
                self.weight = max(size // WEIGHED - self.count, 0)
        return self

    def forget(self) -> None:
        """Let go of many bytes of values: they were scored and logged, and what waits for the log is the answer."""
        if self.size:
            self.rows = []


def rows_of(asked: Sequence[PredictRequest], fields: Fields) -> Rows:
    """The rows of requests as one; a number beyond its field's float is infinite. Raises `BadRequest` for a value that does not fit."""
    parts = [a.rows for a in asked]
    kind = dense_type(fields)
    listed = [row for part in parts if isinstance(part, list) for row in part]
    if len(listed) == sum([a.count for a in asked]):
        return _columns(fields, listed) if kind is None else Rows.dense(fields, _block(listed, kind))
    return stacked([part if isinstance(part, Rows) else rows_of([each], fields) for part, each in zip(parts, asked, strict=True)])


def in_columns(asked: PredictRequest, fields: Fields) -> PredictRequest:
    """The same request, its rows in columns, as large ones wait. Raises `BadRequest` for a value that does not fit."""
    rows = asked.rows = rows_of([asked], fields)
    return asked.measured(rows.nbytes, fields)


def parts_of(asked: PredictRequest, rows: int) -> list[PredictRequest]:
    """A request as several of at most so many rows."""
    parts = []
    for at in range(0, asked.count, rows):
        end = min(at + rows, asked.count)
        part = asked.rows.part(at, end) if isinstance(asked.rows, Rows) else asked.rows[at:end]
        parts.append(PredictRequest(part, asked.keys and asked.keys[at:end]))
        parts[-1].size, parts[-1].weight = asked.size * (end - at) // asked.count, asked.weight * (end - at) // asked.count
    return parts


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
