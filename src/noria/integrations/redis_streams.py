"""Redis Streams as a live source (https://redis.io/docs/latest/develop/data-types/streams/): each entry's field `body`.

What a stream has lost is reckoned from `XINFO STREAM`: since version 7 Redis counts what was ever added; before, it can only be
seen that the entry read last is gone, and that what is left is newer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis

from noria.data.sources.port import BadSource, SourceAway
from noria.data.sources.streams import Extent, Message

BODY = b"body"


class RedisStream:
    """Entries of one stream, in the order of their ids."""

    def __init__(self, url: str, topic: str) -> None:
        self._topic = topic
        try:
            self._client = redis.Redis.from_url(url, socket_timeout=30, socket_connect_timeout=5)
        except (ValueError, TypeError) as error:
            problem = "its address is not a Redis URL"
            raise BadSource(source=f"stream {topic!r}", problem=problem, fix="write redis://user:password@host:6379/0") from error

    def extent(self, after: str | None, added: int | None) -> Extent:
        """What there is to read after an id, when `added` entries had been added. Raises `SourceAway`."""
        with self._asked():
            info = self._info()
            if info is None:
                return Extent(after, None)
            until, count = _text(info["last-generated-id"]), info.get("entries-added")
            if after is None:
                return Extent(None, until, count, 0)
            if _order(until) < _order(after) or (count is not None and added is not None and count < added):
                return Extent(
                    None, until, count, 0, {f"stream {self._topic!r} was recreated: entries that were not read before are lost": 1}
                )
            if count is not None and added is not None:
                return Extent(after, until, count, added)
            return Extent(after, until, count, None, self._gap(after, until, info["first-entry"]))

    def read(self, after: str | None, at_most: int, until: str | None = None) -> list[Message]:
        """Up to `at_most` entries after an id, up to another. An entry without a field `body` has an empty one. Raises `SourceAway`."""
        with self._asked():
            entries: Any = self._client.xrange(self._topic, "-" if after is None else f"({after}", until or "+", count=at_most)
        return [Message(_text(position), fields.get(BODY, b"")) for position, fields in entries]

    def close(self) -> None:
        self._client.close()

    def _info(self) -> Mapping[str, Any] | None:
        """What the server knows of the stream; None if there is none."""
        try:
            found: Any = self._client.xinfo_stream(self._topic)
        except redis.ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        return dict(found)

    def _gap(self, after: str, until: str, first: Any) -> dict[str, int]:
        """What can be said of entries after an id that are gone, where their number is not known."""
        if first is None:
            gone = _order(until) > _order(after)
            return {f"messages of stream {self._topic!r} after {after} were trimmed or deleted before they were read": 1} if gone else {}
        oldest = _text(first[0])
        if _order(oldest) <= _next(after) or self._client.xrange(self._topic, after, after):
            return {}
        reason = f"messages of stream {self._topic!r} between {after} and {oldest} may have been trimmed before they were read"
        return {f"{reason} (Redis counts them from version 7 on)": 1}

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise SourceAway(f"stream {self._topic!r}", str(error) or type(error).__name__) from error


def open_reader(url: str, topic: str) -> RedisStream:
    """The reader of a stream at a Redis URL."""
    return RedisStream(url, topic)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _order(position: str) -> tuple[int, int]:
    """An id as the numbers by which Redis orders it: milliseconds and a count within them."""
    milliseconds, _, count = position.partition("-")
    return int(milliseconds), int(count or 0)


def _next(position: str) -> tuple[int, int]:
    """The id right after one: nothing can lie between them."""
    milliseconds, count = _order(position)
    return milliseconds, count + 1
