"""Names for things: content hashes for what must not change, time-ordered ids for what happens."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values have equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain, allow_nan=False)


def finite(value: Any) -> Any:
    """The same plain value with null for numbers that are none (NaN, infinite), which JSON can't say: for evidence, which may hold any."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


def digest(value: Any) -> str:
    """SHA-256 (hex) of bytes, or of the canonical JSON of anything else."""
    data = value if isinstance(value, bytes | bytearray | memoryview) else canonical_json(value).encode()
    return hashlib.sha256(data).hexdigest()


def short(identifier: str) -> str:
    """The first twelve characters: enough to read, not enough to rely on."""
    return identifier[:12]


class PredictionIds:
    """Time-ordered prediction ids of one writer: 12 hex digits of milliseconds, the writer's name, a counter.

    The time part (as in UUID version 7, RFC 9562) lets a reader find the log segment an id lies in.
    """

    def __init__(self, writer: str, first: int = 0) -> None:
        self._writer, self._next = writer, first

    def take(self, milliseconds: Sequence[int]) -> list[str]:
        """One id for each of these times (milliseconds since 1970-01-01 UTC), in this order."""
        start = self._next
        self._next += len(milliseconds)
        return [f"{ms:012x}-{self._writer}-{number:08x}" for number, ms in enumerate(milliseconds, start)]

    def take_at(self, milliseconds: int, count: int) -> list[str]:
        """So many ids for one time."""
        start = self._next
        self._next += count
        head = f"{milliseconds:012x}-{self._writer}-"
        return [f"{head}{number:08x}" for number in range(start, self._next)]

    @staticmethod
    def milliseconds(prediction_id: str) -> int:
        """When the prediction was asked for, in milliseconds since 1970-01-01 UTC. Raises ValueError on other text."""
        head, *rest = prediction_id.split("-")
        if len(head) != 12 or len(rest) < 2:
            raise ValueError(prediction_id)
        return int(head, 16)
