"""Redis Streams as a live source (https://redis.io/docs/latest/develop/data-types/streams/): each entry's field `body`."""

from __future__ import annotations

from typing import Any

import redis

from noria.data.source import Message, SourceAway

BODY = b"body"


class RedisStream:
    """Entries of one stream, in the order of their ids."""

    def __init__(self, url: str, topic: str) -> None:
        self._topic = topic
        self._client = redis.Redis.from_url(url, socket_timeout=30, socket_connect_timeout=5)

    def read(self, after: str | None, at_most: int) -> list[Message]:
        """Up to `at_most` entries after an id. An entry without a field `body` has an empty one. Raises `SourceAway`."""
        start = "-" if after is None else f"({after}"
        try:
            entries: Any = self._client.xrange(self._topic, min=start, count=at_most)
        except redis.RedisError as error:
            raise SourceAway(f"stream {self._topic!r}", str(error)) from error
        return [Message(position.decode(), fields.get(BODY, b"")) for position, fields in entries]

    def close(self) -> None:
        self._client.close()


def open_reader(url: str, topic: str) -> RedisStream:
    """The reader of a stream at a Redis URL."""
    return RedisStream(url, topic)
