"""Embeddings that are kept: a text that was embedded once is never embedded again by the same model.

They stand in LMDB, as the house's other keyed values do: several processes read and write, and what a power cut tore is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.ids import digest
from noria.llm.embedding.port import Embedder, Vectors

MAP_BYTES = 2**40  # that the file may grow to; it takes what it holds
AT_ONCE = 2_000  # texts that are embedded between two writes, so that little is done again after a stop


class CachedEmbedder:
    """An embedder whose vectors are kept in a folder. embedder: the one that makes them; embedded: how many texts were not there"""

    def __init__(self, embedder: Embedder, folder: str | Path) -> None:
        self.embedder, self._folder = embedder, Path(folder)
        self._of = bytes.fromhex(digest(embedder.definition()))[:16]
        self.embedded = 0

    @property
    def dimension(self) -> int:
        return self.embedder.dimension

    @property
    def truncated(self) -> int:
        return self.embedder.truncated

    def embed(self, texts: Sequence[str]) -> Vectors:
        import lmdb

        self._folder.mkdir(parents=True, exist_ok=True)
        found = np.zeros((len(texts), self.dimension), np.float32)
        keys = [self._of + bytes.fromhex(digest(text.encode())) for text in texts]
        with closing(lmdb.open(str(self._folder), map_size=MAP_BYTES, subdir=True)) as store:
            missing = dict[bytes, list[int]]()
            with store.begin() as reading:
                for place, key in enumerate(keys):
                    kept = reading.get(key)
                    if kept is None or len(kept) != found.shape[1] * 4:
                        missing.setdefault(key, []).append(place)
                    else:
                        found[place] = np.frombuffer(kept, "<f4")
            fresh = list(missing)
            for at in range(0, len(fresh), AT_ONCE):
                some = fresh[at : at + AT_ONCE]
                vectors = self.embedder.embed([texts[missing[key][0]] for key in some])
                self.embedded += len(some)
                with store.begin(write=True) as writing:
                    for key, vector in zip(some, vectors, strict=True):
                        writing.put(key, vector.astype("<f4").tobytes())
                        found[missing[key]] = vector
        return found

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self.embedder.embed_query(text)

    def definition(self) -> dict[str, Any]:
        return self.embedder.definition()
