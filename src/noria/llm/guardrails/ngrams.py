"""Texts as hashed n-grams of words and letters, and a linear model of them: all of it NumPy, and linear in the text's length."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.core.errors import OurBug
from noria.core.ids import digest

WORD = re.compile(r"\w+|[^\w\s]{1,3}")
LETTERS = (3, 4, 5)  # lengths of the n-grams of letters
WORDS = (1, 2, 3)
LONGEST_WORD = 24  # letters of a word that are read
STEP = np.uint64(0x9E3779B97F4A7C15)  # of splitmix64, whose mixing spreads the hashes (Steele, Lea & Flood, OOPSLA 2014)

Buckets = NDArray[np.int64]


def words_of(text: str) -> list[str]:
    return WORD.findall(text)


def word_buckets(words: Sequence[str], bits: int) -> list[Buckets]:
    """For each length of `WORDS`, the bucket of the n-gram that begins at each word; shorter by the n-gram's length."""
    codes = np.fromiter((_code(word) for word in words), np.uint64, len(words))
    return [_mixed(codes, n, 17 + n, bits) for n in WORDS]


def letter_buckets(text: str, bits: int) -> list[Buckets]:
    """The same for letters, of a text whose words stand apart by one space."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    return [_mixed(codes, n, n, bits) for n in LETTERS]


def features(text: str, bits: int) -> Buckets:
    """All buckets of a text `(n-grams,)`, one for each occurrence."""
    words = words_of(text)
    return np.concatenate([*word_buckets(words, bits), *letter_buckets(joined(words), bits)])


def joined(words: Sequence[str]) -> str:
    """Words as n-grams of letters see them: with a space before, between and behind, and no longer than `LONGEST_WORD`."""
    return f" {' '.join(word[:LONGEST_WORD] for word in words)} "


@lru_cache(maxsize=20_000)
def _code(word: str) -> int:
    return zlib.crc32(word[:LONGEST_WORD].encode("utf-8", "surrogatepass")) + 1


def _mixed(codes: NDArray[np.uint64], n: int, seed: int, bits: int) -> Buckets:
    """The bucket of each run of `n` codes."""
    if len(codes) < n:
        return np.zeros(0, np.int64)
    mixed = np.full(len(codes) - n + 1, seed, np.uint64)
    for place in range(n):
        mixed = (mixed ^ codes[place : len(codes) - n + 1 + place]) * STEP
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(64 - bits)).astype(np.int64)


@dataclass(frozen=True)
class LinearModel:
    """Weights of buckets. weights `(2^bits,)`; a text's score is the logistic function of bias + sum of weights / sqrt(n-grams)."""

    weights: NDArray[np.float32]
    bias: float

    @staticmethod
    def read(path: Path) -> LinearModel:
        """The model of a file: weights as int8 with one scale, so that it is a hundred kilobytes. Nothing in it is pickled."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return LinearModel(stored["weights"].astype(np.float32) * float(stored["scale"]), float(stored["bias"]))
        except (OSError, ValueError, KeyError) as error:
            raise OurBug(what="a model that belongs to Noria can't be read", where=f"{path}: {error}", fix="install Noria again") from error

    def write(self, path: Path) -> None:
        """The model as `read` reads it."""
        scale = float(np.abs(self.weights).max()) / 127 or 1.0
        np.savez_compressed(path, weights=np.round(self.weights / scale).astype(np.int8), scale=scale, bias=self.bias)

    @property
    def bits(self) -> int:
        return len(self.weights).bit_length() - 1

    @cached_property
    def version(self) -> str:
        return digest(np.round(self.weights, 5).tobytes() + str(round(self.bias, 6)).encode())[:12]

    def score(self, text: str) -> float:
        """0 to 1, of the text as one."""
        found = features(text, self.bits)
        return _logistic(self.bias + float(self.weights[found].sum()) / max(len(found), 1) ** 0.5)

    def windows(self, text: str, shapes: Sequence[tuple[int, int]]) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
        """The scores of all windows, and where each stands in the text. shapes: words of a window, and words from one to the next

        One pass over the text: the sum of a window is a difference of running sums.
        """
        found = list(WORD.finditer(text))
        if not found:
            return np.zeros(0), []
        words = [match[0] for match in found]
        spans = list(dict.fromkeys(span for size, step in shapes for span in _spans(len(words), size, step)))
        starts, ends = np.array(spans).T
        letters = np.cumsum([0, *(min(len(word), LONGEST_WORD) + 1 for word in words)])  # where each word's space stands in `joined`
        total, count = np.zeros(len(spans)), np.zeros(len(spans))
        for buckets, n, places in self._runs(words, letters):
            sums = np.concatenate([[0.0], np.cumsum(self.weights[buckets], dtype=np.float64)])
            low = np.minimum(places[starts], len(buckets))
            high = np.clip(places[ends] + (places is letters) - n + 1, low, len(buckets))
            total += sums[high] - sums[low]
            count += high - low
        scores = 1 / (1 + np.exp(-np.clip(self.bias + total / np.sqrt(np.maximum(count, 1)), -60, 60)))
        return scores, [(found[start].start(), found[end - 1].end()) for start, end in spans]

    def _runs(self, words: Sequence[str], letters: NDArray[Any]) -> list[tuple[Buckets, int, NDArray[Any]]]:
        """Buckets with the length of their n-grams, and for each word the place of its first bucket."""
        each = np.arange(len(words) + 1)
        of_words = [(buckets, n, each) for buckets, n in zip(word_buckets(words, self.bits), WORDS, strict=True)]
        of_letters = [(buckets, n, letters) for buckets, n in zip(letter_buckets(joined(words), self.bits), LETTERS, strict=True)]
        return of_words + of_letters


def _spans(words: int, size: int, step: int) -> list[tuple[int, int]]:
    """The first and the last word but one of windows, the last of which ends with the text."""
    if words <= size:
        return [(0, words)]
    starts = list(range(0, words - size, step))
    return [(start, start + size) for start in [*starts, words - size]]


def _logistic(value: float) -> float:
    return float(1 / (1 + np.exp(-min(max(value, -60.0), 60.0))))
