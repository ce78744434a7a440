"""Pinecone's own client, with errors of ours, and with what waits until a write is seen: Pinecone is eventually consistent.

https://docs.pinecone.io/guides/index-data/check-data-freshness: a write has a position in its namespace's log, and a query says up to which
position it has seen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import httpx
from pinecone import Pinecone
from pinecone.errors.exceptions import ConflictError, NotFoundError, PineconeError

from noria.core.errors import OutsideWorld
from noria.llm.index.port import StoreFailed

CONTROL = "https://api.pinecone.io"
CLOUD, REGION = "aws", "us-east-1"  # the ones of Pinecone's free plan
READ_SECONDS, CREATED_SECONDS = 30.0, 300
SHORTEST, LONGEST = 0.01, 1.0  # seconds between two looks
T = TypeVar("T")


class NotSeen(OutsideWorld):
    """What was written to a store is not seen by searches after a long while."""

    code = "NR-844"

    def __init__(self, place: str, what: str, patience: timedelta) -> None:
        super().__init__(
            what=f"{what} can't be seen {patience.total_seconds():.0f} s after it was written",
            where=place,
            fix="build the version again: what was written is swept, and the versions before are as they were",
        )


class Pinecones:
    """The indexes of a project. Failures are `StoreFailed`; nothing is asked before the first use.

    The client itself asks again after 429 and 5xx, when `Retry-After` says; it reports to nobody.
    """

    def __init__(self, url: str, key: str, patience: timedelta, pause: Callable[[timedelta], None]) -> None:
        address = self._address(url)
        self._where = {"cloud": address.params.get("cloud", CLOUD), "region": address.params.get("region", REGION)}
        self._host = str(address.copy_with(query=None, username=None, password=None)).rstrip("/")
        self.place = f"Pinecone {self._host}"
        self._key, self._patience, self._pause, self._lock = key, patience, pause, threading.Lock()
        self._client: Pinecone | None = None
        self._indexes = dict[str, Any]()

    @staticmethod
    def _address(url: str) -> httpx.URL:
        try:
            address = httpx.URL(url)
            if address.scheme not in ("http", "https") or not address.host:
                raise ValueError("it is no http:// or https:// URL with a host")
        except (httpx.InvalidURL, ValueError) as error:
            raise StoreFailed(
                "Pinecone", f"its address can't be read: {error}", f"write it as {CONTROL}?cloud=aws&region=us-east-1"
            ) from error
        return address

    def ask(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call something of the client's."""
        try:
            return call(*args, **kwargs)
        except (PineconeError, httpx.HTTPError, OSError, ValueError, KeyError) as error:
            raise StoreFailed(self.place, f"{type(error).__name__}: {error}"[:500]) from error

    def _project(self) -> Pinecone:
        with self._lock:
            if self._client is None:
                self._client = self.ask(Pinecone, api_key=self._key, host=self._host, timeout=READ_SECONDS)
            return self._client

    def exists(self, name: str) -> bool:
        return name in self._indexes or self.ask(self._project().indexes.exists, name)

    def index(self, name: str) -> Any:
        """An index that exists."""
        project = self._project()
        with self._lock:
            if name not in self._indexes:
                self._indexes[name] = self.ask(project.index, name=name)
            return self._indexes[name]

    def create(self, name: str, **config: Any) -> None:
        """Make a serverless index and wait until it answers; that another builder has made it meanwhile is no error."""
        try:
            self.ask(
                self._project().indexes.create,
                name=name,
                deployment={"deployment_type": "managed", **self._where},
                timeout=CREATED_SECONDS,
                **config,
            )
        except StoreFailed as error:
            if not is_taken(error):
                raise
            self.until(lambda: bool(self._project().indexes.describe(name).status.ready), f"the index {name}")

    def _looks(self) -> Iterator[None]:
        """Now, and then again and again with longer pauses, as long as patience lasts."""
        yield
        waited, pause = 0.0, SHORTEST
        while waited < self._patience.total_seconds():
            self._pause(timedelta(seconds=pause))
            waited, pause = waited + pause, min(2 * pause, LONGEST)
            yield

    def settled(self, look: Callable[[], T], is_right: Callable[[T], bool]) -> T:
        """What is seen once it is right, or at last."""
        for _ in self._looks():
            found = look()
            if is_right(found):
                break
        return found

    def until(self, met: Callable[[], bool], what: str) -> None:
        """Wait until something is so. Raises `NotSeen`."""
        if not self.settled(met, bool):
            raise NotSeen(self.place, what, self._patience)

    def reached(self, index: Any, query: dict[str, Any], position: int) -> None:
        """Wait until queries see a position of the log; not, where they don't say how far they see."""

        def is_reached() -> bool:
            info = self.ask(index.query, top_k=1, **query).response_info
            return info is None or info.lsn_reconciled is None or info.is_reconciled(position)

        self.until(is_reached, "what was written")

    def close(self) -> None:
        with self._lock:
            opened, self._indexes, client, self._client = list(self._indexes.values()), {}, self._client, None
        for each in (*opened, *([client] if client else [])):
            with suppress(StoreFailed):
                self.ask(each.close)


def is_taken(error: StoreFailed) -> bool:
    """Whether something could not be made since it is there."""
    return isinstance(error.__cause__, ConflictError)


def is_missing(error: StoreFailed) -> bool:
    """Whether something is not there."""
    return isinstance(error.__cause__, NotFoundError)
