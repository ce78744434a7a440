"""Versions of an index in one table or collection of a server, which share the rows that they have in common.

A row is written once, by one *build*, and later builds may mark it as removed. A version is a *chain* of builds, and has the rows that a
build of its chain added and none of its chain removed: multi-version concurrency control (Bernstein & Goodman, 1983) with chains of builds
for timestamps. So

- an update writes the rows that are new and marks those that are gone; whatever else there is stays as it is;
- a version is visible once its *manifest* is written, the last step: rows of a build that died are in no chain, and nobody sees them;
- a sealed version never changes: what is written or removed later bears the name of a build that is not in its chain;
- builders need no lock: each has its own build, and for one name the first manifest stands;
- rows that no chain sees are swept when a version is dropped, and when one is written; a build that is under way has a manifest that is not
  sealed, which protects its chain for a day.

A chain grows by one with each version. At `MAX_BUILDS`, or when more than half has changed, a version begins a chain of its own and
writes all its rows. Stores with transactions hold a build in one; others go by the rules above alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import Clock, SystemClock
from noria.core.ids import digest
from noria.llm.chunking.chunk import Chunk
from noria.llm.index.port import Index, NoVersion, StoreFailed, VersionTaken, Written, require_name
from noria.llm.index.rows import keys_of, require_rows
from noria.llm.index.words import Rarity, Sparse, counted, weights

MAX_BUILDS = 32  # of a chain: a search names them all
ABANDONED = timedelta(days=1)  # after which a build that is not sealed is dead
ADDED_AT_ONCE = 1_000


@dataclass(frozen=True)
class Manifest:
    """What is known of a version. builds: its chain, oldest first; digest: of its rows; begun: when its build began, in seconds

    average, counts: of `Rarity`; sealed: whether it is complete
    """

    name: str
    builds: tuple[str, ...]
    begun: float
    dimension: int
    chunks: int = 0
    digest: str = ""
    average: float = 1.0
    counts: str = ""
    sealed: bool = False

    @property
    def rarity(self) -> Rarity:
        return Rarity.unpacked(self.counts, self.chunks, self.average)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Manifest:
        found = json.loads(text)
        return Manifest(**{**found, "builds": tuple(found["builds"])})


@dataclass(frozen=True)
class Row:
    """A chunk as it is stored: `id` is the row's, `key` what it is known by in all builds; words: its sparse vector"""

    id: str
    key: str
    chunk: Chunk
    vector: NDArray[np.float32]
    words: Sparse


class Build(Protocol):
    """A build that is under way."""

    def add(self, rows: Sequence[Row]) -> None: ...

    def remove(self, ids: Sequence[str]) -> Iterable[Iterable[int]]:
        """Mark rows as removed by this build; the terms of each."""
        ...

    def seal(self, manifest: Manifest) -> Manifest:
        """Write a manifest; that which stands under its name, which is another's where it was faster."""
        ...


