"""The online store: small records by key, read while a request waits.

In:   records (bytes) by key (bytes) from `noria.features.materialize`
Out:  one record, or None, for every key that was asked for, in the order asked
Embedded default: `LmdbStore`, below. The adapter for Redis is `noria.integrations.redis_online`; both pass
`tests/conformance/test_online_store.py`. What a record holds, its checksum and its age are the business of
`noria.features.online`; the online store is never the record of anything, and can be made anew from the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from noria.core.errors import OutsideWorld, UserMistake
from noria.core.ids import digest
from noria.core.plugins import adapter

if TYPE_CHECKING:
    import lmdb

MAP_BYTES = 1 << 30  # address space at first; doubled whenever it is full
LONGEST_KEY = 480  # LMDB takes 511 bytes; longer keys are named by their hash


class OnlineStoreFailed(OutsideWorld):
    """The online store can't be read or written, or is damaged."""

    code = "NR-230"

    def __init__(self, where: str, reason: str) -> None:
        self.place = where
        super().__init__(
            what="the online store can't be used",
            where=f"{where}: {reason}",
            fix="rebuild it from the tables: `noria materialize --fresh`",
        )


class OnlineStore(Protocol):
    """Records by key. `write` is all or nothing; what it wrote is what the next `read` sees, in any process."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def write(self, records: Iterable[tuple[bytes, bytes]]) -> None: ...
    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        """Every record whose key begins so, in the order of keys."""

    def drop(self, prefix: bytes) -> None:
        """Remove every record whose key begins so."""

    def close(self) -> None: ...


class LmdbStore:
    """LMDB (http://www.lmdb.tech/doc/): memory-mapped, read by any number of processes without locks or copies."""

    def __init__(self, folder: Path) -> None:
        import lmdb

        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._failed = folder, lmdb.Error
        self._full, self._resized = lmdb.MapFullError, lmdb.MapResizedError
        try:
            self._env = lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=0, subdir=True, readahead=False)
        except lmdb.Error as error:
            raise OnlineStoreFailed(str(folder), str(error)) from error

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            try:
                return self._read(keys)
            except self._resized:  # another process has made the map larger
                self._env.set_mapsize(0)
                return self._read(keys)
        except self._failed as error:
            raise OnlineStoreFailed(str(self._folder), str(error)) from error

    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._env.begin() as reading:
            get = reading.get
            return [get(_short(key)) for key in keys]

    def write(self, records: Iterable[tuple[bytes, bytes]]) -> None:
        ordered = sorted((_short(key), value) for key, value in records)
        while True:
            try:
                with self._env.begin(write=True) as writing, writing.cursor() as cursor:
                    cursor.putmulti(ordered)
                return
            except self._full:
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except self._failed as error:
                raise OnlineStoreFailed(str(self._folder), str(error)) from error

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        try:
            with self._env.begin() as reading:
                yield from _from_prefix(reading, prefix)
        except self._failed as error:
            raise OnlineStoreFailed(str(self._folder), str(error)) from error

    def drop(self, prefix: bytes) -> None:
        try:
            with self._env.begin(write=True) as writing:
                for key in [key for key, _ in _from_prefix(writing, prefix)]:
                    writing.delete(key)
        except self._failed as error:
            raise OnlineStoreFailed(str(self._folder), str(error)) from error

    def close(self) -> None:
        self._env.close()


def _from_prefix(transaction: lmdb.Transaction, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
    with transaction.cursor() as cursor:
        if not cursor.set_range(prefix):
            return
        for key, value in cursor:
            if not bytes(key).startswith(prefix):
                return
            yield bytes(key), bytes(value)


def _short(key: bytes) -> bytes:
    return key if len(key) <= LONGEST_KEY else key[:64] + digest(key).encode()


def open_online(url: str, folder: Path, patience_seconds: float = 10.0) -> OnlineStore:
    """The online store that a setting names: `lmdb` (in `folder`), or a Redis URL, which is waited for so long and no longer."""
    scheme = url.split("://", 1)[0]
    if scheme == "lmdb":
        return LmdbStore(folder)
    if scheme in ("redis", "rediss", "unix"):
        store: OnlineStore = adapter("redis_online", extra="redis", needed_for="the online store").RedisStore(url, patience_seconds)
        return store
    raise UserMistake(what=f"{url!r} is not a known online store", where="stores.online", fix="use lmdb, or redis://host:port/0")
