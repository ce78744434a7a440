"""Redis as the online store: one key per record, written in one transaction (MULTI), read in one call (MGET)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from noria.stores.online import OnlineStoreFailed

SPACE = b"noria:"


class RedisStore:
    """Records of one project in one Redis database, under keys that begin with `noria:`."""

    def __init__(self, url: str, patience_seconds: float = 10.0) -> None:
        patience = {"socket_timeout": patience_seconds, "socket_connect_timeout": patience_seconds}
        self._client: Any = redis.Redis.from_url(url, **patience, retry=Retry(NoBackoff(), 0))  # who asks decides about trying again
        self._place = url.split("@")[-1]

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        if not keys:
            return []
        try:
            found: list[bytes | None] = self._client.mget([SPACE + key for key in keys])
        except redis.RedisError as error:
            raise OnlineStoreFailed(self._place, str(error)) from error
        return found

    def write(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        values = {SPACE + key: value for key, value in records}
        if not values:
            return
        try:
            self._client.mset(values)  # one command, all or nothing
        except redis.RedisError as error:
            raise OnlineStoreFailed(self._place, str(error)) from error

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        try:
            keys = sorted(self._client.scan_iter(match=_glob(SPACE + prefix) + b"*", count=10_000))
            for start in range(0, len(keys), 10_000):
                part = keys[start : start + 10_000]
                values = self._client.mget(part)
                yield from ((key[len(SPACE) :], value) for key, value in zip(part, values, strict=True) if value is not None)
        except redis.RedisError as error:
            raise OnlineStoreFailed(self._place, str(error)) from error

    def drop(self, prefix: bytes) -> None:
        keys = [SPACE + key for key, _ in self.scan(prefix)]
        try:
            for start in range(0, len(keys), 10_000):
                self._client.delete(*keys[start : start + 10_000])
        except redis.RedisError as error:
            raise OnlineStoreFailed(self._place, str(error)) from error

    def close(self) -> None:
        self._client.close()


def _glob(text: bytes) -> bytes:
    """A text as a pattern that matches only itself."""
    for special in (b"\\", b"*", b"?", b"[", b"]"):
        text = text.replace(special, b"\\" + special)
    return text
