"""Embeddings that are kept: a text that was embedded once is never embedded again by the same model.

They stand in LMDB, as the house's other keyed values do: several processes read and write, and what a power cut tore is not there.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.ids import digest
from noria.llm.embedding.port import Embedded, Embedder, Vectors, embed_told

MAP_BYTES = 2**40  # that the file may grow to; it takes what it holds
AT_ONCE = 2_000  # texts that are embedded between two writes, so that little is done again after a stop
_OPEN = threading.Lock()  # LMDB opens no file twice in a process: threads take turns


class CachedEmbedder:
    """An embedder whose vectors are kept in a folder, each with whether its text was cut.

    embedder: the one that makes them; embedded: how many texts were not there
    """

    def __init__(self, embedder: Embedder, folder: str | Path) -> None:
        self.embedder, self._folder = embedder, Path(folder)
        self._of = bytes.fromhex(digest(embedder.definition()))[:16]
        self.embedded = self._truncated = 0

    @property
    def dimension(self) -> int:
        return self.embedder.dimension

    @property
    def truncated(self) -> int:
        return self._truncated

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self.embed_told(texts).vectors

    def embed_told(self, texts: Sequence[str]) -> Embedded:
        import lmdb

        self._folder.mkdir(parents=True, exist_ok=True)
        found, cut = np.zeros((len(texts), self.dimension), np.float32), np.zeros(len(texts), bool)
        keys = [self._of + bytes.fromhex(digest(text.encode())) for text in texts]
        with _OPEN, closing(lmdb.open(str(self._folder), map_size=MAP_BYTES, subdir=True)) as store:
            missing = dict[bytes, list[int]]()
            with store.begin() as reading:
                for place, key in enumerate(keys):
                    kept = reading.get(key)
                    if kept is None or len(kept) != found.shape[1] * 4 + 1:
                        missing.setdefault(key, []).append(place)
                    else:
                        found[place], cut[place] = np.frombuffer(kept[:-1], "<f4"), kept[-1]
            fresh = list(missing)
            for at in range(0, len(fresh), AT_ONCE):
                some = fresh[at : at + AT_ONCE]
                new = embed_told(self.embedder, [texts[missing[key][0]] for key in some])
                self.embedded += len(some)
                with store.begin(write=True) as writing:
                    for key, vector, short in zip(some, new.vectors, new.cut, strict=True):
                        writing.put(key, vector.astype("<f4").tobytes() + bytes([bool(short)]))
                        found[missing[key]], cut[missing[key]] = vector, short
        self._truncated += int(cut.sum())
        return Embedded(found, cut)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self.embedder.embed_query(text)

    def definition(self) -> dict[str, Any]:
        return self.embedder.definition()
