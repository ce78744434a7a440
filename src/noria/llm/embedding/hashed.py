"""Vectors without a model: what words and parts of words a text has, each counted at a place that its hash says.

Texts are near each other where they share words, or parts of them. It knows nothing of what words mean, needs no file and no network, and
is what a model has to beat. Feature hashing: Weinberger et al., ICML 2009.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.llm.embedding.port import Vectors

WORD = re.compile(r"\w+")
PART, PART_WEIGHT = 4, 0.3  # letters of a part of a word, and what it counts beside a whole one


@dataclass
class HashedEmbedder:
    """dimension: of the vectors; more have fewer words at one place"""

    dimension: int = 512
    truncated: int = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        found = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(found, texts, strict=True):
            for feature, count in Counter(_features(text)).items():
                hashed = zlib.crc32(feature.encode())
                sign = 1.0 if hashed & 0x80000000 else -1.0
                weight = PART_WEIGHT if feature[0] == "#" else 1.0
                row[hashed % self.dimension] += sign * weight * (1 + np.log(count))
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.asarray(self.embed([text])[0])

    def arguments(self) -> dict[str, Any]:
        """By which it is made again."""
        return {"dimension": self.dimension}

    def definition(self) -> dict[str, Any]:
        return {"embedder": "hashed", "dimension": self.dimension, "version": 1}


def _features(text: str) -> Iterator[str]:
    for word in WORD.findall(text.casefold()):
        yield word
        yield from (f"#{word[at : at + PART]}" for at in range(len(word) - PART + 1) if len(word) > PART)
