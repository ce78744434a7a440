"""Texts that say almost the same: copies with another date, translations of a page's frame, versions of one paper.

Shingles of words are compared by MinHash (Broder 1997, "On the resemblance and containment of documents"), candidates found by bands of
it (Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", 3.4), and each candidate is then measured exactly. In numpy, not by
datasketch: that hashes each shingle in Python, fifty times as slowly, and stays an estimate.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.llm.documents.document import Document

SHINGLE = 4  # words that stand together
BANDS, ROWS = 42, 3  # a pair that shares half of its shingles is a candidate with probability 0.996, one of a tenth with 0.04
SLACK = 0.2  # by which an estimate of 126 hashes may be below what is measured: over four standard deviations
MAX_BUCKET = 50  # texts of one band that are compared with each other; the first of more stand for all
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
Hashes = NDArray[np.uint64]

_MULTIPLIERS = np.random.default_rng(5).integers(1, 2**63, (BANDS * ROWS, 2), np.uint64) | np.uint64(1)
_POWERS = np.array([pow(0x9E3779B97F4A7C15, power, 2**64) for power in range(1, SHINGLE + 1)], np.uint64)


@dataclass(frozen=True)
class NearDuplicate:
    """A text that says almost the same as an earlier one. similarity: the share of their shingles that both have (Jaccard), 1: all"""

    id: str
    of: str
    similarity: float


def near_duplicates(texts: Iterable[tuple[str, str]], least: float = 0.8) -> list[NearDuplicate]:
    """Which texts, given as (id, text), are like an earlier one by `least` at least; each with the one that it is most like.

    Found are those that repeat a text which is no repetition itself, so that what is left when all of them are left out says everything.
    The same texts in the same order give the same answer. Texts without a word are like none.
    """
    if not 0.1 <= least <= 1:
        raise ValueError(f"least is a share from 0.1 to 1, not {least}")
    kept, known = list[tuple[str, Hashes, Hashes]](), defaultdict[bytes, list[int]](list)
    found = list[NearDuplicate]()
    for name, text in texts:
        shingles = _shingles(text)
        if not len(shingles):
            continue
        signature = _signature(shingles)
        bands = [number.to_bytes(2) + part.tobytes() for number, part in enumerate(signature.reshape(BANDS, ROWS))]
        candidates = sorted({other for band in bands if band in known for other in known[band]})
        likely = [other for other in candidates if (signature == kept[other][2]).mean() >= least - SLACK]
        best, other = max(((_jaccard(shingles, kept[other][1]), -other) for other in likely), default=(0.0, 0))
        if best >= least:
            found.append(NearDuplicate(name, kept[-other][0], round(best, 4)))
            continue
        for band in bands:
            if len(known[band]) < MAX_BUCKET:
                known[band].append(len(kept))
        kept.append((name, shingles, signature))
    return found


@dataclass(frozen=True)
class Unique:
    """Documents without their near-duplicates. left_out: of which of them each repeats

    kept_apart: those that repeat one too, and stay, since another circle of people may read them, or they have other metadata
    """

    documents: tuple[Document, ...]
    left_out: tuple[NearDuplicate, ...]
    kept_apart: tuple[NearDuplicate, ...]


def without_near_duplicates(documents: Iterable[Document], least: float = 0.8) -> Unique:
    """The documents of a corpus that say something of their own, the first of each kind, and which others were left out."""
    given = list(documents)
    by_id = {document.id: document for document in given}
    found = near_duplicates(((document.id, document.text) for document in given), least)

    def same_circle(each: NearDuplicate) -> bool:
        one, other = by_id[each.id], by_id[each.of]
        return set(one.access) == set(other.access) and dict(one.metadata) == dict(other.metadata)

    out = [each for each in found if same_circle(each)]
    gone = {each.id for each in out}
    apart = tuple(each for each in found if each.id not in gone)
    return Unique(tuple(document for document in given if document.id not in gone), tuple(out), apart)


def _shingles(text: str) -> Hashes:
    """The hashes of a text's shingles, each once and rising; of a text shorter than one, that of all its words."""
    words = [zlib.crc32(word.encode()) for word in WORD.findall(text.casefold())]
    if not words:
        return np.zeros(0, np.uint64)
    hashes = _mixed(np.array(words, np.uint64))
    size = min(SHINGLE, len(hashes))
    windows: Sequence[Hashes] = [hashes[i : len(hashes) - size + 1 + i] * _POWERS[i] for i in range(size)]
    return np.unique(_mixed(np.sum(windows, axis=0, dtype=np.uint64)))


def _mixed(values: Hashes) -> Hashes:
    """Bits spread over the whole number (the finalizer of splitmix64, Steele, Lea & Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), np.uint64)


def _signature(shingles: Hashes) -> Hashes:
    """The least of its shingles under each of the hash functions: two texts agree in as many as their similarity says."""
    least = np.full(BANDS * ROWS, np.iinfo(np.uint64).max, np.uint64)
    for at in range(0, len(shingles), 10_000):
        part = shingles[at : at + 10_000]
        least = np.minimum(least, (part[:, None] * _MULTIPLIERS[:, 0] + _MULTIPLIERS[:, 1]).min(axis=0))
    return least


def _jaccard(one: Hashes, other: Hashes) -> float:
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)