class Rows(Protocol):
    """What a store does for its versions; everything else is done here. Every method may raise `StoreFailed`."""

    place: str

    def manifests(self) -> list[Manifest]:
        """Those of versions, and of builds that are under way."""
        ...

    def building(self, name: str, dimension: int) -> AbstractContextManager[None]:
        """Make ready for rows of so many dimensions; a store that has locks keeps other builders out. Raises `OtherDimension`."""
        ...

    def begin(self, manifest: Manifest) -> AbstractContextManager[Build]:
        """A build, whose manifest is not sealed. Left by an error, it leaves nothing that is seen."""
        ...

    def keys(self, builds: Sequence[str]) -> dict[str, str]:
        """The rows of a chain: key → id."""
        ...

    def count(self, builds: Sequence[str]) -> int: ...

    def forget(self, manifest: Manifest) -> None:
        """Remove a manifest."""
        ...

    def sweep(self, chains: Sequence[Sequence[str]]) -> None:
        """Remove the rows that none of these chains sees."""
        ...

    def index(self, manifest: Manifest) -> Index: ...

    def definition(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


class VersionedStore:
    """The store of indexes on a server."""

    def __init__(self, rows: Rows, clock: Clock | None = None) -> None:
        self._rows, self._clock = rows, clock or SystemClock()

    def write(self, version: str, chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> Written:
        require_name("version", version)
        require_rows(chunks, vectors)
        keys = keys_of(chunks, vectors)
        whole = digest([int(vectors.shape[1]), sorted(keys)])  # as `whole_of` has it
        with self._rows.building(version, int(vectors.shape[1])):
            sealed = self._sealed()
            there = next((each for each in sealed if each.name == version), None)
            if there is not None:
                return Written(self._rows.index(self._same(there, whole)), 0, 0, len(keys))
            base, known = self._base(sealed, keys)
            return self._write(base, known, version, whole, list(zip(keys, chunks, vectors, strict=True)), vectors.shape[1])

    def _base(self, sealed: Sequence[Manifest], keys: Sequence[str]) -> tuple[Manifest | None, dict[str, str]]:
        """The version that a new one is written as a change of, with its rows; None where it is better written whole."""
        newest = sealed[-1] if sealed else None
        if newest is None or len(newest.builds) >= MAX_BUILDS:
            return None, {}
        known = self._rows.keys(newest.builds)
        if 2 * len(known.keys() ^ set(keys)) > len(known):
            return None, {}
        return newest, known

    def _write(
        self,
        base: Manifest | None,
        known: dict[str, str],
        version: str,
        whole: str,
        every: Sequence[tuple[str, Chunk, NDArray[np.float32]]],
        dimension: int,
    ) -> Written:
        fresh = [(key, chunk, vector, counted(chunk.embedded)) for key, chunk, vector in every if key not in known]
        gone = sorted(known[key] for key in known.keys() - {key for key, _, _ in every})
        average = base.average if base else sum(sum(counts.values()) for *_, counts in fresh) / max(len(fresh), 1)
        build = uuid4().hex[:16]
        chain = (*(base.builds if base else ()), build)
        manifest = Manifest(version, chain, self._clock.now().timestamp(), dimension, len(every), whole, average)
        with self._rows.begin(manifest) as under_way:
            for at in range(0, len(fresh), ADDED_AT_ONCE):
                some = fresh[at : at + ADDED_AT_ONCE]
                under_way.add([Row(_id(build, key), key, chunk, vector, weights(n, average)) for key, chunk, vector, n in some])
            less = under_way.remove(gone) if gone else []
            before = base.rarity if base else Rarity(0, average, {})
            counts = before.changed((n for *_, n in fresh), less).packed()
            self._require(manifest)
            stands = under_way.seal(replace(manifest, counts=counts, sealed=True))
        if stands.builds != chain:
            self._same(stands, whole)
        self._sweep()
        return Written(self._rows.index(stands), len(fresh), len(gone), len(every) - len(fresh))

    def _require(self, manifest: Manifest) -> None:
        """That a build's rows are all there: someone may have dropped the version that it began from."""
        found = self._rows.count(manifest.builds)
        if found != manifest.chunks:
            reason = f"version {manifest.name!r} has {found} of its {manifest.chunks} rows; was the version before dropped meanwhile?"
            raise StoreFailed(self._rows.place, reason, "build the version again")

    def _same(self, there: Manifest, whole: str) -> Manifest:
        if there.digest != whole:
            raise VersionTaken(self._rows.place, there.name)
        return there

    def _sealed(self) -> list[Manifest]:
        return sorted((each for each in self._rows.manifests() if each.sealed), key=lambda each: (each.begun, each.name))

    def open(self, version: str) -> Index:
        sealed = self._sealed()
        found = next((each for each in sealed if each.name == version), None)
        if found is None:
            raise NoVersion(self._rows.place, version, [each.name for each in sealed])
        return self._rows.index(found)

    def versions(self) -> list[str]:
        return [each.name for each in self._sealed()]

    def drop(self, version: str) -> None:
        sealed = self._sealed()
        found = next((each for each in sealed if each.name == version), None)
        if found is None:
            raise NoVersion(self._rows.place, version, [each.name for each in sealed])
        with self._rows.building(version, found.dimension):
            self._rows.forget(found)
            self._sweep()

    def sweep(self) -> None:
        """Remove what builds that died left, however long ago. None may be under way."""
        self._sweep(timedelta(0))

    def _sweep(self, abandoned: timedelta = ABANDONED) -> None:
        now = self._clock.now().timestamp()
        every = self._rows.manifests()
        dead = [each for each in every if not each.sealed and now - each.begun >= abandoned.total_seconds()]
        for each in dead:
            self._rows.forget(each)
        self._rows.sweep([each.builds for each in every if each not in dead])

    def definition(self) -> dict[str, Any]:
        return self._rows.definition()

    def close(self) -> None:
        self._rows.close()


def _id(build: str, key: str) -> str:
    """A row's id: 32 hexadecimal digits, which is a UUID for stores that want one."""
    return digest([build, key])[:32]
