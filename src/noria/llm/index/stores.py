"""Stores of indexes by name: the embedded one, a folder with a folder for each version, and those of other systems.

A bundle says where its index stands as plain data, `{"store": "pgvector", "collection": "docs", "version": "2026-05"}`; addresses and keys
come from the environment (NORIA_INDEX_URL, NORIA_INDEX_KEY).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from noria.core.clock import Clock, SystemClock
from noria.core.errors import UserMistake, nearest
from noria.core.plugins import adapter, adapters
from noria.llm.chunking.chunk import Chunk
from noria.llm.index.lance import FACTS, LanceIndex, write_lance
from noria.llm.index.port import Index, IndexStore, NoVersion, VersionTaken, Written, require_name
from noria.llm.index.rows import whole_of

EMBEDDED = "lance"
ENDING = "_index"  # of the adapters' modules
ABANDONED = timedelta(days=1)  # after which what a writer left is of one that died


class UnknownStore(UserMistake):
    """There is no store of indexes of that name."""

    code = "NR-827"

    def __init__(self, kind: str) -> None:
        known = [EMBEDDED, *adapters(ENDING)]
        super().__init__(
            what=f"there is no store of indexes {kind!r}{nearest(kind, known)}",
            where="the name of the store",
            fix=f"name one of {', '.join(known)}",
        )


class LanceStore:
    """The versions of an index as folders of a folder. Each is whole, shares nothing with the others, and can be copied."""

    def __init__(self, folder: str | Path, clock: Clock | None = None) -> None:
        self._folder, self._clock = Path(folder), clock or SystemClock()

    def write(self, version: str, chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> Written:
        self._tidy()
        try:
            return Written(write_lance(self._place(version), chunks, vectors), len(chunks), 0, 0)
        except FileExistsError:
            there = self.open(version)
            if there.digest != whole_of(chunks, vectors):
                raise VersionTaken(str(self._folder), version) from None
            return Written(there, 0, 0, len(chunks))

    def open(self, version: str) -> LanceIndex:
        if not (self._place(version) / FACTS).is_file():
            raise NoVersion(str(self._folder), version, self.versions())
        return LanceIndex(self._place(version))

    def versions(self) -> list[str]:
        found = [path for path in self._folder.glob(f"*/{FACTS}") if not path.parent.name.startswith(".")]
        return [path.parent.name for path in sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.parent.name))]

    def drop(self, version: str) -> None:
        self.open(version)
        away = self._folder / f".{version}.{uuid4().hex[:12]}"
        self._place(version).rename(away)
        shutil.rmtree(away)

    def definition(self) -> dict[str, Any]:
        return {"store": EMBEDDED, "collection": str(self._folder)}

    def close(self) -> None:
        """Nothing is held open."""

    def _place(self, version: str) -> Path:
        return self._folder / require_name("version", version)

    def _tidy(self) -> None:
        """Remove what writers left that died."""
        before = (self._clock.now() - ABANDONED).timestamp()
        for path in self._folder.glob(".*.*"):
            if path.stat().st_mtime < before:
                shutil.rmtree(path, ignore_errors=True)


def open_store(kind: str, collection: str, environ: Mapping[str, str]) -> IndexStore:
    """A store by its name: `lance`, whose collection is a folder, or another system's. Raises `UnknownStore`, `MissingExtra`."""
    if kind == EMBEDDED:
        return LanceStore(collection)
    if kind not in adapters(ENDING):
        raise UnknownStore(kind)
    module = adapter(f"{kind}{ENDING}", extra=kind, needed_for=f"indexes in {kind}")
    store: IndexStore = module.open_store(collection, environ)
    return store


def reference(store: IndexStore, version: str) -> dict[str, Any]:
    """Where a version stands, as a bundle says it."""
    return {**store.definition(), "version": version}


def open_index(reference: Mapping[str, Any], environ: Mapping[str, str]) -> Index:
    """The version that a bundle refers to. Raises `NoVersion`, and what `open_store` does."""
    return open_store(reference["store"], reference["collection"], environ).open(reference["version"])
