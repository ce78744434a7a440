"""What a text says by its words: terms, and their weights in BM25, for stores that search sparse vectors and not words.

Okapi BM25 (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009, section 3.4): the part that depends on a chunk stands in
its row, the part that depends on the corpus (how rare a term is) in the question's vector. So a row is the same in every version of an
index, and scores are those of the version that is searched.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

K1, B = 1.2, 0.75  # of the paper
PLACES = 10**9  # of terms in a sparse vector: as many as pgvector's may have
MAX_TERMS = 15_000  # of one chunk, the most frequent ones: pgvector keeps 16,000
WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+|[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
WITHOUT_SPACES = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_STOP = "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was will with"
STOP = frozenset(_STOP.split(" "))  # Lucene's


def terms(text: str) -> list[str]:
    """The words of a text, in small letters and without their endings; of scripts that write no spaces, each two neighbours.

    English has words that say nothing; they are left out.
    """
    found = list[str]()
    for word in WORD.findall(text.lower()):
        if WITHOUT_SPACES.match(word):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        elif word not in STOP:
            found.append(_stem(word[:64]))
    return found


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    stem: str = _stemmer().stemWord(word) if word.isalpha() else word
    return stem


@lru_cache(maxsize=200_000)
def place_of(term: str) -> int:
    """The place of a term in sparse vectors, from 0 on: a hash, the same in every process."""
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest()) % PLACES


Sparse = dict[int, float]  # place → weight, rising


def counted(text: str) -> Counter[int]:
    """How often each term stands in a text."""
    return Counter(place_of(term) for term in terms(text))


def weights(counts: Mapping[int, int], average: float) -> Sparse:
    """A chunk's vector. average: how many terms a chunk has, over the corpus"""
    length = sum(counts.values())
    norm = K1 * (1 - B + B * length / (average or 1.0))
    most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_TERMS]
    return {place: count * (K1 + 1) / (count + norm) for place, count in sorted(most)}


@dataclass(frozen=True)
class Rarity:
    """In how many of a version's chunks each term stands.

    chunks: how many there are; average: terms of a chunk, by which its rows were weighed
    """

    chunks: int
    average: float
    counts: Mapping[int, int]

    def question(self, text: str) -> Sparse:
        """A question's vector: its terms that some chunk has, by how rare they are."""
        found = {place: self.counts.get(place, 0) for place in sorted(set(map(place_of, terms(text))))}
        return {place: float(np.log1p((self.chunks - count + 0.5) / (count + 0.5))) for place, count in found.items() if count > 0}

    def changed(self, more: Iterable[Iterable[int]], less: Iterable[Iterable[int]]) -> Rarity:
        """The same with some chunks more and some less, each by its terms."""
        counts, chunks = Counter(self.counts), self.chunks
        for each in more:
            counts.update(each)
            chunks += 1
        for each in less:
            counts.subtract(each)
            chunks -= 1
        return Rarity(chunks, self.average, +counts)

    def packed(self) -> str:
        """Its counts as a text."""
        places = sorted(self.counts)
        both = np.array([places, [self.counts[place] for place in places]], "<u4")
        return base64.b64encode(zlib.compress(both.tobytes())).decode()

    @staticmethod
    def unpacked(text: str, chunks: int, average: float) -> Rarity:
        """What was packed. Raises `ValueError` for other texts."""
        try:
            places, counts = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u4").reshape(2, -1).tolist()
        except zlib.error as error:
            raise ValueError(str(error)) from error
        return Rarity(chunks, average, dict(zip(places, counts, strict=True)))
